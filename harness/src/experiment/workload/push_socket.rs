//! A subscriber of UDP pushes, as an official client would be one: it asks its node for the service with its UDP port
//! and acknowledges every packet (`compat/spec/health-and-push.md` §5). A packet is a JSON object, gzipped from 1024
//! bytes on.

use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result};
use flate2::read::GzDecoder;
use serde::Deserialize;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use crate::client::nacos::Listing;
use crate::client::{Call, NacosClient};

/// Largest datagram there is.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// Largest JSON a datagram may unpack to.
const UNPACKED_BYTES_MAX: u64 = 8 << 20;

/// A pushed packet.
#[derive(Debug, Deserialize)]
pub(crate) struct Packet {
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

    fn acknowledgement(&self) -> String {
        format!(r#"{{"type":"push-ack","lastRefTime":"{}","data":""}}"#, self.last_ref_time)
    }
}

/// What a packet brought.
#[derive(Debug)]
pub(crate) struct Pushed {
    /// When it was in hand.
    pub(crate) at: Instant,
    /// Who sent it.
    pub(crate) from: IpAddr,
    /// The `lastRefTime` of it.
    pub(crate) last_ref_time: i64,
    /// The list in it.
    pub(crate) listing: Listing,
}

/// A subscriber of one node.
#[derive(Debug)]
pub(crate) struct PushSocket {
    socket: UdpSocket,
    address: SocketAddr,
}

impl PushSocket {
    /// Opens a port on the address that this machine has towards `node`, `host:port`.
    pub(crate) async fn open(node: &str) -> Result<Self> {
        let what = "a UDP port for pushes";
        let route = UdpSocket::bind("0.0.0.0:0").await.context(what)?;
        // Sends nothing: it only chooses the way.
        route.connect(node).await.with_context(|| format!("the way to {node}"))?;
        let ip = route.local_addr().context(what)?.ip();
        let socket = UdpSocket::bind((ip, 0)).await.context(what)?;
        let address = socket.local_addr().context(what)?;
        Ok(Self { socket, address })
    }

    /// Where pushes go to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks `client`'s node for the service, which subscribes for ten seconds.
    pub(crate) async fn subscribe(&self, client: &NacosClient, service: &str) -> Result<()> {
        let ip = self.address.ip().to_string();
        let call = Call::subscribe(client.context(), service, &ip, self.address.port())?;
        client.send(&call).await.context("subscribing")?;
        Ok(())
    }

    /// The next readable packet, acknowledged; nothing when none came within `limit`.
    pub(crate) async fn next(&self, limit: Duration) -> Option<Pushed> {
        let began = Instant::now();
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            let left = limit.checked_sub(began.elapsed())?;
            let (length, from) = tokio::time::timeout(left, self.socket.recv_from(&mut buffer)).await.ok()?.ok()?;
            let at = Instant::now();
            let Ok(packet) = Packet::read(buffer.get(..length)?) else { continue };
            // An unacknowledged packet is sent again, and would be taken for a later one.
            let _ = self.socket.send_to(packet.acknowledgement().as_bytes(), from).await;
            if let Ok(listing) = serde_json::from_str(&packet.data) {
                return Some(Pushed { at, from: from.ip(), last_ref_time: packet.last_ref_time, listing });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::client::Instance;

    /// Shape and key order of `compat/spec/health-and-push.md` §5.3.
    const PACKET: &str = r#"{"type":"dom","data":"{\"hosts\":[{\"ip\":\"127.5.2.1\",\"port\":8080,\"healthy\":true}],\"name\":\"g@@h\"}","lastRefTime":2103804206713}"#;

    #[test]
    fn a_packet_is_read_plain_and_zipped() {
        let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        zip.write_all(PACKET.as_bytes()).unwrap();
        let instance = Instance::kept("h", "127.5.2.1".into(), 8080, Duration::from_secs(60));
        for datagram in [PACKET.as_bytes().to_vec(), zip.finish().unwrap()] {
            let packet = Packet::read(&datagram).unwrap();
            let listing: Listing = serde_json::from_str(&packet.data).unwrap();
            assert!(listing.shows(&instance) && listing.name == "g@@h");
            assert!(packet.acknowledgement().contains(r#""lastRefTime":"2103804206713""#));
        }
        assert!(Packet::read(b"{}").is_err());
    }
}
