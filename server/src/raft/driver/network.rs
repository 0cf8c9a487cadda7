//! What the driver wants of the network, and what it offers to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;

use crate::raft::core::message::{NoAnswer, RaftError, Request, Response};
use crate::raft::core::store::{Chunk, Snapshots, StoreError};
use crate::raft::core::{Index, PeerId};
use crate::raft::rpc::WriteRequest;
use crate::raft::voter::Forwarded;

/// Snapshots offered at a time; more than a group has followers.
const READERS_MAX: usize = 16;

/// The way to the peers of a group.
pub trait Network: Send + Sync + 'static {
    /// Calls a peer.
    fn call(
        &self,
        group: &str,
        to: &PeerId,
        request: Request,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<Response, NoAnswer>>;

    /// Reads a piece of a file of the snapshot that `uri` offers.
    fn read_file(
        &self,
        uri: &str,
        file: &str,
        offset: u64,
        count: usize,
    ) -> BoxFuture<'static, Result<Chunk, RaftError>>;

    /// Sends a write to the leader.
    fn forward(&self, to: &PeerId, request: WriteRequest) -> BoxFuture<'static, Forwarded>;
}

type Reader = (Arc<dyn Snapshots>, Index);

/// Snapshots that are offered to followers, by the number in their uri.
#[derive(Default)]
pub struct Readers {
    open: Mutex<BTreeMap<i64, Reader>>,
}

impl std::fmt::Debug for Readers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readers").field("open", &self.open.lock().len()).finish()
    }
}

impl Readers {
    /// Offers the snapshot at this index; answers the number.
    pub fn open(&self, snapshots: Arc<dyn Snapshots>, index: Index) -> i64 {
        let mut open = self.open.lock();
        let mut id = 0;
        while id <= 0 || open.contains_key(&id) {
            id = rand::random::<i64>() & i64::MAX;
        }
        if open.len() >= READERS_MAX {
            open.pop_first();
        }
        open.insert(id, (snapshots, index));
        id
    }

    /// Offers it no more.
    pub fn close(&self, id: i64) {
        self.open.lock().remove(&id);
    }

    /// Reads of it; `None` when there is no such offer or file.
    ///
    /// # Errors
    /// When the medium fails.
    pub fn read(&self, id: i64, file: &str, offset: u64, count: usize) -> Result<Option<Chunk>, StoreError> {
        let reader = self.open.lock().get(&id).cloned();
        match reader {
            Some((snapshots, index)) => snapshots.read(index, file, offset, count),
            None => Ok(None),
        }
    }

    /// Whether there is such an offer.
    pub fn is_open(&self, id: i64) -> bool {
        self.open.lock().contains_key(&id)
    }
}
