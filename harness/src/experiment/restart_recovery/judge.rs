//! What a history says. A pure function: the same history always gives the same judgement.
//!
//! # What is judged
//! An instance is *owed* from its first acknowledgement (of a registration or a heartbeat) until its client begins to
//! deregister it: all that time its client beats. For every owed instance and every node, looks at the node say how
//! long it was missing there:
//! - *late*: not shown since it was acknowledged;
//! - *gone*: missing after the node had shown it, or at a node that came back without it.
//!
//! While a node is away nothing is missing there; from its first answered look on everything is. A figure is exact to
//! one round of looks (`1 / sweeps_per_s`).
//!
//! A look is *short* when it lacks what has been owed for [`SETTLED`], and *wrong* when it is short or shows what was
//! deregistered [`SETTLED`] ago. That long a node may lag under load: real nodes need 2.2 s
//! (`compat/spec/distro.md` §7.7). Nodes are complete from the moment on at which no look is short any more, and agree
//! from the moment on at which none is wrong. The two differ by what died with a node: a deregistration that it had
//! acknowledged and not passed on leaves an instance that only expiry removes, 30 to 35 s later. What may or may not have happened (a request without an answer) is
//! never held against a server.

use std::collections::BTreeSet;

use super::history::{Ended, Event, Fault, Header, Ms, Op, OpKind, Phase};
use track::{Life, Look, Track};

mod track;

/// How long after an acknowledged change a look must show it.
pub const SETTLED: Ms = 5_000;

/// A later sender than this, at its 99th percentile, did not keep the load.
const LAG_P99_MAX: Ms = 1_000;

/// Least share of the planned registrations that must have been sent.
const SENT_SHARE_MIN: f64 = 0.9;

/// The verdict on one scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It held.
    Pass,
    /// It could not be judged.
    Unknown,
    /// It did not hold.
    Fail,
}

/// What a history says.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// What was run.
    pub header: Header,
    /// The judged parts in order: steady, one per kill, final.
    pub parts: Vec<Part>,
    /// Owed instances that some node lacked in the last look at it.
    pub lost: u64,
    /// Deregistered instances that some node showed in the last look at it.
    pub resurrected: u64,
    /// The worst of all parts.
    pub verdict: Verdict,
}

/// One part of a run.
#[derive(Debug, Clone)]
pub struct Part {
    /// Which.
    pub phase: Phase,
    /// When it began.
    pub began: Ms,
    /// From the start of the killed node's process to its first answer, ms.
    pub back_ms: Option<Ms>,
    /// When the node was killed, started and answered, as far as it was.
    pub fault: [Option<Ms>; 3],
    /// From the same moment until no node lacked anything any more, ms.
    pub complete_ms: Option<Ms>,
    /// From the killed node's first answer (in the final part: from its beginning) until all nodes agreed, ms.
    pub agreement_ms: Option<Ms>,
    /// Per node, in node order.
    pub nodes: Vec<NodePart>,
    /// Operations of the clients.
    pub ops: u64,
    /// Those that some server answered, failover included.
    pub ops_answered: u64,
    /// Those that the first server answered.
    pub ops_answered_at_once: u64,
    /// 99th percentile of how late operations were sent, ms.
    pub lag_p99_ms: Ms,
    /// Whether the planned load was sent. If not, nothing but what is wrong at the very end is a fail.
    pub load_kept: bool,
    /// The verdict on this part.
    pub verdict: Verdict,
    /// What did not hold or could not be judged.
    pub reasons: Vec<String>,
}

/// What one node showed in one part.
#[derive(Debug, Clone, Default)]
pub struct NodePart {
    /// Per owed instance: how long it was gone, ms; mostly nought.
    pub gone_ms: Vec<Ms>,
    /// Per instance acknowledged in this part: how long it was late, ms.
    pub late_ms: Vec<Ms>,
    /// Owed instances that were shown as unhealthy at some time.
    pub unhealthy: u64,
    /// Looks while the node was up.
    pub looks: u64,
    /// Those that were answered.
    pub looks_answered: u64,
}

