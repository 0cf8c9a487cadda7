//! The three answers a reader came for: how compatible, how fast, what breaks.

use std::collections::BTreeMap;

use serde::Serialize;

use super::figure;
use crate::report::figures::{self, Group};
use crate::report::format;
use crate::report::score::{self, Score};
use crate::results::{CaseResult, Outcome, Results};

/// Further figures below the leading one.
const MORE_MAX: usize = 3;

/// One answer.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Tile {
    label: &'static str,
    /// The one figure.
    figure: String,
    /// `better`, `worse`, `even` or empty.
    kind: &'static str,
    words: String,
    more: Vec<String>,
    /// The section of the report behind it.
    link: &'static str,
}

/// The answers of one run. Each takes the leading figure in the fixed order of the catalogue, never the most
/// flattering.
pub(super) fn tiles(results: &Results, groups: &[Group], score: Option<&Score<'_>>) -> Vec<Tile> {
    // Where faults alone were run, how soon the nodes had started is no answer to how fast.
    let is_measured = results.faults.is_empty() || !results.measurements.is_empty();
    let fast = is_measured.then(|| fast(results, groups)).flatten();
    let tiles = [score.and_then(|it| compatible(results, it)), fast, again(results), Some(breaks(results, score))];
    tiles.into_iter().flatten().collect()
}

/// The judged targets: all but the one the others are compared with, unless it stands alone, and but other versions of
/// Nacos.
pub(super) fn subjects(results: &Results, score: &Score<'_>) -> Vec<(usize, String)> {
    let reference = results.conformance.as_ref().map(|it| it.reference.as_str());
    let held = score.targets.iter().cloned().enumerate().zip(&score.informative);
    let all: Vec<(usize, String)> = held.filter(|(_, is_informative)| !**is_informative).map(|(it, _)| it).collect();
    let judged: Vec<_> = all.iter().filter(|(_, it)| Some(it.as_str()) != reference).cloned().collect();
    if judged.is_empty() { all } else { judged }
}

fn compatible(results: &Results, score: &Score<'_>) -> Option<Tile> {
    let reference = results.conformance.as_ref().map(|it| format::one_line(&it.reference, 80))?;
    let subjects = subjects(results, score);
    let (first, others) = subjects.split_first()?;
    let counts = score.total(first.0);
    let tried = score::tried(&counts);
    let mut more = Vec::new();
    if counts.skip > 0 {
        more.push(format!("{} not tried", format::count(u64::from(counts.skip))));
    }
    more.extend(others.iter().take(MORE_MAX).map(|(column, target)| {
        let counts = score.total(*column);
        let share = format::percent(u64::from(counts.pass), score::tried(&counts));
        format!("{}: {share}", format::one_line(target, 80))
    }));
    Some(Tile {
        label: "How compatible",
        figure: format::percent(u64::from(counts.pass), tried),
        kind: "",
        words: format!(
            "{} answers {} of {} API calls to the byte as {reference} does",
            format::one_line(&first.1, 80),
            format::count(u64::from(counts.pass)),
            format::count(tried)
        ),
        more,
        link: "#compatibility",
    })
}

/// The leading figure of the first target, against the reference where there is one.
pub(super) fn fast(results: &Results, groups: &[Group]) -> Option<Tile> {
    let reference = figures::reference(results);
    let subject = measured(results, reference.as_deref())?;
    let mut standings = groups.iter().filter_map(|group| {
        let reference = reference.as_deref()?;
        let standing = group.standing(results, group.stat(), subject, reference)?;
        Some((group, figure::view(&standing, group)))
    });
    let Some((group, standing)) = standings.next() else { return alone(groups, subject) };
    let of = |target: &str| {
        let value = group.of(target).and_then(|it| it.stat(group.stat()));
        value.map_or_else(|| format::NONE.to_owned(), |it| format::value(it, &group.unit))
    };
    let (factor, word) = match standing.kind {
        "even" => ("even", "no clear difference"),
        _ => standing.words.split_once(' ')?,
    };
    let reference = reference.as_deref().unwrap_or_default();
    Some(Tile {
        label: "How fast",
        figure: factor.to_owned(),
        kind: standing.kind,
        words: format!(
            "{word} ({}): {} {}, {} at {}, {} at {}",
            standing.interval,
            group.name().to_lowercase(),
            group.stat(),
            of(subject),
            format::one_line(subject, 80),
            of(reference),
            format::one_line(reference, 80)
        ),
        more: further(group, standings),
        link: if group.unit == "ms" { "#latency" } else { "#resources" },
    })
}

/// The first target that is not what the others are compared with.
pub(super) fn measured<'a>(results: &'a Results, reference: Option<&str>) -> Option<&'a str> {
    results.targets.iter().map(|it| it.target.as_str()).find(|it| Some(*it) != reference)
}

/// Fault scenarios at that target: how many held, of how many that were tried.
pub(super) fn faults(results: &Results) -> (u64, u64) {
    let subject = measured(results, figures::reference(results).as_deref());
    let of_subject = results.faults.iter().filter(|it| Some(it.target.as_str()) == subject);
    let tried: Vec<Outcome> = of_subject.map(|it| it.outcome).filter(|it| *it != Outcome::Skip).collect();
    (tried.iter().filter(|it| **it == Outcome::Pass).count() as u64, tried.len() as u64)
}

