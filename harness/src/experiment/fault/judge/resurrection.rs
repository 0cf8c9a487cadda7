//! *no-resurrection*: what was deregistered stays away.
//!
//! From the acknowledgement of a deregistration until the client registers again, a look that shows the instance is
//! *stale*. That is measured, and is a violation only when it is more than being late:
//! - the instance *came back*: the node had shown the service without it after the acknowledgement, and shows it again
//!   although nothing excuses that any more; what is on its way for [`SETTLED`] is excused, and so is what an open request
//!   of the client may have made, until that expires, and what the node shows for the first time while its own line is
//!   narrow, which was on its way for long;
//! - it is *still there*: the last look at that node shows it, and nothing excuses that.
//!
//! Of several nodes the first one counts. In a cluster of both kinds it *began at a Tandem node* when
//! - that is one, no official node showed the instance in its last look before, and some Tandem node had had it: what none
//!   of them ever showed or was told by the client, an official node has told them with a list that was long on its way;
//! - or that is an official one, and a Tandem node showed it although it had been told, and no other official one did. A
//!   Tandem node was told when it acknowledged the deregistration itself, or when a node but the one that did had shown
//!   the instance and then did not: who told that one had told all within [`SETTLED`], since official nodes come by it with
//!   checksums as well, one after the other; what a Tandem node forgot, it was told.
//!
//! Where nodes change their kind that cannot be told.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};

use super::super::history::{Phase, Us};
use super::finding::{Check, Figure, Finding, ms, when};
use super::lives::{Departed, SETTLED};
use super::looks::Seen;
use super::story::{Line, Story};

/// How an instance is shown that should not be.
struct Back {
    departed: Departed,
    node: usize,
    /// When the look that shows it was asked for.
    sent: Us,
    /// That look.
    shown: (Us, Line),
    /// The look before that did not; nothing when there is none since the deregistration.
    gone: Option<(Us, Line)>,
}

pub(super) fn check(story: &Story<'_>) -> Option<Finding> {
    story.lives.iter().any(|it| !it.departed.is_empty()).then_some(())?;
    let mut finding = Finding::new(Check::NoResurrection);
    let Some(calm) = story.began(Phase::Final) else {
        finding.unknown("the history does not come to its final phase");
        return Some(finding);
    };
    let mut backs: BTreeMap<u32, Back> = BTreeMap::new();
    for (node, looks) in story.nodes.iter().enumerate() {
        let mut stale = Vec::new();
        let mut is_seen = true;
        for (service, looks) in looks.services.iter().enumerate() {
            is_seen &= looks.last().is_some_and(|it| it.sent >= calm);
            let shown = service_shows(story, (node, service), looks, calm, &mut backs);
            stale.extend(shown.into_iter().map(ms));
        }
        if !is_seen {
            finding.unknown(format!("{} shows nothing in the final phase", story.node_name(node)));
        }
        finding.figures.push(Figure::new("shown after deregistration", "ms", stale).at(node));
    }
    for (instance, back) in &backs {
        finding.of_tandem += u64::from(began_at_tandem(story, *instance, back));
        finding.violated(story, || {
            let left = when(back.departed.at, back.departed.line);
            let (name, shown) = (story.node_name(back.node), when(back.shown.0, back.shown.1));
            let before = back.gone.map(|it| format!(", after it had been gone there at {}", when(it.0, it.1)));
            let how = before.unwrap_or_else(|| " at the end".to_owned());
            let says = format!("instance {instance}, whose deregistration was acknowledged at {left}, is shown by {name} at {shown}{how}");
            let lines = [back.departed.line, back.shown.1].into_iter().chain(back.gone.map(|it| it.1));
            (says, lines.collect())
        });
    }
    Some(finding)
}

