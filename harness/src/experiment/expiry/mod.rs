//! `expiry-latency`: beats stop; when does every node show the instance unhealthy, when gone, and when is it healthy
//! after a beat that comes again? The same for persistent instances that the server checks over TCP, when their port
//! closes and opens.
//!
//! Half of the answer is a distribution, which depends on where a server's five-second checks stand; the other half is
//! a window in which official servers do it ([`window`]). Services exist before the instances come, and last beats are
//! spread over two checks, so that the distribution is that of a random moment (`compat/spec/health-and-push.md` §2.1).
//! Every node is read through `instance/statuses`, which alone shows true health, and has a UDP subscriber.
//!
//! - [`window`]: official times, and the verdict
//! - [`track`]: what one observer saw of one instance
//! - `board`: all observers; `act`: what is done to the instances
//! - [`verdicts`]: all targets of a run, beside the real one

mod act;
mod board;
pub mod track;
pub mod verdicts;
pub mod window;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use self::act::{Draw, act};
use self::board::{Board, Subject};
use self::track::Sighting;
use self::window::{Moment, Seat, Via};
use super::visibility::{Wanted, seen_everywhere};
use super::{Observation, Session, bulk, is_mixed, kind_name, loopback};
use crate::agreement::ring::responsible;
use crate::client::{Call, Instance};
use crate::stats::Round;
use crate::target::NodeKind;

pub use self::board::Group;

/// Name in the record.
pub const NAME: &str = "expiry-latency";

/// A cluster's first status reports are sent a minute after its start (health-and-push.md §3); before that a node does
/// not hear of health. On a busy machine it took half a minute longer.
const REPORTS_LIMIT: Duration = Duration::from_secs(150);

/// Official nodes leave the old Raft within seconds of knowing every member.
const SWITCH_LIMIT: Duration = Duration::from_secs(60);

/// How much longer than the longest window a change is waited for.
const GRACE: Duration = Duration::from_secs(6);

/// Names that are tried until a node is responsible for one.
const NAMES_MAX: usize = 1000;

/// How much to do.
#[derive(Debug, Clone, Copy)]
pub struct ExpiryPlan {
    /// Instances with default timeouts, and as many with their own.
    pub instances: usize,
    /// Instances whose beats come again.
    pub revived: usize,
    /// Persistent instances that are checked over TCP.
    pub checked: usize,
}

impl ExpiryPlan {
    /// As many as the figures need.
    pub const USUAL: Self = Self { instances: 50, revived: 20, checked: 12 };
}

/// What distinguishes one row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// What happened.
    pub moment: Moment,
    /// To which instances.
    pub group: Group,
    /// Where it was seen.
    pub seat: Seat,
    /// How it was seen.
    pub via: Via,
    /// In a mixed cluster, the kind of the responsible node, and of the one it was seen at.
    pub path: Option<Path>,
}

/// From the responsible node to the one a change was seen at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    /// Kind of the responsible node.
    pub owner: &'static str,
    /// Kind of the node that showed the change.
    pub observer: &'static str,
}

impl Path {
    /// Whether only real nodes had a part in it.
    pub fn is_real(self) -> bool {
        let real = kind_name(NodeKind::Nacos);
        self.owner == real && self.observer == real
    }
}

/// What was seen for one row.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// Every change.
    pub sightings: Vec<Sighting>,
    /// Changes that were waited for in vain.
    pub missing: u64,
    /// Instances that went and came back before they went for good.
    pub flickers: u64,
}

impl Row {
    /// Everything of two rows.
    pub fn merged(mut self, other: &Self) -> Self {
        self.sightings.extend(&other.sightings);
        self.missing += other.missing;
        self.flickers += other.flickers;
        self
    }
}

/// What was seen at one target.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The target as written on the command line.
    pub target: String,
    /// Whether all its nodes are real.
    pub is_real: bool,
    /// By what distinguishes them.
    pub rows: BTreeMap<Key, Row>,
    /// What could not be done, and why.
    pub not_done: Vec<(String, String)>,
}

