//! UDP push: consumers that asked for a list with a `udpPort` are sent the new one when the service changes
//! (compat/spec/health-and-push.md §5).
//!
//! Official nodes collect changes for a second and lose those that arrive while they send. Here the first change goes
//! out at once, what follows within `SPACING` goes in one packet, and a change during a send arms the
//! next one.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until};

use super::agent::Agent;
use super::changes::Change;
use super::listing::{self, ListQuery};
use super::registry::Registry;
use super::service::ServiceId;
use super::subscribers::{PushCount, Subscriber, Subscribers};
use super::switches::Switches;
use crate::clock::now_ms;
use pace::{Pace, SPACING};

mod pace;
mod packet;

/// A packet that is not acknowledged is sent once more after this, and counted as failed after as long again.
const ACK_TIMEOUT: Duration = Duration::from_secs(10);
/// Subscribers that stopped asking are dropped at this pace, and whenever their service is pushed.
const ZOMBIE_SWEEP: Duration = Duration::from_secs(20);
/// Bound on packets waiting for an acknowledgement; further ones are sent without a retry.
const UNACKNOWLEDGED_MAX: usize = 100_000;
/// Pause before the socket is opened again after it failed.
const REOPEN: Duration = Duration::from_secs(5);

/// An acknowledgement counts only from the socket that was pushed to.
type AckKey = (SocketAddr, u64);

/// A packet that was sent and not acknowledged yet.
#[derive(Debug)]
struct Unacknowledged {
    bytes: Vec<u8>,
    retried: bool,
}

/// Tells consumers.
#[derive(Debug)]
pub struct Push {
    registry: Arc<Registry>,
    subscribers: Arc<Subscribers>,
    count: Arc<PushCount>,
    switches: Arc<Switches>,
    unacknowledged: HashMap<AckKey, Unacknowledged>,
    /// When to look at a packet again, oldest first.
    timeouts: VecDeque<(Instant, AckKey)>,
    sequence: u64,
}

impl Push {
    /// A push that sends nothing until [`Push::run`].
    pub fn new(
        registry: Arc<Registry>,
        subscribers: Arc<Subscribers>,
        count: Arc<PushCount>,
        switches: Arc<Switches>,
    ) -> Self {
        Push {
            registry,
            subscribers,
            count,
            switches,
            unacknowledged: HashMap::new(),
            timeouts: VecDeque::new(),
            sequence: sequence_start(),
        }
    }

    /// Pushes until dropped. Packets leave from a port of the system's choosing; acknowledgements come back there.
    pub async fn run(mut self) {
        loop {
            match UdpSocket::bind("0.0.0.0:0").await {
                Ok(socket) => self.serve(&socket).await,
                Err(error) => tracing::warn!(%error, "no UDP socket: consumers are not pushed"),
            }
            tokio::time::sleep(REOPEN).await;
        }
    }

    async fn serve(&mut self, socket: &UdpSocket) {
        let mut changes = self.registry.subscribe();
        let mut pace = Pace::default();
        let mut sweep = Instant::now() + ZOMBIE_SWEEP;
        let mut datagram = [0u8; 2048];
        loop {
            tokio::select! {
                changed = changes.next() => {
                    let now = Instant::now();
                    for (service, change) in changed {
                        if concerns_consumers(change) && self.subscribers.any(&service) && pace.admit(&service, now) {
                            self.push_service(socket, &service).await;
                        }
                    }
                }
                () = until(pace.next_due()) => {
                    for service in pace.due(Instant::now()) {
                        self.push_service(socket, &service).await;
                    }
                }
                received = socket.recv_from(&mut datagram) => {
                    // An error is the answer to an earlier packet (port unreachable); the retry covers it.
                    if let Ok((length, from)) = received
                        && let Some(sequence) = datagram.get(..length).and_then(packet::acknowledged)
                    {
                        self.unacknowledged.remove(&(from, sequence));
                    }
                }
                () = until(self.timeouts.front().map(|(due, _)| *due)) => self.retry_or_give_up(socket).await,
                () = sleep_until(sweep) => {
                    sweep = Instant::now() + ZOMBIE_SWEEP;
                    self.subscribers.forget_silent(now_ms(), self.switches.get().default_push_cache_millis);
                    pace.forget_before(Instant::now() - SPACING);
                }
            }
        }
    }

    async fn push_service(&mut self, socket: &UdpSocket, service: &ServiceId) {
        let cache_millis = self.switches.get().default_push_cache_millis;
        for subscriber in self.subscribers.of(service, now_ms(), cache_millis) {
            self.sequence += 1;
            let data = self.render(&subscriber, cache_millis);
            self.push_one(socket, subscriber.address, &data).await;
        }
    }

    /// The list as the consumer would get it if it asked.
    fn render(&self, subscriber: &Subscriber, cache_millis: i64) -> Vec<u8> {
        let Some(service) = self.registry.get(&subscriber.service) else {
            return listing::unknown(&subscriber.service.name, &subscriber.clusters, cache_millis);
        };
        let query = ListQuery {
            clusters: &subscriber.clusters,
            healthy_only: false,
            check_only: false,
            env: "",
            cache_millis,
            grouped_names: Agent::parse(&subscriber.agent).shows_groups().unwrap_or(false),
            now: now_ms(),
        };
        // The official push of a service that may not be listed says only how long it holds.
        listing::render(&service, &query).unwrap_or_else(|_| format!("{{\"cacheMillis\":{cache_millis}}}").into_bytes())
    }

    async fn push_one(&mut self, socket: &UdpSocket, to: SocketAddr, data: &[u8]) {
        self.count.sent();
        let Some(bytes) = packet::push(data, self.sequence) else {
            self.count.failed();
            return;
        };
        send(socket, &bytes, to).await;
        if self.unacknowledged.len() < UNACKNOWLEDGED_MAX {
            let key = (to, self.sequence);
            self.unacknowledged.insert(key, Unacknowledged { bytes, retried: false });
            self.timeouts.push_back((Instant::now() + ACK_TIMEOUT, key));
        }
    }

    async fn retry_or_give_up(&mut self, socket: &UdpSocket) {
        let now = Instant::now();
        while let Some((due, key)) = self.timeouts.front().copied()
            && due <= now
        {
            self.timeouts.pop_front();
            match self.unacknowledged.get_mut(&key) {
                Some(packet) if !packet.retried => {
                    packet.retried = true;
                    send(socket, &packet.bytes, key.0).await;
                    self.timeouts.push_back((now + ACK_TIMEOUT, key));
                }
                Some(_) => {
                    self.unacknowledged.remove(&key);
                    self.count.failed();
                }
                None => {}
            }
        }
    }
}

async fn send(socket: &UdpSocket, bytes: &[u8], to: SocketAddr) {
    if let Err(error) = socket.send_to(bytes, to).await {
        tracing::debug!(%to, %error, "push not sent");
    }
}

/// Whether a change can show in a pushed list.
fn concerns_consumers(change: Change) -> bool {
    change != Change { removed: true, ..Change::default() }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// Sequence numbers stay above 2³¹ and below 2⁵³, which clients hold in doubles, and grow over restarts.
fn sequence_start() -> u64 {
    u64::try_from(now_ms()).map_or(1 << 40, |millis| millis * 1000)
}

#[cfg(test)]
mod tests;
