//! What peers send, and whether it fits what is here.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use indexmap::IndexMap;
use parking_lot::Mutex;
use serde::Deserialize;

use super::super::Distro;
use super::super::datum::RawInstance;
use super::super::merge::{self, Trust};
use super::super::receive::Sender;
use super::Answer;
use super::fingerprint::{Digest, Fingerprint};
use crate::clock::now_ms;
use crate::naming::changes::Change;
use crate::naming::instance::{Instance, InstanceKey};
use crate::naming::service::{ServiceId, ServiceState};
use crate::naming::validate::cluster_name_syntax;

/// A message, as it travels.
#[derive(Deserialize)]
pub(super) struct Message {
    session: String,
    sequence: u64,
    services: Vec<Entry>,
}

/// One service: the whole list, or what changed since an earlier one.
#[derive(Deserialize)]
struct Entry {
    namespace: String,
    name: String,
    put: Vec<RawInstance>,
    since: Option<Since>,
    /// What was removed of late; with changes, since they were told last.
    #[serde(default)]
    gone: Vec<Gone>,
    /// From whom was responsible: its last beats were got by itself since then, ms since the epoch.
    heard: Option<i64>,
    /// With the digest only: these last beats, ms since the epoch.
    #[serde(default)]
    beats: HashMap<Fingerprint, i64>,
}

#[derive(Deserialize)]
struct Gone {
    ip: String,
    port: i32,
    cluster: String,
    /// Last beat up to which records were removed, ms since the epoch.
    until: i64,
}

#[derive(Deserialize)]
struct Since {
    /// Digest of the list before.
    base: String,
    /// Digest of the list after.
    result: String,
    /// The records that are gone, those that were replaced among them.
    removed: Vec<Fingerprint>,
}

/// The sessions peers send in.
#[derive(Debug, Default)]
pub(in crate::distro) struct Incoming {
    sessions: Mutex<HashMap<String, Arc<Mutex<Session>>>>,
}

/// One sender's current session. Held while a message is applied, so that none overtakes another.
#[derive(Debug, Default)]
struct Session {
    name: String,
    last: u64,
}

impl Distro {
    /// Takes a message of changes from a member (`POST /distro/tandem/changes`).
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn receive_changes(&self, body: &[u8], sender: Sender<'_>) -> Result<Answer, serde_json::Error> {
        let message: Message = serde_json::from_slice(body)?;
        let address = match sender {
            Sender::Tandem { address, .. } => address,
            Sender::Official => "",
        };
        let session = {
            let mut sessions = self.incoming.sessions.lock();
            // One per member at most.
            sessions.retain(|known, _| known == address || self.members.is_member(known));
            Arc::clone(sessions.entry(address.to_owned()).or_default())
        };
        let mut session = session.lock();
        if session.name.is_empty() || message.session != session.name || message.sequence <= session.last {
            *session = Session { name: format!("{:016x}", rand::random::<u64>()), last: 0 };
            return Ok(Answer { session: session.name.clone(), accepted: false, behind: Vec::new() });
        }
        session.last = message.sequence;
        let entries = message.services.into_iter().enumerate();
        let behind = entries.filter_map(|(position, entry)| (!self.take(entry, sender)).then_some(position)).collect();
        Ok(Answer { session: session.name.clone(), accepted: true, behind })
    }

    /// Whether it is from this peer that a service moves to us, as far as can be told: while rings move, it may be our
    /// owner still, and who has just started knows of no other owner.
    fn was_responsible(&self, id: &ServiceId, trust: Trust, sender: Sender<'_>) -> bool {
        let Sender::Tandem { address, .. } = sender else { return false };
        let former = self.hand_over.former_owner(&id.name).map(|former| former.address);
        matches!(trust, Trust::Owner { .. })
            || former.is_none_or(|former| former == address || former == self.members.self_address())
    }

