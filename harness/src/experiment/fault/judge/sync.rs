//! *sync-latency*: nodes that no fault is about go on showing each other's changes as fast as before.
//!
//! A probe changes something at one node again and again and asks another one until it shows it. Judged are the pairs of
//! which neither node is in a fault: during the faults the 99th percentile from acknowledgement to sight must be at most
//! [`SLOWER_MAX`] times what it was before, and every acknowledged change must be seen.

use super::super::history::{Change, Event, Phase, Us};
use super::finding::{Check, Figure, Finding, ms, when};
use super::story::{Line, Story};

/// As much slower it may be.
const SLOWER_MAX: f64 = 2.0;

/// Fewer changes than this in either phase have no 99th percentile: it would be the slowest of them, and the slowest of
/// two phases differ by chance.
const CHANGES_MIN: usize = 200;

pub(super) fn check(story: &Story<'_>) -> Option<Finding> {
    let changes: Vec<(Line, &Change)> = story
        .events
        .iter()
        .enumerate()
        .filter_map(|(position, event)| match event {
            Event::Change(it) if it.is_made => Some((position + 1, it)),
            _ => None,
        })
        .collect();
    if changes.is_empty() {
        return None;
    }
    let mut finding = Finding::new(Check::SyncLatency);
    let apart = |it: &Change| story.faults.iter().all(|fault| !fault.involves(it.from) && !fault.involves(it.to));
    let of = |phase| {
        let of_it = changes.iter().filter(move |it| story.phase_at(it.1.done) == phase);
        let seen = of_it.filter(|it| apart(it.1)).filter_map(|(_, it)| Some(ms(it.shown?.saturating_sub(it.done))));
        Figure::new("a probe's change → another node", "ms", seen.collect()).during(phase)
    };
    for (line, change) in changes.iter().filter(|it| it.1.shown.is_none() && apart(it.1)) {
        finding.of_tandem += u64::from(story.is_tandem(change.from));
        finding.violated(story, || {
            let (from, to) = (story.node_name(change.from), story.node_name(change.to));
            let at = when(change.done, *line);
            (format!("{to} did not show in time what {from} acknowledged at {at}"), vec![*line])
        });
    }
    let (before, during, after) = (of(Phase::Before), of(Phase::During), of(Phase::After));
    match (before.quantiles(), during.quantiles()) {
        (Some([_, usual, _]), Some([_, p99, _])) if before.values.len().min(during.values.len()) >= CHANGES_MIN => {
            if p99 > SLOWER_MAX * usual {
                finding.of_tandem += u64::from(changes.iter().any(|it| apart(it.1) && story.is_tandem(it.1.from)));
                slower(story, &changes, (usual, p99), apart, &mut finding);
            }
        }
        _ => finding.unknown(format!(
            "{} changes were seen before the fault and {} during it, where {CHANGES_MIN} are needed",
            before.values.len(),
            during.values.len()
        )),
    }
    finding.figures.extend([before, during, after].into_iter().filter(|it| !it.values.is_empty()));
    Some(finding)
}

fn slower(
    story: &Story<'_>,
    changes: &[(Line, &Change)],
    (usual, p99): (f64, f64),
    apart: impl Fn(&Change) -> bool,
    finding: &mut Finding,
) {
    finding.violated(story, || {
        let took = |it: &Change| it.shown.map_or(0, |shown| shown.saturating_sub(it.done));
        let during = changes.iter().filter(|it| story.phase_at(it.1.done) == Phase::During && apart(it.1));
        let mut slowest: Vec<(Us, Line)> = during.map(|(line, it)| (took(it), *line)).collect();
        slowest.sort_unstable();
        let says = format!(
            "between nodes that no fault is about, a change took {p99:.1} ms at p99 during the fault, {usual:.1} ms before"
        );
        (says, slowest.iter().rev().take(3).map(|it| it.1).collect())
    });
}
