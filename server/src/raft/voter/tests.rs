//! Several nodes over one log that is given: what consensus promises is taken for granted here.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::FutureExt as _;
use tokio::sync::watch;

use super::*;
use crate::naming::consistency::Consistency;
use crate::naming::instance::{Instance, Metadata};
use crate::naming::instances;
use crate::naming::service::Selector;
use crate::naming::services::{self, Settings};
use crate::raft::core::store::StateMachine as _;
use crate::raft::datum::{list_key, meta_key};
use crate::raft::naming_state::NamingState;
use crate::raft::rpc::ReadRequest;
use crate::raft::snapshot::Archive;

/// How long a follower takes to apply.
const LAG: Duration = Duration::from_millis(15);

struct Node {
    machine: Mutex<NamingState>,
    data: Arc<NamingData>,
    registry: Arc<Registry>,
    consistency: Consistency,
    voter: OnceLock<Arc<Voter>>,
    applied: watch::Sender<Index>,
    _folder: tempfile::TempDir,
}

#[derive(Default)]
struct World {
    nodes: OnceLock<Vec<Node>>,
    /// More than there are nodes: nobody.
    leader: AtomicUsize,
    log: Mutex<Vec<Bytes>>,
    /// Why writes must not be taken.
    blocked: Mutex<Option<Blocked>>,
    /// The leader is an official node.
    official: AtomicBool,
    /// The next proposals are committed, and nobody is told.
    lost_answers: AtomicUsize,
    reads: AtomicUsize,
}

struct View {
    world: Arc<World>,
    me: usize,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node {}", self.me)
    }
}

fn peer(at: usize) -> PeerId {
    PeerId::parse(&format!("127.0.0.1:{}", 7001 + at)).unwrap()
}

impl World {
    fn node(&self, at: usize) -> &Node {
        &self.nodes.get().unwrap()[at]
    }

    fn leader(&self) -> usize {
        self.leader.load(Ordering::SeqCst)
    }

    fn apply(&self, at: usize, index: Index) {
        let node = self.node(at);
        let mut machine = node.machine.lock();
        let from = *node.applied.borrow();
        let mut last = Applied::default();
        for (offset, data) in self.log.lock().iter().enumerate().skip(from as usize).take((index - from) as usize) {
            last = machine.apply(offset as u64 + 1, data).unwrap();
        }
        let _ = last;
        node.applied.send_replace(index.max(from));
    }

    fn append(self: &Arc<Self>, data: Bytes) -> Index {
        let index = {
            let mut log = self.log.lock();
            log.push(data);
            log.len() as u64
        };
        self.apply(self.leader(), index);
        let world = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(LAG).await;
            for at in 0..world.nodes.get().unwrap().len() {
                if *world.node(at).applied.borrow() < index {
                    world.apply(at, index);
                }
            }
        });
        index
    }
}

impl Consensus for View {
    fn status(&self) -> Status {
        let leader = self.world.leader();
        Status {
            role: if leader == self.me { Role::Leader } else { Role::Follower },
            term: 1,
            leader: (leader < 3).then(|| peer(leader)),
            ..Status::default()
        }
    }

    fn propose(&self, command: Bytes) -> BoxFuture<'_, Result<(Index, Applied), NotDone>> {
        async move {
            tokio::time::sleep(Duration::from_millis(2)).await;
            if self.world.leader() != self.me {
                return Err(NotDone::Refused(RaftError::new(RaftError::EPERM, "not the leader")));
            }
            let index = self.world.append(command);
            let lost = self.world.lost_answers.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
            match lost {
                Ok(_) => Err(NotDone::Unknown("leadership was lost".to_owned())),
                Err(_) => Ok((index, Applied { success: true, ..Applied::default() })),
            }
        }
        .boxed()
    }

    fn read(&self) -> BoxFuture<'_, Result<(), RaftError>> {
        self.world.reads.fetch_add(1, Ordering::SeqCst);
        async move {
            if self.world.leader() > 2 {
                return Err(RaftError::new(RaftError::EAGAIN, "no leader"));
            }
            let index = self.world.log.lock().len() as u64;
            self.applied(index).await;
            Ok(())
        }
        .boxed()
    }

    fn applied(&self, index: Index) -> BoxFuture<'_, ()> {
        let mut applied = self.world.node(self.me).applied.subscribe();
        async move { drop(applied.wait_for(|applied| *applied >= index).await) }.boxed()
    }

    fn forward(&self, to: &PeerId, request: WriteRequest) -> BoxFuture<'_, Forwarded> {
        let at = (0..3).find(|at| peer(*at) == *to).unwrap();
        let official = self.world.official.load(Ordering::SeqCst);
        async move {
            let mut request = request;
            if official {
                request.extend_info.clear();
            }
            let answer = self.world.node(at).voter.get().unwrap().on_write(request).await;
            Forwarded::Answered(answer)
        }
        .boxed()
    }

    fn is_tandem(&self, _: &PeerId) -> bool {
        !self.world.official.load(Ordering::SeqCst)
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn blocked(&self) -> Option<Blocked> {
        self.world.blocked.lock().clone()
    }
}

