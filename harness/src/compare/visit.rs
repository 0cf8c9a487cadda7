//! One round at one target: every planned experiment, one after the other.

use std::fmt::Display;
use std::time::Duration;

use anyhow::Result;
use tokio::time::Instant;

use super::allowance::{Limits, RoundTime};
use super::record::NOT_PLANNED;
use crate::client::Instance;
use crate::experiment::fixture::Fixture;
use crate::experiment::{
    Observation, Session, agreement, bulk, burst_convergence, deregister_latency, load_beat, load_query, load_register,
    memory, persistent, push_latency, sync_latency,
};
use crate::profile::{TargetPlan, Timed};
use crate::results::{Agreement, Skipped};

/// What one visit gave.
#[derive(Debug)]
pub(super) struct Visit {
    /// Instances that were added for good; nothing when that is not known.
    pub(super) left_behind: Option<u64>,
    pub(super) observations: Vec<Observation>,
    pub(super) agreement: Option<Agreement>,
    pub(super) skipped: Vec<Skipped>,
}

impl Visit {
    fn skip(&mut self, what: &str, reason: impl Display) {
        self.skipped.push(Skipped { what: what.to_owned(), reason: reason.to_string() });
    }

    fn take(&mut self, what: &str, round: usize, result: Result<Vec<Observation>>) {
        match result {
            Ok(rows) => self.observations.extend(rows),
            Err(error) => self.skip(&format!("{what}, round {}", round + 1), format!("{error:#}")),
        }
    }
}

/// Time limits of everything planned at one target in one round.
pub(super) fn limits(plan: &TargetPlan, is_last_round: bool) -> Limits {
    fn of<T>(part: Option<&Timed<T>>) -> Duration {
        part.map_or(Duration::ZERO, |it| it.limit)
    }
    Limits {
        elastic: of(plan.sync.as_ref())
            + of(plan.deregister.as_ref())
            + of(plan.push.as_ref())
            + of(plan.read_after_write.as_ref()),
        fixed: of(plan.register.as_ref())
            + of(plan.beat.as_ref())
            + of(plan.query.as_ref())
            + of(plan.persistent.as_ref())
            + of(plan.burst.as_ref())
            + of(plan.agreement.as_ref().filter(|_| is_last_round)),
    }
}

/// Does what is planned, in the order in which one experiment disturbs the next least: single changes first, the burst
/// last.
pub(super) async fn run(
    mut session: Session<'_>,
    fixture: Option<&Fixture>,
    plan: &TargetPlan,
    time: &mut RoundTime,
    is_last_round: bool,
) -> Visit {
    let mut visit = Visit { left_behind: Some(0), observations: Vec::new(), agreement: None, skipped: Vec::new() };
    let round = session.round;
    if session.clients.len() < 2 && (plan.sync.is_some() || plan.deregister.is_some()) {
        visit.skip("sync-latency and deregister-latency", "one node has nobody to agree with");
    } else {
        single_changes(&mut session, plan, time, &mut visit).await;
    }
    if let Some(part) = start(&mut session, push_latency::NAME, plan.push, time, &mut visit) {
        visit.take(push_latency::NAME, round, push_latency::run(&session, part.plan).await);
    }
    if let Some(part) = start(&mut session, load_query::NAME, plan.query, time, &mut visit) {
        match fixture {
            Some(it) => visit.take(load_query::NAME, round, load_query::run(&session, it, part.plan).await),
            None => visit.skip(load_query::NAME, "its instances could not be placed"),
        }
    }
    if let Some(part) = start(&mut session, load_beat::NAME, plan.beat, time, &mut visit) {
        match fixture {
            Some(it) => visit.take(load_beat::NAME, round, load_beat::run(&session, it, part.plan).await),
            None => visit.skip(load_beat::NAME, "its instances could not be placed"),
        }
    }
    if let Some(part) = start(&mut session, load_register::NAME, plan.register, time, &mut visit) {
        visit.take(load_register::NAME, round, load_register::run(&session, part.plan).await);
    }
    persistent_data(&mut session, plan, time, &mut visit).await;
    if is_last_round {
        agree(&mut session, plan, time, &mut visit).await;
    }
    if let Some(part) = start(&mut session, burst_convergence::NAME, plan.burst, time, &mut visit) {
        if session.deadline.saturating_duration_since(Instant::now()) * 2 < part.limit {
            visit.skip(burst_convergence::NAME, format!("round {}: there was no time left for it", round + 1));
        } else {
            let done = burst_convergence::run(&session, part.plan).await;
            visit.left_behind = done.as_ref().map_or(None, |it| it.left_behind);
            visit.take(burst_convergence::NAME, round, done.map(|it| it.observations));
        }
    }
    visit.observations.extend(memory::observe(session.cluster, "at the end of a round"));
    visit
}

