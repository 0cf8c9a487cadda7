//! `burst-convergence`: thousands of registrations as fast as the acknowledgements come, over connections spread over
//! all nodes; how long after the last acknowledgement does every node show all of them?
//!
//! # How it is read without disturbing it
//! Reading 500 lists takes longer than a fast cluster needs to converge, so the lists cannot be the clock. The clock is
//! `operator/metrics`: one small answer per read and node, paused as in [`visibility`](super::visibility). Before the
//! burst every node must count the same number of instances; nothing else writes and the burst only adds, so the moment
//! a node counts that number plus all acknowledged ones it holds every one of them. Only then is every list of every
//! node read in full, which proves the count and costs nothing that is measured. A service that is incomplete then
//! makes the count worthless: the node's time becomes the moment at which the last such service was first seen
//! complete, and a note says so. Where nodes do not count (or not alike), all times come from the lists, those written
//! last read first, and the note says that the time of reading is in the figure.
//!
//! A second row counts from the first request: a server that acknowledges late cannot look fast in it.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::future::join_all;
use indexmap::IndexMap;
use rand::seq::SliceRandom as _;
use tokio::time::Instant;

use super::census::{Population, counted, incomplete, settled};
use super::keep_first;
use super::{Observation, Session, bulk};
use crate::client::{Call, Instance, NacosClient};
use crate::stats::Round;

/// Name in the record.
pub const NAME: &str = "burst-convergence";

/// A burst that is not visible in full after this long is an error.
const CONVERGENCE_LIMIT: Duration = Duration::from_secs(30);

/// How long the nodes may take to agree on what they hold before the burst.
const SETTLE_LIMIT: Duration = Duration::from_secs(8);

/// The size of a burst.
#[derive(Debug, Clone, Copy)]
pub struct Burst {
    /// Registrations in all.
    pub instances: usize,
    /// Services they belong to.
    pub services: usize,
    /// Connections over all nodes.
    pub connections: usize,
}

/// What one burst gave.
pub struct BurstRound {
    /// The rows.
    pub observations: Vec<Observation>,
    /// Instances every node holds in addition now; nothing when that is not known.
    pub left_behind: Option<u64>,
}

/// One burst. Where the servers live on, everything it registered is deregistered again, also when it fails; where they
/// end with the run it stays, because the clean-up would take as long as the burst.
pub async fn run(session: &Session<'_>, burst: Burst) -> Result<BurstRound> {
    let mut instances: Vec<Instance> = (0..burst.instances)
        .map(|it| session.instance(&format!("{}-burst-{}", session.tag, it % burst.services.max(1)), it))
        .collect();
    instances.shuffle(&mut session.random(NAME));
    let observations = measure(session, burst, &instances).await;
    if !session.outlives_the_run {
        let observations = observations?;
        let clean = observations.iter().all(|it| it.errors == 0);
        return Ok(BurstRound { observations, left_behind: clean.then_some(instances.len() as u64) });
    }
    let removed = bulk::deregister(session, &instances).await?;
    let mut observations = observations?;
    if removed.failed > 0 {
        let note = format!("{} instances could not be removed again: {}", removed.failed, removed.first_error());
        observations.iter_mut().for_each(|it| it.notes.push(note.clone()));
    }
    Ok(BurstRound { observations, left_behind: (removed.failed == 0).then_some(0) })
}

async fn measure(session: &Session<'_>, burst: Burst, instances: &[Instance]) -> Result<Vec<Observation>> {
    let before = settled(session, session.resident, SETTLE_LIMIT).await;
    let calls = instances.iter().map(|it| Call::register(session.context(), it, 1)).collect::<Result<Vec<_>, _>>()?;
    let sent = bulk::send_all(session, calls.into(), burst.connections).await?;
    ensure!(sent.acked.contains(&true), "no registration succeeded: {}", sent.first_error());
    let acked: Vec<_> = instances.iter().zip(&sent.acked).filter(|(_, acked)| **acked).map(|(it, _)| it).collect();
    // What failed may have been applied all the same, and would be counted.
    let target = before.filter(|_| sent.failed == 0).map(|it| it + acked.len() as u64);
    let population = last_written_first(&acked);
    let seen = join_all(session.clients.iter().map(|it| converge(session, it, &population, target, sent.last_ack)));

    let (mut latest, mut errors, mut notes) = (Some(sent.last_ack), sent.failed, Vec::new());
    for (client, outcome) in session.clients.iter().zip(seen.await) {
        if let Some(note) = outcome.note {
            keep_first(&mut notes, format!("round {}: {}: {note}", session.round + 1, client.address()));
        }
        latest = latest.zip(outcome.complete).map(|(a, b)| a.max(b));
    }
    if sent.failed > 0 {
        keep_first(&mut notes, format!("{} registrations failed: {}", sent.failed, sent.first_error()));
    }
    let (mut after_ack, mut after_start) = (Round::new(), Round::new());
    match latest {
        Some(at) => {
            after_ack.record_duration(at.duration_since(sent.last_ack));
            after_start.record_duration(at.duration_since(sent.began));
        }
        None => errors += 1,
    }
    let rows = [
        Observation::new(NAME, "ms", after_ack),
        Observation::new(NAME, "ms", after_start).with("from", "first request"),
    ];
    Ok(rows.into_iter().map(|it| Observation { errors, notes: notes.clone(), ..it }).collect())
}

/// Services with their instances, the service that was written last first: it is the one most likely to be missing.
fn last_written_first(instances: &[&Instance]) -> Population {
    let mut population = Population::new();
    for instance in instances.iter().rev() {
        population.entry(instance.service.clone()).or_default().push((*instance).clone());
    }
    population
}

/// What one node did.
struct Convergence {
    /// When it showed everything; nothing when it did not in time.
    complete: Option<Instant>,
    note: Option<String>,
}

async fn converge(
    session: &Session<'_>,
    client: &NacosClient,
    population: &Population,
    count: Option<u64>,
    since: Instant,
) -> Convergence {
    let by_count = match count {
        Some(count) => counted(session, client, count, since, CONVERGENCE_LIMIT).await,
        None => None,
    };
    let mut seen = IndexMap::new();
    let mut late = incomplete(client, population, &mut seen).await;
    if let (Some(at), true) = (by_count, late.is_empty()) {
        return Convergence { complete: Some(at), note: None };
    }
    let incomplete_at_first = late.len();
    while !late.is_empty() && since.elapsed() < CONVERGENCE_LIMIT && !session.stop.is_cancelled() {
        tokio::time::sleep(Duration::from_millis(1)).await;
        late = incomplete(client, population, &mut seen).await;
    }
    let note = match by_count {
        _ if !late.is_empty() => format!("{} of {} services stayed incomplete", late.len(), population.len()),
        Some(_) => format!("counted everything while {incomplete_at_first} services were incomplete; time by lists"),
        None => "time by lists, so it includes reading them".to_owned(),
    };
    let complete = late.is_empty().then(|| seen.values().max().copied()).flatten();
    Convergence { complete, note: Some(note) }
}
