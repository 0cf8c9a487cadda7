//! The persistent data of a mixed cluster, kept equal to what the official members hold, by reading it from them.
//!
//! In place of applying the group's log ourselves, which replaces this module and [`super::relay`]. Every second the
//! services known to be kept by the group are read again, some of the others are looked at in turn, and one or more
//! pages of the listing tell of new ones, so that the cost does not grow with the number of services: a few new or
//! changed services are seen within two seconds, ten thousand take minutes. While there is no leader nothing can be
//! written, and what is known is kept.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};
use tokio::time::MissedTickBehavior;

use super::leader::Leader;
use super::official::{Persisted, Row};
use super::relay::Relay;
use crate::clock::now_ms;
use crate::naming::changes::Change;
use crate::naming::instances::new_service;
use crate::naming::registry::Registry;
use crate::naming::service::{ServiceId, ServiceState};

/// Between two rounds.
const PERIOD: Duration = Duration::from_secs(1);
/// Namespaces are asked for on every one of so many rounds.
const NAMESPACES_EVERY: u64 = 2;
/// Services on a page of the listing, and pages read in a round.
const PAGE: usize = 500;
const PAGES_PER_ROUND: usize = 4;
/// Services read in a round: those found to differ, those kept by the group, and any others.
const URGENT_PER_ROUND: usize = 50;
const HELD_PER_ROUND: usize = 50;
const OTHERS_PER_ROUND: usize = 10;
/// Reads at a time.
const READS_AT_ONCE: usize = 8;
/// A listed service that differs must differ in the same way this long: Distro may be about to bring it.
const DIFFERS_FOR: Duration = Duration::from_millis(900);
/// Services that differ, remembered, and for how long when there are too many: one that is no longer listed never
/// agrees again.
const SUSPECTS_MAX: usize = 10_000;
const SUSPECT_FOR: Duration = Duration::from_secs(60);
/// A service must be missing at the leader this often in a row before it is removed here.
const MISSING_ROUNDS: u32 = 2;
/// Members apply a write some milliseconds after it was acknowledged.
const APPLY_LAG: Duration = Duration::from_millis(20);
/// What such a look may cost the client.
const LOOK_MAX: Duration = Duration::from_millis(500);
/// How long the node waits at its start for the first round.
const FIRST_ROUND_MAX: Duration = Duration::from_secs(2);

/// Puts what the group holds into a state; health is kept, as official members do, and so are clusters that
/// ephemeral instances are in.
pub(super) fn assign(state: &mut ServiceState, group: &Persisted) {
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

/// Puts what the group holds of a service into the registry.
pub(super) fn install(registry: &Registry, id: &ServiceId, group: &Persisted) {
    registry.upsert(
        id,
        || new_service(id),
        |state| {
            let (before, declared) = (Persisted::of(state), state.declared);
            assign(state, group);
            let changed = !declared || !before.equals(&Persisted::of(state));
            if changed {
                state.last_modified = now_ms();
            }
            ((), Change { persistent: changed, ..Change::default() })
        },
    );
}

/// Where the rounds stand.
#[derive(Debug, Default)]
struct Rounds {
    count: u64,
    /// Whether a member was read at all.
    loaded: bool,
    namespaces: Vec<String>,
    /// Pages still to be read: namespace and number.
    pages: VecDeque<(String, usize)>,
    /// Listed with so many instances, which is not what is here; since when.
    suspects: HashMap<ServiceId, (usize, Instant)>,
    missing: HashMap<ServiceId, u32>,
    next_held: usize,
    next_other: usize,
}

/// Mirrors until dropped.
pub async fn run(relay: Arc<Relay>, rounds: MirrorRounds) {
    let mut rounds = rounds.0;
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        round(&relay, &mut rounds).await;
    }
}

/// Reads a service soon after a write to it went to the member that is responsible for it, so that the client that
/// wrote sees it here as well.
pub async fn look(relay: &Relay, id: &ServiceId) {
    let look = async {
        tokio::time::sleep(APPLY_LAG).await;
        if let Some(leader) = relay.leaders.find(None).await {
            read(relay, &leader, id.clone()).await;
        }
    };
    if tokio::time::timeout(LOOK_MAX, look).await.is_err() {
        tracing::debug!(service = %id.name, "not read at once; a later round does");
    }
}

/// What the first round leaves for the others.
#[derive(Debug)]
pub struct MirrorRounds(Rounds);

/// The first round, before clients are served, in bounded time.
pub async fn load(relay: &Relay) -> MirrorRounds {
    let mut rounds = Rounds::default();
    if tokio::time::timeout(FIRST_ROUND_MAX, round(relay, &mut rounds)).await.is_err() {
        tracing::warn!("the persistent data of the cluster could not be read in time; it follows");
    }
    MirrorRounds(rounds)
}

