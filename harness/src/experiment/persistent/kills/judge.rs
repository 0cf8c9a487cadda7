//! Is every acknowledged write there? A pure function of what happened.
//!
//! A register has one writer, which does one operation at a time and leaves the register after the first whose end is
//! not known. So what it may hold is what was acknowledged last, or what that one operation would have made of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::experiment::Observation;
use crate::experiment::fault::history::{Action, Event, Header, Outcome, Persistent, Us};
use crate::results::{self, TimelineEvent};
use crate::stats::Round;

use super::super::FSYNC_NOTE;
use super::NAME;

/// Violations that are named.
const NAMED_MAX: usize = 20;

/// What a history says.
#[derive(Debug, Clone, Default)]
pub struct Judgement {
    /// What was run.
    pub header: Header,
    /// Nodes killed, and when each answered again.
    pub kills: Vec<Kill>,
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// Writes whose end is not known.
    pub indefinite: u64,
    /// Writes that were refused.
    pub refused: u64,
    /// Registers that were written.
    pub registers: u64,
    /// Final reads that were judged.
    pub reads: u64,
    /// Registers that lack an acknowledged write, at some node.
    pub lost: u64,
    /// Registers that hold what was acknowledged as removed or replaced, at some node.
    pub resurrected: u64,
    /// In words.
    pub violations: Vec<String>,
    /// Why it cannot be judged, in words.
    pub unknown: Vec<String>,
}

/// One kill.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kill {
    /// When.
    pub at: Us,
    /// When the node answered again.
    pub back: Option<Us>,
    /// Whether writes were under way.
    pub bit: bool,
}

/// What a register may hold.
#[derive(Debug, Default)]
struct Register {
    may_hold: BTreeSet<Option<u64>>,
    /// Values it once was acknowledged to hold.
    held: BTreeSet<u64>,
    written_until: Us,
}

/// Judges a history; nothing when it has no beginning.
pub fn judge(events: &[Event]) -> Option<Judgement> {
    let header = events.iter().find_map(|it| if let Event::Run(header) = it { Some(header.clone()) } else { None })?;
    let mut it = Judgement { header, ..Judgement::default() };
    let mut registers: BTreeMap<u32, Register> = BTreeMap::new();
    let mut wrong = BTreeSet::new();
    for event in events {
        match event {
            Event::Fault(fault) => it.kills.push(Kill { at: fault.at, ..Kill::default() }),
            Event::Proof { fault, bit, .. } => {
                it.kills.get_mut(*fault).into_iter().for_each(|kill| kill.bit = *bit);
            }
            Event::Healed { at, fault } => {
                it.kills.get_mut(*fault).into_iter().for_each(|kill| kill.back = Some(*at));
            }
            Event::GaveUp { reason, .. } => it.violations.push(reason.clone()),
            Event::Persistent(op) if op.action == Action::Read => read(op, &registers, &mut it, &mut wrong),
            Event::Persistent(op) => {
                let register = registers
                    .entry(op.register)
                    .or_insert_with(|| Register { may_hold: BTreeSet::from([None]), ..Register::default() });
                write(op, register, &mut it);
            }
            _ => {}
        }
    }
    it.registers = registers.len() as u64;
    let nodes = it.header.nodes.len() as u64;
    if it.acknowledged == 0 {
        it.unknown.push("no write was acknowledged".to_owned());
    }
    if !it.kills.iter().any(|kill| kill.bit) {
        it.unknown.push("no kill met a write that was under way".to_owned());
    }
    if it.reads < it.registers * nodes {
        it.unknown.push(format!("{} of {} final reads were answered", it.reads, it.registers * nodes));
    }
    Some(it)
}

fn write(op: &Persistent, register: &mut Register, it: &mut Judgement) {
    let made = match op.action {
        Action::Set(value) => Some(value),
        Action::Remove | Action::Read => None,
    };
    match op.outcome {
        Outcome::Ok => {
            it.acknowledged += 1;
            register.may_hold = BTreeSet::from([made]);
            register.held.extend(made);
        }
        Outcome::Failed => it.refused += 1,
        Outcome::Indefinite | Outcome::Value(_) => {
            it.indefinite += 1;
            register.may_hold.insert(made);
        }
    }
    register.written_until = register.written_until.max(op.done);
}

