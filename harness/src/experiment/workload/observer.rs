//! Looks at every node again and again, and records what it shows.
//!
//! It reads `GET /instance/statuses` of one service after the other: always answered from what the asked node itself
//! serves from, never forwarded, not bent by protection thresholds, and 22 bytes per instance where a list has 400
//! (`compat/spec/health-and-push.md` §3). A thousand instances are 22 kB per look at a whole node, so the observer
//! costs a node less than the heartbeats of the same instances.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Population, Recorder};
use crate::client::{ClientError, NacosClient};
use crate::experiment::fault::history::{Event, Look, Us};

/// Pause after a read without an answer: a node that is starting must not be slowed down by questions.
const PAUSE_AWAY: Duration = Duration::from_millis(50);

/// The observer of one node.
#[derive(Debug)]
pub(crate) struct Observer {
    pub(crate) node: usize,
    pub(crate) client: Arc<NacosClient>,
    pub(crate) population: Population,
    pub(crate) recorder: Arc<Recorder>,
    /// Pause between two reads.
    pub(crate) pace: Duration,
    /// When an answer was last asked for and came, plus one; nought while there was none.
    pub(crate) answered: AtomicU64,
    /// What it showed last, by service.
    pub(crate) latest: Mutex<Vec<Option<Vec<u32>>>>,
}

impl Observer {
    /// An observer of the node at position `node` that has not looked yet.
    pub(crate) fn new(
        (node, client): (usize, Arc<NacosClient>),
        population: Population,
        recorder: Arc<Recorder>,
        pace: Duration,
    ) -> Self {
        let latest = Mutex::new(vec![None; population.services() as usize]);
        Self { node, client, population, recorder, pace, answered: AtomicU64::new(0), latest }
    }

    /// Reads until told to stop.
    pub(crate) async fn run(self: Arc<Self>, over: CancellationToken) {
        let mut next = Instant::now();
        for service in (0..self.population.services()).cycle() {
            tokio::select! {
                () = sleep_until(next) => {}
                () = over.cancelled() => return,
            }
            let asked = Instant::now();
            let answered = self.look(service).await;
            // Reads that were missed are not made up for.
            next = asked + if answered { self.pace } else { self.pace.max(PAUSE_AWAY) };
        }
    }

    /// Whether a read that was sent after `since` was answered.
    pub(crate) fn has_answered_since(&self, since: Us) -> bool {
        self.answered.load(Ordering::Relaxed) > since
    }

    async fn look(&self, service: u32) -> bool {
        let name = self.population.service_name(service);
        let sent = self.recorder.now();
        let shown = match self.client.statuses(name).await {
            Ok(statuses) => Some(self.read(&statuses.ips)),
            // A node that holds nothing of the service says so, and that is an answer.
            Err(ClientError::Refused { body, .. }) if body.contains("not found") => Some(Vec::new()),
            Err(_) => None,
        };
        let done = self.recorder.now();
        let present = shown.as_ref().map(|all| all.iter().map(|it| it.0).collect::<Vec<_>>());
        if let Some(present) = &present {
            self.answered.store(sent + 1, Ordering::Relaxed);
            if let Some(latest) = self.latest.lock().get_mut(service as usize) {
                *latest = Some(present.clone());
            }
        }
        let answered = present.is_some();
        let unhealthy = shown.iter().flatten().filter(|it| !it.1).map(|it| it.0).collect();
        self.recorder.add(Event::Look(Look { node: self.node, service, sent, done, present, unhealthy }));
        answered
    }

    /// Numbers and health, ascending.
    fn read(&self, statuses: &[String]) -> Vec<(u32, bool)> {
        let mut all: Vec<_> = statuses.iter().filter_map(|it| self.population.read_status(it)).collect();
        all.sort_unstable();
        all.dedup_by_key(|it| it.0);
        all
    }
}
