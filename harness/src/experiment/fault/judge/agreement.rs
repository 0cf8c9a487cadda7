//! *agreement*: all nodes show the same after the heal, and what they show is right.
//!
//! A look is *wrong* when it lacks what has been owed for [`SETTLED`](super::lives::SETTLED), or shows what is departed and
//! by nothing excused. A node agrees from its first look on after the last wrong one of every service; how long that took
//! after the heal is exact to one round of looks. What may or may not have happened, and what waits to expire, makes no
//! look wrong, but in the last looks all nodes must show the same of that, too. The totals that nodes tell of themselves
//! must be the same.

use std::collections::BTreeMap;

use super::super::history::{Event, Phase, Us};
use super::finding::{Check, Figure, Finding, ms, seconds, when};
use super::looks::Seen;
use super::story::{Line, Story};

/// From the heal to the first look that is right and stays so.
pub(super) const AGREED: &str = "heal → agreement";
/// Where that never came: from the heal to the end.
pub(super) const WATCHED: &str = "heal → end, without agreement";

/// What is wrong about a look.
struct Wrong {
    instance: u32,
    is_missing: bool,
    /// The line that says how it should be.
    cause: Option<Line>,
}

pub(super) fn check(story: &Story<'_>) -> Option<Finding> {
    if story.nodes.iter().all(|it| it.answered().next().is_none() && it.unanswered.is_empty()) {
        return None;
    }
    let mut finding = Finding::new(Check::Agreement);
    let (Some(healed), Some(calm)) = (story.healed(), story.began(Phase::Final)) else {
        finding.unknown("the history does not come to its final phase");
        return Some(finding);
    };
    for node in 0..story.nodes.len() {
        let (what, after) = match node_agrees(story, node, healed, calm.max(healed), &mut finding) {
            Some(after) => (AGREED, after),
            None if story.is_watched_since(node, healed) => (WATCHED, story.end.saturating_sub(healed)),
            None => continue,
        };
        finding.figures.push(Figure::new(what, "ms", vec![ms(after)]).at(node));
    }
    if finding.is_but_silence() {
        last_looks_differ(story, calm, &mut finding);
    }
    told_differ(story, &mut finding);
    Some(finding)
}

/// How long after the heal the node showed what is right, if it ever did.
fn node_agrees(story: &Story<'_>, node: usize, healed: Us, calm: Us, finding: &mut Finding) -> Option<Us> {
    let name = story.node_name(node);
    let looks = story.nodes.get(node)?;
    if !looks.answered().any(|it| it.1.sent >= healed) {
        let says = || format!("{name} answers no look after the heal at {}", seconds(healed));
        match looks.unanswered.iter().filter(|it| it.0 >= healed).map(|it| it.1).collect::<Vec<_>>().as_slice() {
            [] => finding.unknown(format!("{name} was not looked at after the heal")),
            [_, ..] if story.is_official_beside_tandem(node) => finding.unanswered(story, node, says()),
            [first, .., last] => finding.violated(story, || (says(), vec![*first, *last])),
            [only] => finding.unknown(format!("{name} was looked at once after the heal (line {only}), unanswered")),
        }
        return None;
    }
    let (mut after, mut last): (Us, Option<(usize, usize)>) = (0, None);
    for (service, looks) in looks.services.iter().enumerate() {
        if looks.last().is_none_or(|it| it.sent < calm) {
            finding.unanswered(story, node, format!("{name} gave no answer for service {service} in the final phase"));
            return None;
        }
        let begin = looks.partition_point(|it| it.sent < healed);
        let is_wrong = |it: &Seen<'_>| wrong(story, service, it).is_some();
        let Some(bad) = looks.iter().skip(begin).rposition(is_wrong).map(|it| it + begin) else { continue };
        match looks.get(bad + 1) {
            Some(right) if right.sent - healed <= after => {}
            Some(right) => (after, last) = (right.sent - healed, Some((service, bad))),
            None => {
                disagrees(story, node, service, bad, finding, "at the end");
                return None;
            }
        }
    }
    if after > story.header.agree_within_us
        && let Some((service, bad)) = last
    {
        let (after, limit) = (seconds(after), seconds(story.header.agree_within_us));
        let how = format!("before it agreed {after} after the heal, where {limit} are allowed");
        disagrees(story, node, service, bad, finding, &how);
    }
    Some(after)
}

fn disagrees(story: &Story<'_>, node: usize, service: usize, bad: usize, finding: &mut Finding, how: &str) {
    let Some(look) = story.nodes.get(node).and_then(|it| it.services.get(service)?.get(bad)) else { return };
    let Some(wrong) = wrong(story, service, look) else { return };
    finding.violated(story, || {
        let verb = if wrong.is_missing { "lacks" } else { "shows" };
        let (name, at) = (story.node_name(node), when(look.done, look.line));
        let says = format!("{name} {verb} instance {} of service {service} at {at}, {how}", wrong.instance);
        (says, wrong.cause.into_iter().chain([look.line]).collect())
    });
}

fn wrong(story: &Story<'_>, service: usize, look: &Seen<'_>) -> Option<Wrong> {
    if let Some(local) = look.short().next() {
        let instance = story.instance(service, local);
        let ack = story.last_ack(instance, look.sent);
        return Some(Wrong { instance, is_missing: true, cause: ack.map(|it| it.1) });
    }
    look.extra.iter().find_map(|local| {
        let instance = story.instance(service, *local);
        let life = story.lives.get(instance as usize)?;
        let departed =
            life.departed_at(look.sent).filter(|it| it.forbidden_from <= look.sent && look.done < it.until)?;
        Some(Wrong { instance, is_missing: false, cause: Some(departed.line) })
    })
}

fn last_looks_differ(story: &Story<'_>, calm: Us, finding: &mut Finding) {
    for service in 0..story.services() as usize {
        // Whoever gave no answer since then has nothing to compare.
        let last = |node: usize| story.nodes.get(node)?.services.get(service)?.last().filter(|it| it.sent >= calm);
        let mut answered = (0..story.nodes.len()).filter_map(|node| Some((node, last(node)?)));
        let Some((first, one)) = answered.next() else { continue };
        for (node, other) in answered {
            let differs = |it: &&u32| one.present.binary_search(it).is_ok() != other.present.binary_search(it).is_ok();
            let Some(local) = one.present.iter().chain(other.present).find(differs) else { continue };
            finding.violated(story, || {
                let (with, without) = if one.present.contains(local) { (first, node) } else { (node, first) };
                let (with, without) = (story.node_name(with), story.node_name(without));
                let instance = story.instance(service, *local);
                let says = format!(
                    "in its last look {with} shows instance {instance} of service {service} and {without} does not"
                );
                (says, vec![one.line, other.line])
            });
        }
    }
}

fn told_differ(story: &Story<'_>, finding: &mut Finding) {
    let mut told: BTreeMap<&str, BTreeMap<usize, (&str, Line)>> = BTreeMap::new();
    for (position, event) in story.events.iter().enumerate() {
        if let Event::Told { node, what, value, .. } = event {
            told.entry(what).or_default().insert(*node, (value, position + 1));
        }
    }
    for (what, values) in told {
        let mut values = values.iter();
        let Some((one, (value, line))) = values.next() else { continue };
        if let Some((other, (differs, other_line))) = values.find(|it| it.1.0 != *value) {
            finding.violated(story, || {
                let (one, other) = (story.node_name(*one), story.node_name(*other));
                (format!("{one} tells {what} {value}, {other} {differs}"), vec![*line, *other_line])
            });
        }
    }
}
