//! Numbers of instances and how they look on the wire.

use std::sync::Arc;
use std::time::Duration;

use crate::agreement::ring::responsible;
use crate::client::Instance;
use crate::experiment::loopback;

/// Port of every instance; the number of an instance is in its address.
const PORT: u16 = 8080;

/// The official ratio of the time after which an instance counts as unhealthy, and that after which it is removed, to
/// the interval of heartbeats.
const UNHEALTHY_AFTER: u32 = 3;
const REMOVED_AFTER: u32 = 6;

/// Services and instances of a run. Instance `i` belongs to service `i % services`.
#[derive(Debug, Clone)]
pub(crate) struct Population {
    services: Arc<[String]>,
    metadata: String,
}

impl Population {
    /// Services of these names.
    pub(crate) fn new(services: Vec<String>) -> Self {
        Self { services: services.into(), metadata: String::new() }
    }

    /// `count` services that begin with `prefix`, with whoever happens to be responsible.
    pub(crate) fn numbered(prefix: &str, count: u32) -> Self {
        Self::new((0..count).map(|it| format!("{prefix}-{it}")).collect())
    }

    /// `count` services that begin with `prefix`; for service `i`, the member at place `i % members` of the sorted
    /// addresses is responsible while all are well.
    pub(crate) fn spread(prefix: &str, count: u32, addresses: &[&str]) -> Self {
        let mut sorted = addresses.to_vec();
        sorted.sort_unstable();
        let name = |service: u32| {
            let wanted = sorted.get(service as usize % sorted.len().max(1)).copied();
            let mut names = (0..u32::MAX).map(|salt| format!("{prefix}-{service}-{salt}"));
            names.find(|it| wanted.is_none() || responsible(&format!("DEFAULT_GROUP@@{it}"), &sorted) == wanted)
        };
        Self::new((0..count).filter_map(name).collect())
    }

    /// The same with another interval of heartbeats, which the servers are told; both their windows grow alike.
    pub(crate) fn beating_every(mut self, interval: Duration) -> Self {
        let ms = interval.as_millis();
        self.metadata = format!(
            r#"{{"preserved.heart.beat.interval":"{ms}","preserved.heart.beat.timeout":"{}","preserved.ip.delete.timeout":"{}"}}"#,
            ms * u128::from(UNHEALTHY_AFTER),
            ms * u128::from(REMOVED_AFTER),
        );
        self
    }

    pub(crate) fn services(&self) -> u32 {
        self.services.len() as u32
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.services
    }

    pub(crate) fn service_name(&self, service: u32) -> &str {
        self.services.get(service as usize).map_or("", String::as_str)
    }

    /// Instance number `index`: nothing keeps it but its heartbeats.
    pub(crate) fn instance(&self, index: u32) -> Instance {
        Instance {
            service: self.service_name(index % self.services().max(1)).to_owned(),
            ip: loopback(index as usize),
            port: PORT,
            metadata: self.metadata.clone(),
        }
    }

    /// What `ip:port_healthy` of a statuses answer says: the number within its service, and the health.
    pub(crate) fn read_status(&self, text: &str) -> Option<(u32, bool)> {
        let (address, healthy) = text.rsplit_once('_')?;
        let (ip, port) = address.rsplit_once(':')?;
        Some((self.read_address(ip, port.parse().ok()?)?, healthy == "true"))
    }

    /// The number within its service of the instance with this address.
    pub(crate) fn read_address(&self, ip: &str, port: u16) -> Option<u32> {
        (port == PORT).then_some(())?;
        Some(index_of(ip)? / self.services().max(1))
    }
}

/// The number in an address of [`loopback`].
fn index_of(ip: &str) -> Option<u32> {
    let mut parts = ip.split('.').map(|it| it.parse::<u32>().ok());
    let (first, high, middle, low) = (parts.next()??, parts.next()??, parts.next()??, parts.next()??);
    (first == 127).then_some(())?;
    Some((high.checked_sub(16)? * 250 + middle) * 250 + low.checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_survives_the_wire() {
        let population = Population::numbered("t", 20);
        for index in [0, 1, 19, 20, 249, 250, 62_499, 62_500, 1_000_000] {
            let instance = population.instance(index);
            assert_eq!(index_of(&instance.ip), Some(index));
            let status = format!("{}:{}_false", instance.ip, instance.port);
            assert_eq!(population.read_status(&status), Some((index / 20, false)));
        }
        assert_eq!(population.read_status("10.0.0.1:8080_true"), None);
        assert_eq!(population.read_status("127.16.0.1:80_true"), None);
    }

    #[test]
    fn every_member_gets_its_share_of_the_services() {
        let members = ["10.0.0.3:1", "10.0.0.1:1", "10.0.0.2:1"];
        let population = Population::spread("t", 6, &members);
        let owners: Vec<_> = population
            .names()
            .iter()
            .map(|it| responsible(&format!("DEFAULT_GROUP@@{it}"), &members).unwrap())
            .collect();
        assert_eq!(owners, ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"].repeat(2));
    }

    #[test]
    fn the_windows_grow_with_the_interval() {
        let population = Population::numbered("t", 1).beating_every(Duration::from_secs(10));
        let metadata: serde_json::Value = serde_json::from_str(&population.instance(0).metadata).unwrap();
        assert_eq!(metadata["preserved.heart.beat.timeout"], "30000");
        assert_eq!(metadata["preserved.ip.delete.timeout"], "60000");
    }
}