async fn round(relay: &Relay, rounds: &mut Rounds) {
    if !relay.leaders.has_official_members() {
        return;
    }
    let Some((source, may_remove)) = source(relay, rounds).await else { return };
    rounds.count += 1;
    read_switches(relay).await;
    let urgent = match differing(relay, rounds, &source.http).await {
        Ok(urgent) => {
            rounds.loaded = true;
            urgent
        }
        Err(error) => {
            tracing::debug!(member = source.http, %error, "services could not be listed");
            Vec::new()
        }
    };
    let mut ids = urgent;
    ids.extend(rounds.turn_of_held(relay));
    for id in rounds.turn_of_others(relay) {
        if relay.official.has_settings(&source.http, &id).await.unwrap_or(false) {
            ids.push(id);
        }
    }
    let mut seen = HashSet::new();
    ids.retain(|id| seen.insert(id.clone()));
    let gone: Vec<ServiceId> = stream::iter(ids)
        .map(|id| read(relay, &source, id))
        .buffer_unordered(READS_AT_ONCE)
        .filter_map(|missing| async move { missing })
        .collect()
        .await;
    rounds.remove(relay, gone, may_remove).await;
}

/// The leader, whose removals count once the members have left the old protocol. Before anything was read, any member
/// will do: what there is, is shown even while nothing can be written.
async fn source(relay: &Relay, rounds: &Rounds) -> Option<(Leader, bool)> {
    match relay.leaders.find_writable(None).await {
        Ok(leader) => Some((leader, true)),
        Err(_) if !rounds.loaded => {
            let member = relay.leaders.official_members().into_iter().next()?;
            Some((Leader { http: member.address, raft: String::new() }, false))
        }
        Err(_) => None,
    }
}

/// Taken only when all official members that answer agree: one of them may have a switch of its own.
async fn read_switches(relay: &Relay) {
    let members = relay.leaders.official_members();
    let Ok(_turn) = relay.switch_turn.try_lock() else { return };
    let reads = futures::future::join_all(members.iter().map(|member| relay.official.switches(&member.address))).await;
    let mut switches: Vec<_> = reads.into_iter().filter_map(Result::ok).collect();
    if let Some(last) = switches.pop()
        && switches.iter().all(|other| *other == last)
    {
        relay.adopt_switches(last);
    }
}

/// Services of the next pages that are not here, or not so.
async fn differing(
    relay: &Relay,
    rounds: &mut Rounds,
    member: &str,
) -> Result<Vec<ServiceId>, super::official::ReadError> {
    if rounds.count % NAMESPACES_EVERY == 1 {
        rounds.namespaces = relay.official.namespaces(member).await?;
    }
    if rounds.pages.is_empty() {
        rounds.pages = rounds.namespaces.iter().map(|namespace| (namespace.clone(), 1)).collect();
    }
    let mut differing = Vec::new();
    for _ in 0..PAGES_PER_ROUND {
        let Some((namespace, page)) = rounds.pages.pop_front() else { break };
        let rows = relay.official.page(member, &namespace, page, PAGE).await?;
        if rows.len() >= PAGE {
            rounds.pages.push_front((namespace.clone(), page + 1));
        }
        for row in &rows {
            let id = row.id(&namespace);
            if rounds.is_due(relay.registry(), &id, row) && differing.len() < URGENT_PER_ROUND {
                differing.push(id);
            }
        }
    }
    Ok(differing)
}

/// Reads one service; it is handed back when the member does not know it.
async fn read(relay: &Relay, source: &Leader, id: ServiceId) -> Option<ServiceId> {
    // A write in progress knows better.
    let Ok(_turn) = relay.turn(&id).try_lock_owned() else { return None };
    let shown = match relay.official.service(&source.http, &id).await {
        Ok(shown) => shown,
        Err(error) => {
            tracing::debug!(service = %id.name, member = source.http, %error, "persistent data not read");
            return None;
        }
    };
    if relay.is_behind(&id, shown.as_ref().map(|shown| &shown.data)) {
        return None;
    }
    let Some(shown) = shown else { return Some(id) };
    let is_held = relay.held.lock().contains(&id);
    // A service of ephemeral instances alone comes by Distro, if it comes.
    let is_empty = || shown.ephemeral == 0 && relay.registry().get(&id).is_none();
    if is_held || shown.data.is_custom() || is_empty() {
        install(relay.registry(), &id, &shown.data);
        relay.held.lock().insert(id);
    }
    None
}

impl Rounds {
    /// Whether a listed service should be read: it is not here, or has other instances, and stays so. An empty one
    /// does not come any other way and is read at once; so is everything in the first round.
    fn is_due(&mut self, registry: &Registry, id: &ServiceId, row: &Row) -> bool {
        let here = registry.get(id).map(|service| service.read().all().count());
        if here == Some(row.ip_count) {
            self.suspects.remove(id);
            return false;
        }
        if !self.loaded || (here.is_none() && row.ip_count == 0) {
            return true;
        }
        match self.suspects.get_mut(id) {
            Some((count, since)) if *count == row.ip_count => {
                let is_due = since.elapsed() >= DIFFERS_FOR;
                if is_due {
                    *since = Instant::now();
                }
                is_due
            }
            known => {
                let is_known = known.is_some();
                if self.suspects.len() >= SUSPECTS_MAX {
                    self.suspects.retain(|_, (_, since)| since.elapsed() < SUSPECT_FOR);
                }
                if is_known || self.suspects.len() < SUSPECTS_MAX {
                    self.suspects.insert(id.clone(), (row.ip_count, Instant::now()));
                }
                false
            }
        }
    }

