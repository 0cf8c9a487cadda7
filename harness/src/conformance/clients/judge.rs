//! From what programs reported to verdicts. Pure: nothing is asked here.
//!
//! A step passes when the program found it as the script wants it and, where real Nacos was among the targets, saw what
//! the same program saw there. A step that real Nacos itself does not pass is held to what was seen there.

use serde_json::Value;

use super::pairs::Pair;
use super::script::{ACKS, BEATS, CHANGES, Line, NOTHING_LEFT, PUSH, STEPS, Step, Way};
use super::sdk::Sdk;
use crate::results::{CaseResult, ClientRun, ClientStep, Outcome};

/// Characters of a value in a reason.
const VALUE_CHARS: usize = 120;

/// One run of one program.
#[derive(Debug, Clone, Default)]
pub struct Ran {
    /// Its reports.
    pub lines: Vec<Line>,
    /// How it ended, when not by itself.
    pub end: Option<String>,
    /// The last of what it said on standard error.
    pub said: String,
}

/// Pushes sent by the node subscribed to while programs ran, and those of them that were acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acks {
    /// Pushes sent.
    pub sent: i64,
    /// Pushes acknowledged.
    pub acknowledged: i64,
}

/// Why a program was not run.
#[derive(Debug, Clone)]
pub struct Unable {
    /// `skip` for a missing toolchain, else `error`.
    pub outcome: Outcome,
    /// One sentence.
    pub reason: String,
}

/// One program at one pair of nodes, and what the harness saw itself. An error there is why it could not look.
#[derive(Debug, Clone)]
pub struct Visit {
    /// The client.
    pub sdk: Sdk,
    /// What it ran with.
    pub runtime: String,
    /// The target as written on the command line.
    pub target: String,
    /// Whether every node of it is real Nacos.
    pub is_reference: bool,
    /// The nodes.
    pub pair: Pair,
    /// What became of the program.
    pub ran: Result<Ran, Unable>,
    /// Whether an instance without heartbeats was removed meanwhile.
    pub control: Result<(), String>,
    /// Pushes of all programs that ran together.
    pub acks: Result<Acks, String>,
    /// Nodes that list something after the end.
    pub left: Result<Vec<String>, String>,
}

impl Visit {
    fn line(&self, step: &str) -> Option<&Line> {
        self.ran.as_ref().ok()?.lines.iter().find(|line| line.step == step)
    }
}

/// Verdicts on every step of every visit: as cases, one row per client and step, and as runs with times.
pub fn judge(visits: &[Visit]) -> (Vec<CaseResult>, Vec<ClientRun>) {
    let mut cases = Vec::new();
    let mut runs = Vec::new();
    for visit in visits {
        let reference = visits.iter().find(|it| it.is_reference && it.sdk == visit.sdk && it.ran.is_ok());
        let reference = reference.filter(|it| !std::ptr::eq(*it, visit));
        let mut steps = Vec::new();
        for step in STEPS.iter().chain([&PUSH, &ACKS, &NOTHING_LEFT]) {
            let (outcome, reason) = verdict(visit, reference, step);
            let line = visit.line(step.name);
            steps.push(ClientStep {
                step: step.name.to_owned(),
                outcome,
                way: line.and_then(|it| it.way).map(|way| way.name().to_owned()),
                at_ms: line.and_then(|it| it.at_ms),
                after_ms: line.and_then(|it| it.after_ms),
                reason: reason.clone(),
            });
            cases.push(case(visit, step, outcome, reason));
        }
        runs.push(ClientRun {
            client: visit.sdk.name().to_owned(),
            package: visit.sdk.package().to_owned(),
            runtime: visit.runtime.clone(),
            target: visit.target.clone(),
            direction: visit.pair.direction.clone(),
            steps,
        });
    }
    (cases, runs)
}

fn case(visit: &Visit, step: &Step, outcome: Outcome, reason: String) -> CaseResult {
    let Visit { sdk, pair, .. } = visit;
    let nodes = match (&pair.direction, pair.write == pair.subscribe) {
        (Some(direction), _) => format!(", written to and subscribed to: {direction}"),
        (None, false) => ", subscribed to another node than the one written to".to_owned(),
        (None, true) => String::new(),
    };
    CaseResult {
        id: format!("{sdk}.{}{}", step.name, pair.suffix),
        area: sdk.area(),
        endpoint: format!("{sdk} {}", step.name),
        group: String::new(),
        target: visit.target.clone(),
        outcome,
        tags: Vec::new(),
        difference: None,
        reason,
        request: format!("{}: {}{nodes}", sdk.package(), step.what),
        expected: None,
        observed: None,
    }
}

