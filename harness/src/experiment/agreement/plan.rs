//! What the clients will do, and what must be true afterwards. Made from the seed alone, before anything is sent.
//!
//! Kept out on purpose, because the official server itself goes wrong there: two first registrations of one service at
//! once (`compat/spec/distro.md` §13, 1.4.2 #3922), one ip and port in two clusters (`compat/spec/naming-api.md` §8.3),
//! and a read-modify-write that follows another write by less than the registry lags behind the acknowledgement.

use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

use super::request::{Action, Subject};
use crate::agreement::content::Metadata;
use crate::agreement::differ::Wanted;
use crate::experiment::{KEEP, loopback};

/// Between two operations of one instance.
const GAP: Duration = Duration::from_millis(600);

/// From the first registration of a service to that of its next instance.
const AFTER_FIRST: Duration = Duration::from_secs(1);

/// Share of the time in which instances may stop beating: servers look at beats every five seconds and tell each other
/// about health every five, and all that must be over within the limit after the last operation.
const TIMED_SHARE: f64 = 0.3;

/// Share of the time in which an instance may recover.
const REVIVE_SHARE: f64 = 0.8;

/// Heartbeats of an instance that is to fall ill or expire count for this long.
const SHORT_TIMEOUT_MS: u64 = 1000;

/// One operation of one instance.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Operation {
    /// In the order they are due.
    pub(super) number: usize,
    /// Not before this, from the start.
    pub(super) due: Duration,
    /// What is sent, in order, to one node.
    pub(super) actions: Vec<Action>,
    /// What the instance is when all of it was acknowledged and has had its time.
    pub(super) after: Option<Wanted>,
}

impl Operation {
    /// Whether its effect comes by itself, some seconds after the answer: illness or the end.
    pub(super) fn is_timed(&self) -> bool {
        match (&self.after, self.actions.last()) {
            (Some(after), _) => !after.healthy,
            (None, last) => matches!(last, Some(Action::Register(_))),
        }
    }
}

/// Everything one instance will go through.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Life {
    pub(super) subject: Subject,
    pub(super) operations: Vec<Operation>,
}

/// Where a life stands while it is planned.
#[derive(Debug, Clone, PartialEq)]
enum Stage {
    Absent,
    Present(Wanted),
    /// Registered, and its beats have stopped.
    Ill(Wanted),
    /// Nothing more will be done to it.
    Over,
}

struct Draft {
    life: Life,
    stage: Stage,
    free_at: Duration,
}

/// `count` operations, `rate` of them per second, on services whose names contain `tag`.
pub(super) fn plan(mut random: StdRng, tag: &str, namespaces: &[String], count: usize, rate: u32) -> Vec<Life> {
    let step = Duration::from_secs(1) / rate.max(1);
    let whole = step * count as u32;
    let mut drafts = drafts(tag, namespaces, count);
    let mut clock = Duration::ZERO;
    let mut number = 0;
    let mut add = |draft: &mut Draft, due: Duration, actions: Vec<Action>, stage: Stage, after: Option<Wanted>| {
        let pauses: Duration =
            actions.iter().map(|it| if let Action::Pause(time) = it { *time } else { Duration::ZERO }).sum();
        draft.free_at = due + pauses + GAP;
        draft.stage = stage;
        draft.life.operations.push(Operation { number, due, actions, after });
        number += 1;
        number
    };
    // Every service once, alone.
    for service in 0..services(count) {
        let first = content(&mut random);
        let due = clock;
        for draft in drafts.iter_mut().skip(service).step_by(services(count)).skip(1) {
            draft.free_at = due + AFTER_FIRST;
        }
        if let Some(draft) = drafts.get_mut(service) {
            let actions = vec![Action::Register(first.clone())];
            add(draft, due, actions, Stage::Present(first.clone()), Some(first));
        }
        clock += step;
    }
    let mut planned = services(count);
    planned += victims(&mut drafts, tag, namespaces, count, &mut add);
    while planned < count {
        let free = (0..drafts.len())
            .filter(|it| drafts.get(*it).is_some_and(|it| it.free_at <= clock && it.stage != Stage::Over))
            .collect::<Vec<_>>();
        let Some(draft) = free.choose(&mut random).and_then(|it| drafts.get_mut(*it)) else {
            clock += Duration::from_millis(20);
            continue;
        };
        let share = clock.as_secs_f64() / whole.as_secs_f64().max(0.001);
        if let Some((actions, stage, after)) = next(&mut random, &draft.stage, share) {
            add(draft, clock, actions, stage, after);
            planned += 1;
            clock += step;
        } else {
            // An ill instance that may no longer recover.
            draft.stage = Stage::Over;
        }
        if drafts.iter().all(|it| it.stage == Stage::Over) {
            break;
        }
    }
    drafts.into_iter().map(|it| it.life).collect()
}

