//! Changes go to every peer at once (compat/spec/distro.md §7).
//!
//! Official nodes wait two seconds and share a few workers between all peers, so that a dead peer delays the living.
//! Here every peer has its own task and its own inbox, which holds one entry per service however long the peer is
//! away. The first change is sent immediately; what arrives while a request is in flight makes up the next one. The
//! list is read when it is sent, never earlier. Tandem peers are told what changed ([`super::stream`]), others get
//! whole lists.

use std::collections::{BTreeMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use indexmap::IndexSet;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Distro;
use super::back::unless_back;
use super::datum::MapWriter;
use super::hand_over::{Offers, RING_SETTLES};
use super::peer_client::PeerError;
use super::stream::outgoing::{Message, Outcome, Outgoing};
use crate::cluster::ring::Ring;
use crate::flaw::{Flaw, is_broken};
use crate::naming::changes::{Change, Changes};
use crate::naming::service::ServiceId;
use crate::telemetry::metrics;

/// A request is closed when it holds this much, bytes; a longer list goes alone.
const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Pause after a first failure; it doubles up to the configured `syncRetryDelay`.
const RETRY_MIN: Duration = Duration::from_millis(100);
/// How often a peer may refuse the same lists (by an answer, not by silence) before they are left to the checksums.
const REFUSALS_MAX: u32 = 5;
/// How often in a row a peer may issue a new session before it is taken for a failure; once is normal.
const REOPENED_MAX: u32 = 3;

/// Keeps one task per peer until dropped.
pub(super) async fn run(distro: Arc<Distro>) {
    let mut membership = distro.members.subscribe();
    let mut tasks: BTreeMap<String, PeerTask> = BTreeMap::new();
    loop {
        let ring = Arc::clone(&membership.borrow_and_update());
        distro.ring_moved(ring);
        let peers = distro.members.peers();
        tasks.retain(|address, _| peers.iter().any(|peer| peer.address == *address));
        for peer in peers {
            tasks.entry(peer.address).or_insert_with_key(|address| PeerTask::start(&distro, address.clone()));
        }
        if membership.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Ends its task when dropped.
struct PeerTask(JoinHandle<()>);

impl PeerTask {
    fn start(distro: &Arc<Distro>, address: String) -> Self {
        let peer = Peer {
            membership: distro.members.subscribe(),
            // Subscribed here and not in the task: no change may fall between.
            changes: distro.registry.subscribe(),
            pending: IndexSet::new(),
            waiting_since: Instant::now(),
            failures: 0,
            refusals: 0,
            outgoing: Outgoing::default(),
            offers: Offers::new(),
            reopened: 0,
            stream_refused: None,
            distro: Arc::clone(distro),
            address,
        };
        PeerTask(crate::tasks::spawn(peer.run()))
    }
}

impl Drop for PeerTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One peer and what it has not been told yet.
struct Peer {
    distro: Arc<Distro>,
    address: String,
    membership: watch::Receiver<Arc<Ring>>,
    changes: Changes,
    pending: IndexSet<ServiceId>,
    /// When the oldest pending change was taken in.
    waiting_since: Instant,
    failures: u32,
    refusals: u32,
    /// What it was told as changes.
    outgoing: Outgoing,
    /// What is to be handed over to it, as of the message that is written or under way.
    offers: Offers,
    reopened: u32,
    /// It announces the stream and refuses it: whole lists until there is news of the cluster.
    stream_refused: Option<watch::Receiver<Arc<Ring>>>,
}

impl Peer {
    async fn run(mut self) {
        loop {
            if self.pending.is_empty() {
                // What failed last has gone or come to nothing since; the next failure is a first one.
                (self.failures, self.refusals) = (0, 0);
                self.gather().await;
                self.waiting_since = Instant::now();
            } else {
                self.gather().await;
            }
            if self.speaks_stream() {
                self.send_changes().await;
            } else {
                self.send_lists().await;
            }
        }
    }

    fn speaks_stream(&mut self) -> bool {
        self.stream_refused.take_if(|news| news.has_changed().unwrap_or(false));
        self.stream_refused.is_none() && self.distro.members.stream_version(&self.address).is_some()
    }

    /// What changed, to a Tandem peer.
    async fn send_changes(&mut self) {
        let (mut message, settled) = self.next_changes();
        let batch: Vec<ServiceId> = message.services().cloned().collect();
        self.settle(settled, &batch);
        if batch.is_empty() {
            return;
        }
        let body = std::mem::take(&mut message.body);
        let (bytes, instances) = (body.len(), message.instances);
        let (distro, ring) = (Arc::clone(&self.distro), self.distro.ring_text());
        let call = distro.client.changes(&self.address, body, &ring);
        let Some(answer) = unless_back(call, &self.address, &mut self.membership).await else {
            self.pending.extend(batch);
            return;
        };
        match answer {
            Ok(answer) => match self.outgoing.answered(message, answer) {
                Outcome::Applied(behind) => {
                    self.reopened = 0;
                    metrics::sync_sent(&self.address, bytes, instances);
                    // They have not arrived, so their place in the hand-over stays.
                    self.delivered(&batch.iter().filter(|id| !behind.contains(id)).cloned().collect::<Vec<_>>());
                    self.distro.hand_over.differ(&self.address, &behind);
                    self.pending.extend(behind);
                }
                Outcome::Reopened if self.reopened < REOPENED_MAX => {
                    self.reopened += 1;
                    self.pending.extend(batch);
                }
                Outcome::Reopened => {
                    self.reopened = 0;
                    self.failed(batch, &PeerError::Transport("another node sends in our name".to_owned())).await;
                }
            },
            Err(error @ PeerError::Status(..)) => {
                tracing::info!(peer = self.address, %error, "changes refused, whole lists are sent instead");
                self.stream_refused = Some(self.distro.members.subscribe());
                self.pending.extend(batch);
            }
            Err(error) => self.failed(batch, &error).await,
        }
    }

    fn next_changes(&mut self) -> (Message, usize) {
        let distro = Arc::clone(&self.distro);
        self.offers = distro.offers_to(&self.address);
        let offers = &self.offers;
        let how = |id: &ServiceId| distro.how_told(id, offers);
        let limits = (distro.settings.batch_sync_key_count.max(1), REQUEST_BYTES_MAX);
        self.outgoing.next(&distro.registry, self.pending.iter(), limits, how, |id| distro.receipt(id))
    }

    /// Whole lists, as official nodes send them.
    async fn send_lists(&mut self) {
        self.until_it_may_be_told().await;
        let (batch, instances, body) = self.take_batch();
        if batch.is_empty() {
            // Nothing is left, and an empty message is one that official receivers refuse for ever.
            return;
        }
        let ring = self.is_tandem().then(|| self.distro.ring_text());
        let bytes = body.len();
        self.membership.mark_unchanged();
        match self.distro.client.push(&self.address, body, ring.as_deref()).await {
            Ok(()) => {
                metrics::sync_sent(&self.address, bytes, instances);
                self.delivered(&batch);
            }
            Err(error) => self.failed(batch, &error).await,
        }
    }

    /// Waits until an official peer may be told what is ours.
    async fn until_it_may_be_told(&mut self) {
        loop {
            // Marked as seen before the look, so that no change after it is missed.
            self.membership.mark_unchanged();
            if self.distro.may_be_told(&self.address) {
                return;
            }
            let _ = tokio::time::timeout(RING_SETTLES, self.membership.changed()).await;
        }
    }

    fn is_tandem(&self) -> bool {
        self.distro.members.is_tandem(&self.address)
    }

    /// Waits until something is pending, and takes all there is.
    async fn gather(&mut self) {
        let distro = Arc::clone(&self.distro);
        loop {
            // Armed before the look, so that nothing put there in between is missed.
            let mut offered = pin!(distro.hand_over.added());
            offered.as_mut().enable();
            if let Some(changed) = self.changes.next().now_or_never() {
                self.add(changed);
            }
            self.pending.extend(distro.offers_to(&self.address).into_keys());
            if !self.pending.is_empty() {
                return;
            }
            tokio::select! {
                biased;
                changed = self.changes.next() => self.add(changed),
                () = offered => {}
            }
        }
    }

    fn add(&mut self, changed: Vec<(ServiceId, Change)>) {
        let tandem = self.is_tandem();
        for (id, change) in changed {
            // Health goes to official peers by another way: from a list they do not take it (§7.6).
            let health = change.health && tandem && self.distro.responsible(&id.name);
            if change.removed {
                self.outgoing.forget(&id);
            }
            if change.ephemeral_local || health {
                self.pending.insert(id);
            }
        }
    }

    fn delivered(&mut self, batch: &[ServiceId]) {
        (self.failures, self.refusals) = (0, 0);
        metrics::synced(&self.address, self.waiting_since.elapsed());
        metrics::sync_backlog(&self.address, self.pending.len(), Duration::ZERO);
        // What is left came in while this was under way or did not fit; it waits from now on.
        self.waiting_since = Instant::now();
        self.distro.hand_over.done(&self.address, &self.offers, batch.iter());
    }

    /// Takes the first so many off what is pending. Those that are not sent are gone or nothing new, and need not be
    /// handed over either.
    fn settle(&mut self, first: usize, sent: &[ServiceId]) {
        let settled: IndexSet<ServiceId> = self.pending.drain(..first).collect();
        let sent: HashSet<&ServiceId> = sent.iter().collect();
        self.distro.hand_over.done(&self.address, &self.offers, settled.iter().filter(|id| !sent.contains(id)));
    }

    /// The next request: the oldest pending services with their lists as they are now. Services that have gone are
    /// left out; for an official peer also those that are not ours any more: it would take a list of when we were cut
    /// off for the newest, while clients tell the new owner with their next beats what it lacks.
    fn take_batch(&mut self) -> (Vec<ServiceId>, usize, Vec<u8>) {
        self.offers = self.distro.offers_to(&self.address);
        let mut writer = MapWriter::new();
        let mut batch = Vec::new();
        let keys_max = self.distro.settings.batch_sync_key_count.max(1);
        let mut taken = 0;
        let merges = self.distro.members.may_be_tandem(&self.address);
        for id in &self.pending {
            if writer.keys() >= keys_max || writer.bytes() >= REQUEST_BYTES_MAX {
                break;
            }
            taken += 1;
            let is_told = merges || self.distro.responsible(&id.name);
            if let Some(service) = self.distro.registry.get(id).filter(|_| is_told) {
                let state = service.read();
                if state.has_datum {
                    writer.add(id, &state);
                    self.outgoing.forget(id);
                    batch.push(id.clone());
                }
            }
        }
        self.settle(taken, &batch);
        (batch, writer.instances(), writer.finish())
    }

    /// Keeps what was not delivered and waits, longer every time; a change of the cluster since the call began ends the
    /// wait.
    async fn failed(&mut self, batch: Vec<ServiceId>, error: &PeerError) {
        if matches!(error, PeerError::Status(..)) {
            self.refusals += 1;
        }
        if self.refusals >= REFUSALS_MAX {
            tracing::warn!(peer = self.address, services = batch.len(), %error, "lists given up: peer refuses them");
            (self.failures, self.refusals) = (0, 0);
            return;
        }
        if !is_broken(Flaw::DropsRetry) {
            self.pending.extend(batch);
        }
        metrics::sync_failed(&self.address);
        metrics::sync_backlog(&self.address, self.pending.len(), self.waiting_since.elapsed());
        if self.failures == 0 {
            tracing::info!(peer = self.address, %error, "push failed, will be retried");
        }
        let pause = (RETRY_MIN * 2u32.saturating_pow(self.failures.min(10))).min(self.distro.settings.sync_retry_delay);
        self.failures += 1;
        // Jitter keeps several nodes from hitting a returning one together.
        let pause = pause.mul_f64(jitter());
        let _ = tokio::time::timeout(pause, self.membership.changed()).await;
    }
}

fn jitter() -> f64 {
    #[cfg(test)]
    if let Some(process) = crate::simulation::current() {
        return process.jitter();
    }
    rand::random_range(0.8..1.2)
}
