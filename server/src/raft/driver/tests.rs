//! Members at work: real threads, real gRPC on loopback, stores in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::network::{Network, Readers};
use super::{GroupOptions, Parts, RaftGroup};
use crate::raft::core::memory::MemoryStore;
use crate::raft::core::message::{MembershipChange, NoAnswer, RaftError, Request, Response as Answer, Role};
use crate::raft::core::options::{Options, Timing};
use crate::raft::core::store::{Applied, ApplyError, Chunk, Incoming, Snapshots, StateMachine, StoreError};
use crate::raft::core::{Configuration, Index, PeerId, SnapshotMeta};
use crate::raft::rpc::{RaftClient, ReadRequest, Response, WriteRequest};
use crate::raft::snapshot::meta::FilesMeta;
use crate::raft::transport::peers::Peers;
use crate::raft::transport::server::{NacosRequests, RaftServer};
use crate::raft::voter::{Forwarded, NotDone};

const GROUP: &str = "g";
const FILE: &str = "lines";

/// A machine that runs many tests at once must not cause elections.
const PATIENT: Timing = Timing {
    election_ms: 1_500,
    election_spread_ms: 500,
    lease_ms: 1_350,
    heartbeat_timeout_ms: 1_000,
    ..Timing::FAST
};

type Lines = Vec<Bytes>;

/// Snapshots in memory: by index, the lines up to there.
#[derive(Default)]
struct MemorySnapshots {
    all: Mutex<BTreeMap<Index, (SnapshotMeta, Vec<u8>)>>,
}

struct Receiving {
    to: Arc<MemorySnapshots>,
    bytes: Vec<u8>,
}

impl Incoming for Receiving {
    fn write(&mut self, file: &str, data: &[u8]) -> Result<(), StoreError> {
        assert_eq!(file, FILE);
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    fn finish(self: Box<Self>, meta_file: &[u8]) -> Result<SnapshotMeta, StoreError> {
        let meta = FilesMeta::from_wire(meta_file).unwrap().snapshot()?;
        self.to.all.lock().insert(meta.last_included_index, (meta.clone(), self.bytes));
        Ok(meta)
    }
}

struct Shared(Arc<MemorySnapshots>);

impl Snapshots for Shared {
    fn latest(&self) -> Result<Option<SnapshotMeta>, StoreError> {
        Ok(self.0.all.lock().values().next_back().map(|(meta, _)| meta.clone()))
    }

    fn read(&self, index: Index, file: &str, offset: u64, count: usize) -> Result<Option<Chunk>, StoreError> {
        let all = self.0.all.lock();
        let Some((meta, bytes)) = all.get(&index) else { return Ok(None) };
        let meta = FilesMeta::new(meta, &[(FILE, "0")]).to_wire();
        let bytes = if file == FILE { bytes } else { &meta };
        let start = usize::try_from(offset).unwrap().min(bytes.len());
        // Small pieces, so that there are several.
        let end = (start + count.min(100)).min(bytes.len());
        Ok(Some(Chunk { data: Bytes::copy_from_slice(&bytes[start..end]), eof: end == bytes.len() }))
    }

    fn receive(&self) -> Result<Box<dyn Incoming>, StoreError> {
        Ok(Box::new(Receiving { to: Arc::clone(&self.0), bytes: Vec::new() }))
    }
}

/// Keeps all commands as lines.
struct Machine {
    lines: Arc<Mutex<Lines>>,
    snapshots: Arc<MemorySnapshots>,
}

impl StateMachine for Machine {
    fn apply(&mut self, index: Index, data: &Bytes) -> Result<Applied, ApplyError> {
        if data.as_ref() == b"poison" {
            return Err(ApplyError { index, reason: "it is poison".to_owned() });
        }
        self.lines.lock().push(data.clone());
        Ok(Applied { success: true, ..Applied::default() })
    }

    fn save(&mut self, meta: &SnapshotMeta) -> Result<(), StoreError> {
        let bytes = self.lines.lock().join(&b'\n');
        self.snapshots.all.lock().insert(meta.last_included_index, (meta.clone(), bytes));
        Ok(())
    }

