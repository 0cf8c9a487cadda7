//! `tandem join`: one node of a filled cluster is started.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::measure::{self, MeasureArgs};
use crate::compare::in_turn;
use crate::compare::record::Record;
use crate::experiment::snapshot_load::{self, Context, JoinPlan};
use crate::profile::Profile;
use crate::results::Outcome;

/// Start one node of a filled cluster, and measure when it answers and when it serves everything.
///
/// In a cluster of several kinds, one node of each kind loads from every other kind. Exits with 1 when a node does not
/// serve everything in time, or nothing proves that it took a snapshot.
#[derive(Debug, Args)]
pub(super) struct JoinArgs {
    /// Instances the others hold
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    instances: u32,
    /// Services they belong to
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    services: u32,
    #[command(flatten)]
    measure: MeasureArgs,
}

pub(super) async fn run(args: JoinArgs) -> Result<ExitCode> {
    let instances = args.instances as usize;
    let plan = JoinPlan { instances, services: (args.services as usize).min(instances) };
    let begun = measure::begin(args.measure, Profile::none("join"))?;
    let work = async |cluster: &mut crate::target::Cluster, record: &mut Record| -> Result<()> {
        let context = Context {
            tag: format!("t{}", record.stamp()),
            seed: begun.plan.seed,
            stop: &begun.stop,
            progress: begun.progress.as_ref(),
        };
        let target = cluster.target.clone();
        snapshot_load::all(cluster, plan, &context, |joined| record.joined(&target, joined)).await
    };
    let (results, ending) = in_turn::run(&begun.plan, &begun.parts, &begun.stop, begun.progress.as_ref(), work).await?;
    if !begun.json {
        for it in &results.faults {
            println!("{} at {}: {:?} {}", it.scenario, it.target, it.outcome, it.violations.join("; "));
            it.timeline.iter().for_each(|event| println!("  {:>8.0} ms  {}", event.at_ms, event.event));
        }
    }
    let every_target = begun.plan.targets.iter().all(|target| results.faults.iter().any(|it| it.target == *target));
    // A target of real nodes alone is there to be compared with.
    let is_real = |target: &str| {
        results.targets.iter().any(|it| it.target == target && it.nodes.iter().all(|node| node.kind == "nacos"))
    };
    let subjects = results.faults.iter().any(|it| !is_real(&it.target));
    let mut judged = results.faults.iter().filter(|it| !(subjects && is_real(&it.target)));
    let held = every_target && judged.all(|it| it.outcome == Outcome::Pass);
    begun.end(&results, ending, held)
}
