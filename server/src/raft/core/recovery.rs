//! Makes log and snapshot agree again after a crash between the two.

use super::store::{Change, Store, StoreError};
use super::types::SnapshotMeta;

/// A snapshot is put in place before the log is told of it. `latest` is the one found at start.
///
/// # Errors
/// When the store fails, or the snapshot that the log stands on is gone.
pub fn reconcile(store: &dyn Store, latest: Option<&SnapshotMeta>) -> Result<(), StoreError> {
    let known = store.load()?.snapshot.last_included_index;
    let found = latest.map_or(0, |meta| meta.last_included_index);
    match latest {
        _ if found == known => Ok(()),
        Some(meta) if found > known => {
            let goes_on = store.term_at(found)? == Some(meta.last_included_term);
            let change = if goes_on { Change::Snapshot(meta.clone()) } else { Change::Reset(meta.clone()) };
            store.write(&[change])
        }
        _ => Err(StoreError::Damaged(format!("the log stands on a snapshot of {known}, the latest is of {found}"))),
    }
}
