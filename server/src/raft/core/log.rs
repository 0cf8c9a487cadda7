//! The log as the core sees it: the term of every entry, the newest entries themselves, how much of it is durable.
//!
//! Entries that are not durable yet are always here; older ones are read from the store when a peer lags.

use std::collections::VecDeque;

use super::message::{LogId, Ticket};
use super::store::{Store, StoreError, Stored};
use super::types::{Configuration, Entry, Index, Payload, SnapshotMeta, Term};

/// Entries read from the store at once while starting.
const SCAN_BYTES: usize = 4 * 1024 * 1024;

/// The log of one member.
#[derive(Debug)]
pub(super) struct Log {
    /// Where each term starts, ascending; covers all entries.
    terms: Vec<LogId>,
    /// The entry before the first one. Its term is `None` when it is compacted away and no snapshot ends there.
    base: (Index, Option<Term>),
    last: Index,
    snapshot: SnapshotMeta,
    /// Which configuration holds from which entry on, ascending; the first one holds at the base.
    configurations: Vec<(Index, Configuration)>,
    /// The newest entries, up to the last.
    cache: VecDeque<Entry>,
    cache_bytes: usize,
    cache_bytes_max: usize,
    /// Up to where entries are durable.
    persisted: Index,
    /// Per batch given out: up to where entries are durable once it is.
    pending: VecDeque<(Ticket, Index)>,
}

impl Log {
    /// What a store holds. `initial` votes while neither log nor snapshot says who does.
    pub(super) fn load(
        stored: Stored,
        initial: Configuration,
        cache_bytes_max: usize,
        store: &dyn Store,
    ) -> Result<Self, StoreError> {
        let Stored { snapshot, first_index, last_index, .. } = stored;
        let before = first_index.checked_sub(1).ok_or_else(|| damaged("the first index is 0"))?;
        if last_index < before || snapshot.last_included_index > last_index || snapshot.last_included_index < before {
            let at = snapshot.last_included_index;
            return Err(damaged(format!("entries {first_index} to {last_index} do not go with a snapshot of {at}")));
        }
        let base_term = match before {
            0 => Some(0),
            _ if before == snapshot.last_included_index => Some(snapshot.last_included_term),
            _ => store.term_at(before)?,
        };
        let configuration = if snapshot.last_included_index > 0 { snapshot.configuration.clone() } else { initial };
        let mut log = Log {
            terms: Vec::new(),
            base: (before, base_term),
            last: before,
            snapshot,
            configurations: vec![(before, configuration)],
            cache: VecDeque::new(),
            cache_bytes: 0,
            cache_bytes_max,
            persisted: before,
            pending: VecDeque::new(),
        };
        while log.last < last_index {
            for entry in store.entries(log.last + 1, last_index, SCAN_BYTES)? {
                if entry.index != log.last + 1 || entry.term < log.last_id().term {
                    return Err(damaged(format!("entry {} of term {} is out of order", entry.index, entry.term)));
                }
                log.push(entry);
                log.persisted = log.last;
                log.evict();
            }
        }
        let at = log.snapshot.last_included_index;
        if at > before && log.term_at(at) != Some(log.snapshot.last_included_term) {
            return Err(damaged(format!("the log's entry {at} is not the last one of the snapshot")));
        }
        Ok(log)
    }

    pub(super) fn last_id(&self) -> LogId {
        LogId { index: self.last, term: self.term_at(self.last).unwrap_or_default() }
    }

    pub(super) fn last(&self) -> Index {
        self.last
    }

    /// The first entry that is kept.
    pub(super) fn first(&self) -> Index {
        self.base.0 + 1
    }

    pub(super) fn persisted(&self) -> Index {
        self.persisted
    }

    pub(super) fn snapshot(&self) -> &SnapshotMeta {
        &self.snapshot
    }

    /// The term of an entry; 0 before the first entry ever; `None` when it is compacted or not there.
    pub(super) fn term_at(&self, index: Index) -> Option<Term> {
        if index == 0 {
            return Some(0);
        }
        if index == self.base.0 {
            return self.base.1;
        }
        if index < self.base.0 || index > self.last {
            return None;
        }
        let after = self.terms.partition_point(|start| start.index <= index);
        after.checked_sub(1).and_then(|at| self.terms.get(at)).map(|start| start.term)
    }

    /// The newest configuration, committed or not.
    pub(super) fn configuration(&self) -> &Configuration {
        static NONE: Configuration =
            Configuration { peers: Vec::new(), old_peers: Vec::new(), learners: Vec::new(), old_learners: Vec::new() };
        self.configurations.last().map_or(&NONE, |(_, configuration)| configuration)
    }

    /// The configuration that holds as of `index`, and all newer ones.
    pub(super) fn configurations_since(&self, index: Index) -> impl Iterator<Item = &Configuration> {
        let older = self.configurations.iter().rposition(|(at, _)| *at <= index).unwrap_or_default();
        self.configurations.iter().skip(older).map(|(_, configuration)| configuration)
    }

    /// The entry the newest configuration came with.
    pub(super) fn configuration_index(&self) -> Index {
        self.configurations.last().map_or(0, |(index, _)| *index)
    }

