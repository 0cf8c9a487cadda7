//! Other voters, another leader (compat/spec/jraft.md §1, §5): a change goes through a joint configuration, and a new
//! peer first gets the log.

use super::member::{Member, Part};
use super::message::{MembershipChange, NoAnswer, Output, RaftError, Request, Response, Token};
use super::progress::{Outgoing, Progress, Purpose};
use super::store::{Store, StoreError};
use super::types::{Configuration, Index, PeerId};

/// The leader hands over.
#[derive(Debug)]
pub(super) struct Transfer {
    to: PeerId,
    /// It must have the log up to here.
    index: Index,
    /// It was told to stand for election.
    sent: bool,
    /// After this the leader goes on.
    pub(super) deadline_ms: u64,
}

/// A change of voters under way.
#[derive(Debug)]
pub(super) struct PeersChange {
    pub(super) token: Token,
    peers: Vec<PeerId>,
    /// They get the log; empty once the change is in the log.
    adding: Vec<PeerId>,
    /// In the log, as a joint configuration or as the one after.
    written: bool,
    /// When to look again whether they have got it.
    pub(super) due_ms: u64,
}

fn error(code: i32, message: &str) -> RaftError {
    RaftError::new(code, message)
}

impl Member {
    fn done(&mut self, token: Token, result: Result<(), RaftError>) {
        self.out.push(Output::Done(token, result));
    }

    /// Whether the voters are being changed, or the first entry of the term is not committed yet.
    fn is_changing(&self) -> bool {
        let under_way = matches!(&self.part, Part::Leader(leadership) if leadership.change.is_some());
        under_way || self.log.configuration_index() > self.commit || self.log.configuration().is_joint()
    }

    pub(super) fn transfer(&mut self, token: Token, to: Option<PeerId>, store: &dyn Store) -> Result<(), StoreError> {
        let result = self.start_transfer(to);
        let to = result.as_ref().ok().cloned().flatten();
        self.done(token, result.map(|_| ()));
        if let Some(to) = to {
            self.feed(&to, store)?;
            self.hand_over(&to);
        }
        Ok(())
    }

    fn start_transfer(&mut self, to: Option<PeerId>) -> Result<Option<PeerId>, RaftError> {
        let changing = self.is_changing();
        let (index, deadline_ms) = (self.log.last(), self.now_ms + self.options.timing.election_ms);
        let is_voter = to.as_ref().is_some_and(|to| self.log.configuration().contains(to));
        let me = self.me.clone();
        let leadership = self.leadership().ok_or_else(|| error(RaftError::EPERM, "Not a leader"))?;
        if leadership.transfer.is_some() {
            return Err(error(RaftError::EBUSY, "Not a leader"));
        }
        if changing {
            return Err(error(RaftError::EBUSY, "Changing the configuration"));
        }
        let to = match to {
            Some(to) if to == me => return Ok(None),
            Some(_) if !is_voter => return Err(error(RaftError::EINVAL, "Not in current configuration")),
            Some(to) => to,
            None => {
                let best = leadership.followers.iter().max_by_key(|(_, follower)| follower.next);
                best.map(|(peer, _)| peer.clone()).ok_or_else(|| error(-1, "Candidate not found for any peer"))?
            }
        };
        leadership.transfer = Some(Transfer { to: to.clone(), index, sent: false, deadline_ms });
        Ok(Some(to))
    }

    /// Tells the next leader to stand for election, once it has the log.
    pub(super) fn hand_over(&mut self, peer: &PeerId) {
        let Some(leadership) = self.leadership() else { return };
        let Some(transfer) = &mut leadership.transfer else { return };
        let next = leadership.followers.get(peer).filter(|follower| follower.agreed).map_or(0, |it| it.next);
        if transfer.to == *peer && !transfer.sent && next > transfer.index {
            transfer.sent = true;
            self.send_timeout_now(peer.clone());
        }
    }

    fn send_timeout_now(&mut self, to: PeerId) {
        let outgoing = Outgoing { to, sent_ms: self.now_ms, purpose: Purpose::TimeoutNow };
        let request = Request::TimeoutNow { from: self.me.clone(), term: self.hard.term };
        // It stands on nothing that is not durable: this term was, before it was won. A leader that cannot write any more
        // can so still hand over.
        self.call(outgoing, request, 0, self.options.timing.call_timeout_ms);
    }

    pub(super) fn on_timeout_now_answer(&mut self, answer: &Result<Response, NoAnswer>) {
        if let Ok(Response::TimeoutNow { term, .. }) = *answer
            && term > self.hard.term
        {
            self.step_down(term, "another stands for election as asked");
        }
    }

    pub(super) fn tick_transfer(&mut self) {
        let now_ms = self.now_ms;
        if let Some(leadership) = self.leadership() {
            // It did not come off: the leader goes on leading.
            leadership.transfer.take_if(|transfer| transfer.deadline_ms <= now_ms);
        }
    }

    pub(super) fn change_peers(
        &mut self,
        token: Token,
        change: MembershipChange,
        store: &dyn Store,
    ) -> Result<(), StoreError> {
        match self.start_change(token, change) {
            Ok(true) => self.go_on_changing(store),
            Ok(false) => {
                self.done(token, Ok(()));
                Ok(())
            }
            Err(error) => {
                self.done(token, Err(error));
                Ok(())
            }
        }
    }

