//! A service as readers are shown it: instances in Nacos' order, printed once per change instead of once per read.

use std::collections::HashMap;

use super::checksum;
use super::instance::Instance;
use super::json::JsonBuffer;
use super::service::{Cluster, ServiceId, ServiceState};
use super::validate;
use crate::java;

/// What a service shows, valid until its next change.
#[derive(Debug)]
pub struct ServiceView {
    /// MD5 over the service (compat/spec/naming-api.md §16.1).
    pub checksum: String,
    /// Grouped name.
    pub name: String,
    /// Name without its group.
    pub bare_name: String,
    /// Share of healthy instances at or below which all are shown as healthy.
    pub protect_threshold: f32,
    /// False only through a replicated record.
    pub enabled: bool,
    /// The service's metadata as JSON.
    pub metadata_json: Vec<u8>,
    /// Clusters in Java hash order.
    pub clusters: Vec<ClusterView>,
}

/// The instances of one cluster.
#[derive(Debug)]
pub struct ClusterView {
    /// Name.
    pub name: String,
    /// Persistent instances, then ephemeral ones, each in Java hash order.
    pub hosts: Vec<HostView>,
}

/// One instance, printed but for its health and the service's name.
#[derive(Debug)]
pub struct HostView {
    /// Whether it lives.
    pub healthy: bool,
    /// Whether it takes traffic.
    pub enabled: bool,
    /// JSON up to and with `"port":…`.
    pub head: Box<[u8]>,
    /// JSON from `,"marked"` up to `"clusterName":…`.
    pub middle: Box<[u8]>,
    /// JSON after the service's name.
    pub tail: &'static str,
}

impl ServiceView {
    /// The view of a state.
    pub fn new(id: &ServiceId, state: &ServiceState) -> Self {
        let mut metadata = JsonBuffer::new();
        metadata.metadata(&state.metadata);
        ServiceView {
            checksum: checksum::of(id, state),
            name: id.name.to_string(),
            bare_name: validate::name_of(&id.name).to_owned(),
            protect_threshold: state.protect_threshold,
            enabled: state.enabled,
            metadata_json: metadata.into_bytes(),
            clusters: instances_in_order(state)
                .into_iter()
                .map(|(name, instances)| ClusterView {
                    name: name.to_owned(),
                    hosts: instances.into_iter().map(host).collect(),
                })
                .collect(),
        }
    }
}

fn host(instance: &Instance) -> HostView {
    let mut head = JsonBuffer::with_capacity(48);
    head.raw("{\"ip\":").string(&instance.ip).raw(",\"port\":").int(i64::from(instance.port));
    let mut middle = JsonBuffer::with_capacity(192);
    middle.raw(",\"marked\":").bool(instance.marked);
    middle.raw(",\"instanceId\":").string_or_null(instance.instance_id.as_deref());
    middle.raw(",\"metadata\":").metadata_or_null(instance.metadata.as_ref());
    middle.raw(",\"enabled\":").bool(instance.enabled).raw(",\"weight\":").double(instance.weight);
    middle.raw(",\"clusterName\":").string(&instance.cluster_name);
    HostView {
        healthy: instance.healthy,
        enabled: instance.enabled,
        head: head.into_bytes().into_boxed_slice(),
        middle: middle.into_bytes().into_boxed_slice(),
        tail: if instance.ephemeral { ",\"ephemeral\":true}" } else { ",\"ephemeral\":false}" },
    }
}

/// Clusters in the order of a Java hash table of their names, or in that of creation.
pub fn clusters_in_order(state: &ServiceState) -> Vec<(&str, &Cluster)> {
    let mut clusters: Vec<(&str, &Cluster)> =
        state.clusters.iter().map(|(name, cluster)| (name.as_str(), cluster)).collect();
    if !state.linked_clusters {
        java::hash_order(&mut clusters, false, |(name, _)| *name);
    }
    clusters
}

/// Every cluster with its instances: persistent first, each kind as a Java set of addresses iterates
/// (compat/spec/naming-api.md §7).
pub fn instances_in_order(state: &ServiceState) -> Vec<(&str, Vec<&Instance>)> {
    let mut by_cluster: HashMap<&str, [Vec<&Instance>; 2]> = HashMap::new();
    for kind in [false, true] {
        for instance in list_in_order(state, kind) {
            let [persistent, ephemeral] = by_cluster.entry(&instance.cluster_name).or_default();
            if kind { ephemeral.push(instance) } else { persistent.push(instance) }
        }
    }
    clusters_in_order(state)
        .into_iter()
        .map(|(name, _)| {
            let mut ordered = Vec::new();
            for mut kind in by_cluster.remove(name).unwrap_or_default() {
                java::hash_order(&mut kind, true, |instance| instance.ip.as_str());
                ordered.append(&mut kind);
            }
            (name, ordered)
        })
        .collect()
}

/// One kind of instances as they stand in their datum, which decides between instances of one address: in the order of
/// the Java hash table of identities that the last write filled, which starts small and never shrinks.
pub fn list_in_order(state: &ServiceState, ephemeral: bool) -> Vec<&Instance> {
    let mut instances: Vec<&Instance> = state.instances(ephemeral).values().collect();
    let held = instances.len().max(state.held[usize::from(ephemeral)]);
    let mut capacity = 1usize;
    while held * 4 > capacity * 3 {
        capacity *= 2;
    }
    instances.sort_by_cached_key(|instance| java::bucket(&instance.key().datum_key(), capacity));
    instances
}
