//! Snapshots of `naming_persistent_service` in the official form: a folder with `naming_persistent.zip` and a record of
//! files and checksums, which official members load and this node loads from them (compat/spec/jraft.md §5, §7).
//!
//! # Layout
//! - [`archive`]: the zip file and its checksum
//! - [`meta`]: the record beside it
//! - `receive`: one that comes from the leader
//!
//! A snapshot is written aside and takes its name in one step; what is found half-written at start is removed.

pub mod archive;
pub mod meta;
mod receive;

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use self::meta::FilesMeta;
use super::core::store::{Chunk, Incoming, Snapshots, StoreError};
use super::core::{Index, SnapshotMeta};
use super::naming_state::KeyValues;

/// The record of files and checksums, as it is asked for over the network and named on disk.
pub const META_FILE: &str = "__raft_snapshot_meta";
/// The one file of this group.
pub const ARCHIVE_FILE: &str = "naming_persistent.zip";
const PREFIX: &str = "snapshot_";
const WRITING: &str = "temp";
/// The latest and the one before: a follower may be reading that one.
const KEPT: usize = 2;
/// More than a caller may ask for at once; official members ask for 128 KiB.
const CHUNK_MAX: usize = 1024 * 1024;

/// The snapshots of this node.
#[derive(Debug)]
pub struct Archive {
    folder: PathBuf,
    /// One change of the folder at a time.
    changing: Arc<Mutex<()>>,
}

fn failed(what: &str, path: &Path, error: &io::Error) -> StoreError {
    StoreError::Io(format!("{what} {}: {error}", path.display()))
}

impl Archive {
    /// In this folder, which is made; what was left unfinished in it is removed.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let folder = folder.into();
        fs::create_dir_all(&folder).map_err(|error| failed("cannot make", &folder, &error))?;
        let archive = Archive { folder, changing: Arc::default() };
        for entry in archive.names()? {
            if entry.strip_prefix(PREFIX).and_then(|index| index.parse::<Index>().ok()).is_none() {
                archive.remove(&archive.folder.join(entry));
            }
        }
        Ok(archive)
    }

    /// Writes a snapshot of these keys and values and makes it the latest one.
    ///
    /// # Errors
    /// When it could not; the former one stays.
    pub fn save(&self, meta: &SnapshotMeta, held: &KeyValues) -> Result<(), StoreError> {
        let _changing = self.changing.lock();
        let aside = self.folder.join(WRITING);
        self.remove(&aside);
        fs::create_dir(&aside).map_err(|error| failed("cannot make", &aside, &error))?;
        let path = aside.join(ARCHIVE_FILE);
        let checksum = archive::write(&path, held).map_err(|error| failed("cannot write", &path, &error))?;
        let record = FilesMeta::new(meta, &[(ARCHIVE_FILE, &checksum)]);
        self.put_in_place(&aside, meta.last_included_index, &record)
    }

    /// The latest snapshot and what is in it.
    ///
    /// # Errors
    /// When it cannot be read or is damaged: then it is served to nobody.
    pub fn load(&self) -> Result<Option<(SnapshotMeta, KeyValues)>, StoreError> {
        let Some((folder, record)) = self.newest()? else { return Ok(None) };
        let meta = record.snapshot()?;
        verify(&folder, &record)?;
        let path = folder.join(ARCHIVE_FILE);
        let held = archive::read(&path)
            .map_err(|error| StoreError::Damaged(format!("the snapshot {} cannot be read: {error}", path.display())))?;
        Ok(Some((meta, held)))
    }

    /// Makes a folder that is complete the latest snapshot. The record goes into it last.
    fn put_in_place(&self, aside: &Path, index: Index, record: &FilesMeta) -> Result<(), StoreError> {
        let path = aside.join(META_FILE);
        let write = || -> io::Result<()> {
            let mut file = File::create(&path)?;
            file.write_all(&record.to_disk())?;
            file.sync_all()?;
            File::open(aside)?.sync_all()
        };
        write().map_err(|error| failed("cannot write", &path, &error))?;
        let place = self.folder.join(format!("{PREFIX}{index}"));
        // Of the same index, hence of the same content.
        self.remove(&place);
        fs::rename(aside, &place).map_err(|error| failed("cannot put in place", &place, &error))?;
        let sync = File::open(&self.folder).and_then(|folder| folder.sync_all());
        sync.map_err(|error| failed("cannot make durable", &self.folder, &error))?;
        for index in self.indices()?.into_iter().rev().skip(KEPT) {
            self.remove(&self.folder.join(format!("{PREFIX}{index}")));
        }
        Ok(())
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        let unreadable = |error| failed("cannot read", &self.folder, &error);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(unreadable)? {
            names.extend(entry.map_err(unreadable)?.file_name().into_string());
        }
        Ok(names)
    }

    /// Of the snapshots there are, ascending.
    fn indices(&self) -> Result<Vec<Index>, StoreError> {
        let index = |name: String| name.strip_prefix(PREFIX)?.parse::<Index>().ok();
        let mut indices: Vec<Index> = self.names()?.into_iter().filter_map(index).collect();
        indices.sort_unstable();
        Ok(indices)
    }

    fn newest(&self) -> Result<Option<(PathBuf, FilesMeta)>, StoreError> {
        let Some(index) = self.indices()?.pop() else { return Ok(None) };
        let folder = self.folder.join(format!("{PREFIX}{index}"));
        let record = self.record(index)?.ok_or_else(|| {
            StoreError::Damaged(format!("the snapshot {} has no record of its files", folder.display()))
        })?;
        Ok(Some((folder, record)))
    }

    fn record(&self, index: Index) -> Result<Option<FilesMeta>, StoreError> {
        let path = self.folder.join(format!("{PREFIX}{index}")).join(META_FILE);
        match fs::read(&path) {
            Ok(bytes) => FilesMeta::from_disk(&bytes)
                .map(Some)
                .map_err(|error| StoreError::Damaged(format!("{} cannot be read: {error}", path.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("cannot read", &path, &error)),
        }
    }

    fn remove(&self, path: &Path) {
        let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        if let Err(error) = removed
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "a snapshot no longer needed could not be removed");
        }
    }
}