/// One service for some thirty operations.
fn services(count: usize) -> usize {
    (count / 30).max(2)
}

fn drafts(tag: &str, namespaces: &[String], count: usize) -> Vec<Draft> {
    const CLUSTERS: [&str; 3] = ["DEFAULT", "c1", "DEFAULT"];
    const GROUPS: [&str; 2] = ["DEFAULT_GROUP", "g2"];
    let services = services(count);
    let instances = (count / 8).max(services);
    let draft = |index: usize| {
        let service = index % services;
        let namespace = namespaces.get(service % namespaces.len().max(1)).map_or("public", String::as_str);
        let group = GROUPS.get(service / 2 % GROUPS.len()).copied().unwrap_or_default();
        let cluster = CLUSTERS.get(index / services % CLUSTERS.len()).copied().unwrap_or_default();
        let name = format!("{tag}-{service}");
        let subject = Subject::new(namespace, group, &name, loopback(index), 9000 + (index % 500) as i64, cluster);
        Draft { life: Life { subject, operations: Vec::new() }, stage: Stage::Absent, free_at: Duration::ZERO }
    };
    (0..instances).map(draft).collect()
}

/// Services that are deleted: one instance each, which is gone by then. Returns the operations planned.
fn victims(
    drafts: &mut Vec<Draft>,
    tag: &str,
    namespaces: &[String],
    count: usize,
    add: &mut impl FnMut(&mut Draft, Duration, Vec<Action>, Stage, Option<Wanted>) -> usize,
) -> usize {
    let services = count / 100;
    for index in 0..services {
        let namespace = namespaces.get(index % namespaces.len().max(1)).map_or("public", String::as_str);
        let (ip, name) = (loopback(1_000_000 + index), format!("{tag}-deleted-{index}"));
        let subject = Subject::new(namespace, "DEFAULT_GROUP", &name, ip, 80, "DEFAULT");
        let life = Life { subject, operations: Vec::new() };
        let mut draft = Draft { life, stage: Stage::Absent, free_at: Duration::ZERO };
        let wanted = kept(1.0, true, Metadata::new());
        let begin = Duration::from_millis(100 * index as u64);
        add(&mut draft, begin, vec![Action::Register(wanted.clone())], Stage::Present(wanted.clone()), Some(wanted));
        add(&mut draft, begin + GAP, vec![Action::Deregister], Stage::Absent, None);
        // Not before the others know that it is empty: deleting it sooner makes official nodes repeat an empty request
        // for ever (compat/spec/distro.md §6.1).
        add(&mut draft, begin + Duration::from_secs(5), vec![Action::DeleteService], Stage::Over, None);
        drafts.push(draft);
    }
    services * 3
}

/// What happens next to an instance; nothing when nothing may.
fn next(random: &mut StdRng, stage: &Stage, share: f64) -> Option<(Vec<Action>, Stage, Option<Wanted>)> {
    let present = |actions, it: Wanted| Some((actions, Stage::Present(it.clone()), Some(it)));
    match stage {
        Stage::Over => None,
        Stage::Absent => {
            let it = content(random);
            if random.random_bool(0.25) {
                // A heartbeat cannot register a disabled instance.
                let it = Wanted { enabled: true, ..it };
                return present(vec![Action::BeatFull(it.clone())], it);
            }
            present(vec![Action::Register(it.clone())], it)
        }
        Stage::Ill(_) if share < REVIVE_SHARE && random.random_bool(0.6) => {
            let it = content(random);
            // A registration keeps the health of the record it replaces; only a beat makes it healthy, and the
            // official registry may apply the two a moment later.
            let pause = || Action::Pause(Duration::from_millis(400));
            let actions = vec![Action::Register(it.clone()), pause(), Action::BeatLight, pause(), Action::BeatLight];
            present(actions, it)
        }
        Stage::Ill(_) => Some((vec![Action::Deregister], Stage::Absent, None)),
        Stage::Present(now) => {
            let mut it = now.clone();
            let choice = random.random_range(0..100);
            match choice {
                0..16 => {
                    it = content(random);
                    present(vec![Action::Register(it.clone())], it)
                }
                16..26 => {
                    it = content(random);
                    present(vec![Action::Update(it.clone())], it)
                }
                26..40 => {
                    let other = content(random);
                    let weight = random.random_bool(0.5).then_some(other.weight);
                    let enabled = random.random_bool(0.5).then_some(other.enabled);
                    let metadata = random.random_bool(0.5).then_some(other.metadata);
                    it.weight = weight.unwrap_or(it.weight);
                    it.enabled = enabled.unwrap_or(it.enabled);
                    it.metadata = metadata.clone().unwrap_or(it.metadata);
                    present(vec![Action::Patch { weight, enabled, metadata }], it)
                }
                40..50 => {
                    let more = some_metadata(random);
                    it.metadata.extend(more.clone());
                    present(vec![Action::MetadataPut(more)], it)
                }
                50..54 => {
                    let own =
                        it.metadata.keys().filter(|it| !it.starts_with("preserved.")).cloned().collect::<Vec<_>>();
                    let key = own.choose(random).cloned().unwrap_or_else(|| "none".to_owned());
                    it.metadata.remove(&key);
                    present(vec![Action::MetadataDelete(key)], it)
                }
                54..66 => present(vec![Action::BeatLight], it),
                66..74 => present(vec![Action::BeatFull(content(random))], it),
                74..84 => Some((vec![Action::Deregister], Stage::Absent, None)),
                84..91 => {
                    it = content(random);
                    present(vec![Action::Deregister, Action::Register(it.clone())], it)
                }
                _ if share >= TIMED_SHARE => present(vec![Action::BeatFull(it.clone())], it),
                91..96 => {
                    it.metadata.insert("preserved.heart.beat.timeout".into(), SHORT_TIMEOUT_MS.to_string());
                    let actions = vec![Action::Register(it.clone())];
                    it.healthy = false;
                    Some((actions, Stage::Ill(it.clone()), Some(it)))
                }
                _ => {
                    it.metadata.insert("preserved.heart.beat.timeout".into(), SHORT_TIMEOUT_MS.to_string());
                    it.metadata.insert("preserved.ip.delete.timeout".into(), (2 * SHORT_TIMEOUT_MS).to_string());
                    Some((vec![Action::Register(it)], Stage::Over, None))
                }
            }
        }
    }
}

