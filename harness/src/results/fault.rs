//! Fault scenarios in the record: verdicts with their evidence, and what happened and was seen on one time axis.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Outcome;

/// One fault scenario at one target. (Filled by the fault engine.)
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Fault {
    /// The target as written on the command line.
    pub target: String,
    /// Name of the scenario.
    pub scenario: String,
    /// Issues of Nacos whose bug the scenario was written to find, by number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issues: Vec<u32>,
    /// The verdict.
    pub outcome: Outcome,
    /// Heal to agreement, ms.
    pub recovery_ms: Option<f64>,
    /// Heal to the end, ms, where there was no agreement until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unrecovered_ms: Option<f64>,
    /// Acknowledged writes that were lost.
    pub lost_acked: u64,
    /// Deregistered instances that came back.
    pub resurrected: u64,
    /// What was violated, in words.
    pub violations: Vec<String>,
    /// What happened when. All times of a scenario, of events and of samples, are on one axis that begins with it.
    pub timeline: Vec<TimelineEvent>,
    /// What clients and lookers-on saw meanwhile, interval by interval, in order; empty when nobody kept count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<TimelineSample>,
    /// What each check says, in the order of reports; empty when the scenario has a single verdict.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<FaultCheck>,
    /// What was measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub figures: Vec<FaultFigure>,
    /// The history that it was judged by, below the folder of the results; empty when none was kept.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub history: String,
}

/// That a scenario was written to find bugs of official Nacos and no target shows them: every one that it ran at is without
/// any violation.
pub fn unseen_bugs(faults: &[Fault], scenario: &str) -> Option<String> {
    let mut runs = faults.iter().filter(|it| it.scenario == scenario).peekable();
    let issues: Vec<_> = runs.peek()?.issues.iter().map(|it| format!("#{it}")).collect();
    let is_clean = |it: &Fault| it.outcome == Outcome::Pass && it.checks.iter().all(|it| it.outcome == Outcome::Pass);
    let says = || format!("written to find Nacos issues {}, which no target showed this time", issues.join(", "));
    (!issues.is_empty() && runs.all(is_clean)).then(says)
}

/// One property of a fault scenario at one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FaultCheck {
    /// `agreement`, `no-lost-instance`, `linearizable-writes`, …
    pub check: String,
    /// Whether the scenario demands it; if not, it is a measurement.
    pub is_demanded: bool,
    /// The verdict on it.
    pub outcome: Outcome,
    /// How many violations there were.
    pub count: u64,
    /// The first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<FaultViolation>,
    /// Why it could not be judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FaultViolation {
    /// The shortest explanation.
    pub says: String,
    /// The events that prove it.
    pub evidence: Vec<FaultEvidence>,
}

/// One event of the history that proves something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FaultEvidence {
    /// Line of the history, from 1.
    pub line: u64,
    /// Since the start of the scenario, ms.
    pub at_ms: f64,
    /// The event in words.
    pub what: String,
}

/// One distribution that was measured in a fault scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FaultFigure {
    /// The check it belongs to, if to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    /// What, e.g. `gone again`.
    pub what: String,
    /// Position of the node, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<u64>,
    /// `before`, `during`, `after` or `final`, if it is about one phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// `ms`, `%`, or `1` for a count.
    pub unit: String,
    /// How many values.
    pub samples: u64,
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Largest value.
    pub max: f64,
}

/// One event of a fault scenario: something that happened at a moment, or a fault that lasted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TimelineEvent {
    /// Since the start of the scenario, ms.
    pub at_ms: f64,
    /// What happened.
    pub event: String,
    /// For a fault that lasted, when it was over, since the start of the scenario, ms: it is drawn as a band. Absent for
    /// a moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<f64>,
}

/// One interval of a fault scenario. It lasts until the next one begins, the last one as long as the one before.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TimelineSample {
    /// Beginning of the interval since the start of the scenario, ms.
    pub at_ms: f64,
    /// Requests that were due in the interval.
    pub requests: u64,
    /// Those of them that the server asked first answered as it should. Their share is the availability; an interval
    /// without requests has none.
    pub answered: u64,
    /// Instances that had to be there and were not, on the node that lacked most, at the worst moment of the interval.
    /// Absent when no node could be looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bug_is_unseen_when_every_target_is_without_violation() {
        let check = |outcome| FaultCheck {
            check: "no-zombie".to_owned(),
            is_demanded: false,
            outcome,
            count: 0,
            violations: Vec::new(),
            unknown: Vec::new(),
        };
        let fault = |target: &str, outcome, checks| Fault {
            target: target.to_owned(),
            scenario: "drift".to_owned(),
            issues: vec![4829, 7734],
            outcome,
            recovery_ms: None,
            unrecovered_ms: None,
            lost_acked: 0,
            resurrected: 0,
            violations: Vec::new(),
            timeline: Vec::new(),
            samples: Vec::new(),
            checks,
            figures: Vec::new(),
            history: String::new(),
        };
        let of = |outcome, checks| {
            let faults = [fault("a", Outcome::Pass, Vec::new()), fault("b", outcome, checks)];
            unseen_bugs(&faults, "drift")
        };
        let says = of(Outcome::Pass, vec![check(Outcome::Pass)]);
        assert!(says.is_some_and(|it| it.contains("#4829, #7734")));
        assert!(of(Outcome::Fail, Vec::new()).is_none());
        assert!(of(Outcome::Pass, vec![check(Outcome::Fail)]).is_none(), "also what is not demanded");
        assert!(of(Outcome::Error, Vec::new()).is_none(), "nobody can say");
        assert!(unseen_bugs(&[], "drift").is_none());
    }
}
