//! `load-query`: `instance/list` of the fixture's services, without subscribing to pushes.

use anyhow::Result;

use super::fixture::Fixture;
use super::load::{self, LoadPlan};
use super::{Observation, Session};
use crate::client::Call;
use crate::client::call::Expect;

/// Name in the record.
pub const NAME: &str = "load-query";

/// Runs the load on the fixture.
pub async fn run(session: &Session<'_>, fixture: &Fixture, plan: LoadPlan) -> Result<Vec<Observation>> {
    let list = |it| Call::list(session.context(), it, Expect::Hosts);
    let calls: Vec<Call> = fixture.services().map(list).collect::<Result<_, _>>()?;
    load::run(session, NAME, plan, calls.into()).await
}
