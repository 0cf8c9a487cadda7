//! A history arranged for checkers: faults with their ends, lives of instances, and looks beside what was owed.

use super::super::history::{Action, Ended, Event, Fault, Header, OpKind, Outcome, Phase, Us};
use super::finding::{Evidence, seconds};
use super::lives::{self, Life};
use super::looks::{self, Looks};

/// Line of the history file, from 1.
pub(super) type Line = usize;

/// A fault from its beginning to its end.
#[derive(Debug, Clone)]
pub(super) struct Spell<'a> {
    /// What was done.
    pub(super) fault: &'a Fault,
    /// When it was healed, and the line that says so.
    pub(super) healed: Option<(Us, Line)>,
    /// Evidence of its effect: whether it had one, and the line.
    pub(super) proofs: Vec<(bool, Line)>,
}

impl Spell<'_> {
    /// Whether the fault is about this node; one that names none is about all.
    pub(super) fn involves(&self, node: usize) -> bool {
        self.fault.nodes.is_empty() || self.fault.nodes.contains(&node)
    }

    /// Whether it makes messages to and from this node take longer at that moment, and nothing else.
    pub(super) fn delays(&self, node: usize, at: Us) -> bool {
        let narrow = ["delay", "loss", "reorder", "slow-link"].contains(&self.fault.kind.as_str());
        narrow && self.involves(node) && self.fault.at <= at && at < self.until()
    }

    /// When it was healed, or happened if it needs no healing or got none.
    pub(super) fn over(&self) -> Us {
        self.healed.map_or(self.fault.at, |it| it.0)
    }

    /// When it was over: a fault that was never healed lasts.
    pub(super) fn until(&self) -> Us {
        self.healed.map_or(Us::MAX, |it| it.0)
    }
}

/// A history, arranged.
#[derive(Debug)]
pub(super) struct Story<'a> {
    /// What was run.
    pub(super) header: &'a Header,
    /// Everything; line `n` is at `n - 1`.
    pub(super) events: &'a [Event],
    /// When the last event was over.
    pub(super) end: Us,
    /// Beginning of each phase, in order of time.
    pub(super) phases: Vec<(Us, Phase)>,
    /// In order of time.
    pub(super) faults: Vec<Spell<'a>>,
    /// By number of the instance.
    pub(super) lives: Vec<Life>,
    /// Per node.
    pub(super) nodes: Vec<Looks<'a>>,
}

impl<'a> Story<'a> {
    /// Arranges a history; nothing when it has no beginning.
    pub(super) fn new(events: &'a [Event]) -> Option<Self> {
        let header = events.iter().find_map(|it| match it {
            Event::Run(header) => Some(header),
            _ => None,
        })?;
        let mut phases: Vec<_> = events
            .iter()
            .filter_map(|it| match it {
                Event::Phase { at, phase } => Some((*at, *phase)),
                _ => None,
            })
            .collect();
        phases.sort_by_key(|it| it.0);
        let end = events.iter().map(latest).max().unwrap_or_default();
        let faults = spells(events);
        let lives = lives::lives(events, header, &faults, end);
        let nodes = looks::looks(events, header, &lives);
        Some(Self { header, events, end, phases, faults, lives, nodes })
    }

    /// The phase at a time; before the first one the population grows.
    pub(super) fn phase_at(&self, at: Us) -> Phase {
        let position = self.phases.partition_point(|it| it.0 <= at);
        position.checked_sub(1).and_then(|it| self.phases.get(it)).map_or(Phase::Fill, |it| it.1)
    }

    /// When a phase began.
    pub(super) fn began(&self, phase: Phase) -> Option<Us> {
        self.phases.iter().find(|it| it.1 == phase).map(|it| it.0)
    }

    /// From when on everything is whole: the heal of the last fault, or the last fault that needs none. Without faults,
    /// when the time after them began.
    pub(super) fn healed(&self) -> Option<Us> {
        let faults = self.faults.iter().map(Spell::over).max();
        faults.or_else(|| self.began(Phase::After)).or_else(|| self.began(Phase::Final))
    }

