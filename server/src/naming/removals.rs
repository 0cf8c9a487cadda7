//! Instances that were taken away, remembered for a while.
//!
//! A list from another node may have been written before a removal that is known here. The list itself does not say
//! so: without this memory, such a list would bring the instance back until its beats are missed, 30 s later. A record
//! whose last beat is later than what the removal took into account is another registration, and wins.

use indexmap::IndexMap;

use super::instance::{Instance, InstanceKey};
use super::service::ServiceId;
use crate::flaw::{Flaw, is_broken};

/// How long a removal is remembered, ms. Older records are found nowhere: a node that hears nothing of the owner for so
/// long has taken it for dead (20 s, compat/spec/distro.md §4.1) and seen the instance expire (35 s) since.
const REMEMBERED_MS: i64 = 90_000;
/// Removals remembered for a service; beyond, the oldest go first.
const REMEMBERED_MAX: usize = 1000;
/// Services that are not there whose removals are remembered; beyond, the oldest go first.
const ABSENT_MAX: usize = 1000;

/// One removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Removal {
    /// Records whose last beat is not later are those that were removed, ms since the epoch.
    until: i64,
    /// When it became known here, ms since the epoch.
    at: i64,
    /// Its number among those that became known here.
    number: u64,
}

/// What was removed from a service's ephemeral list, oldest first. No instance is in both.
#[derive(Debug, Clone, Default)]
pub struct Removals {
    removed: IndexMap<InstanceKey, Removal>,
    next: u64,
}

impl Removals {
    /// Remembers that records with a last beat up to `until` were removed. Both times in ms since the epoch.
    pub fn record(&mut self, key: InstanceKey, until: i64, now: i64) {
        if is_broken(Flaw::ForgetsRemovals) {
            return;
        }
        let until = self.removed.shift_remove(&key).map_or(until, |known| known.until.max(until));
        if self.removed.len() >= REMEMBERED_MAX {
            self.removed.shift_remove_index(0);
        }
        self.removed.insert(key, Removal { until, at: now, number: self.next });
        self.next += 1;
    }

    /// Whether this record is one that was removed.
    pub fn covers(&self, record: &Instance) -> bool {
        !self.removed.is_empty() && self.removed.get(&record.key()).is_some_and(|known| record.last_beat <= known.until)
    }

    /// The instance is back. Its last beat is lifted over the removal, that every node may see which was later even if
    /// both fell into one millisecond, or another node's clock was ahead.
    pub fn returned(&mut self, record: &mut Instance) {
        if let Some(known) = self.removed.shift_remove(&record.key()) {
            record.last_beat = record.last_beat.max(known.until + 1);
        }
    }

    /// The list has a later record.
    pub fn outdated(&mut self, key: &InstanceKey) {
        if !self.removed.is_empty() {
            self.removed.shift_remove(key);
        }
    }

    /// Forgets what was removed long ago.
    pub fn forget_old(&mut self, now: i64) {
        self.removed.retain(|_, known| now - known.at < REMEMBERED_MS);
    }

    /// Those that became known here as number `first` or later, with the last beat up to which they reach.
    pub fn since(&self, first: u64) -> impl Iterator<Item = (&InstanceKey, i64)> {
        self.removed.iter().filter(move |(_, known)| known.number >= first).map(|(key, known)| (key, known.until))
    }

    /// The number the next one will have.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty()
    }
}

/// What was removed from services that are not there: cleaned away when they were empty, or not heard of when somebody
/// left them. A peer that was not told may still have the instance and offer it.
#[derive(Debug, Default)]
pub struct Absent(IndexMap<ServiceId, (Removals, i64)>);

impl Absent {
    /// Remembers them until the service is there again; `now` in ms since the epoch.
    pub fn keep(&mut self, id: &ServiceId, removals: Removals, now: i64) {
        while self.0.first().is_some_and(|(_, (_, at))| self.0.len() >= ABSENT_MAX || now - at >= REMEMBERED_MS) {
            self.0.shift_remove_index(0);
        }
        if !removals.is_empty() {
            self.0.shift_remove(id);
            self.0.insert(id.clone(), (removals, now));
        }
    }

    /// Remembers one more.
    pub fn record(&mut self, id: &ServiceId, key: InstanceKey, now: i64) {
        let mut removals = self.take(id);
        removals.record(key, now, now);
        self.keep(id, removals, now);
    }

    /// Whether this removal is remembered.
    #[cfg(test)]
    pub(super) fn remembers(&self, id: &ServiceId, key: &InstanceKey) -> bool {
        self.0.get(id).is_some_and(|(removals, _)| removals.removed.contains_key(key))
    }

    /// The service is there again: these are its own from now on.
    pub fn take(&mut self, id: &ServiceId) -> Removals {
        self.0.shift_remove(id).map(|(removals, _)| removals).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(port: i32, last_beat: i64) -> Instance {
        Instance { ip: "10.0.0.1".to_owned(), port, last_beat, ..Instance::default() }
    }

    #[test]
    fn what_beat_later_was_not_removed() {
        let mut removals = Removals::default();
        removals.record(instance(1, 0).key(), 100, 100);
        assert!(removals.covers(&instance(1, 100)));
        assert!(!removals.covers(&instance(1, 101)) && !removals.covers(&instance(2, 1)));
        // Hearing of an earlier one, too, takes nothing back.
        removals.record(instance(1, 0).key(), 50, 110);
        assert!(removals.covers(&instance(1, 100)));
    }

    #[test]
    fn a_registration_outlives_the_removal_it_follows() {
        let mut removals = Removals::default();
        removals.record(instance(1, 0).key(), 100, 100);
        let other = removals.clone();
        let mut again = instance(1, 100);
        removals.returned(&mut again);
        assert!(removals.is_empty() && !other.covers(&again));
    }

    #[test]
    fn bounded_in_time_and_number() {
        let mut removals = Removals::default();
        for port in 0..2 * REMEMBERED_MAX as i32 {
            removals.record(instance(port, 0).key(), 1, i64::from(port));
        }
        assert_eq!(removals.since(0).count(), REMEMBERED_MAX);
        assert!(removals.covers(&instance(REMEMBERED_MAX as i32, 0)));
        assert_eq!(removals.since(removals.next() - 3).count(), 3);
        removals.forget_old(2 * REMEMBERED_MAX as i64 - 1 + REMEMBERED_MS);
        assert!(removals.is_empty());
    }

    #[test]
    fn absent_services_are_bounded_in_time_and_number() {
        let id = |number: usize| ServiceId::new("public", format!("g@@{number}"));
        let mut absent = Absent::default();
        for number in 0..2 * ABSENT_MAX {
            absent.record(&id(number), instance(1, 0).key(), 5);
        }
        assert_eq!(absent.0.len(), ABSENT_MAX);
        assert!(absent.take(&id(0)).is_empty());
        let kept = absent.take(&id(ABSENT_MAX));
        assert!(kept.covers(&instance(1, 5)) && absent.take(&id(ABSENT_MAX)).is_empty());
        absent.keep(&id(0), Removals::default(), 5 + REMEMBERED_MS);
        assert!(absent.0.is_empty());
    }
}
