//! UDP push: consumers that asked for a list with a `udpPort` are sent the new one when the service changes
//! (compat/spec/health-and-push.md §5).
//!
//! Official nodes collect changes for a second and lose those that arrive while they send. Here the first change goes
//! out at once, what follows within [`SPACING`] goes in one packet, and a change during a send arms the next one.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::registry::Registry;
use super::service::ServiceId;

mod packet;
mod sender;

/// At most one packet per subscriber and service in this time.
pub const SPACING: Duration = Duration::from_millis(20);
/// A packet that is not acknowledged is sent once more after this, and counted as failed after as long again.
const ACK_TIMEOUT: Duration = Duration::from_secs(10);
/// Subscribers that stopped asking are dropped at this pace, and whenever their service is pushed.
const ZOMBIE_SWEEP: Duration = Duration::from_secs(20);
/// Bound on remembered subscriptions: the address they name is not verified, so anybody can add some.
const SUBSCRIBERS_MAX: usize = 100_000;
/// Bound on packets waiting for an acknowledgement.
const UNACKNOWLEDGED_MAX: usize = 100_000;

/// A consumer that wants to be told of a service's changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscriber {
    /// The service; it need not exist.
    pub service: ServiceId,
    /// `clusters` as asked: filters the pushed list.
    pub clusters: String,
    /// `clientIP:udpPort` of the request, never the address it came from.
    pub address: SocketAddr,
    /// `User-Agent`, or `Client-Version` when that was empty: decides how names are written.
    pub agent: String,
    /// `app` of the request.
    pub app: String,
}

/// What makes two requests the same subscription; the same socket may hold several.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct SubscriptionKey {
    clusters: String,
    address: SocketAddr,
    agent: String,
}

#[derive(Debug)]
struct Subscription {
    subscriber: Subscriber,
    asked: Instant,
}

/// A packet that was sent and not acknowledged yet.
#[derive(Debug)]
struct Unacknowledged {
    bytes: Arc<[u8]>,
    retried: bool,
}

#[derive(Debug, Default)]
struct State {
    services: HashMap<ServiceId, IndexMap<SubscriptionKey, Subscription>>,
    subscriptions: usize,
    unacknowledged: HashMap<AckKey, Unacknowledged>,
    total: u64,
    failed: u64,
}

/// An acknowledgement counts only from the socket that was pushed to.
type AckKey = (SocketAddr, u64);

/// Counters of `GET /v1/ns/operator/push/state`.
#[derive(Debug, Clone, PartialEq)]
pub struct PushState {
    /// Packets sent for the first time.
    pub total: u64,
    /// Of these, given up or not acknowledged yet.
    pub failed: u64,
    /// The packets that are not acknowledged yet, as text where they are text.
    pub pending: Vec<String>,
}

/// Writes the list a subscriber is sent: the JSON of `GET /v1/ns/instance/list`; `None` when there is nothing to say.
pub type Renderer = Box<dyn Fn(&Subscriber) -> Option<String> + Send + Sync>;

/// Knows who wants to be told, and tells them.
pub struct PushService {
    registry: Arc<Registry>,
    render: Renderer,
    zombie_after_ms: std::sync::atomic::AtomicU64,
    state: Mutex<State>,
}

impl std::fmt::Debug for PushService {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PushService").field("state", &self.state).finish_non_exhaustive()
    }
}

impl PushService {
    /// A service that pushes nothing until [`PushService::run`].
    pub fn new(registry: Arc<Registry>, render: Renderer) -> Arc<Self> {
        Arc::new(PushService {
            registry,
            render,
            zombie_after_ms: std::sync::atomic::AtomicU64::new(10_000),
            state: Mutex::default(),
        })
    }

    /// Follows the switch `pushCacheMillis`, ms: how long a subscription lives after the consumer last asked.
    pub fn set_zombie_after(&self, millis: u64) {
        self.zombie_after_ms.store(millis, std::sync::atomic::Ordering::Relaxed);
    }