    fn turn_of_held(&mut self, relay: &Relay) -> Vec<ServiceId> {
        let held = relay.held.lock();
        let turn = held.iter().cycle().skip(self.next_held.min(held.len())).take(HELD_PER_ROUND.min(held.len()));
        let turn: Vec<ServiceId> = turn.cloned().collect();
        self.next_held = (self.next_held + turn.len()) % held.len().max(1);
        turn
    }

    fn turn_of_others(&mut self, relay: &Relay) -> Vec<ServiceId> {
        let services = relay.registry().services();
        let held = relay.held.lock();
        let from = self.next_other.min(services.len());
        let turn: Vec<ServiceId> = services
            .iter()
            .skip(from)
            .take(OTHERS_PER_ROUND)
            .map(|service| service.id().clone())
            .filter(|id| !held.contains(id))
            .collect();
        self.next_other = if from + OTHERS_PER_ROUND >= services.len() { 0 } else { from + OTHERS_PER_ROUND };
        turn
    }

    /// Removes services that the group held and no longer does.
    async fn remove(&mut self, relay: &Relay, gone: Vec<ServiceId>, may_remove: bool) {
        let gone: Vec<ServiceId> = {
            let held = relay.held.lock();
            gone.into_iter().filter(|id| held.contains(id)).collect()
        };
        let mut missing = HashMap::new();
        for id in gone {
            let rounds = self.missing.get(&id).copied().unwrap_or(0) + 1;
            if may_remove && rounds >= MISSING_ROUNDS {
                let Ok(_turn) = relay.turn(&id).try_lock_owned() else { continue };
                tracing::info!(namespace = %id.namespace, service = %id.name, "removed: the other members removed it");
                relay.registry().remove(&id);
                relay.held.lock().shift_remove(&id);
            } else {
                missing.insert(id, rounds);
            }
        }
        self.missing = missing;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_distro_may_bring_is_left_to_it_for_a_while() {
        let row = |count: usize| -> Row {
            let json = format!(r#"{{"name":"s","groupName":"g","ipCount":{count},"clusterCount":1}}"#);
            serde_json::from_str(&json).unwrap()
        };
        let (registry, id) = (Registry::new(), row(0).id("public"));
        assert_eq!(id, ServiceId::new("public", "g@@s"));
        let mut rounds = Rounds::default();
        assert!(rounds.is_due(&registry, &id, &row(2)), "the first round takes everything");
        rounds.loaded = true;
        assert!(rounds.is_due(&registry, &id, &row(0)), "an empty service comes no other way");
        assert!(!rounds.is_due(&registry, &id, &row(2)));
        assert!(!rounds.is_due(&registry, &id, &row(3)), "still changing");
        if let Some((_, since)) = rounds.suspects.get_mut(&id) {
            *since -= DIFFERS_FOR;
        }
        assert!(rounds.is_due(&registry, &id, &row(3)));
        registry.get_or_create(&id, || new_service(&id));
        assert!(!rounds.is_due(&registry, &id, &row(0)) && rounds.suspects.is_empty(), "agreed");
    }
    use crate::naming::instance::Instance;
    use crate::naming::service::Cluster;

    #[test]
    fn what_the_group_holds_takes_the_place_of_what_is_here() {
        let registry = Registry::new();
        let id = ServiceId::new("public", "g@@s");
        let instance = |ip: &str, cluster: &str, ephemeral| Instance {
            ip: ip.to_owned(),
            cluster_name: cluster.to_owned(),
            ephemeral,
            ..Instance::default()
        };
        registry.upsert(
            &id,
            || new_service(&id),
            |state| {
                for one in
                    [instance("gone", "OLD", false), Instance { healthy: false, ..instance("kept", "OLD", false) }]
                {
                    state.persistent.insert(one.key(), one);
                }
                let own = instance("own", "MINE", true);
                state.ephemeral.insert(own.key(), own);
                for name in ["OLD", "MINE", "UNUSED"] {
                    state.ensure_cluster(name);
                }
                ((), Change::default())
            },
        );
        let mut group = ServiceState::new("g");
        group.protect_threshold = 0.5;
        group.clusters.insert("OLD".to_owned(), Cluster { check_port: 81, ..Cluster::default() });
        for one in [instance("kept", "OLD", false), instance("new", "OLD", false)] {
            group.persistent.insert(one.key(), one);
        }
        install(&registry, &id, &Persisted::of(&group));
        let service = registry.get(&id).unwrap();
        let state = service.read();
        let ips: Vec<(&str, bool)> = state.persistent.values().map(|one| (one.ip.as_str(), one.healthy)).collect();
        assert_eq!(ips, [("kept", false), ("new", true)]);
        assert_eq!(state.clusters.keys().map(String::as_str).collect::<Vec<_>>(), ["OLD", "MINE"]);
        assert_eq!((state.clusters["OLD"].check_port, state.protect_threshold, state.ephemeral.len()), (81, 0.5, 1));
        assert!(state.declared);
    }
}
