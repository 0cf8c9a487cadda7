//! Which cluster is looked at when, and what its checks lead to (the official `HealthCheckTask` and
//! `HealthCheckReactor`; compat/spec/health-and-push.md §4).
//!
//! Every cluster of a service that has or had persistent instances keeps its place in the heap on every node; only the
//! node that is responsible for the service checks. The next look is set before the answers of this one are in, as upstream.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::check_rt::CheckRt;
use super::probe::{self, Feedback, Finished, Kept, Kind, Target};
use super::status::{HealthCheckStatus, Verdict};
use crate::clock::now_ms;
use crate::naming::changes::Change;
use crate::naming::expiry::Responsible;
use crate::naming::instance::InstanceKey;
use crate::naming::registry::Registry;
use crate::naming::service::{HealthChecker, ServiceId};
use crate::naming::switches::{SwitchDomain, Switches};
use crate::telemetry::metrics;

/// Checks under way at a time; the others wait their turn, and an instance whose turn has not come is not asked again.
const CHECKS_MAX: u64 = 512;
/// Connections kept open between checks.
const KEPT_MAX: u64 = 4_096;

/// Checks persistent instances.
pub struct HealthCheck {
    registry: Arc<Registry>,
    responsible: Responsible,
    switches: Arc<Switches>,
}

impl std::fmt::Debug for HealthCheck {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("HealthCheck").finish_non_exhaustive()
    }
}

/// A cluster of a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct ClusterId {
    service: ServiceId,
    cluster: Arc<str>,
}

/// What is remembered of a cluster.
#[derive(Debug)]
struct Watched {
    rt: CheckRt,
    /// When it was last looked at.
    scheduled: Instant,
    /// When it is looked at next; an entry of the heap that says otherwise is of a cluster that has gone.
    next: Instant,
    /// How its instances are checked; kept connections are of no use once it changes.
    checker: Arc<HealthChecker>,
    instances: HashMap<InstanceKey, Checked>,
}

/// What is remembered of an instance.
#[derive(Debug)]
struct Checked {
    /// The check that is waiting or under way.
    turn: Option<u64>,
    status: HealthCheckStatus,
    kept: Option<Kept>,
}

/// A check that waits for its turn.
#[derive(Debug, Clone)]
struct Turn {
    number: u64,
    cluster: ClusterId,
    key: InstanceKey,
    kind: Kind,
    target: Target,
}

/// What [`HealthCheck::run`] owns.
struct State {
    watched: HashMap<ClusterId, Watched>,
    /// The clusters of `watched` by service.
    clusters: HashMap<ServiceId, HashSet<Arc<str>>>,
    due: BinaryHeap<Reverse<(Instant, ClusterId)>>,
    waiting: VecDeque<Turn>,
    running: JoinSet<(Turn, Finished)>,
    turns: u64,
    checks_max: usize,
    places: Arc<Semaphore>,
}

impl State {
    fn new() -> Self {
        // At most three eighths of what may be open: clients come first.
        let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
        let bounded = |most: u64, share: u64| usize::try_from((descriptors / share).clamp(1, most)).unwrap_or(1);
        State {
            watched: HashMap::new(),
            clusters: HashMap::new(),
            due: BinaryHeap::new(),
            waiting: VecDeque::new(),
            running: JoinSet::new(),
            turns: 0,
            checks_max: bounded(CHECKS_MAX, 8),
            places: Arc::new(Semaphore::new(bounded(KEPT_MAX, 4))),
        }
    }

    fn forget_service(&mut self, id: &ServiceId) {
        for cluster in self.clusters.remove(id).unwrap_or_default() {
            self.watched.remove(&ClusterId { service: id.clone(), cluster });
        }
    }

    fn forget_cluster(&mut self, id: &ClusterId) {
        self.watched.remove(id);
        if let Some(clusters) = self.clusters.get_mut(&id.service) {
            clusters.remove(&id.cluster);
            if clusters.is_empty() {
                self.clusters.remove(&id.service);
            }
        }
    }

    fn checked(&mut self, turn: &Turn) -> Option<&mut Checked> {
        let checked = self.watched.get_mut(&turn.cluster)?.instances.get_mut(&turn.key)?;
        (checked.turn == Some(turn.number)).then_some(checked)
    }

