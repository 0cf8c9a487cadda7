//! Comparison of what was read: pure functions, so that every kind of disagreement can be shown to be found.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::content::{InstanceKey, Metadata, NodeContent, Properties, Served, ServiceKey, metadata_text};
use super::ring;

/// Differences that are kept; a cluster that has lost its way differs everywhere, and the first show how.
pub const DIFFERENCES_MAX: usize = 1000;

/// What a model expects of an instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Share of traffic.
    pub weight: f64,
    /// Whether clients may be sent there.
    pub enabled: bool,
    /// Whether it beats.
    pub healthy: bool,
    /// Its metadata.
    pub metadata: Metadata,
}

impl Wanted {
    fn is_met_by(&self, it: &Served) -> bool {
        (self.weight, self.enabled, self.healthy) == (it.weight, it.enabled, it.healthy) && self.metadata == it.metadata
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { weight, enabled, healthy, metadata } = self;
        write!(f, "weight {weight}, enabled {enabled}, healthy {healthy}, {}", metadata_text(metadata))
    }
}

/// Per instance every state that is right; `None` stands for "not there". An instance that is not named must not be
/// there.
pub type Expected = BTreeMap<ServiceKey, BTreeMap<InstanceKey, Vec<Option<Wanted>>>>;

/// One thing that is not the same everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Of which service.
    pub service: ServiceKey,
    /// Of which instance; absent when it is about the service as a whole.
    pub instance: Option<InstanceKey>,
    /// What differs: `presence`, `weight`, `healthy`, `checksum`, …
    pub property: &'static str,
    /// Where it was looked at.
    pub place: Place,
    /// Who shows what, in node order.
    pub shown: Vec<(String, String)>,
}

/// Where a difference was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Between the replicated lists of the nodes.
    Store,
    /// Between what the nodes serve to clients.
    Registry,
    /// Between what one node stores and what it serves.
    Within,
    /// Between what the nodes serve and what clients were told.
    Model,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.service)?;
        if let Some(instance) = &self.instance {
            write!(f, ", {instance}")?;
        }
        let place = match self.place {
            Place::Store => "stored",
            Place::Registry => "served",
            Place::Within => "stored and served",
            Place::Model => "acknowledged and served",
        };
        write!(f, ": {} {place}: ", self.property)?;
        let mut by_value: Vec<(&str, Vec<&str>)> = Vec::new();
        for (node, value) in &self.shown {
            match by_value.iter_mut().find(|(known, _)| known == value) {
                Some((_, nodes)) => nodes.push(node),
                None => by_value.push((value, vec![node])),
            }
        }
        let parts: Vec<_> = by_value.iter().map(|(value, nodes)| format!("{value} at {}", nodes.join(", "))).collect();
        f.write_str(&parts.join("; "))
    }
}

/// How the nodes differ from each other, and each within itself. `all_ephemeral` says that nothing read is persistent,
/// so that whatever is served must be in the store too.
pub fn between(nodes: &[NodeContent], all_ephemeral: bool) -> Vec<Difference> {
    let mut found = Found::default();
    let services: BTreeSet<&ServiceKey> =
        nodes.iter().flat_map(|it| it.store.keys().chain(it.registry.keys())).collect();
    for service in services {
        let stored: Vec<_> = nodes.iter().map(|it| it.store.get(service).map(|it| &it.instances)).collect();
        let before = found.all.len();
        side_by_side(&mut found, nodes, service, Place::Store, &stored);
        if found.all.len() == before {
            checksums(&mut found, nodes, service);
        }
        let served: Vec<_> = nodes.iter().map(|it| it.registry.get(service).map(|it| &it.instances)).collect();
        side_by_side(&mut found, nodes, service, Place::Registry, &served);
        service_metadata(&mut found, nodes, service);
        for node in nodes {
            within(&mut found, node, service, all_ephemeral);
        }
    }
    found.all
}

/// How what the nodes serve differs from what is expected; one difference per instance.
pub fn from_model(nodes: &[NodeContent], expected: &Expected) -> Vec<Difference> {
    let mut found = Found::default();
    let served = nodes.iter().flat_map(|it| it.registry.keys());
    let services: BTreeSet<&ServiceKey> = served.chain(expected.keys()).collect();
    for service in services {
        let wanted = expected.get(service);
        let served: Vec<_> = nodes.iter().map(|it| it.registry.get(service)).collect();
        let keys = served.iter().flatten().flat_map(|it| it.instances.keys());
        let keys: BTreeSet<&InstanceKey> = keys.chain(wanted.iter().flat_map(|it| it.keys())).collect();
        for key in keys {
            let right = wanted.and_then(|it| it.get(key)).map_or(&[None][..], Vec::as_slice);
            let mut shown = Vec::new();
            for (node, service) in nodes.iter().zip(&served) {
                let actual = service.and_then(|it| it.instances.get(key));
                if !right.iter().any(|it| meets(it.as_ref(), actual)) {
                    shown.push((node.address.clone(), actual.map_or_else(|| ABSENT.to_owned(), served_text)));
                }
            }
            if !shown.is_empty() {
                let told = right.iter().map(|it| it.as_ref().map_or_else(|| ABSENT.to_owned(), ToString::to_string));
                shown.insert(0, ("the clients".to_owned(), told.collect::<Vec<_>>().join(" or ")));
                found.push(service, Some(key), "state", Place::Model, shown);
            }
        }
    }
    found.all
}

const ABSENT: &str = "absent";

