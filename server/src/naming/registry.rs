//! All services of this node. Every change goes through here, so that none is left unannounced.

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;
use parking_lot::{Mutex, RwLock};

use super::changes::{Announcer, Change, Changes};
use super::instance::{DEFAULT_CLUSTER, Instance, InstanceKey};
use super::removals::Absent;
use super::service::{Service, ServiceId, ServiceState};
use super::validate;
use crate::clock::now_ms;

/// Services of one namespace, sorted by grouped name as Nacos keeps them.
type Namespace = BTreeMap<Arc<str>, Arc<Service>>;

/// All services of this node.
#[derive(Debug, Default)]
pub struct Registry {
    /// In order of first use. A namespace stays known when its last service goes, as in Nacos.
    namespaces: RwLock<IndexMap<Arc<str>, Namespace>>,
    /// What was removed from services that are not in the table; taken and given under its lock.
    absent: Mutex<Absent>,
    announcer: Announcer,
}

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Told of every change from now on.
    pub fn subscribe(&self) -> Changes {
        self.announcer.subscribe()
    }

    /// A service, if known.
    pub fn get(&self, id: &ServiceId) -> Option<Arc<Service>> {
        self.find(&id.namespace, &id.name)
    }

    /// A service by namespace and grouped name, if known.
    pub fn find(&self, namespace: &str, name: &str) -> Option<Arc<Service>> {
        self.namespaces.read().get(namespace)?.get(name).cloned()
    }

    /// Every service; sorted by name inside a namespace.
    pub fn services(&self) -> Vec<Arc<Service>> {
        self.namespaces.read().values().flat_map(BTreeMap::values).cloned().collect()
    }

    /// The services of one namespace by grouped name; `None` when nothing was ever registered there.
    pub fn namespace(&self, namespace: &str) -> Option<Vec<Arc<Service>>> {
        Some(self.namespaces.read().get(namespace)?.values().cloned().collect())
    }

    /// Every namespace ever used, in order of first use.
    pub fn namespaces(&self) -> Vec<Arc<str>> {
        self.namespaces.read().keys().cloned().collect()
    }

    /// How many services there are.
    pub fn len(&self) -> usize {
        self.namespaces.read().values().map(BTreeMap::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The service, created with `new` when unknown. Creation alone is announced to nobody: an empty service that
    /// only this node knows is not replicated (compat/spec/naming-api.md §2).
    pub fn get_or_create(&self, id: &ServiceId, new: impl FnOnce() -> ServiceState) -> Arc<Service> {
        if let Some(service) = self.get(id) {
            return service;
        }
        let mut namespaces = self.namespaces.write();
        let namespace = namespaces.entry(id.namespace.clone()).or_default();
        let create = || {
            let removals = self.absent.lock().take(id);
            Arc::new(Service::new(id.clone(), ServiceState { removals, ..new() }))
        };
        namespace.entry(id.name.clone()).or_insert_with(create).clone()
    }

    /// Changes a service, creating it when unknown, and announces what the closure says it changed. For writes that
    /// are acknowledged: one that meets a removal is applied to the service that comes after it, never lost.
    pub fn upsert<R>(
        &self,
        id: &ServiceId,
        new: impl Fn() -> ServiceState,
        change: impl FnOnce(&mut ServiceState) -> (R, Change),
    ) -> R {
        let (result, what) = loop {
            let service = self.get_or_create(id, &new);
            let mut state = service.write();
            if !service.is_removed() {
                let (result, what) = change(&mut state);
                if what != Change::default() {
                    service.forget_view(what.is_health_alone());
                }
                break (result, what);
            }
        };
        self.announce(id, what);
        result
    }

    /// Changes a service in place and announces what the closure says it changed; nothing is announced for the
    /// default (empty) change. The closure runs under the service's lock: keep it short. A service that was removed
    /// meanwhile is changed without effect; use [`Registry::upsert`] where that would lose something.
    pub fn update<R>(&self, service: &Service, change: impl FnOnce(&mut ServiceState) -> (R, Change)) -> R {
        let (result, what, removed) = {
            let mut state = service.write();
            let (result, what) = change(&mut state);
            if what != Change::default() {
                service.forget_view(what.is_health_alone());
            }
            (result, what, service.is_removed())
        };
        if !removed {
            self.announce(service.id(), what);
        }
        result
    }

    fn announce(&self, id: &ServiceId, what: Change) {
        if what != Change::default() {
            self.announcer.announce(id, what);
        }
    }

    /// Puts a peer's whole ephemeral list in the place of ours (last arrival wins, compat/spec/distro.md §8.1).
    pub fn replace_ephemeral(&self, service: &Service, instances: Vec<Instance>) {
        let new = || ServiceState::new(validate::group_of(&service.id().name));
        self.upsert(service.id(), new, |state| {
            state.ephemeral = instances
                .into_iter()
                .filter_map(acceptable)
                .map(|instance| {
                    state.ensure_cluster(&instance.cluster_name);
                    (instance.key(), instance)
                })
                .collect();
            state.has_datum = true;
            ((), Change { ephemeral_peer: true, ..Change::default() })
        });
    }

    /// An ephemeral instance of a service that is not there was removed: true, unless the service is there after all.
    pub fn removed_from_absent(&self, id: &ServiceId, key: &InstanceKey) -> bool {
        let namespaces = self.namespaces.read();
        let absent = namespaces.get(&id.namespace).is_none_or(|namespace| !namespace.contains_key(&id.name));
        if absent {
            self.absent.lock().record(id, key.clone(), now_ms());
        }
        absent
    }

    /// Whether the removal of an ephemeral instance is remembered.
    #[cfg(test)]
    pub(crate) fn remembers_removal(&self, id: &ServiceId, key: &InstanceKey) -> bool {
        match self.get(id) {
            Some(service) => service.read().removals.since(0).any(|(known, _)| known == key),
            None => self.absent.lock().remembers(id, key),
        }
    }

    /// Forgets a service, but for what was removed from it of late.
    pub fn remove(&self, id: &ServiceId) -> Option<Arc<Service>> {
        self.remove_if(id, |_| true)
    }

    /// Forgets a service when the condition holds; no write comes between the two.
    pub fn remove_if(&self, id: &ServiceId, condition: impl FnOnce(&ServiceState) -> bool) -> Option<Arc<Service>> {
        let removed = {
            let mut namespaces = self.namespaces.write();
            let namespace = namespaces.get_mut(&id.namespace)?;
            let service = namespace.get(&id.name)?.clone();
            // Writers never take the table's lock while they hold a service's, so this order cannot deadlock.
            let state = service.write();
            if !condition(&state) {
                return None;
            }
            service.mark_removed();
            self.absent.lock().keep(id, state.removals.clone(), now_ms());
            namespace.remove(&id.name);
            drop(state);
            service
        };
        self.announcer.announce(id, Change { removed: true, ..Change::default() });
        Some(removed)
    }
}

/// A peer's instance as it may be stored; one without address or with an illegal cluster is left out, as the official
/// node skips it.
fn acceptable(mut instance: Instance) -> Option<Instance> {
    if instance.cluster_name.is_empty() {
        DEFAULT_CLUSTER.clone_into(&mut instance.cluster_name);
    }
    instance.weight = validate::stored_weight(instance.weight);
    (!instance.ip.is_empty() && validate::cluster_name_syntax(&instance.cluster_name).is_ok()).then_some(instance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::naming::service::ServiceState;

    #[test]
    fn a_registration_survives_a_concurrent_removal() {
        let registry = Arc::new(Registry::new());
        let id = ServiceId::new("public", "g@@s");
        for round in 0..200 {
            registry.upsert(&id, || ServiceState::new("g"), |_| ((), Change::default()));
            let remover = {
                let (registry, id) = (Arc::clone(&registry), id.clone());
                std::thread::spawn(move || registry.remove_if(&id, |state| state.ephemeral.is_empty()))
            };
            let instance = Instance { ip: format!("10.0.0.{round}"), ..Instance::default() };
            registry.upsert(
                &id,
                || ServiceState::new("g"),
                |state| {
                    state.ephemeral.insert(instance.key(), instance.clone());
                    ((), Change { ephemeral_local: true, ..Change::default() })
                },
            );
            let _ = remover.join().unwrap();
            let service = registry.get(&id).unwrap();
            assert!(service.read().ephemeral.contains_key(&instance.key()), "round {round}");
            registry.remove(&id);
        }
    }
}
