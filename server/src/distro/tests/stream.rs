//! Changes and beats between Tandem nodes, over real sockets.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::raw::call;
use super::*;
use crate::distro::peer_client::{BEATS, CHANGES, TANDEM_NODE};

const SOON: Duration = Duration::from_secs(2);
const BEAT: &str = "/nacos/v1/ns/instance/beat";

/// In the place of the last node: accepts, reads everything, and never answers.
async fn tarpit(cluster: &mut Cluster) -> JoinHandle<()> {
    let last = cluster.addresses.len() - 1;
    cluster.kill(last).await;
    let listener = TcpListener::bind(cluster.addresses[last]).await.unwrap();
    for node in 0..last {
        cluster.node(node).members.accept_report(cluster.report(last), 2);
    }
    tokio::spawn(async move {
        let mut open = tokio::task::JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            open.spawn(async move { while stream.read(&mut [0; 65536]).await.is_ok_and(|read| read > 0) {} });
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_accepts_and_never_answers_delays_nobody() {
    let mut cluster = Cluster::start(3).await;
    let id = cluster.service_of(0, "tarpit");
    let tarpit = tarpit(&mut cluster).await;
    assert_eq!(cluster.node(0).members.stream_version(&cluster.addresses[2].to_string()), Some(1));
    let mut delays = Vec::new();
    for port in 1..=40 {
        register(cluster.node(0), &id, port);
        let all = seen(cluster.node(0), &id);
        delays.push(eventually("at the living peer", SOON, || seen(cluster.node(1), &id) == all).await);
    }
    delays.sort_unstable();
    println!("beside a silent peer: p50 {:?}, p90 {:?}, max {:?}", delays[20], delays[36], delays[39]);
    assert!(delays[36] < Duration::from_millis(100), "{delays:?}");
    tarpit.abort();
}

/// What waits for a peer is bounded by services, however often they change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_peer_is_told_everything_when_it_returns() {
    let mut cluster = Cluster::start(2).await;
    let tarpit = tarpit(&mut cluster).await;
    let ids: Vec<ServiceId> = (0..5).map(|n| ServiceId::new("public", format!("DEFAULT_GROUP@@b{n}"))).collect();
    let changes = cluster.node(0).registry.subscribe();
    for round in 0..400 {
        for id in &ids {
            register(cluster.node(0), id, round % 20);
        }
    }
    assert_eq!(changes.waiting(), ids.len(), "2000 changes of 5 services");
    tarpit.abort();
    let _ = tarpit.await;
    cluster.restart(1).await;
    cluster.node(0).members.accept_report(cluster.report(1), 3);
    let all = || ids.iter().all(|id| seen(cluster.node(1), id) == seen(cluster.node(0), id));
    eventually("all told", Duration::from_secs(8), all).await;
}

/// Either side without the stream: whole lists, and nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_without_the_stream_is_spoken_to_in_plain_distro() {
    for stream in [[false, true], [true, false], [false, false]] {
        let cluster = Cluster::start_with(stream.to_vec()).await;
        for node in 0..2 {
            let peer = cluster.addresses[1 - node].to_string();
            assert_eq!(cluster.node(node).members.stream_version(&peer), None);
            let id = cluster.service_of(node, "plain");
            for port in 1..=3 {
                register(cluster.node(node), &id, port);
                let all = seen(cluster.node(node), &id);
                eventually("replicated", SOON, || seen(cluster.node(1 - node), &id) == all).await;
            }
        }
        // A beat at the other node arrives all the same.
        let id = cluster.service_of(0, "plain");
        let (status, _, body) = call(cluster.addresses[1], "PUT", &light(&id, 1), &[], "").await;
        assert_eq!((status, body.contains("10200")), (200, true));
    }
}

/// The peer announced the stream and refuses it: it was started anew without, and its report is still to come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_refuses_changes_gets_whole_lists() {
    let cluster = Cluster::start_with(vec![true, false]).await;
    cluster.node(0).members.accept_report(cluster.report(1).streaming(), 2);
    let id = cluster.service_of(0, "refused");
    register(cluster.node(0), &id, 1);
    eventually("replicated", Duration::from_secs(1), || seen(cluster.node(1), &id).is_some()).await;
    let other = cluster.service_of(1, "beat");
    register(cluster.node(1), &other, 1);
    let (status, _, body) = call(cluster.addresses[0], "PUT", &light(&other, 1), &[], "").await;
    assert_eq!((status, body.contains("10200")), (200, true));
}

