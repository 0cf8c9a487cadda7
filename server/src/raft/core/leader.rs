//! Leading: replication, heartbeats, commit by counting, the lease (compat/spec/jraft.md §5).

use std::collections::BTreeMap;

use bytes::Bytes;

use super::member::{Flaw, Member, Part};
use super::membership::{PeersChange, Transfer};
use super::message::{
    AppendKind, AppendRequest, LogId, NoAnswer, Output, Proposed, RaftError, Request, Response, Token,
};
use super::options::Options;
use super::progress::{Feeding, Outgoing, Progress, Purpose};
use super::store::{Change, Store, StoreError};
use super::types::{Configuration, Entry, Index, Payload, PeerId};

/// What a member needs while it leads.
#[derive(Debug)]
pub(super) struct Leadership {
    /// The first entry of the term; none before it is committed by counting.
    pub(super) start: Index,
    pub(super) followers: BTreeMap<PeerId, Progress>,
    lease_check_due_ms: u64,
    pub(super) transfer: Option<Transfer>,
    pub(super) change: Option<PeersChange>,
}

impl Leadership {
    pub(super) fn new(start: Index, voters: Vec<PeerId>, now_ms: u64, options: &Options) -> Self {
        let heartbeat_ms = options.timing.heartbeat_ms;
        let followers = voters.into_iter().map(|peer| (peer, Progress::new(start, now_ms, heartbeat_ms))).collect();
        let lease_check_due_ms = now_ms + options.timing.election_ms / 2;
        Leadership { start, followers, lease_check_due_ms, transfer: None, change: None }
    }

    pub(super) fn next_tick_ms(&self) -> u64 {
        let followers = self.followers.values().flat_map(|follower| {
            let blocked = (follower.blocked_until_ms > 0).then_some(follower.blocked_until_ms);
            [Some(follower.heartbeat_due_ms), blocked].into_iter().flatten()
        });
        let transfer = self.transfer.iter().map(|transfer| transfer.deadline_ms);
        let change = self.change.iter().map(|change| change.due_ms);
        let times = followers.chain(transfer).chain(change);
        times.min().unwrap_or(u64::MAX).min(self.lease_check_due_ms)
    }

    /// Whether a peer answered a call that is younger than the lease.
    pub(super) fn is_alive(&self, peer: &PeerId, now_ms: u64, me: &PeerId, options: &Options) -> bool {
        let alive = |follower: &Progress| now_ms.saturating_sub(follower.answered_ms) <= options.timing.lease_ms;
        peer == me || self.followers.get(peer).is_some_and(alive)
    }
}

impl Member {
    /// The leadership, while it lasts.
    pub(super) fn leadership(&mut self) -> Option<&mut Leadership> {
        match &mut self.part {
            Part::Leader(leadership) => Some(leadership),
            Part::Follower { .. } | Part::Candidate { .. } => None,
        }
    }

    fn follower(&mut self, peer: &PeerId) -> Option<&mut Progress> {
        self.leadership()?.followers.get_mut(peer)
    }

    pub(super) fn tick_leader(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let (now_ms, timing) = (self.now_ms, self.options.timing);
        let Some(leadership) = self.leadership() else { return Ok(()) };
        if leadership.lease_check_due_ms <= now_ms {
            leadership.lease_check_due_ms = now_ms + timing.election_ms / 2;
            if !self.has_lease() {
                self.step_down(self.hard.term, "a majority of the group is silent");
                return Ok(());
            }
        }
        let Some(leadership) = self.leadership() else { return Ok(()) };
        let mut beat = Vec::new();
        let mut feed = Vec::new();
        for (peer, follower) in &mut leadership.followers {
            if follower.heartbeat_due_ms <= now_ms {
                follower.heartbeat_due_ms = now_ms + timing.heartbeat_ms;
                beat.push(peer.clone());
            }
            if follower.blocked_until_ms > 0 && follower.blocked_until_ms <= now_ms {
                follower.blocked_until_ms = 0;
                feed.push(peer.clone());
            }
        }
        for peer in beat {
            self.heartbeat(&peer);
        }
        for peer in feed {
            self.feed(&peer, store)?;
        }
        self.tick_transfer();
        self.tick_change(store)
    }

    fn has_lease(&self) -> bool {
        let Part::Leader(leadership) = &self.part else { return false };
        let alive = |peer: &PeerId| leadership.is_alive(peer, self.now_ms, &self.me, &self.options);
        self.log.configuration().is_majority(alive)
    }