impl NodePart {
    /// Owed instances that were gone at some time.
    pub fn ever_gone(&self) -> u64 {
        self.gone_ms.iter().filter(|it| **it > 0).count() as u64
    }
}

/// Works out what a history says; nothing when it has no beginning.
pub fn judge(events: &[Event]) -> Option<Judgement> {
    let header = events.iter().find_map(|it| match it {
        Event::Run(header) => Some(header.clone()),
        _ => None,
    })?;
    let mut judge = Judge::new(header, events);
    judge.lives();
    judge.forbidden();
    judge.load();
    judge.verdicts();
    let Judge { header, parts, events, .. } = judge;
    let (lost, resurrected) = (judge.lost.len() as u64, judge.resurrected.len() as u64);
    let mut judgement = Judgement { header, parts, lost, resurrected, verdict: Verdict::Pass };
    judgement.completeness(events);
    Some(judgement)
}

struct Judge<'a> {
    header: Header,
    events: &'a [Event],
    parts: Vec<Part>,
    /// Beginning and end of each part.
    spans: Vec<(Ms, Ms)>,
    lives: Vec<Life>,
    /// Answered looks by node, then service, in order.
    looks: Vec<Vec<Vec<Look<'a>>>>,
    /// When each node was started again.
    starts: Vec<Vec<Ms>>,
    lost: BTreeSet<u32>,
    resurrected: BTreeSet<u32>,
}

impl<'a> Judge<'a> {
    fn new(header: Header, events: &'a [Event]) -> Self {
        let nodes = header.nodes.len();
        let services = header.services.max(1) as usize;
        let mut judge = Self {
            header,
            events,
            parts: Vec::new(),
            spans: Vec::new(),
            lives: Vec::new(),
            looks: (0..nodes).map(|_| (0..services).map(|_| Vec::new()).collect()).collect(),
            starts: vec![Vec::new(); nodes],
            lost: BTreeSet::new(),
            resurrected: BTreeSet::new(),
        };
        judge.phases(nodes);
        for event in events {
            match event {
                Event::Op(op) => judge.op(op),
                Event::Fault { at, node, what: Fault::Started } => {
                    if let Some(it) = judge.starts.get_mut(*node) {
                        it.push(*at);
                    }
                }
                _ => {}
            }
        }
        judge.reads();
        judge
    }

    fn phases(&mut self, nodes: usize) {
        let last = self.events.iter().map(latest).max().unwrap_or_default();
        for event in self.events {
            let Event::Phase { at, phase } = event else { continue };
            if let Some(span) = self.spans.last_mut() {
                span.1 = *at;
            }
            // A span stands for the filling too, so that looks during it belong to no other part.
            self.spans.push((*at, last + 1));
            self.parts.push(Part {
                phase: *phase,
                began: *at,
                back_ms: None,
                fault: [None; 3],
                complete_ms: None,
                agreement_ms: None,
                nodes: vec![NodePart::default(); nodes],
                ops: 0,
                ops_answered: 0,
                ops_answered_at_once: 0,
                lag_p99_ms: 0,
                load_kept: true,
                verdict: Verdict::Pass,
                reasons: Vec::new(),
            });
        }
    }

    fn part_at(&self, at: Ms) -> usize {
        self.spans.partition_point(|(began, _)| *began <= at).saturating_sub(1)
    }

    fn op(&mut self, op: &Op) {
        let index = op.instance as usize;
        if self.lives.len() <= index {
            self.lives.resize(index + 1, Life::default());
        }
        if let Some(life) = self.lives.get_mut(index) {
            life.take(op);
        }
    }