fn read(op: &Persistent, registers: &BTreeMap<u32, Register>, it: &mut Judgement, wrong: &mut BTreeSet<(usize, u32)>) {
    let (Outcome::Value(value), Some(register)) = (op.outcome, registers.get(&op.register)) else { return };
    if op.sent < register.written_until {
        it.unknown.push(format!("register {} was read while it was written", op.register));
        return;
    }
    it.reads += 1;
    if register.may_hold.contains(&value) || !wrong.insert((op.node, op.register)) {
        return;
    }
    let back = value.is_some_and(|value| register.held.contains(&value)) || register.may_hold.contains(&None);
    if back {
        it.resurrected += 1;
    } else {
        it.lost += 1;
    }
    if it.violations.len() < NAMED_MAX {
        let text = |it: &Option<u64>| it.map_or_else(|| "nothing".to_owned(), |it| it.to_string());
        let right: Vec<_> = register.may_hold.iter().map(text).collect();
        let (on, number, node) = (&op.on, op.register, op.node);
        let (shown, right) = (text(&value), right.join(" or "));
        it.violations.push(format!("{on} register {number} holds {shown} at node {node}; right is {right}"));
    }
}

impl Judgement {
    /// The verdict.
    pub fn outcome(&self) -> results::Outcome {
        match (self.violations.is_empty(), self.unknown.is_empty()) {
            (false, _) => results::Outcome::Fail,
            (true, true) => results::Outcome::Pass,
            (true, false) => results::Outcome::Error,
        }
    }

    /// What was done, in one line.
    pub fn summary(&self) -> String {
        let met = self.kills.iter().filter(|it| it.bit).count();
        format!(
            "{} kills, {met} of them while writes were under way; {} writes acknowledged, {} refused, {} indefinite; {} \
             final reads of {} registers",
            self.kills.len(),
            self.acknowledged,
            self.refused,
            self.indefinite,
            self.reads,
            self.registers
        )
    }

    /// How long killed nodes took to answer again.
    pub fn observation(&self) -> Observation {
        let back = self.kills.iter().filter_map(|it| Some((it.back? - it.at) as f64 / 1000.0));
        let mut row = Observation::new(NAME, "ms", Round::of(back)).with("of", "kill to the next answer");
        row.errors = self.lost + self.resurrected;
        row.notes = vec![self.summary(), FSYNC_NOTE.to_owned()];
        row
    }

