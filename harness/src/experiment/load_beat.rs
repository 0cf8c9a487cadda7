//! `load-beat`: light heartbeats of the fixture's instances, sent to any node as clients do; a node that is not
//! responsible for the service forwards it or not, which is what this measures.

use anyhow::Result;

use super::fixture::Fixture;
use super::load::{self, LoadPlan};
use super::{Observation, Session};
use crate::client::Call;

/// Name in the record.
pub const NAME: &str = "load-beat";

/// Runs the load on the fixture.
pub async fn run(session: &Session<'_>, fixture: &Fixture, plan: LoadPlan) -> Result<Vec<Observation>> {
    let beat = |it| Call::beat_light(session.context(), it);
    let calls: Vec<Call> = fixture.instances.iter().map(beat).collect::<Result<_, _>>()?;
    load::run(session, NAME, plan, calls.into()).await
}
