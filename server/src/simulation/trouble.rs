//! Faults, and their end.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::network::OUTSIDE;
use super::plan::Kind;
use super::world::World;

impl World {
    /// One fault after the other, as long as the plan says.
    pub(super) async fn trouble(self: Arc<Self>) {
        loop {
            self.pause(200, self.plan.fault_pause_ms_max).await;
            if self.network.is_calm() {
                return;
            }
            let kind = self.plan.kinds[self.network.random(0..self.plan.kinds.len())];
            let (node, other) = (self.network.random(0..self.plan.nodes), self.network.random(1..self.plan.nodes));
            let fault = Arc::clone(&self).fault(kind, node, (node + other) % self.plan.nodes);
            self.network.spawn(fault);
        }
    }

    async fn pause(&self, least: u64, most: u64) {
        sleep(Duration::from_millis(self.network.random(least..=most))).await;
    }

    /// A fault lasts some time, at most until all faults end.
    async fn last(&self) {
        self.pause(200, self.plan.fault_ms_max).await;
    }

    async fn fault(self: Arc<Self>, kind: Kind, node: usize, other: usize) {
        self.network.tell(|| format!("{kind:?} {node} {other}"));
        match kind {
            Kind::Isolate => {
                let others = (0..self.plan.nodes).filter(|one| *one != node);
                let mut cuts: Vec<_> = others.flat_map(|one| [(one, node), (node, one)]).collect();
                if self.network.random(0..2) == 0 {
                    cuts.extend([(OUTSIDE, node), (node, OUTSIDE)]);
                }
                self.cut(cuts).await;
            }
            Kind::Split => {
                let first: Vec<bool> = (0..self.plan.nodes).map(|_| self.network.random(0..2) == 0).collect();
                let pairs = (0..self.plan.nodes).flat_map(|one| (0..self.plan.nodes).map(move |two| (one, two)));
                self.cut(pairs.filter(|(one, two)| first[*one] != first[*two]).collect()).await;
            }
            Kind::OneWay => self.cut(vec![(node, other)]).await,
            Kind::Clients => self.cut(vec![(OUTSIDE, node), (node, OUTSIDE)]).await,
            Kind::Crash => {
                self.kill(node);
                self.last().await;
                self.boot(node);
            }
            Kind::Restart => {
                self.kill(node);
                self.pause(5, 1_000).await;
                self.boot(node);
            }
            Kind::Pause => {
                let Some(host) = self.network.host(node) else { return };
                host.process.pause();
                self.last().await;
                host.process.resume();
            }
            Kind::Slow => {
                self.network.slow(node, self.network.random(50..=1_500));
                self.last().await;
                self.network.slow(node, 0);
            }
            Kind::Replace => {
                self.kill(node);
                self.list(node, false).await;
                self.last().await;
                self.list(node, true).await;
                self.boot(node);
            }
        }
        self.network.tell(|| format!("end of {kind:?} {node} {other}"));
    }

    async fn cut(&self, cuts: Vec<(usize, usize)>) {
        if self.network.is_calm() {
            return;
        }
        cuts.iter().for_each(|(from, to)| self.network.cut(*from, *to));
        self.last().await;
        cuts.iter().for_each(|(from, to)| self.network.mend(*from, *to));
    }

    /// Takes a node off the list of members or puts it on, at each node in its own time.
    async fn list(&self, node: usize, present: bool) {
        {
            let mut listed = self.listed.lock();
            if present {
                listed.insert(node);
            } else if listed.len() > 2 {
                listed.remove(&node);
            }
        }
        for one in 0..self.plan.nodes {
            self.pause(0, 700).await;
            self.tell_members(one);
        }
    }
}
