//! What a leader knows of one follower, and what is on the way to whom.

use std::collections::VecDeque;

use super::message::{CallId, LogId};
use super::types::{Index, PeerId};

/// What a call was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    PreVote,
    Vote,
    /// The reads up to this round are confirmed by its answer; `prev` as sent.
    Heartbeat {
        round: u64,
        prev: LogId,
    },
    Probe,
    /// Up to and including this entry.
    Entries {
        last: Index,
    },
    /// A snapshot that ends here.
    Snapshot {
        last: Index,
    },
    TimeoutNow,
    ReadIndex,
}

/// A call without an answer yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outgoing {
    pub(super) to: PeerId,
    pub(super) sent_ms: u64,
    pub(super) purpose: Purpose,
}

/// How a follower is fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Feeding {
    /// Where the logs agree is being found out.
    Probe,
    /// Entries flow.
    Entries,
    /// It fetches a snapshot.
    Snapshot,
}

/// What a leader knows of one follower.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) feeding: Feeding,
    /// The first entry it is not known to have.
    pub(super) next: Index,
    /// The first entry that is not on the way to it.
    pub(super) to_send: Index,
    /// It has all up to here, durable.
    pub(super) matched: Index,
    /// Appends, or one probe or snapshot, on the way, oldest first.
    pub(super) in_flight: VecDeque<CallId>,
    /// Heartbeats on the way.
    pub(super) heartbeats: usize,
    pub(super) heartbeat_due_ms: u64,
    /// Nothing but heartbeats before this time: the last call failed.
    pub(super) blocked_until_ms: u64,
    /// When the youngest of the calls that it answered was sent.
    pub(super) answered_ms: u64,
    /// It was told of commits up to here.
    pub(super) told_commit: Index,
    /// It accepted something in this term.
    pub(super) agreed: bool,
}

impl Progress {
    pub(super) fn new(next: Index, now_ms: u64, heartbeat_ms: u64) -> Self {
        Progress {
            feeding: Feeding::Probe,
            next,
            to_send: next,
            matched: 0,
            in_flight: VecDeque::new(),
            heartbeats: 0,
            heartbeat_due_ms: now_ms + heartbeat_ms,
            blocked_until_ms: 0,
            answered_ms: now_ms,
            told_commit: 0,
            agreed: false,
        }
    }

    /// Forgets what is on the way; the next thing sent is a probe.
    pub(super) fn probe_again(&mut self) {
        self.feeding = Feeding::Probe;
        self.to_send = self.next;
        self.in_flight.clear();
    }

    /// It says that the logs differ at what it was sent: back to where its own log ends, or by one.
    pub(super) fn step_back(&mut self, its_last: Option<Index>) {
        self.next = match its_last {
            Some(last) if last + 1 < self.next => last + 1,
            _ => self.next.saturating_sub(1).max(1),
        };
        // Less than it had means that it lost its log.
        self.matched = self.matched.min(self.next - 1);
        self.probe_again();
    }

    /// It has all up to here.
    pub(super) fn has(&mut self, last: Index) {
        self.agreed = true;
        self.next = self.next.max(last + 1);
        self.to_send = self.to_send.max(self.next);
    }
}