#[tokio::test]
async fn to_strangers_the_paths_do_not_exist() {
    let cluster = Cluster::start_with(vec![true, false]).await;
    for path in [CHANGES, BEATS] {
        let path = format!("/nacos{path}");
        let member = format!("{TANDEM_NODE}: {}", cluster.addresses[1]);
        for (node, header) in [(0, "X: y"), (0, "tandem-node: 127.0.0.1:1"), (1, member.as_str())] {
            let (status, _, body) = call(cluster.addresses[node], "POST", &path, &[header], "[]").await;
            assert_eq!(status, 501, "{body}");
            assert!(body.contains(&format!("no such api:POST:{path}")), "{body}");
        }
        let (status, _, body) = call(cluster.addresses[0], "POST", &path, &[&member], "{").await;
        assert!(status == 500 && body.starts_with("caused: JSON parse error: "), "{status} {body}");
    }
}

fn light(id: &ServiceId, port: i32) -> String {
    let name = id.name.strip_prefix("DEFAULT_GROUP@@").unwrap();
    format!("{BEAT}?serviceName={name}&ip=10.0.0.1&port={port}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_beat_in_a_batch_is_answered_as_one_by_itself() {
    let (batched, plain) = (Cluster::start(2).await, Cluster::start_with(vec![false, false]).await);
    let mut answers = Vec::new();
    for cluster in [&batched, &plain] {
        // The same name, and so the same owner, in both.
        let id = ServiceId::new("public", "DEFAULT_GROUP@@same");
        let owner = (0..2).find(|node| cluster.node(*node).distro.responsible(&id.name)).unwrap();
        let other = cluster.addresses[1 - owner];
        register(cluster.node(owner), &id, 7);
        let full = "beat=%7B%22ip%22%3A%2210.0.0.1%22%2C%22port%22%3A9%2C%22metadata%22%3A%7B%22preserved.heart.beat.\
                    interval%22%3A%221234%22%7D%7D&serviceName=same";
        let html = "Accept: text/html";
        let mut seen = Vec::new();
        for (query, accept) in [
            ("serviceName=same&ip=10.0.0.1&port=7", "X: y"),
            ("serviceName=same&ip=10.0.0.1&port=8", "X: y"),
            ("serviceName=same&ip=10.0.0.1&port=x", "X: y"),
            ("serviceName=same&ip=10.0.0.1&port=x", html),
            ("serviceName=same&beat=%7B", "X: y"),
            ("serviceName=same&beat=%5B%5D", html),
            ("serviceName=same&clusterName=%20&ip=10.0.0.1&port=7&namespaceId=none", "X: y"),
            (full, "X: y"),
            (full, "Accept: text/plain"),
            ("serviceName=DEFAULT_GROUP@@same&ip=10.0.0.1&port=9", "X: y"),
        ] {
            seen.push(call(other, "PUT", &format!("{BEAT}?{query}"), &[accept], "").await);
        }
        let form = ["Content-Type: application/x-www-form-urlencoded"];
        seen.push(call(other, "PUT", BEAT, &form, "serviceName=same&ip=10.0.0.1&port=7").await);
        let json = ["Content-Type: application/json"];
        seen.push(call(other, "PUT", &format!("{BEAT}?serviceName=same&ip=10.0.0.1&port=7"), &json, "{}").await);
        answers.push(seen);
    }
    assert_eq!(answers[0], answers[1]);
    let expected = r#"{"clientBeatInterval":5000,"code":10200,"lightBeatEnabled":true}"#;
    let json = "application/json;charset=UTF-8".to_owned();
    assert_eq!(answers[0][0], (200, json, expected.to_owned()));
    assert_eq!(answers[0][1].2, r#"{"clientBeatInterval":5000,"code":20404}"#);
    assert_eq!(answers[0][9].2, r#"{"clientBeatInterval":1234,"code":10200,"lightBeatEnabled":true}"#);
}

/// In the place of the owner: counts the requests that reach it and answers each batch of beats by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beats_that_come_together_travel_together() {
    let mut cluster = Cluster::start(2).await;
    let id = cluster.service_of(1, "together");
    cluster.kill(1).await;
    let listener = TcpListener::bind(cluster.addresses[1]).await.unwrap();
    let (sizes, mut received) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let sizes = sizes.clone();
            tokio::spawn(async move {
                let mut text = Vec::new();
                while stream.read_buf(&mut text).await.is_ok_and(|read| read > 0) {
                    let whole = String::from_utf8_lossy(&text).into_owned();
                    let Some((head, body)) = whole.split_once("\r\n\r\n") else { continue };
                    if !head.starts_with(&format!("POST /nacos{BEATS} ")) {
                        return;
                    }
                    let Ok(beats) = serde_json::from_str::<Vec<super::super::beats::Beat>>(body) else { continue };
                    sizes.send(beats.len()).unwrap();
                    tokio::time::sleep(Duration::from_millis(30)).await;
                    let port = |beat: &super::super::beats::Beat| {
                        beat.params.iter().find(|(name, _)| name == "port").map(|(_, port)| port.clone()).unwrap()
                    };
                    let answers: Vec<(u16, String)> = beats.iter().map(|beat| (200, port(beat))).collect();
                    let answers = serde_json::to_string(&answers).unwrap();
                    let head = format!("HTTP/1.1 200 \r\nContent-Length: {}\r\n\r\n", answers.len());
                    stream.write_all((head + &answers).as_bytes()).await.unwrap();
                    text.clear();
                }
            });
        }
    });
    let at = cluster.addresses[0];
    let beats = (1..=200).map(|port| {
        let path = light(&id, port);
        async move { (port.to_string(), call(at, "PUT", &path, &[], "").await) }
    });
    for (port, (status, _, body)) in futures::future::join_all(beats).await {
        assert_eq!((status, body), (200, port), "everybody gets the answer to its own beat");
    }
    let mut batches = Vec::new();
    while let Ok(size) = received.try_recv() {
        batches.push(size);
    }
    println!("200 beats in batches of {batches:?}");
    assert_eq!(batches.iter().sum::<usize>(), 200);
    assert!(batches.len() < 50, "{batches:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beats_for_an_owner_that_is_gone_or_silent_fail_in_time() {
    let mut cluster = Cluster::start(2).await;
    let id = cluster.service_of(1, "gone");
    let (at, owner) = (cluster.addresses[0], cluster.addresses[1]);
    cluster.kill(1).await;
    let (status, content_type, body) = call(at, "PUT", &light(&id, 1), &[], "").await;
    assert_eq!((status, content_type.as_str()), (500, "application/json;charset=UTF-8"));
    let text = format!(
        "org.apache.http.conn.HttpHostConnectException: Connect to {owner} [/127.0.0.1] failed: Connection refused"
    );
    assert_eq!(body, text);
    cluster.restart(1).await;
    let tarpit = tarpit(&mut cluster).await;
    let started = Instant::now();
    let beats = (1..=20).map(|port| {
        let path = light(&id, port);
        async move { call(at, "PUT", &path, &[], "").await }
    });
    for (status, _, body) in futures::future::join_all(beats).await {
        assert_eq!((status, body.as_str()), (500, "java.net.SocketTimeoutException: Read timed out"));
    }
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    tarpit.abort();
}

/// A service that was removed before it was handed over must not be tried for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_gone_is_not_handed_over() {
    for stream in [true, false] {
        let cluster = Cluster::start_with(vec![stream; 2]).await;
        let (distro, peer) = (&cluster.node(0).distro, cluster.addresses[1].to_string());
        let gone = cluster.service_of(1, "gone");
        distro.hand_over.answer(&peer, gone);
        let left = || distro.hand_over.offers(&peer).len();
        eventually("forgotten", SOON, || left() == 0).await;
        let id = cluster.service_of(0, "after");
        register(cluster.node(0), &id, 1);
        eventually("still replicating", SOON, || seen(cluster.node(1), &id).is_some()).await;
    }
}

#[tokio::test]
async fn receipts_go_with_their_services() {
    let cluster = Cluster::start(2).await;
    let id = cluster.service_of(1, "receipt");
    let node = cluster.node(0);
    register(cluster.node(1), &id, 1);
    eventually("replicated", SOON, || seen(node, &id).is_some()).await;
    node.distro.forget_receipts();
    assert!(node.distro.receipt(&id).is_some());
    node.registry.remove(&id);
    node.distro.forget_receipts();
    assert!(node.distro.receipt(&id).is_none());
}
