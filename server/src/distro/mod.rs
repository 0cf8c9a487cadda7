//! AP replication of ephemeral instances: Nacos' Distro protocol (compat/spec/distro.md).
//!
//! # Layout
//! - [`datum`]: keys and the JSON of instance lists, both ways
//! - [`stream`]: what changed, between Tandem nodes
//! - [`beats`]: beats for services of another Tandem node, in batches
//! - [`checksum`]: what two nodes compare to see whether their lists agree
//! - [`sync`]: a change goes to every peer at once; `back`: also to one that was away a moment ago
//! - `hand_over`: what moves to another node with the ring
//! - `merge`: what becomes of our list when a peer's arrives
//! - [`verify`]: checksums of owned lists go to every peer every 5 s
//! - [`receive`]: what peers send and ask for
//! - `compare`: what a peer's checksums say of our lists
//! - [`load`]: the snapshot at start
//! - [`health_sync`]: health flags, which official nodes take from nowhere else
//! - [`subscribers`]: consumers the other members know
//! - [`peer_client`]: the calls a node makes to its peers; `hand_on`: those it makes for clients
//! - `per_peer`: rounds of calls in which a silent peer delays nobody
//!
//! Nothing is stored here: the registry is what is served and what is replicated. Official nodes keep a second copy,
//! which drifts (compat/spec/distro.md §8.4).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::cluster::members::Members;
use crate::cluster::status::Status;
use crate::naming::registry::Registry;
use crate::naming::service::ServiceId;
use crate::naming::switches::Switches;
use crate::settings::DistroSettings;
use crate::tasks::Tasks;
use peer_client::PeerClient;

mod back;
pub mod beats;
pub mod checksum;
mod compare;
pub mod datum;
mod hand_on;
mod hand_over;
pub mod health_sync;
pub mod load;
mod merge;
pub mod peer_client;
mod per_peer;
pub mod receive;
pub mod stream;
pub mod subscribers;
pub mod sync;
pub mod verify;

/// Replication of ephemeral instances.
pub struct Distro {
    registry: Arc<Registry>,
    members: Arc<Members>,
    client: Arc<PeerClient>,
    settings: DistroSettings,
    switches: Arc<Switches>,
    /// When a list last came from a peer; one entry per service there is.
    receipts: Mutex<HashMap<ServiceId, Instant>>,
    /// Lists that moved to another Tandem node with the ring and have not reached it yet.
    hand_over: hand_over::HandOver,
    /// Peers whose checksums are being worked through: a second message meanwhile is ignored.
    verifying: Mutex<HashSet<String>>,
    /// What Tandem peers send as changes.
    incoming: stream::incoming::Incoming,
    /// Beats waiting to be handed on.
    beats: beats::Lanes,
    /// Health flags being asked for.
    pulls: health_sync::Pulls,
}

impl std::fmt::Debug for Distro {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Distro").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Distro {
    /// Replication between these members; nothing runs yet.
    pub fn new(
        registry: Arc<Registry>,
        members: Arc<Members>,
        client: Arc<PeerClient>,
        settings: DistroSettings,
        switches: Arc<Switches>,
    ) -> Arc<Self> {
        Arc::new(Distro {
            registry,
            members,
            client,
            settings,
            switches,
            receipts: Mutex::default(),
            hand_over: hand_over::HandOver::default(),
            verifying: Mutex::default(),
            incoming: stream::incoming::Incoming::default(),
            beats: beats::Lanes::default(),
            pulls: health_sync::Pulls::default(),
        })
    }

    /// Loads what the peers hold, in bounded time, then starts replicating. Call it when the member list is known and
    /// before clients are served.
    pub async fn start(self: &Arc<Self>, tasks: &Tasks, status: Arc<Status>) {
        if self.members.is_standalone() {
            return;
        }
        // Subscribed before anything is loaded, so that no change falls between.
        tasks.spawn("distro sync", sync::run(Arc::clone(self)));
        if load::first_attempt(self).await {
            status.data_is_ready();
        } else {
            let distro = Arc::clone(self);
            tasks.spawn("distro load", async move {
                load::until_loaded(distro).await;
                status.data_is_ready();
            });
        }
        tasks.spawn("distro verify", verify::run(Arc::clone(self)));
        tasks.spawn("health reports", health_sync::run(Arc::clone(self)));
        tasks.spawn("flips", health_sync::flips::run(Arc::clone(self)));
    }

    /// The calls this node makes to its peers.
    pub fn client(&self) -> &Arc<PeerClient> {
        &self.client
    }

    /// Whether this node is responsible for a grouped service name.
    pub fn responsible(&self, name: &str) -> bool {
        self.members.responsible(name, self.switches.get().distro_enabled)
    }

    /// The ring as Tandem nodes tell each other, to see whether they agree.
    fn ring_text(&self) -> String {
        self.members.ring().to_text()
    }

    /// A list came from a peer just now.
    fn received(&self, id: &ServiceId) {
        let mut receipts = self.receipts.lock();
        match receipts.get_mut(id) {
            Some(at) => *at = Instant::now(),
            None => {
                receipts.insert(id.clone(), Instant::now());
            }
        }
    }

    /// Forgets receipts of services that are gone.
    fn forget_receipts(&self) {
        self.receipts.lock().retain(|id, _| self.registry.get(id).is_some());
    }

    /// What should have come to an end in a cluster that is at peace, and does not, in words.
    #[cfg(test)]
    pub(crate) fn left_over(&self) -> Vec<String> {
        let mut found = Vec::new();
        let (receipts, services) = (self.receipts.lock().len(), self.registry.len());
        // Those of services that went since the last round of checksums are still there.
        if receipts > services + 100 {
            found.push(format!("{receipts} receipts of {services} services"));
        }
        let offers = self.hand_over.waiting();
        if offers > 0 {
            found.push(format!("{offers} lists were never handed over"));
        }
        found
    }

    /// Whether this peer was not told yet what we have of a service that moved to it.
    #[cfg(test)]
    pub(crate) fn is_to_offer(&self, peer: &str, id: &ServiceId) -> bool {
        self.hand_over.offers(peer).contains_key(id)
    }

    fn receipt(&self, id: &ServiceId) -> Option<Instant> {
        self.receipts.lock().get(id).copied()
    }
}

#[cfg(test)]
mod tests;
