//! The driver as the write path sees it.

use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;

use super::RaftGroup;
use crate::raft::core::message::{RaftError, Status};
use crate::raft::core::store::Applied;
use crate::raft::core::{Index, PeerId};
use crate::raft::old_raft::Blocked;
use crate::raft::rpc::WriteRequest;
use crate::raft::voter::{Consensus, Forwarded, NotDone};

/// As long as an official member waits for a read (compat/spec/jraft.md §2).
const READ_TIMEOUT: Duration = Duration::from_secs(5);

impl Consensus for RaftGroup {
    fn status(&self) -> Status {
        RaftGroup::status(self)
    }

    fn propose(&self, command: Bytes) -> BoxFuture<'_, Result<(Index, Applied), NotDone>> {
        Box::pin(RaftGroup::propose(self, command))
    }

    fn read(&self) -> BoxFuture<'_, Result<(), RaftError>> {
        Box::pin(async {
            match tokio::time::timeout(READ_TIMEOUT, RaftGroup::read(self)).await {
                Ok(read) => read.map(|_| ()),
                Err(_) => Err(RaftError::new(RaftError::ERAFTTIMEDOUT, "the read took too long")),
            }
        })
    }

    fn applied(&self, index: Index) -> BoxFuture<'_, ()> {
        Box::pin(self.wait_applied(index))
    }

    fn forward(&self, to: &PeerId, request: WriteRequest) -> BoxFuture<'_, Forwarded> {
        self.network.forward(to, request)
    }

    fn is_tandem(&self, peer: &PeerId) -> bool {
        (self.is_tandem)(peer)
    }

    fn is_shared(&self) -> bool {
        self.shared
    }

    fn blocked(&self) -> Option<Blocked> {
        (self.blocked)()
    }
}