    /// Whether there is anything to change.
    fn start_change(&mut self, token: Token, change: MembershipChange) -> Result<bool, RaftError> {
        let (now_ms, timing) = (self.now_ms, self.options.timing);
        let present = self.log.configuration().peers.clone();
        let changing = self.is_changing();
        let me = self.me.clone();
        let next = self.log.last() + 1;
        let leadership = self.leadership().ok_or_else(|| error(RaftError::EPERM, "Not leader"))?;
        if leadership.transfer.is_some() {
            return Err(error(RaftError::EBUSY, "Is transferring leadership."));
        }
        if changing {
            return Err(error(RaftError::EBUSY, "Doing another configuration change."));
        }
        let mut peers = present.clone();
        match change {
            MembershipChange::Add(peer) if peers.contains(&peer) => {}
            MembershipChange::Add(peer) => peers.push(peer),
            MembershipChange::Remove(peer) => peers.retain(|it| *it != peer),
            MembershipChange::To(to) => peers = to,
        }
        peers.dedup();
        if peers.is_empty() {
            return Err(error(RaftError::EINVAL, "A group needs a peer."));
        }
        if peers.len() == present.len() && peers.iter().all(|peer| present.contains(peer)) {
            return Ok(false);
        }
        let adding: Vec<PeerId> = peers.iter().filter(|it| !present.contains(it) && **it != me).cloned().collect();
        for peer in &adding {
            let new = || Progress::new(next, now_ms, timing.heartbeat_ms);
            leadership.followers.entry(peer.clone()).or_insert_with(new);
        }
        let due_ms = now_ms + timing.election_ms;
        leadership.change = Some(PeersChange { token, peers, adding, written: false, due_ms });
        Ok(true)
    }

    fn go_on_changing(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        self.feed_all(store)?;
        self.write_change(store)
    }

    /// Puts the change into the log once all new peers have nearly all of it.
    fn write_change(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let (last, margin) = (self.log.last(), self.options.catch_up_margin);
        let present = self.log.configuration().clone();
        let Some(leadership) = self.leadership() else { return Ok(()) };
        let followers = &leadership.followers;
        let Some(change) = leadership.change.as_mut().filter(|change| !change.written) else { return Ok(()) };
        let caught_up = |peer: &PeerId| followers.get(peer).is_some_and(|it| it.agreed && it.next - 1 + margin >= last);
        change.adding.retain(|peer| !caught_up(peer));
        if !change.adding.is_empty() {
            return Ok(());
        }
        change.written = true;
        change.due_ms = u64::MAX;
        let joint = Configuration { peers: change.peers.clone(), old_peers: present.peers.clone(), ..present };
        self.append_configuration(joint, store)
    }

    pub(super) fn tick_change(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        self.write_change(store)?;
        let (now_ms, election_ms) = (self.now_ms, self.options.timing.election_ms);
        let voters: Vec<PeerId> = self.log.configuration().voters().cloned().collect();
        let Some(leadership) = self.leadership() else { return Ok(()) };
        let Some(change) = leadership.change.as_mut().filter(|it| !it.written && it.due_ms <= now_ms) else {
            return Ok(());
        };
        change.due_ms = now_ms + election_ms;
        let followers = &leadership.followers;
        let silent = |peer: &&PeerId| {
            followers.get(*peer).is_none_or(|it| !it.agreed || now_ms.saturating_sub(it.answered_ms) > election_ms)
        };
        let Some(silent) = change.adding.iter().find(silent).cloned() else { return Ok(()) };
        let token = change.token;
        leadership.change = None;
        leadership.followers.retain(|peer, _| voters.contains(peer));
        let failed = RaftError::new(RaftError::ECATCHUP, format!("Peer {silent} failed to catch up."));
        self.done(token, Err(failed));
        Ok(())
    }

    /// After a commit: goes on from a joint configuration to the one after it, and ends a change.
    pub(super) fn on_commit(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let configuration = self.log.configuration().clone();
        if self.log.configuration_index() > self.commit {
            return Ok(());
        }
        if configuration.is_joint() {
            let (peers, learners) = (configuration.peers, configuration.learners);
            let after = Configuration { peers, learners, ..Configuration::default() };
            // Those who go get it, too, as far as they can be reached.
            return self.append_configuration(after, store);
        }
        let Some(leadership) = self.leadership() else { return Ok(()) };
        let change = leadership.change.take_if(|change| change.written);
        // Those of a change that is not written yet are fed, whether or not they caught up.
        let coming = leadership.change.as_ref().map(|change| change.peers.clone()).unwrap_or_default();
        leadership.followers.retain(|peer, _| configuration.contains(peer) || coming.contains(peer));
        if let Some(change) = change {
            self.done(change.token, Ok(()));
        }
        if !configuration.contains(&self.me) {
            let leadership = self.leadership();
            let followers = leadership.map(|leadership| &leadership.followers).into_iter().flatten();
            let next = followers.max_by_key(|(_, follower)| follower.next).map(|(peer, _)| peer.clone());
            if let Some(next) = next {
                self.send_timeout_now(next);
            }
            self.step_down(self.hard.term, "this node was removed");
        }
        Ok(())
    }
}
