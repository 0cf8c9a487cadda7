//! What must hold whatever happens.
//!
//! - election safety: one leader a term;
//! - log matching: an index and a term name one entry, and one entry before it;
//! - leader completeness: a new leader has all that was ever committed;
//! - state machine safety: all apply the same entry at an index;
//! - linearizability: each write takes effect at its entry and each read at the last entry applied where it is served;
//!   both must lie behind all that was answered before it was asked. That order is a witness, so nothing is searched.

use std::collections::HashMap;

use super::node::State;
use crate::raft::core::message::Token;
use crate::raft::core::{Entry, Index, PeerId, Term};

/// What was broken, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Violation(pub(super) String);

type Checked = Result<(), Violation>;

fn violated<T>(what: String) -> Result<T, Violation> {
    Err(Violation(what))
}

/// All that was seen so far.
#[derive(Debug, Default)]
pub(super) struct Checks {
    leaders: HashMap<Term, PeerId>,
    /// Entry and the term of the one before it, by index and term.
    entries: HashMap<(Index, Term), (Entry, Term)>,
    /// Applied anywhere: entry and the state after it, from index 1 on.
    pub(super) applied: Vec<(Entry, State)>,
    /// The furthest place in the log of anything answered so far.
    answered: Index,
    /// Where `answered` stood when an operation was asked.
    asked: HashMap<Token, Index>,
    pub(super) writes_answered: usize,
    pub(super) reads_answered: usize,
}

impl Checks {
    pub(super) fn leads(&mut self, term: Term, peer: &PeerId, first: Index, log: &[Entry]) -> Checked {
        let known = self.leaders.entry(term).or_insert_with(|| peer.clone());
        if known != peer {
            return violated(format!("election safety: {known} and {peer} lead in term {term}"));
        }
        for (entry, _) in self.applied.iter().filter(|(entry, _)| entry.index >= first) {
            let at = usize::try_from(entry.index - first).unwrap();
            if entry.term < term && log.get(at) != Some(entry) {
                let index = entry.index;
                return violated(format!("leader completeness: {peer} leads in term {term} without entry {index}"));
            }
        }
        Ok(())
    }

    pub(super) fn appended(&mut self, entry: &Entry, before: Term) -> Checked {
        let key = (entry.index, entry.term);
        let known = self.entries.entry(key).or_insert_with(|| (entry.clone(), before));
        if known.0 != *entry || known.1 != before {
            return violated(format!("log matching: {known:?} and {:?}", (entry, before)));
        }
        Ok(())
    }

    pub(super) fn applies(&mut self, peer: &PeerId, entry: &Entry, after: &State) -> Checked {
        let at = usize::try_from(entry.index - 1).unwrap();
        if at > self.applied.len() {
            return violated(format!("{peer} applies {} before anybody applied what is before it", entry.index));
        }
        if at == self.applied.len() {
            self.applied.push((entry.clone(), after.clone()));
            return Ok(());
        }
        let known = &self.applied[at];
        if known.0 != *entry || known.1 != *after {
            return violated(format!("state machine safety: {peer} applies {entry:?} after {known:?}"));
        }
        Ok(())
    }

    pub(super) fn asks(&mut self, token: Token) {
        self.asked.insert(token, self.answered);
    }

    /// A write was acknowledged; it took effect at `index`.
    pub(super) fn write_answered(&mut self, token: Token, index: Index) -> Checked {
        let asked = self.asked.remove(&token).unwrap_or_default();
        self.writes_answered += 1;
        self.answered = self.answered.max(index);
        if index <= asked {
            return violated(format!("linearizability: a write took effect at {index}, asked after {asked}"));
        }
        Ok(())
    }

    /// A read was served from the state as of `index`.
    pub(super) fn read_answered(&mut self, token: Token, index: Index) -> Checked {
        let asked = self.asked.remove(&token).unwrap_or_default();
        self.reads_answered += 1;
        self.answered = self.answered.max(index);
        if index < asked {
            return violated(format!("linearizability: a read saw the state of {index}, asked after {asked}"));
        }
        Ok(())
    }
}
