//! Numbers of instances and how they look on the wire.

use crate::client::Instance;
use crate::experiment::loopback;

/// Port of every instance; the number of an instance is in its address.
const PORT: u16 = 8080;

/// Names of a run's services and instances.
#[derive(Debug, Clone)]
pub(super) struct Population {
    pub(super) tag: String,
    pub(super) services: u32,
}

impl Population {
    pub(super) fn service_name(&self, service: u32) -> String {
        format!("{}-recovery-{service}", self.tag)
    }

    /// Instance number `index`, with the default timeouts: nothing keeps it but its heartbeats.
    pub(super) fn instance(&self, index: u32) -> Instance {
        Instance {
            service: self.service_name(index % self.services.max(1)),
            ip: loopback(index as usize),
            port: PORT,
            metadata: String::new(),
        }
    }

    /// What `ip:port_healthy` of a statuses answer says: the number within its service, and the health.
    pub(super) fn read_status(&self, text: &str) -> Option<(u32, bool)> {
        let (address, healthy) = text.rsplit_once('_')?;
        let (ip, port) = address.rsplit_once(':')?;
        if port.parse() != Ok(PORT) {
            return None;
        }
        Some((index_of(ip)? / self.services.max(1), healthy == "true"))
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
        let population = Population { tag: "t".into(), services: 20 };
        for index in [0, 1, 19, 20, 249, 250, 62_499, 62_500, 1_000_000] {
            let instance = population.instance(index);
            assert_eq!(index_of(&instance.ip), Some(index));
            let status = format!("{}:{}_false", instance.ip, instance.port);
            assert_eq!(population.read_status(&status), Some((index / 20, false)));
        }
        assert_eq!(population.read_status("10.0.0.1:8080_true"), None);
        assert_eq!(population.read_status("127.16.0.1:80_true"), None);
    }
}
