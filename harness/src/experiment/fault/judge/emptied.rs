//! *no-emptied-service*: a service with living clients is never shown empty.
//!
//! A node that answers a look serves, also when it was started only just now. Its answer must not be empty when
//! anything in the service has been owed for [`SETTLED`](super::lives::SETTLED), and the node has shown something of the
//! service before: what it never had it cannot have emptied. A push that is empty at such a time is the same to a
//! subscriber. A push that is older than one that the same node had sent before is counted only: datagrams are not
//! ordered, and clients drop it.
//!
//! In a cluster of both kinds it *began at a Tandem node* when that is one and no official node showed the service empty
//! from [`SETTLED`](super::lives::SETTLED) before until then. Where one gave no answer meanwhile it cannot be told.

use std::collections::HashMap;

use super::super::history::{Event, Phase, Push, Us};
use super::finding::{Check, Figure, Finding, ms, seconds, when};
use super::lives::SETTLED;
use super::looks::Seen;
use super::story::{Line, Story};

pub(super) fn check(story: &Story<'_>) -> Option<Finding> {
    story.lives.iter().any(|it| !it.owed.is_empty()).then_some(())?;
    let mut finding = Finding::new(Check::NoEmptiedService);
    for (node, looks) in story.nodes.iter().enumerate() {
        let mut empty = Vec::new();
        for (service, looks) in looks.services.iter().enumerate() {
            empty.extend(service_empties(story, (node, service), looks, &mut finding));
        }
        finding.figures.push(Figure::new("a service shown empty", "ms", empty).at(node));
        if looks.answered().next().is_none() {
            finding.unknown(format!("{} showed nothing at all", story.node_name(node)));
        }
    }
    pushes(story, &mut finding);
    Some(finding)
}

/// How long each time.
fn service_empties(
    story: &Story<'_>,
    (node, service): (usize, usize),
    looks: &[Seen<'_>],
    finding: &mut Finding,
) -> Vec<f64> {
    let is_empty = |it: &Seen<'_>| it.present.is_empty() && it.short().next().is_some();
    let mut times = Vec::new();
    let mut full: Option<Line> = None;
    let mut rest = looks.iter().peekable();
    while let Some(look) = rest.next() {
        if !look.present.is_empty() {
            full = Some(look.line);
            continue;
        }
        let Some(before) = full.filter(|_| is_empty(look) && story.phase_at(look.sent) != Phase::Fill) else {
            continue;
        };
        let mut last = look;
        while let Some(next) = rest.next_if(|it| is_empty(it)) {
            last = next;
        }
        let after = rest.peek();
        let length = after.map_or(last.sent, |it| it.sent) - look.sent;
        times.push(ms(length));
        finding.of_tandem += u64::from(began_at_tandem(story, (node, service), look.sent, last.sent));
        finding.violated(story, || {
            let alive: Vec<u32> = look.short().map(|it| story.instance(service, it)).collect();
            let ack = alive.first().and_then(|it| story.last_ack(*it, look.sent));
            let example = alive.first().zip(ack).map(|(instance, (at, line))| {
                format!(", e.g. instance {instance}, acknowledged at {}", when(at, line))
            });
            let says = format!(
                "{} shows service {service} empty at {}, for {}, while clients keep {} alive{}",
                story.node_name(node),
                when(look.done, look.line),
                seconds(length),
                count(alive.len()),
                example.unwrap_or_default()
            );
            let lines = [Some(before), ack.map(|it| it.1), Some(look.line), after.map(|it| it.line)];
            (says, lines.into_iter().flatten().collect())
        });
    }
    times
}

/// Whether a Tandem node emptied it by itself.
fn began_at_tandem(story: &Story<'_>, (node, service): (usize, usize), from: Us, until: Us) -> bool {
    let had = |other: usize| {
        let Some(looks) = story.nodes.get(other).and_then(|it| it.services.get(service)) else { return true };
        let mut meanwhile = looks.iter().filter(|it| it.sent + SETTLED >= from && it.sent <= until).peekable();
        meanwhile.peek().is_none() || meanwhile.any(|it| it.present.is_empty())
    };
    let mut official = (0..story.nodes.len()).filter(|it| !story.is_tandem(*it));
    story.is_tandem(node) && !story.changes_kinds() && !official.any(had)
}

fn count(instances: usize) -> String {
    if instances == 1 { "an instance".to_owned() } else { format!("{instances} instances") }
}

fn pushes(story: &Story<'_>, finding: &mut Finding) {
    let mut newest: HashMap<(u32, u32, usize), u64> = HashMap::new();
    let (mut all, mut older) = (0_u64, 0_u64);
    for (position, event) in story.events.iter().enumerate() {
        let Event::Push(push) = event else { continue };
        all += 1;
        if let Some(node) = push.node {
            let newest = newest.entry((push.subscriber, push.service, node)).or_default();
            older += u64::from(push.last_ref_time < *newest);
            *newest = push.last_ref_time.max(*newest);
        }
        if push.present.is_empty() && story.phase_at(push.at) != Phase::Fill {
            empty_push(story, push, position + 1, finding);
        }
    }
    if all > 0 {
        finding.figures.push(Figure::new("pushes", "1", vec![all as f64]));
        finding.figures.push(Figure::new("pushes older than one before", "1", vec![older as f64]));
    }
}

fn empty_push(story: &Story<'_>, push: &Push, line: Line, finding: &mut Finding) {
    let of_service = story.lives.iter().enumerate().skip(push.service as usize).step_by(story.services() as usize);
    let mut alive = of_service.filter_map(|(index, life)| {
        let is_owed = life.owed.iter().any(|it| it.from + SETTLED <= push.at && push.at < it.until);
        is_owed.then_some(index as u32)
    });
    let Some(instance) = alive.next() else { return };
    let by_tandem = push.node.is_some_and(|it| began_at_tandem(story, (it, push.service as usize), push.at, push.at));
    finding.of_tandem += u64::from(by_tandem);
    finding.violated(story, || {
        let ack = story.last_ack(instance, push.at);
        let alive = ack.map(|it| format!(", acknowledged at {},", when(it.0, it.1))).unwrap_or_default();
        let says = format!(
            "an empty service {} is pushed to subscriber {} at {} while instance {instance}{alive} is kept alive",
            push.service,
            push.subscriber,
            when(push.at, line)
        );
        (says, ack.map(|it| it.1).into_iter().chain([line]).collect())
    });
}