/// Every file that the record names is there as it says.
fn verify(folder: &Path, record: &FilesMeta) -> Result<(), StoreError> {
    for (name, checksum) in record.files() {
        let path = folder.join(name);
        let found = archive::checksum(&path).map_err(|error| failed("cannot read", &path, &error))?;
        if let Some(said) = checksum.filter(|said| *said != found) {
            let path = path.display();
            return Err(StoreError::Damaged(format!("the checksum of {path} is {found}, not {said} as recorded")));
        }
    }
    Ok(())
}

/// A name that is a file in its folder, whatever the network says.
fn is_file_name(name: &str) -> bool {
    !name.is_empty() && !matches!(name, "." | "..") && !name.contains(['/', '\\', '\0']) && name.len() <= 255
}

impl Snapshots for Archive {
    fn latest(&self) -> Result<Option<SnapshotMeta>, StoreError> {
        let _changing = self.changing.lock();
        self.newest()?.map(|(_, record)| record.snapshot()).transpose()
    }

    fn read(&self, index: Index, file: &str, offset: u64, count: usize) -> Result<Option<Chunk>, StoreError> {
        let count = count.min(CHUNK_MAX);
        if file == META_FILE {
            let Some(record) = self.record(index)? else { return Ok(None) };
            let bytes = record.to_wire();
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            let data: Vec<u8> = bytes.into_iter().skip(from).collect();
            let eof = data.len() <= count;
            return Ok(Some(Chunk { data: data.into_iter().take(count).collect::<Vec<u8>>().into(), eof }));
        }
        if !is_file_name(file) {
            return Ok(None);
        }
        let path = self.folder.join(format!("{PREFIX}{index}")).join(file);
        let read = || -> io::Result<Chunk> {
            let mut opened = File::open(&path)?;
            let length = opened.metadata()?.len();
            opened.seek(SeekFrom::Start(offset))?;
            let mut data = Vec::new();
            opened.take(count as u64).read_to_end(&mut data)?;
            Ok(Chunk { eof: offset.saturating_add(data.len() as u64) >= length, data: data.into() })
        };
        match read() {
            Ok(chunk) => Ok(Some(chunk)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("cannot read", &path, &error)),
        }
    }

    fn receive(&self) -> Result<Box<dyn Incoming>, StoreError> {
        Ok(Box::new(receive::Receiving::start(self.folder.clone(), Arc::clone(&self.changing))?))
    }
}

#[cfg(test)]
mod tests;
