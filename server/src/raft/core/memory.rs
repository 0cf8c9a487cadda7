//! A store in memory, for tests. What is written to it counts as durable.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::store::{Change, Store, StoreError, Stored};
use super::types::{Entry, Index, Term};

/// Log, term and vote in memory.
#[derive(Debug)]
pub(crate) struct MemoryStore {
    inner: Mutex<(Stored, Vec<Entry>)>,
    /// Refuses to write, as a full disk does.
    pub(crate) full: AtomicBool,
}

impl Default for MemoryStore {
    fn default() -> Self {
        let stored = Stored { first_index: 1, ..Stored::default() };
        MemoryStore { inner: Mutex::new((stored, Vec::new())), full: AtomicBool::default() }
    }
}

impl Store for MemoryStore {
    fn load(&self) -> Result<Stored, StoreError> {
        Ok(self.inner.lock().0.clone())
    }

    fn write(&self, changes: &[Change]) -> Result<(), StoreError> {
        if self.full.load(Ordering::Relaxed) {
            return Err(StoreError::Io("no space left".to_owned()));
        }
        let mut inner = self.inner.lock();
        let (stored, entries) = &mut *inner;
        for change in changes {
            match change {
                Change::HardState(hard_state) => stored.hard_state = hard_state.clone(),
                Change::Append(new) => {
                    for entry in new {
                        assert_eq!(entry.index, stored.last_index + 1, "entries have no gaps");
                        stored.last_index = entry.index;
                        entries.push(entry.clone());
                    }
                }
                Change::TruncateSuffix(from) => {
                    assert!(*from > stored.snapshot.last_included_index, "committed entries stay");
                    entries.retain(|entry| entry.index < *from);
                    stored.last_index = stored.last_index.min(from - 1);
                }
                Change::TruncatePrefix(first) => {
                    assert!(*first <= stored.snapshot.last_included_index + 1, "only what is in a snapshot goes");
                    entries.retain(|entry| entry.index >= *first);
                    stored.first_index = stored.first_index.max(*first);
                }
                Change::Snapshot(meta) => stored.snapshot = meta.clone(),
                Change::Reset(meta) => {
                    entries.clear();
                    stored.first_index = meta.last_included_index + 1;
                    stored.last_index = meta.last_included_index;
                    stored.snapshot = meta.clone();
                }
            }
        }
        Ok(())
    }

    fn entries(&self, from: Index, to: Index, max_bytes: usize) -> Result<Vec<Entry>, StoreError> {
        let inner = self.inner.lock();
        let (stored, entries) = &*inner;
        if from < stored.first_index || to > stored.last_index {
            return Err(StoreError::Damaged(format!("{from} to {to} is not within the log")));
        }
        let mut bytes = 0;
        let skipped = usize::try_from(from - stored.first_index).unwrap_or(usize::MAX);
        let wanted = entries.iter().skip(skipped).take_while(|entry| entry.index <= to);
        let within = wanted.take_while(|entry| {
            let fits = bytes < max_bytes.max(1);
            bytes += entry.data_len();
            fits
        });
        Ok(within.cloned().collect())
    }

    fn term_at(&self, index: Index) -> Result<Option<Term>, StoreError> {
        let inner = self.inner.lock();
        let (stored, entries) = &*inner;
        if index == stored.snapshot.last_included_index {
            return Ok(Some(stored.snapshot.last_included_term));
        }
        let at = index.checked_sub(stored.first_index).and_then(|at| usize::try_from(at).ok());
        Ok(at.and_then(|at| entries.get(at)).map(|entry| entry.term))
    }
}
