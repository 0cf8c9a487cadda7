//! A snapshot that comes from the leader, written aside until it is whole.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::meta::FilesMeta;
use super::{Archive, failed, is_file_name, verify};
use crate::raft::core::SnapshotMeta;
use crate::raft::core::store::{Incoming, StoreError};

/// Tells those of one process apart.
static NEXT: AtomicU64 = AtomicU64::new(0);
/// Official snapshots of naming have one file.
const FILES_MAX: usize = 64;

/// See the module.
pub(super) struct Receiving {
    folder: PathBuf,
    /// That of the [`Archive`].
    changing: Arc<Mutex<()>>,
    aside: PathBuf,
    files: HashMap<String, File>,
    is_done: bool,
}

impl Receiving {
    /// Into a folder beside the snapshots in `folder`.
    pub(super) fn start(folder: PathBuf, changing: Arc<Mutex<()>>) -> Result<Self, StoreError> {
        let aside = folder.join(format!("receiving_{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir(&aside).map_err(|error| failed("cannot make", &aside, &error))?;
        Ok(Receiving { folder, changing, aside, files: HashMap::new(), is_done: false })
    }
}

impl Incoming for Receiving {
    fn write(&mut self, file: &str, data: &[u8]) -> Result<(), StoreError> {
        if !is_file_name(file) {
            return Err(StoreError::Damaged(format!("{file:?} is no name for a file of a snapshot")));
        }
        let path = self.aside.join(file);
        if !self.files.contains_key(file) {
            if self.files.len() >= FILES_MAX {
                return Err(StoreError::Damaged(format!("a snapshot of more than {FILES_MAX} files")));
            }
            let opened = File::create(&path).map_err(|error| failed("cannot make", &path, &error))?;
            self.files.insert(file.to_owned(), opened);
        }
        match self.files.get_mut(file) {
            Some(opened) => opened.write_all(data).map_err(|error| failed("cannot write", &path, &error)),
            None => Ok(()),
        }
    }

    fn finish(mut self: Box<Self>, meta_file: &[u8]) -> Result<SnapshotMeta, StoreError> {
        let record = FilesMeta::from_wire(meta_file)
            .map_err(|error| StoreError::Damaged(format!("the leader's record of its snapshot: {error}")))?;
        let meta = record.snapshot()?;
        for (name, _) in record.files() {
            let file = self.files.get(name).filter(|_| is_file_name(name)).ok_or_else(|| {
                StoreError::Damaged(format!("the snapshot names the file {name}, which did not come"))
            })?;
            file.sync_all().map_err(|error| failed("cannot make durable", &self.aside.join(name), &error))?;
        }
        verify(&self.aside, &record)?;
        let archive = Archive { folder: self.folder.clone(), changing: Arc::clone(&self.changing) };
        let _changing = self.changing.lock();
        archive.put_in_place(&self.aside, meta.last_included_index, &record)?;
        self.is_done = true;
        Ok(meta)
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if !self.is_done && self.aside.exists() {
            let _ = fs::remove_dir_all(&self.aside);
        }
    }
}