fn verdict(visit: &Visit, reference: Option<&Visit>, step: &Step) -> (Outcome, String) {
    let ran = match &visit.ran {
        Ok(ran) => ran,
        Err(unable) => return (unable.outcome, unable.reason.clone()),
    };
    match step.name {
        name if name == PUSH.name => push(visit),
        name if name == ACKS.name => acks(visit),
        name if name == NOTHING_LEFT.name => left(visit),
        name => match visit.line(name) {
            Some(line) => reported(visit, reference.and_then(|it| it.line(name)), line),
            None => not_reached(ran),
        },
    }
}

fn pass() -> (Outcome, String) {
    (Outcome::Pass, String::new())
}

/// A program that does not come to a step has said why in an earlier one, or broke down.
fn not_reached(ran: &Ran) -> (Outcome, String) {
    let after = ran.lines.last().map_or_else(|| "its start".to_owned(), |line| format!("`{}`", line.step));
    let how = ran.end.as_deref().unwrap_or("by itself");
    let said = if ran.said.is_empty() { String::new() } else { format!(": {}", cut(&ran.said.replace('\n', " / "))) };
    (Outcome::Error, format!("not reached: the program ended after {after} ({how}){said}"))
}

fn reported(visit: &Visit, reference: Option<&Line>, line: &Line) -> (Outcome, String) {
    if let Some(reason) = &line.skip {
        return (Outcome::Skip, reason.clone());
    }
    if line.step == BEATS
        && line.ok
        && let Err(why) = &visit.control
    {
        let reason = format!("staying proves nothing: an instance without heartbeats was not removed ({why})");
        return (Outcome::Error, reason);
    }
    let differs = reference.filter(|it| it.skip.is_none()).and_then(|it| difference("", &it.saw, &line.saw));
    match (line.ok, reference.map(|it| it.ok), differs) {
        (true, Some(true), Some(difference)) => (Outcome::Fail, format!("on real Nacos {difference}")),
        (true, _, _) | (false, Some(false), None) => pass(),
        (false, _, _) => {
            let saw = if line.saw.is_null() { String::new() } else { format!("; saw {}", cut(&line.saw.to_string())) };
            let detail = if line.detail.is_empty() { "not as the script wants it" } else { &line.detail };
            (Outcome::Fail, format!("{}{saw}", cut(detail)))
        }
    }
}

fn push(visit: &Visit) -> (Outcome, String) {
    if !visit.sdk.has_push() {
        return (Outcome::Skip, "this client has no push receiver: it polls".to_owned());
    }
    let ways: Vec<Way> = CHANGES.iter().filter_map(|step| visit.line(step)?.way).collect();
    if ways.is_empty() {
        return (Outcome::Error, "the subscriber was told of no change".to_owned());
    }
    if ways.contains(&Way::Push) { pass() } else { (Outcome::Fail, "every change was seen by polling".to_owned()) }
}

fn acks(visit: &Visit) -> (Outcome, String) {
    if !visit.sdk.has_push() {
        return (Outcome::Skip, "this client has no push receiver: it polls".to_owned());
    }
    match &visit.acks {
        Err(why) => (Outcome::Error, why.clone()),
        Ok(Acks { sent, .. }) if *sent <= 0 => (Outcome::Fail, "the server counts no push".to_owned()),
        Ok(Acks { sent, acknowledged }) if acknowledged < sent => {
            let missing = sent - acknowledged;
            let reason = format!("{missing} of {sent} pushes to the programs that ran together were not acknowledged");
            (Outcome::Fail, reason)
        }
        Ok(_) => pass(),
    }
}

fn left(visit: &Visit) -> (Outcome, String) {
    match &visit.left {
        Err(why) => (Outcome::Error, why.clone()),
        Ok(left) if left.is_empty() => pass(),
        Ok(left) => (Outcome::Fail, format!("instances are left: {}", left.join(", "))),
    }
}

/// The first place in which two values differ: where, what was expected, what is there.
fn difference(at: &str, expected: &Value, observed: &Value) -> Option<String> {
    let place = if at.is_empty() { "the whole" } else { at };
    match (expected, observed) {
        (Value::Object(left), Value::Object(right)) => {
            let names = left.keys().chain(right.keys().filter(|name| !left.contains_key(*name)));
            names
                .filter_map(|name| {
                    let value = |map: &serde_json::Map<String, Value>| map.get(name).cloned().unwrap_or(Value::Null);
                    difference(&format!("{at}.{name}"), &value(left), &value(right))
                })
                .next()
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            let both = left.iter().zip(right).enumerate();
            both.filter_map(|(index, (left, right))| difference(&format!("{at}[{index}]"), left, right)).next()
        }
        _ if expected == observed => None,
        _ => {
            let (expected, observed) = (cut(&expected.to_string()), cut(&observed.to_string()));
            Some(format!("{place} is {expected}, here {observed}"))
        }
    }
}

fn cut(text: &str) -> String {
    let mut out: String = text.chars().take(VALUE_CHARS).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    out
}
