//! One member of a group: takes inputs one at a time and says what is to be done.
//!
//! It has no clock, no socket and no disk: time comes with each input, randomness from a seed, and all that must
//! survive a crash leaves it as [`Output::Persist`]. Whatever depends on that carries the ticket to wait for. So a run
//! can be repeated exactly, and the simulator can stop it between any two outputs.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::leader::Leadership;
use super::log::Log;
use super::message::{CallId, Input, Output, RaftError, Request, Response, Role, Status, Ticket};
use super::options::Options;
use super::progress::Outgoing;
use super::reads::Reads;
use super::store::{Change, Store, StoreError, Stored};
use super::types::{Configuration, HardState, Index, PeerId, SnapshotMeta, Term};

/// Entries and bytes handed to the state machine at once.
const APPLY_ENTRIES: usize = 512;
const APPLY_BYTES: usize = 1024 * 1024;

/// What a member takes part as, and what it needs for that.
#[derive(Debug)]
pub(super) enum Part {
    /// Waits for a leader; `pre_votes` are those for it while it asks whether it could be elected.
    Follower { pre_votes: Option<Vec<PeerId>> },
    /// Stands for election. Its own vote counts once it is durable.
    Candidate { votes: Vec<PeerId>, vote: Ticket },
    /// Leads.
    Leader(Box<Leadership>),
}

/// A fault put in on purpose, so that the simulator's own sharpness can be tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// A follower's word is enough to commit.
    CommitWithoutMajority,
    /// A leader serves reads without asking whether it still is one.
    StaleRead,
    /// Entries of earlier terms are committed by counting.
    CommitOlderTerm,
    /// A vote is given more than once a term.
    VoteTwice,
    /// A candidate with an older log gets votes.
    VoteForOlderLog,
}

/// One member of a group.
#[derive(Debug)]
pub struct Member {
    pub(super) me: PeerId,
    pub(super) options: Options,
    pub(super) rng: SmallRng,
    /// The time of the input at hand, ms; only differences mean anything.
    pub(super) now_ms: u64,
    pub(super) hard: HardState,
    pub(super) log: Log,
    pub(super) commit: Index,
    /// Up to where leaders said that the group committed.
    pub(super) claimed: Index,
    /// Handed to the state machine up to here.
    applying: Index,
    /// Applied by it up to here.
    applied: Index,
    pub(super) part: Part,
    pub(super) leader: Option<PeerId>,
    /// When the leader was heard of last.
    pub(super) leader_heard_ms: u64,
    loaded_ms: u64,
    pub(super) election_due_ms: u64,
    pub(super) calls: BTreeMap<CallId, Outgoing>,
    next_call: CallId,
    /// The last batch of changes given out, or being put together.
    pub(super) ticket: Ticket,
    changes: Vec<Change>,
    /// A snapshot being fetched, and the call to answer then.
    pub(super) installing: Option<(CallId, SnapshotMeta)>,
    pub(super) reads: Reads,
    pub(super) out: Vec<Output>,
    told: Status,
    stopped: bool,
    #[cfg(test)]
    pub(super) flaw: Option<Flaw>,
}

impl Member {
    /// A member as its store has it. `initial` votes while the store does not say who does; `seed` makes its
    /// randomness.
    ///
    /// # Errors
    /// When the store cannot be read or contradicts itself.
    pub fn load(
        me: PeerId,
        options: Options,
        initial: Configuration,
        seed: u64,
        now_ms: u64,
        store: &dyn Store,
    ) -> Result<Self, StoreError> {
        let stored: Stored = store.load()?;
        let hard = stored.hard_state.clone();
        let log = Log::load(stored, initial, options.cache_bytes_max, store)?;
        if log.last_id().term > hard.term {
            let (entry, term) = (log.last_id().term, hard.term);
            return Err(StoreError::Damaged(format!("the log is of term {entry}, the member of term {term}")));
        }
        // A snapshot holds committed entries only; of the others a leader will tell.
        let commit = log.snapshot().last_included_index;
        let mut member = Member {
            me,
            options,
            rng: SmallRng::seed_from_u64(seed),
            now_ms,
            hard,
            log,
            commit,
            claimed: commit,
            applying: commit,
            applied: commit,
            part: Part::Follower { pre_votes: None },
            leader: None,
            leader_heard_ms: now_ms,
            loaded_ms: now_ms,
            election_due_ms: 0,
            calls: BTreeMap::new(),
            // Calls made before a restart must not be taken for those after it.
            next_call: seed << 20,
            ticket: 0,
            changes: Vec::new(),
            installing: None,
            reads: Reads::default(),
            out: Vec::new(),
            told: Status::default(),
            stopped: false,
            #[cfg(test)]
            flaw: None,
        };
        member.rearm_election();
        Ok(member)
    }

