//! *no-zombie*: what nobody keeps alive is gone from every node in time.
//!
//! The time begins with the last thing the client did, and anew at a node with the heal of a fault that involves it: cut
//! off, stopped or away it cannot know. What is shown meanwhile is measured.

use std::collections::BTreeMap;

use super::super::history::{Phase, Us};
use super::finding::{Check, Figure, Finding, ms, seconds, when};
use super::lives::Abandoned;
use super::story::{Line, Story};

/// Until when a node may show an instance whose client is gone.
pub(super) fn gone_by(story: &Story<'_>, abandoned: Abandoned, node: usize) -> Us {
    let within = story.header.gone_within_us;
    let mut by = abandoned.at.saturating_add(within);
    for spell in story.faults.iter().filter(|it| it.involves(node)) {
        if spell.fault.at <= by && spell.until() > abandoned.at {
            by = by.max(spell.over().saturating_add(within));
        }
    }
    by
}

pub(super) fn check(story: &Story<'_>) -> Option<Finding> {
    let services = story.services();
    let gone: Vec<(u32, Abandoned)> =
        story.lives.iter().enumerate().filter_map(|(index, life)| Some((index as u32, life.abandoned?))).collect();
    if gone.is_empty() {
        return None;
    }
    let mut finding = Finding::new(Check::NoZombie);
    if story.header.gone_within_us == 0 {
        finding.unknown("the scenario does not say how long an instance may outlive its client");
        return Some(finding);
    }
    let mut zombies: BTreeMap<u32, (usize, Us, Line, Abandoned)> = BTreeMap::new();
    for (node, looks) in story.nodes.iter().enumerate() {
        let mut remained = BTreeMap::new();
        for (service, look) in looks.answered() {
            for local in &look.extra {
                let instance = story.instance(service, *local);
                let Some(abandoned) = story.lives.get(instance as usize).and_then(|it| it.abandoned) else { continue };
                if look.sent < abandoned.at || story.phase_at(look.sent) == Phase::Fill {
                    continue;
                }
                remained.insert(instance, look.sent - abandoned.at);
                if look.sent > gone_by(story, abandoned, node) {
                    zombies.entry(instance).or_insert((node, look.done, look.line, abandoned));
                }
            }
        }
        let unseen = gone.iter().filter(|(instance, abandoned)| {
            let last = looks.services.get((instance % services) as usize).and_then(|it| it.last());
            last.is_none_or(|it| it.sent <= gone_by(story, *abandoned, node))
        });
        let unseen = unseen.count();
        if unseen > 0 {
            let name = story.node_name(node);
            finding.unknown(format!("{name} was not seen after {unseen} abandoned instances were to be gone"));
        }
        finding
            .figures
            .push(Figure::new("shown after its client", "ms", remained.into_values().map(ms).collect()).at(node));
    }
    for (instance, (node, at, line, abandoned)) in zombies {
        finding.violated(story, || {
            let by = gone_by(story, abandoned, node);
            let (last, shown) = (when(abandoned.at, abandoned.line), when(at, line));
            let (name, by) = (story.node_name(node), seconds(by));
            let says = format!(
                "instance {instance}, whose client was last heard of at {last}, is shown by {name} at {shown}; \
                 it was to be gone by {by}"
            );
            (says, vec![abandoned.line, line])
        });
    }
    Some(finding)
}