    /// Number of services.
    pub(super) fn services(&self) -> u32 {
        (self.header.services.len() as u32).max(1)
    }

    /// Number of an instance from its number within a service.
    pub(super) fn instance(&self, service: usize, local: u32) -> u32 {
        local.saturating_mul(self.services()).saturating_add(service as u32)
    }

    /// `node 1 (nacos)`.
    pub(super) fn node_name(&self, node: usize) -> String {
        match self.header.nodes.get(node) {
            Some(kind) => format!("node {node} ({kind})"),
            None => format!("node {node}"),
        }
    }

    /// Whether a node was a Tandem node when the run began.
    pub(super) fn is_tandem(&self, node: usize) -> bool {
        self.header.nodes.get(node).is_some_and(|kind| kind == "tandem")
    }

    /// Whether somebody looked at this node since then, answered or not.
    pub(super) fn is_watched_since(&self, node: usize, since: Us) -> bool {
        let is_since = |looks: &Looks<'_>| {
            looks.answered().any(|it| it.1.sent >= since) || looks.unanswered.iter().any(|it| it.0 >= since)
        };
        self.nodes.get(node).is_some_and(is_since)
    }

    /// Whether it is an official member of a mixed cluster, from the beginning to the end.
    pub(super) fn is_official_beside_tandem(&self, node: usize) -> bool {
        let is_mixed = (0..self.header.nodes.len()).any(|it| self.is_tandem(it));
        is_mixed && !self.is_tandem(node) && !self.changes_kinds()
    }

    /// Whether nodes change their kind meanwhile, so that what began at a Tandem node cannot be told.
    pub(super) fn changes_kinds(&self) -> bool {
        self.faults.iter().any(|it| it.fault.kind == "become")
    }

    /// The event of a line.
    pub(super) fn event(&self, line: Line) -> Option<&'a Event> {
        self.events.get(line.checked_sub(1)?)
    }

    /// The last acknowledged registration or heartbeat of an instance that was over by then.
    pub(super) fn last_ack(&self, instance: u32, by: Us) -> Option<(Us, Line)> {
        let acks = self.events.iter().enumerate().filter_map(|(position, it)| match it {
            Event::Op(op) if op.instance == instance && op.done <= by && op.ended == Ended::Acknowledged => {
                matches!(op.kind, OpKind::Register | OpKind::Beat).then_some((op.done, position + 1))
            }
            _ => None,
        });
        acks.max()
    }

    /// An event as evidence.
    pub(super) fn evidence(&self, line: Line) -> Option<Evidence> {
        let event = self.event(line)?;
        Some(Evidence { line, at: latest(event), what: describe(event) })
    }
}

fn spells(events: &[Event]) -> Vec<Spell<'_>> {
    let mut spells: Vec<Spell<'_>> = Vec::new();
    for (position, event) in events.iter().enumerate() {
        let line = position + 1;
        match event {
            Event::Fault(fault) => spells.push(Spell { fault, healed: None, proofs: Vec::new() }),
            Event::Healed { at, fault } => {
                let of_it = spells.iter_mut().filter(|it| it.fault.fault == *fault);
                of_it.for_each(|it| it.healed = Some((*at, line)));
            }
            Event::Proof { fault, bit, .. } => {
                let of_it = spells.iter_mut().filter(|it| it.fault.fault == *fault);
                of_it.for_each(|it| it.proofs.push((*bit, line)));
            }
            _ => {}
        }
    }
    spells.sort_by_key(|it| it.fault.at);
    spells
}

