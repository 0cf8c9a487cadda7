//! Metadata of many instances at once (compat/spec/naming-api.md §8.3).

use super::changes::Change;
use super::consistency::Consistency;
use super::error::NamingError;
use super::instance::{InstanceKey, Metadata};
use super::instances::written;
use super::metadata::{hash_order, table_after};
use super::registry::Registry;
use super::service::{ServiceId, ServiceState};
use super::view::list_in_order;

/// Which instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Targets {
    /// All of one kind.
    Kind {
        /// Ephemeral or persistent.
        ephemeral: bool,
    },
    /// These, with their kind; port 0 is any port.
    Instances(Vec<(InstanceKey, bool)>),
}

/// What to do with the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Merge keys and values.
    Update,
    /// Take the keys away.
    Remove,
}

/// Changes metadata and tells the identities of the instances changed, e.g. `ip:port:unknown:cluster:ephemeral`.
/// What is not found is left out, as in Nacos. An instance named with another cluster is not found and, unlike there,
/// not lost (compat/DIFFERENCES.md).
///
/// # Errors
/// When persistent instances are meant and cannot be written; then nothing is changed.
pub fn apply(
    registry: &Registry,
    consistency: &Consistency,
    id: &ServiceId,
    targets: &Targets,
    metadata: &Metadata,
    action: Action,
) -> Result<Vec<String>, NamingError> {
    let Some(service) = registry.get(id) else { return Ok(Vec::new()) };
    registry.update(&service, |state| {
        let (persistent, ephemeral) = (locate(state, targets, false), locate(state, targets, true));
        if !persistent.is_empty()
            && let Err(error) = consistency.admit("metadata of a persistent instance")
        {
            return (Err(error), Change::default());
        }
        let mut updated = Vec::new();
        let mut change = Change::default();
        for (kind, keys) in [(false, persistent), (true, ephemeral)] {
            if let Some(before) = until_null(state, kind, &keys, metadata, action) {
                // Official Nacos fails there: what it had changed of the lists that it serves stays changed.
                for key in before.iter().filter(|_| kind) {
                    let first = if action == Action::Remove { 1 } else { metadata.len() };
                    let given =
                        metadata.iter().take(first).map(|(name, value)| (name.clone(), value.clone())).collect();
                    if let Some(instance) = state.instances_mut(kind).get_mut(key) {
                        edit(instance.metadata.get_or_insert_default(), &given, action);
                        change = change.merge(written(kind));
                    }
                }
                break;
            }
            for key in keys {
                if let Some(instance) = state.instances_mut(kind).get_mut(&key) {
                    // Null is left only where nothing is to be removed, and stays so.
                    if let Some(known) = instance.metadata.as_mut() {
                        edit(known, metadata, action);
                        if kind && action == Action::Update {
                            instance.hashed_metadata =
                                table_after(instance.hashed_metadata, metadata.len(), known.len());
                            hash_order(known, instance.hashed_metadata);
                        }
                    }
                    updated.push(format!("{}:{}", key.datum_key(), if kind { "ephemeral" } else { "persist" }));
                    change = change.merge(written(kind));
                }
            }
        }
        (Ok(updated), change)
    })
}

/// The instances before the first one whose metadata is null, which cannot be edited; none when every one can be.
fn until_null<'a>(
    state: &ServiceState,
    kind: bool,
    keys: &'a [InstanceKey],
    given: &Metadata,
    action: Action,
) -> Option<&'a [InstanceKey]> {
    if action == Action::Remove && given.is_empty() {
        return None;
    }
    let is_null = |key: &InstanceKey| state.instances(kind).get(key).is_some_and(|known| known.metadata.is_none());
    keys.get(..keys.iter().position(is_null)?)
}

fn edit(known: &mut Metadata, given: &Metadata, action: Action) {
    for (name, value) in given {
        match action {
            Action::Update => {
                known.insert(name.clone(), value.clone());
            }
            Action::Remove => {
                known.shift_remove(name);
            }
        }
    }
}

