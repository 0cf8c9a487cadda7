//! One simulated node: a member, its disk, its state machine, its clock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::raft::core::member::{Flaw, Member};
use crate::raft::core::memory::MemoryStore;
use crate::raft::core::message::{CallId, Request, Response, Ticket, Token};
use crate::raft::core::options::Options;
use crate::raft::core::recovery::reconcile;
use crate::raft::core::store::{Change, Store};
use crate::raft::core::{Configuration, Entry, HardState, Index, Payload, PeerId, SnapshotMeta, Term};

/// The state: how many commands were applied, and a digest of them in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) index: Index,
    pub(super) digest: u64,
}

impl State {
    pub(super) fn apply(&mut self, entry: &Entry) {
        self.index = entry.index;
        if let Payload::Data(data) = &entry.payload {
            for byte in data.iter() {
                self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
}

/// What a node sends once something is durable.
#[derive(Debug)]
pub(super) enum Held {
    Reply(CallId, Response),
    Call { id: CallId, to: PeerId, request: Request, timeout_ms: u64 },
}

/// A running process; gone with a crash.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) member: Member,
    /// Given out and not durable yet.
    pub(super) writing: VecDeque<(Ticket, Vec<Change>)>,
    pub(super) durable: Ticket,
    pub(super) held: VecDeque<(Ticket, Held)>,
    /// Handed to the state machine and not applied yet.
    pub(super) applying: VecDeque<Entry>,
    pub(super) state: State,
    /// Proposals of clients here, by index.
    pub(super) proposals: BTreeMap<Index, (Token, Term)>,
    /// Reads of clients here that wait for an index to be applied.
    pub(super) reads: Vec<(Token, Index)>,
    /// The time of the tick that is planned, so that it is not planned again.
    pub(super) tick_ms: u64,
}

/// One simulated node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) peer: PeerId,
    pub(super) store: Arc<MemoryStore>,
    /// The latest snapshot on disk.
    pub(super) snapshot: Option<(SnapshotMeta, State)>,
    pub(super) process: Option<Process>,
    /// Counts processes: what was meant for an earlier one is dropped.
    pub(super) generation: u64,
    /// Its clock, in thousandths of the true one, and what it shows at the true zero.
    pub(super) clock_rate: u64,
    pub(super) clock_offset: u64,
    /// It forgets whom it voted for.
    pub(super) forgets_votes: bool,
}

impl Node {
    pub(super) fn clock(&self, true_ms: u64) -> u64 {
        self.clock_offset + true_ms * self.clock_rate / 1000
    }

    /// The true time at which its clock shows this.
    pub(super) fn true_time(&self, clock_ms: u64) -> u64 {
        (clock_ms.saturating_sub(self.clock_offset) * 1000).div_ceil(self.clock_rate)
    }

    pub(super) fn start(&mut self, options: &Options, initial: &Configuration, now_ms: u64, flaw: Option<Flaw>) {
        let latest = self.snapshot.as_ref().map(|(meta, _)| meta);
        reconcile(&*self.store, latest).unwrap();
        self.generation += 1;
        let seed = self.generation * 64 + u64::from(self.peer.as_str().len() as u32) + self.clock_offset;
        let now = self.clock(now_ms);
        let (options, initial) = (options.clone(), initial.clone());
        let mut member = Member::load(self.peer.clone(), options, initial, seed, now, &*self.store).unwrap();
        member.flaw = flaw;
        self.process = Some(Process {
            member,
            writing: VecDeque::new(),
            durable: 0,
            held: VecDeque::new(),
            applying: VecDeque::new(),
            state: self.snapshot.as_ref().map_or_else(State::default, |(_, state)| state.clone()),
            proposals: BTreeMap::new(),
            reads: Vec::new(),
            tick_ms: u64::MAX,
        });
    }

    /// The first `count` batches that are being written become durable.
    pub(super) fn write(&mut self, count: usize) {
        let Some(process) = &mut self.process else { return };
        for (ticket, mut changes) in process.writing.drain(..count) {
            if self.forgets_votes {
                for change in &mut changes {
                    if let Change::HardState(HardState { voted_for, .. }) = change {
                        *voted_for = None;
                    }
                }
            }
            self.store.write(&changes).unwrap();
            process.durable = ticket;
        }
    }

    /// The log as it would be if all that is being written were durable.
    pub(super) fn whole_log(&self) -> (Index, Vec<Entry>) {
        let stored = self.store.load().unwrap();
        let mut first = stored.first_index;
        let mut log = match stored.last_index {
            last if last >= first => self.store.entries(first, last, usize::MAX).unwrap(),
            _ => Vec::new(),
        };
        for change in self.process.iter().flat_map(|process| &process.writing).flat_map(|(_, changes)| changes) {
            match change {
                Change::Append(entries) => log.extend(entries.iter().cloned()),
                Change::TruncateSuffix(from) => log.retain(|entry| entry.index < *from),
                Change::Reset(meta) => {
                    log.clear();
                    first = meta.last_included_index + 1;
                }
                Change::HardState(_) | Change::TruncatePrefix(_) | Change::Snapshot(_) => {}
            }
        }
        (first, log)
    }
}

/// A command that is like no other.
pub(super) fn command(token: Token, size: usize) -> Bytes {
    let mut data = token.to_be_bytes().to_vec();
    data.resize(8 + size, 0);
    data.into()
}
