//! Who is to be pushed, as the API shows them; they are kept by the push itself (compat/spec/naming-api.md §9.8).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::push::{PushService, Subscriber};
use super::service::ServiceId;
use super::validate;
use crate::java;

/// Subscribers whose service's name and group contain the parts of `grouped` and whose namespace begins with
/// `namespace` (compat/spec/naming-api.md §9.8); those of one service in the order of the official hash table.
pub fn search(push: &PushService, grouped: &str, namespace: &str) -> Vec<Subscriber> {
    let (group, name) = (validate::group_of(grouped), validate::name_of(grouped));
    let found = push.subscribers_where(|id| {
        id.namespace.starts_with(namespace)
            && validate::group_of(&id.name).contains(group)
            && validate::name_of(&id.name).contains(name)
    });
    let mut by_service: BTreeMap<ServiceId, Vec<Subscriber>> = BTreeMap::new();
    for subscriber in found {
        by_service.entry(subscriber.service.clone()).or_default().push(subscriber);
    }
    for known in by_service.values_mut() {
        // Created for 1024 entries, which rounds up to this.
        let mut capacity = 2048;
        while known.len() * 4 > capacity * 3 {
            capacity *= 2;
        }
        known.sort_by_cached_key(|subscriber| java::bucket(&identity(subscriber), capacity));
    }
    by_service.into_values().flatten().collect()
}

/// Text by which official Nacos tells subscribers apart.
fn identity(subscriber: &Subscriber) -> String {
    format!(
        "serviceName: {}, clusters: {}, address: /{}, agent: {}",
        subscriber.service.name, subscriber.clusters, subscriber.address, subscriber.agent
    )
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
