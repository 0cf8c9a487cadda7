//! When a service may be pushed next: at once, then not again for a moment.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use crate::naming::service::ServiceId;

/// At most one packet per subscriber and service in this time.
pub(super) const SPACING: Duration = Duration::from_millis(20);

/// When services may be pushed next, and which wait for that.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When a service was pushed last, or will be: in the future only while it waits.
    last: HashMap<ServiceId, Instant>,
    waiting: BTreeMap<Instant, Vec<ServiceId>>,
}

impl Pace {
    /// True when the service may be pushed now; otherwise it is remembered for when it may.
    pub(super) fn admit(&mut self, service: &ServiceId, now: Instant) -> bool {
        let Some(last) = self.last.get_mut(service) else {
            self.last.insert(service.clone(), now);
            return true;
        };
        let next = *last + SPACING;
        if next <= now {
            *last = now;
            return true;
        }
        if *last <= now {
            *last = next;
            self.waiting.entry(next).or_default().push(service.clone());
        }
        false
    }

    /// When the first waiting service may be pushed.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.keys().next().copied()
    }

    /// Takes the services whose time has come.
    pub(super) fn due(&mut self, now: Instant) -> Vec<ServiceId> {
        let later = self.waiting.split_off(&(now + Duration::from_nanos(1)));
        std::mem::replace(&mut self.waiting, later).into_values().flatten().collect()
    }

    /// Forgets services that were not pushed since.
    pub(super) fn forget_before(&mut self, instant: Instant) {
        self.last.retain(|_, last| *last >= instant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
