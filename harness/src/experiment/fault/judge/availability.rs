//! *availability*: which share of requests was answered, by node and phase, and how fast.
//!
//! A request is answered when the server said something with a status of 2xx. Operations of clients count when any server
//! that was tried answered, and last from when they were due. It is a measurement unless the scenario has a bound.

use std::collections::BTreeMap;

use super::super::history::{Ended, Event, Outcome, Phase, Us};
use super::finding::{Check, Figure, Finding, ms};
use super::story::{Line, Story, phase_name};

/// Counts of one kind of request.
#[derive(Default)]
struct Tally {
    all: u64,
    answered: u64,
    took: Vec<f64>,
    /// The first that were not answered.
    failed: Vec<Line>,
}

impl Tally {
    fn add(&mut self, is_answered: bool, took: Us, line: Line) {
        self.all += 1;
        if is_answered {
            self.answered += 1;
            self.took.push(ms(took));
        } else if self.failed.len() < 3 {
            self.failed.push(line);
        }
    }

    fn share(&self) -> f64 {
        self.answered as f64 / self.all.max(1) as f64
    }
}

/// By phase, node (nothing for clients, which have all) and kind of request.
type Tallies = BTreeMap<(Phase, Option<usize>, &'static str), Tally>;

/// What clients see, all servers tried.
const OPERATIONS: &str = "operations, all servers tried";

pub(super) fn check(story: &Story<'_>) -> Option<Finding> {
    let tallies = tallies(story);
    if tallies.is_empty() {
        return None;
    }
    let mut finding = Finding::new(Check::Availability);
    if let Some(least) = story.header.answered_min {
        bound(story, &tallies, least, &mut finding);
    }
    for ((phase, node, kind), tally) in tallies {
        let share = Figure::new(format!("answered: {kind}"), "%", vec![tally.share() * 100.0]).during(phase);
        let took = Figure::new(format!("latency: {kind}"), "ms", tally.took).during(phase);
        finding.figures.extend([share, took].map(|it| Figure { node, ..it }));
    }
    Some(finding)
}

fn bound(story: &Story<'_>, tallies: &Tallies, least: f64, finding: &mut Finding) {
    let mut is_judged = false;
    for phase in [Phase::During, Phase::After, Phase::Final] {
        let Some(tally) = tallies.get(&(phase, None, OPERATIONS)) else { continue };
        is_judged = true;
        if tally.share() < least {
            finding.violated(story, || {
                let says = format!(
                    "{} of {} operations were answered in phase {}, {:.2} % where {:.2} % are asked for",
                    tally.answered,
                    tally.all,
                    phase_name(phase),
                    tally.share() * 100.0,
                    least * 100.0
                );
                (says, tally.failed.clone())
            });
        }
    }
    if !is_judged {
        finding.unknown("clients did nothing from the first fault on");
    }
}

fn tallies(story: &Story<'_>) -> Tallies {
    let mut tallies = Tallies::new();
    for (position, event) in story.events.iter().enumerate() {
        let line = position + 1;
        let mut add = |at: Us, node, kind, is_answered, took| {
            let phase = story.phase_at(at);
            if !matches!(phase, Phase::Fill | Phase::End) {
                tallies.entry((phase, node, kind)).or_default().add(is_answered, took, line);
            }
        };
        match event {
            Event::Op(op) => {
                add(op.due, None, OPERATIONS, op.ended != Ended::Failed, op.done.saturating_sub(op.due));
                let mut at = op.sent;
                for it in &op.tries {
                    let is_answered = it.status.is_some_and(|it| (200..300).contains(&it));
                    add(at, Some(it.node), "requests of clients", is_answered, it.took);
                    at += it.took;
                }
            }
            Event::Look(it) => {
                add(it.sent, Some(it.node), "looks", it.present.is_some(), it.done.saturating_sub(it.sent));
            }
            Event::Persistent(it) => {
                let is_answered = matches!(it.outcome, Outcome::Ok | Outcome::Value(_));
                let took = it.done.saturating_sub(it.sent);
                add(it.sent, Some(it.node), "persistent operations", is_answered, took);
            }
            _ => {}
        }
    }
    tallies
}
