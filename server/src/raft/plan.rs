//! What a persistent write comes to: the entries it needs, worked out beside the registry.

use std::collections::HashSet;

use super::datum::{Entry, Poison};
use super::persisted::Persisted;
use crate::naming::checksum;
use crate::naming::consistency::{Consistency, Subject, Write};
use crate::naming::error::NamingError;
use crate::naming::instance::{Instance, InstanceKey};
use crate::naming::instances::new_service;
use crate::naming::registry::Registry;
use crate::naming::service::{ServiceId, ServiceState};
use crate::naming::validate;

/// The entries of a write, and what the group holds after them.
#[derive(Debug, Clone)]
pub struct Plan {
    /// To be committed in this order; none when nothing changes for the group.
    pub entries: Vec<Entry>,
    /// What the group holds afterwards; `None` when the service is gone.
    pub after: Option<Persisted>,
    /// Whether the write took away a service that was there.
    pub removes: bool,
    /// What it changes beside the group's data.
    pub local: Local,
}

/// Where writes to a service are worked out, one after the other.
#[derive(Debug)]
pub struct Scratch {
    id: ServiceId,
    registry: Registry,
    start: Option<ServiceState>,
    before: Option<Persisted>,
}

impl Scratch {
    /// Of a service as the group holds it (`before`), with the ephemeral instances that are `here`.
    pub fn new(id: &ServiceId, here: Option<ServiceState>, before: Option<Persisted>) -> Self {
        let registry = Registry::new();
        let start = start_of(id, here, before.as_ref());
        if let Some(state) = start.clone() {
            registry.get_or_create(id, || state);
        }
        Scratch { id: id.clone(), registry, start, before }
    }

    /// Runs a write. One that is refused changes nothing, but for a service that it had created by then.
    ///
    /// # Errors
    /// When it is refused.
    pub fn run(&self, write: &Write<'_>) -> Result<(), NamingError> {
        write(&self.registry, &Consistency::permitting())
    }

    /// What the writes come to. `subject` is [`Subject::Service`] when one of them was to the service itself.
    ///
    /// # Errors
    /// When it would damage the members.
    pub fn plan(&self, subject: Subject) -> Result<Plan, Poison> {
        let (id, before) = (&self.id, self.before.as_ref());
        let Some(service) = self.registry.get(id) else {
            let entries = before.map(|_| Entry::remove(id)).into_iter().collect();
            return Ok(Plan { entries, after: None, removes: self.start.is_some(), local: Local::default() });
        };
        let state = service.read();
        let after = Persisted::of(&state);
        let instances_changed = match before {
            Some(before) => before.instances != after.instances,
            None => !after.instances.is_empty(),
        };
        let mut entries = Vec::new();
        let mut recorded_clusters = self.start.as_ref().map_or(0, |start| start.recorded_clusters);
        let created = self.start.is_none() && validate::storable_namespace(id).is_ok();
        if subject == Subject::Service || (before.is_none() && instances_changed && !created) {
            // A service that the members do not know comes before its instances.
            entries.push(Entry::meta(id, &state, &checksum::of(id, &state))?);
            recorded_clusters = state.clusters.len();
        } else if before.is_none() && created {
            // Real nodes create a service before they look at the instance: its record names no cluster, and an
            // instance that they refuse leaves it there, empty.
            let empty = ServiceState { last_modified: state.last_modified, ..new_service(id) };
            entries.push(Entry::meta(id, &empty, &checksum::of(id, &empty))?);
        }
        if instances_changed {
            entries.push(Entry::list(id, after.instances.values()));
        }
        let local = Local::between(self.start.as_ref(), &state, recorded_clusters);
        Ok(Plan { entries, after: Some(after), removes: false, local })
    }
}

/// What a write changes that no consensus keeps.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Local {
    /// Ephemeral instances that are new or others, or gone.
    pub ephemeral: Vec<(InstanceKey, Option<Instance>)>,
    /// Health of persistent instances set by hand: members keep what they know when a list is applied.
    pub health: Vec<(InstanceKey, bool)>,
    /// Clusters that it only named.
    pub clusters: Vec<String>,
    /// What decides how the service is listed, when the write makes it otherwise than its records do.
    pub listing: Option<Listing>,
}

/// What records do not tell of the tables that real nodes keep a service in, and its listings depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listing {
    /// As [`ServiceState::linked_clusters`].
    pub linked_clusters: bool,
    /// As [`ServiceState::held`], of the persistent instances.
    pub held: usize,
    /// As [`ServiceState::recorded_clusters`].
    pub recorded_clusters: usize,
}