    /// Lets checks begin while there is room.
    fn start_waiting(&mut self) {
        while self.running.len() < self.checks_max {
            let Some(turn) = self.waiting.pop_front() else { return };
            // Gone meanwhile: nobody wants to know.
            let Some(checked) = self.checked(&turn) else { continue };
            let kept = checked.kept.take();
            metrics::monitor(turn.kind.monitor()).increment(1.0);
            let (target, places) = (turn.target.clone(), Arc::clone(&self.places));
            self.running.spawn(async move { (turn, probe::run(target, kept, places).await) });
        }
    }
}

impl HealthCheck {
    /// The switches are read at every look and every answer.
    pub fn new(registry: Arc<Registry>, responsible: Responsible, switches: Arc<Switches>) -> Self {
        HealthCheck { registry, responsible, switches }
    }

    /// Runs until dropped; checks under way end with it.
    pub async fn run(self) {
        let mut changes = self.registry.subscribe();
        let mut state = State::new();
        for service in self.registry.services() {
            self.watch(&mut state, service.id());
        }
        loop {
            state.start_waiting();
            let next = state.due.peek().map(|Reverse((instant, _))| *instant);
            tokio::select! {
                changed = changes.next() => {
                    for (id, change) in changed {
                        if change.removed {
                            state.forget_service(&id);
                        }
                        if change.persistent {
                            self.watch(&mut state, &id);
                        }
                    }
                }
                Some(finished) = state.running.join_next() => {
                    self.finished(&mut state, finished);
                    while let Some(finished) = state.running.try_join_next() {
                        self.finished(&mut state, finished);
                    }
                }
                () = until(next) => self.look_at_due(&mut state),
            }
        }
    }

    /// Keeps an eye on every cluster of a service that holds persistent instances.
    fn watch(&self, state: &mut State, id: &ServiceId) {
        let Some(service) = self.registry.get(id) else { return };
        let service = service.read();
        if service.persistent.is_empty() {
            return;
        }
        let known = state.clusters.get(id);
        let is_new = |name: &&String| !known.is_some_and(|known| known.contains(name.as_str()));
        let new: Vec<Arc<str>> = service.clusters.keys().filter(is_new).map(|name| Arc::from(name.as_str())).collect();
        for cluster in new {
            let now = Instant::now();
            let rt = CheckRt::first(&self.switches.get().tcp_health_params);
            let next = now + rt.interval();
            let checker = Arc::new(HealthChecker::Tcp);
            let watched = Watched { rt, scheduled: now, next, checker, instances: HashMap::new() };
            let cluster_id = ClusterId { service: id.clone(), cluster: Arc::clone(&cluster) };
            state.clusters.entry(id.clone()).or_default().insert(cluster);
            state.due.push(Reverse((next, cluster_id.clone())));
            state.watched.insert(cluster_id, watched);
        }
    }

    fn look_at_due(&self, state: &mut State) {
        let now = Instant::now();
        let switches = self.switches.get();
        while state.due.peek().is_some_and(|Reverse((instant, _))| *instant <= now) {
            let Some(Reverse((instant, id))) = state.due.pop() else { break };
            if state.watched.get(&id).is_none_or(|watched| watched.next != instant) {
                continue;
            }
            if !self.look_at(state, &id, &switches) {
                state.forget_cluster(&id);
                continue;
            }
            if let Some(watched) = state.watched.get_mut(&id) {
                watched.scheduled = Instant::now();
                watched.next = watched.scheduled + watched.rt.interval();
                state.due.push(Reverse((watched.next, id)));
            }
        }
    }

