//! `load-register`: registrations of ephemeral instances.
//!
//! A pool of instances is registered one after the other; a second pass registers them again with another weight, a
//! third with the first, and so on. So every call is a true change that must be replicated, while the registry (and the
//! clean-up) stays bounded however fast the target is.

use anyhow::Result;

use super::load::{self, LoadPlan};
use super::{Observation, Session, bulk};
use crate::client::{Call, Instance};

/// Name in the record.
pub const NAME: &str = "load-register";

/// Services of the pool.
const SERVICES: usize = 100;

/// Instances of the pool.
const INSTANCES: usize = 1000;

/// Runs the load; everything it registered is deregistered again, also when it fails.
pub async fn run(session: &Session<'_>, plan: LoadPlan) -> Result<Vec<Observation>> {
    let pool: Vec<Instance> =
        (0..INSTANCES).map(|it| session.instance(&format!("{}-load-{}", session.tag, it % SERVICES), it)).collect();
    let calls: Vec<Call> = [1, 2]
        .into_iter()
        .flat_map(|weight| pool.iter().map(move |it| Call::register(session.context(), it, weight)))
        .collect::<Result<_, _>>()?;
    let rows = load::run(session, NAME, plan, calls.into()).await;
    let removed = bulk::deregister(session, &pool).await?;
    let mut rows = rows?;
    if removed.failed > 0 {
        let note = format!("{} instances could not be removed again: {}", removed.failed, removed.first_error());
        rows.iter_mut().for_each(|it| it.notes.push(note.clone()));
    }
    Ok(rows)
}
