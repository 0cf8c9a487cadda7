//! The file itself: made whole or not at all, opened by one process, repaired after a crash.

use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Builder, Database, DatabaseError, StorageError};

use super::{LOG, META, damaged, io as failed};
use crate::raft::core::store::StoreError;

const NAME: &str = "log.redb";
/// Read again and again are only the last entries, and these the core keeps itself.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// Opens the file in a folder, or makes it.
pub(super) fn open(folder: &Path) -> Result<Database, StoreError> {
    let unusable = |error: io::Error| StoreError::Io(format!("{}: {error}", folder.display()));
    fs::create_dir_all(folder).map_err(unusable)?;
    let path = folder.join(NAME);
    if !path.try_exists().map_err(unusable)? {
        make(folder, &path)?;
    }
    if fs::metadata(&path).map_err(unusable)?.len() == 0 {
        return Err(damaged(format!("{} is empty: term and vote are lost", path.display())));
    }
    // After a crash the library looks at every checksum there is and goes back to the last whole transaction. Of what
    // it did not expect to find it says so by a panic now and then.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let database = builder().open(&path)?;
        Ok::<_, DatabaseError>(database)
    }));
    match opened {
        Ok(Ok(database)) => Ok(database),
        Ok(Err(DatabaseError::DatabaseAlreadyOpen)) => {
            Err(StoreError::Io(format!("{} is in use by another process", path.display())))
        }
        Ok(Err(DatabaseError::Storage(StorageError::Io(error)))) if error.kind() != io::ErrorKind::InvalidData => {
            Err(StoreError::Io(format!("{}: {error}", path.display())))
        }
        Ok(Err(error)) => Err(damaged(format!("{}: {error}", path.display()))),
        Err(_) => Err(damaged(format!("{} cannot be read", path.display()))),
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Beside its place first: a file that is there has been whole once.
fn make(folder: &Path, path: &Path) -> Result<(), StoreError> {
    let aside: PathBuf = folder.join(format!("{NAME}.new"));
    let unusable = |error: io::Error| StoreError::Io(format!("{}: {error}", aside.display()));
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(error)),
        _ => {}
    }
    tables(&builder().create(&aside).map_err(failed)?)?;
    fs::rename(&aside, path).map_err(unusable)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(unusable)
}

/// Makes the tables.
pub(super) fn tables(database: &Database) -> Result<(), StoreError> {
    let transaction = database.begin_write().map_err(failed)?;
    transaction.open_table(LOG).map_err(failed)?;
    transaction.open_table(META).map_err(failed)?;
    transaction.commit().map_err(failed)
}
