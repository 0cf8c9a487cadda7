//! What peers send and ask for (compat/spec/distro.md §8). Everything is applied before it is answered, so a peer
//! that got its answer knows that readers here see its change.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::Distro;
use super::datum::{self, MapWriter, read_map};
use super::merge::{Merged, Trust, merge, remove};
use crate::clock::now_ms;
use crate::cluster::ring::Ring;
use crate::java;
use crate::naming::changes::Change;
use crate::naming::expiry::{self, heart_beat_timeout};
use crate::naming::instance::{Instance, InstanceKey};
use crate::naming::service::{ServiceId, ServiceState};
use crate::naming::validate::{cluster_name_syntax, group_of, service_name_syntax};

/// Keys asked for in one pull.
pub(super) const PULL_KEYS_MAX: usize = 1000;

/// Whoever is silent for too long is called unhealthy by its owner within this, ms: two looks at it.
const UNHEALTHY_WITHIN_MS: i64 = 2 * expiry::PERIOD.as_millis() as i64;

/// Of the instances in a list, whoever sends it has heard one within this, ms: two beats of official clients.
const HEARD_WITHIN_MS: i64 = 10_000;

/// Who sent something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender<'a> {
    /// An official node, or anybody.
    Official,
    /// A Tandem node.
    Tandem {
        /// Its address.
        address: &'a str,
        /// Its ring, joined by commas; empty when unknown.
        ring: &'a str,
    },
}

impl<'a> Sender<'a> {
    /// A Tandem node that said nothing of its ring.
    pub fn tandem(address: &'a str) -> Self {
        Self::Tandem { address, ring: "" }
    }
}

/// A list that was pushed and waits for what its owner says.
struct Pushed {
    key: String,
    id: ServiceId,
    instances: Vec<Instance>,
    trust: Trust,
}

/// A push that could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// It holds no key.
    #[error("receive empty entity!")]
    Empty,
    /// It is not a datum map.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}

impl Distro {
    /// Takes pushed lists, `PUT /distro/datum` (§8.1).
    ///
    /// # Errors
    /// When the body is no datum map or an empty one.
    pub fn receive(self: &Arc<Self>, body: &[u8], sender: Sender<'_>) -> Result<(), ReceiveError> {
        let map = read_map(body, now_ms())?;
        if map.is_empty() {
            return Err(ReceiveError::Empty);
        }
        let mut late: HashMap<String, Vec<Pushed>> = HashMap::new();
        for (key, datum) in map {
            let Some(id) = datum::service_of(&key) else { continue };
            // Official nodes store under the inner key what the outer one let in; only equal ones make sense.
            if datum.key.is_some_and(|inner| inner != key) {
                tracing::debug!(key, "datum under another key ignored");
                continue;
            }
            let Some(instances) = datum.instances else { continue };
            let trust = self.trust(&id, sender);
            if self.is_late(&id, &instances, trust)
                && let Some(owner) = self.whose(&id, trust)
            {
                late.entry(owner).or_default().push(Pushed { key, id, instances, trust });
                continue;
            }
            self.received(&id);
            let merged = self.apply(&id, instances, Vec::new(), trust);
            self.answer_owner(id, sender, trust, merged);
        }
        for (owner, pushed) in late {
            let distro = Arc::clone(self);
            crate::tasks::spawn(async move { distro.ask_owner(&owner, pushed).await });
        }
        Ok(())
    }

    /// Whether a pushed list is from a while ago, as it seems: nobody in it has been heard lately, it shows as healthy whom
    /// its owner would have called unhealthy long ago, or the owner's own later list is here already: it holds what was
    /// removed since, or an earlier beat. Nothing numbers plain pushes: what an official node sent into a hole or down a
    /// narrow line arrives when it likes, and overtakes.
    fn is_late(&self, id: &ServiceId, instances: &[Instance], trust: Trust) -> bool {
        // From others removals are told, or of two records the later one stays.
        if !matches!(trust, Trust::Owner { tells: false } | Trust::Stranger) {
            return false;
        }
        let now = now_ms();
        if instances.iter().map(|one| one.last_beat).max().is_some_and(|heard| now - heard > HEARD_WITHIN_MS) {
            return true;
        }
        let judged = self.switches.get().health_check_enabled;
        let silent_for = |one: &Instance| now - one.last_beat - heart_beat_timeout(one);
        if judged && instances.iter().any(|one| one.healthy && !one.marked && silent_for(one) > UNHEALTHY_WITHIN_MS) {
            return true;
        }
        if trust == Trust::Stranger {
            // Ours did not come from there.
            return false;
        }
        let Some(service) = self.registry.get(id) else { return false };
        let state = service.read();
        let is_known_later =
            |one: &Instance| state.ephemeral.get(&one.key()).is_some_and(|known| known.last_beat > one.last_beat);
        instances.iter().any(|one| state.removals.covers(one) || is_known_later(one))
    }