    /// Sorts the reads into looks, and finds out when killed nodes answered again.
    fn reads(&mut self) {
        for event in self.events {
            match event {
                Event::Fault { at, node, what } => {
                    let position = self.part_at(*at);
                    if let Some(part) = self.parts.get_mut(position).filter(|it| it.phase == Phase::Restart(*node)) {
                        part.fault[if *what == Fault::Killed { 0 } else { 1 }] = Some(*at);
                    }
                }
                Event::Read(read) => {
                    let position = self.part_at(read.sent);
                    let Some(part) = self.parts.get_mut(position) else { continue };
                    let [killed, started, back] = part.fault;
                    let is_killed = part.phase == Phase::Restart(read.node) && killed.is_some();
                    if is_killed && back.is_none() && read.shown.is_some() && started.is_some_and(|it| read.sent >= it)
                    {
                        part.fault[2] = Some(read.done);
                        part.back_ms = started.map(|it| read.done.saturating_sub(it));
                    }
                    let away = is_killed && part.fault[2].is_none();
                    let Some(node) = part.nodes.get_mut(read.node) else { continue };
                    if !away {
                        node.looks += 1;
                        node.looks_answered += u64::from(read.shown.is_some());
                    }
                    let Some(shown) = &read.shown else { continue };
                    let Some(starts) = self.starts.get(read.node) else { continue };
                    let incarnation = starts.partition_point(|it| *it <= read.sent);
                    let looks = self.looks.get_mut(read.node).and_then(|it| it.get_mut(read.service as usize));
                    let Some(looks) = looks else { continue };
                    looks.push(Look {
                        sent: read.sent,
                        done: read.done,
                        part: position,
                        incarnation,
                        present: &shown.present,
                        unhealthy: &shown.unhealthy,
                        short: false,
                        wrong: false,
                    });
                }
                _ => {}
            }
        }
    }

    /// Follows every owed instance through the looks at every node.
    fn lives(&mut self) {
        let services = self.header.services.max(1);
        for (index, life) in self.lives.iter().enumerate() {
            let Some(acked) = life.acked else { continue };
            let leaves = life.leaves.unwrap_or(Ms::MAX);
            let (service, local) = (index as u32 % services, index as u32 / services);
            for (node, looks) in self.looks.iter_mut().enumerate() {
                let Some(looks) = looks.get_mut(service as usize) else { continue };
                let starts = self.starts.get(node).map(Vec::as_slice).unwrap_or_default();
                let born = starts.partition_point(|it| *it <= acked);
                let from = looks.partition_point(|it| it.sent <= acked);
                let count = looks.len();
                let owed = looks.iter_mut().enumerate().skip(from).take_while(|(_, it)| it.done < leaves);
                let mut track = Track::new(acked, born);
                for (position, look) in owed {
                    let present = look.present.binary_search(&local).is_ok();
                    let unhealthy = look.unhealthy.binary_search(&local).is_ok();
                    track.step(look, present, unhealthy);
                    if !present && acked + SETTLED <= look.sent {
                        look.short = true;
                        look.wrong = true;
                        if position + 1 == count {
                            self.lost.insert(index as u32);
                        }
                    }
                }
                track.finish();
                for (part, seen) in track.parts.iter().enumerate() {
                    let Some(node) = self.parts.get_mut(part).and_then(|it| it.nodes.get_mut(node)) else { continue };
                    if seen.looked {
                        node.gone_ms.push(seen.gone);
                        node.unhealthy += u64::from(seen.unhealthy);
                    }
                }
                if let Some(late) = track.late {
                    let part = self.spans.partition_point(|(began, _)| *began <= acked).saturating_sub(1);
                    let node = self.parts.get_mut(part).and_then(|it| it.nodes.get_mut(node));
                    node.into_iter().for_each(|it| it.late_ms.push(late));
                }
            }
        }
    }

    /// Finds looks that show what was deregistered.
    fn forbidden(&mut self) {
        let services = self.header.services.max(1);
        for looks in &mut self.looks {
            for (service, looks) in looks.iter_mut().enumerate() {
                let count = looks.len();
                for (position, look) in looks.iter_mut().enumerate() {
                    for local in look.present {
                        let index = local.saturating_mul(services).saturating_add(service as u32);
                        let since = self.lives.get(index as usize).and_then(Life::forbidden_since);
                        if since.is_some_and(|it| it <= look.sent) {
                            look.wrong = true;
                            if position + 1 == count {
                                self.resurrected.insert(index);
                            }
                        }
                    }
                }
            }
        }
    }

