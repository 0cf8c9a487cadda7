//! Term, vote and log of a group on disk: a journal of changes in files that are only added to.
//!
//! A batch of changes is one frame: all of it is durable or none, after one `fdatasync`. What a crash left half-written
//! is dropped, since nothing was said on the strength of it; what the medium changed behind our back is refused in
//! words, never served. A medium that refuses to write for a while takes nothing away: the same batch can be written
//! when it is willing again.
//!
//! Every file begins with all that counts apart from entries, so that those before it can go as soon as no entry in
//! them is needed; they are all small, so what is read at start is hardly more than the log itself.
//!
//! # Layout
//! - `segment`: the files and their frames
//! - `record`: what the bodies hold: changes, and entries as JRaft keeps them, with checksums
//! - `state`: what all changes come to

mod record;
mod segment;
mod state;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use self::segment::Segment;
use self::state::State;
use super::core::store::{Change, Store, StoreError, Stored};
use super::core::{Configuration, Entry, Index, Payload, Term};

/// A file is followed by the next one when it is as large as this.
const SEGMENT_BYTES: u64 = 8 * 1024 * 1024;
/// What development versions kept the log in.
const FORMER: &str = "log.redb";

/// The store of one group.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    /// The file that is added to; held through a write.
    writer: Mutex<Segment>,
    /// What is durable; never held while the medium works.
    held: Mutex<Held>,
    /// Keeps other processes away as long as it is open.
    _lock: File,
}

#[derive(Debug, Default)]
struct Held {
    state: State,
    files: BTreeMap<u64, Arc<File>>,
}

fn damaged(what: impl Into<String>) -> StoreError {
    StoreError::Damaged(what.into())
}

impl Journal {
    /// Whether there is one in this folder.
    pub fn is_in(folder: &Path) -> bool {
        segment::numbers(folder).is_ok_and(|numbers| !numbers.is_empty())
    }

    /// The store in this folder, made when there is none.
    ///
    /// # Errors
    /// When it cannot be used, or is damaged beyond what can be repaired without losing anything.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let unusable = |error: io::Error| StoreError::Io(format!("{}: {error}", folder.display()));
        fs::create_dir_all(folder).map_err(unusable)?;
        let lock = File::create(folder.join("lock")).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(StoreError::Io(format!("{} is in use by another process", folder.display())));
            }
            Err(fs::TryLockError::Error(error)) => return Err(unusable(error)),
        }
        let numbers = segment::numbers(folder).map_err(unusable)?;
        let Some((last, before)) = numbers.split_last() else {
            if folder.join(FORMER).exists() {
                return Err(StoreError::Io(format!("{} is of a version that is not read any more", folder.display())));
            }
            return Journal::make(folder, lock).map_err(unusable);
        };
        let mut held = Held::default();
        for number in before {
            let (bytes, end) = held.read(folder, *number)?;
            if end < bytes.len() as u64 {
                return Err(damaged(format!("the journal {number} is not what was written from byte {end} on")));
            }
        }
        let (bytes, end) = held.read(folder, *last)?;
        if end == 0 {
            return Err(damaged(format!("the journal {last} has no beginning")));
        }
        if end < bytes.len() as u64 {
            segment::is_cut_off(*last, &bytes, end)?;
            let cut = bytes.len() as u64 - end;
            tracing::warn!(bytes = cut, "what was being written to the raft log when it broke off is dropped");
        }
        held.state.check()?;
        let writer = Mutex::new(Segment::open(folder, *last, end).map_err(unusable)?);
        Ok(Journal { folder: folder.to_owned(), writer, held: Mutex::new(held), _lock: lock })
    }

    fn make(folder: &Path, lock: File) -> io::Result<Self> {
        let mut held = Held::default();
        let segment = Segment::make(folder, 1, &held.state.encode())?;
        held.files.insert(segment.number(), Arc::new(segment.reader()?));
        Ok(Journal { folder: folder.to_owned(), writer: Mutex::new(segment), held: Mutex::new(held), _lock: lock })
    }

    /// Who votes by what is stored; `None` when nothing is.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn configuration(&self) -> Result<Option<Configuration>, StoreError> {
        let (first, last, snapshot) = {
            let held = self.held.lock();
            (held.state.first(), held.state.last(), held.state.snapshot().clone())
        };
        for index in (first..=last).rev() {
            if let Payload::Configuration(configuration) = self.entry(index)?.payload {
                return Ok(Some(configuration));
            }
        }
        Ok((snapshot.last_included_index > 0).then_some(snapshot.configuration))
    }

    fn entry(&self, index: Index) -> Result<Entry, StoreError> {
        let (place, file) = {
            let held = self.held.lock();
            let place = held.state.place(index).ok_or_else(|| damaged(format!("entry {index} is missing")))?;
            let file = held.files.get(&place.segment).ok_or_else(|| damaged(format!("entry {index} is gone")))?;
            (place, Arc::clone(file))
        };
        let mut record = vec![0; place.length];
        file.read_exact_at(&mut record, place.at).map_err(|error| StoreError::Io(format!("entry {index}: {error}")))?;
        record::open_entry(index, &record)
    }

    /// The next file; what counts apart from entries is at its beginning.
    fn next(&self, writer: &mut Segment) -> io::Result<()> {
        let body = self.held.lock().state.encode();
        let next = Segment::make(&self.folder, writer.number() + 1, &body)?;
        self.held.lock().files.insert(next.number(), Arc::new(next.reader()?));
        *writer = next;
        Ok(())
    }

    /// Removes files that hold no entry that is needed, from the oldest on: there are never any missing in between.
    fn remove_old(&self, current: u64) {
        let mut held = self.held.lock();
        let needed = held.state.oldest_segment().unwrap_or(current).min(current);
        while let Some(oldest) = held.files.first_entry().filter(|oldest| *oldest.key() < needed) {
            if let Err(error) = fs::remove_file(segment::path(&self.folder, *oldest.key())) {
                tracing::debug!(%error, number = oldest.key(), "a file of the raft log that is not needed stays");
                return;
            }
            oldest.remove();
        }
    }
}

