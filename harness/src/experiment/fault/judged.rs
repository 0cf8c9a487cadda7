//! A judgement beside what the target is held to. A mixed cluster is not held to what official members are known to do,
//! unless it began at a Tandem node; that is shown all the same.

use std::fmt;

use anyhow::{Context as _, Result};

use super::history::Event;
use super::judge::{Check, Finding, Judgement, Verdict, judge};
use super::scenario::Shape;
use crate::results::{Fault, Outcome};

/// A run of a scenario, judged.
#[derive(Debug, Clone)]
pub struct Judged {
    /// What the history says.
    pub judgement: Judgement,
    /// What the target is made of.
    pub shape: Shape,
    /// The history.
    pub events: Vec<Event>,
    /// Issues of Nacos the scenario is about, by number.
    pub issues: Vec<u32>,
}

impl Judged {
    /// Judges a run at a target of this shape.
    ///
    /// # Errors
    /// When the history has no beginning.
    pub fn of(shape: Shape, events: Vec<Event>) -> Result<Self> {
        let judgement = judge(&events).context("the history has no beginning")?;
        Ok(Self { judgement, shape, events, issues: Vec::new() })
    }

    /// Whether it is shown beside the others and held to nothing: official nodes alone, and a mixed cluster of which
    /// official nodes did all that the scenario is about.
    pub fn is_shown_only(&self) -> bool {
        self.shape == Shape::Nacos || self.judgement.unready.is_empty() && self.counting().next().is_none()
    }

    fn demanded(&self) -> impl Iterator<Item = &Finding> {
        self.judgement.findings.iter().filter(|it| it.is_demanded)
    }

    /// What the target is held to.
    fn counting(&self) -> impl Iterator<Item = &Finding> {
        self.demanded().filter(|it| self.excuse(it).is_none())
    }

    /// Why the target is not held to what a finding says, if it is not.
    fn excuse(&self, finding: &Finding) -> Option<&'static str> {
        if self.shape != Shape::Mixed || finding.verdict == Verdict::Pass || finding.of_tandem > 0 {
            return None;
        }
        if finding.is_but_silence() {
            return Some("an official member gives no answer, and what the others show is as it should be");
        }
        official_flaw(finding.check)
    }

    /// The verdict on what the target is held to, or on everything where that is nothing.
    pub fn verdict(&self) -> Verdict {
        if !self.judgement.unready.is_empty() {
            return Verdict::Unknown;
        }
        let worst = self.counting().map(|it| it.verdict).max();
        // Nothing was judged: that is no pass.
        worst.or_else(|| self.demanded().map(|it| it.verdict).max()).unwrap_or(Verdict::Unknown)
    }

    /// Whether everything held; what could not be judged did not.
    pub fn held(&self) -> bool {
        self.verdict() == Verdict::Pass
    }

    /// The scenario for the record; `history` is the file it was judged by.
    pub fn fault(&self, history: &str) -> Fault {
        let mut fault = self.judgement.fault(history);
        fault.issues.clone_from(&self.issues);
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

/// What official members do against a check, each for itself and all Tandem nodes as it should be.
fn official_flaw(check: Check) -> Option<&'static str> {
    match check {
        Check::NoResurrection => {
            Some("official members take the list that arrives last for the newest (distro.md §9.5)")
        }
        Check::NoEmptiedService => Some(
            "official members remove what looks stale when responsibility moves (distro.md §9.2), and push it to all",
        ),
        Check::NoZombie => Some(
            "official members count silence anew when responsibility moves, and by a clock that may jump (distro.md §9.2)",
        ),
        Check::SyncLatency => Some("official members wait for a silent peer without a limit, two at a time (#7151)"),
        Check::NoLostWrite | Check::LinearizableWrites => {
            Some("official members answer ok to what they did not commit (jraft.md §8)")
        }
        Check::Agreement | Check::NoLostInstance | Check::Availability | Check::LinearizableReads => None,
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
        if let Some(watched) = self.judgement.unrecovered_us() {
            write!(f, ", not all agree {:.0} s after the heal", watched as f64 / 1e6)?;
        }
        for why in &self.judgement.unready {
            write!(f, "\n  unknown: {why}")?;
        }
        for finding in self.demanded() {
            let Some(says) = finding.says() else { continue };
            let excused = if self.excuse(finding).is_some() { " (not held to it)" } else { "" };
            write!(f, "\n  {}{excused}: {says}", finding.check.name())?;
        }
        Ok(())
    }
}
