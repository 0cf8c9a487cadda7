//! Term, vote and log of a group on disk, in one file of `redb`.
//!
//! A batch of changes is one transaction: all of it is durable or none, after one fsync. Measured beside a plain file
//! with `fdatasync` per batch, transactions cost between 1.0 times (one entry) and 1.7 times (64 entries) as much, which
//! does not pay for a log format of our own. What `redb` does not do is look at checksums while it reads, so every
//! record carries one: what the medium changed behind our back is refused in words, never served.
//!
//! # Layout
//! - [`record`]: records with their checksums; entries as JRaft keeps them
//! - [`mod@file`]: the file itself: made whole or not at all, opened, repaired

pub mod file;
pub mod record;

use std::path::Path;

use parking_lot::Mutex;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, Table, TableDefinition};

use self::record::{Bounds, open_record, seal_record};
use super::core::store::{Change, Store, StoreError, Stored};
use super::core::{Configuration, Entry, HardState, Index, Payload, SnapshotMeta, Term};

const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const HARD_STATE: &str = "term and vote";
const SNAPSHOT: &str = "snapshot";
const BOUNDS: &str = "first and last";
/// Entries no longer needed that go with one batch of changes.
const REMOVED_AT_ONCE: usize = 256;

/// The store of one group.
#[derive(Debug)]
pub struct RedbStore {
    database: Database,
    /// As of the last transaction; the lock is held through a transaction.
    bounds: Mutex<Option<Bounds>>,
}

fn io(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Corrupted(what) => StoreError::Damaged(what),
        other => StoreError::Io(other.to_string()),
    }
}

fn damaged(what: impl Into<String>) -> StoreError {
    StoreError::Damaged(what.into())
}

impl RedbStore {
    /// The store in this folder, made when there is none.
    ///
    /// # Errors
    /// When it cannot be used, or is damaged beyond what can be repaired without losing anything.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        Ok(RedbStore { database: file::open(folder)?, bounds: Mutex::default() })
    }

    /// In a database that is open already, with its tables.
    #[cfg(test)]
    fn new(database: Database) -> Self {
        RedbStore { database, bounds: Mutex::default() }
    }

    /// Who votes by what is stored; `None` when nothing is.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn configuration(&self) -> Result<Option<Configuration>, StoreError> {
        let table = self.database.begin_read().map_err(io)?.open_table(LOG).map_err(io)?;
        for row in table.iter().map_err(io)?.rev() {
            let (index, value) = row.map_err(io)?;
            if let Payload::Configuration(configuration) = record::open_entry(index.value(), value.value())?.payload {
                return Ok(Some(configuration));
            }
        }
        let snapshot = self.snapshot()?;
        Ok((snapshot.last_included_index > 0).then_some(snapshot.configuration))
    }

    fn meta(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let table = self.database.begin_read().map_err(io)?.open_table(META).map_err(io)?;
        let Some(record) = table.get(name).map_err(io)? else { return Ok(None) };
        open_record(record.value(), name.as_bytes()).map(|body| Some(body.to_vec()))
    }

    fn bounds(&self) -> Result<Bounds, StoreError> {
        self.meta(BOUNDS)?.map_or(Ok(Bounds { first: 1, last: 0 }), |body| Bounds::decode(&body))
    }

    fn snapshot(&self) -> Result<SnapshotMeta, StoreError> {
        self.meta(SNAPSHOT)?.map_or_else(|| Ok(SnapshotMeta::default()), |body| record::decode_snapshot(&body))
    }
}

impl Store for RedbStore {
    fn load(&self) -> Result<Stored, StoreError> {
        let bounds = self.bounds()?;
        let stored = Stored {
            hard_state: match self.meta(HARD_STATE)? {
                Some(body) => record::decode_hard_state(&body)?,
                None => HardState { newcomer: true, ..HardState::default() },
            },
            snapshot: self.snapshot()?,
            first_index: bounds.first,
            last_index: bounds.last,
        };
        // Every entry is looked at once, here: what is found later could only stop a member that others count on.
        let table = self.database.begin_read().map_err(io)?.open_table(LOG).map_err(io)?;
        let mut expected = bounds.first;
        for row in table.range(bounds.first..).map_err(io)? {
            let (index, value) = row.map_err(io)?;
            if index.value() != expected {
                return Err(damaged(format!("entry {} stands where {expected} should be", index.value())));
            }
            record::open_entry(index.value(), value.value())?;
            expected += 1;
        }
        if expected != bounds.last + 1 {
            return Err(damaged(format!("entries {expected} to {} are missing", bounds.last)));
        }
        *self.bounds.lock() = Some(bounds);
        Ok(stored)
    }

