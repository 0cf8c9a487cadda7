//! When two nodes hold the same record of an instance, and the same list of them.
//!
//! The checksum of official nodes covers a part of the record only (compat/spec/distro.md §3). Here everything counts
//! but the last beat, which nodes other than the responsible one are not told of while nothing else changes. Whole lists
//! are gone through for every message, and after a partition all of them at once, so that the hash is a quick one; who
//! may register can do more harm than a collision does.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _};
use twox_hash::XxHash3_64;

use crate::naming::instance::Instance;

/// A record: equal ones are the same in everything that is replicated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Fingerprint(u64);

impl Fingerprint {
    pub(super) fn of(instance: &Instance) -> Self {
        let mut bytes = Vec::with_capacity(384);
        // With its length before each part, so that no two records run together to the same bytes.
        let mut part = |part: &[u8]| {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part);
        };
        part(instance.ip.as_bytes());
        part(&instance.port.to_le_bytes());
        part(instance.cluster_name.as_bytes());
        part(instance.service_name.as_bytes());
        // As it travels: there is one "NaN".
        let weight = if instance.weight.is_nan() { f64::NAN } else { instance.weight };
        part(&weight.to_bits().to_le_bytes());
        part(&[instance.healthy, instance.enabled, instance.ephemeral, instance.marked].map(u8::from));
        for text in [&instance.instance_id, &instance.app, &instance.tenant] {
            part(&[u8::from(text.is_some())]);
            part(text.as_deref().unwrap_or_default().as_bytes());
        }
        // Missing metadata becomes empty metadata on the way.
        for (key, value) in instance.metadata.iter().flatten() {
            part(key.as_bytes());
            part(value.as_bytes());
        }
        Fingerprint(XxHash3_64::oneshot(&bytes))
    }
}

/// As it travels, here and below.
impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Borrowed: a message has one per instance, and digits need no escapes.
        let text = <&str>::deserialize(deserializer)?;
        u64::from_str_radix(text, 16).map(Self).map_err(D::Error::custom)
    }
}

/// A list, in whatever order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Digest {
    count: usize,
    sum: u64,
}

impl FromIterator<Fingerprint> for Digest {
    fn from_iter<T: IntoIterator<Item = Fingerprint>>(fingerprints: T) -> Self {
        fingerprints.into_iter().fold(Digest::default(), |digest, one| Digest {
            count: digest.count + 1,
            sum: digest.sum.wrapping_add(one.0),
        })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{:016x}", self.count, self.sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_the_last_beat_counts() {
        let one = Instance { ip: "10.0.0.1".to_owned(), port: 80, ..Instance::default() };
        let same = [Instance { last_beat: 7, ..one.clone() }, Instance { metadata: None, ..one.clone() }];
        assert!(same.iter().all(|other| Fingerprint::of(other) == Fingerprint::of(&one)));
        let metadata = |pairs: &[(&str, &str)]| {
            Some(pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect())
        };
        let others = [
            Instance { ip: "10.0.0.18".to_owned(), port: 0, ..one.clone() },
            Instance { port: 81, ..one.clone() },
            Instance { cluster_name: "c".to_owned(), ..one.clone() },
            Instance { service_name: "s".to_owned(), ..one.clone() },
            Instance { weight: 1.5, ..one.clone() },
            Instance { healthy: false, ..one.clone() },
            Instance { enabled: false, ..one.clone() },
            Instance { ephemeral: false, ..one.clone() },
            Instance { marked: true, ..one.clone() },
            Instance { instance_id: Some(String::new()), ..one.clone() },
            Instance { app: Some(String::new()), ..one.clone() },
            Instance { tenant: Some(String::new()), ..one.clone() },
            Instance { metadata: metadata(&[("a", "b"), ("c", "d")]), ..one.clone() },
            Instance { metadata: metadata(&[("c", "d"), ("a", "b")]), ..one.clone() },
            Instance { metadata: metadata(&[("ab", ""), ("c", "d")]), ..one.clone() },
        ];
        let mut all: Vec<_> = others.iter().chain([&one]).map(Fingerprint::of).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), others.len() + 1);
    }

    #[test]
    fn order_does_not_count_but_number_does() {
        let digest = |list: &[u64]| list.iter().copied().map(Fingerprint).collect::<Digest>();
        assert_eq!(digest(&[1, 2, 3]), digest(&[3, 1, 2]));
        assert_ne!(digest(&[1, 2]), digest(&[3]));
        assert_eq!(digest(&[u64::MAX, 2]).to_string(), "2-0000000000000001");
    }
}