impl Local {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.ephemeral.is_empty() && self.health.is_empty() && self.clusters.is_empty() && self.listing.is_none()
    }

    /// `recorded_clusters`: as the records leave it.
    fn between(before: Option<&ServiceState>, after: &ServiceState, recorded_clusters: usize) -> Self {
        let known = |key: &InstanceKey| before.and_then(|before| before.ephemeral.get(key));
        let set = after.ephemeral.iter().filter(|(key, one)| known(key) != Some(*one));
        let mut ephemeral: Vec<_> = set.map(|(key, one)| (key.clone(), Some(one.clone()))).collect();
        let gone = before.into_iter().flat_map(|before| before.ephemeral.keys());
        ephemeral.extend(gone.filter(|key| !after.ephemeral.contains_key(*key)).map(|key| (key.clone(), None)));
        let known = |key: &InstanceKey| before.and_then(|before| before.persistent.get(key));
        let set = after.persistent.iter().filter(|(key, one)| known(key).is_some_and(|it| it.healthy != one.healthy));
        let health = set.map(|(key, one)| (key.clone(), one.healthy)).collect();
        let is_new = |name: &&String| before.is_none_or(|before| !before.clusters.contains_key(*name));
        let clusters = after.clusters.keys().filter(is_new).cloned().collect();
        let listing = Listing {
            linked_clusters: after.linked_clusters,
            held: after.held[0],
            recorded_clusters: after.recorded_clusters,
        };
        // As a record makes a new service and a list an old one.
        let linked_clusters = before.is_none_or(|before| before.linked_clusters);
        let by_records = Listing { linked_clusters, held: 0, recorded_clusters };
        Local { ephemeral, health, clusters, listing: (listing != by_records).then_some(listing) }
    }
}

/// The service to start from; `None` when neither the group nor this node has anything of it.
fn start_of(id: &ServiceId, here: Option<ServiceState>, group: Option<&Persisted>) -> Option<ServiceState> {
    let Some(group) = group else {
        // What is here of it and not there is not persistent.
        let mut state = here?;
        let fresh = new_service(id);
        state.persistent.clear();
        (state.protect_threshold, state.metadata, state.selector) =
            (fresh.protect_threshold, fresh.metadata, fresh.selector);
        let gone = state.declared && state.ephemeral.is_empty();
        return (!gone).then_some(state);
    };
    let mut state = here.unwrap_or_else(|| new_service(id));
    assign(&mut state, group);
    Some(state)
}

