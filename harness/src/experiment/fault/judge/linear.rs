//! Whether operations on one register can be put in one order: each at a moment between its beginning and its end, every
//! read showing the write before it.
//!
//! Goes through the beginnings and ends in order of time and keeps every state that the register can have had so far,
//! with the operations under way that have then taken effect. An operation is given its place only when its end forces
//! it, so the work grows with what goes on at once and not with the length of the history. This is the "just in time"
//! search of Wing & Gong's problem (G. Lowe, *Testing for linearizability*, 2017).
//!
//! An operation without an end may take effect at any later time or never. One that sets a value is left out when nobody
//! reads the value, and must have taken effect when somebody has; those that remove are all alike and only counted.

use std::collections::{BTreeSet, HashMap};

use super::super::history::Us;

/// States that are kept at most; beyond that nothing is said.
const STATES_MAX: usize = 100_000;

/// Operations that may be under way at once.
const UNDER_WAY_MAX: usize = 64;

/// What a register holds; every value is set by one operation only.
pub(super) type Value = Option<u64>;

/// One operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) sent: Us,
    /// Absent when nobody knows whether it took effect; reads always have it.
    pub(super) done: Option<Us>,
    pub(super) act: Act,
}

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Write(Value),
    Read(Value),
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Order {
    /// There is an order; the register holds one of these in the end.
    Exists(BTreeSet<Value>),
    /// There is none: up to the end of this operation it cannot be.
    Impossible(usize),
    /// Too much goes on at once to say.
    TooMany,
}

/// Looks for an order. The register holds nothing at first.
pub(super) fn order(calls: &[Call]) -> Order {
    let mut reads: HashMap<Value, Us> = HashMap::new();
    for call in calls {
        if let (Act::Read(value), Some(done)) = (call.act, call.done) {
            let first = reads.entry(value).or_insert(done);
            *first = done.min(*first);
        }
    }
    let mut moments: Vec<(Us, Moment)> = Vec::new();
    let mut unread: BTreeSet<Value> = BTreeSet::new();
    for (index, call) in calls.iter().enumerate() {
        let end = match (call.done, call.act) {
            (Some(done), _) => done,
            (None, Act::Write(None)) => {
                moments.push((call.sent, Moment::OpenRemove));
                continue;
            }
            (None, Act::Write(value)) => match reads.get(&value) {
                // Whoever reads it proves that it took effect.
                Some(read) => (*read).max(call.sent),
                None => {
                    unread.insert(value);
                    continue;
                }
            },
            (None, Act::Read(_)) => continue,
        };
        // At the same moment beginnings come first, and a write that is proven by a read ends before it.
        let ends = if call.done.is_none() { Moment::ProvenEnd(index) } else { Moment::End(index) };
        moments.extend([(call.sent, Moment::Begin(index)), (end.max(call.sent), ends)]);
    }
    moments.sort_unstable();
    let mut search = Search::default();
    for (_, moment) in moments {
        match moment {
            Moment::OpenRemove => search.removes += 1,
            Moment::Begin(index) => {
                if !search.begin(index) {
                    return Order::TooMany;
                }
            }
            Moment::ProvenEnd(index) | Moment::End(index) => match search.end(index, calls) {
                None => return Order::TooMany,
                Some(false) => return Order::Impossible(index),
                Some(true) => {}
            },
        }
    }
    let mut held: BTreeSet<Value> = search.states.keys().map(|it| it.0).chain(unread).collect();
    // Unless each of the removals has already been needed.
    if search.states.values().any(|it| *it < search.removes) {
        held.insert(None);
    }
    Order::Exists(held)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    OpenRemove,
    Begin(usize),
    ProvenEnd(usize),
    End(usize),
}

/// A value, and which of the operations under way have taken effect.
type State = (Value, u64);

struct Search {
    /// With how many of the endless removals were needed to get there, at least.
    states: HashMap<State, u32>,
    /// Operations under way, by their bit.
    under_way: [Option<usize>; UNDER_WAY_MAX],
    removes: u32,
}

impl Default for Search {
    fn default() -> Self {
        Self { states: HashMap::from([((None, 0), 0)]), under_way: [None; UNDER_WAY_MAX], removes: 0 }
    }
}

impl Search {
    fn begin(&mut self, index: usize) -> bool {
        let free = self.under_way.iter_mut().find(|it| it.is_none());
        free.map(|it| *it = Some(index)).is_some()
    }

    /// Keeps the states in which the operation has taken effect; whether there are any. Nothing when there are too many.
    fn end(&mut self, index: usize, calls: &[Call]) -> Option<bool> {
        let bit = self.under_way.iter().position(|it| *it == Some(index))?;
        let mut seen: HashMap<State, u32> = HashMap::new();
        let mut kept: HashMap<State, u32> = HashMap::new();
        let mut rest: Vec<(State, u32)> = self.states.drain().collect();
        while let Some(((value, effects), removes)) = rest.pop() {
            if effects & (1 << bit) != 0 {
                let least = kept.entry((value, effects & !(1 << bit))).or_insert(removes);
                *least = removes.min(*least);
                continue;
            }
            match seen.get(&(value, effects)) {
                Some(least) if *least <= removes => continue,
                _ => seen.insert((value, effects), removes),
            };
            if seen.len() > STATES_MAX {
                return None;
            }
            let under_way = self.under_way.iter().enumerate();
            let open = under_way.filter_map(|(other, it)| Some((other, calls.get((*it)?)?.act)));
            for (other, act) in open.filter(|it| effects & (1 << it.0) == 0) {
                match act {
                    Act::Write(written) => rest.push(((written, effects | 1 << other), removes)),
                    Act::Read(read) if read == value => rest.push(((value, effects | 1 << other), removes)),
                    Act::Read(_) => {}
                }
            }
            if value.is_some() && removes < self.removes {
                rest.push(((None, effects), removes + 1));
            }
        }
        if let Some(it) = self.under_way.get_mut(bit) {
            *it = None;
        }
        self.states = kept;
        Some(!self.states.is_empty())
    }
}