    fn load(&mut self) -> Result<Option<SnapshotMeta>, StoreError> {
        let latest = self.snapshots.all.lock().values().next_back().cloned();
        let (meta, bytes) = latest.unzip();
        let bytes = bytes.unwrap_or_default();
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        *self.lines.lock() = lines.map(Bytes::copy_from_slice).collect();
        Ok(meta)
    }
}

struct NoNacos;

impl NacosRequests for NoNacos {
    fn write(&self, request: WriteRequest) -> BoxFuture<'_, Response> {
        let err_msg = format!("Could not find the corresponding Raft Group : {}", request.group);
        Box::pin(std::future::ready(Response { err_msg, ..Response::default() }))
    }

    fn read(&self, _: ReadRequest) -> BoxFuture<'_, Response> {
        Box::pin(std::future::ready(Response::default()))
    }
}

/// What survives a restart.
#[derive(Default)]
struct Disk {
    store: Arc<MemoryStore>,
    snapshots: Arc<MemorySnapshots>,
}

pub(in crate::raft) struct TestNode {
    pub(in crate::raft) group: Arc<RaftGroup>,
    lines: Arc<Mutex<Lines>>,
    disk: Disk,
    stop: CancellationToken,
}

impl Drop for TestNode {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn start(listener: TcpListener, initial: &Configuration, disk: Disk) -> TestNode {
    let network = Peers::new(Arc::new(RaftClient::default()), Duration::from_secs(5));
    start_over(Arc::new(network), listener, initial, disk)
}

fn start_over(network: Arc<dyn Network>, listener: TcpListener, initial: &Configuration, disk: Disk) -> TestNode {
    let me = PeerId::parse(&listener.local_addr().unwrap().to_string()).unwrap();
    let (lines, readers) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Readers::default()));
    let options = GroupOptions {
        group: GROUP.to_owned(),
        me,
        initial: initial.clone(),
        options: Options { timing: PATIENT, ..Options::default() },
        snapshot_interval: None,
        is_tandem: Arc::new(|_| true),
        shared: true,
        blocked: Arc::new(|| None),
    };
    let parts = Parts {
        store: Arc::clone(&disk.store) as _,
        snapshots: Arc::new(Shared(Arc::clone(&disk.snapshots))),
        machine: Box::new(Machine { lines: Arc::clone(&lines), snapshots: Arc::clone(&disk.snapshots) }),
        network,
        readers: Arc::clone(&readers),
    };
    let group = Arc::new(RaftGroup::start(options, parts).unwrap());
    let server = Arc::new(RaftServer::new([Arc::clone(&group)], readers, Arc::new(NoNacos)));
    let stop = CancellationToken::new();
    tokio::spawn(server.serve(listener, stop.clone().cancelled_owned()));
    TestNode { group, lines, disk, stop }
}

impl TestNode {
    async fn restart(self, initial: &Configuration, wiped: bool) -> TestNode {
        let at = self.group.me().to_string();
        self.group.stop().await;
        self.stop.cancel();
        let disk = if wiped {
            Disk::default()
        } else {
            Disk { store: Arc::clone(&self.disk.store), snapshots: Arc::clone(&self.disk.snapshots) }
        };
        drop(self);
        start(bind(&at).await, initial, disk)
    }

    fn leads(&self) -> bool {
        self.group.status().role == Role::Leader
    }
}