    pub(super) fn propose(&mut self, proposals: Vec<(Token, Bytes)>, store: &dyn Store) -> Result<(), StoreError> {
        let refusal = match &self.part {
            Part::Leader(leadership) if leadership.transfer.is_some() => {
                Some((RaftError::EBUSY, "Is transferring leadership."))
            }
            Part::Leader(_) => None,
            Part::Follower { .. } | Part::Candidate { .. } => Some((RaftError::EPERM, "Is not leader.")),
        };
        let room = usize::try_from(self.log.last() - self.commit).unwrap_or(usize::MAX);
        let mut room = self.options.proposals_max.saturating_sub(room);
        let mut entries = Vec::new();
        let (bytes_max, of_one_max) = (self.options.unwritten_bytes_max, self.options.proposal_bytes_max);
        let bytes_max = bytes_max + self.options.cache_bytes_max;
        for (token, data) in proposals {
            let full = room == 0 || self.log.bytes() > bytes_max;
            let refusal = refusal
                .or(full.then_some((RaftError::EBUSY, "Node is busy, has too many tasks.")))
                .or((data.len() > of_one_max).then_some((RaftError::EINVAL, "The command is too large.")));
            let proposed = match refusal {
                Some((code, message)) => Proposed::Refused(RaftError::new(code, message)),
                None => {
                    room -= 1;
                    let entry = self.next_entry(Payload::Data(data));
                    let at = Proposed::At(entry.index, entry.term);
                    self.log.push(entry.clone());
                    entries.push(entry);
                    at
                }
            };
            self.out.push(Output::Proposed(token, proposed));
        }
        if entries.is_empty() {
            return Ok(());
        }
        self.persist(Change::Append(entries));
        self.feed_all(store)
    }

    fn next_entry(&self, payload: Payload) -> Entry {
        Entry { index: self.log.last() + 1, term: self.hard.term, payload }
    }

    /// Puts a configuration into the log; it holds from now on.
    pub(super) fn append_configuration(
        &mut self,
        configuration: Configuration,
        store: &dyn Store,
    ) -> Result<(), StoreError> {
        let entry = self.next_entry(Payload::Configuration(configuration));
        self.log.push(entry.clone());
        self.persist(Change::Append(vec![entry]));
        self.feed_all(store)
    }

    pub(super) fn feed_all(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let followers = self.leadership().map(|it| it.followers.keys().cloned().collect::<Vec<_>>());
        for peer in followers.unwrap_or_default() {
            self.feed(&peer, store)?;
        }
        Ok(())
    }

    /// Sends a follower what it needs next, as far as may be on the way at once.
    pub(super) fn feed(&mut self, peer: &PeerId, store: &dyn Store) -> Result<(), StoreError> {
        loop {
            let (commit, in_flight_max) = (self.commit, self.options.appends_in_flight_max);
            let Some(follower) = self.follower(peer) else { return Ok(()) };
            let in_flight_max = if follower.feeding == Feeding::Entries { in_flight_max } else { 1 };
            if follower.blocked_until_ms > 0 || follower.in_flight.len() >= in_flight_max {
                return Ok(());
            }
            let (feeding, to_send) = (follower.feeding, follower.to_send);
            let idle = follower.heartbeats == 0 && follower.told_commit < commit;
            // The place before the first entry ever is known, compacted or not.
            let Some(term) = self.log.term_at(to_send - 1).filter(|_| to_send >= self.log.first()) else {
                self.send_snapshot(peer);
                return Ok(());
            };
            let prev = LogId { term, index: to_send - 1 };
            match feeding {
                Feeding::Snapshot => return Ok(()),
                Feeding::Probe => self.send_append(peer, prev, Vec::new(), AppendKind::Probe),
                Feeding::Entries if to_send > self.log.last() => {
                    if idle && self.follower(peer).is_some_and(|it| it.in_flight.is_empty()) {
                        // It learns of the commit now instead of by the next heartbeat.
                        self.heartbeat(peer);
                    }
                    return Ok(());
                }
                Feeding::Entries => {
                    let (count, bytes) = (self.options.append_entries_max, self.options.append_bytes_max);
                    let entries = self.log.entries(to_send, self.log.last(), count, bytes, store)?;
                    if entries.is_empty() {
                        return Err(StoreError::Damaged(format!("entry {to_send} is missing")));
                    }
                    self.send_append(peer, prev, entries, AppendKind::Entries);
                }
            }
        }
    }

