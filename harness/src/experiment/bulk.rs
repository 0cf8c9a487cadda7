//! Many calls as fast as the answers come, over connections spread evenly over all nodes. Used for set-up, clean-up and
//! bursts; a call that fails is repeated, because all of them mean the same when done twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Session;
use crate::client::nacos::CALL_LIMIT;
use crate::client::{Call, Connection, Instance};
use crate::target::Node;

/// Connections over all nodes for set-up and clean-up.
const CONNECTIONS: usize = 24;

/// How often one call is tried.
const ATTEMPTS: u32 = 3;

/// Pause before another attempt, times the number of attempts so far.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// What became of the calls.
#[derive(Debug)]
pub struct BulkDone {
    /// When the first call was sent.
    pub began: Instant,
    /// When the last successful answer arrived.
    pub last_ack: Instant,
    /// Per call: whether it succeeded.
    pub acked: Vec<bool>,
    /// Calls that did not succeed in `ATTEMPTS` attempts.
    pub failed: u64,
    error: Option<String>,
}

impl BulkDone {
    /// What the first failed call met.
    pub fn first_error(&self) -> &str {
        self.error.as_deref().unwrap_or("none")
    }
}

/// Registers all instances.
pub async fn register(session: &Session<'_>, instances: &[Instance]) -> Result<BulkDone> {
    let calls = instances.iter().map(|it| Call::register(session.context(), it, 1)).collect::<Result<Vec<_>, _>>()?;
    send_all(session, calls.into(), CONNECTIONS).await
}

/// Registers all instances at these nodes alone.
pub async fn register_at(session: &Session<'_>, nodes: &[Node], instances: &[Instance]) -> Result<BulkDone> {
    let calls = instances.iter().map(|it| Call::register(session.context(), it, 1)).collect::<Result<Vec<_>, _>>()?;
    send_all_to(session, nodes, calls.into(), CONNECTIONS).await
}

/// Deregisters all instances.
pub async fn deregister(session: &Session<'_>, instances: &[Instance]) -> Result<BulkDone> {
    let calls = instances.iter().map(|it| Call::deregister(session.context(), it)).collect::<Result<Vec<_>, _>>()?;
    send_all(session, calls.into(), CONNECTIONS).await
}

/// Opens `count` connections, the first to the first node, the second to the second, and so on round.
pub async fn connect(nodes: &[Node], count: usize) -> Result<Vec<Connection>> {
    let mut connections = Vec::with_capacity(count);
    for node in nodes.iter().cycle().take(count) {
        let mut connection = Connection::new(&node.address)?;
        connection.open().await?;
        connections.push(connection);
    }
    Ok(connections)
}

/// Sends every call once over `connections` connections, in order, each connection taking the next when it is free.
///
/// # Errors
/// When a connection cannot be opened. Failed calls are counted, not returned as an error.
pub async fn send_all(session: &Session<'_>, calls: Arc<[Call]>, connections: usize) -> Result<BulkDone> {
    send_all_to(session, &session.cluster.nodes, calls, connections).await
}

/// The same, over connections to these nodes alone.
async fn send_all_to(
    session: &Session<'_>,
    nodes: &[Node],
    calls: Arc<[Call]>,
    connections: usize,
) -> Result<BulkDone> {
    let next = Arc::new(AtomicUsize::new(0));
    let opened = connect(nodes, connections.min(calls.len())).await?;
    let began = Instant::now();
    let mut workers = JoinSet::new();
    for connection in opened {
        let worker = Worker { connection, calls: calls.clone(), next: next.clone(), stop: session.stop.clone() };
        workers.spawn(worker.run());
    }
    let mut done = BulkDone { began, last_ack: began, acked: vec![false; calls.len()], failed: 0, error: None };
    while let Some(part) = workers.join_next().await {
        let part = part.map_err(|error| anyhow!("a sender ended unexpectedly: {error}"))?;
        done.last_ack = done.last_ack.max(part.last_ack.unwrap_or(began));
        done.error = done.error.or(part.error);
        for position in part.acked {
            if let Some(it) = done.acked.get_mut(position) {
                *it = true;
            }
        }
    }
    done.failed = done.acked.iter().filter(|it| !**it).count() as u64;
    Ok(done)
}

/// One connection with its share of the work.
struct Worker {
    connection: Connection,
    calls: Arc<[Call]>,
    next: Arc<AtomicUsize>,
    stop: tokio_util::sync::CancellationToken,
}

/// What one connection did.
#[derive(Default)]
struct Part {
    acked: Vec<usize>,
    last_ack: Option<Instant>,
    error: Option<String>,
}

impl Worker {
    async fn run(mut self) -> Part {
        let mut part = Part::default();
        // Clean-up must also work after the user asked to stop, so only a hopeless target ends it early.
        let mut failures_in_a_row = 0;
        loop {
            let position = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(call) = self.calls.get(position).cloned() else { return part };
            match self.attempt(&call).await {
                Ok(()) => {
                    failures_in_a_row = 0;
                    part.last_ack = Some(Instant::now());
                    part.acked.push(position);
                }
                Err(error) => {
                    failures_in_a_row += 1;
                    part.error.get_or_insert(error);
                    if failures_in_a_row >= ATTEMPTS || self.stop.is_cancelled() {
                        return part;
                    }
                }
            }
        }
    }

    async fn attempt(&mut self, call: &Call) -> Result<(), String> {
        let mut attempt = 1;
        loop {
            match self.connection.send(call, CALL_LIMIT).await {
                Ok(_) => return Ok(()),
                Err(error) if attempt == ATTEMPTS => return Err(error.to_string()),
                Err(_) => tokio::time::sleep(RETRY_PAUSE * attempt).await,
            }
            attempt += 1;
        }
    }
}
