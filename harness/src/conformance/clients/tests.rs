//! Verdicts on made-up reports, and what holds the sources together.

use serde_json::json;

use super::judge::{Acks, Ran, Unable, Visit, judge};
use super::pairs::{Pair, pairs};
use super::script::{STEPS, lines};
use super::sdk::{ALL, Sdk};
use crate::results::{CaseResult, Outcome};
use crate::target::{Node, NodeKind};

/// What a program prints that finds everything in order, told by push.
fn good() -> String {
    let line = |name: &str| {
        let mut line = json!({"step": name, "ok": true, "at_ms": 1, "saw": [{"port": 7001, "weight": 2.0}]});
        if ["appear", "updated", "gone"].contains(&name) {
            line["way"] = json!("push");
            line["after_ms"] = json!(5);
        }
        line.to_string()
    };
    STEPS.iter().map(|step| line(step.name)).collect::<Vec<_>>().join("\n")
}

fn visit(target: &str, printed: &str) -> Visit {
    Visit {
        sdk: Sdk::Java,
        runtime: "java 17".to_owned(),
        target: target.to_owned(),
        is_reference: target.starts_with("nacos"),
        pair: Pair { write: 0, subscribe: 0, suffix: String::new(), direction: None },
        ran: Ok(Ran { lines: lines(printed), ..Ran::default() }),
        control: Ok(()),
        acks: Ok(Acks { sent: 3, acknowledged: 3 }),
        left: Ok(Vec::new()),
    }
}

fn step(visits: &[Visit], target: &str, name: &str) -> CaseResult {
    let id = format!("java.{name}");
    let found = judge(visits).0.into_iter().find(|case| case.target == target && case.id == id);
    found.expect("a verdict")
}

#[test]
fn everything_in_order_passes_every_step() {
    let (cases, runs) = judge(&[visit("tandem", &good())]);
    assert_eq!(cases.len(), 19);
    assert!(cases.iter().all(|case| case.outcome == Outcome::Pass && case.reason.is_empty()), "{cases:?}");
    assert_eq!(runs[0].steps[3].way.as_deref(), Some("push"));
}

#[test]
fn what_real_nacos_showed_is_what_counts() {
    let other = good().replace("2.0", "2.5");
    let found = step(&[visit("tandem", &other), visit("nacos@1.4.1", &good())], "tandem", "list");
    assert_eq!(found.outcome, Outcome::Fail);
    assert_eq!(found.reason, "on real Nacos [0].weight is 2.0, here 2.5");
    assert_eq!(step(&[visit("tandem", &other)], "tandem", "list").outcome, Outcome::Pass, "without a reference");
    // A step that real Nacos does not pass is held to what was seen there.
    let fails = |printed: &str| {
        let mut lines = lines(printed);
        lines.iter_mut().filter(|line| line.step == "list").for_each(|line| line.ok = false);
        let mut visit = visit("nacos@1.4.1", "");
        visit.ran = Ok(Ran { lines, ..Ran::default() });
        visit
    };
    let both = |target: &str| {
        let mut subject = fails(&good());
        (subject.target, subject.is_reference) = (target.to_owned(), false);
        subject
    };
    let with = [both("tandem"), fails(&good())];
    assert_eq!(step(&with, "tandem", "list").outcome, Outcome::Pass);
    assert_eq!(step(&with, "nacos@1.4.1", "list").outcome, Outcome::Fail);
}

#[test]
fn staying_proves_nothing_when_instances_stay_anyway() {
    let mut kept = visit("tandem", &good());
    kept.control = Err("it was still there".to_owned());
    let found = step(&[kept], "tandem", "beats");
    assert_eq!(found.outcome, Outcome::Error);
    assert!(found.reason.contains("without heartbeats was not removed"), "{}", found.reason);
}

#[test]
fn pushes_must_come_and_be_acknowledged() {
    let polled = visit("tandem", &good().replace(r#""way":"push""#, r#""way":"poll""#));
    assert_eq!(step(&[polled], "tandem", "push").outcome, Outcome::Fail);
    for (sent, acknowledged) in [(0, 0), (4, 3)] {
        let mut visit = visit("tandem", &good());
        visit.acks = Ok(Acks { sent, acknowledged });
        assert_eq!(step(&[visit], "tandem", "acks").outcome, Outcome::Fail, "{acknowledged} of {sent}");
    }
    let mut left = visit("tandem", &good());
    left.left = Ok(vec!["1 at 127.0.0.1:8848".to_owned()]);
    assert_eq!(step(&[left], "tandem", "nothing-left").reason, "instances are left: 1 at 127.0.0.1:8848");
}

#[test]
fn what_was_not_reached_is_never_passed() {
    let printed: String = good().lines().take(2).collect::<Vec<_>>().join("\n");
    let mut broken = visit("tandem", &printed);
    broken.ran =
        Ok(Ran { lines: lines(&printed), end: Some("signal: 9".to_owned()), said: "out of memory".to_owned() });
    let found = step(&[broken.clone()], "tandem", "register");
    assert_eq!(found.outcome, Outcome::Error);
    assert_eq!(found.reason, "not reached: the program ended after `subscribe` (signal: 9): out of memory");
    broken.ran = Err(Unable { outcome: Outcome::Skip, reason: "`javac` not found".to_owned() });
    let (cases, _) = judge(&[broken]);
    assert!(cases.iter().all(|case| case.outcome == Outcome::Skip && case.reason == "`javac` not found"));
}

#[test]
fn a_step_without_a_call_is_a_skip_with_its_reason() {
    let printed = format!("{}\n", r#"{"step":"services","skip":"this SDK has no such call"}"#);
    let found = step(&[visit("tandem", &printed)], "tandem", "services");
    assert_eq!((found.outcome, found.reason.as_str()), (Outcome::Skip, "this SDK has no such call"));
}

fn node(kind: NodeKind) -> Node {
    Node {
        kind,
        version: String::new(),
        launch: String::new(),
        artifact: String::new(),
        address: String::new(),
        context_path: "/nacos".to_owned(),
        pid: None,
        logs: None,
    }
}

#[test]
fn a_subscriber_is_at_another_node_wherever_there_is_one() {
    use NodeKind::{Nacos, Tandem};
    let of = |kinds: &[NodeKind]| {
        let nodes: Vec<Node> = kinds.iter().map(|kind| node(*kind)).collect();
        pairs(&nodes).into_iter().map(|it| (it.write, it.subscribe, it.suffix)).collect::<Vec<_>>()
    };
    assert_eq!(of(&[Tandem]), [(0, 0, String::new())]);
    assert_eq!(of(&[Tandem; 3]), [(0, 1, "@cluster".to_owned())]);
    let mixed = [(0, 2, "@nacos-tandem".to_owned()), (2, 0, "@tandem-nacos".to_owned())];
    assert_eq!(of(&[Nacos, Nacos, Tandem]), mixed);
}

#[test]
fn programs_report_every_step_and_pin_what_they_name() {
    for sdk in ALL {
        let text: String = sdk.sources().iter().map(|(_, text)| *text).collect();
        for step in STEPS {
            assert!(
                text.contains(&format!("\"{}\"", step.name)) || text.contains(&format!("'{}'", step.name)),
                "{sdk} does not report {}",
                step.name
            );
        }
        let (_, version) = sdk.package().rsplit_once(' ').expect("a version");
        assert!(text.contains(version), "{sdk} does not pin {version}");
        assert!(!text.contains("\"resolved\""), "{sdk} names a registry");
    }
}