fn meets(wanted: Option<&Wanted>, actual: Option<&Served>) -> bool {
    match (wanted, actual) {
        (None, None) => true,
        (Some(wanted), Some(actual)) => wanted.is_met_by(actual),
        _ => false,
    }
}

fn served_text(it: &Served) -> String {
    let Served { weight, enabled, healthy, metadata } = it.clone();
    Wanted { weight, enabled, healthy, metadata }.to_string()
}

#[derive(Default)]
struct Found {
    all: Vec<Difference>,
}

impl Found {
    fn push(
        &mut self,
        service: &ServiceKey,
        instance: Option<&InstanceKey>,
        property: &'static str,
        place: Place,
        shown: Vec<(String, String)>,
    ) {
        if self.all.len() < DIFFERENCES_MAX {
            let (service, instance) = (service.clone(), instance.cloned());
            self.all.push(Difference { service, instance, property, place, shown });
        }
    }
}

/// The same instance at every node.
fn side_by_side<T: Properties>(
    found: &mut Found,
    nodes: &[NodeContent],
    service: &ServiceKey,
    place: Place,
    lists: &[Option<&BTreeMap<InstanceKey, T>>],
) {
    let keys: BTreeSet<&InstanceKey> = lists.iter().flatten().flat_map(|it| it.keys()).collect();
    for key in keys {
        let at: Vec<Option<&T>> = lists.iter().map(|list| list.and_then(|it| it.get(key))).collect();
        if at.windows(2).all(|it| matches!(it, [a, b] if a == b)) {
            continue;
        }
        let shown = |text: &dyn Fn(&T) -> String| {
            let texts = at.iter().map(|it| it.map_or_else(|| ABSENT.to_owned(), text));
            nodes.iter().map(|it| it.address.clone()).zip(texts).collect::<Vec<_>>()
        };
        if at.iter().any(Option::is_none) {
            found.push(service, Some(key), "presence", place, shown(&|_| "there".to_owned()));
            continue;
        }
        let all: Vec<Vec<(&'static str, String)>> = at.iter().flatten().map(|it| it.properties()).collect();
        for (position, (name, first)) in all.first().into_iter().flatten().enumerate() {
            let values = all.iter().filter_map(|it| it.get(position).map(|(_, value)| value));
            let values: Vec<&String> = values.collect();
            if values.iter().any(|it| *it != first) {
                let shown = nodes.iter().map(|it| it.address.clone()).zip(values.into_iter().cloned()).collect();
                found.push(service, Some(key), name, place, shown);
            }
        }
    }
}

/// What the responsible node would send to verify the list, against what the others hold. Lists with the same instances
/// have the same checksum unless one names an instance twice; then peers pull it for ever.
fn checksums(found: &mut Found, nodes: &[NodeContent], service: &ServiceKey) {
    for node in nodes {
        if let Some(datum) = node.store.get(service).filter(|it| it.repeated > 0) {
            let shown = vec![(node.address.clone(), format!("{} instances twice in the list", datum.repeated))];
            found.push(service, None, "list", Place::Store, shown);
        }
    }
    let sums: Vec<&str> = nodes
        .iter()
        .map(|it| it.store.get(service).filter(|it| !it.instances.is_empty()).map_or("", |it| it.checksum.as_str()))
        .collect();
    if sums.windows(2).all(|it| matches!(it, [a, b] if a == b)) {
        return;
    }
    let shown = nodes.iter().zip(sums).map(|(node, sum)| {
        let ring: Vec<&str> = node.members.iter().filter(|it| it.is_in_ring()).map(|it| it.address.as_str()).collect();
        let sends = ring::responsible(&service.name, &ring) == Some(node.address.as_str());
        (node.address.clone(), format!("{sum}{}", if sends { " (sent by it)" } else { "" }))
    });
    found.push(service, None, "checksum", Place::Store, shown.collect());
}

fn service_metadata(found: &mut Found, nodes: &[NodeContent], service: &ServiceKey) {
    let texts = nodes.iter().filter_map(|it| Some((it, it.registry.get(service)?)));
    let texts: Vec<_> = texts.map(|(it, service)| (it.address.clone(), metadata_text(&service.metadata))).collect();
    if texts.windows(2).any(|it| matches!(it, [(_, a), (_, b)] if a != b)) {
        found.push(service, None, "service metadata", Place::Registry, texts);
    }
}

/// Store against registry in one node.
fn within(found: &mut Found, node: &NodeContent, service: &ServiceKey, all_ephemeral: bool) {
    let stored = node.store.get(service).map(|it| &it.instances);
    let served = node.registry.get(service).map(|it| &it.instances);
    let mut differ = |key: &InstanceKey, property, stores: String, serves: String| {
        let shown =
            vec![(format!("{} (store)", node.address), stores), (format!("{} (registry)", node.address), serves)];
        found.push(service, Some(key), property, Place::Within, shown);
    };
    for (key, stored) in stored.into_iter().flatten() {
        let Some(served) = served.and_then(|it| it.get(key)) else {
            differ(key, "presence", "there".to_owned(), ABSENT.to_owned());
            continue;
        };
        let stored = Served {
            weight: stored.weight,
            enabled: stored.enabled,
            healthy: stored.healthy,
            metadata: stored.metadata.clone(),
        };
        if stored != *served {
            differ(key, "state", served_text(&stored), served_text(served));
        }
    }
    if all_ephemeral {
        for (key, _) in served.into_iter().flatten() {
            if stored.is_none_or(|it| !it.contains_key(key)) {
                differ(key, "presence", ABSENT.to_owned(), "there".to_owned());
            }
        }
    }
}