    /// Takes one input at `now_ms` and says what is to be done. `store` is only read.
    pub fn step(&mut self, now_ms: u64, input: Input, store: &dyn Store) -> Vec<Output> {
        // A clock that jumps back must not move deadlines.
        self.now_ms = self.now_ms.max(now_ms);
        if self.stopped {
            return Vec::new();
        }
        if let Err(error) = self.take(input, store).and_then(|()| self.hand_to_state_machine(store)) {
            self.fatal(error.to_string());
        }
        self.tell_status();
        let mut out = std::mem::take(&mut self.out);
        let changes = std::mem::take(&mut self.changes);
        if !changes.is_empty() {
            self.log.given_out(self.ticket);
            out.insert(0, Output::Persist(self.ticket, changes));
        }
        out
    }

    fn take(&mut self, input: Input, store: &dyn Store) -> Result<(), StoreError> {
        match input {
            Input::Tick => {
                self.tick_election();
                self.tick_leader(store)
            }
            Input::Request(call, request) => {
                self.on_request(call, request);
                Ok(())
            }
            Input::Answer(id, answer) => self.on_answer(id, answer, store),
            Input::Propose(proposals) => self.propose(proposals, store),
            Input::Read(token) => {
                self.read_locally(token);
                Ok(())
            }
            Input::Transfer(token, to) => self.transfer(token, to, store),
            Input::ChangePeers(token, change) => self.change_peers(token, change, store),
            Input::Persisted(ticket) => {
                self.log.persisted_up_to(ticket);
                self.count_own_vote(ticket, store)?;
                self.advance_commit(store)
            }
            Input::Applied(index) => {
                self.applied = self.applied.max(index);
                Ok(())
            }
            Input::SnapshotSaved(meta) => {
                self.on_snapshot_saved(meta);
                Ok(())
            }
            Input::SnapshotInstalled(result) => {
                self.on_snapshot_installed(result);
                Ok(())
            }
            Input::Timing(timing) => {
                self.options.timing = timing;
                self.rearm_election();
                if self.leader.is_none() && self.leader_heard_ms == self.loaded_ms {
                    // Just started: whoever leads says no to a pre-vote, and if nobody does there is nothing to wait for.
                    self.election_due_ms = self.election_due_ms.saturating_sub(timing.election_ms);
                }
                Ok(())
            }
        }
    }

    fn on_request(&mut self, call: CallId, request: Request) {
        match request {
            Request::Vote(vote) if vote.pre_vote => self.on_pre_vote(call, &vote),
            Request::Vote(vote) => self.on_vote(call, vote),
            Request::Append(append) => self.on_append(call, append),
            Request::InstallSnapshot { from, term, meta, uri } => self.on_install(call, &from, term, meta, uri),
            Request::TimeoutNow { from: _, term } => self.on_timeout_now(call, term),
            Request::ReadIndex { from } => self.on_read_index(call, &from),
        }
    }

    /// When [`Input::Tick`] is due next, ms.
    pub fn next_tick_ms(&self) -> u64 {
        match &self.part {
            Part::Leader(leadership) => leadership.next_tick_ms(),
            Part::Follower { .. } | Part::Candidate { .. } => self.election_due_ms,
        }
    }

    /// How it stands.
    pub fn status(&self) -> Status {
        Status {
            role: match &self.part {
                Part::Follower { .. } => Role::Follower,
                Part::Candidate { .. } => Role::Candidate,
                Part::Leader(leadership) if leadership.transfer.is_some() => Role::Transferring,
                Part::Leader(_) => Role::Leader,
            },
            term: self.hard.term,
            leader: self.leader.clone(),
            configuration: self.log.configuration().clone(),
        }
    }

