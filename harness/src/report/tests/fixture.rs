//! A made-up run, rich enough to exercise every part of a report. Its figures are invented and seeded.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::results::{
    Agreement, Answer, CaseResult, ClientRun, ClientStep, Conformance, Fault, FaultCheck, FaultEvidence, FaultFigure,
    FaultViolation, Host, MachineLoad, Measurement, Outcome, PairCheck, Random, RandomDifference, Ratio, Results,
    RoundStats, Run, SCHEMA, Skipped, Target, TargetNode, TimelineEvent, TimelineSample, WindowCheck,
};

pub(crate) const TANDEM: &str = "3xtandem";
pub(crate) const NACOS: &str = "3xnacos@1.4.1";
pub(crate) const MIXED: &str = "2xnacos+tandem";

/// Values as they stand in the results.
pub(crate) fn encode(values: &[f64]) -> String {
    let mut histogram = Histogram::<u64>::new(3).unwrap();
    for value in values {
        histogram.record((value * 1000.0) as u64).unwrap();
    }
    crate::report::distribution::encode(&histogram).unwrap()
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A row whose statistics are those of `values`, dealt to `rounds` rounds.
pub(crate) fn row(target: &str, experiment: &str, variant: &[(&str, &str)], unit: &str, values: &[f64]) -> Measurement {
    let stats = |values: &[f64]| {
        // Short decimals survive a text file exactly.
        let round = |it: f64| (it * 1000.0).round() / 1000.0;
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |q: f64| round(sorted[((sorted.len() as f64 * q).ceil() as usize).clamp(1, sorted.len()) - 1]);
        (at(0.5), at(0.9), at(0.99), at(0.999), at(1.0), round(sorted.iter().sum::<f64>() / sorted.len() as f64))
    };
    let (p50, p90, p99, p999, max, mean) = stats(values);
    let rounds = values.chunks(values.len().div_ceil(4)).map(|chunk| {
        let (p50, _, p99, _, _, mean) = stats(chunk);
        RoundStats { samples: chunk.len() as u64, p50, p99, mean }
    });
    Measurement {
        target: target.into(),
        experiment: experiment.into(),
        variant: map(variant),
        unit: unit.into(),
        samples: values.len() as u64,
        errors: 0,
        p50,
        p90,
        p99,
        p999,
        max,
        mean,
        rounds: rounds.collect(),
        histogram: encode(values),
        notes: Vec::new(),
    }
}

/// `count` values spread multiplicatively around `centre`.
fn around(random: &mut StdRng, centre: f64, spread: f64, count: usize) -> Vec<f64> {
    (0..count)
        .map(|_| {
            let noise: f64 = (0..6).map(|_| random.random::<f64>() - 0.5).sum();
            centre * (noise * spread).exp()
        })
        .collect()
}

fn ratio(experiment: &str, variant: &[(&str, &str)], stat: &str, over: (&str, &str), value: (f64, f64, f64)) -> Ratio {
    Ratio {
        experiment: experiment.into(),
        variant: map(variant),
        stat: stat.into(),
        numerator: over.0.into(),
        denominator: over.1.into(),
        value: value.0,
        low: value.1,
        high: value.2,
    }
}

/// A run that was told by push, and one that could not be started.
fn clients() -> Vec<ClientRun> {
    let step = |step: &str, outcome, way: Option<&str>, reason: &str| ClientStep {
        step: step.to_owned(),
        outcome,
        way: way.map(str::to_owned),
        at_ms: way.map(|_| 1065.0),
        after_ms: way.map(|_| 51.0),
        reason: reason.to_owned(),
    };
    let run = |client: &str, package: &str, target: &str, direction: Option<&str>, steps| ClientRun {
        client: client.to_owned(),
        package: package.to_owned(),
        runtime: String::new(),
        target: target.to_owned(),
        direction: direction.map(str::to_owned),
        steps,
    };
    let java = vec![
        step("register", Outcome::Pass, None, ""),
        step("appear", Outcome::Pass, Some("push"), ""),
        step("services", Outcome::Fail, None, "on real Nacos .count is 1, here 0"),
    ];
    let go = vec![step("register", Outcome::Skip, None, "`go` not found, which the go client needs; install Go")];
    vec![
        run("java", "com.alibaba.nacos:nacos-client 1.4.1", "2xnacos+tandem", Some("nacos→tandem"), java),
        run("go", "github.com/nacos-group/nacos-sdk-go v1.1.6", "3xtandem", None, go),
    ]
}

fn measurements() -> Vec<Measurement> {
    let mut random = StdRng::seed_from_u64(7);
    let r = &mut random;
    let mut rows = Vec::new();
    for (experiment, fast) in [("sync-latency", 3.1), ("deregister-latency", 2.6)] {
        rows.push(row(TANDEM, experiment, &[], "ms", &around(r, fast, 0.45, 600)));
        let slow: Vec<f64> = (0..600).map(|_| 1000.0 + 1000.0 * r.random::<f64>()).collect();
        rows.push(row(NACOS, experiment, &[], "ms", &slow));
        // Two modes: a few milliseconds one way, seconds the other.
        for (direction, values) in [
            ("tandem→nacos", around(r, 5.5, 0.5, 200)),
            ("nacos→tandem", (0..200).map(|_| 1000.0 + 1000.0 * r.random::<f64>()).collect()),
            ("nacos→nacos", (0..200).map(|_| 1000.0 + 1000.0 * r.random::<f64>()).collect()),
        ] {
            rows.push(row(MIXED, experiment, &[("direction", direction)], "ms", &values));
        }
    }
    for (experiment, rate, centres) in [
        ("load-register", "500/s", [0.42, 2.3, 1.4]),
        ("load-query", "2000/s", [0.21, 0.55, 0.4]),
        ("load-mixed", "1000/s", [0.33, 1.2, 0.9]),
    ] {
        for (target, centre) in [TANDEM, NACOS, MIXED].into_iter().zip(centres) {
            let mut values = around(r, centre, 0.7, 4000);
            values.extend(around(r, centre * 30.0, 0.4, 60));
            let mut row = row(target, experiment, &[("rate", rate)], "ms", &values);
            if target == NACOS {
                row.errors = 12;
                row.notes.push("12 requests timed out after 10 s".into());
            }
            rows.push(row);
        }
    }
    for (target, rate) in [(TANDEM, 48_200.0), (NACOS, 9_350.0), (MIXED, 21_000.0)] {
        rows.push(row(target, "load-query", &[("loop", "closed")], "1/s", &around(r, rate, 0.05, 4)));
    }
    for (connections, share) in [("1", 0.1), ("8", 0.6), ("64", 1.0), ("512", 0.9)] {
        for (target, rate) in [(TANDEM, 22_000.0), (NACOS, 1_900.0), (MIXED, 4_800.0)] {
            let variant = [("mode", "saturation"), ("connections", connections)];
            rows.push(row(target, "load-beat", &variant, "1/s", &around(r, rate * share, 0.05, 4)));
        }
    }
    for (target, ms) in [(TANDEM, 38.0), (NACOS, 3_900.0), (MIXED, 3_700.0)] {
        rows.push(row(target, "burst-convergence", &[("instances", "1000")], "ms", &around(r, ms, 0.2, 8)));
    }
    rows
}

fn ratios() -> Vec<Ratio> {
    let pair = (TANDEM, NACOS);
    vec![
        ratio("sync-latency", &[], "p50", pair, (0.001_54, 0.001_43, 0.001_64)),
        ratio("sync-latency", &[], "p50", (MIXED, NACOS), (0.93, 0.81, 1.07)),
        ratio("deregister-latency", &[], "p50", pair, (0.001_73, 0.001_6, 0.001_9)),
        ratio("load-register", &[("rate", "500/s")], "p99", pair, (0.18, 0.16, 0.21)),
        ratio("load-query", &[("rate", "2000/s")], "p99", pair, (0.38, 0.33, 0.44)),
        // The other way round on purpose: a report must turn it.
        ratio("load-query", &[("loop", "closed")], "p50", (NACOS, TANDEM), (0.194, 0.18, 0.21)),
        ratio("burst-convergence", &[("instances", "1000")], "p50", pair, (0.0097, 0.008, 0.0121)),
        ratio("startup", &[], "p50", pair, (0.0078, 0.0066, 0.0091)),
        ratio("memory", &[], "p50", pair, (0.0247, 0.0239, 0.0256)),
    ]
}

/// A body that would break a page, a table, an XML document and a terminal.
pub(crate) const HOSTILE: &str = "</script><img src=x onerror=alert(1)>]]>\u{0}\u{1b}[31m\u{202e}\"'&|`*🦀{{ 7*7 }}";

fn answer(status: u32, body: &str) -> Answer {
    Answer {
        status,
        content_type: Some("text/plain;charset=UTF-8".into()),
        headers: map(&[("connection", "close")]),
        body: body.into(),
    }
}

fn case(id: &str, area: &str, endpoint: &str, target: &str, outcome: Outcome) -> CaseResult {
    CaseResult {
        group: "name and address".into(),
        id: id.into(),
        area: area.into(),
        endpoint: endpoint.into(),
        target: target.into(),
        outcome,
        difference: None,
        tags: Vec::new(),
        reason: String::new(),
        request: format!("{endpoint}?serviceName=DEFAULT_GROUP%40%40demo&ip=10.0.0.1&port=8080"),
        expected: None,
        observed: None,
    }
}

fn conformance() -> Conformance {
    let endpoints = [
        ("instance", "POST /nacos/v1/ns/instance", 24),
        ("instance", "DELETE /nacos/v1/ns/instance", 12),
        ("instance", "GET /nacos/v1/ns/instance/list", 30),
        ("beat", "PUT /nacos/v1/ns/instance/beat", 14),
        ("service", "POST /nacos/v1/ns/service", 18),
        ("service", "GET /nacos/v1/ns/service/list", 9),
        ("operator", "GET /nacos/v1/ns/operator/metrics", 4),
    ];
    let mut conformance = Conformance { reference: NACOS.into(), ..Conformance::default() };
    let mut number = 0;
    for (area, endpoint, count) in endpoints {
        for _ in 0..count {
            number += 1;
            for target in [TANDEM, NACOS, MIXED] {
                let mut case = case(&format!("A{number:03}"), area, endpoint, target, Outcome::Pass);
                if number % 3 == 0 {
                    case.group = "metadata".into();
                }
                spoil(&mut case, number);
                conformance.summary.entry(target.into()).or_default().entry(area.into()).or_default().add(case.outcome);
                conformance.cases.push(case);
            }
        }
    }
    conformance
}

/// Makes some cases fail, in ways that have broken reports before.
fn spoil(case: &mut CaseResult, number: u32) {
    let mut fail = |outcome, tags: &[&str], reason: &str, expected: Option<Answer>, observed: Option<Answer>| {
        case.outcome = outcome;
        case.tags = tags.iter().map(|it| (*it).to_owned()).collect();
        case.reason = reason.to_owned();
        case.expected = expected;
        case.observed = observed;
    };
    match (number, case.target.as_str()) {
        (3, TANDEM) => fail(
            Outcome::Fail,
            &["quirk"],
            "status 400, expected 500",
            Some(answer(500, "caused: Param 'port' is required.;")),
            Some(answer(400, "caused: Param 'serviceName' is required.;")),
        ),
        (17, TANDEM | MIXED) => fail(
            Outcome::Kept,
            &["ephemeral"],
            "B2: weights without a fraction (body differs at character 31)",
            Some(answer(200, r#"{"name":"DEFAULT_GROUP@@demo","hosts":[{"ip":"10.0.0.1","port":8080,"weight":1.0}]}"#)),
            Some(answer(200, r#"{"name":"DEFAULT_GROUP@@demo","hosts":[{"ip":"10.0.0.1","port":8080,"weight":1}]}"#)),
        ),
        (40, MIXED) => {
            fail(Outcome::Fail, &[], HOSTILE, Some(answer(200, HOSTILE)), Some(answer(40301, &"日".repeat(100_000))));
            case.request = format!("PUT /x?{}\n{HOSTILE}", "a".repeat(100_000));
        }
        (66, _) => fail(Outcome::Skip, &["needs-mysql"], "needs MySQL, which this run had not", None, None),
        (80, NACOS) => fail(Outcome::Error, &["persistent"], "set-up failed: no answer within 5 s", None, None),
        _ => {}
    }
}

fn target(name: &str, kinds: &[&str], ready: &[f64], mib: &[u64]) -> Target {
    let node = |(index, kind): (usize, &&str)| TargetNode {
        kind: (*kind).to_owned(),
        version: if *kind == "nacos" { "1.4.1".into() } else { "0.1.0".into() },
        launch: if *kind == "nacos" { "JDK 17 + Maven artifacts".into() } else { "process".into() },
        address: format!("127.0.0.1:{}", 8848 + index * 10),
        artifact: if *kind == "nacos" {
            "com.alibaba.nacos:nacos-console:1.4.1 sha256:2c9f…".into()
        } else {
            "tandem-server 0.1.0 sha256:77ab…".into()
        },
    };
    Target {
        target: name.into(),
        nodes: kinds.iter().enumerate().map(node).collect(),
        ready_ms: ready.to_vec(),
        rss_bytes: mib.iter().map(|it| it << 20).collect(),
        cpu_seconds: vec![0.1; kinds.len()],
    }
}

/// Half a second each: requests fail for a while after the cut, instances are missing until the end of `lasts_ms`.
fn samples(lasts_ms: f64, worst: u64) -> Vec<TimelineSample> {
    let sample = |place: u32| {
        let at_ms = f64::from(place) * 500.0;
        let since = at_ms - 5_000.0;
        let is_broken = (0.0..lasts_ms).contains(&since);
        let left = if is_broken { 1.0 - since / lasts_ms } else { 0.0 };
        TimelineSample {
            at_ms,
            requests: 50,
            answered: if is_broken { 20 + (30.0 * (1.0 - left)) as u64 } else { 50 },
            missing: Some((worst as f64 * left) as u64),
        }
    };
    (0..50).map(sample).collect()
}

/// One check that holds at one target only, and one that is a measurement.
fn checks(target: &str) -> Vec<FaultCheck> {
    let check = |name: &str, is_demanded, outcome| FaultCheck {
        check: name.into(),
        is_demanded,
        outcome,
        count: u64::from(outcome == Outcome::Fail),
        violations: Vec::new(),
        unknown: Vec::new(),
    };
    let lost = FaultViolation {
        says: "Set(17) at node 1, acknowledged at 6.031 s (line 812), never overwritten; node 0 reads 12".into(),
        evidence: vec![
            FaultEvidence { line: 812, at_ms: 6_031.0, what: "Set(17) on register 0: acknowledged".into() },
            FaultEvidence { line: 4_711, at_ms: 40_200.0, what: "Read at node 0: reads <12>".into() },
        ],
    };
    let writes = match target {
        NACOS => FaultCheck { violations: vec![lost], count: 37, ..check("no-lost-write", true, Outcome::Fail) },
        MIXED => FaultCheck {
            unknown: vec!["node 1 was not read in the final phase".into()],
            ..check("no-lost-write", true, Outcome::Error)
        },
        _ => check("no-lost-write", true, Outcome::Pass),
    };
    let stale = FaultCheck { count: 3, ..check("linearizable-reads", false, Outcome::Fail) };
    vec![check("agreement", true, Outcome::Pass), writes, stale]
}

fn faults() -> Vec<Fault> {
    let fault = |target: &str, outcome, lost, violations: &[&str]| Fault {
        target: target.into(),
        scenario: "partition the leader".into(),
        outcome,
        recovery_ms: (outcome != Outcome::Error).then_some(if target == TANDEM { 840.0 } else { 16_200.0 }),
        unrecovered_ms: None,
        lost_acked: lost,
        resurrected: 0,
        violations: violations.iter().map(|it| (*it).to_owned()).collect(),
        timeline: vec![
            TimelineEvent { at_ms: 0.0, event: "writes begin".into(), until_ms: None },
            TimelineEvent {
                at_ms: 5_000.0,
                event: "leader cut off; 1,204 packets dropped".into(),
                until_ms: Some(15_000.0),
            },
        ],
        samples: samples(if target == TANDEM { 2_000.0 } else { 14_000.0 }, if target == TANDEM { 12 } else { 160 }),
        checks: checks(target),
        figures: vec![FaultFigure {
            check: Some("no-lost-write".into()),
            what: "how stale".into(),
            node: Some(1),
            phase: Some("during".into()),
            unit: "ms".into(),
            samples: 30,
            p50: 12.0,
            p99: 840.0,
            max: 990.0,
        }],
        issues: vec![4829],
        history: format!("history/partition-the-leader-{target}.jsonl"),
    };
    vec![
        fault(TANDEM, Outcome::Pass, 0, &[]),
        fault(NACOS, Outcome::Fail, 37, &["37 acknowledged writes are gone"]),
        fault(MIXED, Outcome::Error, 0, &["the fault had no effect: the leader did not change"]),
    ]
}

fn windows() -> Vec<WindowCheck> {
    let check = |target: &str, outcome, reasons: &[&str]| WindowCheck {
        target: target.into(),
        change: "last beat → unhealthy".into(),
        instances: "default timeouts".into(),
        at: "the owner".into(),
        by: "read".into(),
        direction: None,
        is_real: false,
        flickered: 0,
        outcome,
        above_ms: 15_000.0,
        at_most_ms: 20_500.0,
        samples: 50,
        missing: 0,
        outside: u64::from(outcome == Outcome::Fail),
        min_ms: Some(15_120.0),
        max_ms: Some(if outcome == Outcome::Fail { 22_310.0 } else { 19_980.0 }),
        real_min_ms: Some(15_080.0),
        real_max_ms: Some(20_040.0),
        difference: Some(0.12),
        reasons: reasons.iter().map(|it| (*it).into()).collect(),
    };
    vec![
        check(TANDEM, Outcome::Pass, &[]),
        check(MIXED, Outcome::Fail, &["1 of 50 outside (15.00 s, 20.50 s], the furthest at 22.31 s"]),
    ]
}

fn random() -> Vec<Random> {
    let answer = |body: &str| Answer { status: 200, content_type: None, headers: BTreeMap::new(), body: body.into() };
    vec![Random {
        reference: NACOS.into(),
        target: TANDEM.into(),
        seed: 7,
        sequences: 25,
        operations: 987,
        planned: 1000,
        compared: 3_456,
        cut_short: 1,
        kept: BTreeMap::from([("B2".to_owned(), 12)]),
        differing: 1,
        differences: vec![RandomDifference {
            sequence: 3,
            steps: vec!["PUT /nacos/v1/ns/service?serviceName=<a>".into(), "GET /nacos/v1/ns/service".into()],
            reason: "body byte 2: `{}` ≠ `[]`".into(),
            expected: answer("{}"),
            observed: Some(answer("[]")),
            case_file: None,
        }],
        unrepeated: Vec::new(),
        errors: Vec::new(),
        duration_s: 12.5,
    }]
}

fn agreements() -> Vec<Agreement> {
    let pair = |change: &str, failures: &[&str]| PairCheck {
        change: change.into(),
        direction: "nacos→tandem".into(),
        held: 6,
        failed: failures.len() as u64,
        failures: failures.iter().map(|it| (*it).to_owned()).collect(),
    };
    let good = Agreement {
        target: TANDEM.into(),
        outcome: Outcome::Pass,
        seed: 42,
        planned: 1000,
        acknowledged: 1000,
        retried: 0,
        indefinite: 0,
        refused: 0,
        left_out: 0,
        deletions_refused: 10,
        services: 43,
        instances: 116,
        agreed_after_ms: Some(31.5),
        limit_ms: 10_000.0,
        watched_ms: 11_200.0,
        breaks: 0,
        differing: 0,
        differences: Vec::new(),
        members: Vec::new(),
        pairs: Vec::new(),
        notes: Vec::new(),
    };
    let bad = Agreement {
        target: MIXED.into(),
        outcome: Outcome::Fail,
        acknowledged: 990,
        indefinite: 2,
        left_out: 8,
        agreed_after_ms: None,
        watched_ms: 0.0,
        differing: 31,
        differences: vec!["weight stored: 1 at a; 2 at b".into(), HOSTILE.into()],
        members: vec!["a does not know the version of b".into()],
        pairs: vec![pair("registered", &[]), pair("expired", &["not right after 25 s"])],
        ..good.clone()
    };
    vec![good, bad]
}

/// The whole run.
pub(crate) fn sample() -> Results {
    Results {
        schema: SCHEMA.into(),
        run: Run {
            id: "2026-01-02T03-04-05Z-quick".into(),
            started_at: "2026-01-02T03:04:05Z".into(),
            duration_s: 431.7,
            profile: "quick".into(),
            seed: 42,
            command: "tandem compare --profile quick --seed 42 --target 3xtandem --target 3xnacos@1.4.1 --target \
                      2xnacos+tandem"
                .into(),
            version: "0.1.0".into(),
            git_commit: "0123abcd".into(),
            host: Host { cpu: "Example CPU".into(), cores: 2, memory_bytes: 24 << 30, kernel: "6.1.0".into() },
            load: MachineLoad {
                load_average_before: 0.2,
                load_average_after: 1.9,
                cpu_busy_share: 0.71,
                cpu_steal_share: 0.004,
                generator_lag_p99_ms: Some(0.8),
                generator_kept_up: true,
            },
        },
        targets: vec![
            target(TANDEM, &["tandem"; 3], &[94.0, 101.0, 97.0], &[14, 14, 15]),
            target(NACOS, &["nacos"; 3], &[12_400.0, 12_900.0, 12_100.0], &[571, 566, 580]),
            target(MIXED, &["nacos", "nacos", "tandem"], &[12_600.0], &[569, 575, 16]),
        ],
        conformance: Some(conformance()),
        measurements: measurements(),
        clients: clients(),
        random: random(),
        agreements: agreements(),
        windows: windows(),
        faults: faults(),
        ratios: ratios(),
        skipped: vec![
            Skipped { what: "push-latency".into(), reason: "not in the quick profile; run --profile standard".into() },
            Skipped { what: "config area".into(), reason: "needs MySQL: pass --mysql URL".into() },
        ],
    }
}