/// A healthy instance that stays without beats.
pub(super) fn kept(weight: f64, enabled: bool, mut metadata: Metadata) -> Wanted {
    let ms = KEEP.as_millis();
    metadata.insert("preserved.heart.beat.timeout".into(), ms.to_string());
    metadata.insert("preserved.ip.delete.timeout".into(), (ms + 60_000).to_string());
    Wanted { weight, enabled, healthy: true, metadata }
}

fn content(random: &mut StdRng) -> Wanted {
    const WEIGHTS: [f64; 7] = [0.0, 0.01, 0.5, 1.0, 1.0, 100.25, 10_000.0];
    let weight = WEIGHTS.choose(random).copied().unwrap_or(1.0);
    let enabled = random.random_bool(0.85);
    kept(weight, enabled, some_metadata(random))
}

/// Texts that have been mangled on some way before.
fn some_metadata(random: &mut StdRng) -> Metadata {
    const VALUES: [&str; 8] = ["", "v1", "a b", "中文", "😀", "a+b%25&c=d", "\"quoted\"\\", "1.50"];
    let count = random.random_range(0..3);
    (0..count)
        .map(|_| {
            let key = format!("k{}", random.random_range(0..4));
            (key, VALUES.choose(random).copied().unwrap_or_default().to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    fn planned(seed: u64, count: usize) -> Vec<Life> {
        plan(StdRng::seed_from_u64(seed), "x", &["public".to_owned(), "ns".to_owned()], count, 50)
    }

    #[test]
    fn the_plan_has_every_kind_of_operation_and_comes_from_the_seed_alone() {
        let plan = planned(1, 1000);
        assert_eq!(plan, planned(1, 1000));
        assert_ne!(plan, planned(2, 1000));
        let operations: Vec<_> = plan.iter().flat_map(|it| &it.operations).collect();
        assert_eq!(operations.len(), 1000);
        let names: std::collections::BTreeSet<_> =
            operations.iter().flat_map(|it| it.actions.iter().map(Action::name)).collect();
        assert_eq!(names.len(), 10, "{names:?}");
        // Timed changes come early, and one life's operations never overlap.
        for life in &plan {
            assert!(life.operations.windows(2).all(|it| it[0].due + GAP <= it[1].due), "{life:?}");
        }
        let ill = operations.iter().filter(|it| it.after.as_ref().is_some_and(|it| !it.healthy));
        assert!(ill.clone().count() > 3 && ill.clone().all(|it| it.is_timed()));
        assert!(operations.iter().filter(|it| it.is_timed()).count() > ill.clone().count(), "some expire");
        assert!(operations.iter().filter(|it| it.is_timed()).count() < 60);
        assert!(ill.clone().all(|it| it.due <= Duration::from_secs(7)), "{:?}", ill.map(|it| it.due).max());
    }

    #[test]
    fn a_small_plan_is_whole_too() {
        assert_eq!(planned(3, 150).iter().map(|it| it.operations.len()).sum::<usize>(), 150);
    }
}