async fn bind(at: &str) -> TcpListener {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match TcpListener::bind(at).await {
            Ok(listener) => return listener,
            Err(error) if Instant::now() > deadline => panic!("{at}: {error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

pub(in crate::raft) async fn cluster(count: usize) -> (Vec<TestNode>, Configuration) {
    let mut listeners = Vec::new();
    for _ in 0..count {
        listeners.push(bind("127.0.0.1:0").await);
    }
    let peer = |listener: &TcpListener| PeerId::parse(&listener.local_addr().unwrap().to_string()).unwrap();
    let initial = Configuration::of(listeners.iter().map(peer));
    let nodes = listeners.into_iter().map(|listener| start(listener, &initial, Disk::default()));
    (nodes.collect(), initial)
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "not in 30 s: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Which one leads, once one does and can write.
pub(in crate::raft) async fn leader(nodes: &[TestNode]) -> usize {
    until("one leads", || nodes.iter().any(TestNode::leads)).await;
    nodes.iter().position(TestNode::leads).unwrap_or_default()
}

/// Proposes at whoever leads until it is committed.
async fn write(nodes: &[&TestNode], line: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        for node in nodes.iter().filter(|node| node.leads()) {
            match node.group.propose(Bytes::copy_from_slice(line.as_bytes())).await {
                Ok((_, applied)) => {
                    assert!(applied.success);
                    return;
                }
                Err(error) => println!("{line}: {error}"),
            }
        }
        assert!(Instant::now() < deadline, "nobody took {line}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn has(node: &TestNode, line: &str) -> bool {
    node.lines.lock().iter().any(|it| it == line.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn three_members_commit_elect_hand_over_and_restart() {
    let (mut nodes, initial) = cluster(3).await;
    let first = leader(&nodes).await;
    write(&nodes.iter().collect::<Vec<_>>(), "a").await;
    // A read at a follower waits until the write is there.
    let follower = (first + 1) % 3;
    nodes[follower].group.read().await.unwrap();
    assert!(has(&nodes[follower], "a") || leader(&nodes).await == follower);
    let refused = nodes[follower].group.propose(Bytes::from_static(b"b")).await;
    assert!(matches!(refused, Err(NotDone::Refused(_))), "{refused:?}");

    let to = nodes[follower].group.me().clone();
    let from = leader(&nodes).await;
    nodes[from].group.transfer(Some(to)).await.unwrap();
    until("the follower leads", || nodes[follower].leads()).await;
    write(&nodes.iter().collect::<Vec<_>>(), "c").await;

    // Gone for good, then back: the others go on meanwhile, and it catches up.
    let gone = nodes.remove(leader(&nodes).await);
    let at = gone.group.me().clone();
    gone.group.stop().await;
    until("another leads", || nodes.iter().any(TestNode::leads)).await;
    write(&nodes.iter().collect::<Vec<_>>(), "d").await;
    let back = gone.restart(&initial, false).await;
    assert_eq!(*back.group.me(), at);
    until("it has all", || has(&back, "a") && has(&back, "c") && has(&back, "d")).await;
}

/// To one peer votes are never asked for: the connection is not there yet. How many wait for it.
struct Connecting {
    peers: Peers,
    to: PeerId,
    waiting: Arc<()>,
    asked: AtomicUsize,
}

impl Network for Connecting {
    fn call(
        &self,
        group: &str,
        to: &PeerId,
        request: Request,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<Answer, NoAnswer>> {
        if *to == self.to && matches!(request, Request::Vote(_)) {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let waits = Arc::clone(&self.waiting);
            return Box::pin(async move {
                std::future::pending::<()>().await;
                drop(waits);
                Err(NoAnswer)
            });
        }
        self.peers.call(group, to, request, timeout)
    }

    fn read_file(
        &self,
        uri: &str,
        file: &str,
        offset: u64,
        count: usize,
    ) -> BoxFuture<'static, Result<Chunk, RaftError>> {
        self.peers.read_file(uri, file, offset, count)
    }

    fn forward(&self, to: &PeerId, request: WriteRequest) -> BoxFuture<'static, Forwarded> {
        self.peers.forward(to, request)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn once_elected_it_asks_nobody_for_votes_any_more() {
    let (listeners, absent) = ([bind("127.0.0.1:0").await, bind("127.0.0.1:0").await], bind("127.0.0.1:0").await);
    let peer = |listener: &TcpListener| PeerId::parse(&listener.local_addr().unwrap().to_string()).unwrap();
    let initial = Configuration::of(listeners.iter().chain([&absent]).map(peer));
    let waiting = Arc::new(());
    let peers = Peers::new(Arc::new(RaftClient::default()), Duration::from_secs(5));
    let (to, asked) = (peer(&absent), AtomicUsize::new(0));
    let network = Arc::new(Connecting { peers, to, waiting: Arc::clone(&waiting), asked });
    let nodes = listeners.map(|listener| start_over(Arc::clone(&network) as _, listener, &initial, Disk::default()));
    leader(&nodes).await;
    write(&nodes.iter().collect::<Vec<_>>(), "a").await;
    assert!(network.asked.load(Ordering::Relaxed) >= 2, "for a pre-vote and a vote");
    until("nothing waits any more", || Arc::strong_count(&waiting) == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_member_is_restored_by_a_snapshot() {
    let (mut nodes, initial) = cluster(3).await;
    leader(&nodes).await;
    for line in 0..50 {
        write(&nodes.iter().collect::<Vec<_>>(), &format!("line {line}")).await;
        // The log is kept back to the snapshot before.
        if line == 20 || line == 40 {
            for node in &nodes {
                node.group.snapshot().await.unwrap();
            }
        }
    }
    let follower = (leader(&nodes).await + 1) % 3;
    let wiped = nodes.remove(follower);
    let wiped = wiped.restart(&initial, true).await;
    until("it has all", || (0..50).all(|line| has(&wiped, &format!("line {line}")))).await;
    assert!(wiped.disk.snapshots.all.lock().len() == 1, "it got a snapshot");
    assert_eq!(wiped.lines.lock().len(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_come_and_go() {
    let (nodes, initial) = cluster(1).await;
    leader(&nodes).await;
    write(&[&nodes[0]], "a").await;
    let listener = bind("127.0.0.1:0").await;
    let peer = PeerId::parse(&listener.local_addr().unwrap().to_string()).unwrap();
    let new = start(listener, &initial, Disk::default());
    nodes[0].group.change_peers(MembershipChange::Add(peer.clone())).await.unwrap();
    until("it has the log and votes", || has(&new, "a") && new.group.status().configuration.contains(&peer)).await;
    nodes[0].group.change_peers(MembershipChange::Remove(nodes[0].group.me().clone())).await.unwrap();
    until("the new one leads alone", || new.leads()).await;
    write(&[&new], "b").await;
    assert!(has(&new, "b"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_without_majority_is_never_acknowledged() {
    let (mut nodes, _) = cluster(3).await;
    let first = leader(&nodes).await;
    write(&nodes.iter().collect::<Vec<_>>(), "a").await;
    let leading = nodes.swap_remove(leader(&nodes).await);
    assert!(first < 3);
    for node in nodes.drain(..) {
        node.group.stop().await;
    }
    let outcome = tokio::time::timeout(Duration::from_secs(20), leading.group.propose(Bytes::from_static(b"b"))).await;
    let outcome = outcome.expect("an answer, as soon as it steps down");
    assert!(matches!(outcome, Err(NotDone::Unknown(_) | NotDone::Refused(_))), "{outcome:?}");
    assert!(leading.group.read().await.is_err());
    assert!(!has(&leading, "b"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_it_cannot_know_stops_the_member() {
    let (nodes, _) = cluster(1).await;
    leader(&nodes).await;
    let outcome = nodes[0].group.propose(Bytes::from_static(b"poison")).await;
    assert!(matches!(outcome, Err(NotDone::Unknown(_))), "{outcome:?}");
    until("it says why", || nodes[0].group.failure().is_some_and(|why| why.contains("it is poison"))).await;
    assert!(!nodes[0].leads());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_disk_is_full_for_a_while_acknowledges_nothing_and_comes_back() {
    let (nodes, _) = cluster(3).await;
    let all: Vec<&TestNode> = nodes.iter().collect();
    write(&all, "a").await;
    let full = leader(&nodes).await;
    nodes[full].disk.store.full.store(true, Ordering::Relaxed);
    // The others may commit it, which it cannot apply.
    let proposed = nodes[full].group.propose(Bytes::from_static(b"b"));
    let early = tokio::time::timeout(Duration::from_millis(300), proposed).await;
    assert!(!matches!(early, Ok(Ok(_))) && !has(&nodes[full], "b"), "{early:?}");
    // The others go on under another leader.
    let others: Vec<&TestNode> = nodes.iter().filter(|node| node.group.me() != nodes[full].group.me()).collect();
    until("another leads", || others.iter().any(|node| node.leads())).await;
    write(&others, "c").await;
    assert!(!has(&nodes[full], "c") && nodes[full].group.failure().is_none());
    nodes[full].disk.store.full.store(false, Ordering::Relaxed);
    until("it has all", || has(&nodes[full], "c")).await;
    // And its copy counts again.
    let (gone, left) = others.split_first().unwrap();
    gone.group.stop().await;
    write(&[left[0], &nodes[full]], "d").await;
    until("both have it", || has(left[0], "d") && has(&nodes[full], "d")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_alone_waits_for_its_disk() {
    let (nodes, _) = cluster(1).await;
    leader(&nodes).await;
    nodes[0].disk.store.full.store(true, Ordering::Relaxed);
    let proposed = nodes[0].group.propose(Bytes::from_static(b"a"));
    let early = tokio::time::timeout(Duration::from_millis(300), proposed).await;
    assert!(!matches!(early, Ok(Ok(_))) && !has(&nodes[0], "a"), "{early:?}");
    nodes[0].disk.store.full.store(false, Ordering::Relaxed);
    write(&[&nodes[0]], "b").await;
}