    fn zombie_after(&self) -> Duration {
        Duration::from_millis(self.zombie_after_ms.load(std::sync::atomic::Ordering::Relaxed))
    }

    /// Remembers a consumer, or that it asked again. False when there are too many already.
    pub fn subscribe(&self, subscriber: Subscriber) -> bool {
        let key = SubscriptionKey {
            clusters: subscriber.clusters.clone(),
            address: subscriber.address,
            agent: subscriber.agent.clone(),
        };
        let mut state = self.state.lock();
        let state = &mut *state;
        if let Some(known) = state.services.get_mut(&subscriber.service).and_then(|known| known.get_mut(&key)) {
            known.asked = Instant::now();
            return true;
        }
        if state.subscriptions >= SUBSCRIBERS_MAX {
            return false;
        }
        state.subscriptions += 1;
        let service = state.services.entry(subscriber.service.clone()).or_default();
        service.insert(key, Subscription { subscriber, asked: Instant::now() });
        true
    }

    /// The consumers of a service this node knows of, oldest first, zombies included until they are swept.
    pub fn subscribers(&self, service: &ServiceId) -> Vec<Subscriber> {
        let state = self.state.lock();
        let known = state.services.get(service);
        known.into_iter().flat_map(|known| known.values().map(|one| one.subscriber.clone())).collect()
    }

    /// The consumers of all services that `wanted` names.
    pub fn subscribers_where(&self, wanted: impl Fn(&ServiceId) -> bool) -> Vec<Subscriber> {
        let state = self.state.lock();
        let services = state.services.iter().filter(|(service, _)| wanted(service));
        services.flat_map(|(_, known)| known.values().map(|one| one.subscriber.clone())).collect()
    }

    /// Counters; `detail` adds the packets that wait for an acknowledgement.
    pub fn state(&self, detail: bool) -> PushState {
        let state = self.state.lock();
        let pending = if detail {
            let text = |packet: &Unacknowledged| String::from_utf8_lossy(&packet.bytes).into_owned();
            state.unacknowledged.values().map(text).collect()
        } else {
            Vec::new()
        };
        PushState { total: state.total, failed: state.failed + state.unacknowledged.len() as u64, pending }
    }

    /// Forgets the packets that wait for an acknowledgement, as the official `reset` does.
    pub fn reset(&self) {
        self.state.lock().unacknowledged.clear();
    }

    /// The live subscribers of a service; zombies are dropped on the way.
    fn live(&self, service: &ServiceId) -> Vec<Subscriber> {
        let mut state = self.state.lock();
        self.drop_zombies(&mut state, Some(service));
        let known = state.services.get(service);
        known.into_iter().flat_map(|known| known.values().map(|one| one.subscriber.clone())).collect()
    }

    fn drop_zombies(&self, state: &mut State, only: Option<&ServiceId>) {
        let zombie_after = self.zombie_after();
        let live = |_: &SubscriptionKey, one: &mut Subscription| one.asked.elapsed() <= zombie_after;
        match only {
            Some(service) => {
                let Some(known) = state.services.get_mut(service) else { return };
                known.retain(live);
                if known.is_empty() {
                    state.services.remove(service);
                }
            }
            None => state.services.retain(|_, known| {
                known.retain(live);
                !known.is_empty()
            }),
        }
        state.subscriptions = state.services.values().map(IndexMap::len).sum();
    }
}

/// The address to push to: an empty `clientIP` is loopback, names are looked up by the caller
/// (compat/spec/health-and-push.md §5.1); `None` refuses what would break pushing for others (trap T24).
pub fn address(client_ip: &str, udp_port: u16) -> Option<SocketAddr> {
    let ip = if client_ip.is_empty() { IpAddr::from([127, 0, 0, 1]) } else { client_ip.parse().ok()? };
    (udp_port > 0).then(|| SocketAddr::new(ip, udp_port))
}

#[cfg(test)]
mod tests;
