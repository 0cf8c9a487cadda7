//! The sentences at the top: what a reader must know who reads nothing else. Each is computed from the figures.

use super::figures::{self, Group};
use super::format;
use super::score::{self, Score};
use crate::results::{Outcome, Results};

/// The verdict on one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The target as written on the command line.
    pub(super) target: String,
    /// What is said of it, the most important first; never empty.
    said: Vec<String>,
}

impl Verdict {
    /// One sentence that begins with the target's name.
    pub(super) fn sentence(&self) -> String {
        let (lead, rest) = self.clauses();
        format!("{}{lead}{rest}", self.target)
    }

    /// The sentence after the target's name, its leading clause apart.
    pub(super) fn clauses(&self) -> (String, String) {
        let (lead, rest) = self.said.split_first().map_or(("", &[][..]), |(lead, rest)| (lead.as_str(), rest));
        let rest: String = rest.iter().map(|it| format!("; it {it}")).collect();
        (format!(" {lead}"), format!("{rest}."))
    }
}

/// A verdict on every target, in their order.
pub(super) fn verdicts(results: &Results, groups: &[Group], score: Option<&Score<'_>>) -> Vec<Verdict> {
    let reference = figures::reference(results);
    figures::target_names(results)
        .into_iter()
        .map(|target| {
            let is_reference = reference.as_deref() == Some(target.as_str());
            let compared_with = reference.as_deref().filter(|_| !is_reference);
            let mut said: Vec<String> = [
                speed(results, groups, &target, compared_with),
                answers(results, score, &target),
                agreement(results, &target),
                generated(results, &target),
                faults(results, &target),
                is_reference.then(|| "is what the others are compared with".to_owned()),
            ]
            .into_iter()
            .flatten()
            .collect();
            if said.is_empty() {
                said.push("was not measured: see what was skipped".to_owned());
            }
            Verdict { target, said }
        })
        .collect()
}

/// The leading latency in words, and how it stands to the reference.
fn speed(results: &Results, groups: &[Group], target: &str, reference: Option<&str>) -> Option<String> {
    let (group, value) = groups.iter().find_map(|group| Some((group, group.of(target)?.stat(group.stat())?)))?;
    let mut words = format!("{} {}", group.experiment.does, format::value(value, &group.unit));
    if group.experiment.title.is_empty() {
        words = format!("measures {} for {}", format::value(value, &group.unit), group.title());
    }
    words.push_str(&format!(" at {}", group.stat()));
    if let Some(reference) = reference
        && let Some(standing) = group.standing(results, group.stat(), target, reference)
    {
        words.push_str(&format!(", {}", standing.words(&group.experiment, &group.unit, reference)));
    }
    Some(words)
}

/// How many API cases it answered like the reference.
fn answers(results: &Results, score: Option<&Score<'_>>, target: &str) -> Option<String> {
    let score = score?;
    let column = score.targets.iter().position(|it| it == target)?;
    let conformance = results.conformance.as_ref()?;
    let counts = score.total(column);
    let share = score::share(&counts);
    let mut words = if conformance.reference == target {
        format!("repeats its own answer in {share} API cases")
    } else {
        format!("answers {share} API cases as {} does", conformance.reference)
    };
    if conformance.informative.iter().any(|it| it == target) {
        words.push_str(": another version, held to nothing");
        return Some(words);
    }
    let shortfall = score::shortfall(&counts);
    if !shortfall.is_empty() {
        words.push_str(&format!(" – {shortfall}"));
    }
    Some(words)
}

/// Whether its nodes held the same after random operations.
fn agreement(results: &Results, target: &str) -> Option<String> {
    let it = results.agreements.iter().find(|it| it.target == target)?;
    let after = format!("after {} random operations", format::count(it.acknowledged));
    Some(match (it.outcome, it.agreed_after_ms) {
        (Outcome::Error | Outcome::Skip, _) => format!("could not be judged on whether its nodes agree {after}"),
        (_, None) => format!("does not have its nodes agree {after}"),
        (Outcome::Pass, Some(ms)) => format!("has all nodes agree within {} {after}", format::value(ms, "ms")),
        (Outcome::Fail | Outcome::Kept, Some(_)) => {
            format!("has not all nodes hold the same {after}: see what was wrong")
        }
    })
}