fn world() -> Arc<World> {
    let world = Arc::new(World::default());
    let node = |me: usize| {
        let folder = tempfile::tempdir().unwrap();
        let (registry, switches) = (Arc::new(Registry::new()), Arc::new(Switches::default()));
        let data = Arc::new(NamingData::new(Arc::clone(&registry), Arc::clone(&switches)));
        let machine = NamingState::new(Arc::clone(&data), Arc::new(Archive::open(folder.path()).unwrap()));
        let consensus = Arc::new(View { world: Arc::clone(&world), me });
        let voter = Arc::new(Voter::new(consensus, Arc::clone(&data), Arc::clone(&registry), switches));
        let consistency = Consistency::default();
        consistency.join(Arc::clone(&voter) as _);
        Node {
            machine: Mutex::new(machine),
            data,
            registry,
            consistency,
            voter: OnceLock::from(voter),
            applied: watch::channel(0).0,
            _folder: folder,
        }
    };
    assert!(world.nodes.set((0..3).map(node).collect()).is_ok());
    world
}

fn id() -> ServiceId {
    ServiceId::new("public", "DEFAULT_GROUP@@s")
}

fn instance(ip: &str) -> Instance {
    Instance { ip: ip.to_owned(), port: 80, ephemeral: false, ..Instance::default() }
}

impl Node {
    async fn register(&self, ip: &str) -> Result<(), NamingError> {
        let write = |registry: &Registry, consistency: &Consistency| {
            instances::register(registry, consistency, &id(), instance(ip))
        };
        self.consistency.write_persistent(&self.registry, &id(), Subject::Instances, write).await
    }

    async fn create(&self) -> Result<(), NamingError> {
        let write = |registry: &Registry, consistency: &Consistency| {
            let (metadata, selector) = (Metadata::new(), Selector::None);
            services::create(registry, consistency, &id(), Settings { protect_threshold: 0.5, metadata, selector })
        };
        self.consistency.write_persistent(&self.registry, &id(), Subject::Service, write).await
    }

    async fn delete(&self) -> Result<(), NamingError> {
        let write = |registry: &Registry, consistency: &Consistency| services::delete(registry, consistency, &id());
        self.consistency.write_persistent(&self.registry, &id(), Subject::Service, write).await
    }

    fn ips(&self) -> Vec<String> {
        let Some(service) = self.registry.get(&id()) else { return Vec::new() };
        let mut ips: Vec<String> = service.read().persistent.values().map(|one| one.ip.clone()).collect();
        ips.sort();
        ips
    }
}

