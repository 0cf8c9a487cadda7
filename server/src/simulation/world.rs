//! A world: nodes, clients and trouble, from its beginning to the last look.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::time::{Instant, sleep};

use super::checks::{CLIENT_IP, Violation, service, shown};
use super::clients::Client;
use super::network::{FIRST_PORT, Host, Network, OUTSIDE, address};
use super::place::{Clock, Process, place};
use super::plan::Plan;
use crate::cluster::conf::Entry;
use crate::flaw::Flaw;
use crate::node::Node;
use crate::peer_http::Call;
use crate::settings::Settings;

/// How long after the end of all faults the nodes must agree.
const AGREE: Duration = Duration::from_secs(20);
/// How long after that whoever is gone must be nowhere: 30 s without a beat, the 5 s between two looks, and what the
/// members take to agree on who looks.
const EXPIRE: Duration = Duration::from_secs(30);
/// How long nothing is delivered, and how long after that all must have been told: retries come 0.1, 0.3 and 0.7 s after
/// the first try, or a fifth of that later; then an answer may ask for more, twice.
const HICCUP: Duration = Duration::from_millis(500);
const RETRIED: Duration = Duration::from_millis(1_500);
/// How often nodes may be found apart at the end, each time with enough time for a request and its answer.
const LOOKS: u32 = 3;
/// The port registered meanwhile.
const PROBE: i32 = 999;
/// Time between two looks whether something was violated.
const LOOK: Duration = Duration::from_millis(250);

/// What a world came to, for the sums over all.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) requests: u64,
    /// Digest of all that happened.
    pub(super) trace: u64,
    pub(super) emptied: u64,
    pub(super) starts: u64,
    pub(super) moves: u64,
}

/// One world.
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) network: Arc<Network>,
    flaw: Option<Flaw>,
    /// The members by the list that operators keep.
    pub(super) listed: Mutex<BTreeSet<usize>>,
    starts: Mutex<u64>,
    moves: Arc<Mutex<u64>>,
}

/// One world: trouble, then healing, after which all must be well. With `told`, what happened is in the log.
pub(super) fn run(seed: u64, flaw: Option<Flaw>, told: bool) -> (Result<Outcome, Violation>, Vec<String>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let _clock = Clock::start();
        let mut rng = SmallRng::seed_from_u64(seed);
        let plan = Plan::draw(&mut rng);
        let network = Network::new(plan.clone(), seed, told);
        network.tell(|| format!("{plan:?}"));
        let listed = Mutex::new((0..plan.nodes).collect());
        let (starts, moves) = (Mutex::default(), Arc::default());
        let world = Arc::new(World { plan, network, flaw, listed, starts, moves });
        let ended = Arc::clone(&world).live().await;
        let (requests, trace) = world.network.summary();
        let (starts, moves) = (*world.starts.lock(), *world.moves.lock());
        let emptied = world.network.checks.emptied();
        (ended.map(|()| Outcome { requests, trace, emptied, starts, moves }), world.network.log())
    })
}

impl World {
    async fn live(self: Arc<Self>) -> Result<(), Violation> {
        let network = Arc::clone(&self.network);
        self.network.spawn(async move { network.turns.dispatch().await });
        (0..self.plan.nodes).for_each(|node| self.boot(node));
        for number in 0..self.plan.clients {
            self.network.spawn(Client::new(number, self.plan.clone(), Arc::clone(&self.network)).run());
        }
        self.network.spawn(Arc::clone(&self).trouble());
        self.pass(Duration::from_millis(self.plan.troubled_ms)).await?;
        self.heal();
        self.pass(AGREE).await?;
        self.final_state(false).await?;
        self.hiccup().await?;
        self.pass(EXPIRE).await?;
        self.final_state(true).await?;
        self.network.checks.verdict()
    }

    /// The last look. What changed a moment ago (an instance that expires) may be on its way.
    async fn final_state(&self, over: bool) -> Result<(), Violation> {
        for _ in 0..LOOKS {
            if self.network.checks.agree(&self.hosts()) {
                break;
            }
            self.pass(2 * Duration::from_millis(self.plan.delay_ms_max)).await?;
        }
        self.network.checks.final_state(&self.hosts(), over);
        self.network.checks.verdict()
    }

