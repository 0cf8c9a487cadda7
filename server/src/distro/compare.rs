//! What a peer's checksums say of our lists (compat/spec/distro.md §8.3).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use super::merge::{Trust, merge};
use super::receive::{PULL_KEYS_MAX, Sender};
use super::{Distro, checksum, datum};
use crate::clock::now_ms;
use crate::naming::changes::Change;
use crate::naming::service::{Service, ServiceId, ServiceState};

/// A Tandem peer's checksums say nothing about lists that arrived this recently: they may have been computed before.
const RECENT: Duration = Duration::from_secs(5);

impl Distro {
    /// Compares a peer's checksums with ours; pulls what differs, drops what it no longer serves (§8.3). Returns when
    /// that is done.
    pub async fn receive_checksums(&self, source: &str, checksums: IndexMap<String, String>, sender: Sender<'_>) {
        if !self.verifying.lock().insert(source.to_owned()) {
            return;
        }
        // Given back however this ends; a peer may hang up at any await.
        let _done = Verifying { distro: self, source };
        let Some((differing, named)) = self.compare(source, &checksums, sender) else { return };
        for keys in differing.chunks(PULL_KEYS_MAX) {
            if let Err(error) = self.pull(source, keys, sender).await {
                tracing::warn!(source, keys = keys.len(), %error, "lists that differ could not be pulled");
                return;
            }
        }
        if sender == Sender::Official {
            self.ask_about_unnamed(source, &named).await;
        }
    }

    /// Keys to pull, and the services named, but for our own; `None` when the message must be ignored.
    pub(super) fn compare(
        &self,
        source: &str,
        checksums: &IndexMap<String, String>,
        sender: Sender<'_>,
    ) -> Option<(Vec<String>, HashSet<ServiceId>)> {
        let tandem = sender != Sender::Official;
        let speaks_stream = tandem && self.members.stream_version(source).is_some();
        let ring = self.members.ring();
        let mut differing = Vec::new();
        let mut named = HashSet::with_capacity(checksums.len());
        for (key, theirs) in checksums {
            let Some(id) = datum::service_of(key) else { continue };
            if self.responsible(&id.name) {
                if !tandem {
                    // The official rule: the views of the cluster differ, nothing in the message can be trusted.
                    tracing::debug!(source, key, "checksum of a key of our own: message ignored");
                    return None;
                }
                continue;
            }
            // Who is being told what we have cannot have it yet, and answers with what we lack: no need to pull it as well.
            let is_exchanged = speaks_stream && self.hand_over.is_ahead(source, &id, &ring);
            if !is_exchanged && self.checksum_of(&id).as_ref() != Some(theirs) {
                differing.push(key.clone());
            }
            named.insert(id);
        }
        if let Sender::Tandem { ring, .. } = sender
            && ring == self.ring_text()
        {
            self.offer_unnamed(source, &named);
        }
        Some((differing, named))
    }

    fn checksum_of(&self, id: &ServiceId) -> Option<String> {
        let service = self.registry.get(id)?;
        let state = service.read();
        state.has_datum.then(|| checksum::checksum(state.ephemeral.values()))
    }

    /// The services that belong to `source`, of which it names no list and we have one.
    fn unnamed(&self, source: &str, named: &HashSet<ServiceId>) -> Vec<Arc<Service>> {
        let ring = self.members.ring();
        let is_unnamed = |service: &Arc<Service>| {
            let id = service.id();
            ring.owner(&id.name) == Some(source) && !named.contains(id) && service.read().has_datum
        };
        self.registry.services().into_iter().filter(is_unnamed).collect()
    }

    /// Offers lists that a Tandem node should have and does not: it became responsible without ever having them. It keeps
    /// an emptied list for minutes, so that it was emptied would have been heard.
    fn offer_unnamed(&self, source: &str, named: &HashSet<ServiceId>) {
        for service in self.unnamed(source, named) {
            if self.receipt(service.id()).is_some_and(|at| at.elapsed() < RECENT) {
                continue;
            }
            if service.read().ephemeral.is_empty() {
                self.drop_list(&service, source, Trust::Owner { tells: true });
            } else {
                self.registry.update(&service, |_| ((), Change { ephemeral_local: true, ..Change::default() }));
            }
        }
    }

    /// Drops what an official node neither names nor serves. Those of 1.4.1 lose lists from what they compare and go on
    /// serving them, whoever they lost them to (§8.4), so that it is what they serve that counts.
    async fn ask_about_unnamed(&self, source: &str, named: &HashSet<ServiceId>) {
        for service in self.unnamed(source, named).into_iter().take(PULL_KEYS_MAX) {
            let id = service.id();
            let (before, is_empty) = (self.receipt(id), service.read().ephemeral.is_empty());
            let served = match is_empty {
                true => None,
                false => match self.served(source, id).await {
                    Ok(served) => served,
                    Err(error) => {
                        tracing::debug!(source, service = %id.name, %error, "kept: whether it is served is unknown");
                        continue;
                    }
                },
            };
            if self.receipt(id) != before {
                // What came meanwhile is as new.
                continue;
            }
            let Some(served) = served.filter(|served| !served.is_empty()) else {
                self.drop_list(&service, source, Trust::Owner { tells: false });
                continue;
            };
            self.registry.update(&service, |state| {
                let before = state.ephemeral.len();
                state.ephemeral.retain(|key, _| served.contains_key(&format!("{}:{}", key.ip, key.port)));
                let ephemeral_peer = state.ephemeral.len() < before;
                ((), Change { ephemeral_peer, ..Change::default() })
            });
        }
    }

    fn drop_list(&self, service: &Service, source: &str, trust: Trust) {
        let id = service.id();
        tracing::info!(service = %id.name, source, "dropped: the responsible node no longer has it");
        self.receipts.lock().remove(id);
        // One that was empty already, its owner has cleaned away.
        let idle = |state: &ServiceState| !state.declared && state.ephemeral.is_empty() && state.persistent.is_empty();
        if self.registry.remove_if(id, idle).is_some() {
            return;
        }
        self.registry.update(service, |state| {
            merge(state, Vec::new(), Vec::new(), trust, now_ms());
            state.has_datum = false;
            state.last_modified = now_ms();
            ((), Change { ephemeral_peer: true, ..Change::default() })
        });
    }
}

/// A peer's checksums are being worked through until this is dropped.
struct Verifying<'a> {
    distro: &'a Distro,
    source: &'a str,
}

impl Drop for Verifying<'_> {
    fn drop(&mut self) {
        self.distro.verifying.lock().remove(self.source);
    }
}
