//! What a change costs between nodes, read off the wire (a counting proxy stands before the second node).

#![allow(clippy::unwrap_used, reason = "a test may stop at what it did not expect, helpers included")]

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use parking_lot::Mutex;
use tandem_server::cluster::status::ServerStatus;
use tandem_server::http::server;
use tandem_server::naming::changes::Change;
use tandem_server::naming::instance::Instance;
use tandem_server::naming::service::{ServiceId, ServiceState};
use tandem_server::node::Node;
use tandem_server::settings::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

const CHANGES: &str = "POST /nacos/v1/ns/distro/tandem/changes";
const DATUM: &str = "PUT /nacos/v1/ns/distro/datum";

/// Requests that passed, as method with path, and bytes of the body.
type Seen = Arc<Mutex<Vec<(String, usize)>>>;

/// Passes everything on to `to` and notes the requests.
async fn proxy(listener: TcpListener, to: std::net::SocketAddr, seen: Seen) {
    while let Ok((mut near, _)) = listener.accept().await {
        let seen = Arc::clone(&seen);
        tokio::spawn(async move {
            let Ok(mut far) = TcpStream::connect(to).await else { return };
            let (mut near_read, mut near_write) = near.split();
            let (mut far_read, mut far_write) = far.split();
            let requests = async {
                let mut text = Vec::new();
                let mut chunk = vec![0; 65536];
                while let Ok(read @ 1..) = near_read.read(&mut chunk).await {
                    text.extend_from_slice(&chunk[..read]);
                    note(&mut text, &seen);
                    if far_write.write_all(&chunk[..read]).await.is_err() {
                        return;
                    }
                }
            };
            // Whichever side ends first ends both.
            tokio::select! {
                () = requests => {}
                _ = tokio::io::copy(&mut far_read, &mut near_write) => {}
            }
        });
    }
}

/// Takes the whole requests off the text.
fn note(text: &mut Vec<u8>, seen: &Seen) {
    while let Some(end) = text.windows(4).position(|one| one == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&text[..end]).into_owned();
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let length: usize = length.unwrap_or(0);
        if text.len() < end + 4 + length {
            return;
        }
        text.drain(..end + 4 + length);
        let what = head.split([' ', '?']).take(2).collect::<Vec<_>>().join(" ");
        seen.lock().push((what, length));
    }
}

/// Two nodes; the first owns the service, and what it sends the second is noted.
struct Pair {
    first: Arc<Node>,
    second: Arc<Node>,
    name: String,
    seen: Seen,
    client: reqwest::Client,
    _homes: Vec<tempfile::TempDir>,
}

impl Pair {
    async fn start(stream: [bool; 2]) -> Pair {
        let (one, front, two) = (bind().await, bind().await, bind().await);
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let members = [&one, &front].map(|listener| listener.local_addr().unwrap().to_string());
        let seen = Seen::default();
        let ports = [port(&one), port(&front)];
        tokio::spawn(proxy(front, two.local_addr().unwrap(), Arc::clone(&seen)));
        let (mut nodes, mut homes) = (Vec::new(), Vec::new());
        for ((listener, port), stream) in [one, two].into_iter().zip(ports).zip(stream) {
            let home = tempfile::tempdir().unwrap();
            let mut settings = Settings::loopback(home.path(), port).with_members(&members);
            settings.distro.peer_stream = stream;
            let node = Node::new(settings);
            tokio::spawn(server::serve(listener, Arc::clone(&node), std::future::pending()));
            nodes.push(node);
            homes.push(home);
        }
        for node in &nodes {
            node.start().await.unwrap();
        }
        until("up", || nodes.iter().all(|node| node.status.current() == ServerStatus::Up)).await;
        let (first, second) = (Arc::clone(&nodes[0]), Arc::clone(&nodes[1]));
        until("acquainted", || first.members.is_tandem(&members[1]) && second.members.is_tandem(&members[0])).await;
        let responsible = |name: &String| first.members.responsible(&format!("DEFAULT_GROUP@@{name}"), true);
        let name = (0..).map(|n| format!("wide{n}")).find(responsible).unwrap();
        Pair { first, second, name, seen, client: reqwest::Client::new(), _homes: homes }
    }

