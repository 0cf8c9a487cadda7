//! Every connection sends its next call as soon as the last is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::task::JoinSet;

use super::LoadPlan;
use crate::client::nacos::CALL_LIMIT;
use crate::client::{Call, Connection};
use crate::experiment::{Session, bulk};
use crate::stats::Round;

/// A sample is the rate over this long.
pub const SLICE: Duration = Duration::from_millis(250);

/// What was reached.
#[derive(Debug, Default)]
pub struct SaturationDone {
    /// Successful answers per second, one value per [`SLICE`].
    pub rates: Round,
    /// Calls without the expected answer; they are in no rate.
    pub errors: u64,
    /// What the first failed call met.
    pub first_error: Option<String>,
}

/// What all connections share.
struct Shared {
    calls: Arc<[Call]>,
    next: AtomicUsize,
    start: Instant,
    end: Instant,
    /// Successful answers per slice.
    slices: Vec<AtomicU64>,
    stop: tokio_util::sync::CancellationToken,
}

/// Saturates the target for `plan.saturation`, which counts in whole slices; `first` is the index of the first call.
///
/// # Errors
/// When the connections cannot be opened.
pub async fn run(session: &Session<'_>, plan: LoadPlan, calls: Arc<[Call]>, first: usize) -> Result<SaturationDone> {
    let connections = bulk::connect(&session.cluster.nodes, plan.connections).await?;
    let slices = (plan.saturation.as_millis() / SLICE.as_millis()).max(1) as usize;
    let start = Instant::now();
    let shared = Arc::new(Shared {
        calls,
        next: AtomicUsize::new(first),
        start,
        end: start + SLICE * slices as u32,
        slices: (0..slices).map(|_| AtomicU64::new(0)).collect(),
        stop: session.stop.clone(),
    });
    let mut workers = JoinSet::new();
    for connection in connections {
        workers.spawn(work(connection, shared.clone()));
    }
    let mut done = SaturationDone::default();
    while let Some(part) = workers.join_next().await {
        let (errors, first_error) = part.context("a connection of the load generator ended unexpectedly")?;
        done.errors += errors;
        done.first_error = done.first_error.or(first_error);
    }
    if !session.stop.is_cancelled() {
        for slice in &shared.slices {
            done.rates.record(slice.load(Ordering::Relaxed) as f64 / SLICE.as_secs_f64());
        }
    }
    Ok(done)
}

async fn work(mut connection: Connection, shared: Arc<Shared>) -> (u64, Option<String>) {
    let (mut errors, mut first_error) = (0, None);
    while Instant::now() < shared.end && !shared.stop.is_cancelled() {
        let index = shared.next.fetch_add(1, Ordering::Relaxed);
        let Some(call) = shared.calls.get(index % shared.calls.len().max(1)) else { break };
        match connection.send(call, CALL_LIMIT).await {
            Ok(_) => {
                let slice = (shared.start.elapsed().as_millis() / SLICE.as_millis()) as usize;
                // An answer after the end belongs to no slice.
                if let Some(slice) = shared.slices.get(slice) {
                    slice.fetch_add(1, Ordering::Relaxed);
                }
            }
            Err(error) => {
                errors += 1;
                first_error.get_or_insert_with(|| error.to_string());
            }
        }
    }
    (errors, first_error)
}