    /// The scenario of the record.
    pub fn fault(&self) -> results::Fault {
        let ms = |it: Us| it as f64 / 1000.0;
        let event = |(number, kill): (usize, &Kill)| TimelineEvent {
            at_ms: ms(kill.at),
            event: format!("kill {}", number + 1),
            until_ms: kill.back.map(ms),
        };
        let slowest = self.kills.iter().filter_map(|it| Some(ms(it.back? - it.at))).max_by(f64::total_cmp);
        let mut timeline: Vec<TimelineEvent> = self.kills.iter().enumerate().map(event).collect();
        let end = self.kills.iter().filter_map(|it| it.back).max().unwrap_or_default();
        timeline.push(TimelineEvent { at_ms: ms(end), event: self.summary(), until_ms: None });
        results::Fault {
            target: self.header.target.clone(),
            scenario: format!("{NAME}: {} times", self.kills.len()),
            outcome: self.outcome(),
            recovery_ms: slowest,
            unrecovered_ms: None,
            lost_acked: self.lost,
            resurrected: self.resurrected,
            violations: self.violations.iter().chain(&self.unknown).cloned().collect(),
            timeline,
            samples: Vec::new(),
            checks: Vec::new(),
            figures: Vec::new(),
            issues: Vec::new(),
            history: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::fault::history::Fault;

    fn op(at: Us, action: Action, outcome: Outcome) -> Event {
        let (on, status) = ("instance".to_owned(), None);
        Event::Persistent(Persistent {
            process: 0,
            register: 0,
            on,
            action,
            sent: at,
            done: at + 5,
            node: 0,
            status,
            outcome,
        })
    }

    fn judged(ops: &[(Action, Outcome)]) -> Judgement {
        let header = Header { nodes: vec!["tandem".to_owned()], ..Header::default() };
        let kill = Fault { at: 1, fault: 0, kind: "kill".to_owned(), nodes: vec![0], what: String::new() };
        let mut events = vec![Event::Run(header), Event::Fault(kill)];
        events.push(Event::Proof { at: 1, fault: 0, bit: true, what: String::new() });
        events.push(Event::Healed { at: 9, fault: 0 });
        events.extend(ops.iter().enumerate().map(|(at, (action, outcome))| op(at as Us * 10, *action, *outcome)));
        judge(&events).expect("a beginning")
    }

    const OK: Outcome = Outcome::Ok;
    const OPEN: Outcome = Outcome::Indefinite;

    fn read(value: Option<u64>) -> (Action, Outcome) {
        (Action::Read, Outcome::Value(value))
    }

    #[test]
    fn what_was_acknowledged_last_is_right_and_all_else_is_not() {
        let (set, again, remove) = ((Action::Set(1), OK), (Action::Set(2), OK), (Action::Remove, OK));
        assert_eq!(judged(&[set, again, read(Some(2))]).outcome(), results::Outcome::Pass);
        assert_eq!(judged(&[set, remove, read(None)]).outcome(), results::Outcome::Pass);
        let lost = judged(&[set, read(None)]);
        assert_eq!((lost.outcome(), lost.lost, lost.resurrected), (results::Outcome::Fail, 1, 0));
        let old = judged(&[set, again, read(Some(1))]);
        assert_eq!((old.outcome(), old.lost, old.resurrected), (results::Outcome::Fail, 0, 1));
        let back = judged(&[set, remove, read(Some(1))]);
        assert_eq!((back.outcome(), back.resurrected), (results::Outcome::Fail, 1));
        let strange = judged(&[set, read(Some(7))]);
        assert_eq!((strange.outcome(), strange.lost), (results::Outcome::Fail, 1));
    }

    #[test]
    fn an_indefinite_write_may_be_there_or_not() {
        let (set, open, gone) = ((Action::Set(1), OK), (Action::Set(2), OPEN), (Action::Remove, OPEN));
        for value in [Some(1), Some(2)] {
            assert_eq!(judged(&[set, open, read(value)]).outcome(), results::Outcome::Pass);
        }
        assert_eq!(judged(&[set, open, read(None)]).outcome(), results::Outcome::Fail);
        assert_eq!(judged(&[set, gone, read(None)]).outcome(), results::Outcome::Pass);
        assert_eq!(judged(&[set, (Action::Set(2), Outcome::Failed), read(Some(2))]).outcome(), results::Outcome::Fail);
    }

    #[test]
    fn a_run_that_shows_nothing_is_unknown() {
        let set = (Action::Set(1), OK);
        assert_eq!(judged(&[set]).outcome(), results::Outcome::Error, "nothing was read");
        assert_eq!(judged(&[(Action::Set(1), OPEN), read(None)]).outcome(), results::Outcome::Error);
        assert_eq!(judged(&[set, (Action::Read, OPEN)]).outcome(), results::Outcome::Error);
        assert!(judge(&[]).is_none());
    }

    #[test]
    fn a_node_that_does_not_come_back_fails() {
        let events = [
            Event::Run(Header { nodes: vec!["tandem".to_owned()], ..Header::default() }),
            Event::GaveUp { at: 1, reason: "node 0 was not back".to_owned() },
        ];
        assert_eq!(judge(&events).map(|it| it.outcome()), Some(results::Outcome::Fail));
    }
}
