//! What a run must show, as data: thresholds on measurements, ratios and conformance, for use as a gate.
//!
//! An expectation that cannot be judged (the figure is not in the run) is **unknown** and never counts as held: a gate
//! that passes because nothing was measured is no gate.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::conformance::difference::is_known;
use crate::results::{Agreement, CaseResult, Outcome, Results};
use crate::spelling;

/// A file of expectations.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectations {
    /// All of them.
    pub expect: Vec<Expectation>,
}

/// One expectation.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// The sentence a reader sees.
    pub what: String,
    /// Where the figure stands in the results.
    #[serde(flatten)]
    pub figure: Figure,
    /// Largest value that holds.
    pub at_most: Option<f64>,
    /// Smallest value that holds.
    pub at_least: Option<f64>,
}

/// Where a figure stands in the results.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Figure {
    /// A statistic of one measurement.
    Measurement {
        /// Target as written on the command line.
        target: String,
        /// Experiment name.
        experiment: String,
        /// Part of the variant that must match; when empty, the row without a variant.
        #[serde(default)]
        variant: BTreeMap<String, String>,
        /// `p50`, `p90`, `p99`, `p999`, `max`, `mean` or `samples`.
        stat: String,
    },
    /// One target over another, in this run.
    Ratio {
        /// Experiment name.
        experiment: String,
        /// Part of the variant that must match; when empty, the row without a variant.
        #[serde(default)]
        variant: BTreeMap<String, String>,
        /// Statistic compared.
        stat: String,
        /// Target above the line.
        numerator: String,
        /// Target below the line.
        denominator: String,
    },
    /// Whether the nodes of a target held the same after random operations: how many things were wrong, over all
    /// verdicts (differences, broken agreements, member lists, changes that did not come through along a pair). A
    /// target whose agreement was not judged has no figure.
    Agreement {
        /// Target as written on the command line.
        target: String,
    },
    /// How many cases neither passed nor differ on purpose as said, nor are known shortcomings.
    Unexplained {
        /// Target as written in the conformance cases.
        target: String,
        /// Areas; all when empty.
        #[serde(default)]
        areas: Vec<String>,
        /// Only cases with this tag; all when absent.
        tag: Option<String>,
    },
    /// Share of cases that passed, of those that could be judged or should have been (0 to 1). Kept differences are no
    /// passes.
    Conformance {
        /// Target as written in the conformance cases.
        target: String,
        /// Areas; all when empty.
        #[serde(default)]
        areas: Vec<String>,
        /// Only cases with this tag; all when absent.
        tag: Option<String>,
    },
}

/// The verdict on one expectation.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Its sentence.
    pub what: String,
    /// The figure, if the run holds it.
    pub value: Option<f64>,
    /// What was asked, in words.
    pub bound: String,
    /// Held; `None` is unknown.
    pub held: Option<bool>,
    /// Why the run does not hold the figure, as far as one can tell; else empty.
    pub missing: String,
}

impl Expectations {
    /// Reads a TOML file.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read expectations {}", path.display()))?;
        check_keys(&text).with_context(|| format!("{} is not a file of expectations", path.display()))?;
        let all: Expectations = toml::from_str(&text)
            .map_err(spelling::with_hint)
            .with_context(|| format!("{} is not a file of expectations", path.display()))?;
        for one in &all.expect {
            if one.at_most.is_none() && one.at_least.is_none() {
                bail!("{}: \"{}\" has neither at_most nor at_least", path.display(), one.what);
            }
        }
        Ok(all)
    }

    /// Judges a run.
    pub fn judge(&self, results: &Results) -> Vec<Judged> {
        self.expect.iter().map(|one| one.judge(results)).collect()
    }
}

/// The keys of an expectation. A flattened struct lets unknown ones pass, and a misspelt bound would bind nothing.
fn check_keys(text: &str) -> anyhow::Result<()> {
    const KEYS: [&str; 8] =
        ["what", "at_most", "at_least", "measurement", "ratio", "agreement", "conformance", "unexplained"];
    let table: toml::Table = toml::from_str(text)?;
    let all = table.get("expect").and_then(toml::Value::as_array);
    for key in all.into_iter().flatten().filter_map(toml::Value::as_table).flat_map(toml::Table::keys) {
        if !KEYS.contains(&key.as_str()) {
            bail!("{key:?} is no key of an expectation{}", spelling::hint(key, KEYS));
        }
    }
    Ok(())
}