impl Seen {
    /// The rows of the record.
    pub fn observations(&self) -> Vec<Observation> {
        let row = |(key, row): (&Key, &Row)| {
            let mut observation = Observation::new(NAME, "ms", Round::of(row.sightings.iter().map(|it| it.value_ms)))
                .with("change", key.moment.name())
                .with("instances", key.group.name())
                .with("at", key.seat.name())
                .with("by", key.via.name());
            if let Some(path) = key.path {
                observation = observation.with("direction", format!("{}→{}", path.owner, path.observer));
            }
            observation.errors = row.missing;
            observation
        };
        self.rows.iter().map(row).collect()
    }
}

/// Runs the plan at one cluster, in about a minute, and in up to two and a half more where status reports have yet to
/// begin; removes what it registered.
///
/// # Errors
/// When the set-up fails, or the nodes do not report health to each other.
pub async fn run(session: &Session<'_>, plan: ExpiryPlan) -> Result<Seen> {
    // Persistent writes are refused before.
    session.cluster.wait_consensus_switch(SWITCH_LIMIT).await?;
    let services = owned(session, "e")?;
    let residents: Vec<Instance> =
        services.iter().enumerate().map(|(index, service)| session.instance(service, 60_000 + index)).collect();
    let placed = bulk::register(session, &residents).await?;
    ensure!(placed.failed == 0, "the first instance of a service was refused: {}", placed.first_error());
    for resident in &residents {
        let seen = seen_everywhere(session, resident, Wanted::Present, Instant::now()).await;
        ensure!(seen.iter().all(Option::is_some), "{} did not reach every node", resident.service);
    }
    let mut not_done = Vec::new();
    let checked = checkable(session, plan.checked, &mut not_done).await?;
    let probes = if session.clients.len() > 1 { reports_begin(session, &services).await? } else { Vec::new() };
    let subjects = subjects(plan, &services, &checked).await?;
    let board = Arc::new(Board::new(subjects));
    watch(session, &board).await;
    clean_up(session, &board, residents.into_iter().chain(probes).collect()).await?;
    for problem in board.problems().into_iter().take(3) {
        not_done.push(("an instance".to_owned(), problem));
    }
    Ok(Seen {
        target: session.cluster.target.clone(),
        is_real: session.cluster.nodes.iter().all(|it| it.kind == NodeKind::Nacos),
        rows: rows(session, &board),
        not_done,
    })
}

/// One service per node that is responsible for it, in node order.
fn owned(session: &Session<'_>, what: &str) -> Result<Vec<String>> {
    let addresses: Vec<&str> = session.cluster.nodes.iter().map(|it| it.address.as_str()).collect();
    let service = |address: &&str| {
        let names = (0..NAMES_MAX).map(|it| format!("{}-{what}{it}", session.tag));
        let mut owned = names.filter(|it| responsible(&format!("DEFAULT_GROUP@@{it}"), &addresses) == Some(address));
        owned.next().with_context(|| format!("no service name that {address} is responsible for"))
    };
    addresses.iter().map(service).collect()
}

/// The services of checked instances, empty when the cluster refuses them.
async fn checkable(session: &Session<'_>, count: usize, not_done: &mut Vec<(String, String)>) -> Result<Vec<String>> {
    let Some(client) = session.clients.first().filter(|_| count > 0) else { return Ok(Vec::new()) };
    let services = owned(session, "p")?;
    let service = services.first().context("a cluster without nodes")?;
    let probe = Instance { metadata: String::new(), ..session.instance(service, 61_000) };
    let probe = Instance { ip: "127.0.0.1".to_owned(), ..probe };
    match client.send(&Call::register_checked(session.context(), &probe, "probe")?).await {
        Ok(_) => {
            client.send(&Call::deregister_checked(session.context(), &probe, "probe")?).await?;
            Ok(services)
        }
        Err(error) => {
            let what = format!("instances {}", Group::Checked.name());
            not_done.push((what, format!("a persistent instance was refused: {error}")));
            Ok(Vec::new())
        }
    }
}