    /// What a snapshot at this entry stands for; `None` when the entry is compacted or not there.
    pub(super) fn snapshot_meta(&self, index: Index) -> Option<SnapshotMeta> {
        let term = self.term_at(index)?;
        let configuration = self.configurations.iter().rev().find(|(at, _)| *at <= index)?.1.clone();
        Some(SnapshotMeta { last_included_index: index, last_included_term: term, configuration })
    }

    /// Adds an entry after the last one.
    pub(super) fn push(&mut self, entry: Entry) {
        if self.terms.last().is_none_or(|start| start.term != entry.term) {
            self.terms.push(LogId { index: entry.index, term: entry.term });
        }
        if let Payload::Configuration(configuration) = &entry.payload {
            self.configurations.push((entry.index, configuration.clone()));
        }
        self.last = entry.index;
        self.cache_bytes += entry.data_len();
        self.cache.push_back(entry);
    }

    /// Drops the entry at `from` and all after it.
    pub(super) fn truncate_suffix(&mut self, from: Index) {
        let last = from.saturating_sub(1).max(self.base.0);
        while self.cache.back().is_some_and(|entry| entry.index > last) {
            self.cache_bytes -= self.cache.pop_back().map_or(0, |entry| entry.data_len());
        }
        self.terms.retain(|start| start.index <= last);
        self.configurations.retain(|(index, _)| *index <= last);
        self.last = last;
        self.persisted = self.persisted.min(last);
        for (_, persisted) in &mut self.pending {
            *persisted = (*persisted).min(last);
        }
    }

    /// Forgets the entries before `first`, which are in a snapshot.
    pub(super) fn truncate_prefix(&mut self, first: Index) {
        let base = first.saturating_sub(1).min(self.last);
        if base <= self.base.0 {
            return;
        }
        let holding = self.configurations.iter().rev().find(|(index, _)| *index <= base).cloned();
        self.base = (base, self.term_at(base));
        let of_first = self.term_at(first);
        self.terms.retain(|start| start.index > first);
        if let Some(term) = of_first {
            self.terms.insert(0, LogId { index: first, term });
        }
        self.configurations.retain(|(index, _)| *index > base);
        if let Some((_, configuration)) = holding {
            self.configurations.insert(0, (base, configuration));
        }
        while self.cache.front().is_some_and(|entry| entry.index <= base) {
            self.cache_bytes -= self.cache.pop_front().map_or(0, |entry| entry.data_len());
        }
    }

    /// Notes a newer snapshot; entries stay.
    pub(super) fn set_snapshot(&mut self, meta: SnapshotMeta) {
        self.snapshot = meta;
    }

    /// Starts again behind a snapshot that replaces everything.
    pub(super) fn reset(&mut self, meta: SnapshotMeta) {
        let SnapshotMeta { last_included_index: base, last_included_term: term, .. } = meta;
        self.terms.clear();
        self.base = (base, Some(term));
        self.last = base;
        self.configurations = vec![(base, meta.configuration.clone())];
        self.snapshot = meta;
        self.cache.clear();
        self.cache_bytes = 0;
        // What is in it is durable before it is told of here.
        self.persisted = base;
        self.pending.clear();
    }

    /// A batch was given out; when it is durable, all entries up to now are.
    pub(super) fn given_out(&mut self, ticket: Ticket) {
        self.pending.push_back((ticket, self.last));
    }

    /// All batches up to this one are durable.
    pub(super) fn persisted_up_to(&mut self, ticket: Ticket) {
        while let Some((at, index)) = self.pending.front().copied()
            && at <= ticket
        {
            self.persisted = self.persisted.max(index);
            self.pending.pop_front();
        }
        self.evict();
    }

    fn evict(&mut self) {
        while self.cache_bytes > self.cache_bytes_max
            && self.cache.front().is_some_and(|entry| entry.index <= self.persisted)
        {
            self.cache_bytes -= self.cache.pop_front().map_or(0, |entry| entry.data_len());
        }
    }

    /// Bytes of entries in memory, which are those that are not durable and a bounded number of others.
    pub(super) fn bytes(&self) -> usize {
        self.cache_bytes
    }

    /// Entries from `from` up to and including `to`: at most so many, and so many bytes, but at least one if any.
    pub(super) fn entries(
        &self,
        from: Index,
        to: Index,
        entries_max: usize,
        bytes_max: usize,
        store: &dyn Store,
    ) -> Result<Vec<Entry>, StoreError> {
        let to = to.min(self.last);
        if from > to {
            return Ok(Vec::new());
        }
        let to = to.min(from.saturating_add(u64::try_from(entries_max).unwrap_or(u64::MAX)) - 1);
        let cached = self.cache.front().map_or(self.last + 1, |entry| entry.index);
        if from < cached {
            return store.entries(from, to.min(cached - 1), bytes_max);
        }
        let mut bytes = 0;
        let skipped = usize::try_from(from - cached).unwrap_or(usize::MAX);
        let wanted = self.cache.iter().skip(skipped).take_while(|entry| entry.index <= to);
        // The bound is looked at before an entry is added, as official leaders do: one may go beyond.
        let within = wanted.take_while(|entry| {
            let fits = bytes < bytes_max.max(1);
            bytes += entry.data_len();
            fits
        });
        Ok(within.cloned().collect())
    }
}

fn damaged(what: impl Into<String>) -> StoreError {
    StoreError::Damaged(what.into())
}
