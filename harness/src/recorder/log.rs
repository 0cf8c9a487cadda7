//! What passed between the members, in the order in which requests were complete.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::parse::Message;

/// Exchanges that are kept; older ones make room.
const EXCHANGES_MAX: usize = 100_000;

/// Bytes of bodies that are kept together; older exchanges make room.
const BYTES_MAX: usize = 256 * 1024 * 1024;

/// Who opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sender {
    /// The member with this index.
    Member(usize),
    /// The harness itself, as a client or as a foreign member.
    Harness,
    /// Somebody else, or the connection was gone before the kernel could be asked.
    Unknown,
}

/// One request and, when it came, its answer.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Place in the log, counted from zero.
    pub number: u64,
    pub(super) sender: Arc<OnceLock<Sender>>,
    /// Index of the member it was sent to.
    pub receiver: usize,
    /// The request.
    pub request: Message,
    /// The answer; none when it did not come, or is still to come.
    pub answer: Option<Message>,
}

impl Exchange {
    /// Who sent the request.
    pub fn sender(&self) -> Sender {
        self.sender.get().copied().unwrap_or(Sender::Unknown)
    }

    /// Path of the request, without the query.
    pub fn path(&self) -> &str {
        self.request.target().split('?').next().unwrap_or_default()
    }

    fn bytes(&self) -> usize {
        self.request.body.len() + self.answer.as_ref().map_or(0, |answer| answer.body.len())
    }
}

#[derive(Debug, Default)]
struct Kept {
    exchanges: VecDeque<Exchange>,
    /// Number of the first exchange that is kept.
    first: u64,
    bytes: usize,
}

/// The log; shared by all connections.
#[derive(Debug, Default)]
pub(super) struct Log {
    kept: Mutex<Kept>,
}

impl Log {
    /// Enters a request and returns its number.
    pub(super) fn asked(&self, sender: Arc<OnceLock<Sender>>, receiver: usize, request: Message) -> u64 {
        let mut kept = self.kept.lock();
        let number = kept.first + kept.exchanges.len() as u64;
        kept.bytes += request.body.len();
        kept.exchanges.push_back(Exchange { number, sender, receiver, request, answer: None });
        while kept.exchanges.len() > EXCHANGES_MAX || (kept.bytes > BYTES_MAX && kept.exchanges.len() > 1) {
            let Some(gone) = kept.exchanges.pop_front() else { break };
            kept.bytes = kept.bytes.saturating_sub(gone.bytes());
            kept.first += 1;
        }
        number
    }

    /// Enters the answer to a request, unless that has made room already.
    pub(super) fn answered(&self, number: u64, answer: Message) {
        let mut kept = self.kept.lock();
        let place = number.checked_sub(kept.first).and_then(|place| usize::try_from(place).ok());
        let bytes = answer.body.len();
        if let Some(exchange) = place.and_then(|place| kept.exchanges.get_mut(place)) {
            exchange.answer = Some(answer);
            kept.bytes += bytes;
        }
    }

    /// The number the next request gets.
    pub(super) fn next(&self) -> u64 {
        let kept = self.kept.lock();
        kept.first + kept.exchanges.len() as u64
    }

    /// What is kept of the exchanges from this number on.
    pub(super) fn since(&self, number: u64) -> Vec<Exchange> {
        let kept = self.kept.lock();
        kept.exchanges.iter().filter(|exchange| exchange.number >= number).cloned().collect()
    }
}
