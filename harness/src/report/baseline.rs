//! This run against an earlier one.
//!
//! Times of different runs are never compared: the machine was not the same twice. Ratios of two targets within one
//! run are, and only between runs that asked the same of the same machine. API cases need no same machine.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::figures::{self, Group, Standing, variant_words};
use super::format;
use super::score;
use crate::results::{CaseResult, Outcome, Results};

/// Why two runs cannot be compared, in one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the runs are not comparable: {0}")]
pub struct Unaligned(String);

/// A case whose outcome differs between two runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaseChange {
    /// Stable id.
    pub id: String,
    /// The target as written on the command line.
    pub target: String,
    /// Method and path.
    pub endpoint: String,
    /// Outcome in the baseline; empty when it had no such case.
    pub before: String,
    /// Outcome in the new run; empty when it has no such case.
    pub after: String,
    /// The new run's reason.
    pub reason: String,
}

/// A ratio that moved by more than the tolerance, its intervals apart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RatioChange {
    /// Experiment, variant and statistic, in words.
    pub what: String,
    /// Target over reference, in words.
    pub ratio: String,
    /// Baseline: value and interval.
    pub before: String,
    /// New run: value and interval; empty when it has no such ratio.
    pub after: String,
    /// How much worse (or better) as a factor above one.
    pub factor: f64,
}

/// What moved between a baseline and a new run of the same kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Comparison {
    /// Id of the baseline run.
    pub old_run: String,
    /// Commit of the baseline run.
    pub old_commit: String,
    /// Id of the new run.
    pub new_run: String,
    /// Commit of the new run.
    pub new_commit: String,
    /// Relative change of a ratio that is let pass, 0.1 for 10 %.
    pub tolerance: f64,
    /// Passed or differed as said before, failed now.
    pub newly_failing: Vec<CaseChange>,
    /// Passed before, differs now on purpose, as said.
    pub now_kept: Vec<CaseChange>,
    /// Passed or differed as said before, skipped or without a verdict now.
    pub no_longer_judged: Vec<CaseChange>,
    /// In the baseline and gone now, whatever their outcome was.
    pub vanished: Vec<CaseChange>,
    /// Did not pass before, pass now.
    pub newly_passing: Vec<CaseChange>,
    /// Only in the new run.
    pub appeared: Vec<CaseChange>,
    /// Ratios that are worse.
    pub worse: Vec<RatioChange>,
    /// Ratios that are better.
    pub better: Vec<RatioChange>,
    /// Ratios of the baseline that the new run lacks.
    pub ratios_vanished: Vec<RatioChange>,
    /// Ratios that were compared.
    pub ratios_compared: u64,
    /// Why ratios were not compared, when they were not.
    pub ratios_unjudged: Option<String>,
}

impl Comparison {
    /// Whether anything moved off pass, vanished, or became worse beyond the tolerance.
    pub fn regressed(&self) -> bool {
        !(self.newly_failing.is_empty()
            && self.no_longer_judged.is_empty()
            && self.vanished.is_empty()
            && self.worse.is_empty()
            && self.ratios_vanished.is_empty())
    }