/// Puts what the group holds into a state; health is kept, as official members do, and so are clusters that
/// ephemeral instances are in.
fn assign(state: &mut ServiceState, group: &Persisted) {
    state.protect_threshold = group.protect_threshold;
    state.metadata.clone_from(&group.metadata);
    state.selector.clone_from(&group.selector);
    let used: HashSet<&str> = state.ephemeral.values().map(|one| one.cluster_name.as_str()).collect();
    state.clusters.retain(|name, _| group.clusters.contains_key(name) || used.contains(name.as_str()));
    for (name, cluster) in &group.clusters {
        state.clusters.insert(name.clone(), cluster.clone());
    }
    let known = std::mem::take(&mut state.persistent);
    state.persistent = group
        .instances
        .iter()
        .map(|(key, instance)| {
            let mut instance = instance.clone();
            if let Some(known) = known.get(key) {
                instance.healthy = known.healthy;
            }
            (key.clone(), instance)
        })
        .collect();
    for cluster in state.persistent.values().map(|one| one.cluster_name.clone()).collect::<HashSet<_>>() {
        state.ensure_cluster(&cluster);
    }
    state.declared = true;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::naming::instance::Metadata;
    use crate::naming::selector;
    use crate::naming::services::{self, Settings};
    use crate::naming::{clusters, health_checker, instances, service};

    fn id() -> ServiceId {
        ServiceId::new("public", "g@@s")
    }

    fn instance(ip: &str) -> Instance {
        Instance { ip: ip.to_owned(), port: 80, ephemeral: false, ..Instance::default() }
    }

    /// One write on what the group holds, with the ephemeral instances that are `here`.
    fn plan(
        subject: Subject,
        write: &Write<'_>,
        here: Option<ServiceState>,
        before: Option<Persisted>,
    ) -> Result<Plan, NamingError> {
        let scratch = Scratch::new(&id(), here, before);
        scratch.run(write)?;
        Ok(scratch.plan(subject).unwrap())
    }

    /// Operation and kind of each entry.
    fn kinds(plan: &Plan) -> Vec<String> {
        let kind = |entry: &Entry| {
            let request = entry.clone().into_request();
            let is_meta = entry.key().contains(".domains.meta.");
            format!("{} {}", request.operation, if is_meta { "meta" } else { "list" })
        };
        plan.entries.iter().map(kind).collect()
    }

    fn register(ip: &'static str) -> impl Fn(&Registry, &Consistency) -> Result<(), NamingError> {
        move |registry, consistency| instances::register(registry, consistency, &id(), instance(ip))
    }

    #[test]
    fn a_first_instance_is_two_entries_and_a_second_one_whole_list() {
        // compat/spec/jraft.md §7
        let first = plan(Subject::Instances, &register("a"), None, None).unwrap();
        assert_eq!(kinds(&first), ["Write meta", "Write list"]);
        let before = first.after.unwrap();
        let second = plan(Subject::Instances, &register("b"), None, Some(before.clone())).unwrap();
        assert_eq!(kinds(&second), ["Write list"]);
        let after = second.after.clone().unwrap();
        assert_eq!(after.instances.len(), 2);
        assert!(after.shows(&after) && !before.shows(&after));

        let deregister = |registry: &Registry, consistency: &Consistency| {
            instances::deregister(registry, consistency, &id(), &instance("a").key(), false)
        };
        let third = plan(Subject::Instances, &deregister, None, Some(after.clone())).unwrap();
        assert_eq!((kinds(&third), third.after.unwrap().instances.len()), (vec!["Write list".to_owned()], 1));
        let unknown = plan(Subject::Instances, &deregister, None, None).unwrap();
        assert!(unknown.entries.is_empty());
    }

    #[test]
    fn a_refused_first_instance_leaves_an_empty_service() {
        // A generated sequence beside 1.4.1 showed it: a cluster's name is looked at when the service is there.
        let scratch = Scratch::new(&id(), None, None);
        let one = Instance { cluster_name: "服".to_owned(), ..instance("a") };
        let refused = scratch.run(&|registry: &Registry, consistency: &Consistency| {
            instances::register(registry, consistency, &id(), one.clone())
        });
        assert!(refused.is_err());
        assert_eq!(kinds(&scratch.plan(Subject::Instances).unwrap()), ["Write meta"]);
    }

    #[test]
    fn health_set_by_hand_is_a_change_of_this_node_too() {
        // gs5n480 of the generated cases: members keep the health that they know, and the writer knows the new one.
        let before = plan(Subject::Instances, &register("a"), None, None).unwrap().after;
        let key = instance("a").key();
        let patch = |registry: &Registry, consistency: &Consistency| {
            instances::patch(registry, consistency, &id(), &key, |instance| {
                instance.healthy = false;
                Ok(())
            })
        };
        let patched = plan(Subject::Instances, &patch, None, before.clone()).unwrap();
        assert_eq!(
            (kinds(&patched), patched.local.health),
            (vec!["Write list".to_owned()], vec![(key.clone(), false)])
        );
        let again = plan(Subject::Instances, &register("a"), None, before).unwrap();
        assert!(again.local.health.is_empty());
    }

    #[test]
    fn the_groups_state_decides_and_ephemeral_instances_stay() {
        let mut here = new_service(&id());
        let own = Instance { ephemeral: true, ..instance("own") };
        here.ephemeral.insert(own.key(), own);
        let create = |registry: &Registry, consistency: &Consistency| {
            let (metadata, selector) = (Metadata::new(), selector::parse("")?);
            services::create(registry, consistency, &id(), Settings { protect_threshold: 0.5, metadata, selector })
        };
        let created = plan(Subject::Service, &create, None, None).unwrap();
        assert_eq!(kinds(&created), ["Write meta"]);
        // Unknown here, known there.
        let again = plan(Subject::Service, &create, None, created.after.clone());
        assert!(matches!(again, Err(NamingError::Illegal(_))));

        let registered = plan(Subject::Instances, &register("a"), Some(here), created.after.clone()).unwrap();
        let after = registered.after.unwrap();
        assert_eq!((after.protect_threshold, after.instances.len()), (0.5, 1), "the ephemeral one is not among them");

        let delete = |registry: &Registry, consistency: &Consistency| services::delete(registry, consistency, &id());
        let gone = plan(Subject::Service, &delete, None, Some(after.clone())).unwrap();
        assert_eq!((kinds(&gone), gone.after), (vec!["Delete meta".to_owned()], None));
    }

    #[test]
    fn a_damaged_cluster_goes_no_further() {
        let mut held = Persisted::of(&new_service(&id()));
        held.clusters.insert("BAD".to_owned(), service::Cluster { check_port: 0, ..service::Cluster::default() });
        let update = |registry: &Registry, consistency: &Consistency| {
            let health_checker = health_checker::parse("{\"type\":\"NONE\"}")?;
            let cluster = service::Cluster { health_checker, ..service::Cluster::default() };
            clusters::update(registry, consistency, &id(), "C", cluster)
        };
        let scratch = Scratch::new(&id(), None, Some(held));
        scratch.run(&update).unwrap();
        assert_eq!(scratch.plan(Subject::Service).map(|_| ()), Err(Poison::Port("BAD".to_owned())));
    }
}
