//! Runs members in simulated worlds full of trouble and looks whether what must hold does.
//!
//! A world follows from its seed alone, so a failure can be run again: `RAFT_SEED=<seed> cargo test simulation_of_seed`.

mod checks;
mod node;
mod plan;
mod trouble;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use checks::Violation;
use world::World;

use super::member::Flaw;
use super::message::Role;

/// How long a healed group may take until all is well, ms.
const RECOVERY_MS: u64 = 15_000;

/// What a world came to, for the sums over all.
#[derive(Debug, Default, Clone, Copy)]
struct Outcome {
    writes: usize,
    reads: usize,
    steps: u64,
    elections: u64,
    installs: u64,
    changes: u64,
}

/// One world: trouble, then healing, after which the group must get well.
fn run(seed: u64, flaw: Option<Flaw>, forgets_votes: bool) -> Result<Outcome, Violation> {
    let mut world = World::new(seed, flaw, forgets_votes);
    world.run_until(world.plan.troubled_ms)?;
    world.heal();
    let deadline = world.now_ms + RECOVERY_MS;
    let before = world.checks.writes_answered;
    while !is_well(&world, before) {
        if world.now_ms >= deadline {
            return Err(Violation(format!(
                "no progress {RECOVERY_MS} ms after the trouble ended: {}",
                world.describe()
            )));
        }
        if let Some(leader) = world.leader()
            && world.is_idle(leader)
            && world.checks.writes_answered == before
        {
            world.propose(leader)?;
        }
        world.run_until(world.now_ms + 50)?;
    }
    let checks = &world.checks;
    Ok(Outcome {
        writes: checks.writes_answered,
        reads: checks.reads_answered,
        steps: world.steps,
        elections: world.elections,
        installs: world.installs,
        changes: world.changes,
    })
}

/// One leads, writes are answered, and all voters have all that was ever acknowledged.
fn is_well(world: &World, writes_before: usize) -> bool {
    let Some(leader) = world.leader() else { return false };
    if world.checks.writes_answered == writes_before {
        return false;
    }
    let Some(process) = &world.nodes[leader].process else { return false };
    let status = process.member.status();
    if status.configuration.is_joint() {
        return false;
    }
    let all = world.checks.applied.len() as u64;
    world.nodes.iter().filter(|node| status.configuration.contains(&node.peer)).all(|node| {
        let Some(process) = &node.process else { return false };
        let follows = process.member.status();
        let role = if follows.leader.as_ref() == Some(&node.peer) { Role::Leader } else { Role::Follower };
        follows.term == status.term && follows.role == role && process.state.index >= all
    })
}

/// Runs these worlds on all cores; the first seed that fails, if any.
fn run_all(seeds: std::ops::Range<u64>, flaw: Option<Flaw>, forgets_votes: bool) -> Result<Outcome, (u64, Violation)> {
    let next = AtomicU64::new(seeds.start);
    let workers = std::thread::available_parallelism().map_or(2, usize::from).min(8);
    let work = || {
        let mut sum = Outcome::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return Ok(sum);
            }
            match std::panic::catch_unwind(|| run(seed, flaw, forgets_votes)) {
                Ok(Ok(one)) => add(&mut sum, one),
                Ok(Err(violation)) => {
                    next.store(seeds.end, Ordering::Relaxed);
                    return Err((seed, violation));
                }
                Err(panic) => {
                    next.store(seeds.end, Ordering::Relaxed);
                    let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                    return Err((seed, Violation(format!("a panic: {text}"))));
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let mut sum = Outcome::default();
        let mut failed: Option<(u64, Violation)> = None;
        for worker in workers {
            match worker.join().unwrap() {
                Ok(one) => add(&mut sum, one),
                Err(failure) => {
                    if failed.as_ref().is_none_or(|known| failure.0 < known.0) {
                        failed = Some(failure);
                    }
                }
            }
        }
        failed.map_or(Ok(sum), Err)
    })
}

fn add(sum: &mut Outcome, one: Outcome) {
    sum.writes += one.writes;
    sum.reads += one.reads;
    sum.steps += one.steps;
    sum.elections += one.elections;
    sum.installs += one.installs;
    sum.changes += one.changes;
}

#[test]
fn five_thousand_troubled_worlds_keep_every_promise() {
    let sum = run_all(0..5_000, None, false).unwrap_or_else(|(seed, violation)| panic!("seed {seed}: {violation:?}"));
    println!("{sum:?}");
    // A simulation in which nothing happens proves nothing.
    assert!(sum.writes > 100_000 && sum.reads > 30_000, "{sum:?}");
    assert!(sum.elections > 10_000 && sum.installs > 600 && sum.changes > 3_000, "{sum:?}");
}

#[test]
fn simulation_of_seed() {
    let seed = std::env::var("RAFT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let once = run(seed, None, false).unwrap_or_else(|violation| panic!("seed {seed}: {violation:?}"));
    let again = run(seed, None, false).unwrap();
    assert_eq!(format!("{once:?}"), format!("{again:?}"), "a seed makes one world");
}

/// The flaw is found in one of these worlds; the same world is fine without it, and the flaw is found again in it.
fn is_caught(flaw: Option<Flaw>, forgets_votes: bool) {
    let (seed, violation) = run_all(0..2_000, flaw, forgets_votes).expect_err("the flaw is found");
    println!("seed {seed}: {violation:?}");
    assert!(!violation.0.starts_with("no progress"), "{violation:?}");
    assert_eq!(run(seed, flaw, forgets_votes).unwrap_err(), violation);
    run(seed, None, false).unwrap();
}

#[test]
fn a_forgotten_vote_is_caught() {
    is_caught(None, true);
}

#[test]
fn a_second_vote_is_caught() {
    is_caught(Some(Flaw::VoteTwice), false);
}

#[test]
fn a_vote_for_an_older_log_is_caught() {
    is_caught(Some(Flaw::VoteForOlderLog), false);
}

#[test]
fn a_commit_without_majority_is_caught() {
    is_caught(Some(Flaw::CommitWithoutMajority), false);
}

#[test]
fn a_stale_read_is_caught() {
    is_caught(Some(Flaw::StaleRead), false);
}

#[test]
fn a_commit_of_an_older_term_by_counting_is_caught() {
    is_caught(Some(Flaw::CommitOlderTerm), false);
}