    /// One sentence.
    pub fn verdict(&self) -> String {
        let parts = [
            (self.newly_failing.len(), "newly failing"),
            (self.no_longer_judged.len(), "no longer judged"),
            (self.vanished.len(), "vanished"),
            (self.worse.len(), "worse in ratio"),
            (self.ratios_vanished.len(), "ratios vanished"),
            (self.now_kept.len(), "differing on purpose"),
            (self.newly_passing.len(), "newly passing"),
            (self.better.len(), "better in ratio"),
            (self.appeared.len(), "new"),
        ];
        let words: Vec<String> = parts
            .iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, what)| format!("{} {what}", format::count(*n as u64)))
            .collect();
        let moved = if words.is_empty() { "nothing moved".to_owned() } else { words.join(", ") };
        let verdict = if self.regressed() { "Regressed" } else { "No regression" };
        format!("{verdict} against {} ({}): {moved}.", self.old_run, self.old_commit)
    }

    /// The comparison as Markdown, which is also what a terminal shows.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = writeln!(out, "{}\n", super::markdown::escape(&self.verdict()));
        if let Some(reason) = &self.ratios_unjudged {
            let _ = writeln!(out, "Ratios were not compared: {}\n", super::markdown::escape(reason));
        }
        for (title, cases) in self.case_lists() {
            super::markdown::list(&mut out, title, cases.iter().map(CaseChange::line));
        }
        for (title, ratios) in self.ratio_lists() {
            super::markdown::list(&mut out, title, ratios.iter().map(RatioChange::line));
        }
        out
    }

    /// Lists of cases with their headings, worst first.
    pub(super) fn case_lists(&self) -> [(&'static str, &[CaseChange]); 6] {
        [
            ("Newly failing", &self.newly_failing),
            ("No longer judged", &self.no_longer_judged),
            ("Vanished", &self.vanished),
            ("Differing on purpose, which passed before", &self.now_kept),
            ("Newly passing", &self.newly_passing),
            ("New cases", &self.appeared),
        ]
    }

    /// Lists of ratios with their headings, worst first.
    pub(super) fn ratio_lists(&self) -> [(&'static str, &[RatioChange]); 3] {
        [("Worse", &self.worse), ("Ratios that vanished", &self.ratios_vanished), ("Better", &self.better)]
    }
}

impl CaseChange {
    fn of(before: Option<&CaseResult>, after: Option<&CaseResult>) -> Option<Self> {
        let case = after.or(before)?;
        let word = |it: Option<&CaseResult>| it.map_or("", |it| score::word(it.outcome)).to_owned();
        Some(Self {
            id: case.id.clone(),
            target: case.target.clone(),
            endpoint: case.endpoint.clone(),
            before: word(before),
            after: word(after),
            reason: after.map(|it| it.reason.clone()).unwrap_or_default(),
        })
    }

    /// `A017 at 3xtandem (POST /…): pass → fail, reason`.
    pub(super) fn line(&self) -> String {
        let side = |it: &str| if it.is_empty() { "absent".to_owned() } else { it.to_owned() };
        let mut line = format!(
            "{} at {} ({}): {} → {}",
            self.id,
            self.target,
            self.endpoint,
            side(&self.before),
            side(&self.after)
        );
        if !self.reason.is_empty() {
            line.push_str(&format!(", {}", self.reason));
        }
        line
    }
}

impl RatioChange {
    /// `Sync latency p50, 3xtandem over 3xnacos: 0.0015 (…) → 0.003 (…)`.
    pub(super) fn line(&self) -> String {
        let after = if self.after.is_empty() { "absent" } else { &self.after };
        format!("{}, {}: {} → {after}", self.what, self.ratio, self.before)
    }
}

/// Compares `new` with the baseline `old`. `tolerance` is the relative change of a ratio that is let pass even when
/// the intervals lie apart (0.1 for 10 %).
///
/// # Errors
/// [`Unaligned`], when the runs did not ask the same of the same machine.
pub fn against(new: &Results, old: &Results, tolerance: f64) -> Result<Comparison, Unaligned> {
    aligned(new, old)?;
    let mut comparison = Comparison {
        old_run: old.run.id.clone(),
        old_commit: old.run.git_commit.clone(),
        new_run: new.run.id.clone(),
        new_commit: new.run.git_commit.clone(),
        tolerance,
        ..Comparison::default()
    };
    compare_cases(&mut comparison, new, old);
    compare_ratios(&mut comparison, new, old);
    Ok(comparison)
}

fn aligned(new: &Results, old: &Results) -> Result<(), Unaligned> {
    let same = |what: &str, new: &str, old: &str| {
        if new == old { Ok(()) } else { Err(Unaligned(format!("{what} was `{old}` then and is `{new}` now"))) }
    };
    same("the profile", &new.run.profile, &old.run.profile)?;
    let judged = old.conformance.as_ref().is_some_and(|it| !it.cases.is_empty());
    if old.ratios.is_empty() && !judged {
        return Err(Unaligned("the baseline holds neither API cases nor ratios, so nothing could regress".to_owned()));
    }
    // Answers are the same on every machine; ratios are not.
    if !old.ratios.is_empty() {
        same("the processor", &new.run.host.cpu, &old.run.host.cpu)?;
        same("the number of processors", &new.run.host.cores.to_string(), &old.run.host.cores.to_string())?;
    }
    let targets = |it: &Results| {
        let mut names: Vec<&str> = it.targets.iter().map(|it| it.target.as_str()).collect();
        names.sort_unstable();
        names.join(" ")
    };
    same("the list of targets", &targets(new), &targets(old))?;
    if let (Some(new), Some(old)) = (&new.conformance, &old.conformance) {
        same("the reference of the API cases", &new.reference, &old.reference)?;
    }
    Ok(())
}

type CaseKey<'a> = (&'a str, &'a str);

fn cases(results: &Results) -> BTreeMap<CaseKey<'_>, &CaseResult> {
    let cases = results.conformance.iter().flat_map(|it| &it.cases);
    cases.map(|case| ((case.target.as_str(), case.id.as_str()), case)).collect()
}