    async fn call(&self, method: reqwest::Method, path: &str, query: &str) {
        let address = self.first.members.self_address();
        let url = format!("http://{address}/nacos/v1/ns/{path}?serviceName={}&{query}", self.name);
        let answer = self.client.request(method, url).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    fn id(&self) -> ServiceId {
        ServiceId::new("public", format!("DEFAULT_GROUP@@{}", self.name))
    }

    fn at_second(&self) -> Vec<(i32, f64)> {
        let service = self.second.registry.get(&self.id());
        let list = service.map(|service| {
            let mut list: Vec<_> = service.read().ephemeral.values().map(|one| (one.port, one.weight)).collect();
            list.sort_by_key(|(port, _)| *port);
            list
        });
        list.unwrap_or_default()
    }

    /// How many requests of this kind passed since the last look, and their bytes.
    fn passed(&self, what: &str) -> (usize, usize) {
        let seen = self.seen.lock();
        let sizes: Vec<usize> = seen.iter().filter(|(one, _)| one == what).map(|(_, size)| *size).collect();
        (sizes.len(), sizes.iter().sum())
    }

    /// A service of a thousand instances at both, and the count at zero.
    async fn fill(&self) {
        // All at once: a thousand requests take so long on a busy machine that the first instances expire meanwhile.
        self.first.registry.upsert(
            &self.id(),
            || ServiceState::new("DEFAULT_GROUP"),
            |state| {
                for port in 1..=1000 {
                    let mut one = Instance { ip: "10.1.2.3".to_owned(), port, ..Instance::default() };
                    one.service_name = format!("DEFAULT_GROUP@@{}", self.name);
                    one.instance_id = Some(format!("10.1.2.3#{port}#DEFAULT#{}", one.service_name));
                    one.last_beat = i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
                    state.ensure_cluster(&one.cluster_name);
                    state.ephemeral.insert(one.key(), one);
                }
                state.has_datum = true;
                ((), Change { ephemeral_local: true, ..Change::default() })
            },
        );
        until("a thousand there", || self.at_second().len() == 1000).await;
        // What is still under way is acknowledged.
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.seen.lock().clear();
    }

    async fn stop(self) {
        self.first.stop().await;
        self.second.stop().await;
    }
}

async fn bind() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_among_a_thousand_instances_costs_one() {
    let pair = Pair::start([true, true]).await;
    pair.fill().await;
    pair.call(reqwest::Method::POST, "instance", "ip=10.1.2.3&port=1001").await;
    until("one more", || pair.at_second().len() == 1001).await;
    pair.call(reqwest::Method::PUT, "instance", "ip=10.1.2.3&port=7&weight=2.5").await;
    until("changed", || pair.at_second().contains(&(7, 2.5))).await;
    pair.call(reqwest::Method::DELETE, "instance", "ip=10.1.2.3&port=500").await;
    until("one less", || pair.at_second().len() == 1000).await;
    let (requests, bytes) = pair.passed(CHANGES);
    println!("three changes among 1000 instances: {requests} requests, {bytes} bytes");
    assert_eq!((requests, pair.passed(DATUM)), (3, (0, 0)));
    // An instance is some 410 bytes (compat/spec/distro.md §10).
    assert!(bytes < 3 * 900, "{bytes}");
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_stream_the_official_datum_goes_out() {
    for stream in [[true, false], [false, true]] {
        let pair = Pair::start(stream).await;
        pair.fill().await;
        pair.call(reqwest::Method::POST, "instance", "ip=10.1.2.3&port=1001").await;
        until("one more", || pair.at_second().len() == 1001).await;
        let (requests, bytes) = pair.passed(DATUM);
        println!("one change among 1000 instances in plain Distro: {requests} requests, {bytes} bytes");
        assert_eq!((requests, pair.passed(CHANGES)), (1, (0, 0)));
        assert!(bytes > 1000 * 300, "{bytes}");
        pair.stop().await;
    }
}
