//! Calls due on a schedule.
//!
//! Call `i` is due at `start + i / rate`. A thread of its own releases the calls that are due (the runtime's timer only
//! has millisecond steps), and whichever connection is free takes the next one. When none is free the call waits, and
//! its latency includes the wait. What a call waited although a connection was free is the generator's own lag.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::LoadPlan;
use crate::client::nacos::CALL_LIMIT;
use crate::client::{Call, Connection};
use crate::experiment::{Session, bulk};
use crate::stats::Round;

/// Time between opening the connections and the first call.
const LEAD: Duration = Duration::from_millis(20);

/// How long after the end of the schedule calls may still be sent; what is left then was never sent.
const OVERTIME: Duration = Duration::from_secs(5);

/// What became of the schedule.
#[derive(Debug, Default)]
pub struct OpenLoopDone {
    /// From due to answered, ms.
    pub latency: Round,
    /// From due (or from when a connection became free, if that was later) to sent, ms.
    pub lag: Round,
    /// Calls in the schedule.
    pub scheduled: usize,
    /// Calls without the expected answer.
    pub errors: u64,
    /// Calls that no connection was free for until the end.
    pub unsent: u64,
    /// What the first failed call met.
    pub first_error: Option<String>,
}

/// The schedule all connections work on.
struct Schedule {
    calls: Arc<[Call]>,
    start: Instant,
    rate: f64,
    total: usize,
    /// Index of the next call.
    next: AtomicUsize,
    /// One permit per call that is due. Waiters are served in order.
    due: Semaphore,
    give_up: Instant,
    over: AtomicBool,
}

impl Schedule {
    fn due_at(&self, index: usize) -> Instant {
        self.start + Duration::from_secs_f64(index as f64 / self.rate)
    }

    /// Releases calls as they become due; runs on a thread of its own. At the end one more permit per connection lets
    /// every one of them see that nothing is left.
    fn release(&self, connections: usize) {
        let mut released = 0;
        while released < self.total && !self.over.load(Ordering::Relaxed) {
            let now = Instant::now();
            let mut due = 0;
            while released + due < self.total && self.due_at(released + due) <= now {
                due += 1;
            }
            self.due.add_permits(due);
            released += due;
            let wait = self.due_at(released).saturating_duration_since(Instant::now());
            std::thread::sleep(wait.min(Duration::from_millis(50)));
        }
        self.due.add_permits(connections);
    }
}

/// Ends the releasing thread when the caller stops waiting.
struct OverOnDrop(Arc<Schedule>);

impl Drop for OverOnDrop {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}

/// Runs the schedule once.
///
/// # Errors
/// When the connections cannot be opened.
pub async fn run(session: &Session<'_>, plan: LoadPlan, calls: Arc<[Call]>) -> Result<OpenLoopDone> {
    let connections = bulk::connect(&session.cluster.nodes, plan.connections).await?;
    let start = Instant::now() + LEAD;
    let schedule = Arc::new(Schedule {
        calls,
        start,
        rate: f64::from(plan.rate),
        total: (f64::from(plan.rate) * plan.open_loop.as_secs_f64()).round() as usize,
        next: AtomicUsize::new(0),
        due: Semaphore::new(0),
        give_up: start + plan.open_loop + OVERTIME,
        over: AtomicBool::new(false),
    });
    let guard = OverOnDrop(schedule.clone());
    let releaser = {
        let (schedule, connections) = (schedule.clone(), connections.len());
        std::thread::Builder::new()
            .name("load-schedule".into())
            .spawn(move || schedule.release(connections))
            .context("the thread that keeps the schedule")?
    };
    let mut workers = JoinSet::new();
    for connection in connections {
        workers.spawn(work(connection, schedule.clone()));
    }
    let mut done = OpenLoopDone { scheduled: schedule.total, ..Default::default() };
    loop {
        tokio::select! {
            part = workers.join_next() => {
                let Some(part) = part else { break };
                let part = part.context("a connection of the load generator ended unexpectedly")?;
                done.latency.merge(&part.latency);
                done.lag.merge(&part.lag);
                done.errors += part.errors;
                done.first_error = done.first_error.or(part.first_error);
            }
            () = session.stop.cancelled(), if !schedule.over.load(Ordering::Relaxed) => {
                schedule.over.store(true, Ordering::Relaxed);
            }
        }
    }
    drop(guard);
    // It has seen the end of the schedule or `over`, so this takes one sleep at most.
    let _ = tokio::task::spawn_blocking(move || releaser.join()).await;
    done.unsent = (schedule.total as u64).saturating_sub(done.latency.len() + done.errors);
    Ok(done)
}

async fn work(mut connection: Connection, schedule: Arc<Schedule>) -> OpenLoopDone {
    let mut done = OpenLoopDone::default();
    loop {
        let free_at = Instant::now();
        let Ok(permit) = schedule.due.acquire().await else { return done };
        permit.forget();
        let index = schedule.next.fetch_add(1, Ordering::Relaxed);
        let sent_at = Instant::now();
        if index >= schedule.total || sent_at >= schedule.give_up || schedule.over.load(Ordering::Relaxed) {
            return done;
        }
        let due_at = schedule.due_at(index);
        done.lag.record_duration(sent_at.saturating_duration_since(due_at.max(free_at)));
        let Some(call) = schedule.calls.get(index % schedule.calls.len().max(1)) else { return done };
        match connection.send(call, CALL_LIMIT).await {
            Ok(_) => done.latency.record_duration(due_at.elapsed()),
            Err(error) => {
                done.errors += 1;
                done.first_error.get_or_insert_with(|| error.to_string());
            }
        }
    }
}