fn compare_cases(comparison: &mut Comparison, new: &Results, old: &Results) {
    let (new, old) = (cases(new), cases(old));
    for (key, before) in &old {
        let after = new.get(key).copied();
        let list = match (before.outcome, after.map(|it| it.outcome)) {
            (_, None) => &mut comparison.vanished,
            (Outcome::Pass, Some(Outcome::Kept)) => &mut comparison.now_kept,
            (Outcome::Pass | Outcome::Kept, Some(Outcome::Fail)) => &mut comparison.newly_failing,
            (Outcome::Pass | Outcome::Kept, Some(Outcome::Skip | Outcome::Error)) => &mut comparison.no_longer_judged,
            (Outcome::Pass, Some(Outcome::Pass)) => continue,
            (_, Some(Outcome::Pass)) => &mut comparison.newly_passing,
            _ => continue,
        };
        list.extend(CaseChange::of(Some(before), after));
    }
    let appeared = new.iter().filter(|(key, _)| !old.contains_key(*key));
    comparison.appeared = appeared.filter_map(|(_, after)| CaseChange::of(None, Some(after))).collect();
}

fn compare_ratios(comparison: &mut Comparison, new: &Results, old: &Results) {
    for (which, results) in [("new run", new), ("baseline", old)] {
        if !results.run.load.generator_kept_up {
            comparison.ratios_unjudged =
                Some(format!("in the {which} the load generator fell behind, so its figures are not the targets'"));
            return;
        }
    }
    let reference = figures::reference(old);
    let groups = figures::groups(new);
    for ratio in &old.ratios {
        // Turned so that the reference is below the line; where it is on neither side the order of the run stands.
        let turned = reference.as_deref() == Some(ratio.numerator.as_str());
        let (target, other) =
            if turned { (&ratio.denominator, &ratio.numerator) } else { (&ratio.numerator, &ratio.denominator) };
        let Some(before) = figures::standing(ratio, target, other) else { continue };
        let after = new
            .ratios
            .iter()
            .filter(|it| it.experiment == ratio.experiment && it.variant == ratio.variant && it.stat == ratio.stat)
            .find_map(|it| figures::standing(it, target, other));
        let mut what = format!("{} {}", ratio.experiment, ratio.stat);
        if !ratio.variant.is_empty() {
            what.push_str(&format!(" ({})", variant_words(&ratio.variant)));
        }
        let mut change = RatioChange {
            what,
            ratio: format!("{target} over {other}"),
            before: interval(&before),
            after: after.as_ref().map(interval).unwrap_or_default(),
            factor: 1.0,
        };
        let Some(after) = after else {
            comparison.ratios_vanished.push(change);
            continue;
        };
        comparison.ratios_compared += 1;
        let unit = unit_of(&groups, &ratio.experiment, &ratio.variant);
        let grew = after.value > before.value;
        let apart = after.low > before.high || after.high < before.low;
        change.factor = if grew { after.value / before.value } else { before.value / after.value };
        if apart && change.factor - 1.0 > comparison.tolerance {
            let better = grew == super::catalogue::larger_is_better(unit);
            let list = if better { &mut comparison.better } else { &mut comparison.worse };
            list.push(change);
        }
    }
}

fn unit_of<'a>(groups: &'a [Group], experiment: &str, variant: &BTreeMap<String, String>) -> &'a str {
    let mut undirected = variant.clone();
    undirected.remove(figures::DIRECTION);
    groups.iter().find(|it| it.name == experiment && it.variant == undirected).map_or("ms", |it| it.unit.as_str())
}

fn interval(standing: &Standing) -> String {
    let [value, low, high] = [standing.value, standing.low, standing.high].map(format::factor);
    format!("{value} ({low}–{high})")
}