    /// Applies one entry; false when it does not fit.
    fn take(&self, entry: Entry, sender: Sender<'_>) -> bool {
        let now = now_ms();
        let id = ServiceId::new(entry.namespace, entry.name);
        let put: Vec<Instance> = entry.put.into_iter().map(|raw| raw.into_instance(now)).collect();
        let gone: Vec<_> = entry.gone.into_iter().map(Gone::into_key).collect();
        let trust = match self.trust(&id, sender) {
            // This one does tell what it removed.
            Trust::FormerOwner { .. } => Trust::Copy,
            trust => trust,
        };
        let heard = entry.heard.filter(|_| self.was_responsible(&id, trust, sender));
        let Some(since) = entry.since else {
            self.received(&id);
            let merged = self.apply(&id, put, gone, trust);
            // Again: what is written to a peer meanwhile may or may not have it.
            self.received(&id);
            if let (Some(since), Some(service)) = (heard, self.registry.get(&id)) {
                self.registry.update(&service, |state| (state.heard.told(since, now), Change::default()));
            }
            match sender {
                Sender::Tandem { address, .. } if merged.corrected && self.responsible(&id.name) => {
                    self.hand_over.answer(address, id);
                }
                _ => self.answer_owner(id, sender, trust, merged),
            }
            return true;
        };
        let Some(service) = self.registry.get(&id) else { return false };
        // A service that is removed at this moment is empty, and changes never begin with an empty list.
        let applied = self.registry.update(&service, |state| {
            let applied = apply_changes(state, put, &since, &entry.beats, trust);
            if applied != Applied::Not {
                // None of these is in the list any more.
                merge::remove(state, gone, now);
                if let Some(since) = heard {
                    state.heard.told(since, now);
                }
            }
            let ephemeral_peer = applied == Applied::Changed;
            (applied != Applied::Not, Change { ephemeral_peer, ..Change::default() })
        });
        if applied {
            self.received(&id);
        }
        applied
    }
}

impl Gone {
    fn into_key(self) -> (InstanceKey, i64) {
        (InstanceKey { ip: self.ip, port: self.port, cluster: self.cluster }, self.until)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Applied {
    Changed,
    /// The list is as the sender's already: the answer was lost, or it asked whether it is.
    Before,
    Not,
}

/// All of it or nothing.
fn apply_changes(
    state: &mut ServiceState,
    put: Vec<Instance>,
    since: &Since,
    beats: &HashMap<Fingerprint, i64>,
    trust: Trust,
) -> Applied {
    if !state.has_datum {
        return Applied::Not;
    }
    let prints: Vec<Fingerprint> = state.ephemeral.values().map(Fingerprint::of).collect();
    let digest = prints.iter().copied().collect::<Digest>().to_string();
    if digest == since.result {
        for (one, print) in state.ephemeral.values_mut().zip(&prints) {
            if let Some(beat) = beats.get(print) {
                // Never back: what we heard ourselves may be newer.
                one.last_beat = one.last_beat.max(*beat);
            }
        }
        return Applied::Before;
    }
    // Changes say nothing to a list that is to be merged.
    if digest != since.base || !matches!(trust, Trust::Owner { .. }) {
        return Applied::Not;
    }
    let removed: HashSet<_> = since.removed.iter().collect();
    let ours = prints.iter().zip(state.ephemeral.keys());
    let put: IndexMap<InstanceKey, Instance> = put.into_iter().map(|instance| (instance.key(), instance)).collect();
    let (gone, kept): (Vec<_>, Vec<_>) = ours.partition(|(one, _)| removed.contains(one));
    let result: Digest = kept.iter().map(|(one, _)| **one).chain(put.values().map(Fingerprint::of)).collect();
    let usable = |key: &InstanceKey| !key.ip.is_empty() && cluster_name_syntax(&key.cluster).is_ok();
    // A record that is put beside the kept one of the same instance would make the digest right and the list wrong.
    let doubled = kept.iter().any(|(_, key)| put.contains_key(*key));
    // The whole list, which follows then, is merged.
    let removed_here = put.values().any(|one| state.removals.covers(one));
    if result.to_string() != since.result || doubled || removed_here || !put.keys().all(usable) {
        return Applied::Not;
    }
    let gone: HashSet<InstanceKey> =
        gone.into_iter().map(|(_, key)| key).filter(|key| !put.contains_key(*key)).cloned().collect();
    state.ephemeral.retain(|key, _| !gone.contains(key));
    for (key, mut instance) in put {
        state.ensure_cluster(&key.cluster);
        if let Some(known) = state.ephemeral.get(&key) {
            // As with whole lists: what we heard ourselves may be newer.
            instance.last_beat = instance.last_beat.max(known.last_beat);
        }
        state.removals.outdated(&key);
        state.ephemeral.insert(key, instance);
    }
    state.last_modified = now_ms();
    Applied::Changed
}
