//! What the changes in a journal come to: everything but the entries themselves, of which it knows where they stand.

use std::collections::VecDeque;

use super::damaged;
use super::record::{Record, encode_start, records};
use crate::raft::core::store::{Change, StoreError, Stored};
use crate::raft::core::{HardState, Index, SnapshotMeta};

/// Where an entry's record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) at: u64,
    pub(super) length: usize,
}

#[derive(Debug)]
pub(super) struct State {
    hard_state: HardState,
    snapshot: SnapshotMeta,
    /// The first entry that counts.
    first: Index,
    last: Index,
    /// Of the last entries, up to the last one. While a journal is read there may be fewer than count.
    places: VecDeque<Place>,
    /// Whether the beginning of a file was read.
    has_begun: bool,
}

impl Default for State {
    fn default() -> Self {
        State {
            hard_state: HardState { newcomer: true, ..HardState::default() },
            snapshot: SnapshotMeta::default(),
            first: 1,
            last: 0,
            places: VecDeque::new(),
            has_begun: false,
        }
    }
}

impl State {
    pub(super) fn stored(&self) -> Stored {
        Stored {
            hard_state: self.hard_state.clone(),
            snapshot: self.snapshot.clone(),
            first_index: self.first,
            last_index: self.last,
        }
    }

    pub(super) fn first(&self) -> Index {
        self.first
    }

    pub(super) fn last(&self) -> Index {
        self.last
    }

    pub(super) fn snapshot(&self) -> &SnapshotMeta {
        &self.snapshot
    }

    /// What a file begins with.
    pub(super) fn encode(&self) -> Vec<u8> {
        encode_start(&self.hard_state, &self.snapshot, self.first, self.last)
    }

    pub(super) fn place(&self, index: Index) -> Option<Place> {
        if index < self.first || index > self.last {
            return None;
        }
        let from_the_end = usize::try_from(self.last - index).ok()?;
        self.places.len().checked_sub(from_the_end + 1).and_then(|at| self.places.get(at)).copied()
    }

    pub(super) fn oldest_segment(&self) -> Option<u64> {
        self.places.front().map(|place| place.segment)
    }

    /// Whether changes can be made: entries follow each other.
    pub(super) fn check_follows(&self, changes: &[Change]) -> Result<(), StoreError> {
        let (mut first, mut last) = (self.first, self.last);
        for change in changes {
            match change {
                Change::Append(entries) => {
                    for entry in entries {
                        if entry.index != last + 1 {
                            return Err(damaged(format!("entry {} is to be written after {last}", entry.index)));
                        }
                        last = entry.index;
                    }
                }
                Change::TruncateSuffix(from) => last = last.min((*from).max(first) - 1),
                Change::TruncatePrefix(new) => first = first.max((*new).min(last + 1)),
                Change::Reset(snapshot) => {
                    (first, last) = (snapshot.last_included_index + 1, snapshot.last_included_index);
                }
                Change::HardState(_) | Change::Snapshot(_) => {}
            }
        }
        Ok(())
    }

    /// Takes in the body of a frame that begins at this place.
    pub(super) fn take(&mut self, segment: u64, at: u64, body: &[u8]) -> Result<(), StoreError> {
        for record in records(body) {
            match record? {
                Record::Start { first, last } => self.start(segment, first, last)?,
                Record::HardState(state) => self.hard_state = state,
                Record::Snapshot(snapshot) => self.snapshot = snapshot,
                Record::Entry { index, offset, length } => {
                    if index != self.last + 1 {
                        return Err(damaged(format!("entry {index} stands where {} should be", self.last + 1)));
                    }
                    self.last = index;
                    self.places.push_back(Place { segment, at: at + offset, length });
                }
                Record::TruncateSuffix(from) => {
                    let last = self.last.min(from.max(self.first).saturating_sub(1));
                    let gone = usize::try_from(self.last - last).unwrap_or(usize::MAX);
                    self.places.truncate(self.places.len().saturating_sub(gone));
                    self.last = last;
                }
                Record::TruncatePrefix(first) => {
                    self.first = self.first.max(first.min(self.last + 1));
                    self.forget();
                }
                Record::Reset(snapshot) => {
                    self.places.clear();
                    (self.first, self.last) = (snapshot.last_included_index + 1, snapshot.last_included_index);
                    self.snapshot = snapshot;
                }
            }
        }
        Ok(())
    }

    /// The beginning of a file: of the oldest one it says where to begin, of any other that none is missing.
    fn start(&mut self, segment: u64, first: Index, last: Index) -> Result<(), StoreError> {
        if !self.has_begun {
            (self.first, self.last, self.has_begun) = (first, last, true);
        }
        if (self.first, self.last) != (first, last) {
            return Err(damaged(format!("what was before the journal {segment} is missing")));
        }
        Ok(())
    }

    fn forget(&mut self) {
        let kept = usize::try_from(self.last + 1 - self.first).unwrap_or(usize::MAX);
        self.places.drain(..self.places.len().saturating_sub(kept));
    }

    /// Whether all entries that count are there.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match usize::try_from(self.last + 1 - self.first) {
            Ok(count) if count == self.places.len() => Ok(()),
            _ => Err(damaged(format!("of the entries {} to {} some are missing", self.first, self.last))),
        }
    }
}