/// When an event was over.
pub(super) fn latest(event: &Event) -> Us {
    match event {
        Event::Run(_) => 0,
        Event::Phase { at, .. }
        | Event::Healed { at, .. }
        | Event::Proof { at, .. }
        | Event::Told { at, .. }
        | Event::GaveUp { at, .. } => *at,
        Event::Fault(it) => it.at,
        Event::Op(it) => it.done,
        Event::Look(it) => it.done,
        Event::Push(it) => it.at,
        Event::Persistent(it) => it.done,
        Event::Change(it) => it.shown.unwrap_or(it.done).max(it.done),
        Event::Unsent { due } => *due,
    }
}

/// An event in words.
fn describe(event: &Event) -> String {
    match event {
        Event::Run(header) => format!("{} at {}", header.scenario, header.target),
        Event::Phase { phase, .. } => format!("phase {}", phase_name(*phase)),
        Event::Fault(it) => format!("fault {} begins: {}", it.fault, it.what),
        Event::Healed { fault, .. } => format!("fault {fault} is healed"),
        Event::Proof { fault, bit, what, .. } => {
            format!("fault {fault} had {} effect: {what}", if *bit { "an" } else { "no" })
        }
        Event::Op(op) => {
            let what = match op.kind {
                OpKind::Register => "register",
                OpKind::Beat => "heartbeat of",
                OpKind::Deregister => "deregister",
                OpKind::Query => return format!("query of subscriber {}, sent at {}", op.instance, seconds(op.sent)),
            };
            let by = op.tries.last().map(|it| format!(" by node {}", it.node)).unwrap_or_default();
            let ended = match op.ended {
                Ended::Acknowledged => format!("acknowledged{by}"),
                Ended::Unknown => format!("answered{by}: not known"),
                Ended::Failed => "no server answered as it should".to_owned(),
            };
            let last = if op.last { "; the client is killed after this" } else { "" };
            format!("{what} instance {}, sent at {}: {ended}{last}", op.instance, seconds(op.sent))
        }
        Event::Look(it) => match &it.present {
            Some(present) => format!(
                "node {} asked for service {} at {}: shows {} instances",
                it.node,
                it.service,
                seconds(it.sent),
                present.len()
            ),
            None => format!("node {} asked for service {} at {}: no answer", it.node, it.service, seconds(it.sent)),
        },
        Event::Push(it) => {
            let count = it.present.len();
            format!("push of service {} to subscriber {}: {count} instances", it.service, it.subscriber)
        }
        Event::Persistent(it) => {
            let action = action_name(it.action);
            let outcome = match it.outcome {
                Outcome::Ok => "acknowledged".to_owned(),
                Outcome::Value(Some(value)) => format!("reads {value}"),
                Outcome::Value(None) => "reads that there is nothing".to_owned(),
                Outcome::Failed => "refused".to_owned(),
                Outcome::Indefinite => "nobody knows".to_owned(),
            };
            let (register, node, sent) = (it.register, it.node, seconds(it.sent));
            format!("{action} on register {register} ({}) at node {node}, sent at {sent}: {outcome}", it.on)
        }
        Event::Change(it) => {
            let made = if it.is_made { "acknowledged" } else { "not acknowledged" };
            let shown =
                it.shown.map_or_else(|| "not shown in time".to_owned(), |at| format!("shown at {}", seconds(at)));
            let (from, to, sent) = (it.from, it.to, seconds(it.sent));
            format!("change at node {from}, sent at {sent}: {made} at {}, {shown} by node {to}", seconds(it.done))
        }
        Event::Told { node, what, value, .. } => format!("node {node} tells {what}: {value}"),
        Event::Unsent { .. } => "due and not sent".to_owned(),
        Event::GaveUp { reason, .. } => format!("given up: {reason}"),
    }
}

/// `Set(17)`.
pub(super) fn action_name(action: Action) -> String {
    match action {
        Action::Set(value) => format!("Set({value})"),
        Action::Remove => "Remove".to_owned(),
        Action::Read => "Read".to_owned(),
    }
}

/// As in the history.
pub(super) fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Fill => "fill",
        Phase::Before => "before",
        Phase::During => "during",
        Phase::After => "after",
        Phase::Final => "final",
        Phase::End => "end",
    }
}
