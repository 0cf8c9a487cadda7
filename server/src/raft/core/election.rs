//! Elections: pre-vote, vote, the change of term, standing for election on request (compat/spec/jraft.md §5).

use rand::RngExt;

use super::leader::Leadership;
use super::member::{Flaw, Member, Part};
use super::message::{CallId, LogId, NoAnswer, Output, RaftError, Request, Response, Ticket, VoteRequest};
use super::progress::{Outgoing, Purpose};
use super::store::{Change, Store, StoreError};
use super::types::{PeerId, Term};

impl Member {
    pub(super) fn rearm_election(&mut self) {
        let timing = &self.options.timing;
        let spread = self.rng.random_range(0..timing.election_spread_ms.max(1));
        self.election_due_ms = self.now_ms + timing.election_ms + spread;
    }

    pub(super) fn tick_election(&mut self) {
        if self.now_ms < self.election_due_ms {
            return;
        }
        match self.part {
            Part::Leader(_) => {}
            Part::Follower { .. } => {
                self.rearm_election();
                self.leader = None;
                self.pre_vote();
            }
            Part::Candidate { .. } => {
                self.step_down(self.hard.term, "no majority voted in time");
                self.pre_vote();
            }
        }
    }

    /// Asks whether an election could be won, without disturbing anybody.
    fn pre_vote(&mut self) {
        // While a snapshot comes in, the configuration may be an old one.
        if self.installing.is_some() || !self.may_stand() {
            return;
        }
        self.drop_calls(|purpose| matches!(purpose, Purpose::PreVote | Purpose::Vote));
        self.part = Part::Follower { pre_votes: Some(vec![self.me.clone()]) };
        self.ask_for_votes(true);
        self.count_pre_votes();
    }

    /// Voters may. So may one that is to go, until its going is committed: it may be the only one left that has the
    /// entry which says so, and whoever stays gets no votes from those that have it.
    fn may_stand(&self) -> bool {
        // Without any log it may: only those who have none, either, vote for it, which is how a group begins.
        let is_incomplete = self.hard.newcomer && self.log.last() > 0;
        !is_incomplete
            && self.log.configurations_since(self.commit).any(|configuration| configuration.contains(&self.me))
    }

    fn ask_for_votes(&mut self, pre_vote: bool) {
        let term = self.hard.term + u64::from(pre_vote);
        let purpose = if pre_vote { Purpose::PreVote } else { Purpose::Vote };
        for to in self.voters_but_me() {
            let vote = VoteRequest { from: self.me.clone(), term, last: self.log.last_id(), pre_vote };
            let outgoing = Outgoing { to, sent_ms: self.now_ms, purpose };
            let (after, timeout_ms) = (self.ticket, self.options.timing.election_ms);
            self.call(outgoing, Request::Vote(vote), after, timeout_ms);
        }
    }

    fn count_pre_votes(&mut self) {
        if let Part::Follower { pre_votes: Some(votes) } = &self.part
            && self.log.configuration().is_majority(|peer| votes.contains(peer))
        {
            self.elect();
        }
    }

    /// Stands for election in the next term.
    fn elect(&mut self) {
        if !self.may_stand() {
            return;
        }
        self.drop_calls(|_| true);
        self.fail_reads("an election is under way");
        self.leader = None;
        self.set_term(self.hard.term + 1, Some(self.me.clone()));
        self.part = Part::Candidate { votes: Vec::new(), vote: self.ticket };
        self.rearm_election();
        self.ask_for_votes(false);
    }

    /// A candidate votes for itself as durably as for others.
    pub(super) fn count_own_vote(&mut self, durable: Ticket, store: &dyn Store) -> Result<(), StoreError> {
        if let Part::Candidate { votes, vote } = &mut self.part
            && *vote <= durable
            && !votes.contains(&self.me)
        {
            votes.push(self.me.clone());
            return self.count_votes(store);
        }
        Ok(())
    }

    fn count_votes(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        if let Part::Candidate { votes, .. } = &self.part
            && self.log.configuration().is_majority(|peer| votes.contains(peer))
        {
            return self.become_leader(store);
        }
        Ok(())
    }

    pub(super) fn on_vote_answer(
        &mut self,
        from: PeerId,
        purpose: Purpose,
        answer: Result<Response, NoAnswer>,
        store: &dyn Store,
    ) -> Result<(), StoreError> {
        let Ok(Response::Vote { term, granted }) = answer else { return Ok(()) };
        if term > self.hard.term {
            self.step_down(term, "a voter is in a later term");
            return Ok(());
        }
        match (&mut self.part, purpose) {
            (Part::Follower { pre_votes: Some(votes) }, Purpose::PreVote) if granted && !votes.contains(&from) => {
                votes.push(from);
                self.count_pre_votes();
                Ok(())
            }
            (Part::Follower { pre_votes: Some(_) }, Purpose::PreVote) if !granted => {
                self.ask_again_soon();
                Ok(())
            }
            (Part::Candidate { votes, .. }, Purpose::Vote) if granted && !votes.contains(&from) => {
                votes.push(from);
                self.count_votes(store)
            }
            _ => Ok(()),
        }
    }

