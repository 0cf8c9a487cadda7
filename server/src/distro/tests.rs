//! Clusters of two or three nodes inside one process, over real sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::clock::now_ms;
use crate::cluster::conf::Entry;
use crate::cluster::member::Member;
use crate::http::server;
use crate::naming::changes::Change;
use crate::naming::instance::Instance;
use crate::naming::service::{ServiceId, ServiceState};
use crate::node::Node;
use crate::settings::Settings;

mod client_writes;
mod headers;
mod raw;
mod replication;
mod snapshot;
mod stream;
mod wire;

/// A node that serves; dropping it stops it at once, as a kill would.
struct Running {
    node: Arc<Node>,
    serving: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Nodes that know each other, in the order of their addresses.
struct Cluster {
    addresses: Vec<SocketAddr>,
    nodes: Vec<Option<Running>>,
    /// `tandem.peer.stream` of each node, in the same order.
    stream: Vec<bool>,
}

impl Cluster {
    async fn start(size: usize) -> Cluster {
        Cluster::start_with(vec![true; size]).await
    }

    async fn start_with(stream: Vec<bool>) -> Cluster {
        let size = stream.len();
        let mut listeners = Vec::new();
        for _ in 0..size {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
        }
        let mut addresses: Vec<SocketAddr> = listeners.iter().map(|one| one.local_addr().unwrap()).collect();
        listeners.sort_by_key(|one| one.local_addr().unwrap().to_string());
        addresses.sort_by_key(SocketAddr::to_string);
        let mut cluster = Cluster { addresses, nodes: Vec::new(), stream };
        // Together: each answers the others while it loads itself.
        let running = futures::future::join_all(listeners.into_iter().map(|listener| cluster.run(listener))).await;
        cluster.nodes.extend(running.into_iter().map(Some));
        cluster
    }

    async fn run(&self, listener: TcpListener) -> Running {
        let port = listener.local_addr().unwrap().port();
        let mut settings = Settings { standalone: false, ..Settings::loopback("/nowhere", port) };
        settings.distro.peer_stream =
            self.addresses.iter().position(|one| one.port() == port).is_none_or(|index| self.stream[index]);
        let node = Node::new(settings);
        let entry = |address: &SocketAddr| Entry { host: "127.0.0.1".to_owned(), port: address.port() };
        node.members.replace(&self.addresses.iter().map(entry).collect::<Vec<_>>());
        for index in 0..self.addresses.len() {
            node.members.accept_report(self.report(index), 1);
        }
        let served = Arc::clone(&node);
        let serving = tokio::spawn(async move {
            let _ = server::serve(listener, served, std::future::pending()).await;
        });
        let running = Running { node, serving };
        running.node.distro.start(&running.node.tasks, Arc::clone(&running.node.status)).await;
        running.node.status.consensus_is_ready();
        running.node.status.serves();
        running
    }

    /// Kills a node; its port is refused from then on.
    async fn kill(&mut self, index: usize) {
        let killed = self.nodes[index].take().unwrap();
        killed.node.stop().await;
        drop(killed);
        while TcpStream::connect(self.addresses[index]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn restart(&mut self, index: usize) {
        let listener = TcpListener::bind(self.addresses[index]).await.unwrap();
        let running = self.run(listener).await;
        self.nodes[index] = Some(running);
    }

    /// What this node says about itself.
    fn report(&self, index: usize) -> Member {
        let own = Member::own("127.0.0.1", self.addresses[index].port());
        if self.stream[index] { own.streaming() } else { own }
    }

    fn node(&self, index: usize) -> &Arc<Node> {
        &self.nodes[index].as_ref().unwrap().node
    }

    /// A service the node of this index is responsible for.
    fn service_of(&self, index: usize, prefix: &str) -> ServiceId {
        let owned = |name: &String| self.node(index).members.responsible(name, true);
        let name = (0..).map(|n| format!("DEFAULT_GROUP@@{prefix}{n}")).find(owned).unwrap();
        ServiceId::new("public", name)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for running in self.nodes.iter().flatten() {
            let tasks = running.node.tasks.clone();
            tokio::spawn(async move { tasks.stop(Duration::from_secs(1)).await });
        }
    }
}

fn instance(port: i32) -> Instance {
    Instance { ip: "10.0.0.1".to_owned(), port, last_beat: now_ms(), ..Instance::default() }
}

/// What the responsible node does when it takes a client's write.
fn write(node: &Node, id: &ServiceId, change: impl FnOnce(&mut ServiceState)) {
    let service = node.registry.get_or_create(id, || ServiceState::new("DEFAULT_GROUP"));
    node.registry.update(&service, |state| {
        change(state);
        state.has_datum = true;
        ((), Change { ephemeral_local: true, ..Change::default() })
    });
}

fn register(node: &Node, id: &ServiceId, port: i32) {
    write(node, id, |state| {
        let one = instance(port);
        state.ephemeral.insert(one.key(), one);
    });
}

/// Ports and health, sorted; `None` without a datum.
fn seen(node: &Node, id: &ServiceId) -> Option<Vec<(i32, bool)>> {
    let service = node.registry.get(id)?;
    let state = service.read();
    let mut list: Vec<(i32, bool)> = state.ephemeral.values().map(|one| (one.port, one.healthy)).collect();
    list.sort_unstable();
    state.has_datum.then_some(list)
}

/// Waits until it holds; how long that took.
async fn eventually(what: &str, within: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < within, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    started.elapsed()
}
