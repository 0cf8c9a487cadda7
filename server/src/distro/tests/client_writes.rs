//! What clients see: writes at any node, and how they are handed on (compat/spec/distro.md §5, §14).

use super::raw::call;
use super::*;

const SOON: Duration = Duration::from_secs(1);
const INSTANCE: &str = "/nacos/v1/ns/instance";

fn query(id: &ServiceId, port: i32) -> String {
    let name = id.name.strip_prefix("DEFAULT_GROUP@@").unwrap();
    format!("{INSTANCE}?serviceName={name}&ip=10.0.0.1&port={port}")
}

fn sees(cluster: &Cluster, node: usize, id: &ServiceId, ports: &[i32]) -> bool {
    seen(cluster.node(node), id).is_some_and(|list| list.iter().map(|(port, _)| *port).eq(ports.iter().copied()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_at_any_node_is_taken_by_the_owner_and_seen_by_all() {
    let cluster = Cluster::start(3).await;
    let id = cluster.service_of(2, "any");
    // D19: text/plain from the owner, JSON from the others.
    for (node, content_type) in [(2, "text/plain;charset=UTF-8"), (0, "application/json;charset=UTF-8")] {
        let port = 10 + node as i32;
        let answer = call(cluster.addresses[node], "POST", &query(&id, port), &[], "").await;
        assert_eq!(answer, (200, content_type.to_owned(), "ok".to_owned()));
    }
    eventually("both everywhere", SOON, || (0..3).all(|node| sees(&cluster, node, &id, &[10, 12]))).await;
    let answer = call(cluster.addresses[1], "DELETE", &query(&id, 12), &[], "").await;
    assert_eq!((answer.0, answer.2.as_str()), (200, "ok"));
    eventually("one gone everywhere", SOON, || (0..3).all(|node| sees(&cluster, node, &id, &[10]))).await;
}

/// Its list says so seconds later, or never: who becomes responsible before would bring the instance back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deregistered_at_an_official_owner_is_gone_here_as_well() {
    let (official, _heads) = headers::listener().await;
    let (cluster, id) = headers::beside(&official).await;
    let (node, at) = (cluster.node(0), cluster.addresses[0]);
    for port in 1..=2 {
        register(node, &id, port);
    }
    let answer = call(at, "DELETE", &query(&id, 1), &[], "").await;
    assert_eq!((answer.0, answer.2.as_str()), (200, "ok"));
    assert!(sees(&cluster, 0, &id, &[2]));
    assert!(node.registry.remembers_removal(&id, &instance(1).key()));
    // Only what was told to be gone: a heartbeat, or a registration, is for the owner alone.
    assert_eq!(call(at, "POST", &query(&id, 3), &[], "").await.2, "ok");
    assert!(sees(&cluster, 0, &id, &[2]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d22_forms_and_beats_are_handed_on_with_their_text_intact() {
    let cluster = Cluster::start(2).await;
    let id = cluster.service_of(1, "form");
    let name = id.name.strip_prefix("DEFAULT_GROUP@@").unwrap();
    let form = ["Content-Type: application/x-www-form-urlencoded"];
    let at = cluster.addresses[0];
    let large = "x".repeat(9000);
    for (port, metadata) in [(1, "%7B%22k%22%3A%22%E4%B8%AD+%26%22%7D".to_owned()), (2, format!("k%3D{large}"))] {
        let body = format!("serviceName={name}&ip=10.0.0.1&port={port}&metadata={metadata}");
        assert_eq!(call(at, "POST", INSTANCE, &form, &body).await.2, "ok");
    }
    let beat = format!(r#"beat=%7B%22ip%22%3A%2210.0.0.1%22%2C%22port%22%3A3%7D&serviceName={name}"#);
    let (status, _, body) = call(at, "PUT", "/nacos/v1/ns/instance/beat", &form, &beat).await;
    assert_eq!((status, body.as_str()), (200, r#"{"clientBeatInterval":5000,"code":10200,"lightBeatEnabled":true}"#));
    eventually("all three everywhere", SOON, || (0..2).all(|node| sees(&cluster, node, &id, &[1, 2, 3]))).await;
    let service = cluster.node(0).registry.get(&id).unwrap();
    let state = service.read();
    let of = |port| state.ephemeral.values().find(|one| one.port == port).and_then(|one| one.meta("k"));
    assert_eq!((of(1), of(2)), (Some("中 &"), Some(large.as_str())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d20_d21_d23_d24_what_cannot_be_handed_on() {
    let mut cluster = Cluster::start(2).await;
    let (id, at) = (cluster.service_of(1, "refused"), cluster.addresses[0]);
    let (status, content_type, body) = call(at, "POST", &query(&id, 1), &["User-Agent: Nacos-Server:1.4.1"], "").await;
    assert_eq!((status, content_type.as_str()), (400, "application/json;charset=UTF-8"));
    assert!(body.contains(r#""message":"receive invalid redirect request from peer 127.0.0.1""#), "{body}");
    let (status, _, body) = call(at, "POST", &format!("{INSTANCE}?ip=10.0.0.1&port=1"), &[], "").await;
    assert_eq!(status, 500);
    assert!(body.contains(r#""message":"Server failed,caused: "#), "{body}");
    assert_eq!(call(at, "GET", "/nacos/v1/ns/distro/nosuch", &[], "").await.0, 501);
    cluster.kill(1).await;
    let started = Instant::now();
    let (status, content_type, body) = call(at, "POST", &query(&id, 1), &[], "").await;
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!((status, content_type.as_str()), (500, "application/json;charset=UTF-8"));
    let owner = cluster.addresses[1];
    let text = format!(
        "org.apache.http.conn.HttpHostConnectException: Connect to {owner} [/127.0.0.1] failed: Connection refused"
    );
    assert_eq!(body, text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_instances_expire_everywhere_and_beating_ones_stay() {
    let cluster = Cluster::start(2).await;
    for node in 0..2 {
        cluster.node(node).start_naming();
    }
    let id = cluster.service_of(1, "expiry");
    let short =
        "%7B%22preserved.heart.beat.timeout%22%3A%222000%22%2C%22preserved.ip.delete.timeout%22%3A%228000%22%7D";
    for port in [1, 2] {
        let path = format!("{}&metadata={short}", query(&id, port));
        assert_eq!(call(cluster.addresses[0], "POST", &path, &[], "").await.2, "ok");
    }
    let beats = tokio::spawn({
        let path = query(&id, 2).replace("/instance?", "/instance/beat?");
        let at = cluster.addresses[0];
        async move {
            loop {
                assert!(call(at, "PUT", &path, &[], "").await.2.contains("10200"));
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    });
    let both = |expected: &[(i32, bool)]| (0..2).all(|node| seen(cluster.node(node), &id).as_deref() == Some(expected));
    eventually("registered", SOON, || both(&[(1, true), (2, true)])).await;
    eventually("unhealthy everywhere", Duration::from_secs(8), || both(&[(1, false), (2, true)])).await;
    eventually("gone everywhere", Duration::from_secs(8), || both(&[(2, true)])).await;
    beats.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_of_all_nodes_are_listed_together() {
    let cluster = Cluster::start(2).await;
    for (node, port) in [(0, 5001), (1, 5002)] {
        let path = format!("{INSTANCE}/list?serviceName=s&udpPort={port}&clientIP=127.0.0.1");
        let agent = ["User-Agent: Nacos-Java-Client:v1.4.1"];
        assert_eq!(call(cluster.addresses[node], "GET", &path, &agent, "").await.0, 200);
    }
    let path = "/nacos/v1/ns/service/subscribers?serviceName=s&pageNo=1&pageSize=10";
    let body = call(cluster.addresses[0], "GET", path, &[], "").await.2;
    assert!(
        body.contains("127.0.0.1:5001") && body.contains("127.0.0.1:5002") && body.ends_with(r#""count":2}"#),
        "{body}"
    );
    let body = call(cluster.addresses[0], "GET", &format!("{path}&aggregation=false"), &[], "").await.2;
    assert!(body.contains("127.0.0.1:5001") && body.ends_with(r#""count":1}"#), "{body}");
}