    fn write(&self, changes: &[Change]) -> Result<(), StoreError> {
        let mut bounds = self.bounds.lock();
        let mut after = match *bounds {
            Some(bounds) => bounds,
            None => self.bounds()?,
        };
        let transaction = self.database.begin_write().map_err(io)?;
        {
            let mut log = transaction.open_table(LOG).map_err(io)?;
            let mut meta = transaction.open_table(META).map_err(io)?;
            for change in changes {
                apply(change, &mut after, &mut log, &mut meta)?;
            }
            put_meta(&mut meta, BOUNDS, &after.encode())?;
            remove_old(&mut log, after.first)?;
        }
        transaction.commit().map_err(io)?;
        *bounds = Some(after);
        Ok(())
    }

    fn entries(&self, from: Index, to: Index, max_bytes: usize) -> Result<Vec<Entry>, StoreError> {
        let table = self.database.begin_read().map_err(io)?.open_table(LOG).map_err(io)?;
        let (mut entries, mut bytes, mut expected) = (Vec::new(), 0, from);
        for row in table.range(from..=to).map_err(io)? {
            let (index, value) = row.map_err(io)?;
            let entry = record::open_entry(index.value(), value.value())?;
            if index.value() != expected {
                return Err(damaged(format!("entry {expected} is missing")));
            }
            bytes += entry.data_len();
            if bytes > max_bytes && !entries.is_empty() {
                break;
            }
            entries.push(entry);
            expected += 1;
        }
        if entries.is_empty() && from <= to {
            return Err(damaged(format!("entry {from} is missing")));
        }
        Ok(entries)
    }

    fn term_at(&self, index: Index) -> Result<Option<Term>, StoreError> {
        let table = self.database.begin_read().map_err(io)?.open_table(LOG).map_err(io)?;
        if let Some(value) = table.get(index).map_err(io)? {
            return Ok(Some(record::open_entry(index, value.value())?.term));
        }
        let snapshot = self.snapshot()?;
        Ok((snapshot.last_included_index == index && index > 0).then_some(snapshot.last_included_term))
    }
}

/// Removes entries that a snapshot took the place of, some at a time: a long log is not to hold up who waits behind it.
fn remove_old(log: &mut Table<'_, u64, &'static [u8]>, first: Index) -> Result<(), StoreError> {
    for _ in 0..REMOVED_AT_ONCE {
        match log.first().map_err(io)? {
            Some((index, _)) if index.value() < first => {}
            _ => break,
        }
        log.pop_first().map_err(io)?;
    }
    Ok(())
}

fn put_meta(
    meta: &mut Table<'_, &'static str, &'static [u8]>,
    name: &'static str,
    body: &[u8],
) -> Result<(), StoreError> {
    let record = seal_record(body, name.as_bytes());
    meta.insert(name, record.as_slice()).map_err(io)?;
    Ok(())
}

fn apply(
    change: &Change,
    bounds: &mut Bounds,
    log: &mut Table<'_, u64, &'static [u8]>,
    meta: &mut Table<'_, &'static str, &'static [u8]>,
) -> Result<(), StoreError> {
    match change {
        Change::HardState(state) => put_meta(meta, HARD_STATE, &record::encode_hard_state(state))?,
        Change::Append(entries) => {
            for entry in entries {
                if entry.index != bounds.last + 1 {
                    return Err(damaged(format!("entry {} is to be written after {}", entry.index, bounds.last)));
                }
                log.insert(entry.index, record::seal_entry(entry).as_slice()).map_err(io)?;
                bounds.last = entry.index;
            }
        }
        Change::TruncateSuffix(from) => {
            let from = (*from).max(bounds.first);
            log.retain_in(from.., |_, _| false).map_err(io)?;
            bounds.last = bounds.last.min(from - 1);
        }
        Change::TruncatePrefix(first) => {
            // The entries go bit by bit.
            bounds.first = bounds.first.max((*first).min(bounds.last + 1));
        }
        Change::Snapshot(snapshot) => put_meta(meta, SNAPSHOT, &record::encode_snapshot(snapshot))?,
        Change::Reset(snapshot) => {
            put_meta(meta, SNAPSHOT, &record::encode_snapshot(snapshot))?;
            log.retain(|_, _| false).map_err(io)?;
            *bounds = Bounds { first: snapshot.last_included_index + 1, last: snapshot.last_included_index };
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