/// Whether generated sequences of calls found a difference.
fn generated(results: &Results, target: &str) -> Option<String> {
    let it = results.random.iter().find(|it| it.target == target)?;
    let among = format!("{} generated calls", format::count(it.operations));
    Some(match it.differing {
        0 => format!(
            "answers {among} in {} as the reference does",
            format::plural(it.sequences, "sequence", "sequences")
        ),
        differing => {
            format!("differs in {} among {among}", format::plural(differing, "sequence", "sequences"))
        }
    })
}

/// How many fault scenarios held.
fn faults(results: &Results, target: &str) -> Option<String> {
    let of_target: Vec<_> = results.faults.iter().filter(|it| it.target == target).collect();
    if of_target.is_empty() {
        return None;
    }
    let held = of_target.iter().filter(|it| it.outcome == Outcome::Pass).count() as u64;
    let unknown = of_target.iter().filter(|it| matches!(it.outcome, Outcome::Error | Outcome::Skip)).count() as u64;
    let mut words =
        format!("holds in {} of {} fault scenarios", format::count(held), format::count(of_target.len() as u64));
    if unknown > 0 {
        words.push_str(&format!(", {} could not be judged", format::count(unknown)));
    }
    Some(words)
}

/// Warnings that belong on the first lines: they weaken every figure below them.
pub(super) fn warnings(results: &Results, score: Option<&Score<'_>>) -> Vec<String> {
    /// Above this share of stolen processor time a latency says more about the neighbours.
    const STEAL_SHARE_MAX: f64 = 0.05;
    /// Load per processor before the run, above which the machine was not free for it.
    const LOAD_PER_CORE_MAX: f64 = 0.5;
    let run = &results.run;
    let mut warnings = Vec::new();
    if !run.load.generator_kept_up {
        let lag = run.load.generator_lag_p99_ms.map_or_else(
            || "by an unknown amount".to_owned(),
            |lag| format!("{} late at p99", format::value(lag, "ms")),
        );
        warnings.push(format!(
            "The load generator fell behind its schedule ({lag}). The load figures say more about this machine than \
             about the targets."
        ));
    }
    if run.load.cpu_steal_share > STEAL_SHARE_MAX {
        warnings.push(format!(
            "Other virtual machines took {} of the processor time.",
            format::percent((run.load.cpu_steal_share * 1000.0) as u64, 1000)
        ));
    }
    if run.load.load_average_before / (run.host.cores.max(1) as f64) > LOAD_PER_CORE_MAX {
        warnings.push(format!(
            "The machine was busy before the run began: load average {} on {}.",
            format::number(run.load.load_average_before),
            format::plural(run.host.cores as u64, "processor", "processors")
        ));
    }
    if let Some(conformance) = &results.conformance
        && conformance.reference.starts_with("recordings")
    {
        warnings.push(format!(
            "The real server was not there: answers were compared with {}, not with a live reference.",
            conformance.reference
        ));
    }
    if score.is_some_and(|it| it.disagrees) {
        warnings.push("The summary in results.json disagrees with its own cases; the cases are counted here.".into());
    }
    warnings
}

/// Generator and machine in one line, whether or not they are worth a warning.
pub(super) fn machine(results: &Results) -> String {
    let load = &results.run.load;
    let generator = match (load.generator_kept_up, load.generator_lag_p99_ms) {
        (true, None) => "No open-loop load in this run.".to_owned(),
        (true, Some(lag)) => format!("Generator kept up (worst lag {} at p99).", format::value(lag, "ms")),
        (false, None) => "Generator fell behind.".to_owned(),
        (false, Some(lag)) => format!("Generator fell behind ({} late at p99).", format::value(lag, "ms")),
    };
    let share = |it: f64| format::percent((it.clamp(0.0, 1.0) * 1000.0) as u64, 1000);
    format!(
        "{generator} Machine {} busy, {} stolen; load average {} before, {} after.",
        share(load.cpu_busy_share),
        share(load.cpu_steal_share),
        format::number(load.load_average_before),
        format::number(load.load_average_after)
    )
}
