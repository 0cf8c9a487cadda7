//! All services of this node. Every change goes through here, so that none is left unannounced.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::changes::{Announcer, Change, Changes};
use super::instance::Instance;
use super::service::{Service, ServiceId, ServiceState};

/// All services of this node.
#[derive(Debug, Default)]
pub struct Registry {
    services: RwLock<HashMap<ServiceId, Arc<Service>>>,
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
        self.services.read().get(id).cloned()
    }

    /// Every service, in no order.
    pub fn services(&self) -> Vec<Arc<Service>> {
        self.services.read().values().cloned().collect()
    }

    /// How many services there are.
    pub fn len(&self) -> usize {
        self.services.read().len()
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
        let mut services = self.services.write();
        services.entry(id.clone()).or_insert_with(|| Arc::new(Service::new(id.clone(), new()))).clone()
    }

    /// Changes a service in place and announces what the closure says it changed; nothing is announced for the
    /// default (empty) change. The closure runs under the service's lock: keep it short.
    pub fn update<R>(&self, service: &Service, change: impl FnOnce(&mut ServiceState) -> (R, Change)) -> R {
        let (result, what) = change(&mut service.write());
        if what != Change::default() {
            self.announcer.announce(service.id(), what);
        }
        result
    }

    /// Puts a peer's whole ephemeral list in the place of ours (last arrival wins, compat/spec/distro.md §8.1).
    pub fn replace_ephemeral(&self, service: &Service, instances: Vec<Instance>) {
        self.update(service, |state| {
            for instance in &instances {
                state.ensure_cluster(&instance.cluster_name);
            }
            state.ephemeral = instances.into_iter().map(|instance| (instance.key(), instance)).collect();
            state.has_datum = true;
            ((), Change { ephemeral_peer: true, ..Change::default() })
        });
    }

    /// Forgets a service altogether.
    pub fn remove(&self, id: &ServiceId) -> Option<Arc<Service>> {
        let removed = self.services.write().remove(id);
        if removed.is_some() {
            self.announcer.announce(id, Change { removed: true, ..Change::default() });
        }
        removed
    }
}
