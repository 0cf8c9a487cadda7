//! Expiry: ephemeral instances whose beats stop become unhealthy, then are removed
//! (compat/spec/health-and-push.md §2, the official `ClientBeatCheckTask`).
//!
//! Every service is looked at once in [`PERIOD`], counted from when it appeared here, as official nodes do; one task
//! keeps all services in a heap. Only services this node is responsible for are judged, by the beats it received
//! itself: a copy of `lastBeat` is as old as the last change of the list, so instances taken over from another node
//! count from the takeover, unless that one told its beats ([`super::heard`]). Official nodes judge the copy and empty
//! live services (compat/spec/distro.md §9.2).
//!
//! An instance that was unhealthy when it was taken over does not begin anew, but goes on from there: Tandem nodes tell
//! each other at once what becomes unhealthy or lives again.
//!
//! A process that was stopped (a virtual machine that was frozen, a machine that slept) has heard nobody meanwhile, so
//! silence counts anew when it goes on.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::changes::Change;
use super::heard::Heard;
use super::instance::{HEART_BEAT_TIMEOUT, IP_DELETE_TIMEOUT, Instance, InstanceKey};
use super::registry::Registry;
use super::service::{Service, ServiceId};
use super::switches::Switches;
use crate::clock::{jumped_at, now_ms};
use crate::flaw::{Flaw, is_broken};

/// Time between two looks at a service.
pub const PERIOD: Duration = Duration::from_secs(5);
/// A look that comes this much too late comes from a process that was stopped.
const STOPPED: Duration = PERIOD;
/// Services due within this are looked at together.
const GRAIN: Duration = Duration::from_millis(20);
/// Without a beat for this long an instance is unhealthy, ms, unless its metadata says otherwise.
const HEART_BEAT_TIMEOUT_DEFAULT_MS: i64 = 15_000;
/// Without a beat for this long an instance is removed, ms, unless its metadata says otherwise.
const IP_DELETE_TIMEOUT_DEFAULT_MS: i64 = 30_000;

/// Whether this node is responsible for a grouped service name.
pub type Responsible = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// Whether every other member tells at once which instances become unhealthy or live again.
pub type HealthIsTold = Box<dyn Fn() -> bool + Send + Sync>;

/// Judges beats.
pub struct Expiry {
    registry: Arc<Registry>,
    responsible: Responsible,
    health_is_told: HealthIsTold,
    /// `healthCheckEnabled` off: nothing becomes unhealthy or is removed.
    switches: Arc<Switches>,
    /// `nacos.naming.expireInstance`: off, instances become unhealthy and stay.
    remove: bool,
}

impl std::fmt::Debug for Expiry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Expiry").field("remove", &self.remove).finish_non_exhaustive()
    }
}

/// What is remembered of a service between two looks.
#[derive(Debug)]
struct Watched {
    responsible: bool,
    /// What this node itself found unhealthy since it took over.
    found_unhealthy: HashSet<InstanceKey>,
    /// When it is looked at next; an entry of the heap that says otherwise is left over from a service of that name.
    next: Instant,
}

impl Expiry {
    /// The switches are read at every look; `remove` is the setting `nacos.naming.expireInstance`.
    pub fn new(
        registry: Arc<Registry>,
        responsible: Responsible,
        health_is_told: HealthIsTold,
        switches: Arc<Switches>,
        remove: bool,
    ) -> Self {
        Expiry { registry, responsible, health_is_told, switches, remove }
    }

    /// Runs until dropped. `moved` changes whenever responsibility may have moved.
    pub async fn run<T>(self, mut moved: watch::Receiver<T>) {
        let mut changes = self.registry.subscribe();
        let mut watched: HashMap<ServiceId, Watched> = HashMap::new();
        let mut due: BinaryHeap<Reverse<(Instant, ServiceId)>> = BinaryHeap::new();
        for service in self.registry.services() {
            // Loaded from a peer before this task began.
            self.watch(&mut watched, &mut due, service.id());
        }
        loop {
            let next = due.peek().map(|Reverse((instant, _))| *instant + GRAIN);
            tokio::select! {
                // In this order, so that no stream of changes puts off what is due.
                biased;
                () = until(next) => self.look_at_due(&mut watched, &mut due),
                changed = changes.next() => {
                    for (id, change) in changed {
                        if change.removed && self.registry.get(&id).is_none() {
                            watched.remove(&id);
                        } else {
                            // Also for a service that was first heard of here: a peer's list with older copies of
                            // beats may come right after.
                            self.watch(&mut watched, &mut due, &id);
                        }
                    }
                }
                result = moved.changed() => {
                    if result.is_err() {
                        std::future::pending::<()>().await;
                    }
                    for (id, one) in &mut watched {
                        self.follow_responsibility(id, one);
                    }
                }
            }
        }
    }

