//! The part of a service that consensus keeps, as naming holds it.

use indexmap::IndexMap;

use crate::naming::instance::{Instance, Metadata};
use crate::naming::service::{Cluster, Instances, Selector, ServiceState};

/// What consensus keeps of one service.
#[derive(Debug, Clone, PartialEq)]
pub struct Persisted {
    /// Share of healthy instances at or below which all are shown as healthy.
    pub protect_threshold: f32,
    /// Service metadata.
    pub metadata: Metadata,
    /// Selector.
    pub selector: Selector,
    /// Clusters.
    pub clusters: IndexMap<String, Cluster>,
    /// Persistent instances.
    pub instances: Instances,
}

impl Persisted {
    /// That part of a service here.
    pub fn of(state: &ServiceState) -> Self {
        Persisted {
            protect_threshold: state.protect_threshold,
            metadata: state.metadata.clone(),
            selector: state.selector.clone(),
            clusters: state.clusters.clone(),
            instances: state.persistent.clone(),
        }
    }

    /// Whether nothing would change by putting one in the place of the other; numbers that are none equal themselves.
    pub fn equals(&self, other: &Persisted) -> bool {
        let same = |one: &Instance, other: &Instance| {
            let no_numbers = one.weight.is_nan() && other.weight.is_nan();
            one == other
                || no_numbers && Instance { weight: 0.0, ..one.clone() } == Instance { weight: 0.0, ..other.clone() }
        };
        self.protect_threshold.to_bits() == other.protect_threshold.to_bits()
            && self.metadata == other.metadata
            && self.selector == other.selector
            && self.clusters == other.clusters
            && self.instances.len() == other.instances.len()
            && other.instances.iter().all(|(key, one)| self.instances.get(key).is_some_and(|known| same(known, one)))
    }

    /// Whether this, read from a member, shows a write that led to `other`: health and beats are not of consensus.
    pub fn shows(&self, other: &Persisted) -> bool {
        let mut shown = self.clone();
        for (key, instance) in &mut shown.instances {
            if let Some(other) = other.instances.get(key) {
                (instance.healthy, instance.last_beat) = (other.healthy, other.last_beat);
            }
        }
        // A cluster that only an ephemeral instance or a removal made need not be everywhere.
        let has_clusters = other.clusters.iter().all(|(name, cluster)| match self.clusters.get(name) {
            Some(known) => known == cluster,
            None => *cluster == Cluster::default(),
        });
        shown.clusters.clone_from(&other.clusters);
        has_clusters && shown.equals(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_and_beats_do_not_hide_a_write() {
        let instance = Instance { ip: "a".to_owned(), ephemeral: false, ..Instance::default() };
        let with = |instance: Instance| {
            let mut state = ServiceState::new("g");
            state.persistent.insert(instance.key(), instance);
            Persisted::of(&state)
        };
        let written = with(instance.clone());
        assert!(with(Instance { healthy: false, last_beat: 9, ..instance.clone() }).shows(&written));
        assert!(!with(Instance { weight: 3.0, ..instance.clone() }).shows(&written));
        let no_number = with(Instance { weight: f64::NAN, ..instance });
        assert!(no_number.equals(&no_number.clone()) && no_number.shows(&no_number) && !no_number.shows(&written));
        assert!(!Persisted::of(&ServiceState::new("g")).shows(&written));
    }
}
