//! Who is to be pushed: clients that lately asked for a service with a UDP port
//! (compat/spec/health-and-push.md §5.1).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};

use indexmap::IndexMap;
use parking_lot::Mutex;

use super::service::ServiceId;
use super::validate;
use crate::java;

/// Subscribers kept on one node; further ones are answered like clients that cannot be pushed.
const SUBSCRIBERS_MAX: usize = 200_000;

/// One subscriber of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscriber {
    /// What it subscribed to.
    pub service: ServiceId,
    /// Clusters as asked for, comma separated; the pushed list is filtered by them.
    pub clusters: String,
    /// Where to push to.
    pub address: SocketAddr,
    /// `User-Agent` as sent.
    pub agent: String,
    /// Application name.
    pub app: String,
    /// When it last asked, ms since the epoch.
    pub last_asked: i64,
}

type Key = (String, SocketAddr, String);

/// The subscribers of this node.
#[derive(Debug, Default)]
pub struct Subscribers {
    by_service: Mutex<HashMap<ServiceId, IndexMap<Key, Subscriber>>>,
    count: AtomicUsize,
}

impl Subscribers {
    /// Adds or refreshes; false when there is no room.
    pub fn subscribe(&self, subscriber: Subscriber) -> bool {
        let key = (subscriber.clusters.clone(), subscriber.address, subscriber.agent.clone());
        let mut by_service = self.by_service.lock();
        let known = by_service.entry(subscriber.service.clone()).or_default();
        if !known.contains_key(&key) {
            if self.count.load(Ordering::Relaxed) >= SUBSCRIBERS_MAX {
                return false;
            }
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        known.insert(key, subscriber);
        true
    }

    /// Whether anybody may have to be pushed.
    pub fn any(&self, service: &ServiceId) -> bool {
        self.by_service.lock().contains_key(service)
    }

    /// Those of a service who asked within `max_age` ms; the others are forgotten.
    pub fn of(&self, service: &ServiceId, now: i64, max_age: i64) -> Vec<Subscriber> {
        let mut by_service = self.by_service.lock();
        let Some(known) = by_service.get_mut(service) else { return Vec::new() };
        self.retain(known, now, max_age);
        let live: Vec<Subscriber> = known.values().cloned().collect();
        if live.is_empty() {
            by_service.remove(service);
        }
        live
    }

    /// Forgets everyone who did not ask within `max_age` ms.
    pub fn forget_silent(&self, now: i64, max_age: i64) {
        let mut by_service = self.by_service.lock();
        by_service.retain(|_, known| {
            self.retain(known, now, max_age);
            !known.is_empty()
        });
    }

    fn retain(&self, known: &mut IndexMap<Key, Subscriber>, now: i64, max_age: i64) {
        let before = known.len();
        known.retain(|_, subscriber| now - subscriber.last_asked <= max_age);
        self.count.fetch_sub(before - known.len(), Ordering::Relaxed);
    }

    /// Subscribers whose service's name and group contain the parts of `grouped` and whose namespace begins with
    /// `namespace` (compat/spec/naming-api.md §9.8); those of one service in the order of the official hash table.
    pub fn search(&self, grouped: &str, namespace: &str) -> Vec<Subscriber> {
        let (group, name) = (validate::group_of(grouped), validate::name_of(grouped));
        let by_service = self.by_service.lock();
        let mut services: Vec<(&ServiceId, &IndexMap<Key, Subscriber>)> = by_service
            .iter()
            .filter(|(id, _)| {
                id.namespace.starts_with(namespace)
                    && validate::group_of(&id.name).contains(group)
                    && validate::name_of(&id.name).contains(name)
            })
            .collect();
        services.sort_unstable_by_key(|(id, _)| *id);
        services
            .into_iter()
            .flat_map(|(_, known)| {
                let mut known: Vec<Subscriber> = known.values().cloned().collect();
                // Created for 1024 entries, which rounds up to this.
                let mut capacity = 2048;
                while known.len() * 4 > capacity * 3 {
                    capacity *= 2;
                }
                known.sort_by_cached_key(|subscriber| java::bucket(&subscriber.identity(), capacity));
                known
            })
            .collect()
    }
}

impl Subscriber {
    /// Text by which official Nacos tells subscribers apart.
    fn identity(&self) -> String {
        format!(
            "serviceName: {}, clusters: {}, address: /{}, agent: {}",
            self.service.name, self.clusters, self.address, self.agent
        )
    }
}

/// The address to push to, from the parameters `clientIP` and `udpPort`; an empty address is this host, as Java's
/// resolver has it. Host names are not looked up.
pub fn address(client_ip: &str, udp_port: i32) -> Option<SocketAddr> {
    let port = u16::try_from(udp_port).ok().filter(|port| *port > 0)?;
    let ip = match client_ip {
        "" | "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        text => text.trim_start_matches('[').trim_end_matches(']').parse().ok()?,
    };
    Some(SocketAddr::new(ip, port))
}

/// What the push did, for `operator/push/state`.
#[derive(Debug, Default)]
pub struct PushCount {
    total: AtomicUsize,
    failed: AtomicUsize,
}

impl PushCount {
    /// One packet was sent.
    pub fn sent(&self) {
        self.total.fetch_add(1, Ordering::Relaxed);
    }

    /// One packet was given up.
    pub fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Sent and failed so far.
    pub fn get(&self) -> (usize, usize) {
        (self.total.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }

    /// Starts over.
    pub fn reset(&self) {
        self.total.store(0, Ordering::Relaxed);
        self.failed.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_pushed_at_an_address_that_is_none() {
        let text = |ip, port| address(ip, port).map(|address| address.to_string());
        assert_eq!(text("10.0.0.1", 5000).as_deref(), Some("10.0.0.1:5000"));
        assert_eq!(text("[::1]", 5000).as_deref(), Some("[::1]:5000"));
        assert_eq!(text("", 5000), text("localhost", 5000), "this host, as Java's resolver has it");
        for (ip, port) in [("no.such.host", 5000), ("10.0.0.256", 5000), ("10.0.0.1", 0), ("10.0.0.1", 65_536)] {
            assert_eq!(text(ip, port), None, "{ip}:{port}");
        }
    }
}
