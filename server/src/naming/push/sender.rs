//! The task that sends: changes in, datagrams out, acknowledgements back, one retry.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until};

use super::packet::{acknowledged, push};
use super::{ACK_TIMEOUT, AckKey, PushService, SPACING, Subscriber, UNACKNOWLEDGED_MAX, Unacknowledged, ZOMBIE_SWEEP};
use crate::naming::changes::Change;
use crate::naming::service::ServiceId;

/// When services may be pushed next, and which wait for that.
#[derive(Debug, Default)]
struct Pace {
    last: HashMap<ServiceId, Instant>,
    waiting: BTreeMap<Instant, Vec<ServiceId>>,
}

impl Pace {
    /// True when the service may be pushed now; otherwise it is remembered for when it may.
    fn admit(&mut self, service: &ServiceId, now: Instant) -> bool {
        let Some(last) = self.last.get_mut(service) else {
            self.last.insert(service.clone(), now);
            return true;
        };
        let next = *last + SPACING;
        if next <= now {
            *last = now;
            return true;
        }
        // `last` lies in the future only while the service already waits.
        if *last <= now {
            *last = next;
            self.waiting.entry(next).or_default().push(service.clone());
        }
        false
    }

    fn next_due(&self) -> Option<Instant> {
        self.waiting.keys().next().copied()
    }

    fn due(&mut self, now: Instant) -> Vec<ServiceId> {
        let later = self.waiting.split_off(&(now + std::time::Duration::from_nanos(1)));
        std::mem::replace(&mut self.waiting, later).into_values().flatten().collect()
    }

    fn forget_before(&mut self, instant: Instant) {
        self.last.retain(|_, last| *last >= instant);
    }
}

impl PushService {
    /// Pushes until dropped. Packets leave from an address of the system's choosing; acknowledgements come back there.
    ///
    /// # Errors
    /// When no UDP socket can be opened.
    pub async fn run(self: Arc<Self>) -> io::Result<()> {
        let socket = UdpSocket::bind("0.0.0.0:0").await?;
        let mut changes = self.registry.subscribe();
        let mut pace = Pace::default();
        let mut timeouts = VecDeque::new();
        let mut sequence = sequence_start();
        let mut sweep = Instant::now() + ZOMBIE_SWEEP;
        let mut datagram = [0u8; 2048];
        loop {
            tokio::select! {
                changed = changes.next() => {
                    let now = Instant::now();
                    for (service, change) in changed {
                        if concerns_consumers(change) && self.has_subscribers(&service) && pace.admit(&service, now) {
                            self.push_service(&socket, &service, &mut sequence, &mut timeouts).await;
                        }
                    }
                }
                () = until(pace.next_due()) => {
                    for service in pace.due(Instant::now()) {
                        self.push_service(&socket, &service, &mut sequence, &mut timeouts).await;
                    }
                }
                received = socket.recv_from(&mut datagram) => {
                    // An error is the answer to an earlier packet (port unreachable); the retry covers it.
                    if let Ok((length, from)) = received
                        && let Some(sequence) = datagram.get(..length).and_then(acknowledged)
                    {
                        self.state.lock().unacknowledged.remove(&(from, sequence));
                    }
                }
                () = until(timeouts.front().map(|(due, _)| *due)) => {
                    self.retry_or_give_up(&socket, &mut timeouts).await;
                }
                () = sleep_until(sweep) => {
                    sweep = Instant::now() + ZOMBIE_SWEEP;
                    self.drop_zombies(&mut self.state.lock(), None);
                    pace.forget_before(Instant::now() - SPACING);
                }
            }
        }
    }

    fn has_subscribers(&self, service: &ServiceId) -> bool {
        self.state.lock().services.contains_key(service)
    }

    async fn push_service(
        &self,
        socket: &UdpSocket,
        service: &ServiceId,
        sequence: &mut u64,
        timeouts: &mut VecDeque<(Instant, AckKey)>,
    ) {
        for subscriber in self.live(service) {
            *sequence += 1;
            self.push_one(socket, &subscriber, *sequence, timeouts).await;
        }
    }

    async fn push_one(
        &self,
        socket: &UdpSocket,
        subscriber: &Subscriber,
        sequence: u64,
        timeouts: &mut VecDeque<(Instant, AckKey)>,
    ) {
        let packet = (self.render)(subscriber).and_then(|data| push(&data, sequence));
        let key = (subscriber.address, sequence);
        {
            let mut state = self.state.lock();
            state.total += 1;
            let Some(bytes) = &packet else {
                state.failed += 1;
                return;
            };
            // Remembered before it is sent: the acknowledgement may be quick.
            if state.unacknowledged.len() < UNACKNOWLEDGED_MAX {
                let bytes = Arc::from(bytes.as_slice());
                state.unacknowledged.insert(key, Unacknowledged { bytes, retried: false });
                timeouts.push_back((Instant::now() + ACK_TIMEOUT, key));
            }
        }
        if let Some(bytes) = packet {
            send(socket, &bytes, subscriber.address).await;
        }
    }

    async fn retry_or_give_up(&self, socket: &UdpSocket, timeouts: &mut VecDeque<(Instant, AckKey)>) {
        let now = Instant::now();
        while let Some((due, key)) = timeouts.front().copied()
            && due <= now
        {
            timeouts.pop_front();
            let again = {
                let mut state = self.state.lock();
                match state.unacknowledged.get_mut(&key) {
                    Some(packet) if !packet.retried => {
                        packet.retried = true;
                        Some(packet.bytes.clone())
                    }
                    Some(_) => {
                        state.unacknowledged.remove(&key);
                        state.failed += 1;
                        None
                    }
                    None => None,
                }
            };
            if let Some(bytes) = again {
                send(socket, &bytes, key.0).await;
                timeouts.push_back((now + ACK_TIMEOUT, key));
            }
        }
    }
}

async fn send(socket: &UdpSocket, bytes: &[u8], to: std::net::SocketAddr) {
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
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1 << 40, |since| since.as_micros() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn first_change_goes_at_once_and_the_rest_together_later() {
        let mut pace = Pace::default();
        let service = ServiceId::new("public", "g@@x");
        let start = Instant::now();
        assert!(pace.admit(&service, start));
        assert!(!pace.admit(&service, start + Duration::from_millis(1)));
        assert!(!pace.admit(&service, start + Duration::from_millis(5)));
        assert_eq!(pace.next_due(), Some(start + SPACING));
        assert!(pace.due(start + Duration::from_millis(19)).is_empty());
        assert_eq!(pace.due(start + SPACING), std::slice::from_ref(&service));
        assert!(!pace.admit(&service, start + SPACING + Duration::from_millis(1)), "the packet just sent counts");
        assert_eq!(pace.due(start + SPACING * 2), std::slice::from_ref(&service));
        assert!(pace.admit(&service, start + SPACING * 5));
    }
}