#[tokio::test(start_paused = true)]
async fn registrations_through_all_nodes_at_once_are_all_kept() {
    let world = world();
    let all = (0..60).map(|n| {
        let world = Arc::clone(&world);
        async move {
            let node = world.node(n % 3);
            let ip = format!("10.0.0.{n:02}");
            node.register(&ip).await.unwrap();
            assert!(node.ips().contains(&ip), "who wrote it sees it");
        }
    });
    futures::future::join_all(all).await;
    tokio::time::sleep(LAG * 2).await;
    assert!(world.log.lock().len() < 20, "those that wait are committed together");
    for at in 0..3 {
        assert_eq!(world.node(at).ips().len(), 60, "node {at}");
        assert_eq!(world.node(at).data.value(&list_key(&id())), world.node(0).data.value(&list_key(&id())));
    }
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_takes_nobody_along() {
    let world = world();
    let write = |at: usize, n: usize, patience: u64| {
        let world = Arc::clone(&world);
        async move {
            let ip = format!("10.0.0.{n:02}");
            let limit = Duration::from_micros(patience);
            (ip.clone(), tokio::time::timeout(limit, world.node(at).register(&ip)).await)
        }
    };
    // Some are dropped while they lead, some while others wait for their write, some while it is on its way.
    let all = (0..40).map(|n| write(n % 2, n, if n % 3 == 0 { 100_000_000 } else { 1_000 * (n as u64 % 5) }));
    let done = futures::future::join_all(all).await;
    let patient = done.iter().enumerate().filter(|(n, _)| n % 3 == 0);
    assert!(patient.clone().all(|(_, (_, result))| *result == Ok(Ok(()))), "{done:?}");
    tokio::time::sleep(LAG * 2).await;
    let ips = world.node(2).ips();
    assert!(done.iter().all(|(ip, result)| *result != Ok(Ok(())) || ips.contains(ip)), "{done:?}");
    // One refusal among others is that one's alone.
    let (bad, good) = tokio::join!(
        async {
            let refuse = |_: &Registry, _: &Consistency| Err::<(), _>(NamingError::illegal("no"));
            let node = world.node(0);
            node.consistency.write_persistent(&node.registry, &id(), Subject::Instances, refuse).await
        },
        write(0, 77, 100_000_000)
    );
    assert_eq!((bad, good.1), (Err(NamingError::illegal("no")), Ok(Ok(()))));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_does_not_make_a_write_fail() {
    let world = world();
    for at in [0, 1] {
        world.lost_answers.store(1, Ordering::SeqCst);
        world.node(at).create().await.unwrap();
        assert_eq!(world.log.lock().len(), 1, "it is not written again");
        let again = world.node(at).create().await;
        assert!(matches!(again, Err(NamingError::Illegal(_))), "{again:?}");
        world.lost_answers.store(1, Ordering::SeqCst);
        world.node(at).delete().await.unwrap();
        assert!(world.node(at).registry.get(&id()).is_none());
        *world.log.lock() = Vec::new();
        for at in 0..3 {
            world.node(at).applied.send_replace(0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_leader_it_fails_in_official_words() {
    let world = world();
    world.leader.store(9, Ordering::SeqCst);
    let begun = tokio::time::Instant::now();
    let error = world.node(1).register("a").await.unwrap_err();
    let text = "The Raft Group [naming_persistent_service] did not find the Leader node";
    assert_eq!(error, NamingError::Nacos(500, text.to_owned()));
    assert!(begun.elapsed() <= WRITE_TIMEOUT + RETRY);
    assert!(world.node(1).registry.get(&id()).is_none() && world.log.lock().is_empty());
    // One that comes in time takes it.
    let elected = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        world.leader.store(2, Ordering::SeqCst);
    };
    let (written, ()) = tokio::join!(world.node(1).register("a"), elected);
    assert_eq!((written, world.node(1).ips()), (Ok(()), vec!["a".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn an_official_leader_is_written_to_like_by_its_own_kind() {
    let world = world();
    world.official.store(true, Ordering::SeqCst);
    let node = world.node(1);
    node.register("a").await.unwrap();
    assert_eq!(node.ips(), ["a"], "applied here, though the leader's answer does not say where it is");
    let reads = world.reads.load(Ordering::SeqCst);
    node.register("b").await.unwrap();
    assert!(world.reads.load(Ordering::SeqCst) >= reads + 2, "before it is worked out, and after it is committed");
    assert_eq!(node.ips(), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_service_goes_with_its_instances_and_leaves_nothing() {
    let world = world();
    world.node(2).register("a").await.unwrap();
    assert_eq!(world.log.lock().len(), 1, "service and instance together");
    world.node(2).delete().await.unwrap();
    assert!(world.node(2).data.is_empty(), "the list went with it");
    world.node(2).create().await.unwrap();
    tokio::time::sleep(LAG * 2).await;
    for at in 0..3 {
        assert_eq!(world.node(at).ips(), Vec::<String>::new());
        assert_eq!(world.node(at).registry.get(&id()).unwrap().read().protect_threshold, 0.5);
    }
    // A write that changes nothing is confirmed by a read, and writes nothing.
    let (entries, reads) = (world.log.lock().len(), world.reads.load(Ordering::SeqCst));
    let write = |registry: &Registry, consistency: &Consistency| {
        instances::deregister(registry, consistency, &id(), &instance("x").key(), false)
    };
    let node = world.node(1);
    node.consistency.write_persistent(&node.registry, &id(), Subject::Instances, write).await.unwrap();
    assert_eq!((world.log.lock().len(), world.reads.load(Ordering::SeqCst)), (entries, reads + 1));
    // Empty and unused: the cleaner may have it, unless it is used again.
    node.voter.get().unwrap().cleaned(&id()).await;
    assert!(!node.data.holds(&id()));
    world.node(0).register("b").await.unwrap();
    world.node(0).voter.get().unwrap().cleaned(&id()).await;
    assert!(world.node(0).data.holds(&id()));
}

#[tokio::test(start_paused = true)]
async fn switches_are_set_for_all() {
    let world = world();
    let set = |at: usize, entry: &'static str, value: &'static str| {
        let world = Arc::clone(&world);
        async move { world.node(at).consistency.switch(entry, value).await }
    };
    let (one, other) = tokio::join!(set(1, "healthCheckTimes", "9"), set(2, "pushEnabled", "false"));
    assert_eq!((one, other), (Ok(()), Ok(())));
    assert!(matches!(set(0, "distroThreshold", "0").await, Err(NamingError::Illegal(_))));
    assert!(matches!(set(0, "overriddenServerStatus", "BOGUS").await, Err(NamingError::Nacos(500, _))));
    tokio::time::sleep(LAG * 2).await;
    for at in 0..3 {
        let switches = world.node(at).voter.get().unwrap().switches.get();
        assert_eq!((switches.check_times, switches.push_enabled), (9, false));
    }
}

#[tokio::test(start_paused = true)]
async fn what_would_stop_official_members_is_not_let_into_the_log() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let world = world();
    let leader = world.node(0).voter.get().unwrap();
    let request = |operation: &str, key: &str, value: &str| WriteRequest {
        group: GROUP.to_owned(),
        operation: operation.to_owned(),
        data: format!(r#"{{"keys":["{}"],"values":["{}"]}}"#, STANDARD.encode(key), STANDARD.encode(value))
            .into_bytes(),
        ..WriteRequest::default()
    };
    let key = meta_key(&id());
    let port = r#"{"value":{"clusterMap":{"C":{"defCkport":0}}}}"#;
    for bad in
        [request("Read", "k", ""), request("", "k", ""), request("Write", &key, "{"), request("Write", &key, port)]
    {
        let answer = leader.on_write(bad).await;
        assert!(!answer.success && !answer.err_msg.is_empty(), "{answer:?}");
    }
    // compat/spec/jraft.md §8, §9
    let read = |group: &str| ReadRequest {
        group: group.to_owned(),
        data: format!(r#"["{}","{}"]"#, STANDARD.encode(&key), STANDARD.encode("nope")).into_bytes(),
        ..ReadRequest::default()
    };
    assert_eq!(leader.on_read(read(GROUP)).await.data, br#"{"keys":[],"values":[]}"#);
    assert!(world.log.lock().is_empty());
    assert_eq!(leader.on_read(read("x")).await.err_msg, "Could not find the corresponding Raft Group : x");
    let follower = world.node(1).voter.get().unwrap();
    let refused = follower.on_write(request("Delete", &key, "")).await;
    assert_eq!(refused.err_msg, "Could not find leader : naming_persistent_service");
    assert_eq!(follower.on_read(read(GROUP)).await.err_msg, refused.err_msg);
    // An official member's write is answered as an official leader does.
    let taken = leader.on_write(request("Write", &key, r#"{"value":{"name":"x"}}"#)).await;
    assert_eq!(taken, Response { success: true, ..Response::default() });
}

#[tokio::test(start_paused = true)]
async fn what_members_would_not_see_waits_or_is_refused_in_words() {
    let world = world();
    let wait = Blocked::NotYet("old:1".to_owned());
    *world.blocked.lock() = Some(wait.clone());
    let refused = world.node(0).register("a").await;
    assert_eq!(refused, Err(NamingError::Nacos(500, wait.to_string())));
    let switched = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        *world.blocked.lock() = None;
    };
    *world.blocked.lock() = Some(wait);
    let (written, ()) = tokio::join!(world.node(1).register("a"), switched);
    assert_eq!((written, world.node(1).ips()), (Ok(()), vec!["a".to_owned()]));

    let for_good = Blocked::TooOld { address: "old:1".to_owned(), version: "1.3.0".to_owned() };
    *world.blocked.lock() = Some(for_good.clone());
    let begun = tokio::time::Instant::now();
    let refused = world.node(0).register("b").await;
    assert_eq!(refused, Err(NamingError::Nacos(500, for_good.to_string())));
    assert_eq!(begun.elapsed(), Duration::ZERO, "nothing to wait for");
}