/// Identities of the kind's instances that are meant, in the order of its list.
fn locate(state: &ServiceState, targets: &Targets, ephemeral: bool) -> Vec<InstanceKey> {
    let list = list_in_order(state, ephemeral);
    match targets {
        Targets::Kind { ephemeral: meant } if *meant == ephemeral => list.iter().map(|known| known.key()).collect(),
        Targets::Kind { .. } => Vec::new(),
        Targets::Instances(named) => named
            .iter()
            .filter(|(_, kind)| *kind == ephemeral)
            .filter_map(|(key, _)| {
                list.iter()
                    .find(|known| {
                        known.ip == key.ip
                            && (key.port == 0 || known.port == key.port)
                            && known.cluster_name == key.cluster
                    })
                    .map(|known| known.key())
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::naming::instance::{Hashed, Instance};
    use crate::naming::instances::register;

    #[test]
    fn metadata_that_is_null_stops_a_batch() {
        let (registry, consistency) = (Registry::new(), Consistency::permitting());
        let id = ServiceId::new("public", "g@@s");
        for (ip, metadata) in [("a", Some(Metadata::new())), ("b", None)] {
            let instance = Instance { ip: ip.into(), port: 80, metadata, ..Instance::default() };
            register(&registry, &consistency, &id, instance).unwrap();
        }
        let given = Metadata::from([("q".to_owned(), "1".to_owned())]);
        let targets = Targets::Kind { ephemeral: true };
        assert_eq!(apply(&registry, &consistency, &id, &targets, &given, Action::Update), Ok(Vec::new()));
        let service = registry.get(&id).unwrap();
        let of = |ip: &str| service.read().ephemeral.values().find(|one| one.ip == ip).unwrap().metadata.clone();
        assert_eq!(of("b"), None);
        assert!(of("a").is_some());
        // Nothing to remove: it goes through, and null stays.
        let both = apply(&registry, &consistency, &id, &targets, &Metadata::new(), Action::Remove).unwrap();
        assert_eq!((both.len(), of("b")), (2, None));
    }

    #[test]
    fn keys_that_are_added_go_where_a_hash_table_has_them() {
        // compat/recordings/1.4.1: M31
        let (registry, consistency) = (Registry::new(), Consistency::permitting());
        let id = ServiceId::new("public", "g@@s");
        for (ip, hashed_metadata) in [("a", Hashed(16)), ("b", Hashed(0))] {
            let metadata = [("b", "2"), ("y", "1")].map(|(key, value)| (key.to_owned(), value.to_owned()));
            let metadata = Some(Metadata::from(metadata));
            let instance = Instance { ip: ip.into(), metadata, hashed_metadata, ..Instance::default() };
            register(&registry, &consistency, &id, instance).unwrap();
        }
        let given = Metadata::from([("f".to_owned(), "1".to_owned())]);
        apply(&registry, &consistency, &id, &Targets::Kind { ephemeral: true }, &given, Action::Update).unwrap();
        let service = registry.get(&id).unwrap();
        let state = service.read();
        let order = |ip: &str| {
            let instance = state.ephemeral.values().find(|one| one.ip == ip).unwrap();
            instance.metadata.as_ref().unwrap().keys().cloned().collect::<String>()
        };
        assert_eq!((order("a"), order("b")), ("bfy".to_owned(), "byf".to_owned()));
    }

    #[test]
    fn a_wrong_cluster_loses_nothing() {
        // compat/recordings/1.4.1: Z20-Z25
        let (registry, consistency) = (Registry::new(), Consistency::permitting());
        let id = ServiceId::new("public", "g@@s");
        let instance = Instance { ip: "a".into(), port: 80, cluster_name: "C1".into(), ..Instance::default() };
        register(&registry, &consistency, &id, instance.clone()).unwrap();
        let wrong = InstanceKey { cluster: "DEFAULT".into(), ..instance.key() };
        let metadata = Metadata::from([("q".to_owned(), "1".to_owned())]);
        let targets = Targets::Instances(vec![(wrong, true)]);
        assert_eq!(apply(&registry, &consistency, &id, &targets, &metadata, Action::Update), Ok(Vec::new()));
        register(&registry, &consistency, &id, Instance { ip: "b".into(), ..Instance::default() }).unwrap();
        let service = registry.get(&id).unwrap();
        assert!(service.read().ephemeral.contains_key(&instance.key()));
    }
}