    /// A voter refuses until it, too, has not heard of the leader for an election timeout, which may be a heartbeat later
    /// than here. Waiting for the timer's next round would double the time without a leader. Once that is surely past,
    /// there is another reason to refuse, and no hurry.
    fn ask_again_soon(&mut self) {
        let timing = self.options.timing;
        let silence = self.now_ms.saturating_sub(self.leader_heard_ms);
        if silence < 2 * timing.election_ms {
            let pause = timing.heartbeat_ms + self.rng.random_range(0..timing.heartbeat_ms.max(1));
            self.election_due_ms = self.election_due_ms.min(self.now_ms + pause);
        }
    }

    fn become_leader(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        self.drop_calls(|_| true);
        self.leader = Some(self.me.clone());
        self.complete();
        let next = self.log.last() + 1;
        let leadership = Leadership::new(next, self.voters_but_me(), self.now_ms, &self.options);
        self.part = Part::Leader(Box::new(leadership));
        // The first entry of a term is the configuration, never an empty one (compat/spec/jraft.md §13).
        let configuration = self.log.configuration().clone();
        self.append_configuration(configuration, store)
    }

    /// Becomes a follower of nobody, in this or a later term.
    pub(super) fn step_down(&mut self, term: Term, why: &str) {
        let was = std::mem::replace(&mut self.part, Part::Follower { pre_votes: None });
        self.drop_calls(|_| true);
        self.fail_reads(why);
        if let Part::Leader(leadership) = was {
            self.out.push(Output::Abandon(self.commit));
            if let Some(change) = leadership.change {
                let error = RaftError::new(RaftError::EPERM, "Leader stepped down.");
                self.out.push(Output::Done(change.token, Err(error)));
            }
        }
        self.leader = None;
        self.leader_heard_ms = self.now_ms;
        if term > self.hard.term {
            self.set_term(term, None);
        }
        self.rearm_election();
    }

    pub(super) fn drop_calls(&mut self, which: impl Fn(Purpose) -> bool) {
        self.calls.retain(|_, outgoing| !which(outgoing.purpose));
    }

    fn may_lead(&self, last: LogId) -> bool {
        if self.hard.newcomer && last.index > 0 {
            return false;
        }
        last >= self.log.last_id() || self.is_broken(Flaw::VoteForOlderLog)
    }

    /// A newcomer has what it may have promised before: from now on it votes like everybody.
    pub(super) fn complete(&mut self) {
        if self.hard.newcomer {
            self.hard.newcomer = false;
            self.persist(Change::HardState(self.hard.clone()));
        }
    }

    pub(super) fn on_pre_vote(&mut self, call: CallId, vote: &VoteRequest) {
        let silence = self.now_ms.saturating_sub(self.leader_heard_ms);
        let led = match self.part {
            // A leader without a majority steps down by itself.
            Part::Leader(_) => true,
            _ => self.leader.is_some() && silence < self.options.timing.election_ms,
        };
        let granted = self.log.configuration().contains(&vote.from)
            && !led
            && vote.term >= self.hard.term
            && self.may_lead(vote.last);
        self.reply(call, Response::Vote { term: self.hard.term, granted });
    }

    pub(super) fn on_vote(&mut self, call: CallId, vote: VoteRequest) {
        if vote.term > self.hard.term {
            self.step_down(vote.term, "a candidate is in a later term");
        }
        if vote.term == self.hard.term {
            let free = self.hard.voted_for.is_none() || self.is_broken(Flaw::VoteTwice);
            if free && self.may_lead(vote.last) && !matches!(self.part, Part::Leader(_)) {
                self.step_down(vote.term, "it votes for another");
                self.set_term(vote.term, Some(vote.from.clone()));
            }
        }
        let granted = vote.term == self.hard.term && self.hard.voted_for.as_ref() == Some(&vote.from);
        self.reply(call, Response::Vote { term: self.hard.term, granted });
    }

