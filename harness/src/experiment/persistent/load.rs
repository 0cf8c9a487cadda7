//! `load-persistent`: changes of persistent instances, each acknowledged when it is committed.
//!
//! Every instance has a service of its own: official nodes read a service's list, change it and write it as a whole, so
//! two changes of one service at once may undo each other (`compat/spec/jraft.md` §7), and what is compared must be
//! writes that count. The instances are registered beforehand; every call then changes one's weight, which is one entry
//! of the log. Every answer is checked; afterwards every node must hold all instances, each with one of the weights,
//! and all nodes the same.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::{FSYNC_NOTE, alike};
use crate::client::{Call, Instance};
use crate::experiment::load::{self, LoadPlan};
use crate::experiment::{Observation, Session, bulk, keep_first};

/// Name in the record.
pub const NAME: &str = "load-persistent";

/// Instances, each of a service of its own.
const INSTANCES: usize = 400;

/// Connections for setting up and clearing away.
const CONNECTIONS: usize = 24;

/// Weight at the beginning, and those that the load sets in turn.
const WEIGHTS: [u32; 3] = [3, 1, 2];

/// Official nodes show what they wrote themselves some moments late.
const ALIKE_LIMIT: Duration = Duration::from_secs(10);

/// Runs the load; everything it registered is deregistered again, also when it fails.
///
/// # Errors
/// When the instances cannot be registered, or the load cannot be run.
pub async fn run(session: &Session<'_>, plan: LoadPlan) -> Result<Vec<Observation>> {
    let part = format!("{}-cp-", session.tag);
    let pool: Vec<Instance> = (0..INSTANCES).map(|it| session.instance(&format!("{part}{it}"), it)).collect();
    let [first, ..] = WEIGHTS;
    let placed = bulk::send_all(session, calls(session, &pool, &[first])?.into(), CONNECTIONS).await?;
    ensure!(placed.failed == 0, "{} registrations failed: {}", placed.failed, placed.first_error());
    let rows =
        load::run(session, NAME, plan, calls(session, &pool, WEIGHTS.get(1..).unwrap_or_default())?.into()).await;
    let wrong = alike::wait(&session.cluster.nodes, &part, ALIKE_LIMIT, |held| complete(held, &pool)).await.err();
    let forget = pool.iter().map(|it| Call::forget_persistent(session.context(), it)).collect::<Result<Vec<_>, _>>()?;
    let removed = bulk::send_all(session, forget.into(), CONNECTIONS).await?;
    let mut rows = rows?;
    let round = session.round + 1;
    for row in &mut rows {
        row.notes.push(FSYNC_NOTE.to_owned());
        for it in wrong.iter().flatten() {
            keep_first(&mut row.notes, format!("round {round}: after the load: {it}"));
        }
        if removed.failed > 0 {
            let note = format!("{} instances could not be removed again: {}", removed.failed, removed.first_error());
            row.notes.push(note);
        }
    }
    // What the nodes do not hold alike was acknowledged all the same.
    if let Some(row) = rows.first_mut() {
        row.errors += wrong.map_or(0, |it| it.len() as u64);
    }
    Ok(rows)
}

fn calls(session: &Session<'_>, pool: &[Instance], weights: &[u32]) -> Result<Vec<Call>> {
    let all = weights.iter().flat_map(|weight| pool.iter().map(move |it| (it, *weight)));
    Ok(all.map(|(it, weight)| Call::persist(session.context(), it, weight)).collect::<Result<_, _>>()?)
}

/// Whether all of the pool is held, with weights that were written.
fn complete(held: &alike::Held, pool: &[Instance]) -> Result<(), String> {
    let known = |weight: f64| WEIGHTS.iter().any(|it| f64::from(*it) == weight);
    let right = held.instances.iter().filter(|(_, (weight, ..))| known(*weight));
    let names: BTreeSet<&str> = right.map(|((service, _), _)| service.name.as_str()).collect();
    let missing = pool.iter().filter(|it| !names.contains(format!("DEFAULT_GROUP@@{}", it.service).as_str())).count();
    if missing > 0 { Err(format!("{missing} of {} acknowledged instances are not there", pool.len())) } else { Ok(()) }
}
