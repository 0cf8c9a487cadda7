//! What one peer was told, and the next message to it.
//!
//! Of each list the peer has, the fingerprints are kept: ten bytes or so per instance and peer. What is not among
//! them was put since, what only they name was removed. Lists are read when the message is written, never earlier.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;

use tokio::time::Instant;

use super::super::datum;
use super::Answer;
use super::fingerprint::{Digest, Fingerprint};
use crate::naming::instance::{Instance, InstanceKey};
use crate::naming::registry::Registry;
use crate::naming::service::ServiceId;

/// Fingerprints of a list.
type Base = HashSet<Fingerprint>;

/// What a peer has of a service.
#[derive(Debug)]
struct Told {
    list: Base,
    /// When that was read here.
    at: Instant,
    /// Removals before this number, see [`crate::naming::removals`].
    removals: u64,
}

/// How a service is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::distro) enum How {
    /// What changed since it was told last.
    Changes,
    /// The whole list. To whom is responsible from now on also from when it was judged here
    /// ([`crate::naming::heard`]).
    Whole { hands_over: bool },
    /// The digest of the list, which is answered as behind by whoever has another list. To whom is responsible from now
    /// on also the last beats, and from when it was judged here.
    Digest { hands_over: bool },
}

/// What one peer was told.
#[derive(Debug, Default)]
pub(in crate::distro) struct Outgoing {
    /// As the peer issued it; unknown at first, which the peer answers with one.
    session: String,
    sequence: u64,
    told: HashMap<ServiceId, Told>,
    /// Sent since, with no answer: it may arrive yet. They are sent again even when they are as told by now, because
    /// only a later message that was accepted keeps an earlier one out.
    unsure: HashSet<ServiceId>,
}

/// A message and what the peer will have been told once it is accepted.
#[derive(Debug, Default)]
pub(in crate::distro) struct Message {
    /// JSON, ready to send.
    pub(in crate::distro) body: Vec<u8>,
    /// Instances written into it.
    pub(in crate::distro) instances: usize,
    entries: Vec<(ServiceId, Told)>,
}

/// How a message was taken.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::distro) enum Outcome {
    /// The peer has what it was sent, but for these services: they must be sent whole, as they are by now.
    Applied(Vec<ServiceId>),
    /// Nothing was looked at; send again, in the session the peer has issued.
    Reopened,
}

impl Message {
    /// The services in it.
    pub(in crate::distro) fn services(&self) -> impl Iterator<Item = &ServiceId> {
        self.entries.iter().map(|(id, _)| id)
    }
}

impl Outgoing {
    /// The peer's list of this service is not known any more, or gone.
    pub(in crate::distro) fn forget(&mut self, id: &ServiceId) {
        self.told.remove(id);
        self.unsure.remove(id);
    }