/// How soon after their heal faults were forgotten, over all scenarios in which that was seen at the first target: the
/// longest, because most are over at once.
fn again(results: &Results) -> Option<Tile> {
    let reference = figures::reference(results);
    let subject = measured(results, reference.as_deref())?;
    let (times, never) = recoveries(results, subject);
    let value = |it: &f64| format::value(*it, "ms");
    let never_in = |never: usize| (never > 0).then(|| format!("no agreement in {}", format::count(never as u64)));
    let beside = reference.iter().filter_map(|reference| {
        let (times, never) = recoveries(results, reference);
        let longest = times.last().map(|it| format!("{} in {}", value(it), format::count(times.len() as u64)));
        let words: Vec<_> = longest.into_iter().chain(never_in(never)).collect();
        (!words.is_empty()).then(|| format!("{}: {}", format::one_line(reference, 80), words.join(", ")))
    });
    let name = format::one_line(subject, 80);
    let (figure, words, more) = match (times.last(), times.get(times.len() / 2)) {
        (Some(longest), Some(half)) => (
            value(longest),
            format!(
                "at the longest from the heal of a fault until all nodes of {name} agree, in {}; half within {}",
                format::plural(times.len() as u64, "scenario", "scenarios"),
                value(half)
            ),
            never_in(never),
        ),
        _ if never > 0 => (
            "never".to_owned(),
            format!(
                "after the heal of a fault all nodes of {name} agreed while they were watched, in {}",
                format::plural(never as u64, "scenario", "scenarios")
            ),
            None,
        ),
        _ => return None,
    };
    Some(Tile {
        label: "How soon again",
        figure,
        kind: "",
        words,
        more: more.into_iter().chain(beside).collect(),
        link: "#faults",
    })
}

/// Heal to agreement of each scenario at this target, ms, ascending; and how often there was none.
fn recoveries(results: &Results, target: &str) -> (Vec<f64>, usize) {
    let of_target = || results.faults.iter().filter(|it| it.target == target);
    let mut times: Vec<f64> = of_target().filter_map(|it| it.recovery_ms).collect();
    times.sort_by(f64::total_cmp);
    (times, of_target().filter(|it| it.unrecovered_ms.is_some()).count())
}

/// One more figure of each further experiment.
fn further<'a>(leading: &Group, standings: impl Iterator<Item = (&'a Group, figure::StandingView)>) -> Vec<String> {
    let mut seen = vec![leading.name()];
    let mut more = Vec::new();
    for (group, standing) in standings {
        let name = group.name();
        if more.len() < MORE_MAX && !seen.contains(&name) {
            more.push(format!("{name}: {}", standing.words));
            seen.push(name);
        }
    }
    more
}

/// The leading figure without anything to compare it with.
fn alone(groups: &[Group], subject: &str) -> Option<Tile> {
    let (group, value) = groups.iter().find_map(|group| Some((group, group.of(subject)?.stat(group.stat())?)))?;
    Some(Tile {
        label: "How fast",
        figure: format::value(value, &group.unit),
        kind: "",
        words: format!(
            "{} {} of {}; nothing ran beside it to compare with",
            group.name(),
            group.stat(),
            format::one_line(subject, 80)
        ),
        more: Vec::new(),
        link: "#summary",
    })
}

fn breaks(results: &Results, score: Option<&Score<'_>>) -> Tile {
    let mut more = Vec::new();
    let (held, tried) = faults(results);
    if tried > 0 {
        more.push(format!("{} of {} fault scenarios held", format::count(held), format::count(tried)));
    } else {
        more.push("no fault scenario in this run".to_owned());
    }
    if !results.skipped.is_empty() {
        more.push(format!("{} not tried", format::plural(results.skipped.len() as u64, "thing", "things")));
    }
    let Some(subject) = score.and_then(|it| subjects(results, it).into_iter().next()) else {
        return Tile {
            label: "What breaks",
            figure: if tried > 0 { format::count(tried - held) } else { format::NONE.to_owned() },
            kind: if tried > held { "worse" } else { "even" },
            words: if tried > 0 { "fault scenarios did not hold" } else { "no API call and no fault was tried" }.into(),
            more,
            link: if tried > 0 { "#faults" } else { "#skipped" },
        };
    };
    let cases = results.conformance.iter().flat_map(|it| &it.cases).filter(|it| it.target == subject.1);
    let differing = cases.filter(|it| matches!(it.outcome, Outcome::Fail | Outcome::Error | Outcome::Kept));
    let (kept, unexplained): (Vec<_>, Vec<_>) = differing.partition(|it| it.outcome == Outcome::Kept);
    if !unexplained.is_empty() {
        more.insert(0, format!("most in {}", worst_areas(&unexplained)));
    }
    let open = unexplained.len() as u64;
    let kept = kept.len() as u64;
    let calls = if open == 1 { "API call differs unexplained" } else { "API calls differ unexplained" };
    Tile {
        label: "What breaks",
        figure: format::count(open),
        kind: if open > 0 { "worse" } else { "better" },
        words: match kept {
            0 => calls.to_owned(),
            kept => format!("{calls}; {} more on purpose", format::count(kept)),
        },
        more,
        link: "#compatibility",
    }
}

/// `service 12, catalog 8`: where most differs.
fn worst_areas(cases: &[&CaseResult]) -> String {
    let mut areas: BTreeMap<&str, u64> = BTreeMap::new();
    for case in cases {
        *areas.entry(&case.area).or_default() += 1;
    }
    let mut areas: Vec<(&str, u64)> = areas.into_iter().collect();
    areas.sort_by_key(|(area, number)| (std::cmp::Reverse(*number), *area));
    let words = areas.iter().take(MORE_MAX).map(|(area, number)| format!("{} {number}", format::one_line(area, 40)));
    words.collect::<Vec<_>>().join(", ")
}
