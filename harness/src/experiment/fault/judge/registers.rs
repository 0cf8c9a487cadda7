//! Operations on persistent data, register by register.

use std::collections::{BTreeMap, HashMap};

use super::super::history::{Action, Event, Outcome, Persistent, Phase, Us};
use super::finding::when;
use super::linear::{Act, Call, Value};
use super::story::{Line, Story, action_name};

/// One operation that has a part in the history of a register: refused ones and reads without an answer have none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) line: Line,
    pub(super) op: &'a Persistent,
    pub(super) call: Call,
}

impl Entry<'_> {
    /// What it writes.
    pub(super) fn written(&self) -> Option<Value> {
        match self.call.act {
            Act::Write(value) => Some(value),
            Act::Read(_) => None,
        }
    }

    /// What it reads.
    pub(super) fn read(&self) -> Option<Value> {
        match self.call.act {
            Act::Read(value) => Some(value),
            Act::Write(_) => None,
        }
    }

    /// `Set(17) at node 1, acknowledged at 12.031 s (line 812)`.
    pub(super) fn acknowledged(&self) -> String {
        let action = action_name(self.op.action);
        format!("{action} at node {}, acknowledged at {}", self.op.node, when(self.op.done, self.line))
    }
}

/// One register.
#[derive(Debug, Default)]
pub(super) struct Register<'a> {
    /// In order of their beginning.
    pub(super) entries: Vec<Entry<'a>>,
    /// The operation that sets a value.
    setters: HashMap<u64, usize>,
}

impl<'a> Register<'a> {
    /// Operations that write, also those that nobody knows the outcome of.
    pub(super) fn writes(&self) -> impl Iterator<Item = &Entry<'a>> {
        self.entries.iter().filter(|it| it.written().is_some())
    }

    /// Reads with an answer.
    pub(super) fn reads(&self) -> impl Iterator<Item = &Entry<'a>> {
        self.entries.iter().filter(|it| it.read().is_some())
    }

    /// The operation that sets the value.
    pub(super) fn setter(&self, value: u64) -> Option<&Entry<'a>> {
        self.entries.get(*self.setters.get(&value)?)
    }

    /// The last read at each node in the final phase.
    pub(super) fn last_reads(&self, calm: Us) -> BTreeMap<usize, Entry<'a>> {
        let reads = self.reads().filter(|it| it.call.sent >= calm);
        reads.map(|it| (it.op.node, *it)).collect()
    }
}

/// Every register by its number.
pub(super) fn registers<'a>(story: &Story<'a>) -> BTreeMap<u32, Register<'a>> {
    let mut registers: BTreeMap<u32, Register<'a>> = BTreeMap::new();
    for (position, event) in story.events.iter().enumerate() {
        let Event::Persistent(op) = event else { continue };
        let register = registers.entry(op.register).or_default();
        if let Some(call) = call(op) {
            register.entries.push(Entry { line: position + 1, op, call });
        }
    }
    for register in registers.values_mut() {
        register.entries.sort_by_key(|it| it.call.sent);
        let set = register.entries.iter().enumerate();
        register.setters = set.filter_map(|(index, it)| Some((it.written()??, index))).collect();
    }
    registers
}

fn call(op: &Persistent) -> Option<Call> {
    let act = match (op.action, op.outcome) {
        (_, Outcome::Failed) => return None,
        (Action::Set(value), _) => Act::Write(Some(value)),
        (Action::Remove, _) => Act::Write(None),
        (Action::Read, Outcome::Value(value)) => Act::Read(value),
        (Action::Read, _) => return None,
    };
    let done = (op.outcome != Outcome::Indefinite).then_some(op.done);
    Some(Call { sent: op.sent, done, act })
}

/// A value in words.
pub(super) fn value_name(value: Value) -> String {
    value.map_or_else(|| "nothing".to_owned(), |it| it.to_string())
}

/// When the final phase began, if the history has one.
pub(super) fn calm(story: &Story<'_>) -> Option<Us> {
    story.began(Phase::Final)
}
