//! Many worlds, and worlds of broken servers.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::checks::Violation;
use super::world::{Outcome, run};
use crate::flaw::Flaw;

/// How many worlds an ordinary test run tries; `DISTRO_WORLDS` says otherwise.
const WORLDS: u64 = 150;
/// Worlds in which a broken server must be found out.
const BROKEN_WORLDS: u64 = 400;
/// Threads at most.
const WORKERS: usize = 2;

/// Runs these worlds; the first seed that fails, if any.
fn run_all(seeds: std::ops::Range<u64>, flaw: Option<Flaw>) -> Result<Outcome, (u64, Violation)> {
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let mut sum = Outcome::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return Ok(sum);
            }
            let ended = std::panic::catch_unwind(AssertUnwindSafe(|| run(seed, flaw, false).0));
            match ended.unwrap_or_else(|_| Err(Violation("a panic".to_owned()))) {
                Ok(one) => add(&mut sum, one),
                Err(violation) => {
                    next.store(seeds.end, Ordering::Relaxed);
                    return Err((seed, violation));
                }
            }
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let mut sum = Outcome::default();
        let mut failed: Option<(u64, Violation)> = None;
        for worker in workers {
            match worker.join().unwrap() {
                Ok(one) => add(&mut sum, one),
                Err(failure) if failed.as_ref().is_none_or(|known| failure.0 < known.0) => failed = Some(failure),
                Err(_) => {}
            }
        }
        failed.map_or(Ok(sum), Err)
    })
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
    let sum = run_all(first..first + worlds, None)
        .unwrap_or_else(|(seed, violation)| panic!("seed {seed}: {}\n{}", violation.0, replay(seed)));
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
    let Err((seed, violation)) = run_all(0..BROKEN_WORLDS, Some(flaw)) else { panic!("{flaw:?} is not found") };
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

caught! {
    checksums_never_sent_are_caught: NeverVerifies,
    forgotten_removals_are_caught: ForgetsRemovals,
    judging_services_of_others_is_caught: JudgesOthers,
    judging_copies_of_beats_is_caught: JudgesCopies,
    an_ignored_snapshot_is_caught: IgnoresSnapshot,
    a_missing_hand_over_is_caught: KeepsToItself,
}
