//! A judgement beside what the target is held to: the scenario may excuse targets of a shape from a check, with its
//! reason. What is excused is shown all the same.

use std::fmt;

use anyhow::{Context as _, Result};

use super::history::Event;
use super::judge::{Finding, Judgement, Verdict, judge};
use super::scenario::{Scenario, Shape};
use crate::results::{Fault, Outcome};

/// A run of a scenario, judged.
#[derive(Debug, Clone)]
pub struct Judged {
    /// What the history says.
    pub judgement: Judgement,
    /// What the target is made of.
    pub shape: Shape,
    /// Checks that it is not held to, with the reasons.
    pub excused: Vec<(String, String)>,
    /// The history.
    pub events: Vec<Event>,
}

impl Judged {
    /// Judges a run of `scenario` at a target of this shape.
    ///
    /// # Errors
    /// When the history has no beginning.
    pub fn of(scenario: &Scenario, shape: Shape, events: Vec<Event>) -> Result<Self> {
        let judgement = judge(&events).context("the history has no beginning")?;
        let excused = scenario.hold.excuses.iter().filter(|it| it.shape == shape);
        let excused = excused.map(|it| (it.check.clone(), it.reason.clone())).collect();
        Ok(Self { judgement, shape, excused, events })
    }

    /// Whether it is shown beside the others and held to nothing.
    pub fn is_shown_only(&self) -> bool {
        self.shape == Shape::Nacos
    }

    /// Why the target is not held to what a finding says, if it is not. What began at a Tandem node is never excused.
    fn excuse(&self, finding: &Finding) -> Option<&str> {
        if finding.of_tandem > 0 {
            return None;
        }
        self.excused.iter().find(|it| it.0 == finding.check.name()).map(|it| it.1.as_str())
    }

    /// The verdict on what the target is held to.
    pub fn verdict(&self) -> Verdict {
        if !self.judgement.unready.is_empty() {
            return Verdict::Unknown;
        }
        let demanded = self.judgement.findings.iter().filter(|it| it.is_demanded);
        let counting: Vec<_> = demanded.filter(|it| self.excuse(it).is_none()).map(|it| it.verdict).collect();
        // Nothing was judged, or everything was excused: that is no pass.
        counting.into_iter().max().unwrap_or(Verdict::Unknown)
    }

    /// Whether everything held; what could not be judged did not.
    pub fn held(&self) -> bool {
        self.verdict() == Verdict::Pass
    }

    /// The scenario for the record; `history` is the file it was judged by.
    pub fn fault(&self, history: &str) -> Fault {
        let mut fault = self.judgement.fault(history);
        fault.outcome = match self.verdict() {
            Verdict::Pass => Outcome::Pass,
            Verdict::Fail => Outcome::Fail,
            Verdict::Unknown => Outcome::Error,
        };
        for violation in &mut fault.violations {
            let mut findings = self.judgement.findings.iter();
            let finding = findings.find(|it| violation.starts_with(&format!("{}: ", it.check.name())));
            if let Some(reason) = finding.and_then(|it| self.excuse(it)) {
                violation.push_str(&format!(" [not held to it: {reason}]"));
            }
        }
        fault
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = &self.judgement.header;
        let verdict = match (self.is_shown_only(), self.verdict()) {
            (true, Verdict::Pass) => "shown, pass",
            (true, Verdict::Fail) => "shown, fail",
            (true, Verdict::Unknown) => "shown, unknown",
            (false, Verdict::Pass) => "pass",
            (false, Verdict::Fail) => "FAIL",
            (false, Verdict::Unknown) => "UNKNOWN",
        };
        write!(f, "{verdict}: {} at {}", header.scenario, header.target)?;
        if let Some(recovery) = self.judgement.recovery_us() {
            write!(f, ", all agree {:.0} ms after the heal", recovery as f64 / 1000.0)?;
        }
        for why in &self.judgement.unready {
            write!(f, "\n  unknown: {why}")?;
        }
        for finding in self.judgement.findings.iter().filter(|it| it.is_demanded) {
            let Some(says) = finding.says() else { continue };
            let excused = if self.excuse(finding).is_some() { " (not held to it)" } else { "" };
            write!(f, "\n  {}{excused}: {says}", finding.check.name())?;
        }
        Ok(())
    }
}