    /// What became of the operations, and whether the load was kept.
    fn load(&mut self) {
        let mut lags: Vec<Vec<Ms>> = vec![Vec::new(); self.parts.len()];
        let mut sent: Vec<u64> = vec![0; self.parts.len()];
        let mut begun = BTreeSet::new();
        for event in self.events {
            let Event::Op(op) = event else { continue };
            let position = self.part_at(op.sent);
            let Some(part) = self.parts.get_mut(position) else { continue };
            part.ops += 1;
            let answered = op.ended != Ended::Failed;
            part.ops_answered += u64::from(answered);
            part.ops_answered_at_once += u64::from(answered && op.attempts == 1);
            if let (Some(lags), Some(sent)) = (lags.get_mut(position), sent.get_mut(position)) {
                lags.push(op.sent.saturating_sub(op.due));
                *sent += u64::from(op.kind == OpKind::Register && begun.insert(op.instance));
            }
        }
        let unsent = self.events.iter().any(|it| matches!(it, Event::Unsent { .. }));
        for (position, part) in self.parts.iter_mut().enumerate() {
            let Some(lags) = lags.get_mut(position) else { continue };
            lags.sort_unstable();
            part.lag_p99_ms = lags.get((lags.len() * 99 / 100).min(lags.len().saturating_sub(1))).copied().unwrap_or(0);
            if part.lag_p99_ms > LAG_P99_MAX {
                part.unknown(format!("the generator was {} ms late at its 99th percentile", part.lag_p99_ms));
            }
            let (began, end) = self.spans.get(position).copied().unwrap_or_default();
            let planned = (end - began) as f64 / 1000.0 * f64::from(self.header.rate);
            let sent = sent.get(position).copied().unwrap_or_default();
            let loaded = matches!(part.phase, Phase::Steady | Phase::Restart(_));
            if loaded && (sent as f64) < planned * SENT_SHARE_MIN {
                part.unknown(format!("{sent} of {planned:.0} registrations were sent"));
            }
            if unsent && loaded {
                part.unknown("too many clients were busy at once, so registrations were left out".to_owned());
            }
            part.load_kept = part.verdict == Verdict::Pass;
        }
    }

    fn verdicts(&mut self) {
        for position in 0..self.parts.len() {
            let Some(part) = self.parts.get(position) else { continue };
            let since = match part.phase {
                Phase::Restart(_) => part.fault[2],
                Phase::Final => Some(part.began),
                _ => continue,
            };
            let until = self.spans.get(position).map(|it| it.1).unwrap_or_default();
            let complete = since.map(|since| self.right_after(since, until, |it| it.short));
            let agreement = since.map(|since| self.right_after(since, until, |it| it.wrong));
            let bit = self.fault_bit(position);
            let same = part.phase != Phase::Final || self.last_looks_are_same();
            let Some(part) = self.parts.get_mut(position) else { continue };
            if !bit {
                part.unknown("the kill had no effect that was seen".to_owned());
            }
            if let Some(Agreement::After(ms)) = complete {
                part.complete_ms = Some(ms);
            }
            match agreement {
                None => part.fail("the node did not answer again".to_owned()),
                Some(Agreement::Unseen(what)) => part.unknown(what),
                Some(Agreement::Never(what)) => part.fail(what),
                Some(Agreement::After(ms)) => part.agreement_ms = Some(ms),
            }
            if !same {
                part.fail("the last looks at the nodes are not the same".to_owned());
            }
            if !part.load_kept && part.phase != Phase::Final {
                part.verdict = Verdict::Unknown;
            }
        }
        let (lost, resurrected) = (self.lost.len(), self.resurrected.len());
        if let Some(part) = self.parts.iter_mut().find(|it| it.phase == Phase::Final) {
            if lost > 0 {
                part.fail(format!("{lost} acknowledged, beating instances are missing at the end"));
            }
            if resurrected > 0 {
                part.fail(format!("{resurrected} deregistered instances are shown at the end"));
            }
        }
    }

