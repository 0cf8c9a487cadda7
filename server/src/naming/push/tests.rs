use super::*;
use tokio::time::timeout;

use crate::naming::instance::Instance;
use crate::naming::service::ServiceState;

struct Fixture {
    registry: Arc<Registry>,
    subscribers: Arc<Subscribers>,
    count: Arc<PushCount>,
    consumer: UdpSocket,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn id() -> ServiceId {
    ServiceId::new("public", "DEFAULT_GROUP@@h")
}

async fn fixture() -> Fixture {
    let registry = Arc::new(Registry::new());
    let subscribers = Arc::new(Subscribers::default());
    let count = Arc::new(PushCount::default());
    let push = Push::new(registry.clone(), subscribers.clone(), count.clone(), Arc::new(Switches::default()));
    let consumer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let task = tokio::spawn(push.run());
    // The task must have subscribed to changes before the test makes some.
    tokio::time::sleep(Duration::from_millis(50)).await;
    Fixture { registry, subscribers, count, consumer, task }
}

impl Fixture {
    fn subscribe(&self, clusters: &str, age_ms: i64) {
        assert!(self.subscribers.subscribe(Subscriber {
            service: id(),
            clusters: clusters.to_owned(),
            address: self.consumer.local_addr().unwrap(),
            agent: "Nacos-Java-Client:v1.4.1".to_owned(),
            app: String::new(),
            last_asked: now_ms() - age_ms,
        }));
    }

    fn register(&self, port: i32, cluster: &str) {
        let one = Instance { ip: "10.0.0.1".into(), port, cluster_name: cluster.into(), ..Instance::default() };
        self.registry.upsert(
            &id(),
            || ServiceState::new("DEFAULT_GROUP"),
            |state| {
                state.ensure_cluster(cluster);
                state.ephemeral.insert(one.key(), one.clone());
                ((), Change { ephemeral_local: true, ..Change::default() })
            },
        );
    }

    /// Outer packet, pushed ports, where it came from.
    async fn receive(&self) -> Option<(serde_json::Value, Vec<i64>, SocketAddr)> {
        let mut bytes = [0; 4096];
        let received = timeout(Duration::from_millis(500), self.consumer.recv_from(&mut bytes)).await;
        let (length, from) = received.ok()?.unwrap();
        let bytes = &bytes[..length];
        let mut text = String::new();
        if bytes.starts_with(&[0x1f, 0x8b]) {
            std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(bytes), &mut text).unwrap();
        } else {
            text = String::from_utf8(bytes.to_vec()).unwrap();
        }
        let packet: serde_json::Value = serde_json::from_str(&text).unwrap();
        let data: serde_json::Value = serde_json::from_str(packet["data"].as_str().unwrap()).unwrap();
        assert_eq!((data["cacheMillis"].as_i64(), data["dom"].as_str()), (Some(10_000), Some("DEFAULT_GROUP@@h")));
        let ports = data["hosts"].as_array().unwrap().iter().map(|host| host["port"].as_i64().unwrap()).collect();
        Some((packet, ports, from))
    }
}

#[tokio::test]
async fn a_change_is_pushed_at_once_and_acknowledged() {
    let fixture = fixture().await;
    fixture.subscribe("", 0);
    let started = std::time::Instant::now();
    fixture.register(80, "DEFAULT");
    let (packet, ports, from) = fixture.receive().await.unwrap();
    assert!(started.elapsed() < Duration::from_millis(200), "{:?}", started.elapsed());
    assert_eq!((packet["type"].as_str(), ports), (Some("dom"), vec![80]));
    let ack = format!(r#"{{"type":"push-ack","lastRefTime":"{}","data":""}}"#, packet["lastRefTime"]);
    fixture.consumer.send_to(ack.as_bytes(), from).await.unwrap();
    assert_eq!(fixture.count.get(), (1, 0));
}

#[tokio::test]
async fn a_burst_is_merged_and_ends_with_the_last_state() {
    let fixture = fixture().await;
    fixture.subscribe("", 0);
    let started = Instant::now();
    for port in 1..=100 {
        fixture.register(port, "DEFAULT");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let most = started.elapsed().as_millis() / SPACING.as_millis() + 2;
    let (mut packets, mut hosts) = (0, 0);
    while let Some((_, ports, _)) = fixture.receive().await {
        packets += 1;
        hosts = ports.len();
    }
    assert!((2..=most).contains(&packets), "{packets} of at most {most}");
    assert_eq!(hosts, 100);
}

#[tokio::test]
async fn one_socket_may_hold_several_subscriptions() {
    let fixture = fixture().await;
    for clusters in ["a", "b", "a"] {
        fixture.subscribe(clusters, 0);
    }
    fixture.register(1, "a");
    let mut ports = vec![fixture.receive().await.unwrap().1, fixture.receive().await.unwrap().1];
    ports.sort();
    assert_eq!(ports, [vec![], vec![1]]);
    assert!(fixture.receive().await.is_none());
}

#[tokio::test]
async fn zombies_are_not_pushed() {
    let fixture = fixture().await;
    fixture.subscribe("", 10_001);
    fixture.register(80, "DEFAULT");
    assert!(fixture.receive().await.is_none());
    assert!(!fixture.subscribers.any(&id()));
}

#[tokio::test(start_paused = true)]
async fn a_packet_without_acknowledgement_is_sent_once_more_then_given_up() {
    let registry = Arc::new(Registry::new());
    let count = Arc::new(PushCount::default());
    let mut push = Push::new(registry, Arc::default(), count.clone(), Arc::default());
    let (socket, consumer) =
        (UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
    push.push_one(&socket, consumer.local_addr().unwrap(), b"{}").await;
    let mut packets = Vec::new();
    for (failed, waiting) in [(0, 1), (1, 0)] {
        tokio::time::advance(ACK_TIMEOUT).await;
        push.retry_or_give_up(&socket).await;
        assert_eq!((count.get(), push.timeouts.len()), ((1, failed), waiting));
        let mut packet = [0; 100];
        let length = consumer.recv(&mut packet).await.unwrap();
        packets.push(packet[..length].to_vec());
    }
    assert_eq!(packets[0], packets[1]);
}