    pub(super) fn on_timeout_now(&mut self, call: CallId, term: Term) {
        if term > self.hard.term {
            self.step_down(term, "the leader is in a later term");
        } else if term == self.hard.term
            && matches!(self.part, Part::Follower { .. })
            && self.installing.is_none()
            && self.may_stand()
        {
            // Exactly one more: with any other the old leader would refuse the vote (compat/spec/jraft.md §5).
            self.reply(call, Response::TimeoutNow { term: term + 1, success: true });
            self.elect();
            return;
        }
        self.reply(call, Response::TimeoutNow { term: self.hard.term, success: false });
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::MemoryStore;
    use super::super::message::{AppendKind, AppendRequest, Input};
    use super::super::options::{Options, Timing};
    use super::super::types::{Configuration, Entry, HardState, Payload};
    use super::*;

    fn peer(n: u16) -> PeerId {
        PeerId::parse(&format!("h:{n}")).unwrap()
    }

    /// A member that begins without a log in a group of three.
    fn newcomer() -> (Member, MemoryStore) {
        let store = MemoryStore::default();
        store.write(&[Change::HardState(HardState { newcomer: true, ..HardState::default() })]).unwrap();
        let voters = Configuration::of([peer(1), peer(2), peer(3)]);
        let member = Member::load(peer(1), Options::default(), voters, 1, 0, &store).unwrap();
        (member, store)
    }

    fn granted(member: &mut Member, store: &MemoryStore, term: Term, last: LogId, pre_vote: bool) -> bool {
        let vote = VoteRequest { from: peer(2), term, last, pre_vote };
        let out = member.step(10_000, Input::Request(1, Request::Vote(vote)), store);
        let answer = |it: Output| match it {
            Output::Reply(_, Response::Vote { granted, .. }, _) => Some(granted),
            _ => None,
        };
        out.into_iter().find_map(answer).unwrap()
    }

    fn append(member: &mut Member, store: &MemoryStore, term: Term, prev: LogId, upto: u64, committed: u64) {
        let entries = (prev.index + 1..=upto).map(|index| Entry { index, term, payload: Payload::NoOp }).collect();
        let append = AppendRequest { from: peer(3), term, prev, entries, committed, kind: AppendKind::Entries };
        member.step(1, Input::Request(2, Request::Append(append)), store);
    }

    const NONE: LogId = LogId { term: 0, index: 0 };

    #[test]
    fn a_group_of_newcomers_begins() {
        let (mut member, store) = newcomer();
        assert!(granted(&mut member, &store, 1, NONE, true) && granted(&mut member, &store, 1, NONE, false));
        assert!(member.is_newcomer());
    }

    /// The pre-votes that a member asks for at a moment, if any.
    fn asked_at(member: &mut Member, store: &MemoryStore, now_ms: u64) -> Vec<CallId> {
        let out = member.step(now_ms, Input::Tick, store).into_iter();
        let pre_vote = |it| match it {
            Output::Call { id, request: Request::Vote(vote), .. } if vote.pre_vote => Some(id),
            _ => None,
        };
        out.filter_map(pre_vote).collect()
    }

    #[test]
    fn who_is_refused_because_the_leader_was_heard_a_little_later_asks_again_soon() {
        let timing = Timing::OFFICIAL;
        let (mut member, store) = newcomer();
        let first = timing.election_ms + timing.election_spread_ms;
        let asked = asked_at(&mut member, &store, first);
        assert_eq!(asked.len(), 2);
        let refused = |term| Ok(Response::Vote { term, granted: false });
        member.step(first, Input::Answer(asked[0], refused(0)), &store);
        assert!(asked_at(&mut member, &store, first + timing.heartbeat_ms - 1).is_empty(), "not at once");
        let asked = asked_at(&mut member, &store, first + 2 * timing.heartbeat_ms);
        assert_eq!(asked.len(), 2);

        // Long after, the refusal has another reason: the timer's next round is soon enough.
        let late = 3 * timing.election_ms;
        let asked = asked_at(&mut member, &store, late);
        assert_eq!(asked.len(), 2);
        member.step(late, Input::Answer(asked[0], refused(0)), &store);
        assert!(asked_at(&mut member, &store, late + timing.election_ms - 1).is_empty());
    }

    #[test]
    fn one_that_lost_its_log_votes_again_when_a_leader_gave_it_all() {
        let (mut member, store) = newcomer();
        let old = LogId { term: 3, index: 4 };
        for pre_vote in [true, false] {
            // It may have promised an entry 5 that this candidate does not have.
            assert!(!granted(&mut member, &store, 4, old, pre_vote));
        }
        append(&mut member, &store, 5, NONE, 2, 5);
        assert!(member.is_newcomer() && !member.may_stand(), "5 are committed, and it has 2");
        assert!(!granted(&mut member, &store, 6, LogId { term: 5, index: 9 }, true));
        append(&mut member, &store, 6, LogId { term: 5, index: 2 }, 5, 5);
        assert!(!member.is_newcomer() && member.may_stand());
        let (at_five, behind) = (LogId { term: 6, index: 5 }, LogId { term: 5, index: 9 });
        assert!(granted(&mut member, &store, 7, at_five, false) && !granted(&mut member, &store, 8, behind, false));
    }
}
