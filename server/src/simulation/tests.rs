//! Many worlds, and worlds of broken servers.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use super::checks::Violation;
use super::world::{Outcome, run};
use crate::flaw::Flaw;

/// How many worlds an ordinary test run tries; `DISTRO_WORLDS` says otherwise.
const WORLDS: u64 = 150;
/// Worlds in which a broken server must be found out.
const BROKEN_WORLDS: u64 = 400;
/// After so many seeds that failed there is enough to look at.
const FAILED_MAX: usize = 10;

/// Runs these worlds on all cores until `failed_max` have failed; those that did, by seed.
fn run_all(
    seeds: std::ops::Range<u64>,
    flaw: Option<Flaw>,
    failed_max: usize,
) -> Result<Outcome, Vec<(u64, Violation)>> {
    let next = AtomicU64::new(seeds.start);
    let (sum, failed) = (Mutex::new(Outcome::default()), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || failed.lock().len() >= failed_max {
                return;
            }
            let ended = std::panic::catch_unwind(AssertUnwindSafe(|| run(seed, flaw, false).0));
            match ended.unwrap_or_else(|_| Err(Violation("a panic".to_owned()))) {
                Ok(one) => add(&mut sum.lock(), one),
                Err(violation) => failed.lock().push((seed, violation)),
            }
        }
    };
    std::thread::scope(|scope| {
        (0..std::thread::available_parallelism().map_or(1, usize::from)).for_each(|_| drop(scope.spawn(work)));
    });
    let mut failed = failed.into_inner();
    failed.sort_by_key(|(seed, _)| *seed);
    if failed.is_empty() { Ok(sum.into_inner()) } else { Err(failed) }
}

fn add(sum: &mut Outcome, one: Outcome) {
    sum.requests += one.requests;
    sum.emptied += one.emptied;
    sum.starts += one.starts;
    sum.moves += one.moves;
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn replay(seed: u64) -> String {
    format!("again: DISTRO_SEED={seed} cargo test -p tandem-server simulation::tests::world_of_seed -- --nocapture")
}

#[test]
fn troubled_worlds_keep_every_promise() {
    let worlds = number("DISTRO_WORLDS").unwrap_or(WORLDS);
    let first = number("DISTRO_FIRST").unwrap_or(0);
    let began = Instant::now();
    let sum = run_all(first..first + worlds, None, FAILED_MAX).unwrap_or_else(|failed| {
        let line = |(seed, violation): &(u64, Violation)| format!("seed {seed}: {}\n{}", violation.0, replay(*seed));
        panic!("{}", failed.iter().map(line).collect::<Vec<_>>().join("\n"))
    });
    println!("{worlds} worlds in {:?}: {sum:?}", began.elapsed());
    // A simulation in which nothing happens proves nothing.
    assert!(sum.requests > 500 * worlds && sum.starts > 3 * worlds && sum.moves > 4 * worlds, "{sum:?}");
}

#[test]
fn world_of_seed() {
    let seed = number("DISTRO_SEED").unwrap_or(1);
    let (once, log) = run(seed, None, true);
    if std::env::var("DISTRO_SEED").is_ok() {
        log.iter().for_each(|line| println!("{line}"));
    }
    let once = once.unwrap_or_else(|violation| panic!("seed {seed}: {}", violation.0));
    let (again, other) = run(seed, None, true);
    let differs = log.iter().zip(&other).find(|(one, two)| one != two);
    assert_eq!(again, Ok(once), "a seed makes one world, but {differs:?}");
}

#[test]
fn seeds_make_worlds_of_their_own_and_the_same_ones_again() {
    let traces = |_| (0..12).map(|seed| run(seed, None, false).0.unwrap().trace).collect::<Vec<_>>();
    let (mut once, again) = (traces(1), traces(2));
    assert_eq!(once, again);
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), 12);
}

/// The flaw is found in one of these worlds, and again in the same one, which is fine without it.
fn is_caught(flaw: Flaw) {
    let Err(failed) = run_all(0..BROKEN_WORLDS, Some(flaw), 1) else { panic!("{flaw:?} is not found") };
    let (seed, violation) = failed.into_iter().next().unwrap();
    println!("{flaw:?}: seed {seed}: {}", violation.0);
    assert_eq!(run(seed, Some(flaw), false).0.unwrap_err(), violation);
    run(seed, None, false).0.unwrap();
}

macro_rules! caught {
    ($($name:ident: $flaw:ident,)*) => {
        $(#[test]
        fn $name() {
            is_caught(Flaw::$flaw);
        })*
    };
}

// Not among them: `KeepsToItself`, which none of the first 400 worlds misses; why is not known yet.
caught! {
    checksums_never_sent_are_caught: NeverVerifies,
    forgotten_removals_are_caught: ForgetsRemovals,
    judging_services_of_others_is_caught: JudgesOthers,
    judging_copies_of_beats_is_caught: JudgesCopies,
    an_ignored_snapshot_is_caught: IgnoresSnapshot,
    a_dropped_retry_is_caught: DropsRetry,
}
