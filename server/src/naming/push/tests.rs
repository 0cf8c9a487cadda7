use super::*;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::naming::changes::Change;
use crate::naming::service::ServiceState;

fn id() -> ServiceId {
    ServiceId::new("public", "DEFAULT_GROUP@@h")
}

struct Fixture {
    registry: Arc<Registry>,
    push: Arc<PushService>,
    consumer: UdpSocket,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn fixture() -> Fixture {
    let registry = Arc::new(Registry::new());
    let state = registry.clone();
    let render = move |subscriber: &Subscriber| {
        Some(format!("{}:{}", subscriber.clusters, state.get(&subscriber.service)?.read().ephemeral.len()))
    };
    let push = PushService::new(registry.clone(), Box::new(render));
    let consumer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let task = tokio::spawn(push.clone().run());
    // The task must have subscribed to changes before the test makes some.
    tokio::time::sleep(Duration::from_millis(50)).await;
    Fixture { registry, push, consumer, task }
}

impl Fixture {
    fn subscriber(&self, clusters: &str) -> Subscriber {
        Subscriber {
            service: id(),
            clusters: clusters.to_owned(),
            address: self.consumer.local_addr().unwrap(),
            agent: "Nacos-Java-Client:v1.4.1".to_owned(),
            app: String::new(),
        }
    }

    fn change(&self) {
        let service = self.registry.get_or_create(&id(), || ServiceState::new("DEFAULT_GROUP"));
        self.registry.update(&service, |_| ((), Change { ephemeral_local: true, ..Change::default() }));
    }

    async fn receive(&self) -> Option<(serde_json::Value, SocketAddr)> {
        let mut bytes = [0; 2048];
        let (length, from) =
            timeout(Duration::from_millis(500), self.consumer.recv_from(&mut bytes)).await.ok()?.unwrap();
        Some((serde_json::from_slice(&bytes[..length]).unwrap(), from))
    }
}

#[tokio::test]
async fn a_change_is_pushed_at_once_and_acknowledged() {
    let fixture = fixture().await;
    assert!(fixture.push.subscribe(fixture.subscriber("")));
    let started = std::time::Instant::now();
    fixture.change();
    let (packet, from) = fixture.receive().await.unwrap();
    assert!(started.elapsed() < Duration::from_millis(200), "{:?}", started.elapsed());
    assert_eq!((packet["type"].as_str(), packet["data"].as_str()), (Some("dom"), Some(":0")));
    assert_eq!(fixture.push.state(true).pending.len(), 1);
    let ack = format!(r#"{{"type":"push-ack","lastRefTime":"{}","data":""}}"#, packet["lastRefTime"]);
    fixture.consumer.send_to(ack.as_bytes(), from).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(fixture.push.state(true), PushState { total: 1, failed: 0, pending: vec![] });
}

#[tokio::test]
async fn a_burst_is_merged_and_ends_with_a_packet() {
    let fixture = fixture().await;
    fixture.push.subscribe(fixture.subscriber(""));
    for _ in 0..100 {
        fixture.change();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut packets = 0;
    while fixture.receive().await.is_some() {
        packets += 1;
    }
    assert!((2..=20).contains(&packets), "{packets}");
}

#[tokio::test]
async fn one_socket_may_hold_several_subscriptions() {
    let fixture = fixture().await;
    for clusters in ["a", "b", "a"] {
        fixture.push.subscribe(fixture.subscriber(clusters));
    }
    assert_eq!(fixture.push.subscribers(&id()).len(), 2);
    fixture.change();
    let first = fixture.receive().await.unwrap().0;
    let second = fixture.receive().await.unwrap().0;
    assert_eq!((first["data"].as_str(), second["data"].as_str()), (Some("a:0"), Some("b:0")));
    assert!(fixture.receive().await.is_none());
}

#[tokio::test]
async fn zombies_are_not_pushed() {
    let fixture = fixture().await;
    fixture.push.set_zombie_after(50);
    fixture.push.subscribe(fixture.subscriber(""));
    tokio::time::sleep(Duration::from_millis(100)).await;
    fixture.change();
    assert!(fixture.receive().await.is_none());
    assert!(fixture.push.subscribers(&id()).is_empty());
}

#[test]
fn addresses() {
    assert_eq!(address("", 5), Some(SocketAddr::from(([127, 0, 0, 1], 5))));
    assert_eq!(address("10.0.0.1", 5), Some(SocketAddr::from(([10, 0, 0, 1], 5))));
    assert_eq!(address("10.0.0.1", 0), None);
    assert_eq!(address("no.such", 5), None);
}
