//! From records to services, instances and switches, as official members apply them: a record of a service is put into
//! it, a list takes the place of its persistent instances, a removed record takes the service away.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use bytes::Bytes;

use super::KeyValues;
use super::record::{self, Meta, Subject};
use crate::clock::now_ms;
use crate::naming::changes::Change;
use crate::naming::instances::new_service;
use crate::naming::registry::Registry;
use crate::naming::service::{Instances, ServiceId, ServiceState};
use crate::naming::switches::Switches;
use crate::raft::datum::{list_key, meta_key};
use crate::raft::persisted::Persisted;

/// Keeps naming equal to the records.
#[derive(Debug)]
pub struct Projection {
    registry: Arc<Registry>,
    switches: Arc<Switches>,
}

impl Projection {
    /// Into these.
    pub fn new(registry: Arc<Registry>, switches: Arc<Switches>) -> Self {
        Projection { registry, switches }
    }

    /// Where services go.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// After a value was put under a key.
    pub fn written(&self, held: &KeyValues, key: &Bytes) {
        let Some(value) = held.get(key) else { return };
        match Subject::of(key) {
            Subject::Meta(id) => {
                let is_new = self.registry.get(&id).is_none();
                self.meta(&id, value);
                // What was there before the service, official members show with it.
                if is_new && let Some(list) = held.get(list_key(&id).as_bytes()) {
                    self.list(&id, list);
                }
            }
            Subject::List(id) => self.list(&id, value),
            Subject::Switches => self.switches(value),
            Subject::Other => {}
        }
    }

    /// After a key was removed.
    pub fn deleted(&self, held: &KeyValues, key: &Bytes) {
        match Subject::of(key) {
            // With its ephemeral instances, as everywhere.
            Subject::Meta(id) => drop(self.registry.remove(&id)),
            Subject::List(id) if held.contains_key(meta_key(&id).as_bytes()) || self.registry.get(&id).is_some() => {
                self.put_list(&id, &Instances::new());
            }
            // Switches that were removed stay in force.
            Subject::List(_) | Subject::Switches | Subject::Other => {}
        }
    }

    /// After everything was replaced, by a snapshot.
    pub fn replaced(&self, before: &KeyValues, held: &KeyValues) {
        let services = |of: &KeyValues| -> BTreeSet<ServiceId> {
            let id = |key: &Bytes| match Subject::of(key) {
                Subject::Meta(id) | Subject::List(id) => Some(id),
                Subject::Switches | Subject::Other => None,
            };
            of.keys().filter_map(id).collect()
        };
        let now = services(held);
        for gone in services(before).difference(&now) {
            self.registry.remove(gone);
        }
        for id in now {
            match held.get(meta_key(&id).as_bytes()) {
                Some(value) => self.meta(&id, value),
                None if before.contains_key(meta_key(&id).as_bytes()) => drop(self.registry.remove(&id)),
                None => {}
            }
            match held.get(list_key(&id).as_bytes()) {
                Some(value) => self.list(&id, value),
                None => self.put_list(&id, &Instances::new()),
            }
        }
        let switches = held.iter().find(|(key, _)| Subject::of(key) == Subject::Switches);
        if let Some((_, value)) = switches {
            self.switches(value);
        }
    }

    fn meta(&self, id: &ServiceId, value: &[u8]) {
        match record::meta(value) {
            Ok(meta) => self.put(id, |state| assign_meta(state, &meta)),
            Err(error) => not_readable(&meta_key(id), &error),
        }
    }

    fn list(&self, id: &ServiceId, value: &[u8]) {
        match record::list(value) {
            Ok(instances) => self.put_list(id, &instances),
            Err(error) => not_readable(&list_key(id), &error),
        }
    }

    fn put_list(&self, id: &ServiceId, instances: &Instances) {
        self.put(id, |state| assign_instances(state, instances));
    }

    fn put(&self, id: &ServiceId, assign: impl Fn(&mut ServiceState)) {
        let changed = self.registry.upsert(
            id,
            // One that begins as a record keeps its clusters in the order they came in.
            || ServiceState { linked_clusters: true, ..new_service(id) },
            |state| {
                let (before, declared, enabled) = (Persisted::of(state), state.declared, state.enabled);
                assign(state);
                let same = declared == state.declared && enabled == state.enabled;
                let changed = !same || !before.equals(&Persisted::of(state));
                if changed {
                    state.last_modified = now_ms();
                }
                (changed, Change { persistent: changed, ..Change::default() })
            },
        );
        // A change brings it up to date by itself, and so does a record that changes nothing.
        if !changed && let Some(service) = self.registry.get(id) {
            service.refresh_checksum();
        }
    }

    fn switches(&self, value: &[u8]) {
        match record::switches(value) {
            Ok(switches) => self.switches.adopt(switches),
            Err(error) => not_readable("the switches", &error),
        }
    }
}

fn not_readable(key: &str, error: &record::Unreadable) {
    tracing::warn!(key, %error, "a record of the group is kept and not applied: it cannot be read");
}

/// What a service's own record says; clusters that ephemeral or persistent instances are in stay.
fn assign_meta(state: &mut ServiceState, meta: &Meta) {
    state.protect_threshold = meta.protect_threshold;
    state.metadata.clone_from(&meta.metadata);
    state.selector.clone_from(&meta.selector);
    state.enabled = meta.enabled;
    let used: HashSet<String> = state.all().map(|one| one.cluster_name.clone()).collect();
    state.clusters.retain(|name, _| meta.clusters.contains_key(name) || used.contains(name));
    for (name, cluster) in &meta.clusters {
        state.clusters.insert(name.clone(), cluster.clone());
    }
    state.recorded_clusters = state.clusters.len();
    state.declared = true;
}

/// A list in the place of the persistent instances; their health stays, the checks know it best.
fn assign_instances(state: &mut ServiceState, instances: &Instances) {
    let known = std::mem::take(&mut state.persistent);
    state.held[0] = 0;
    state.persistent = instances
        .iter()
        .map(|(key, instance)| {
            let mut instance = instance.clone();
            // One that is marked is checked by nobody.
            if let Some(known) = known.get(key).filter(|_| !instance.marked) {
                instance.healthy = known.healthy;
            }
            (key.clone(), instance)
        })
        .collect();
    for instance in instances.values() {
        state.ensure_cluster(&instance.cluster_name);
    }
    state.declared = true;
}
