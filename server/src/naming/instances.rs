//! Writes to instances: register, deregister, patch, set health (compat/spec/naming-api.md §2–§5, §10.2).

use super::changes::Change;
use super::consistency::Consistency;
use super::error::NamingError;
use super::instance::{Instance, InstanceKey};
use super::instance_id;
use super::registry::Registry;
use super::service::{HealthChecker, ServiceId, ServiceState};
use super::validate;
use crate::clock::now_ms;

/// What a write to instances of one kind announces.
pub fn written(ephemeral: bool) -> Change {
    Change { ephemeral_local: ephemeral, persistent: !ephemeral, ..Change::default() }
}

/// Registers an instance, or replaces the record of one that is known. Service and cluster are created when unknown;
/// a cluster with an illegal name leaves the new service behind, empty.
pub fn register(
    registry: &Registry,
    consistency: &Consistency,
    id: &ServiceId,
    instance: Instance,
) -> Result<(), NamingError> {
    if !instance.ephemeral {
        consistency.admit("a persistent instance")?;
    }
    if registry.get(id).is_none() {
        validate::service_name_syntax(&id.name)?;
        if let Err(error) = validate::storable_namespace(id) {
            // Official Nacos has it in its table by then, and the next registration works.
            registry.get_or_create(id, || new_service(id));
            return Err(error);
        }
    }
    let change = written(instance.ephemeral);
    registry.upsert(
        id,
        || new_service(id),
        |state| match put(state, instance) {
            Ok(()) => (Ok(()), change),
            Err(error) => (Err(error), Change::default()),
        },
    )
}

/// A service as a registration creates it.
pub fn new_service(id: &ServiceId) -> ServiceState {
    let mut state = ServiceState::new(validate::group_of(&id.name));
    state.last_modified = now_ms();
    state
}

/// Stores one instance: its id and health survive from the record it replaces.
fn put(state: &mut ServiceState, mut instance: Instance) -> Result<(), NamingError> {
    ensure_legal_cluster(state, &instance.cluster_name)?;
    let key = instance.key();
    let ephemeral = instance.ephemeral;
    instance.weight = validate::stored_weight(instance.weight);
    if !ephemeral && instance.metadata.is_none() {
        // A null map does not survive consensus.
        instance.metadata = Some(Default::default());
    }
    if ephemeral {
        state.removals.returned(&mut instance);
    }
    let list = state.instances_mut(ephemeral);
    match list.get_mut(&key) {
        Some(known) => {
            instance.instance_id = known.instance_id.take();
            instance.healthy = known.healthy;
            *known = instance;
        }
        None => {
            instance.instance_id = Some(instance_id::generate(&instance, list));
            list.insert(key, instance);
        }
    }
    state.held[usize::from(ephemeral)] = 0;
    if ephemeral {
        state.has_datum = true;
    }
    Ok(())
}

fn ensure_legal_cluster(state: &mut ServiceState, name: &str) -> Result<(), NamingError> {
    if !state.clusters.contains_key(name) {
        validate::cluster_name_syntax(name)?;
        state.ensure_cluster(name);
    }
    Ok(())
}

/// Takes an instance away; what is not there is no error. The cluster named is created, as in Nacos.
pub fn deregister(
    registry: &Registry,
    consistency: &Consistency,
    id: &ServiceId,
    key: &InstanceKey,
    ephemeral: bool,
) -> Result<(), NamingError> {
    let service = loop {
        match registry.get(id) {
            Some(service) => break service,
            // Its registration may be on its way, too.
            None if !ephemeral || registry.removed_from_absent(id, key) => return Ok(()),
            None => {}
        }
    };
    if !ephemeral {
        consistency.admit("removing a persistent instance")?;
    }
    registry.update(&service, |state| {
        let clusters = state.clusters.len();
        if let Err(error) = ensure_legal_cluster(state, &key.cluster) {
            return (Err(error), Change::default());
        }
        // The list is written whether or not it had the instance.
        service.refresh_checksum();
        state.held[usize::from(ephemeral)] = state.instances(ephemeral).len();
        let removed = state.instances_mut(ephemeral).shift_remove(key);
        if ephemeral {
            state.has_datum = true;
            // Also of one that is not known here: while responsibility moves, its registration may be on its way.
            let now = now_ms();
            let until = removed.as_ref().map_or(now, |removed| removed.last_beat.max(now));
            state.removals.record(key.clone(), until, now);
        }
        let changed = removed.is_some() || state.clusters.len() > clusters;
        (Ok(()), if changed { written(ephemeral) } else { Change::default() })
    })
}

/// An instance of either kind, persistent first.
pub fn find(state: &ServiceState, key: &InstanceKey) -> Option<Instance> {
    state.persistent.get(key).or_else(|| state.ephemeral.get(key)).cloned()
}