/// Waits until a flip at every owner is known to every other node; returns what was registered for that.
async fn reports_begin(session: &Session<'_>, services: &[String]) -> Result<Vec<Instance>> {
    let keep = super::KEEP.as_millis();
    let probe = |(index, service): (usize, &String)| Instance {
        metadata: format!(r#"{{"preserved.heart.beat.timeout":"1000","preserved.ip.delete.timeout":"{keep}"}}"#),
        ..session.instance(service, 62_000 + index)
    };
    let probes: Vec<Instance> = services.iter().enumerate().map(probe).collect();
    let placed = bulk::register(session, &probes).await?;
    ensure!(placed.failed == 0, "an instance was refused: {}", placed.first_error());
    let began = Instant::now();
    for probe in &probes {
        let unhealthy = format!("{}:{}_false", probe.ip, probe.port);
        for client in session.clients {
            while !client.statuses(&probe.service).await.is_ok_and(|it| it.ips.contains(&unhealthy)) {
                ensure!(!session.is_over(), "interrupted, or out of time, before health was reported between nodes");
                let waited = began.elapsed();
                ensure!(
                    waited < REPORTS_LIMIT,
                    "{} did not hear within {} s that an instance is unhealthy",
                    client.address(),
                    waited.as_secs()
                );
                session.progress.status(&format!(
                    "{NAME} at {}: waiting for the first status reports, {} s",
                    session.cluster.target,
                    waited.as_secs()
                ));
                sleep(Duration::from_millis(250)).await;
            }
        }
    }
    Ok(probes)
}

/// All instances, dealt out over the services.
async fn subjects(plan: ExpiryPlan, services: &[String], checked: &[String]) -> Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    let groups = [(Group::Default, plan.instances), (Group::Own, plan.instances), (Group::Revived, plan.revived)];
    for (group, count) in groups {
        for number in 0..count {
            let index = subjects.len();
            let owner = number % services.len().max(1);
            let service = services.get(owner).context("a cluster without nodes")?;
            let (beat, delete) = group.timeouts();
            let metadata = match group {
                Group::Own => format!(
                    r#"{{"preserved.heart.beat.timeout":"{}","preserved.ip.delete.timeout":"{}"}}"#,
                    beat.as_millis(),
                    delete.as_millis()
                ),
                _ => String::new(),
            };
            let instance = Instance { service: service.clone(), ip: loopback(index), port: 9000, metadata };
            subjects.push(Subject { instance, group, owner });
        }
    }
    for number in 0..if checked.is_empty() { 0 } else { plan.checked } {
        let owner = number % checked.len();
        let service = checked.get(owner).context("a cluster without nodes")?.clone();
        let port = free_port().await?;
        let instance = Instance { service, ip: "127.0.0.1".to_owned(), port, metadata: String::new() };
        subjects.push(Subject { instance, group: Group::Checked, owner });
    }
    Ok(subjects)
}

/// A port that nobody listens on. Somebody may take it before it is used; that fails loudly.
async fn free_port() -> Result<u16> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("a free port")?;
    Ok(listener.local_addr().context("a free port")?.port())
}

