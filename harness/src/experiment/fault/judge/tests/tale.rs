//! A run as it should be, as a history, and what can be planted into it.

use super::super::super::history::{Ended, Event, Fault, Header, Look, Op, OpKind, Persistent, Phase, Push, Try, Us};

/// Seconds.
pub(super) const S: Us = 1_000_000;
/// Beginnings of the phases, and of the fault, s.
const BEFORE: Us = 10;
const DURING: Us = 20;
const HEALED: Us = 40;
const FINAL: Us = 70;
const END: Us = 80;

/// Registered at 1 s; until when its client beats, and how it ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fate {
    Stays,
    LeavesAt(Us),
    DiesAt(Us),
}

/// Three nodes, two services with seven instances each; node 2 is cut off from 20 s to 40 s. Of service 0 instance 10
/// leaves before the fault and 12 during it; of service 1 the client of 11 dies during it.
#[derive(Debug, Clone)]
pub(super) struct Tale {
    pub(super) header: Header,
    pub(super) fates: Vec<Fate>,
    /// What a node shows instead of the truth: node, instance, from and until in s, whether it shows it.
    pub(super) lies: Vec<(usize, u32, Us, Us, bool)>,
    /// When a node gives no answer: node, from and until in s.
    pub(super) silent: Vec<(usize, Us, Us)>,
    /// When a node is not looked at.
    pub(super) unlooked: Vec<(usize, Us, Us)>,
    pub(super) proof: Option<bool>,
    pub(super) fault: &'static str,
    pub(super) pushes: Vec<Push>,
    pub(super) persistent: Vec<Persistent>,
    pub(super) others: Vec<Event>,
}

impl Default for Tale {
    fn default() -> Self {
        let mut fates = vec![Fate::Stays; 14];
        fates[10] = Fate::LeavesAt(15);
        fates[12] = Fate::LeavesAt(30);
        fates[11] = Fate::DiesAt(25);
        Self {
            header: Header {
                scenario: "one node cut off".into(),
                target: "3xtandem".into(),
                nodes: vec!["tandem".into(); 3],
                services: vec!["a".into(), "b".into()],
                agree_within_us: 5 * S,
                gone_within_us: 35 * S,
                ..Header::default()
            },
            fates,
            lies: Vec::new(),
            silent: Vec::new(),
            unlooked: Vec::new(),
            proof: Some(true),
            fault: "partition",
            pushes: Vec::new(),
            persistent: Vec::new(),
            others: Vec::new(),
        }
    }
}

pub(super) fn op(kind: OpKind, instance: u32, at: Us) -> Op {
    let tries = vec![Try { node: instance as usize % 3, took: 5_000, status: Some(200), unreached: false }];
    Op {
        kind,
        instance,
        due: at,
        sent: at,
        done: at + 5_000,
        tries,
        ended: Ended::Acknowledged,
        indefinite: false,
        last: false,
    }
}

impl Tale {
    pub(super) fn lying(node: usize, instance: u32, from: Us, until: Us, shows: bool) -> Self {
        Self { lies: vec![(node, instance, from, until, shows)], ..Self::default() }
    }

    /// Node 2 learns in the cut what happens, too: every client can reach it, say.
    fn shows(&self, node: usize, instance: u32, at: Us) -> bool {
        let lie = self.lies.iter().find(|it| it.0 == node && it.1 == instance && (it.2 * S..it.3 * S).contains(&at));
        let until = match self.fates[instance as usize] {
            Fate::Stays => END,
            Fate::LeavesAt(until) => until,
            Fate::DiesAt(last) => last + 32,
        };
        lie.map_or((S..until * S).contains(&at), |it| it.4)
    }

    fn look(&self, node: usize, service: u32, at: Us) -> Option<Event> {
        let within = |it: &&(usize, Us, Us)| it.0 == node && (it.1 * S..it.2 * S).contains(&at);
        if self.unlooked.iter().any(|it| within(&it)) {
            return None;
        }
        let services = self.header.services.len() as u32;
        let all = (0..self.fates.len() as u32).filter(|it| it % services == service && self.shows(node, *it, at));
        let present = self.silent.iter().find(within).is_none().then(|| all.map(|it| it / services).collect());
        Some(Event::Look(Look { node, service, sent: at, done: at + 3_000, present, unhealthy: Vec::new() }))
    }

    fn ops(&self, instance: u32) -> Vec<Op> {
        let fate = self.fates[instance as usize];
        let until = match fate {
            Fate::Stays => END,
            Fate::LeavesAt(until) | Fate::DiesAt(until) => until,
        };
        let mut ops = vec![op(OpKind::Register, instance, S)];
        ops.extend((6..until).step_by(5).map(|at| op(OpKind::Beat, instance, at * S)));
        match fate {
            Fate::Stays => {}
            Fate::LeavesAt(at) => ops.push(op(OpKind::Deregister, instance, at * S)),
            Fate::DiesAt(at) => ops.push(Op { last: true, ..op(OpKind::Beat, instance, at * S) }),
        }
        ops
    }

    pub(super) fn events(&self) -> Vec<Event> {
        let mut events: Vec<(Us, Event)> = Vec::new();
        let phases = [
            (0, Phase::Fill),
            (BEFORE, Phase::Before),
            (DURING, Phase::During),
            (HEALED, Phase::After),
            (FINAL, Phase::Final),
            (END, Phase::End),
        ];
        events.extend(phases.map(|(at, phase)| (at * S, Event::Phase { at: at * S, phase })));
        let what = "node 2 cut off from the others".to_owned();
        let fault = Fault { at: DURING * S, fault: 0, kind: self.fault.into(), nodes: vec![2], what };
        events.push((DURING * S, Event::Fault(fault)));
        if let Some(bit) = self.proof {
            let what = format!("{} packets dropped", if bit { 812 } else { 0 });
            events.push((HEALED * S, Event::Proof { at: HEALED * S, fault: 0, bit, what }));
        }
        events.push((HEALED * S, Event::Healed { at: HEALED * S, fault: 0 }));
        for instance in 0..self.fates.len() as u32 {
            events.extend(self.ops(instance).into_iter().map(|it| (it.done, Event::Op(it))));
        }
        for at in (S / 4..END * S).step_by(S as usize / 2) {
            for node in 0..self.header.nodes.len() {
                let services = 0..self.header.services.len() as u32;
                events.extend(services.filter_map(|it| Some((at + 3_000, self.look(node, it, at)?))));
            }
        }
        events.extend(self.pushes.iter().map(|it| (it.at, Event::Push(it.clone()))));
        events.extend(self.persistent.iter().map(|it| (it.done, Event::Persistent(it.clone()))));
        events.extend(self.others.iter().map(|it| (END * S, it.clone())));
        events.sort_by_key(|it| it.0);
        let events = events.into_iter().map(|it| it.1);
        std::iter::once(Event::Run(self.header.clone())).chain(events).collect()
    }
}
