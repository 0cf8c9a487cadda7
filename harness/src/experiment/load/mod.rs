//! Load: the same calls at every target, in two ways.
//!
//! - [`open_loop`]: calls are due on a schedule, and latency counts from when they were due; so a server that stalls is
//!   charged for all the calls that wait meanwhile (no coordinated omission).
//! - [`saturation`]: every connection sends its next call as soon as the last is answered; gives the rate at which it
//!   ends, and no latency, because that would be the generator's choice.
//!
//! Generator and servers share the machine. So a rate is one of this machine with everything on it, and is worth
//! something beside another one of the same run.

pub mod open_loop;
pub mod saturation;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::Instant;

use super::keep_first;
use super::{Observation, Session};
use crate::client::Call;

/// How one kind of load is run in one round.
#[derive(Debug, Clone, Copy)]
pub struct LoadPlan {
    /// Calls per second of the open loop.
    pub rate: u32,
    /// How long the open loop is kept up.
    pub open_loop: Duration,
    /// How long saturation is kept up.
    pub saturation: Duration,
    /// Connections over all nodes, for both.
    pub connections: usize,
}

impl LoadPlan {
    /// The plan shortened to what fits into `left`, and whether that was necessary.
    fn fitted(self, left: Duration) -> (Self, bool) {
        let wanted = self.open_loop + self.saturation;
        if wanted <= left {
            return (self, false);
        }
        let share = left.as_secs_f64() / wanted.as_secs_f64();
        let (open_loop, saturation) = (self.open_loop.mul_f64(share), self.saturation.mul_f64(share));
        (Self { open_loop, saturation, ..self }, true)
    }
}

/// Runs `calls` round and round, first on schedule, then as fast as possible, and returns the rows of `experiment`.
///
/// # Errors
/// When the connections cannot be opened, or less than a quarter of the time is left.
pub async fn run(
    session: &Session<'_>,
    experiment: &'static str,
    plan: LoadPlan,
    calls: Arc<[Call]>,
) -> Result<Vec<Observation>> {
    let mut rows = Vec::new();
    let left = session.deadline.saturating_duration_since(Instant::now());
    ensure!(left * 4 >= plan.open_loop + plan.saturation, "there was no time left for it");
    let (plan, shortened) = plan.fitted(left);
    let mut sent = 0;
    if !plan.open_loop.is_zero() && plan.rate > 0 {
        let done = open_loop::run(session, plan, calls.clone()).await?;
        sent = done.scheduled;
        let rate = plan.rate.to_string();
        let mut latency = Observation::new(experiment, "ms", done.latency).with("rate", &rate);
        latency.errors = done.errors + done.unsent;
        latency.generator_lag = Some(done.lag.clone());
        if let Some(error) = done.first_error {
            keep_first(&mut latency.notes, format!("round {}: {error}", session.round + 1));
        }
        if done.unsent > 0 {
            let note = format!("round {}: {} calls were never sent", session.round + 1, done.unsent);
            keep_first(&mut latency.notes, note);
        }
        let lag = Observation::new(experiment, "ms", done.lag).with("rate", &rate).with(MEASURE, GENERATOR_LAG);
        rows.extend([latency, lag]);
    }
    if !plan.saturation.is_zero() && !session.is_over() {
        let done = saturation::run(session, plan, calls, sent).await?;
        let mut row = Observation::new(experiment, "1/s", done.rates)
            .with("mode", "saturation")
            .with("connections", plan.connections.to_string());
        row.errors = done.errors;
        if let Some(error) = done.first_error {
            keep_first(&mut row.notes, format!("round {}: {error}", session.round + 1));
        }
        rows.push(row);
    }
    if shortened {
        let note = format!("round {}: shortened, because its time was used up", session.round + 1);
        rows.iter_mut().for_each(|it| it.notes.push(note.clone()));
    }
    Ok(rows)
}

/// Mark of a row that is not about the target.
pub const MEASURE: &str = "measure";

/// Value of [`MEASURE`]: how much later than due the generator sent although it had a free connection, ms.
pub const GENERATOR_LAG: &str = "generator lag";