/// Whether a Tandem node brought it back.
fn began_at_tandem(story: &Story<'_>, instance: u32, back: &Back) -> bool {
    if story.changes_kinds() {
        return false;
    }
    let (service, local) = ((instance % story.services()) as usize, instance / story.services());
    let shows = |look: &Seen<'_>| look.present.binary_search(&local).is_ok();
    let looks_before = |node: usize| {
        let looks = story.nodes.get(node).and_then(|it| it.services.get(service)).map_or(&[][..], Vec::as_slice);
        &looks[..looks.partition_point(|it| it.sent <= back.sent)]
    };
    let showed = |node: usize| looks_before(node).last().is_some_and(shows);
    let others_than = |node: Option<usize>| (0..story.nodes.len()).filter(move |it| Some(*it) != node);
    let others = || others_than(Some(back.node)).filter(|it| showed(*it));
    let by_official = others().any(|it| !story.is_tandem(it));
    let forgot = |node: usize| {
        let looks = looks_before(node);
        let (before, after) = looks.split_at(looks.partition_point(|it| it.sent < back.departed.at));
        let spread = if story.is_tandem(node) { 0 } else { SETTLED };
        before.iter().any(shows) && after.iter().find(|it| !shows(it)).is_some_and(|it| it.sent + spread <= back.sent)
    };
    let by = back.departed.by;
    let was_told = || by.is_some_and(|it| story.is_tandem(it)) || others_than(by).any(forgot);
    let had = |node: usize| {
        let life = story.lives.get(instance as usize);
        let took = life.is_some_and(|it| it.owed.iter().any(|owed| owed.by == Some(node)));
        let looks = looks_before(node);
        took || looks[..looks.partition_point(|it| it.sent < back.sent)].iter().any(shows)
    };
    let had_by_tandem = || (0..story.nodes.len()).any(|it| story.is_tandem(it) && had(it));
    !by_official && (story.is_tandem(back.node) && had_by_tandem() || others().next().is_some() && was_told())
}

/// How long each departed instance of a service was still shown at a node.
fn service_shows(
    story: &Story<'_>,
    (node, service): (usize, usize),
    looks: &[Seen<'_>],
    calm: Us,
    backs: &mut BTreeMap<u32, Back>,
) -> Vec<Us> {
    // The last look that showed an instance, by its number and departure.
    let mut shown: HashMap<(u32, Us), usize> = HashMap::new();
    let mut stale: HashMap<(u32, Us), Us> = HashMap::new();
    for (position, look) in looks.iter().enumerate() {
        for local in &look.extra {
            let instance = story.instance(service, *local);
            let life = story.lives.get(instance as usize);
            let departed = life.and_then(|it| it.departed_at(look.sent)).filter(|it| look.done < it.until);
            let Some(departed) = departed else { continue };
            let key = (*local, departed.at);
            stale.insert(key, look.sent - departed.at);
            let first = looks.partition_point(|it| it.sent < departed.at);
            let expected = shown.insert(key, position).map_or(first, |it| it + 1);
            let gone = position.checked_sub(1).filter(|_| expected < position).and_then(|it| looks.get(it));
            let is_late = || {
                let first = !looks[..position].iter().any(|it| it.present.binary_search(local).is_ok());
                first && story.faults.iter().any(|it| it.delays(node, look.sent))
            };
            let gone = gone.filter(|_| !is_late());
            let is_last = position + 1 == looks.len() && look.sent >= calm;
            if look.sent >= departed.forbidden_from && (gone.is_some() || is_last) {
                let back = Back {
                    departed: *departed,
                    node,
                    sent: look.sent,
                    shown: (look.done, look.line),
                    gone: gone.map(|it| (it.done, it.line)),
                };
                match backs.entry(instance) {
                    Entry::Vacant(vacant) => drop(vacant.insert(back)),
                    Entry::Occupied(mut known) if back.sent < known.get().sent => drop(known.insert(back)),
                    Entry::Occupied(_) => {}
                }
            }
        }
    }
    let lives = story.lives.iter().enumerate().skip(service).step_by(story.services() as usize);
    let departures = lives.flat_map(|(index, life)| {
        let local = index as u32 / story.services();
        life.departed.iter().map(move |it| (local, it.at))
    });
    departures.map(|it| stale.get(&it).copied().unwrap_or(0)).collect()
}
