//! Heartbeats of clients (compat/spec/health-and-push.md §1).

use super::changes::Change;
use super::instance::{HEART_BEAT_INTERVAL, InstanceKey};
use super::registry::Registry;
use super::service::ServiceId;
use crate::clock::now_ms;
use crate::java;

/// The interval told when an instance's own is not a number, ms.
const INTERVAL_DEFAULT: i64 = 5000;

/// A known instance's answer to a beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The instance's own beat interval, ms, when its metadata names one.
    pub interval: Option<i64>,
}

/// Refreshes an instance; one that was unhealthy lives again and that is announced. `None` when it is not known.
/// Persistent instances are known and not refreshed.
pub fn refresh(registry: &Registry, id: &ServiceId, key: &InstanceKey) -> Option<Known> {
    let service = registry.get(id)?;
    registry.update(&service, |state| {
        let mut revived = false;
        if let Some(instance) = state.ephemeral.get_mut(key) {
            instance.last_beat = now_ms();
            revived = !instance.healthy && !instance.marked;
        }
        if revived {
            service.keep_checksum(state);
            if let Some(instance) = state.ephemeral.get_mut(key) {
                instance.healthy = true;
            }
        }
        let known = state.persistent.get(key).or_else(|| state.ephemeral.get(key)).map(|instance| Known {
            interval: instance.meta(HEART_BEAT_INTERVAL).map(|text| {
                let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                java::parse_long(text).ok().filter(|_| digits).unwrap_or(INTERVAL_DEFAULT)
            }),
        });
        (known, Change { health: revived, ..Change::default() })
    })
}