    /// Who knows what a pushed list should be. A stranger takes itself or another official node for the owner: the one that
    /// is it while this node is out of their sight.
    fn whose(&self, id: &ServiceId, trust: Trust) -> Option<String> {
        if trust != Trust::Stranger {
            return self.members.owner(&id.name);
        }
        let official = self.members.peers().into_iter().filter(|peer| !peer.may_be_tandem());
        Ring::new(official.map(|peer| peer.address).collect()).owner(&id.name).map(str::to_owned)
    }

    /// Takes lists as this owner has them now; what was pushed counts when it does not answer.
    async fn ask_owner(&self, owner: &str, pushed: Vec<Pushed>) {
        let sender = match self.members.is_tandem(owner) {
            true => Sender::tandem(owner),
            false => Sender::Official,
        };
        let mut left = pushed.into_iter();
        loop {
            let asked: Vec<Pushed> = left.by_ref().take(PULL_KEYS_MAX).collect();
            if asked.is_empty() {
                return;
            }
            let keys: Vec<String> = asked.iter().map(|one| one.key.clone()).collect();
            let before = self.receipts_of(&keys);
            let Err(error) = self.pull(owner, &keys, sender).await else { continue };
            tracing::debug!(owner, lists = keys.len(), %error, "pushed lists seem to be old, and their owner does not answer");
            for one in asked {
                if before.get(&one.key) == Some(&self.receipt(&one.id)) {
                    self.received(&one.id);
                    self.apply(&one.id, one.instances, Vec::new(), one.trust);
                }
            }
        }
    }

    /// What a list from this peer may do to ours.
    pub(super) fn trust(&self, id: &ServiceId, sender: Sender<'_>) -> Trust {
        let ring = self.members.ring();
        let owner = ring.owner(&id.name);
        match sender {
            Sender::Official if self.responsible(&id.name) => Trust::Stranger,
            Sender::Official if owner.is_some_and(|owner| self.members.may_be_tandem(owner)) => Trust::Stranger,
            Sender::Official => Trust::Owner { tells: false },
            Sender::Tandem { address, .. } if self.responsible(&id.name) => {
                match self.hand_over.former_owner(&id.name) {
                    Some(former) if former.settled && former.address == address => {
                        Trust::FormerOwner { moved_at: former.moved_at }
                    }
                    _ => Trust::Copy,
                }
            }
            Sender::Tandem { address, ring: theirs } => {
                // Who knows already that it is another one's may have been wrong about it before.
                let agrees = theirs.is_empty() || Ring::owner_by_text(theirs, &id.name) == Some(address);
                let trusted = owner == Some(address) && agrees && !self.hand_over.is_ahead(address, id, &ring);
                // One that has not said what it is may say that it speaks the stream.
                let tells = !self.members.has_reported(address) || self.members.stream_version(address).is_some();
                if trusted { Trust::Owner { tells } } else { Trust::Copy }
            }
        }
    }

    /// Puts a list in place, and what its sender has removed; the service is created when unknown and its name is
    /// legal.
    pub(super) fn apply(
        &self,
        id: &ServiceId,
        mut instances: Vec<Instance>,
        gone: Vec<(InstanceKey, i64)>,
        trust: Trust,
    ) -> Merged {
        if service_name_syntax(&id.name).is_err() {
            tracing::debug!(service = %id.name, "list of an illegal service name ignored");
            return Merged::default();
        }
        // Official nodes skip these as well.
        instances.retain(|one| !one.ip.is_empty() && cluster_name_syntax(&one.cluster_name).is_ok());
        self.registry.upsert(
            id,
            || ServiceState::new(group_of(&id.name)),
            |state| {
                let merged = merge(state, instances, gone, trust, now_ms());
                let named = state.ephemeral.values().map(|one| &one.cluster_name);
                let new: Vec<String> = named.filter(|name| !state.clusters.contains_key(*name)).cloned().collect();
                new.iter().for_each(|cluster| state.ensure_cluster(cluster));
                state.has_datum = true;
                state.last_modified = now_ms();
                // The others must hear of what came out, and of a mere copy nobody else tells them; from anybody but
                // the owner it would be gossip.
                let news = merged.corrected || merged.changed && trust == Trust::Copy;
                let ephemeral_local = news && self.responsible(&id.name);
                (merged, Change { ephemeral_peer: true, ephemeral_local, ..Change::default() })
            },
        )
    }

