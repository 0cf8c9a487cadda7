//! *no-lost-instance*: what its client keeps alive is shown by every node at the end.
//!
//! Judged is the last look at every service of every node. How long anything owed was missing before that is measured:
//! *late* is what had not been shown since it was acknowledged (to the last look that lacked it), *gone* what was
//! missing after that (to the first look that showed it again). While a node gives no answer, nothing is missing there.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::super::history::{Phase, Us};
use super::finding::{Check, Figure, Finding, ms, when};
use super::looks::{Looks, Seen};
use super::story::{Line, Story};

pub(super) fn check(story: &Story<'_>) -> Option<Finding> {
    story.lives.iter().any(|it| !it.owed.is_empty()).then_some(())?;
    let mut finding = Finding::new(Check::NoLostInstance);
    let Some(calm) = story.began(Phase::Final) else {
        finding.unknown("the history does not come to its final phase");
        return Some(finding);
    };
    let mut lost: BTreeMap<u32, Vec<(usize, Us, Line)>> = BTreeMap::new();
    for (node, looks) in story.nodes.iter().enumerate() {
        for (service, looks) in looks.services.iter().enumerate() {
            let Some(last) = looks.last().filter(|it| it.sent >= calm) else {
                let why = format!("{} shows nothing in the final phase", story.node_name(node));
                finding.unanswered(story, node, why);
                break;
            };
            for local in last.short() {
                lost.entry(story.instance(service, local)).or_default().push((node, last.done, last.line));
            }
        }
    }
    for (instance, nodes) in &lost {
        let Some((_, at, line)) = nodes.first().copied() else { continue };
        finding.violated(story, || {
            let names: Vec<_> = nodes.iter().map(|it| story.node_name(it.0)).collect();
            let ack = story.last_ack(*instance, at);
            let alive = ack.map(|it| format!(", last acknowledged at {},", when(it.0, it.1))).unwrap_or_default();
            let says = format!("instance {instance}{alive} is not shown by {} at {}", names.join(", "), when(at, line));
            (says, ack.map(|it| it.1).into_iter().chain(nodes.iter().map(|it| it.2)).collect())
        });
    }
    for (node, looks) in story.nodes.iter().enumerate() {
        let Missing { gone, late, unhealthy } = missing(story, looks);
        finding.figures.push(Figure::new("gone again", "ms", gone).at(node));
        finding.figures.push(Figure::new("not there yet", "ms", late).at(node));
        finding.figures.push(Figure::new("owed instances shown unhealthy", "1", vec![unhealthy as f64]).at(node));
    }
    Some(finding)
}

#[derive(Default)]
struct Missing {
    gone: Vec<f64>,
    late: Vec<f64>,
    unhealthy: usize,
}

/// One owed instance while it is missing.
struct Gap {
    first: Us,
    last: Us,
    is_late: bool,
}

/// How long each owed instance was missing at one node, from when the population is complete.
fn missing(story: &Story<'_>, looks: &Looks<'_>) -> Missing {
    let filled = story.began(Phase::Before).or_else(|| story.began(Phase::During)).unwrap_or_default();
    let mut all = Missing::default();
    for (service, looks_at) in looks.services.iter().enumerate() {
        let begin = looks_at.partition_point(|it| it.sent < filled);
        let seen = looks_at.get(begin..).unwrap_or_default();
        let mut times = Times::default();
        let mut before: Option<&Seen<'_>> = None;
        let mut unhealthy: HashSet<u32> = HashSet::new();
        for look in seen {
            let was_away = before.is_some_and(|before| {
                let next = looks.unanswered.partition_point(|it| it.0 <= before.sent);
                looks.unanswered.get(next).is_some_and(|it| it.0 < look.sent)
            });
            times.step(look, before, was_away, filled);
            unhealthy.extend(look.unhealthy.iter().filter(|it| look.extra.binary_search(it).is_err()));
            before = Some(look);
        }
        times.finish();
        all.unhealthy += unhealthy.len();
        let lives = story.lives.iter().enumerate().skip(service).step_by(story.services() as usize);
        for (index, life) in lives {
            let local = index as u32 / story.services();
            for owed in &life.owed {
                let first = seen.partition_point(|it| it.sent < owed.from);
                if seen.get(first).is_some_and(|it| it.done < owed.until) {
                    all.gone.push(ms(times.gone.get(&(local, owed.from)).copied().unwrap_or(0)));
                    if owed.from >= filled {
                        all.late.push(ms(times.late.get(&(local, owed.from)).copied().unwrap_or(0)));
                    }
                }
            }
        }
    }
    all
}

/// Keyed by the number within the service and the beginning of the debt.
#[derive(Default)]
struct Times {
    open: HashMap<(u32, Us), Gap>,
    gone: HashMap<(u32, Us), Us>,
    late: HashMap<(u32, Us), Us>,
}

impl Times {
    fn step(&mut self, look: &Seen<'_>, before: Option<&Seen<'_>>, was_away: bool, filled: Us) {
        if was_away {
            self.finish();
        }
        if !self.open.is_empty() {
            let missing: HashSet<_> = look.missing.iter().collect();
            let back: Vec<_> = self.open.keys().filter(|it| !missing.contains(it)).copied().collect();
            for key in back {
                let shown = look.present.binary_search(&key.0).is_ok().then_some(look.sent);
                self.close(key, shown);
            }
        }
        for key in &look.missing {
            let first_look = before.is_none_or(|it| it.sent < key.1) && key.1 >= filled;
            // What was acknowledged while the node was away could not be there before it came back.
            let first = if first_look && !was_away { key.1 } else { look.sent };
            let gap = self.open.entry(*key).or_insert(Gap { first, last: look.sent, is_late: first_look });
            gap.last = look.sent;
        }
    }

    fn close(&mut self, key: (u32, Us), shown: Option<Us>) {
        let Some(gap) = self.open.remove(&key) else { return };
        if gap.is_late {
            self.late.insert(key, gap.last - gap.first);
        } else {
            *self.gone.entry(key).or_default() += shown.unwrap_or(gap.last) - gap.first;
        }
    }

    fn finish(&mut self) {
        let keys: Vec<_> = self.open.keys().copied().collect();
        keys.into_iter().for_each(|it| self.close(it, None));
    }
}