    /// Queues the checks of a cluster; false when there is no such cluster any more.
    fn look_at(&self, state: &mut State, id: &ClusterId, switches: &SwitchDomain) -> bool {
        let State { watched, waiting, turns, .. } = state;
        let Some(watched) = watched.get_mut(id) else { return false };
        let Some(service) = self.registry.get(&id.service) else { return false };
        let service = service.read();
        let Some(cluster) = service.clusters.get(id.cluster.as_ref()) else { return false };
        watched.instances.retain(|key, _| service.persistent.contains_key(key));
        if *watched.checker != cluster.health_checker {
            watched.checker = Arc::new(cluster.health_checker.clone());
            watched.instances.values_mut().for_each(|checked| checked.kept = None);
        }
        let Some(kind) = Kind::of(&cluster.health_checker) else { return true };
        if !self.checks(&id.service, kind, switches) {
            return true;
        }
        for (key, instance) in &service.persistent {
            if key.cluster != *id.cluster || instance.marked {
                continue;
            }
            let checked = watched.instances.entry(key.clone()).or_insert_with(|| Checked {
                turn: None,
                status: HealthCheckStatus::default(),
                kept: None,
            });
            if checked.turn.is_some() {
                watched.rt.feed(watched.rt.millis() * 2, kind.params(switches));
                continue;
            }
            *turns += 1;
            checked.turn = Some(*turns);
            let own_port = cluster.use_instance_port || kind == Kind::Mysql;
            waiting.push_back(Turn {
                number: *turns,
                cluster: id.clone(),
                key: key.clone(),
                kind,
                target: Target {
                    address: Arc::from(instance.ip.as_str()),
                    port: if own_port { instance.port } else { cluster.check_port },
                    checker: Arc::clone(&watched.checker),
                },
            });
        }
        true
    }

    /// Whether this node checks a service now. The white list spares a service from the switch, but not from HTTP's
    /// second look at it.
    fn checks(&self, service: &ServiceId, kind: Kind, switches: &SwitchDomain) -> bool {
        self.judges(service, switches) && (kind != Kind::Http || switches.health_check_enabled)
    }

    /// Whether this node may set the flags of a service now.
    fn judges(&self, service: &ServiceId, switches: &SwitchDomain) -> bool {
        let listed = || switches.health_check_white_list.iter().any(|name| **name == *service.name);
        (switches.health_check_enabled || listed()) && (self.responsible)(&service.name)
    }

    fn finished(&self, state: &mut State, finished: Result<(Turn, Finished), JoinError>) {
        // A check neither panics through nor is cancelled while the set lives.
        let Ok((turn, finished)) = finished else { return };
        let Some(checked) = state.checked(&turn) else { return };
        checked.turn = None;
        let Some(service) = self.registry.get(&turn.cluster.service) else { return };
        let Some(healthy) = service.read().persistent.get(&turn.key).map(|instance| instance.healthy) else { return };
        let switches = self.switches.get();
        let acting = self.judges(&turn.cluster.service, &switches);
        let outcome = finished.outcome;
        let flip = checked.status.count(outcome.verdict, healthy, switches.check_times, acting);
        if let Some(watched) = state.watched.get_mut(&turn.cluster) {
            let params = turn.kind.params(&switches);
            let rt = match outcome.feedback {
                Feedback::SinceScheduled => millis(watched.scheduled.elapsed()),
                Feedback::Measured => millis(finished.took),
                Feedback::Twice => watched.rt.millis() * 2,
                Feedback::Longest => i64::from(params.max),
                Feedback::LongestOfHttp => i64::from(switches.http_health_params.max),
            };
            watched.rt.feed(rt, params);
            // The checker may have been replaced while this check ran.
            if let Some(checked) = watched.instances.get_mut(&turn.key)
                && Arc::ptr_eq(&watched.checker, &turn.target.checker)
            {
                checked.kept = finished.kept;
            }
        }
        let Some(healthy) = flip else { return };
        let flipped = self.registry.update(&service, |state| {
            if state.persistent.get(&turn.key).is_none_or(|one| one.healthy == healthy) {
                return (false, Change::default());
            }
            service.keep_checksum(state);
            if let Some(instance) = state.persistent.get_mut(&turn.key) {
                instance.healthy = healthy;
            }
            state.last_modified = now_ms();
            (true, Change { health: true, ..Change::default() })
        });
        if flipped {
            let (ip, port) = (&turn.key.ip, turn.key.port);
            let verdict = if outcome.verdict == Verdict::FailNow { "at once" } else { "by count" };
            tracing::info!(service = %service.id().name, cluster = turn.key.cluster, ip, port, kind = ?turn.kind,
                healthy, verdict, "health check flipped");
        }
    }
}

fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
