//! Fetching a snapshot from the leader (compat/spec/jraft.md §5, InstallSnapshot).

use std::sync::Arc;
use std::time::Duration;

use super::network::Network;
use crate::raft::core::message::RaftError;
use crate::raft::core::store::{Chunk, Snapshots};
use crate::raft::core::{Index, SnapshotMeta};
use crate::raft::snapshot::meta::FilesMeta;

/// The record of the snapshot's files.
const META_FILE: &str = "__raft_snapshot_meta";
/// Bytes asked for at once, as official members do.
const CHUNK_BYTES: usize = 131_072;
/// More than any snapshot of a group has.
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;
const META_BYTES_MAX: u64 = 1024 * 1024;
const FILES_MAX: usize = 64;
const ATTEMPTS: usize = 3;
const RETRY: Duration = Duration::from_secs(1);

/// Fetches all files and puts them in place as the latest snapshot. Blocks while it writes.
pub(super) async fn fetch(
    network: Arc<dyn Network>,
    snapshots: Arc<dyn Snapshots>,
    uri: &str,
    at_least: Index,
) -> Result<SnapshotMeta, RaftError> {
    let io = |error: crate::raft::core::store::StoreError| RaftError::new(RaftError::EIO, error.to_string());
    let mut record = Vec::new();
    read_all(&*network, uri, META_FILE, META_BYTES_MAX, |data| {
        record.extend_from_slice(data);
        Ok(())
    })
    .await?;
    let meta = FilesMeta::from_wire(&record).map_err(|error| RaftError::new(RaftError::EINVAL, error.to_string()))?;
    let mut incoming = snapshots.receive().map_err(io)?;
    for (file, _) in meta.files().take(FILES_MAX) {
        read_all(&*network, uri, file, FILE_BYTES_MAX, |data| incoming.write(file, data).map_err(io)).await?;
    }
    if meta.snapshot().map_err(io)?.last_included_index < at_least {
        return Err(RaftError::new(RaftError::EINVAL, "the snapshot is older than it was said to be"));
    }
    incoming.finish(&record).map_err(io)
}

async fn read_all(
    network: &dyn Network,
    uri: &str,
    file: &str,
    bytes_max: u64,
    mut take: impl FnMut(&[u8]) -> Result<(), RaftError>,
) -> Result<(), RaftError> {
    let mut offset = 0;
    loop {
        let Chunk { data, eof } = read(network, uri, file, offset).await?;
        take(&data)?;
        offset += data.len() as u64;
        if eof {
            return Ok(());
        }
        if data.is_empty() || offset > bytes_max {
            return Err(RaftError::new(RaftError::EIO, format!("{file} has no end")));
        }
    }
}

async fn read(network: &dyn Network, uri: &str, file: &str, offset: u64) -> Result<Chunk, RaftError> {
    let mut attempt = 1;
    loop {
        match network.read_file(uri, file, offset, CHUNK_BYTES).await {
            Ok(chunk) => return Ok(chunk),
            Err(error) if attempt >= ATTEMPTS => return Err(error),
            Err(_) => tokio::time::sleep(RETRY).await,
        }
        attempt += 1;
    }
}