/// Changes some fields of an instance. Unlike official Nacos the record is validated before it is stored, so that a
/// refused patch changes nothing (compat/DIFFERENCES.md).
pub fn patch(
    registry: &Registry,
    consistency: &Consistency,
    id: &ServiceId,
    key: &InstanceKey,
    change: impl FnOnce(&mut Instance) -> Result<(), NamingError>,
) -> Result<(), NamingError> {
    let not_found = || NamingError::illegal("instance not found");
    let service = registry.get(id).ok_or_else(not_found)?;
    registry.update(&service, |state| {
        let patched = || {
            let mut instance = find(state, key).ok_or_else(not_found)?;
            if !instance.ephemeral {
                consistency.admit("a persistent instance")?;
            }
            change(&mut instance)?;
            instance.last_beat = now_ms();
            validate::instance(&instance)?;
            instance.weight = validate::stored_weight(instance.weight);
            let ephemeral = instance.ephemeral;
            state.instances_mut(ephemeral).insert(key.clone(), instance);
            Ok(ephemeral)
        };
        match patched() {
            Ok(ephemeral) => (Ok(()), written(ephemeral)),
            Err(error) => (Err(error), Change::default()),
        }
    })
}

/// Whether an instance with this address, port and kind is there, in whatever cluster; what a Java client's update
/// requires. Port 0 matches any.
pub fn exists_anywhere(state: &ServiceState, instance: &Instance) -> bool {
    state
        .instances(instance.ephemeral)
        .values()
        .any(|known| known.ip == instance.ip && (instance.port == 0 || known.port == instance.port))
}

/// Sets health by hand, which only clusters without a checker allow. An unknown instance is no error.
pub fn set_health(registry: &Registry, id: &ServiceId, key: &InstanceKey, healthy: bool) -> Result<(), NamingError> {
    let Some(service) = registry.get(id) else {
        return Err(NamingError::internal(
            "Cannot invoke \"com.alibaba.nacos.naming.core.Service.getClusterMap()\" because \"service\" is null",
        ));
    };
    registry.update(&service, |state| {
        match state.clusters.get(&key.cluster).map(|cluster| &cluster.health_checker) {
            Some(HealthChecker::None) => {}
            Some(_) => {
                let message = format!("health check is still working, service: {}", id.name);
                return (Err(NamingError::illegal(message)), Change::default());
            }
            None => {
                let message = "Cannot invoke \"com.alibaba.nacos.naming.core.Cluster.getHealthChecker()\" because \
                               the return value of \"java.util.Map.get(Object)\" is null";
                return (Err(NamingError::internal(message)), Change::default());
            }
        }
        service.keep_checksum(state);
        let mut flipped = false;
        for ephemeral in [false, true] {
            if let Some(instance) = state.instances_mut(ephemeral).get_mut(key) {
                flipped |= instance.healthy != healthy;
                instance.healthy = healthy;
            }
        }
        (Ok(()), Change { health: flipped, ..Change::default() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup() -> (Registry, Consistency, ServiceId) {
        (Registry::new(), Consistency::permitting(), ServiceId::new("public", "g@@s"))
    }

    fn instance(ip: &str) -> Instance {
        Instance { ip: ip.into(), port: 80, service_name: "g@@s".into(), ..Instance::default() }
    }

    #[test]
    fn a_second_registration_keeps_id_and_health() {
        let (registry, consistency, id) = setup();
        register(&registry, &consistency, &id, Instance { healthy: false, ..instance("10.0.0.1") }).unwrap();
        register(&registry, &consistency, &id, Instance { weight: 0.001, ..instance("10.0.0.1") }).unwrap();
        let service = registry.get(&id).unwrap();
        let state = service.read();
        let known = &state.ephemeral[&instance("10.0.0.1").key()];
        assert_eq!((known.healthy, known.weight), (false, 0.01));
        assert_eq!(known.instance_id.as_deref(), Some("10.0.0.1#80#DEFAULT#g@@s"));
    }

    #[test]
    fn equal_addresses_in_two_clusters_keep_their_own_health() {
        let (registry, consistency, id) = setup();
        let elsewhere = Instance { cluster_name: "c1".into(), healthy: false, ..instance("10.0.0.1") };
        for one in [instance("10.0.0.1"), elsewhere, instance("10.0.0.2")] {
            register(&registry, &consistency, &id, one).unwrap();
        }
        let service = registry.get(&id).unwrap();
        let health: Vec<bool> = service.read().ephemeral.values().map(|one| one.healthy).collect();
        assert_eq!(health, [true, false, true]);
    }

    #[test]
    fn a_refused_patch_changes_nothing() {
        let (registry, consistency, id) = setup();
        register(&registry, &consistency, &id, instance("10.0.0.1")).unwrap();
        let key = instance("10.0.0.1").key();
        let refused = patch(&registry, &consistency, &id, &key, |instance| {
            instance.weight = -1.0;
            Ok(())
        });
        assert!(refused.is_err());
        assert_eq!(registry.get(&id).unwrap().read().ephemeral[&key].weight, 1.0);
    }

    #[test]
    fn persistent_writes_need_consensus() {
        let (registry, _, id) = setup();
        let refused = register(&registry, &Consistency::default(), &id, Instance { ephemeral: false, ..instance("a") });
        assert_eq!(refused, Err(NamingError::NeedsConsensus("a persistent instance")));
        assert!(registry.get(&id).is_none());
    }
}