    fn watch(
        &self,
        watched: &mut HashMap<ServiceId, Watched>,
        due: &mut BinaryHeap<Reverse<(Instant, ServiceId)>>,
        id: &ServiceId,
    ) {
        if watched.contains_key(id) {
            return;
        }
        let next = Instant::now() + PERIOD;
        let responsible = (self.responsible)(&id.name);
        watched.insert(id.clone(), Watched { responsible, found_unhealthy: HashSet::new(), next });
        due.push(Reverse((next, id.clone())));
        self.take_over(id);
    }

    fn follow_responsibility(&self, id: &ServiceId, one: &mut Watched) {
        let responsible = (self.responsible)(&id.name);
        if responsible && !one.responsible {
            one.found_unhealthy.clear();
            self.take_over(id);
        }
        one.responsible = responsible;
    }

    fn take_over(&self, id: &ServiceId) {
        if let Some(service) = self.registry.get(id) {
            self.registry.update(&service, |state| (state.heard.taken_over(now_ms()), Change::default()));
        }
    }

    fn look_at_due(
        &self,
        watched: &mut HashMap<ServiceId, Watched>,
        due: &mut BinaryHeap<Reverse<(Instant, ServiceId)>>,
    ) {
        let now = Instant::now();
        while due.peek().is_some_and(|Reverse((instant, _))| *instant <= now) {
            let Some(Reverse((instant, id))) = due.pop() else { break };
            let Some(one) = watched.get_mut(&id).filter(|one| one.next == instant) else { continue };
            let Some(service) = self.registry.get(&id) else {
                watched.remove(&id);
                continue;
            };
            if !service.read().removals.is_empty() {
                self.registry.update(&service, |state| (state.removals.forget_old(now_ms()), Change::default()));
            }
            self.follow_responsibility(&id, one);
            if now.duration_since(instant) > STOPPED {
                self.take_over(&id);
            } else if (one.responsible || is_broken(Flaw::JudgesOthers)) && self.switches.get().health_check_enabled {
                self.look_at(&service, &mut one.found_unhealthy, now_ms());
            }
            one.next = now + PERIOD;
            due.push(Reverse((one.next, id)));
        }
    }

    /// Marks and removes what is overdue at `now`, ms since the epoch.
    fn look_at(&self, service: &Service, found_unhealthy: &mut HashSet<InstanceKey>, now: i64) {
        let health_is_told = (self.health_is_told)();
        let since = |heard: &Heard, key: &InstanceKey, instance: &Instance, found: &HashSet<InstanceKey>| {
            if is_broken(Flaw::JudgesCopies) {
                0
            } else if health_is_told && !instance.healthy && !found.contains(key) {
                heard.since_if_silent(heart_beat_timeout(instance), now)
            } else {
                heard.since(now)
            }
        };
        let is_overdue = {
            let state = service.read();
            let overdue = |(key, one): (&InstanceKey, &Instance)| {
                self.verdict(one, since(&state.heard, key, one, found_unhealthy), now) != Verdict::Alive
            };
            state.ephemeral.iter().any(overdue)
        };
        if !is_overdue {
            return;
        }
        self.registry.update(service, |state| {
            service.keep_checksum(state);
            let mut change = Change::default();
            let (heard, removals) = (&state.heard, &mut state.removals);
            state.ephemeral.retain(|key, instance| {
                let since = since(heard, key, instance, found_unhealthy);
                let verdict = self.verdict(instance, since, now);
                if verdict == Verdict::Alive {
                    return true;
                }
                if instance.healthy {
                    tracing::info!(service = %service.id().name, ip = instance.ip, port = instance.port,
                        last_beat_ms = now - instance.last_beat, "disabled: no beat");
                    instance.healthy = false;
                    found_unhealthy.insert(key.clone());
                    change.health = true;
                }
                let stays = verdict != Verdict::Gone;
                if !stays {
                    tracing::info!(service = %service.id().name, ip = instance.ip, port = instance.port,
                        last_beat_ms = now - instance.last_beat, "removed: no beat");
                    change.ephemeral_local = true;
                    // Whoever heard a beat since knows better.
                    removals.record(key.clone(), instance.last_beat.max(since), now);
                }
                stays
            });
            found_unhealthy.retain(|key| state.ephemeral.get(key).is_some_and(|one| !one.healthy));
            state.last_modified = now;
            ((), change)
        });
    }