impl Held {
    /// Takes in a file; what it holds, and up to where that is whole.
    fn read(&mut self, folder: &Path, number: u64) -> Result<(Vec<u8>, u64), StoreError> {
        let path = segment::path(folder, number);
        let unreadable = |error: io::Error| StoreError::Io(format!("{}: {error}", path.display()));
        let bytes = fs::read(&path).map_err(unreadable)?;
        let end = segment::read(number, &bytes, |at, body| self.state.take(number, at, body))?;
        self.files.insert(number, Arc::new(File::open(&path).map_err(unreadable)?));
        Ok((bytes, end))
    }
}

impl Store for Journal {
    fn load(&self) -> Result<Stored, StoreError> {
        Ok(self.held.lock().state.stored())
    }

    fn write(&self, changes: &[Change]) -> Result<(), StoreError> {
        let failed = |error: io::Error| StoreError::Io(format!("{}: {error}", self.folder.display()));
        let mut writer = self.writer.lock();
        self.held.lock().state.check_follows(changes)?;
        if writer.end() >= SEGMENT_BYTES {
            self.next(&mut writer).map_err(failed)?;
        }
        let body = record::encode_changes(changes);
        let at = writer.add(&body).map_err(failed)?;
        self.held.lock().state.take(writer.number(), at, &body)?;
        self.remove_old(writer.number());
        Ok(())
    }

    fn entries(&self, from: Index, to: Index, max_bytes: usize) -> Result<Vec<Entry>, StoreError> {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        let to = to.min(self.held.lock().state.last().max(from));
        for index in from..=to {
            let entry = self.entry(index)?;
            bytes += entry.data_len();
            if bytes > max_bytes && !entries.is_empty() {
                break;
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    fn term_at(&self, index: Index) -> Result<Option<Term>, StoreError> {
        {
            let held = self.held.lock();
            if held.state.place(index).is_none() {
                let snapshot = held.state.snapshot();
                let is_last = snapshot.last_included_index == index && index > 0;
                return Ok(is_last.then_some(snapshot.last_included_term));
            }
        }
        Ok(Some(self.entry(index)?.term))
    }
}

#[cfg(test)]
mod tests;