impl Expectation {
    fn judge(&self, results: &Results) -> Judged {
        let value = self.figure.value(results).filter(|value| value.is_finite());
        let held = value.map(|value| {
            self.at_most.is_none_or(|most| value <= most) && self.at_least.is_none_or(|least| value >= least)
        });
        let bound = [
            self.at_most.map(|most| format!("at most {most}")),
            self.at_least.map(|least| format!("at least {least}")),
        ];
        let bound = bound.into_iter().flatten().collect::<Vec<_>>().join(", ");
        let missing = if value.is_some() { String::new() } else { self.figure.missing(results) };
        Judged { what: self.what.clone(), value, bound, held, missing }
    }
}

impl Figure {
    /// Which name of the figure the run does not know, and the nearest it does.
    fn missing(&self, results: &Results) -> String {
        let unknown = |what: &str, wanted: &str, known: BTreeSet<&str>| {
            let absent = !known.is_empty() && !known.contains(wanted);
            absent.then(|| format!("no {what} {wanted:?} in this run{}", spelling::hint(wanted, known)))
        };
        let experiments = || results.measurements.iter().map(|it| it.experiment.as_str()).collect();
        let measured = || results.measurements.iter().map(|it| it.target.as_str()).collect();
        let judged = || results.conformance.iter().flat_map(|it| &it.cases);
        let found = match self {
            Figure::Measurement { target, experiment, .. } => {
                unknown("experiment", experiment, experiments()).or_else(|| unknown("target", target, measured()))
            }
            Figure::Ratio { experiment, numerator, denominator, .. } => {
                unknown("experiment", experiment, experiments())
                    .or_else(|| unknown("target", numerator, measured()))
                    .or_else(|| unknown("target", denominator, measured()))
            }
            Figure::Agreement { target } => {
                unknown("target", target, results.agreements.iter().map(|it| it.target.as_str()).collect())
            }
            Figure::Conformance { target, areas, .. } | Figure::Unexplained { target, areas, .. } => {
                unknown("target", target, judged().map(|it| it.target.as_str()).collect()).or_else(|| {
                    let known: BTreeSet<&str> = judged().map(|it| it.area.as_str()).collect();
                    areas.iter().find_map(|area| unknown("area", area, known.clone()))
                })
            }
        };
        found.unwrap_or_default()
    }

    fn value(&self, results: &Results) -> Option<f64> {
        match self {
            Figure::Measurement { target, experiment, variant, stat } => {
                let row = results.measurements.iter().find(|row| {
                    row.target == *target && row.experiment == *experiment && contains(&row.variant, variant)
                })?;
                if row.samples == 0 && stat != "samples" {
                    return None;
                }
                Some(match stat.as_str() {
                    "p50" => row.p50,
                    "p90" => row.p90,
                    "p99" => row.p99,
                    "p999" => row.p999,
                    "max" => row.max,
                    "mean" => row.mean,
                    "samples" => row.samples as f64,
                    _ => return None,
                })
            }
            Figure::Ratio { experiment, variant, stat, numerator, denominator } => results
                .ratios
                .iter()
                .find(|ratio| {
                    ratio.experiment == *experiment
                        && ratio.stat == *stat
                        && ratio.numerator == *numerator
                        && ratio.denominator == *denominator
                        && contains(&ratio.variant, variant)
                })
                .map(|ratio| ratio.value),
            Figure::Agreement { target } => {
                let all: Vec<_> = results.agreements.iter().filter(|it| it.target == *target).collect();
                let judged = !all.is_empty() && all.iter().all(|it| it.outcome != Outcome::Error);
                judged.then(|| all.iter().map(|it| disagreements(it) as f64).sum())
            }
            Figure::Conformance { target, areas, tag } => {
                let (passed, all) = tried(results, target, areas, tag.as_deref())
                    .fold((0u32, 0u32), |(passed, all), case| {
                        (passed + u32::from(case.outcome == Outcome::Pass), all + 1)
                    });
                (all > 0).then(|| f64::from(passed) / f64::from(all))
            }
            Figure::Unexplained { target, areas, tag } => {
                let mut all = tried(results, target, areas, tag.as_deref()).peekable();
                // Where nothing was judged, nothing is explained either.
                all.peek()?;
                let unexplained =
                    all.filter(|case| matches!(case.outcome, Outcome::Fail | Outcome::Error) && !is_known(case));
                Some(unexplained.count() as f64)
            }
        }
    }
}

