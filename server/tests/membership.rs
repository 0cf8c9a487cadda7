//! Nodes on loopback that find each other, lose each other and answer `/v1/core/cluster` (compat/spec/membership.md).

#![allow(clippy::unwrap_used, reason = "a test may stop at what it did not expect, helpers included")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tandem_server::http::server;
use tandem_server::node::Node;
use tandem_server::settings::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// A member of a cluster whose listeners are bound already, so that no port can be taken meanwhile.
struct Member {
    node: Arc<Node>,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
    _home: tempfile::TempDir,
}

impl Member {
    async fn start(listener: TcpListener, members: &[String]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let port = listener.local_addr().unwrap().port();
        let settings = Settings::loopback(home.path(), port).with_members(members);
        let node = Node::new(settings);
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = Arc::clone(&node);
        let served = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            server::serve(listener, Arc::clone(&serving), stopped).await.unwrap();
            serving.stop().await;
        });
        // Served while it starts, as the program does it.
        node.start().await.unwrap();
        Member { node, stop: Some(stop), served, _home: home }
    }

    async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.served.await.unwrap();
    }

    fn conf(&self) -> std::path::PathBuf {
        self.node.settings.cluster_conf()
    }
}

async fn listeners(count: usize) -> (Vec<TcpListener>, Vec<String>) {
    let mut listeners = Vec::new();
    for _ in 0..count {
        listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    let addresses = listeners.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect();
    (listeners, addresses)
}

async fn cluster(count: usize) -> Vec<Member> {
    let (listeners, addresses) = listeners(count).await;
    let mut members = Vec::new();
    for listener in listeners {
        members.push(Member::start(listener, &addresses).await);
    }
    members
}

async fn until(what: &str, bound: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < bound, "not within {bound:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    start.elapsed()
}

/// One request, written and read as bytes: status and body.
async fn call(address: &str, method: &str, path: &str, body: Option<&str>) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (kind, body) =
        (if body.is_some() { "Content-Type: application/json\r\n" } else { "" }, body.unwrap_or_default());
    let request = format!(
        "{method} /nacos{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.get(9..12).unwrap().parse().unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let body = match head.contains("Transfer-Encoding: chunked") {
        true => body.split("\r\n").skip(1).step_by(2).collect(),
        false => body.to_owned(),
    };
    (status, body)
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_know_each_other_within_a_second() {
    let members = cluster(3).await;
    let all_known = || {
        members.iter().all(|member| {
            let peers = member.node.members.peers();
            peers.len() == 2 && peers.iter().all(|peer| peer.is_tandem() && peer.fail_access_cnt == 0)
        })
    };
    // A second is the aim; the bound leaves room for a machine that is busy with other tests.
    until("every node heard of every other", Duration::from_secs(5), all_known).await;
    let rings: Vec<_> = members.iter().map(|member| member.node.members.ring()).collect();
    assert!(rings.iter().all(|ring| ring.addresses().len() == 3 && ring == &rings[0]));
    for service in ["a", "b", "c", "d"].map(|name| format!("DEFAULT_GROUP@@{name}")) {
        let responsible = members.iter().filter(|member| member.node.members.responsible(&service, true));
        assert_eq!(responsible.count(), 1, "{service}");
    }
    for member in members {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_node_leaves_the_ring_and_comes_back() {
    let (mut bound, addresses) = listeners(2).await;
    let second = Member::start(bound.pop().unwrap(), &addresses).await;
    let first = Member::start(bound.pop().unwrap(), &addresses).await;
    let address = second.node.members.self_address().to_owned();
    let ring = || first.node.members.ring();
    until("greeted", Duration::from_secs(5), || first.node.members.is_tandem(&address)).await;
    second.stop().await;
    until("out of the ring", Duration::from_secs(10), || !ring().contains(&address)).await;
    let again = TcpListener::bind(&address).await.unwrap();
    let second = Member::start(again, &addresses).await;
    until("back in the ring", Duration::from_secs(5), || ring().contains(&address)).await;
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cluster_conf_is_followed_and_written_back() {
    let (bound, addresses) = listeners(2).await;
    let mut bound = bound.into_iter();
    let member = Member::start(bound.next().unwrap(), &addresses[..1]).await;
    let known = || member.node.members.all().len();
    assert_eq!(known(), 1);
    let replace = |text: &str| {
        let fresh = member.conf().with_file_name("fresh");
        std::fs::write(&fresh, text).unwrap();
        std::fs::rename(&fresh, member.conf()).unwrap();
    };
    let bound_s = Duration::from_secs(8);
    replace(&format!("# two\n{} # here\n{}\n", addresses[1], addresses[0]));
    until("M13: taken over", bound_s, || known() == 2).await;
    let mut sorted = addresses.clone();
    sorted.sort();
    let written = || lines(&member.conf()).get(1..).map(<[String]>::to_vec).unwrap_or_default();
    until("M13: written back sorted", bound_s, || written() == sorted).await;
    assert!(lines(&member.conf())[0].starts_with("#2"));
    for bad in ["", "127.0.0.1:1\nnot an address\n"] {
        replace(bad);
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert_eq!(known(), 2, "M14, M39: {bad:?}");
    }
    replace(&format!("{}\n", addresses[1]));
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(member.node.members.is_member(&addresses[0]), "M17: this node stays");
    replace(&format!("{}\n", addresses[0]));
    until("M15: removed", bound_s, || known() == 1).await;
    member.stop().await;
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_core_api_answers_like_the_official_one() {
    // Nobody listens at the second address: only what it reports itself counts.
    let (bound, mut addresses) = listeners(1).await;
    let absent = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    addresses.push(absent.to_string());
    let member = Member::start(bound.into_iter().next().unwrap(), &addresses).await;
    let address = member.node.members.self_address().to_owned();
    let base = "/v1/core/cluster";
    let get = async |path: &str| call(&address, "GET", &format!("{base}{path}"), None).await;
    let report = async |body: &str| call(&address, "POST", &format!("{base}/report"), Some(body)).await;

    let down = || member.node.members.get(&addresses[1]).is_some_and(|member| !member.state.is_healthy());
    until("M09: nobody listens", Duration::from_secs(8), down).await;
    let known = json!({"ip": "127.0.0.1", "port": absent.port(), "state": "DOWN", "address": addresses[1],
        "extendInfo": {"version": "1.4.1", "raftPort": "1"}, "abilities": {}});
    let accepted = (200, r#"{"code":200,"message":null,"data":"true"}"#.to_owned());
    assert_eq!(report(&known.to_string()).await, accepted, "M01, M05");
    let seen = member.node.members.get(&addresses[1]).unwrap();
    assert_eq!((seen.state.is_healthy(), seen.extend_text("version")), (true, Some("1.4.1")), "M11");
    let unknown = r#"{"ip":"127.0.0.1","port":1,"address":"127.0.0.1:1"}"#;
    assert_eq!(report(unknown).await.1, r#"{"code":200,"message":null,"data":"false"}"#, "M02");
    for illegal in ["{}", r#"{"ip":"h","address":"h:1"}"#, r#"{"ip":"h","port":1}"#] {
        let expected = r#"{"code":400,"message":"Node information is illegal","data":null}"#;
        assert_eq!(report(illegal).await, (200, expected.to_owned()), "M03 {illegal}");
    }
    for bad in ["nope", "", r#"{"state":"WEIRD"}"#] {
        let (status, body) = report(bad).await;
        assert!(status == 500 && body.starts_with("caused: ") && body.ends_with(';'), "M04 {bad}: {status} {body}");
    }
    assert_eq!(get("/report").await, (500, "caused: Request method 'GET' not supported;".to_owned()), "M04");

    assert_eq!(get("/health").await.1, r#"{"code":200,"message":null,"data":"UP"}"#);
    assert_eq!(parsed(&get("/self").await.1)["data"]["address"], address);
    let nodes = async |keyword: &str| parsed(&get(&format!("/nodes?keyword={keyword}")).await.1)["data"].clone();
    assert_eq!(nodes("127.").await.as_array().unwrap().len(), 2, "M19");
    assert_eq!(nodes(&address).await[0]["address"], address, "M19");
    assert_eq!(nodes("27.").await, json!([]), "M19");
    let switch = format!("{base}/switch/lookup");
    let done = (200, r#"{"code":200,"message":null,"data":null}"#.to_owned());
    assert_eq!(call(&address, "POST", &format!("{switch}?type=file"), None).await, done);
    assert_eq!(parsed(&call(&address, "POST", &format!("{switch}?type=x"), None).await.1)["code"], 500);
    assert_eq!(call(&address, "POST", &switch, None).await.0, 500);
    assert_eq!(get("/nothing").await.0, 404, "M18");

    let leave = async |body: &str| call(&address, "POST", &format!("{base}/server/leave"), Some(body)).await;
    let (status, body) = leave(r#"["nohost-xyz.invalid"]"#).await;
    assert_eq!((status, body.as_str()), (400, r#"caused: The IPv4 address("nohost-xyz.invalid") is incorrect.;"#));
    let body = json!([addresses[1]]).to_string();
    assert_eq!(leave(&body).await.1, r#"{"code":200,"message":null,"data":"ok"}"#, "M20");
    assert_eq!(member.node.members.all().len(), 1);
    assert_eq!(lines(&member.conf())[1..], *std::slice::from_ref(&address));
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_departure_reaches_the_others_and_echoes_no_further() {
    let members = cluster(3).await;
    let known = |index: usize| members[index].node.members.all().len();
    until("together", Duration::from_secs(5), || (0..3).all(|index| known(index) == 3)).await;
    let gone = members[2].node.members.self_address().to_owned();
    let body = json!([gone]).to_string();
    let asked = members[0].node.members.self_address();
    call(asked, "POST", "/v1/core/cluster/server/leave", Some(&body)).await;
    until("both let it go", Duration::from_secs(5), || known(0) == 2 && known(1) == 2).await;
    assert_eq!(known(2), 3, "the one that left was not told");
    for member in members {
        member.stop().await;
    }
}
