//! A judgement as a fault scenario of the record.

use super::super::history::Us;
use super::finding::{Check, Figure, Finding, Verdict, ms};
use super::story::phase_name;
use super::{Judgement, agreement};
use crate::results::{Fault, FaultCheck, FaultEvidence, FaultFigure, FaultViolation, Outcome};

impl Judgement {
    /// How long after the heal the last node agreed; nothing when one did not, or nobody saw.
    pub fn recovery_us(&self) -> Option<Us> {
        let agreed = self.finding(Check::Agreement)?.figures.iter().filter(|it| it.what == agreement::AGREED);
        (agreed.count() == self.header.nodes.len()).then(|| self.longest(agreement::AGREED)).flatten()
    }

    /// How long after the heal not all had agreed yet, where they should have and never did.
    pub fn unrecovered_us(&self) -> Option<Us> {
        self.finding(Check::Agreement).filter(|it| it.is_demanded)?;
        self.longest(agreement::WATCHED)
    }

    fn longest(&self, what: &str) -> Option<Us> {
        let figures = self.finding(Check::Agreement)?.figures.iter().filter(|it| it.what == what);
        figures.flat_map(|it| &it.values).map(|it| (it * 1000.0) as Us).max()
    }

    /// The scenario for the record; `history` is the file it was judged by, below the folder of the results.
    pub fn fault(&self, history: &str) -> Fault {
        let count = |check| self.finding(check).map_or(0, |it| it.count);
        let demanded = self.findings.iter().filter(|it| it.is_demanded);
        let wrong = demanded.filter_map(|it| Some(format!("{}: {}", it.check.name(), it.says()?)));
        let of_checks = self.findings.iter().flat_map(|it| it.figures.iter().map(|figure| (Some(it.check), figure)));
        let figures = of_checks.chain(self.figures.iter().map(|it| (None, it)));
        Fault {
            target: self.header.target.clone(),
            scenario: self.header.scenario.clone(),
            issues: Vec::new(),
            outcome: outcome(self.verdict),
            recovery_ms: self.recovery_us().map(ms),
            unrecovered_ms: self.unrecovered_us().map(ms),
            lost_acked: count(Check::NoLostInstance) + count(Check::NoLostWrite),
            resurrected: count(Check::NoResurrection),
            violations: self.unready.iter().cloned().chain(wrong).collect(),
            timeline: self.timeline.clone(),
            samples: self.samples.clone(),
            checks: self.findings.iter().map(check).collect(),
            figures: figures.filter_map(|(check, it)| figure(check, it)).collect(),
            history: history.to_owned(),
        }
    }
}

fn outcome(verdict: Verdict) -> Outcome {
    match verdict {
        Verdict::Pass => Outcome::Pass,
        Verdict::Fail => Outcome::Fail,
        Verdict::Unknown => Outcome::Error,
    }
}

fn check(finding: &Finding) -> FaultCheck {
    let violation = |it: &super::Violation| FaultViolation {
        says: it.says.clone(),
        evidence: it
            .evidence
            .iter()
            .map(|it| FaultEvidence { line: it.line as u64, at_ms: ms(it.at), what: it.what.clone() })
            .collect(),
    };
    FaultCheck {
        check: finding.check.name().to_owned(),
        is_demanded: finding.is_demanded,
        outcome: outcome(finding.verdict),
        count: finding.count,
        violations: finding.violations.iter().map(violation).collect(),
        unknown: finding.unknown.clone(),
    }
}

fn figure(check: Option<Check>, figure: &Figure) -> Option<FaultFigure> {
    let [p50, p99, max] = figure.quantiles()?;
    Some(FaultFigure {
        check: check.map(|it| it.name().to_owned()),
        what: figure.what.clone(),
        node: figure.node.map(|it| it as u64),
        phase: figure.phase.map(|it| phase_name(it).to_owned()),
        unit: figure.unit.to_owned(),
        samples: figure.values.len() as u64,
        p50,
        p99,
        max,
    })
}
