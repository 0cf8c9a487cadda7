//! `sync-latency`: a fresh ephemeral instance is registered at one node; how long after the acknowledgement does every
//! node show it?
//!
//! One registration at a time, each of a service of its own, at a random node, after a random pause of 0 to 300 ms so
//! that samples do not fall into step with the server's timers. The row without a variant is the slowest node of each
//! sample, the writer included. A mixed cluster also gets one row per direction, from the kind of node that was
//! written to to the kind of each other node (`directions`).

use std::time::Duration;

use rand::RngExt as _;
use tokio::time::Instant;

use super::directions::Directions;
use super::visibility::{Wanted, seen_everywhere};
use super::{Observation, Session, keep_first};
use crate::client::Instance;
use crate::stats::Round;

/// Name in the record.
pub const NAME: &str = "sync-latency";

/// Longest pause before a sample, ms.
pub(super) const PAUSE_MS_MAX: u64 = 300;

/// What one round gave.
pub struct SyncRound {
    /// The rows.
    pub observations: Vec<Observation>,
    /// What was registered and is still there; the caller removes it.
    pub registered: Vec<Instance>,
}

/// Measures `samples` registrations, or as many as fit.
pub async fn run(session: &Session<'_>, samples: usize) -> SyncRound {
    let mut random = session.random(NAME);
    let mut slowest = Round::new();
    let mut directions = Directions::of(session);
    let (mut registered, mut errors, mut notes) = (Vec::new(), 0, Vec::new());
    for done in 0..samples {
        if session.is_over() {
            notes.push(session.cut_short(done, samples));
            break;
        }
        session.show(NAME, done, samples);
        // Both are drawn before anything can fail, so that every target meets the same choices.
        let pause = Duration::from_millis(random.random_range(0..=PAUSE_MS_MAX));
        let writer = random.random_range(0..session.clients.len().max(1));
        tokio::time::sleep(pause).await;
        let instance = session.instance(&format!("{}-sync-{done}", session.tag), done);
        let Some(client) = session.clients.get(writer) else { break };
        let answer = client.register(&instance).await;
        let acknowledged = Instant::now();
        registered.push(instance.clone());
        if let Err(error) = answer {
            errors += 1;
            keep_first(&mut notes, format!("round {}: {error}", session.round + 1));
            continue;
        }
        let seen = seen_everywhere(session, &instance, Wanted::Present, acknowledged).await;
        directions.record(writer, &instance, &seen);
        match seen.iter().copied().collect::<Option<Vec<_>>>() {
            Some(all) => slowest.record_duration(all.into_iter().max().unwrap_or_default()),
            None => errors += 1,
        }
    }
    let mut whole = Observation::new(NAME, "ms", slowest);
    whole.errors = errors;
    whole.notes = notes;
    let mut observations = vec![whole];
    observations.extend(directions.observations(NAME));
    SyncRound { observations, registered }
}
