//! Whether a history can be judged at all: the generator kept up, every fault had an effect, and the run went to its end.

use super::super::history::{Event, Phase, Us};
use super::finding::{Check, seconds};
use super::story::Story;

/// Operations sent later than this after they were due, at the 99th percentile, are not the load that was asked for.
const LAG_P99_MAX: Us = 1_000_000;

/// Why the scenario is unknown, most important first: the generator, the faults, the end.
pub(super) fn reasons(story: &Story<'_>) -> Vec<String> {
    let mut reasons = Vec::new();
    let unsent = story.events.iter().filter(|it| matches!(it, Event::Unsent { .. })).count();
    if unsent > 0 {
        reasons.push(format!("the load generator could not keep up: {unsent} operations were due and not sent"));
    }
    if let Some(lag) = lag_p99(story).filter(|it| *it > LAG_P99_MAX) {
        reasons.push(format!("the load generator could not keep up: operations were {} late at p99", seconds(lag)));
    }
    for spell in &story.faults {
        let (number, what) = (spell.fault.fault, &spell.fault.what);
        if !spell.proofs.iter().any(|it| it.0) {
            let proof = spell.proofs.first().and_then(|it| story.event(it.1));
            let seen = match proof {
                Some(Event::Proof { what, .. }) => format!(": {what}"),
                _ => ": nothing proves that it had one".to_owned(),
            };
            reasons.push(format!("fault {number} ({what}) had no effect{seen}"));
        }
    }
    let gave_up = story.events.iter().filter_map(|it| match it {
        Event::GaveUp { at, reason } => Some(format!("the timeline was given up at {}: {reason}", seconds(*at))),
        _ => None,
    });
    reasons.extend(gave_up);
    if story.began(Phase::End).is_none() {
        reasons.push("the history has no end".to_owned());
    }
    let strange = story.header.checks.iter().filter(|it| Check::of_name(it).is_none());
    reasons.extend(strange.map(|it| format!("the scenario demands {it:?}, which is no check")));
    reasons
}

/// How late operations of clients were sent, at the 99th percentile.
pub(super) fn lag_p99(story: &Story<'_>) -> Option<Us> {
    let mut lags: Vec<Us> = story
        .events
        .iter()
        .filter_map(|it| match it {
            Event::Op(op) => Some(op.sent.saturating_sub(op.due)),
            _ => None,
        })
        .collect();
    lags.sort_unstable();
    lags.get((lags.len() * 99 / 100).min(lags.len().saturating_sub(1))).copied()
}