/// Observes every node while things are done to the instances, until all that is due was seen or is overdue.
async fn watch(session: &Session<'_>, board: &Arc<Board>) {
    let clients: Arc<[_]> = session.clients.to_vec().into();
    let mut observers = JoinSet::new();
    let mut services: Vec<&String> = board.subjects.iter().map(|it| &it.instance.service).collect();
    services.sort_unstable();
    services.dedup();
    let beating = |service: &&&String| {
        board.subjects.iter().any(|it| it.instance.service == ***service && it.group != Group::Checked)
    };
    for (node, client) in clients.iter().enumerate() {
        for service in &services {
            observers.spawn(board::read(board.clone(), client.clone(), node, (*service).clone()));
        }
        let pushed = services.iter().filter(beating).map(|it| (*it).clone()).collect();
        observers.spawn(board::listen(board.clone(), client.clone(), node, pushed));
    }
    let mut random = session.random(NAME);
    let mut actors = JoinSet::new();
    for index in 0..board.subjects.len() {
        let draw = Draw::of(&mut random, clients.len());
        actors.spawn(act(board.clone(), clients.clone(), index, draw));
    }
    loop {
        while actors.try_join_next().is_some() {}
        let due = due(session, board);
        let done = due.iter().filter(|it| it.is_seen).count();
        session.show(NAME, done, due.len());
        let longest = window::official(Moment::Gone, Seat::Other, Via::Push, Group::Default.timeouts()).at_most_ms;
        let over = board.last_origin() + Duration::from_secs_f64(longest / 1000.0) + GRACE;
        let is_overdue = board.now() > over && actors.is_empty();
        if session.is_over() || (actors.is_empty() && (done == due.len() || is_overdue)) {
            break;
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// One change that must be seen by one observer.
struct Due {
    key: Key,
    subject: usize,
    node: usize,
    is_seen: bool,
}

/// Everything that has begun, by observer.
fn due(session: &Session<'_>, board: &Board) -> Vec<Due> {
    let nodes = &session.cluster.nodes;
    let mixed = is_mixed(nodes);
    let mut all = Vec::new();
    for (subject, it) in board.subjects.iter().enumerate() {
        let vias: &[Via] = if it.group == Group::Checked { &[Via::Read] } else { &[Via::Read, Via::Push] };
        for moment in it.group.moments().iter().filter(|moment| board.origin(subject, **moment).is_some()) {
            for node in 0..nodes.len() {
                let seat = if node == it.owner { Seat::Owner } else { Seat::Other };
                let kinds = nodes.get(it.owner).zip(nodes.get(node)).filter(|_| mixed);
                let path = kinds.map(|(owner, at)| Path { owner: kind_name(owner.kind), observer: kind_name(at.kind) });
                for via in vias {
                    if !board.can_show(subject, node, *via, *moment) {
                        continue;
                    }
                    let key = Key { moment: *moment, group: it.group, seat, via: *via, path };
                    let is_seen = board.change(subject, node, *via, *moment).is_some();
                    all.push(Due { key, subject, node, is_seen });
                }
            }
        }
    }
    all
}

fn rows(session: &Session<'_>, board: &Board) -> BTreeMap<Key, Row> {
    let mut rows: BTreeMap<Key, Row> = BTreeMap::new();
    for due in due(session, board) {
        let change = board.change(due.subject, due.node, due.key.via, due.key.moment);
        let origin = board.origin(due.subject, due.key.moment);
        let is_gone = due.key.moment == Moment::Gone;
        let flickers = if is_gone { board.flickers(due.subject, due.node, due.key.via) } else { 0 };
        let row = rows.entry(due.key).or_default();
        row.flickers += u64::from(flickers > 0);
        match change.zip(origin) {
            Some((change, origin)) => row.sightings.push(Sighting::of(change, origin)),
            None => row.missing += 1,
        }
    }
    rows
}

/// Removes everything that may be left.
async fn clean_up(session: &Session<'_>, board: &Board, mut left: Vec<Instance>) -> Result<()> {
    let beating = board.subjects.iter().filter(|it| it.group != Group::Checked);
    left.extend(beating.map(|it| it.instance.clone()));
    let removed = bulk::deregister(session, &left).await?;
    ensure!(removed.failed == 0, "{} instances could not be removed: {}", removed.failed, removed.first_error());
    let Some(client) = session.clients.first() else { return Ok(()) };
    for (index, it) in board.subjects.iter().enumerate().filter(|(_, it)| it.group == Group::Checked) {
        let call = Call::deregister_checked(session.context(), &it.instance, &act::cluster(index))?;
        client.send(&call).await.context("removing a persistent instance")?;
    }
    Ok(())
}
