//! Persistent writes of a node that takes part in the group: worked out here, committed by the leader, applied here,
//! and only then acknowledged.
//!
//! What goes into the log is what an official follower sends: whole records (compat/spec/jraft.md §7). Two nodes that
//! change one service at once would so undo each other's changes; a leader of this program therefore takes a record
//! only when the one it was worked out from is still the present one ([`EXPECTED`]), and the other node works its write
//! out again. An official leader does not look at that.
//!
//! # Layout
//! - `attempt`: one attempt of a write
//! - `draft`: writes to one service at the same time, committed as one
//! - `serve`: writes and reads that other members send to this one as the leader
//! - `turns`: one change of a service at a time

mod attempt;
mod draft;
mod serve;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use parking_lot::Mutex;

use self::attempt::{Failure, Wanted};
use self::draft::Drafts;
use self::turns::Turns;
use super::core::message::{RaftError, Role, Status};
use super::core::store::Applied;
use super::core::types::{Index, PeerId, Term};
use super::datum::{GROUP, Poison};
use super::naming_state::NamingData;
use super::old_raft::Blocked;
use super::rpc::{Response, WriteRequest};
use crate::naming::consistency::{Answer, Group, Subject, Write};
use crate::naming::error::NamingError;
use crate::naming::registry::Registry;
use crate::naming::service::ServiceId;
use crate::naming::switches::Switches;

/// `extendInfo` of a write: the fingerprint of the records it was worked out from. Official members pass it on and
/// look at nothing in it.
pub const EXPECTED: &str = "tandem.expected";
/// What a leader of this program answers when these records are not the present ones.
pub const CHANGED_MEANWHILE: &str = "changed meanwhile";

/// A whole write, waiting for its turn and for a leader included.
const WRITE_TIMEOUT: Duration = Duration::from_secs(8);
/// Between two attempts.
const RETRY: Duration = Duration::from_millis(50);

/// Why a proposal was not seen through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotDone {
    /// It is not in the log and will not be.
    #[error("{0}")]
    Refused(RaftError),
    /// It may be committed or not.
    #[error("{0}")]
    Unknown(String),
}

/// The consensus that writes go through.
pub trait Consensus: std::fmt::Debug + Send + Sync {
    /// How this member stands.
    fn status(&self) -> Status;

    /// Puts a command into the log as the leader; returns when it is committed and applied here.
    fn propose(&self, command: Bytes) -> BoxFuture<'_, Result<(Index, Applied), NotDone>>;

    /// Returns when everything that was committed when it was called is applied here.
    fn read(&self) -> BoxFuture<'_, Result<(), RaftError>>;

    /// Returns when this entry is applied here.
    fn applied(&self, index: Index) -> BoxFuture<'_, ()>;

    /// Sends a write to the leader.
    fn forward(&self, to: &PeerId, request: WriteRequest) -> BoxFuture<'_, Forwarded>;

    /// Whether a member is one of this program.
    fn is_tandem(&self, peer: &PeerId) -> bool;

    /// Whether other members, official ones among them now or later, take part in what is written.
    fn is_shared(&self) -> bool;

    /// Why writes must not be taken now.
    fn blocked(&self) -> Option<Blocked>;
}

/// What became of a write sent to the leader.
#[derive(Debug, Clone, PartialEq)]
pub enum Forwarded {
    /// Its answer.
    Answered(Response),
    /// It did not get there.
    NotSent(String),
    /// There was no answer.
    Unknown(String),
}

/// Takes persistent writes of this node, and those that others send to it while it leads.
#[derive(Debug)]
pub struct Voter {
    consensus: Arc<dyn Consensus>,
    data: Arc<NamingData>,
    registry: Arc<Registry>,
    switches: Arc<Switches>,
    turns: Turns,
    drafts: Drafts,
    /// The term in which this node, leading, is known to have applied all of its predecessors' entries.
    caught_up: Mutex<Term>,
}

impl Voter {
    /// Over these parts; `data` is what the state machine applies to.
    pub fn new(
        consensus: Arc<dyn Consensus>,
        data: Arc<NamingData>,
        registry: Arc<Registry>,
        switches: Arc<Switches>,
    ) -> Self {
        Voter {
            consensus,
            data,
            registry,
            switches,
            turns: Turns::default(),
            drafts: Drafts::default(),
            caught_up: Mutex::default(),
        }
    }

    async fn write_service(&self, id: &ServiceId, subject: Subject, write: &Write<'_>) -> Result<(), NamingError> {
        let wanted = Mutex::new(Wanted::default());
        self.until_done(|| self.attempt_service(id, subject, write, &wanted)).await
    }

    async fn write_switch(&self, entry: &str, value: &str) -> Result<(), NamingError> {
        self.until_done(|| self.attempt_switch(entry, value)).await
    }

    /// Has a service removed that stayed empty here, unless the group has instances of it.
    pub async fn cleaned(&self, id: &ServiceId) {
        if !self.data.holds(id) {
            return;
        }
        if let Err(error) = self.until_done(|| self.attempt_clean(id)).await {
            tracing::warn!(service = %id.name, %error, "an empty service could not be removed at the other members");
        }
    }

    /// Whether the group has anything of a service.
    pub fn holds(&self, id: &ServiceId) -> bool {
        self.data.holds(id)
    }

    /// Attempts until one ends the write or time is over.
    async fn until_done<F: Future<Output = Result<(), Failure>>>(
        &self,
        attempt: impl Fn() -> F,
    ) -> Result<(), NamingError> {
        let last = Mutex::new(None);
        let attempts = async {
            loop {
                match attempt().await {
                    Ok(()) => return Ok(()),
                    Err(Failure::Final(error)) => return Err(error),
                    Err(Failure::Again(reason)) => {
                        tracing::debug!(?reason, "a persistent write is tried again");
                        *last.lock() = Some(reason);
                    }
                }
                tokio::time::sleep(RETRY).await;
            }
        };
        match tokio::time::timeout(WRITE_TIMEOUT, attempts).await {
            Ok(result) => result,
            Err(_) => Err(not_committed(last.into_inner())),
        }
    }

    /// Whether this node leads, and of which term.
    fn leads(&self, status: &Status) -> bool {
        matches!(status.role, Role::Leader)
    }
}

/// As an official node says it, with a status that is one; its own is 40301 (compat/spec/jraft.md §8).
fn not_committed(reason: Option<attempt::Reason>) -> NamingError {
    let text = match reason {
        Some(attempt::Reason::Blocked(why)) => why.to_string(),
        None | Some(attempt::Reason::NoLeader) => format!("The Raft Group [{GROUP}] did not find the Leader node"),
        Some(attempt::Reason::Other(why)) => {
            tracing::warn!(why, "a persistent write is not known to be committed");
            "com.alibaba.nacos.consistency.exception.ConsistencyException: operation failure".to_owned()
        }
    };
    NamingError::Nacos(500, text)
}

fn refused(poison: &Poison) -> NamingError {
    NamingError::Nacos(500, format!("not let into the data that all members share: {poison}"))
}

impl Group for Voter {
    fn write<'a>(&'a self, id: &'a ServiceId, subject: Subject, write: &'a Write<'a>) -> Answer<'a> {
        Box::pin(self.write_service(id, subject, write))
    }

    fn switch<'a>(&'a self, entry: &'a str, value: &'a str) -> Answer<'a> {
        Box::pin(self.write_switch(entry, value))
    }
}

#[cfg(test)]
mod tests;
