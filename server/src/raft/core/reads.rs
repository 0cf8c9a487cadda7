//! Linearizable reads: a leader proves that it still leads by a round of heartbeats; a follower asks its leader
//! (compat/spec/jraft.md §5, ReadIndex).
//!
//! A read that comes while a round is under way waits for the next: the answers on the way may be older than it.

use super::member::{Flaw, Member, Part};
use super::message::{CallId, NoAnswer, Output, RaftError, Request, Response, Token};
use super::progress::{Outgoing, Purpose};
use super::types::{Configuration, Index, PeerId};

/// Reads waiting, of all kinds.
const WAITING_MAX: usize = 16_384;

/// Who wants to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Here(Token),
    Peer(CallId),
}

/// Reads confirmed together.
#[derive(Debug)]
struct Round {
    index: Index,
    readers: Vec<Reader>,
    confirmed: Vec<PeerId>,
}

/// The reads of a member.
#[derive(Debug, Default)]
pub(super) struct Reads {
    waiting: Vec<Reader>,
    /// A leader's round under way.
    current: Option<Round>,
    rounds: u64,
    /// Those for whom a follower asked its leader.
    asked: Option<Vec<Reader>>,
}

impl Reads {
    /// The round that a heartbeat sent now confirms.
    pub(super) fn round(&self) -> u64 {
        self.rounds
    }
}

impl Member {
    pub(super) fn read_locally(&mut self, token: Token) {
        self.read(Reader::Here(token));
    }

    pub(super) fn on_read_index(&mut self, call: CallId, from: &PeerId) {
        // A follower of an official group passes such a question on, and the leader's refusal back.
        let is_led = self.leader.is_some() || matches!(self.part, Part::Leader(_));
        if is_led && !self.log.configuration().contains(from) {
            let message = format!("Peer {from} is not in current configuration: {}.", self.configuration_entry());
            return self.reply_error(call, RaftError::EPERM, message);
        }
        self.read(Reader::Peer(call));
    }

    /// As official members print it.
    fn configuration_entry(&self) -> String {
        let index = self.log.configuration_index();
        let term = self.log.term_at(index).unwrap_or_default();
        let list = |peers: &[PeerId]| peers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let Configuration { peers, old_peers, .. } = self.log.configuration();
        let (conf, old) = (list(peers), list(old_peers));
        format!("ConfigurationEntry [id=LogId [index={index}, term={term}], conf={conf}, oldConf={old}]")
    }

    fn read(&mut self, reader: Reader) {
        if self.reads.waiting.len() >= WAITING_MAX {
            let error = RaftError::new(RaftError::EBUSY, "Node is busy, has too many read-index requests.");
            return self.answer_read(reader, Err(error));
        }
        self.reads.waiting.push(reader);
        self.serve_reads();
    }

    /// Starts the next round, if none is under way.
    fn serve_reads(&mut self) {
        if self.reads.waiting.is_empty() {
            return;
        }
        let (code, message) = match &self.part {
            Part::Leader(_) if self.log.term_at(self.commit) != Some(self.hard.term) => {
                let message = format!(
                    "ReadIndex request rejected because leader has not committed any log entry at its term, \
                     logIndex={}, currTerm={}.",
                    self.commit, self.hard.term
                );
                (RaftError::EAGAIN, message)
            }
            Part::Leader(_) => return self.start_round(),
            Part::Follower { .. } => match self.leader.clone() {
                Some(leader) => return self.ask_leader(leader),
                None => (RaftError::EPERM, format!("No leader at term {}.", self.hard.term)),
            },
            Part::Candidate { .. } => (RaftError::EPERM, "Invalid state for readIndex: STATE_CANDIDATE.".to_owned()),
        };
        for reader in std::mem::take(&mut self.reads.waiting) {
            self.answer_read(reader, Err(RaftError::new(code, message.clone())));
        }
    }

    fn start_round(&mut self) {
        if self.reads.current.is_some() {
            return;
        }
        let readers = std::mem::take(&mut self.reads.waiting);
        if self.is_broken(Flaw::StaleRead) {
            return readers.into_iter().for_each(|reader| self.answer_read(reader, Ok(self.commit)));
        }
        self.reads.rounds += 1;
        self.reads.current = Some(Round { index: self.commit, readers, confirmed: vec![self.me.clone()] });
        for peer in self.voters_but_me() {
            self.heartbeat(&peer);
        }
        self.finish_round();
    }

    /// A peer answered a heartbeat that was sent in this round.
    pub(super) fn confirm_reads(&mut self, peer: &PeerId, round: u64) {
        let rounds = self.reads.rounds;
        if let Some(current) = &mut self.reads.current
            && round >= rounds
            && !current.confirmed.contains(peer)
        {
            current.confirmed.push(peer.clone());
            self.finish_round();
        }
    }

    fn finish_round(&mut self) {
        let configuration = self.log.configuration();
        let done = |round: &mut Round| configuration.is_majority(|peer| round.confirmed.contains(peer));
        let Some(round) = self.reads.current.take_if(done) else { return };
        for reader in round.readers {
            self.answer_read(reader, Ok(round.index));
        }
        self.serve_reads();
    }

    fn ask_leader(&mut self, leader: PeerId) {
        if self.reads.asked.is_some() {
            return;
        }
        self.reads.asked = Some(std::mem::take(&mut self.reads.waiting));
        let outgoing = Outgoing { to: leader, sent_ms: self.now_ms, purpose: Purpose::ReadIndex };
        let request = Request::ReadIndex { from: self.me.clone() };
        self.call(outgoing, request, 0, self.options.timing.call_timeout_ms);
    }

    pub(super) fn on_read_index_answer(&mut self, answer: Result<Response, NoAnswer>) {
        let result = match answer {
            Ok(Response::ReadIndex { index }) => Ok(index),
            Ok(Response::Error(error)) => Err(error),
            Ok(_) => Err(RaftError::new(RaftError::EINVAL, "the leader's answer makes no sense")),
            Err(NoAnswer) => Err(RaftError::new(RaftError::ERAFTTIMEDOUT, "the leader did not answer")),
        };
        for reader in self.reads.asked.take().unwrap_or_default() {
            self.answer_read(reader, result.clone());
        }
        self.serve_reads();
    }

    /// Nobody leads any more, or somebody else.
    pub(super) fn fail_reads(&mut self, why: &str) {
        let current = self.reads.current.take().map(|round| round.readers);
        let asked = self.reads.asked.take();
        let waiting = std::mem::take(&mut self.reads.waiting);
        for reader in current.into_iter().chain(asked).flatten().chain(waiting) {
            self.answer_read(reader, Err(RaftError::new(RaftError::EPERM, format!("No leader any more: {why}."))));
        }
    }

    fn answer_read(&mut self, reader: Reader, result: Result<Index, RaftError>) {
        match (reader, result) {
            (Reader::Here(token), result) => self.out.push(Output::Read(token, result)),
            (Reader::Peer(call), Ok(index)) => self.reply(call, Response::ReadIndex { index }),
            (Reader::Peer(call), Err(error)) => self.reply(call, Response::Error(error)),
        }
    }
}