    /// An instance was deregistered at its owner, at this time or later, ms since the epoch.
    pub fn departed(&self, id: &ServiceId, key: InstanceKey, at: i64) {
        let Some(service) = self.registry.get(id) else {
            self.registry.removed_from_absent(id, &key);
            return;
        };
        self.registry.update(&service, |state| {
            let before = state.ephemeral.len();
            remove(state, vec![(key, at)], now_ms());
            let ephemeral_peer = state.ephemeral.len() < before;
            ((), Change { ephemeral_peer, ..Change::default() })
        });
    }

    /// The lists of these keys as far as they exist, `GET /distro/datum` (§6.3).
    pub fn datums_of<'a>(&self, keys: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
        let mut writer = MapWriter::new();
        let mut ids: Vec<ServiceId> = keys.into_iter().filter_map(datum::service_of).collect();
        // The order of the official hash table, which starts with 128 places.
        java::sized_hash_order(&mut ids, 128, datum::key);
        ids.dedup();
        for id in ids {
            if let Some(service) = self.registry.get(&id) {
                let state = service.read();
                if state.has_datum {
                    writer.add(&id, &state);
                }
            }
        }
        writer.finish()
    }

    /// All lists, `GET /distro/datums` (§6.4).
    pub fn all_datums(&self) -> Vec<u8> {
        let mut writer = MapWriter::new();
        let mut services = self.registry.services();
        // The order of the official concurrent hash table, which starts with 2048 places.
        java::sized_hash_order(&mut services, 2048, |service| datum::key(service.id()));
        for service in services {
            let state = service.read();
            if state.has_datum {
                writer.add(service.id(), &state);
            }
        }
        writer.finish()
    }

    /// Pulls lists from their owner.
    pub(super) async fn pull(&self, source: &str, keys: &[String], sender: Sender<'_>) -> Result<(), PullError> {
        let before = self.receipts_of(keys);
        let body = self.client.datum(source, keys).await?;
        self.take_pulled(&body, &before, sender)?;
        Ok(())
    }

    /// When each list last came from a peer.
    pub(super) fn receipts_of(&self, keys: &[String]) -> HashMap<String, Option<Instant>> {
        let receipt = |key: &String| datum::service_of(key).and_then(|id| self.receipt(&id));
        keys.iter().map(|key| (key.clone(), receipt(key))).collect()
    }

    /// Puts pulled lists in place. One that was pushed meanwhile is left alone: the push is as new as the answer, and
    /// what changed after it is pushed again.
    pub(super) fn take_pulled(
        &self,
        body: &[u8],
        before: &HashMap<String, Option<Instant>>,
        sender: Sender<'_>,
    ) -> Result<(), serde_json::Error> {
        for (key, datum) in read_map(body, now_ms())? {
            let (Some(id), Some(instances)) = (datum::service_of(&key), datum.instances) else { continue };
            if before.get(&key) == Some(&self.receipt(&id)) {
                let trust = self.trust(&id, sender);
                let merged = self.apply(&id, instances, Vec::new(), trust);
                self.answer_owner(id, sender, trust, merged);
            }
        }
        Ok(())
    }

    /// The owner's list had what was removed: it is told so.
    pub(super) fn answer_owner(&self, id: ServiceId, sender: Sender<'_>, trust: Trust, merged: Merged) {
        if let (Sender::Tandem { address, .. }, Trust::Owner { .. }, true) = (sender, trust, merged.corrected) {
            self.hand_over.answer(address, id);
        }
    }
}

/// Why nothing was pulled.
#[derive(Debug, thiserror::Error)]
pub(super) enum PullError {
    #[error(transparent)]
    Peer(#[from] super::peer_client::PeerError),
    #[error("the answer cannot be read: {0}")]
    Json(#[from] serde_json::Error),
}
