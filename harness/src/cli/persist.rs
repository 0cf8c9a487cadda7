//! `tandem persist`: persistent data, which is committed before it is acknowledged.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::measure::{self, MeasureArgs};
use crate::compare::in_turn;
use crate::compare::record::Record;
use crate::experiment::load::LoadPlan;
use crate::experiment::persistent::change::ChangePlan;
use crate::experiment::persistent::kills::{self, KillPlan};
use crate::experiment::persistent::restore::{self, RestorePlan};
use crate::experiment::persistent::voters;
use crate::experiment::restart_recovery::Context;
use crate::profile::{LOAD_CONNECTIONS, PERSISTENT_RATE, Profile};
use crate::results::{Outcome, Results};
use crate::target::Cluster;

/// Measure persistent data, or kill nodes under it.
///
/// Exits with 1 when a target that is not all real loses an acknowledged write, is without a leader for too long, or
/// could not be judged.
#[derive(Debug, Args)]
pub(super) struct PersistArgs {
    /// What to do
    #[arg(value_enum, default_value_t = What::Measure)]
    what: What,
    /// measure: changes per second of the open loop
    #[arg(long, default_value_t = PERSISTENT_RATE, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// measure: connections over all nodes
    #[arg(long, default_value_t = LOAD_CONNECTIONS as u32, value_parser = clap::value_parser!(u32).range(1..=4096))]
    connections: u32,
    /// measure: seconds of the open loop in each round; saturation takes half as long
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=3600))]
    duration: u64,
    /// measure: rounds; a ratio needs three
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// measure: reads after writes in each round
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    reads: u32,
    /// measure: how often the leader hands over
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=100))]
    transfers: u32,
    /// measure: how often the leader is killed (3 by default); kills: how often a node is (200 by default)
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    kills: Option<u32>,
    /// restore: persistent instances
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    instances: u32,
    /// restore: services they belong to
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    services: u32,
    #[command(flatten)]
    measure: MeasureArgs,
}

/// Official nodes leave the old protocol some 12 s after their start.
const SWITCH_LIMIT: Duration = Duration::from_secs(60);

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Load, reads after writes and changes of leader, targets alternating
    Measure,
    /// SIGKILL at random moments of a write load; every acknowledged write must survive
    Kills,
    /// A node wiped of its data gets it back by a snapshot of the leader, each kind by each other
    Restore,
    /// Every node of a cluster of three leads, follows, is frozen and is killed in turn
    Voters,
}

pub(super) async fn run(args: PersistArgs) -> Result<ExitCode> {
    match args.what {
        What::Measure => figures(args).await,
        What::Kills | What::Restore | What::Voters => in_turn(args).await,
    }
}

async fn figures(args: PersistArgs) -> Result<ExitCode> {
    let open_loop = Duration::from_secs(args.duration);
    let load =
        LoadPlan { rate: args.rate, open_loop, saturation: open_loop / 2, connections: args.connections as usize };
    let leader = ChangePlan { transfers: args.transfers as usize, kills: args.kills.unwrap_or(3) as usize };
    let profile = Profile::persistent(load, args.reads as usize, args.rounds as usize, leader);
    let asked_for = leader.transfers + leader.kills;
    measure::run_judged(args.measure, profile, |results, json| {
        // A change of leader that was asked for and not seen did not hold.
        let seen = |target: &str| results.faults.iter().filter(|it| it.target == target).count();
        let complete = results.targets.iter().all(|it| seen(&it.target) == asked_for);
        say(results, json) && complete
    })
    .await
}

/// What stops and starts nodes, at one target after the other.
async fn in_turn(args: PersistArgs) -> Result<ExitCode> {
    let kills = KillPlan::of(args.kills.unwrap_or(200));
    let instances = args.instances as usize;
    let restore = RestorePlan { instances, services: (args.services as usize).min(instances) };
    let what = args.what;
    let name = what.to_possible_value().map_or_else(String::new, |it| it.get_name().to_owned());
    let begun = measure::begin(args.measure, Profile::none(&format!("persist-{name}")))?;
    let work = async |cluster: &mut Cluster, record: &mut Record| -> Result<()> {
        let context = Context {
            tag: format!("t{}", record.stamp()),
            seed: begun.plan.seed,
            stop: &begun.stop,
            progress: begun.progress.as_ref(),
        };
        // Before that official nodes take persistent writes of another protocol.
        cluster.wait_consensus_switch(SWITCH_LIMIT).await?;
        let target = cluster.target.clone();
        match what {
            What::Restore => restore::run(cluster, restore, &context, |it| record.leader_changed(&target, it)).await,
            What::Voters => voters::run(cluster, &context, |it| record.leader_changed(&target, it)).await,
            What::Measure | What::Kills => {
                let events = kills::run(cluster, kills, &context).await?;
                record.killed_again_and_again(&kills::keep(&events, &begun.plan.out)?);
                Ok(())
            }
        }
    };
    let (results, ending) = in_turn::run(&begun.plan, &begun.parts, &begun.stop, begun.progress.as_ref(), work).await?;
    let every_target = begun.plan.targets.iter().all(|target| results.faults.iter().any(|it| it.target == *target));
    let held = say(&results, begun.json) && every_target && results.skipped.is_empty();
    begun.end(&results, ending, held)
}

/// Prints every scenario; whether all held that are held to something: a run of real targets alone is held to the
/// verdicts on them, else they are there to be compared with.
fn say(results: &Results, json: bool) -> bool {
    if !json {
        for it in &results.faults {
            let recovery = it.recovery_ms.map_or_else(String::new, |it| format!(", {it:.0} ms"));
            println!("{} at {}: {:?}{recovery} {}", it.scenario, it.target, it.outcome, it.violations.join("; "));
            if let Some(last) = it.timeline.last() {
                println!("  {}", last.event);
            }
        }
    }
    let is_real = |target: &str| {
        results.targets.iter().any(|it| it.target == target && it.nodes.iter().all(|node| node.kind == "nacos"))
    };
    let subjects = results.faults.iter().any(|it| !is_real(&it.target));
    let mut judged = results.faults.iter().filter(|it| !(subjects && is_real(&it.target)));
    judged.all(|it| it.outcome == Outcome::Pass)
}
