//! `deregister-latency`: an ephemeral instance that every node shows is deregistered at one node; how long after the
//! acknowledgement does no node show it any more?
//!
//! The instances are registered together beforehand (or are those that `sync-latency` left), so that a sample costs one
//! change and not two. Pauses, choice of the node and rows are those of [`sync_latency`](super::sync_latency).

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rand::RngExt as _;
use tokio::time::Instant;

use super::directions::Directions;
use super::keep_first;
use super::sync_latency::PAUSE_MS_MAX;
use super::visibility::{Wanted, seen_everywhere};
use super::{Observation, Session, bulk, census};
use crate::client::Instance;
use crate::stats::Round;

/// Name in the record.
pub const NAME: &str = "deregister-latency";

/// Registers `count` instances of a service each and waits until every node shows them all.
///
/// # Errors
/// When a registration fails or a node does not show one of them in time: the set-up failed, nothing was measured.
pub async fn place(session: &Session<'_>, count: usize) -> Result<Vec<Instance>> {
    let instances: Vec<_> = (0..count).map(|it| session.instance(&format!("{}-leave-{it}", session.tag), it)).collect();
    let done = bulk::register(session, &instances).await?;
    ensure!(done.failed == 0, "{} of {count} registrations failed: {}", done.failed, done.first_error());
    for client in session.clients {
        let late = census::wait_complete(session, client, &census::by_service(&instances)).await;
        ensure!(late.is_empty(), "{} does not show {} of {count} instances", client.address(), late.len());
    }
    Ok(instances)
}

/// Measures the removal of up to `samples` of `instances`, which every node must show; returns the row and leaves the
/// instances that were not used.
pub async fn run(session: &Session<'_>, instances: &mut Vec<Instance>, samples: usize) -> Result<Vec<Observation>> {
    ensure!(instances.len() >= samples, "{} instances for {samples} samples", instances.len());
    let mut random = session.random(NAME);
    let mut slowest = Round::new();
    let mut directions = Directions::of(session);
    let (mut errors, mut notes) = (0, Vec::new());
    for done in 0..samples {
        if session.is_over() {
            notes.push(session.cut_short(done, samples));
            break;
        }
        session.show(NAME, done, samples);
        let pause = Duration::from_millis(random.random_range(0..=PAUSE_MS_MAX));
        let writer = random.random_range(0..session.clients.len().max(1));
        tokio::time::sleep(pause).await;
        let instance = instances.pop().context("no instance left")?;
        let client = session.clients.get(writer).context("a cluster without nodes")?;
        let answer = client.deregister(&instance).await;
        let acknowledged = Instant::now();
        if let Err(error) = answer {
            errors += 1;
            keep_first(&mut notes, format!("round {}: {error}", session.round + 1));
            instances.insert(0, instance);
            continue;
        }
        let seen = seen_everywhere(session, &instance, Wanted::Absent, acknowledged).await;
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
    Ok(observations)
}
