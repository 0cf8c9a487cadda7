//! Writes that are due at every node again and again, and readers that look for each of them.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::super::owned_by;
use super::Shared;
use super::judge::Attempt;
use crate::client::{Call, Instance, NacosClient};
use crate::experiment::{KEEP, loopback};
use crate::target::{Cluster, Node};

/// A write is due at every node this often.
const EVERY: Duration = Duration::from_millis(50);

/// How long after the end an acknowledged write may still come to be shown: official nodes show writes late, and the
/// slowest call takes five seconds.
const GRACE: Duration = Duration::from_secs(6);

/// Pauses between two looks: short while the write is young, then rare, because hundreds may be waiting.
const LOOK_YOUNG: Duration = Duration::from_millis(10);
const LOOK_OLD: Duration = Duration::from_secs(1);
const YOUNG: Duration = Duration::from_millis(300);

/// The traffic of one change.
pub(super) struct Traffic {
    begun: Instant,
    attempts: Shared<Vec<Attempt>>,
    /// When looking for what is not shown ends; nothing while writes go on.
    give_up: Shared<Option<Instant>>,
    writers: JoinSet<JoinSet<()>>,
}

/// What was written down.
pub(super) struct Attempts {
    begun: Instant,
    pub(super) all: Vec<Attempt>,
}

impl Attempts {
    /// A moment on the axis of the attempts.
    pub(super) fn since(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.begun)
    }
}

impl Traffic {
    /// Begins to write through these nodes; what is written must be shown by all of them.
    pub(super) fn start(cluster: &Cluster, through: &[usize], tag: &str) -> Self {
        let nodes = through.iter().filter_map(|it| Some((*it, cluster.nodes.get(*it)?)));
        let clients: Arc<Vec<(usize, NacosClient)>> =
            Arc::new(nodes.map(|(at, node)| (at, NacosClient::new(node))).collect());
        let (attempts, give_up) = (Shared::<Vec<Attempt>>::default(), Shared::<Option<Instant>>::default());
        let all: Arc<[Node]> = cluster.nodes.clone().into();
        let begun = Instant::now();
        let mut writers = JoinSet::new();
        for position in 0..clients.len() {
            let one = Writer {
                clients: clients.clone(),
                position,
                nodes: all.clone(),
                tag: tag.to_owned(),
                begun,
                attempts: attempts.clone(),
                give_up: give_up.clone(),
            };
            writers.spawn(one.write());
        }
        Self { begun, attempts, give_up, writers }
    }

    /// For how long, up to now, every write through every node has counted; what was sent before `since`, or so late
    /// that it may still come to count, is left out.
    pub(super) fn calm_for(&self, since: Instant) -> Duration {
        let (since, now) = (since - self.begun, self.begun.elapsed());
        let attempts = self.attempts.lock();
        let settled = now.saturating_sub(Duration::from_millis(500));
        let bad = attempts.iter().filter(|it| it.sent >= since && it.sent < settled && !it.counts());
        now.saturating_sub(bad.map(|it| it.sent + EVERY).max().unwrap_or(since))
    }

    /// Stops writing, waits for what is under way, and returns everything.
    pub(super) async fn end(mut self) -> Attempts {
        *self.give_up.lock() = Some(Instant::now() + GRACE);
        while let Some(writer) = self.writers.join_next().await {
            if let Ok(mut under_way) = writer {
                while under_way.join_next().await.is_some() {}
            }
        }
        let all = std::mem::take(&mut *self.attempts.lock());
        Attempts { begun: self.begun, all }
    }
}

#[derive(Clone)]
struct Writer {
    clients: Arc<Vec<(usize, NacosClient)>>,
    position: usize,
    /// All members, by which responsibility goes.
    nodes: Arc<[Node]>,
    tag: String,
    begun: Instant,
    attempts: Shared<Vec<Attempt>>,
    give_up: Shared<Option<Instant>>,
}

impl Writer {
    async fn write(self) -> JoinSet<()> {
        let mut ticks = interval(EVERY);
        // A write that was due while the generator slept is not made up for: it would be one more at the same moment.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut under_way = JoinSet::new();
        for number in 0.. {
            ticks.tick().await;
            if self.give_up.lock().is_some() {
                break;
            }
            under_way.spawn(self.clone().attempt(number));
            while under_way.try_join_next().is_some() {}
        }
        under_way
    }

    async fn attempt(self, number: usize) {
        let Some((node, client)) = self.clients.get(self.position) else { return };
        let service = owned_by(&self.nodes, *node, &format!("{}-{node}-{number}", self.tag));
        let instance = Instance::kept(&service, loopback(number), 8000, KEEP);
        let Ok(call) = Call::persist(client.context(), &instance, 1) else { return };
        let at = {
            let mut attempts = self.attempts.lock();
            attempts.push(Attempt::sent(*node, self.begun.elapsed()));
            attempts.len() - 1
        };
        let note = |change: &dyn Fn(&mut Attempt)| {
            if let Some(it) = self.attempts.lock().get_mut(at) {
                change(it);
            }
        };
        match client.send(&call).await {
            Ok(_) => note(&|it| it.acknowledged = Some(self.begun.elapsed())),
            Err(error) => return note(&|it| it.error = Some(error.to_string())),
        }
        let looks = self.clients.iter().map(|(_, client)| self.look(client, &instance));
        if join_all(looks).await.into_iter().all(|it| it) {
            note(&|it| it.shown = Some(self.begun.elapsed()));
        }
    }

    /// Looks until the node shows it; false when it never did.
    async fn look(&self, client: &NacosClient, instance: &Instance) -> bool {
        let since = Instant::now();
        loop {
            if client.list(&instance.service).await.is_ok_and(|it| it.shows(instance)) {
                return true;
            }
            if self.give_up.lock().is_some_and(|it| Instant::now() >= it) {
                return false;
            }
            sleep(if since.elapsed() < YOUNG { LOOK_YOUNG } else { LOOK_OLD }).await;
        }
    }
}
