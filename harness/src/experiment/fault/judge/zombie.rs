//! *no-zombie*: what nobody keeps alive is gone from every node in time.
//!
//! The time begins with the last thing the client did, and anew at a node with the heal of a fault that involves it: cut
//! off, stopped or away it cannot know. What is shown meanwhile is measured.
//!
//! In a cluster of both kinds it *began at a Tandem node* when one shows it too late, and [`SETTLED`] longer than any
//! official node: as long as an official one has it, it may be told to have it.

use std::collections::BTreeMap;

use super::super::history::{Phase, Us};
use super::finding::{Check, Figure, Finding, ms, seconds, when};
use super::lives::{Abandoned, SETTLED};
use super::looks::Seen;
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
    // When official nodes last showed an instance, and Tandem nodes last showed a zombie.
    let (mut by_official, mut by_tandem) = (BTreeMap::<u32, Us>::new(), BTreeMap::<u32, Us>::new());
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
                let is_zombie = look.sent > gone_by(story, abandoned, node);
                if is_zombie {
                    zombies.entry(instance).or_insert((node, look.done, look.line, abandoned));
                }
                let last = match story.is_tandem(node) {
                    true if is_zombie => by_tandem.entry(instance).or_default(),
                    true => continue,
                    false => by_official.entry(instance).or_default(),
                };
                *last = look.sent.max(*last);
            }
        }
        let unseen = gone.iter().filter(|(instance, abandoned)| {
            let last = looks.services.get((instance % services) as usize).and_then(|it| it.last());
            // What a last look does not show is gone, and early; whether it comes back is another check's.
            let still_shown = |it: &Seen<'_>| it.extra.contains(&(instance / services));
            last.is_none_or(|it| {
                it.sent < abandoned.at || (it.sent <= gone_by(story, *abandoned, node) && still_shown(it))
            })
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
        let official = by_official.get(&instance).map_or(0, |it| it + SETTLED);
        finding.of_tandem += u64::from(by_tandem.get(&instance).is_some_and(|it| *it > official));
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