    fn verdict(&self, instance: &Instance, since: i64, now: i64) -> Verdict {
        if instance.marked {
            return Verdict::Alive;
        }
        let silent = now - instance.last_beat.max(since).max(jumped_at());
        if self.remove && silent > instance.meta_millis(IP_DELETE_TIMEOUT, IP_DELETE_TIMEOUT_DEFAULT_MS) {
            Verdict::Gone
        } else if instance.healthy && silent > heart_beat_timeout(instance) {
            Verdict::Unhealthy
        } else {
            Verdict::Alive
        }
    }
}

/// What a look finds, in need of a change or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Nothing to do.
    Alive,
    /// To be marked.
    Unhealthy,
    /// To be removed.
    Gone,
}

/// Without a beat for this long it is unhealthy, ms.
pub fn heart_beat_timeout(instance: &Instance) -> i64 {
    instance.meta_millis(HEART_BEAT_TIMEOUT, HEART_BEAT_TIMEOUT_DEFAULT_MS)
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::naming::service::ServiceState;

    fn instance(port: i32, last_beat: i64) -> Instance {
        Instance { ip: "10.0.0.1".to_owned(), port, last_beat, ..Instance::default() }
    }

    fn expiry(remove: bool) -> (Expiry, Arc<Service>) {
        let registry = Arc::new(Registry::new());
        let service = registry.get_or_create(&ServiceId::new("public", "g@@x"), || ServiceState::new("g"));
        let switches = Arc::new(Switches::default());
        (Expiry::new(registry, Box::new(|_| true), Box::new(|| true), switches, remove), service)
    }

    fn put(expiry: &Expiry, service: &Service, instances: Vec<Instance>) {
        expiry.registry.replace_ephemeral(service, instances);
    }

    /// Looks as a node that has been responsible since then.
    fn look(expiry: &Expiry, service: &Service, since: i64, found: &mut HashSet<InstanceKey>, now: i64) {
        expiry.registry.update(service, |state| {
            state.heard = Heard::default();
            (state.heard.taken_over(since), Change::default())
        });
        expiry.look_at(service, found, now);
    }

    fn seen(service: &Service) -> Vec<(i32, bool)> {
        service.read().ephemeral.values().map(|one| (one.port, one.healthy)).collect()
    }

    #[test]
    fn unhealthy_after_15_s_and_gone_after_30_s_strictly() {
        let (expiry, service) = expiry(true);
        let now = 1_000_000;
        let list = [(1, 15_000), (2, 15_001), (3, 30_000), (4, 30_001)];
        put(&expiry, &service, list.map(|(port, silent)| instance(port, now - silent)).to_vec());
        look(&expiry, &service, 0, &mut HashSet::new(), now);
        assert_eq!(seen(&service), [(1, true), (2, false), (3, false)]);
    }

    #[test]
    fn metadata_sets_both_times_and_marked_instances_stay() {
        let (expiry, service) = expiry(true);
        let with = |port, beat: &str, delete: &str| {
            let mut one = instance(port, 0);
            let pairs = [(HEART_BEAT_TIMEOUT, beat), (IP_DELETE_TIMEOUT, delete)];
            one.metadata = Some(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect());
            one
        };
        let mut marked = instance(5, 0);
        marked.marked = true;
        put(
            &expiry,
            &service,
            vec![
                with(1, "1000", "5000"),
                with(2, "1000", "2000"),
                with(3, "x", "-1"),
                with(4, "60000", "60000"),
                marked,
            ],
        );
        look(&expiry, &service, 0, &mut HashSet::new(), 3_000);
        assert_eq!(seen(&service), [(1, false), (3, true), (4, true), (5, true)]);
        look(&expiry, &service, 0, &mut HashSet::new(), 40_000);
        assert_eq!(seen(&service), [(4, true), (5, true)]);
    }

    #[test]
    fn a_takeover_counts_from_the_takeover() {
        let (expiry, service) = expiry(true);
        put(&expiry, &service, vec![instance(1, 0)]);
        let mut found = HashSet::new();
        look(&expiry, &service, 100_000, &mut found, 115_000);
        assert_eq!(seen(&service), [(1, true)]);
        look(&expiry, &service, 100_000, &mut found, 115_001);
        assert_eq!(seen(&service), [(1, false)]);
        look(&expiry, &service, 100_000, &mut found, 130_000);
        assert_eq!(seen(&service), [(1, false)]);
        look(&expiry, &service, 100_000, &mut found, 130_001);
        assert!(seen(&service).is_empty());
    }

    #[test]
    fn what_was_unhealthy_before_the_takeover_goes_on_from_there_where_that_is_told() {
        for told in [true, false] {
            let (mut expiry, service) = expiry(true);
            expiry.health_is_told = Box::new(move || told);
            put(&expiry, &service, vec![Instance { healthy: false, ..instance(1, 80_000) }, instance(2, 0)]);
            let mut found = HashSet::new();
            look(&expiry, &service, 100_000, &mut found, 115_000);
            assert_eq!(seen(&service), [(1, false), (2, true)]);
            look(&expiry, &service, 100_000, &mut found, 115_001);
            let left: &[_] = if told { &[(2, false)] } else { &[(1, false), (2, false)] };
            assert_eq!(seen(&service), left, "{told}");
        }
    }

    #[test]
    fn without_removal_instances_stay_unhealthy() {
        let (expiry, service) = expiry(false);
        put(&expiry, &service, vec![instance(1, 0)]);
        look(&expiry, &service, 0, &mut HashSet::new(), 100_000);
        assert_eq!(seen(&service), [(1, false)]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_stopped_judges_nobody_by_that_time() {
        let (expiry, service) = expiry(true);
        put(&expiry, &service, vec![instance(1, now_ms() - 60_000)]);
        let (mut watched, mut due) = (HashMap::new(), BinaryHeap::new());
        expiry.watch(&mut watched, &mut due, service.id());
        tokio::time::advance(PERIOD + STOPPED + GRAIN).await;
        expiry.registry.update(&service, |state| (state.heard = Heard::default(), Change::default()));
        expiry.look_at_due(&mut watched, &mut due);
        assert_eq!(seen(&service), [(1, true)], "it may have beaten all the time");
        tokio::time::advance(PERIOD + STOPPED).await;
        expiry.registry.update(&service, |state| (state.heard = Heard::default(), Change::default()));
        expiry.look_at_due(&mut watched, &mut due);
        assert!(seen(&service).is_empty(), "a look that is late by no more does judge");
    }

    #[tokio::test]
    async fn changes_are_announced_and_only_the_responsible_node_judges() {
        let registry = Arc::new(Registry::new());
        let put = |name: &str| {
            let service = registry.get_or_create(&ServiceId::new("public", name), || ServiceState::new("g"));
            registry.update(&service, |state| {
                let one = instance(1, now_ms() - 60_000);
                state.ephemeral.insert(one.key(), one);
                ((), Change { ephemeral_local: true, ..Change::default() })
            });
            service
        };
        let (own, other) = (put("g@@own"), put("g@@other"));
        let switches = Arc::new(Switches::default());
        let expiry =
            Expiry::new(registry.clone(), Box::new(|name| name == "g@@own"), Box::new(|| false), switches, true);
        let mut changes = registry.subscribe();
        let mut watched = HashMap::new();
        let mut due = BinaryHeap::new();
        for service in [&own, &other] {
            expiry.watch(&mut watched, &mut due, service.id());
            registry.update(service, |state| (state.heard = Heard::default(), Change::default()));
        }
        let now = Instant::now();
        watched.values_mut().for_each(|one: &mut Watched| one.next = now);
        due = due.into_iter().map(|Reverse((_, id))| Reverse((now, id))).collect();
        expiry.look_at_due(&mut watched, &mut due);
        assert!(own.read().ephemeral.is_empty());
        assert_eq!(other.read().ephemeral.len(), 1);
        let change = Change { ephemeral_local: true, health: true, ..Change::default() };
        assert_eq!(changes.next().await, [(own.id().clone(), change)]);
        assert_eq!(due.len(), 2);
    }
}