    fn send_append(&mut self, peer: &PeerId, prev: LogId, entries: Vec<Entry>, kind: AppendKind) {
        let (now_ms, committed) = (self.now_ms, self.commit);
        let last = prev.index + u64::try_from(entries.len()).unwrap_or_default();
        let purpose = if kind == AppendKind::Entries { Purpose::Entries { last } } else { Purpose::Probe };
        let (from, term) = (self.me.clone(), self.hard.term);
        let append = AppendRequest { from, term, prev, entries, committed, kind };
        let outgoing = Outgoing { to: peer.clone(), sent_ms: now_ms, purpose };
        // Followers may write these while we do: our own copy counts only once it is durable.
        let id = self.call(outgoing, Request::Append(append), 0, self.options.timing.call_timeout_ms);
        if let Some(follower) = self.follower(peer) {
            follower.in_flight.push_back(id);
            follower.to_send = last + 1;
            follower.told_commit = committed.min(last);
        }
    }

    fn send_snapshot(&mut self, peer: &PeerId) {
        let meta = self.log.snapshot().clone();
        let last = meta.last_included_index;
        let outgoing = Outgoing { to: peer.clone(), sent_ms: self.now_ms, purpose: Purpose::Snapshot { last } };
        let request =
            Request::InstallSnapshot { from: self.me.clone(), term: self.hard.term, meta, uri: String::new() };
        let id = self.call(outgoing, request, 0, self.options.install_timeout_ms);
        if let Some(follower) = self.follower(peer) {
            follower.feeding = Feeding::Snapshot;
            follower.in_flight.push_back(id);
        }
    }

    /// A sign of life; its answer confirms the reads that wait.
    pub(super) fn heartbeat(&mut self, peer: &PeerId) {
        let committed = self.commit;
        let Some(next) = self.follower(peer).map(|follower| follower.next) else { return };
        // What was compacted is named 0/0, which every log agrees with (compat/spec/jraft.md §5).
        let prev = self.log.term_at(next - 1).map_or(LogId::default(), |term| LogId { term, index: next - 1 });
        let (round, timeout_ms) = (self.reads.round(), self.options.timing.heartbeat_timeout_ms);
        let (from, term, kind) = (self.me.clone(), self.hard.term, AppendKind::Heartbeat);
        let append = AppendRequest { from, term, prev, entries: Vec::new(), committed, kind };
        let purpose = Purpose::Heartbeat { round, prev };
        let outgoing = Outgoing { to: peer.clone(), sent_ms: self.now_ms, purpose };
        self.call(outgoing, Request::Append(append), 0, timeout_ms);
        if let Some(follower) = self.follower(peer) {
            follower.heartbeats += 1;
            follower.told_commit = follower.told_commit.max(committed.min(prev.index));
        }
    }

    pub(super) fn on_answer(
        &mut self,
        id: u64,
        answer: Result<Response, NoAnswer>,
        store: &dyn Store,
    ) -> Result<(), StoreError> {
        let Some(Outgoing { to, sent_ms, purpose }) = self.calls.remove(&id) else { return Ok(()) };
        match purpose {
            Purpose::PreVote | Purpose::Vote => self.on_vote_answer(to, purpose, answer, store),
            Purpose::ReadIndex => {
                self.on_read_index_answer(answer);
                Ok(())
            }
            Purpose::TimeoutNow => {
                self.on_timeout_now_answer(&answer);
                Ok(())
            }
            Purpose::Heartbeat { round, prev } => self.on_heartbeat_answer(&to, sent_ms, round, prev, &answer, store),
            Purpose::Probe => self.on_append_answer(id, &to, sent_ms, None, &answer, store),
            Purpose::Entries { last } => self.on_append_answer(id, &to, sent_ms, Some(last), &answer, store),
            Purpose::Snapshot { last } => self.on_snapshot_answer(id, &to, sent_ms, last, &answer, store),
        }
    }

