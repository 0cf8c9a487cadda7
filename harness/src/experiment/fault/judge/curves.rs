//! The picture of a run: what happened when, and what was served meanwhile.

use super::super::history::{Event, Outcome, Phase, Us};
use super::finding::ms;
use super::story::Story;
use crate::results::{TimelineEvent, TimelineSample};

/// An interval is a second, or longer when there would be more of them than this.
const SAMPLES_MAX: u64 = 900;

/// Faults as bands, and the phases.
pub(super) fn timeline(story: &Story<'_>) -> Vec<TimelineEvent> {
    let mut all: Vec<TimelineEvent> = story
        .faults
        .iter()
        .map(|it| TimelineEvent {
            at_ms: ms(it.fault.at),
            event: it.fault.what.clone(),
            until_ms: it.healed.map(|it| ms(it.0)),
        })
        .collect();
    all.extend(story.phases.iter().filter_map(|(at, phase)| {
        let event = match phase {
            Phase::Before => "all instances are there",
            Phase::Final => "nobody comes or goes any more",
            _ => return None,
        };
        Some(TimelineEvent { at_ms: ms(*at), event: event.to_owned(), until_ms: None })
    }));
    all.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
    all
}

/// Requests by when they were due, answered when the server asked first did; and what was missing.
pub(super) fn samples(story: &Story<'_>) -> Vec<TimelineSample> {
    let length = (story.end / SAMPLES_MAX).max(1_000_000).next_multiple_of(1_000_000);
    let place = |at: Us| (at / length) as usize;
    let empty = |it: u64| TimelineSample { at_ms: ms(it * length), ..TimelineSample::default() };
    let mut samples: Vec<_> = (0..=story.end / length).map(empty).collect();
    for event in story.events {
        let (due, is_answered) = match event {
            Event::Op(op) => {
                let first = op.tries.first().and_then(|it| it.status);
                (op.due, first.is_some_and(|it| (200..300).contains(&it)))
            }
            Event::Persistent(it) => (it.sent, matches!(it.outcome, Outcome::Ok | Outcome::Value(_))),
            _ => continue,
        };
        if let Some(sample) = samples.get_mut(place(due)) {
            sample.requests += 1;
            sample.answered += u64::from(is_answered);
        }
    }
    for looks in &story.nodes {
        let answered = looks.answered().map(|(service, it)| (it.done, Some((service, it.short().count() as u64))));
        let mut moments: Vec<_> = answered.chain(looks.unanswered.iter().map(|it| (it.0, None))).collect();
        moments.sort_unstable();
        let mut missing = vec![0; looks.services.len()];
        let mut sum = 0;
        for (at, seen) in moments {
            match seen {
                // What a node lacks that gives no answer nobody knows.
                None => {
                    missing.fill(0);
                    sum = 0;
                }
                Some((service, count)) => {
                    if let Some(before) = missing.get_mut(service) {
                        sum = sum + count - *before;
                        *before = count;
                    }
                    if let Some(sample) = samples.get_mut(place(at)) {
                        sample.missing = sample.missing.max(Some(sum));
                    }
                }
            }
        }
    }
    samples
}