/// The cases of a target that were tried, by area and tag.
fn tried<'a>(
    results: &'a Results,
    target: &'a str,
    areas: &'a [String],
    tag: Option<&'a str>,
) -> impl Iterator<Item = &'a CaseResult> {
    results.conformance.iter().flat_map(|all| &all.cases).filter(move |case| {
        case.target == target
            && (areas.is_empty() || areas.contains(&case.area))
            && tag.is_none_or(|tag| case.tags.iter().any(|it| it == tag))
            && case.outcome != Outcome::Skip
    })
}

/// How many things were wrong.
fn disagreements(it: &Agreement) -> u64 {
    let late = it.agreed_after_ms.is_none_or(|ms| ms > it.limit_ms);
    let pairs: u64 = it.pairs.iter().map(|it| it.failed).sum();
    u64::from(late) + it.differing.max(it.breaks) + it.members.len() as u64 + pairs
}

/// Whether a row is the one meant: with the wanted parts, or, when nothing is wanted, the row without a variant, which
/// is the one about the whole target.
fn contains(row: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    if wanted.is_empty() {
        return row.is_empty();
    }
    wanted.iter().all(|(key, value)| row.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Expectations {
        toml::from_str(text).expect("valid expectations")
    }

    fn run() -> Results {
        serde_json::from_value(serde_json::json!({
            "schema": crate::results::SCHEMA,
            "run": {"id": "r", "started_at": "", "duration_s": 1.0, "profile": "quick", "seed": 1, "command": "",
                "version": "", "git_commit": "", "host": {"cpu": "", "cores": 2, "memory_bytes": 1, "kernel": ""},
                "load": {"load_average_before": 0.0, "load_average_after": 0.0, "cpu_busy_share": 0.0,
                    "cpu_steal_share": 0.0, "generator_lag_p99_ms": null, "generator_kept_up": true}},
            "targets": [],
            "ratios": [{"experiment": "sync-latency", "stat": "p50", "numerator": "a", "denominator": "b",
                "value": 0.005, "low": 0.004, "high": 0.006}],
        }))
        .expect("a minimal run")
    }

    #[test]
    fn a_ratio_within_its_bound_holds_and_one_beyond_does_not() {
        let text = |most| {
            format!(
                "[[expect]]\nwhat = \"sync\"\nat_most = {most}\nratio = {{ experiment = \"sync-latency\", \
                 stat = \"p50\", numerator = \"a\", denominator = \"b\" }}"
            )
        };
        assert_eq!(parse(&text(0.01)).judge(&run())[0].held, Some(true));
        assert_eq!(parse(&text(0.001)).judge(&run())[0].held, Some(false));
    }

    #[test]
    fn nodes_that_agree_hold_and_nodes_that_do_not_or_were_not_judged_do_not() {
        let gate = parse("[[expect]]\nwhat = \"agree\"\nat_most = 0\nagreement = { target = \"a\" }");
        let with = |outcome: &str, after: Option<f64>, breaks: u64| {
            let agreement = serde_json::from_value(serde_json::json!({
                "target": "a", "outcome": outcome, "seed": 1, "planned": 1, "acknowledged": 1, "retried": 0,
                "indefinite": 0, "refused": 0, "left_out": 0, "deletions_refused": 0, "services": 1, "instances": 1,
                "agreed_after_ms": after, "limit_ms": 10_000.0, "watched_ms": 0.0, "breaks": breaks, "differing": 0,
            }));
            Results { agreements: vec![agreement.expect("a verdict")], ..run() }
        };
        assert_eq!(gate.judge(&with("pass", Some(2000.0), 0))[0].held, Some(true));
        assert_eq!(gate.judge(&with("fail", Some(12_000.0), 0))[0].held, Some(false));
        assert_eq!(gate.judge(&with("fail", None, 0))[0].held, Some(false));
        assert_eq!(gate.judge(&with("fail", Some(1.0), 1))[0].held, Some(false));
        assert_eq!(gate.judge(&with("error", Some(1.0), 0))[0].held, None);
        assert_eq!(gate.judge(&run())[0].held, None);
    }

    #[test]
    fn the_committed_expectations_can_be_read() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../compat/expectations.toml");
        let all = Expectations::load(&path).expect("compat/expectations.toml");
        assert!(all.judge(&run()).iter().all(|judged| judged.held.is_none()), "a minimal run shows none of them");
    }

    #[test]
    fn a_slip_in_a_name_is_told_from_what_was_not_measured() {
        let results = crate::report::tests::fixture::sample();
        let one = |figure: &str| {
            let text = format!("[[expect]]\nwhat = \"w\"\nat_most = 1.0\n{figure}");
            parse(&text).judge(&results).remove(0)
        };
        let slip = one("measurement = { target = \"3xtandem\", experiment = \"sync-latancy\", stat = \"p50\" }");
        assert_eq!(slip.missing, "no experiment \"sync-latancy\" in this run; did you mean \"sync-latency\"?");
        let slip = one("conformance = { target = \"3xtandem\", areas = [\"instnce\"] }");
        assert_eq!(slip.missing, "no area \"instnce\" in this run; did you mean \"instance\"?");
        let other = one("measurement = { target = \"etcd\", experiment = \"sync-latency\", stat = \"p50\" }");
        assert_eq!(other.missing, "no target \"etcd\" in this run");
        assert_eq!((slip.held, other.held), (None, None));
    }

    #[test]
    fn a_slip_in_a_key_names_the_right_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("e.toml");
        for (slip, right) in [
            ("at_mst = 1.0\nat_least = 0.0\nconformance = { target = \"t\" }", "at_most"),
            ("at_most = 1.0\nconformance = { target = \"t\", arreas = [] }", "areas"),
            ("at_most = 1.0\nmeasurment = { target = \"t\", experiment = \"e\", stat = \"p50\" }", "measurement"),
        ] {
            std::fs::write(&path, format!("[[expect]]\nwhat = \"w\"\n{slip}")).expect("written");
            let error = format!("{:#}", Expectations::load(&path).expect_err("a slip"));
            assert!(error.ends_with(&format!("did you mean \"{right}\"?")), "{error}");
        }
    }

    #[test]
    fn a_kept_difference_is_explained_and_no_pass() {
        let cases = |outcomes: &[(&str, &[&str])]| {
            let cases: Vec<serde_json::Value> = outcomes
                .iter()
                .map(|(outcome, tags)| {
                    serde_json::json!({"id": "A", "area": "a", "endpoint": "GET /", "target": "t", "outcome": outcome,
                        "tags": tags, "request": ""})
                })
                .collect();
            let conformance = serde_json::json!({"reference": "r", "cases": cases, "summary": {}});
            Results { conformance: Some(serde_json::from_value(conformance).expect("cases")), ..run() }
        };
        let gate = parse(
            "[[expect]]\nwhat = \"open\"\nat_most = 0\nunexplained = { target = \"t\" }\n\
             [[expect]]\nwhat = \"all\"\nat_least = 1.0\nconformance = { target = \"t\" }",
        );
        let held = |run: &Results| gate.judge(run).iter().map(|it| it.held).collect::<Vec<_>>();
        let explained: &[(&str, &[&str])] = &[("pass", &[]), ("kept", &[]), ("fail", &["known-difference"])];
        assert_eq!(held(&cases(explained)), [Some(true), Some(false)]);
        assert_eq!(held(&cases(&[("error", &["known-difference"])])), [Some(false), Some(false)]);
        assert_eq!(held(&cases(&[("fail", &[]), ("pass", &[])])), [Some(false), Some(false)]);
        assert_eq!(held(&cases(&[("skip", &[])])), [None, None]);
    }

    #[test]
    fn what_was_not_measured_is_unknown() {
        let all = parse(
            "[[expect]]\nwhat = \"areas\"\nat_least = 0.9\nconformance = { target = \"tandem\" }\n\
             [[expect]]\nwhat = \"sync\"\nat_most = 1.0\n\
             measurement = { target = \"a\", experiment = \"sync-latency\", stat = \"p99\" }",
        );
        assert!(all.judge(&run()).iter().all(|judged| judged.held.is_none()));
    }
}