    fn on_heartbeat_answer(
        &mut self,
        peer: &PeerId,
        sent_ms: u64,
        round: u64,
        prev: LogId,
        answer: &Result<Response, NoAnswer>,
        store: &dyn Store,
    ) -> Result<(), StoreError> {
        let my_term = self.hard.term;
        let Some(follower) = self.follower(peer) else { return Ok(()) };
        follower.heartbeats = follower.heartbeats.saturating_sub(1);
        let Ok(Response::Append { term, success, .. }) = *answer else { return Ok(()) };
        if term > my_term {
            self.step_down(term, "a follower is in a later term");
            return Ok(());
        }
        if term < my_term {
            return Ok(());
        }
        follower.answered_ms = follower.answered_ms.max(sent_ms);
        if !success && follower.feeding == Feeding::Entries && follower.next == prev.index + 1 {
            follower.probe_again();
        }
        // Whether or not the logs agree: in this term it follows nobody else.
        self.confirm_reads(peer, round);
        self.feed(peer, store)
    }

    /// To a probe, or to entries up to `last`.
    fn on_append_answer(
        &mut self,
        id: u64,
        peer: &PeerId,
        sent_ms: u64,
        last: Option<Index>,
        answer: &Result<Response, NoAnswer>,
        store: &dyn Store,
    ) -> Result<(), StoreError> {
        let (my_term, blocked_until_ms) = (self.hard.term, self.now_ms + self.options.timing.heartbeat_ms);
        let Some(follower) = self.follower(peer) else { return Ok(()) };
        let Some(place) = follower.in_flight.iter().position(|it| *it == id) else { return Ok(()) };
        follower.in_flight.remove(place);
        match *answer {
            Ok(Response::Append { term, .. }) if term > my_term => {
                self.step_down(term, "a follower is in a later term");
                return Ok(());
            }
            Ok(Response::Append { term, success: true, .. }) if term == my_term => {
                follower.answered_ms = follower.answered_ms.max(sent_ms);
                follower.feeding = Feeding::Entries;
                follower.agreed = true;
                if let Some(last) = last {
                    // A probe says nothing of what is durable there.
                    follower.has(last);
                    follower.matched = follower.matched.max(last);
                    self.advance_commit(store)?;
                }
            }
            Ok(Response::Append { term, success: false, last_log_index }) if term == my_term => {
                follower.answered_ms = follower.answered_ms.max(sent_ms);
                follower.step_back(last_log_index);
            }
            _ => {
                follower.probe_again();
                follower.blocked_until_ms = blocked_until_ms;
            }
        }
        self.feed(peer, store)?;
        self.hand_over(peer);
        Ok(())
    }

    fn on_snapshot_answer(
        &mut self,
        id: u64,
        peer: &PeerId,
        sent_ms: u64,
        last: Index,
        answer: &Result<Response, NoAnswer>,
        store: &dyn Store,
    ) -> Result<(), StoreError> {
        let (my_term, blocked_until_ms) = (self.hard.term, self.now_ms + self.options.timing.heartbeat_ms);
        let Some(follower) = self.follower(peer) else { return Ok(()) };
        if !follower.in_flight.contains(&id) {
            return Ok(());
        }
        let later = match *answer {
            Ok(Response::InstallSnapshot { term, success: true }) if term <= my_term => {
                follower.answered_ms = follower.answered_ms.max(sent_ms);
                follower.has(last);
                None
            }
            Ok(Response::InstallSnapshot { term, .. }) if term > my_term => Some(term),
            _ => {
                follower.blocked_until_ms = blocked_until_ms;
                None
            }
        };
        follower.probe_again();
        match later {
            Some(term) => {
                self.step_down(term, "a follower is in a later term");
                Ok(())
            }
            None => self.feed(peer, store),
        }
    }

    /// Commits what a majority has, if it is of this term (or before an entry that is).
    pub(super) fn advance_commit(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let Part::Leader(leadership) = &self.part else { return Ok(()) };
        let configuration = self.log.configuration();
        let has = |peer: &PeerId| match leadership.followers.get(peer) {
            Some(follower) => follower.matched,
            None if *peer == self.me => self.log.persisted(),
            None => 0,
        };
        let mut candidates: Vec<Index> = configuration.voters().map(has).collect();
        candidates.sort_unstable_by(|a, b| b.cmp(a));
        let first = if self.is_broken(Flaw::CommitOlderTerm) { 0 } else { leadership.start };
        let hasty = self.is_broken(Flaw::CommitWithoutMajority);
        let committed = candidates
            .into_iter()
            .find(|index| *index >= first && (hasty || configuration.is_majority(|peer| has(peer) >= *index)));
        let Some(committed) = committed.filter(|committed| *committed > self.commit) else { return Ok(()) };
        self.commit = committed;
        self.on_commit(store)?;
        self.feed_all(store)
    }
}