    /// When no look in a span is bad any more.
    fn right_after(&self, since: Ms, until: Ms, is_bad: impl Fn(&Look<'_>) -> bool) -> Agreement {
        let mut after = 0;
        for (node, services) in self.looks.iter().enumerate() {
            for (service, looks) in services.iter().enumerate() {
                let begin = looks.partition_point(|it| it.sent < since);
                let end = looks.partition_point(|it| it.sent < until);
                let looks = looks.get(begin..end).unwrap_or_default();
                if looks.last().is_none_or(|it| it.sent < since + SETTLED) {
                    return Agreement::Unseen(format!("node {node} was not looked at long enough"));
                }
                let Some(bad) = looks.iter().rposition(&is_bad) else { continue };
                match looks.get(bad + 1) {
                    Some(right) => after = after.max(right.sent - since),
                    None => return Agreement::Never(format!("node {node} does not show service {service} right")),
                }
            }
        }
        Agreement::After(after)
    }

    /// Whether the killed node gave no answer while it was away, and was asked.
    fn fault_bit(&self, position: usize) -> bool {
        let Some(part) = self.parts.get(position) else { return false };
        let Phase::Restart(node) = part.phase else { return true };
        let [Some(killed), Some(started), _] = part.fault else { return false };
        let mut asked = false;
        for event in self.events {
            let Event::Read(read) = event else { continue };
            if read.node == node && read.sent >= killed && read.done <= started {
                if read.shown.is_some() {
                    return false;
                }
                asked = true;
            }
        }
        asked
    }

    fn last_looks_are_same(&self) -> bool {
        let last = |node: &Vec<Vec<Look<'a>>>| -> Vec<Option<&'a [u32]>> {
            node.iter().map(|looks| looks.last().map(|it| it.present)).collect()
        };
        let all: Vec<_> = self.looks.iter().map(last).collect();
        all.windows(2).all(|it| matches!(it, [a, b] if a == b))
    }
}

enum Agreement {
    After(Ms),
    Never(String),
    Unseen(String),
}

impl Part {
    fn unknown(&mut self, reason: String) {
        self.verdict = self.verdict.max(Verdict::Unknown);
        self.reasons.push(reason);
    }

    fn fail(&mut self, reason: String) {
        self.verdict = Verdict::Fail;
        self.reasons.push(reason);
    }
}

impl Judgement {
    /// Whether everything that was to be done was done; the parts that say nothing are left out.
    fn completeness(&mut self, events: &[Event]) {
        let ended = self.parts.iter().any(|it| it.phase == Phase::End);
        let kills = self.parts.iter().filter(|it| matches!(it.phase, Phase::Restart(_))).count();
        self.parts.retain(|it| !matches!(it.phase, Phase::Fill | Phase::End));
        let nodes = self.header.nodes.len();
        if let Some(part) = self.parts.last_mut() {
            if !ended {
                part.unknown("the history has no end".to_owned());
            }
            if kills < nodes {
                part.unknown(format!("{kills} of {nodes} nodes were killed"));
            }
            for event in events {
                if let Event::GaveUp { reason, .. } = event {
                    part.unknown(reason.clone());
                }
            }
        }
        self.verdict = self.parts.iter().map(|it| it.verdict).max().unwrap_or(Verdict::Unknown);
    }
}

fn latest(event: &Event) -> Ms {
    match event {
        Event::Run(_) => 0,
        Event::Phase { at, .. } | Event::Fault { at, .. } | Event::GaveUp { at, .. } => *at,
        Event::Op(op) => op.done,
        Event::Read(read) => read.done,
        Event::Unsent { due } => *due,
    }
}

#[cfg(test)]
mod tests;