    /// The next message, of the services that `pending` names in turn, and how many of them it settles: those that
    /// are in it, that the peer has as they are, or that are gone. It ends when it holds `services_max` or
    /// `bytes_max`. `how` tells how each is told, `received` when a list of it last came from a peer: that one may have
    /// changed what it had been told.
    pub(in crate::distro) fn next<'a>(
        &mut self,
        registry: &Registry,
        pending: impl Iterator<Item = &'a ServiceId>,
        (services_max, bytes_max): (usize, usize),
        how: impl Fn(&ServiceId) -> How,
        received: impl Fn(&ServiceId) -> Option<Instant>,
    ) -> (Message, usize) {
        let mut message = Message::default();
        let mut settled = 0;
        self.sequence += 1;
        let out = &mut message.body;
        out.extend_from_slice(b"{\"session\":");
        datum::string(out, &self.session);
        // Writing to a Vec cannot fail, here and below.
        let _ = write!(out, ",\"sequence\":{},\"services\":[", self.sequence);
        for id in pending {
            if message.entries.len() >= services_max || message.body.len() >= bytes_max {
                break;
            }
            settled += 1;
            let service = registry.get(id);
            let state = service.as_ref().map(|service| service.read()).filter(|state| state.has_datum);
            let Some(state) = state else {
                self.forget(id);
                continue;
            };
            let (how, at) = (how(id), Instant::now());
            let told =
                self.told.get(id).filter(|told| how == How::Changes && received(id).is_none_or(|at| at < told.at));
            let list: Vec<_> = state.ephemeral.values().map(|one| (Fingerprint::of(one), one)).collect();
            let now: Base = list.iter().map(|(one, _)| *one).collect();
            if told.is_some_and(|told| told.list == now) && !self.unsure.contains(id) {
                continue;
            }
            if !message.entries.is_empty() {
                message.body.push(b',');
            }
            let (base, hands_over) = match how {
                How::Changes => (told.map(|told| &told.list), false),
                How::Whole { hands_over } => (None, hands_over),
                How::Digest { hands_over } => (Some(&now), hands_over),
            };
            let gone = state.removals.since(told.map_or(0, |told| told.removals));
            let heard = hands_over.then(|| state.heard.to_tell());
            message.instances += write_entry(&mut message.body, id, &list, base.map(|base| (base, &now)), gone, heard);
            self.unsure.insert(id.clone());
            message.entries.push((id.clone(), Told { list: now, at, removals: state.removals.next() }));
        }
        message.body.extend_from_slice(b"]}");
        if message.entries.is_empty() {
            message.body.clear();
        }
        (message, settled)
    }

    /// Takes the answer to the last message.
    pub(in crate::distro) fn answered(&mut self, message: Message, answer: Answer) -> Outcome {
        if !answer.accepted {
            self.session = answer.session;
            self.sequence = 0;
            return Outcome::Reopened;
        }
        let mut behind = Vec::new();
        for (position, (id, told)) in message.entries.into_iter().enumerate() {
            self.unsure.remove(&id);
            if answer.behind.contains(&position) {
                self.told.remove(&id);
                behind.push(id);
            } else {
                self.told.insert(id, told);
            }
        }
        Outcome::Applied(behind)
    }
}

/// One service: the whole list, or what differs between the two sets of fingerprints, told and now. How many instances
/// were written.
fn write_entry<'a>(
    out: &mut Vec<u8>,
    id: &ServiceId,
    list: &[(Fingerprint, &Instance)],
    sets: Option<(&Base, &Base)>,
    gone: impl Iterator<Item = (&'a InstanceKey, i64)>,
    heard: Option<i64>,
) -> usize {
    let put: Vec<_> = list.iter().filter(|(one, _)| sets.is_none_or(|(told, _)| !told.contains(one))).collect();
    out.extend_from_slice(b"{\"namespace\":");
    datum::string(out, &id.namespace);
    out.extend_from_slice(b",\"name\":");
    datum::string(out, &id.name);
    // When nothing stays of what was told, the whole list is as short, and it always fits.
    if let Some((told, now)) = sets.filter(|(told, now)| put.len() < list.len() || told == now) {
        let base: Digest = told.iter().copied().collect();
        let result: Digest = list.iter().map(|(one, _)| *one).collect();
        let _ = write!(out, ",\"since\":{{\"base\":\"{base}\",\"result\":\"{result}\",\"removed\":[");
        for (index, removed) in told.difference(now).enumerate() {
            let _ = write!(out, "{}\"{removed}\"", if index == 0 { "" } else { "," });
        }
        out.extend_from_slice(b"]}");
    }
    out.extend_from_slice(b",\"put\":[");
    for (index, (_, instance)) in put.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        datum::write_instance(out, instance);
    }
    out.extend_from_slice(b"],\"gone\":[");
    for (index, (key, until)) in gone.enumerate() {
        out.extend_from_slice(if index == 0 { b"{\"ip\":" } else { b",{\"ip\":" });
        datum::string(out, &key.ip);
        let _ = write!(out, ",\"port\":{},\"cluster\":", key.port);
        datum::string(out, &key.cluster);
        let _ = write!(out, ",\"until\":{until}}}");
    }
    out.push(b']');
    if let Some(since) = heard {
        let _ = write!(out, ",\"heard\":{since}");
        // The records themselves bring theirs.
        if put.len() < list.len() {
            out.extend_from_slice(b",\"beats\":{");
            for (index, (fingerprint, one)) in list.iter().enumerate() {
                let comma = if index == 0 { "" } else { "," };
                let _ = write!(out, "{comma}\"{fingerprint}\":{}", one.last_beat);
            }
            out.push(b'}');
        }
    }
    out.push(b'}');
    put.len()
}