    async fn pass(&self, time: Duration) -> Result<(), Violation> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.network.checks.verdict()?;
            sleep(LOOK).await;
        }
        self.network.checks.verdict()
    }

    /// Nothing is delivered between nodes for a moment; what changed then must not wait for the checksums.
    async fn hiccup(&self) -> Result<(), Violation> {
        let owner = self.hosts().into_iter().find(|(_, host)| host.node.distro.responsible(&service(0).name));
        let Some((owner, _)) = owner else { return Ok(()) };
        self.network.tell(|| "nothing is delivered for a moment".to_owned());
        self.network.hiccups(true);
        probe(&self.network, owner, Method::POST).await;
        self.pass(HICCUP).await?;
        self.network.hiccups(false);
        self.pass(RETRIED).await?;
        for (at, host) in self.hosts() {
            if !shown(&host.node, &service(0)).iter().any(|one| one.port == PROBE) {
                self.network.checks.violated(format!("node {at} does not show what could not be delivered at first"));
            }
        }
        probe(&self.network, owner, Method::DELETE).await;
        self.network.checks.verdict()
    }

    fn hosts(&self) -> Vec<(usize, Host)> {
        (0..self.plan.nodes).filter_map(|node| Some((node, self.network.host(node)?))).collect()
    }

    /// No more faults: everybody is up, is a member and can talk.
    fn heal(&self) {
        self.network.calm();
        self.network.tell(|| "all faults end".to_owned());
        self.listed.lock().extend(0..self.plan.nodes);
        for node in 0..self.plan.nodes {
            self.boot(node);
            if let Some(host) = self.network.host(node) {
                host.process.resume();
            }
            self.tell_members(node);
        }
    }

    /// Kills a node where it is.
    pub(super) fn kill(&self, node: usize) {
        if self.network.is_calm() {
            return;
        }
        if let Some(host) = self.network.close(node) {
            host.process.resume();
            host.process.died.cancel();
            self.network.checks.stopped(node, &self.hosts());
        }
    }

    /// Starts a node that is not running, with nothing in its memory.
    pub(super) fn boot(&self, node: usize) {
        if self.network.host(node).is_some() || !self.listed.lock().contains(&node) {
            return;
        }
        *self.starts.lock() += 1;
        let process = Process::new(node, Arc::clone(&self.network), self.flaw, self.plan.clocks_ahead_ms[node]);
        let host = process.within(|| Host { process: Arc::clone(&process), node: Node::new(self.settings(node)) });
        self.network.open(node, host.clone());
        self.tell_members(node);
        let (network, moves) = (Arc::clone(&self.network), Arc::clone(&self.moves));
        let had = self.have_the_first_service(node);
        let network_is_good = self.plan.lost + self.plan.broken + self.plan.late == 0 && !had.is_empty();
        let others = self.others_of(node);
        let cuts = self.network.cuts();
        self.network.spawn(place(Some(process), async move {
            watch(node, &host, &network, &moves);
            // Persistent data and its consensus are simulated elsewhere (`raft/core`); nothing here waits for them.
            host.node.status.consensus_is_ready();
            host.node.start_reporter();
            host.node.start_upkeep();
            host.node.distro.start(&host.node.tasks, Arc::clone(&host.node.status)).await;
            host.node.status.serves();
            let still = |other: &usize| others(*other, &network);
            // An answer that meets a cut is lost here for good.
            let network_is_good = network_is_good && network.cuts() == cuts;
            if network_is_good && had.iter().all(still) && shown(&host.node, &service(0)).is_empty() {
                network.checks.violated(format!("node {node} starts with nothing, though {had:?} have a service"));
            }
        }));
    }

    /// The other nodes, if all that run have instances of the first service and can be talked to.
    fn have_the_first_service(&self, node: usize) -> Vec<usize> {
        let others: Vec<_> =
            (0..self.plan.nodes).filter(|one| *one != node && self.network.host(*one).is_some()).collect();
        let can = self.others_of(node);
        if others.iter().all(|other| can(*other, &self.network)) { others } else { Vec::new() }
    }

    fn others_of(&self, node: usize) -> impl Fn(usize, &Network) -> bool + Send + 'static {
        move |other, network| {
            let Some(host) = network.host(other) else { return false };
            !network.is_cut(node, other)
                && !network.is_cut(other, node)
                && !network.is_slow(other)
                && !network.is_slow(node)
                && !host.process.is_paused()
                && !shown(&host.node, &service(0)).is_empty()
        }
    }

    fn settings(&self, node: usize) -> Settings {
        let mut settings = Settings { standalone: false, ..Settings::loopback("/nowhere", port(node)) };
        settings.distro.peer_stream = self.plan.stream[node];
        settings.distro.batch_sync_key_count = self.plan.batch_keys_max;
        if self.plan.cleaning {
            settings.naming.empty_service_initial_delay = Duration::from_secs(3);
            settings.naming.empty_service_period = Duration::from_secs(2);
        }
        settings
    }

    /// A node reads the list of members as it is now.
    pub(super) fn tell_members(&self, node: usize) {
        let Some(host) = self.network.host(node) else { return };
        let listed = self.listed.lock();
        let entries: Vec<_> =
            listed.iter().map(|one| Entry { host: "127.0.0.1".to_owned(), port: port(*one) }).collect();
        host.process.within(|| host.node.members.replace(&entries));
    }
}

fn port(node: usize) -> u16 {
    FIRST_PORT + node as u16
}

async fn probe(network: &Arc<Network>, to: usize, method: Method) {
    let query = format!("serviceName=service0&ip={CLIENT_IP}&port={PROBE}");
    let url = format!("http://{}/nacos/v1/ns/instance?{query}", address(to));
    let call = Call { method, url, headers: HeaderMap::new(), body: Bytes::new() };
    if !network.call(OUTSIDE, call, AGREE).await.is_ok_and(|answer| answer.status() == 200) {
        network.checks.violated(format!("node {to} does not take a write though all is well"));
    }
}

/// Follows what a node shows, and for what it holds itself responsible. Within its process.
fn watch(at: usize, host: &Host, network: &Arc<Network>, moves: &Arc<Mutex<u64>>) {
    let mut changes = host.node.registry.subscribe();
    let (node, watching) = (Arc::clone(&host.node), Arc::clone(network));
    crate::tasks::spawn(async move {
        loop {
            for (id, _) in changes.next().await {
                if id == service(0) {
                    watching.checks.look(at, &node);
                }
            }
        }
    });
    let mut rings = host.node.members.subscribe();
    let (node, watching, moves) = (Arc::clone(&host.node), Arc::clone(network), Arc::clone(moves));
    let mut before = None;
    crate::tasks::spawn(async move {
        loop {
            watching.checks.responsibility(at, &node);
            let ring = Arc::clone(&rings.borrow_and_update());
            if before.replace(Arc::clone(&ring)).is_some_and(|before| before != ring) {
                *moves.lock() += 1;
                watching.tell(|| format!("node {at}: {:?}", ring.addresses()));
            }
            if rings.changed().await.is_err() {
                return;
            }
        }
    });
}