/// The next experiment with its deadline set, or nothing when it is not planned or the user wants to stop.
fn start<T>(
    session: &mut Session<'_>,
    name: &str,
    part: Option<Timed<T>>,
    time: &mut RoundTime,
    visit: &mut Visit,
) -> Option<Timed<T>> {
    let Some(part) = part else {
        visit.skip(name, NOT_PLANNED);
        return None;
    };
    if session.stop.is_cancelled() {
        return None;
    }
    session.progress.status(&format!("{name} at {}, round {}", session.cluster.target, session.round + 1));
    let is_elastic =
        [sync_latency::NAME, deregister_latency::NAME, push_latency::NAME, persistent::read_after_write::NAME]
            .contains(&name);
    let limit = if is_elastic { Limits::elastic(part.limit) } else { Limits::fixed(part.limit) };
    session.deadline = time.next_deadline(Instant::now(), limit);
    Some(part)
}

/// What is committed before it is acknowledged.
async fn persistent_data(session: &mut Session<'_>, plan: &TargetPlan, time: &mut RoundTime, visit: &mut Visit) {
    let round = session.round;
    let name = persistent::read_after_write::NAME;
    if let Some(part) = start(session, name, plan.read_after_write, time, visit) {
        visit.take(name, round, persistent::read_after_write::run(session, part.plan).await);
    }
    if let Some(part) = start(session, persistent::load::NAME, plan.persistent, time, visit) {
        visit.take(persistent::load::NAME, round, persistent::load::run(session, part.plan).await);
    }
}

/// Random operations, and whether all nodes then hold the same.
async fn agree(session: &mut Session<'_>, plan: &TargetPlan, time: &mut RoundTime, visit: &mut Visit) {
    let Some(part) = start(session, agreement::NAME, plan.agreement, time, visit) else { return };
    let history = session.out.map(|it| it.join("agreement").join(file_name(&session.cluster.target)));
    match agreement::run(session, part.plan, history.as_deref()).await {
        Ok(done) => {
            visit.observations.extend(done.observations);
            visit.agreement = Some(done.agreement);
        }
        Err(error) => visit.skip(agreement::NAME, format!("{error:#}")),
    }
}

/// A target as the name of its history.
fn file_name(target: &str) -> String {
    format!("{}.jsonl", target.replace(['/', ':', ','], "_"))
}

/// `sync-latency`, then `deregister-latency` with what it registered.
async fn single_changes(session: &mut Session<'_>, plan: &TargetPlan, time: &mut RoundTime, visit: &mut Visit) {
    let round = session.round;
    let mut registered: Vec<Instance> = Vec::new();
    if let Some(part) = start(session, sync_latency::NAME, plan.sync, time, visit) {
        let done = sync_latency::run(session, part.plan).await;
        visit.observations.extend(done.observations);
        registered = done.registered;
    }
    if let Some(part) = start(session, deregister_latency::NAME, plan.deregister, time, visit) {
        let missing = part.plan.saturating_sub(registered.len());
        match deregister_latency::place(session, missing).await {
            Ok(placed) => {
                registered.extend(placed);
                let rows = deregister_latency::run(session, &mut registered, part.plan).await;
                visit.take(deregister_latency::NAME, round, rows);
            }
            Err(error) => visit.skip(deregister_latency::NAME, format!("{error:#}")),
        }
    }
    let removed = bulk::deregister(session, &registered).await;
    if !removed.is_ok_and(|it| it.failed == 0) {
        visit.skip("clean-up", format!("round {}: instances were left behind", round + 1));
    }
}