    /// Whether it began without a log, has not been given all that counts yet, and so does not vote for those who have.
    pub fn is_newcomer(&self) -> bool {
        self.hard.newcomer
    }

    /// Up to where the group committed, as far as this member knows.
    pub fn commit_index(&self) -> Index {
        self.commit
    }

    /// The last entry in the latest snapshot; 0 when there is none.
    pub fn snapshot_index(&self) -> Index {
        self.log.snapshot().last_included_index
    }

    /// The first and the last entry of the log.
    pub fn log_range(&self) -> (Index, Index) {
        (self.log.first(), self.log.last())
    }

    /// What a snapshot of the state as of `index` stands for; `None` when that entry is gone or not there.
    pub fn snapshot_meta(&self, index: Index) -> Option<SnapshotMeta> {
        self.log.snapshot_meta(index)
    }

    /// Whether what comes of this call still matters.
    pub fn awaits(&self, call: CallId) -> bool {
        self.calls.contains_key(&call)
    }

    /// The voters that answered lately, for a leader: what `GetPeers` shows with `only_alive`.
    pub fn alive_peers(&self) -> Vec<PeerId> {
        let Part::Leader(leadership) = &self.part else { return Vec::new() };
        let peers = self.log.configuration().peers.iter();
        peers.filter(|peer| leadership.is_alive(peer, self.now_ms, &self.me, &self.options)).cloned().collect()
    }

    pub(super) fn voters_but_me(&self) -> Vec<PeerId> {
        self.log.configuration().voters().filter(|peer| **peer != self.me).cloned().collect()
    }

    /// Gives out a change. All of a step go together.
    pub(super) fn persist(&mut self, change: Change) {
        if self.changes.is_empty() {
            self.ticket += 1;
        }
        self.changes.push(change);
    }

    /// Answers a call once all that was given out so far is durable.
    pub(super) fn reply(&mut self, call: CallId, response: Response) {
        self.out.push(Output::Reply(call, response, self.ticket));
    }

    pub(super) fn reply_error(&mut self, call: CallId, code: i32, message: impl Into<String>) {
        self.reply(call, Response::Error(RaftError::new(code, message)));
    }

    /// Calls a peer.
    pub(super) fn call(&mut self, outgoing: Outgoing, request: Request, after: Ticket, timeout_ms: u64) -> CallId {
        self.next_call += 1;
        let (id, to) = (self.next_call, outgoing.to.clone());
        self.calls.insert(id, outgoing);
        self.out.push(Output::Call { id, to, request, after, timeout_ms });
        id
    }

    pub(super) fn set_term(&mut self, term: Term, voted_for: Option<PeerId>) {
        self.hard = HardState { term, voted_for, ..self.hard };
        self.persist(Change::HardState(self.hard.clone()));
    }

    pub(super) fn fatal(&mut self, why: impl Into<String>) {
        if !self.stopped {
            self.stopped = true;
            self.out.push(Output::Fatal(why.into()));
        }
    }

    /// After a snapshot was installed the state machine stands there.
    pub(super) fn applied_by_snapshot(&mut self, index: Index) {
        self.applying = index;
        self.applied = index;
        self.commit = self.commit.max(index);
    }

    fn hand_to_state_machine(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        // Only what is durable here, too: a snapshot must never be ahead of the log it stands for.
        let up_to = self.commit.min(self.log.persisted());
        let outstanding_max = u64::try_from(self.options.applying_max).unwrap_or(u64::MAX);
        while self.installing.is_none() && self.applying < up_to && self.applying - self.applied < outstanding_max {
            let entries = self.log.entries(self.applying + 1, up_to, APPLY_ENTRIES, APPLY_BYTES, store)?;
            let Some(last) = entries.last() else {
                return Err(StoreError::Damaged(format!("entry {} is missing", self.applying + 1)));
            };
            self.applying = last.index;
            self.out.push(Output::Apply(entries));
        }
        Ok(())
    }

    fn tell_status(&mut self) {
        let status = self.status();
        if status != self.told {
            self.told = status.clone();
            self.out.push(Output::Status(status));
        }
    }

    /// Whether a test broke this on purpose.
    #[cfg(test)]
    pub(super) fn is_broken(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "the tests' twin looks at it")]
    pub(super) const fn is_broken(&self, _: Flaw) -> bool {
        false
    }
}
