//! `push-latency`: how long after the acknowledgement of a registration does a subscriber of every node hold the UDP
//! push that contains it?
//!
//! One subscriber per node, as an official client would be one: it asks its node for the service with its UDP port and
//! acknowledges every packet (`compat/spec/health-and-push.md` §5). The packet is a JSON object, gzipped from 1024
//! bytes on. The row without a variant is the last subscriber of each sample.

use std::io::Read as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use flate2::read::GzDecoder;
use futures::future::{join_all, try_join_all};
use rand::RngExt as _;
use serde::Deserialize;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::keep_first;
use super::sync_latency::PAUSE_MS_MAX;
use super::{Observation, Session, bulk};
use crate::client::nacos::Listing;
use crate::client::{Call, Instance, NacosClient};
use crate::stats::Round;

/// Name in the record.
pub const NAME: &str = "push-latency";

/// A push that has not come after this long is an error. Real Nacos sends an unacknowledged packet again after ten
/// seconds, which would then be a second chance and not a latency.
const PUSH_LIMIT: Duration = Duration::from_secs(9);

/// Largest datagram there is.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// Largest JSON a datagram may unpack to.
const UNPACKED_BYTES_MAX: u64 = 8 << 20;

/// A pushed packet.
#[derive(Debug, Deserialize)]
struct Packet {
    /// A list answer as JSON text.
    data: String,
    /// What the acknowledgement must repeat.
    #[serde(rename = "lastRefTime")]
    last_ref_time: i64,
}

impl Packet {
    fn read(datagram: &[u8]) -> Result<Self> {
        let packet = if datagram.starts_with(&[0x1f, 0x8b]) {
            let mut text = String::new();
            GzDecoder::new(datagram).take(UNPACKED_BYTES_MAX).read_to_string(&mut text).context("gzip")?;
            serde_json::from_str(&text)
        } else {
            serde_json::from_slice(datagram)
        };
        packet.context("not a push packet")
    }

    fn shows(&self, instance: &Instance) -> bool {
        serde_json::from_str::<Listing>(&self.data).is_ok_and(|it| it.shows(instance))
    }

    fn acknowledgement(&self) -> String {
        format!(r#"{{"type":"push-ack","lastRefTime":"{}","data":""}}"#, self.last_ref_time)
    }
}

/// A subscriber of one node.
struct Subscriber {
    socket: UdpSocket,
    port: u16,
}

impl Subscriber {
    async fn open() -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.context("a UDP port for pushes")?;
        let port = socket.local_addr().context("a UDP port for pushes")?.port();
        Ok(Self { socket, port })
    }

    async fn subscribe(&self, client: &NacosClient, service: &str) -> Result<()> {
        let call = Call::subscribe(client.context(), service, "127.0.0.1", self.port)?;
        client.send(&call).await.context("subscribing")?;
        Ok(())
    }

    /// Acknowledges packets until one shows `instance`; nothing when none has by `limit`.
    async fn received(&self, instance: &Instance, since: Instant, limit: Duration) -> Option<Duration> {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            let left = limit.checked_sub(since.elapsed())?;
            let (length, from) = tokio::time::timeout(left, self.socket.recv_from(&mut buffer)).await.ok()?.ok()?;
            let age = since.elapsed();
            let Ok(packet) = Packet::read(buffer.get(..length)?) else { continue };
            // An unacknowledged packet is sent again, and would be taken for the next sample's.
            let _ = self.socket.send_to(packet.acknowledgement().as_bytes(), from).await;
            if packet.shows(instance) {
                return Some(age);
            }
        }
    }
}

/// Measures `samples` registrations, or as many as fit; everything registered is removed again.
///
/// # Errors
/// When there is no UDP port or the clean-up cannot connect.
pub async fn run(session: &Session<'_>, samples: usize) -> Result<Vec<Observation>> {
    let subscribers = try_join_all(session.clients.iter().map(|_| Subscriber::open())).await?;
    let mut random = session.random(NAME);
    let mut row = Observation::new(NAME, "ms", Round::new());
    let mut registered = Vec::new();
    for done in 0..samples {
        if session.is_over() {
            row.notes.push(session.cut_short(done, samples));
            break;
        }
        session.show(NAME, done, samples);
        let pause = Duration::from_millis(random.random_range(0..=PAUSE_MS_MAX));
        let writer = random.random_range(0..session.clients.len().max(1));
        let instance = session.instance(&format!("{}-push-{done}", session.tag), done);
        let Some(client) = session.clients.get(writer) else { break };
        tokio::time::sleep(pause).await;
        registered.push(instance.clone());
        match sample(session, &subscribers, client, &instance).await {
            Ok(Some(latency)) => row.values.record_duration(latency),
            Ok(None) => row.errors += 1,
            Err(error) => {
                row.errors += 1;
                keep_first(&mut row.notes, format!("round {}: {error:#}", session.round + 1));
            }
        }
    }
    let removed = bulk::deregister(session, &registered).await?;
    if removed.failed > 0 {
        row.notes.push(format!("{} instances could not be removed again: {}", removed.failed, removed.first_error()));
    }
    Ok(vec![row])
}

/// One registration of a service that every subscriber has just asked for; nothing when one subscriber got no push.
async fn sample(
    session: &Session<'_>,
    subscribers: &[Subscriber],
    writer: &NacosClient,
    instance: &Instance,
) -> Result<Option<Duration>> {
    let pairs = || subscribers.iter().zip(session.clients);
    try_join_all(pairs().map(|(it, client)| it.subscribe(client, &instance.service))).await?;
    writer.register(instance).await?;
    let acknowledged = Instant::now();
    let received = join_all(subscribers.iter().map(|it| it.received(instance, acknowledged, PUSH_LIMIT))).await;
    Ok(received.into_iter().collect::<Option<Vec<_>>>().and_then(|it| it.into_iter().max()))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// Shape and key order of `compat/spec/health-and-push.md` §5.3.
    const PACKET: &str = r#"{"type":"dom","data":"{\"hosts\":[{\"ip\":\"127.5.2.1\",\"port\":8080,\"healthy\":true}],\"name\":\"h\"}","lastRefTime":2103804206713}"#;

    #[test]
    fn a_packet_is_read_plain_and_zipped() {
        let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        zip.write_all(PACKET.as_bytes()).unwrap();
        let instance = Instance::kept("h", "127.5.2.1".into(), 8080, Duration::from_secs(60));
        for datagram in [PACKET.as_bytes().to_vec(), zip.finish().unwrap()] {
            let packet = Packet::read(&datagram).unwrap();
            assert!(packet.shows(&instance));
            assert!(packet.acknowledgement().contains(r#""lastRefTime":"2103804206713""#));
        }
        assert!(Packet::read(b"{}").is_err());
    }
}
