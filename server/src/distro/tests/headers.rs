//! What goes over the wire to official nodes, held against what they send each other (compat/spec/distro.md §6,
//! compat/spec/membership.md §6.1).

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::distro::peer_client::PeerClient;

/// Answers every request with `ok`; the heads come out of the channel.
pub(super) async fn listener() -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    answering("200", "ok").await
}

/// The same with another answer.
pub(super) async fn answering(
    status: &'static str,
    answer: &'static str,
) -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let answer = format!("HTTP/1.1 {status} \r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (heads, received) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (heads, answer) = (heads.clone(), answer.clone());
            tokio::spawn(async move {
                let mut text = Vec::new();
                while stream.read_buf(&mut text).await.unwrap() > 0 {
                    let whole = String::from_utf8_lossy(&text).into_owned();
                    let Some((head, body)) = whole.split_once("\r\n\r\n") else { continue };
                    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
                    if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                        heads.send(head.to_owned()).unwrap();
                        stream.write_all(answer.as_bytes()).await.unwrap();
                        text.clear();
                    }
                }
            });
        }
    });
    (address, received)
}

/// A node beside an official one at this address, and a service of which that one is responsible.
pub(super) async fn beside(official: &str) -> (Cluster, ServiceId) {
    let cluster = Cluster::start(1).await;
    let entry = |port| Entry { host: "127.0.0.1".to_owned(), port };
    let port = official.rsplit_once(':').unwrap().1.parse().unwrap();
    let members = &cluster.node(0).members;
    members.replace(&[entry(cluster.addresses[0].port()), entry(port)]);
    let name =
        (0..).map(|n| format!("DEFAULT_GROUP@@official{n}")).find(|name| !members.responsible(name, true)).unwrap();
    let id = ServiceId::new("public", name);
    (cluster, id)
}

/// First line, and the others sorted: their order means nothing. `Accept: */*` is what leaving it out means.
fn sorted(head: &str) -> Vec<String> {
    let mut lines: Vec<String> = head.lines().map(str::to_owned).filter(|line| line != "Accept: */*").collect();
    lines[1..].sort();
    lines
}

#[tokio::test]
async fn every_call_carries_the_official_headers() {
    let (peer, mut heads) = listener().await;
    let client = PeerClient::new("127.0.0.1:9201", "/nacos", None);
    let mut expect = async |text: &str| {
        let expected = sorted(&text.replace("PEER", &peer));
        assert_eq!(sorted(&heads.recv().await.unwrap()), expected);
    };
    client.push(&peer, b"{\"k\":1}".to_vec(), None).await.unwrap();
    expect(
        "PUT /nacos/v1/ns/distro/datum HTTP/1.1\nContent-Type: application/json;charset=UTF-8\n\
         Accept-Charset: UTF-8\nAccept-Encoding: gzip,deflate,sdch\nUser-Agent: Nacos-Server:1.4.1\n\
         Content-Encoding: gzip\nConnection: Keep-Alive\nClient-Version: 1.4.1\nHost: PEER\nContent-Length: 7",
    )
    .await;
    client.verify(&peer, b"{}".to_vec().into(), None).await.unwrap();
    expect(
        "PUT /nacos/v1/ns/distro/checksum?source=127.0.0.1:9201 HTTP/1.1\n\
         Content-Type: application/json;charset=UTF-8\nAccept-Charset: UTF-8\nAccept-Encoding: gzip\n\
         User-Agent: Nacos-Server:1.4.1\nConnection: Keep-Alive\nClient-Version: 1.4.1\nHost: PEER\n\
         Content-Length: 2",
    )
    .await;
    client.datum(&peer, &["a".to_owned(), "b".to_owned()]).await.unwrap();
    expect(
        "GET /nacos/v1/ns/distro/datum HTTP/1.1\nContent-Type: application/json;charset=UTF-8\n\
         Accept-Charset: UTF-8\nAccept-Encoding: gzip\nHost: PEER\nConnection: Keep-Alive\n\
         User-Agent: Apache-HttpClient/4.5 (Java/1.8.0_282)\nContent-Length: 14",
    )
    .await;
    client.datums(&peer, SOON).await.unwrap();
    expect(
        "GET /nacos/v1/ns/distro/datums?encoding=UTF-8&nofix=1 HTTP/1.1\n\
         Content-Type: application/x-www-form-urlencoded;charset=UTF-8\nAccept-Charset: UTF-8\n\
         Accept-Encoding: gzip\nClient-Version: 1.4.1\nUser-Agent: Nacos-Server:1.4.1\nConnection: Keep-Alive\n\
         Request-Source: 127.0.0.1:9201\nHost: PEER",
    )
    .await;
    client.status(&peer, "{}".to_owned()).await.unwrap();
    expect(
        "POST /nacos/v1/ns/service/status HTTP/1.1\nContent-Type: application/json;charset=UTF-8\n\
         Accept-Charset: UTF-8\nAccept-Encoding: gzip\nHost: PEER\nConnection: Keep-Alive\n\
         User-Agent: Nacos-Server:1.4.1\nContent-Length: 2",
    )
    .await;
    client.statuses(&peer, "public", "DEFAULT_GROUP@@h2p0").await.unwrap();
    expect(
        "GET /nacos/v1/ns/instance/statuses?key=public%23%23DEFAULT_GROUP%40%40h2p0&encoding=UTF-8&nofix=1 \
         HTTP/1.1\nContent-Type: application/x-www-form-urlencoded;charset=UTF-8\nAccept-Charset: UTF-8\n\
         Accept-Encoding: gzip,deflate,sdch\nClient-Version: 1.4.1\nUser-Agent: Nacos-Server:1.4.1\n\
         Connection: Keep-Alive\nContent-Encoding: gzip\nRequest-Source: 127.0.0.1:9201\nHost: PEER",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compressed_answer_is_read() {
    use std::io::Write as _;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(b"{\"ips\":[]}").unwrap();
        let body = encoder.finish().unwrap();
        let head = format!("HTTP/1.1 200 \r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
    });
    let client = PeerClient::new("127.0.0.1:9201", "/nacos", None);
    assert_eq!(client.statuses(&peer, "public", "a@@b").await.unwrap(), "{\"ips\":[]}");
}

/// An official node among Tandem nodes gets whole lists and never a path of ours; silence of one delays nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_official_member_sees_official_messages_only() {
    let (official, mut heads) = listener().await;
    let cluster = Cluster::start(2).await;
    let port = official.rsplit_once(':').unwrap().1.parse().unwrap();
    let mut entries: Vec<Entry> =
        cluster.addresses.iter().map(|one| Entry { host: "127.0.0.1".to_owned(), port: one.port() }).collect();
    entries.push(Entry { host: "127.0.0.1".to_owned(), port });
    for node in 0..2 {
        cluster.node(node).members.replace(&entries);
    }
    let id = cluster.service_of(0, "mixed");
    for port in 1..=3 {
        register(cluster.node(0), &id, port);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    eventually("at the Tandem peer", SOON, || seen(cluster.node(1), &id).is_some_and(|list| list.len() == 3)).await;
    let mut first_lines = Vec::new();
    while let Ok(head) = tokio::time::timeout(Duration::from_millis(300), heads.recv()).await {
        let head = head.unwrap();
        assert!(!head.to_ascii_lowercase().contains("tandem"), "{head}");
        first_lines.push(head.lines().next().unwrap().to_owned());
    }
    assert!(first_lines.contains(&"PUT /nacos/v1/ns/distro/datum HTTP/1.1".to_owned()), "{first_lines:?}");
}

const SOON: Duration = Duration::from_secs(2);
