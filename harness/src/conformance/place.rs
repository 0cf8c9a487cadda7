//! Where a sequence is asked: the addresses and ports that case files name by placeholder.

use std::io;

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::client::raft;

/// Ports of the first recording. They are preferred, because ports enter service checksums
/// (`compat/spec/naming-api.md` §16.1): with others, checksums cannot be compared with the recordings.
const OPEN_PORT: u16 = 9499;
const CLOSED_PORT: u16 = 9498;
const UDP_PORT: u16 = 9497;

/// Addresses and ports of one asked server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// `host:port` of all members, in the order of the text; the first is the one that is asked.
    pub members: Vec<String>,
    /// A TCP port on 127.0.0.1 that accepts connections.
    pub open_port: u16,
    /// A TCP port on 127.0.0.1 that refuses them.
    pub closed_port: u16,
    /// A UDP port on 127.0.0.1 that nobody listens on.
    pub udp_port: u16,
    /// Context path of the server.
    #[serde(default = "usual_context")]
    pub context_path: String,
}

fn usual_context() -> String {
    "/nacos".to_owned()
}

/// The listening port of the persistent instances' health checks, held while cases run.
#[derive(Debug)]
pub struct Fixture {
    /// The port.
    pub open_port: u16,
    /// A port nobody listens on.
    pub closed_port: u16,
    /// A UDP port nobody listens on.
    pub udp_port: u16,
    accepting: JoinHandle<()>,
}

impl Fixture {
    /// Opens the port.
    ///
    /// # Errors
    /// When no port can be opened at all.
    pub async fn open() -> io::Result<Self> {
        let listener = match TcpListener::bind(("127.0.0.1", OPEN_PORT)).await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind("127.0.0.1:0").await?,
        };
        let open_port = listener.local_addr()?.port();
        let closed_port = match TcpListener::bind(("127.0.0.1", CLOSED_PORT)).await {
            Ok(_) => CLOSED_PORT,
            Err(_) => TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port(),
        };
        let accepting = tokio::spawn(async move {
            loop {
                // A health check only connects; the connection ends when the stream is dropped.
                let _ = listener.accept().await;
            }
        });
        Ok(Self { open_port, closed_port, udp_port: UDP_PORT, accepting })
    }

    /// The place of a cluster with these members.
    pub fn place(&self, mut members: Vec<String>, context_path: &str) -> Place {
        members.sort();
        Place {
            members,
            open_port: self.open_port,
            closed_port: self.closed_port,
            udp_port: self.udp_port,
            context_path: context_path.to_owned(),
        }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Place {
    /// The server that is asked.
    pub fn asked(&self) -> &str {
        self.members.first().map_or("", String::as_str)
    }

    /// Puts the values in for the placeholders of a case file.
    pub fn fill(&self, text: &str) -> String {
        let filled = text
            .replace("{self}", self.asked())
            .replace("{self_raft}", &raft::peer_of(self.asked()).unwrap_or_default())
            .replace("{open_port}", &self.open_port.to_string())
            .replace("{closed_port}", &self.closed_port.to_string())
            .replace("{udp_port}", &self.udp_port.to_string());
        repeat(filled)
    }
}

/// `{repeat:x:600}` becomes 600 times `x`; at most 4 MB.
fn repeat(mut text: String) -> String {
    while let Some(start) = text.find("{repeat:") {
        let Some(end) = text.get(start..).and_then(|rest| rest.find('}')).map(|i| start + i) else { break };
        let inner = text.get(start + "{repeat:".len()..end).unwrap_or_default();
        let Some((piece, count)) = inner.rsplit_once(':') else { break };
        let Ok(count) = count.parse::<usize>() else { break };
        let repeated = piece.repeat(count.min(4_000_000 / piece.len().max(1)));
        text.replace_range(start..=end, &repeated);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled() {
        let place = Place {
            members: vec!["127.0.0.1:8848".to_owned()],
            open_port: 1,
            closed_port: 2,
            udp_port: 3,
            context_path: "/nacos".to_owned(),
        };
        assert_eq!(
            place.fill("{self} {self_raft} {open_port}{closed_port} {\"a\":\"{udp_port}\"}"),
            "127.0.0.1:8848 127.0.0.1:7848 12 {\"a\":\"3\"}"
        );
        assert_eq!(place.fill("<{repeat:xy:3}>{repeat:q}"), "<xyxyxy>{repeat:q}");
    }
}
