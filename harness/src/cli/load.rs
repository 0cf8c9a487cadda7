//! `tandem load`: latency at a fixed rate and the rate at which it ends, alone.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::measure::{self, MeasureArgs};
use crate::experiment::load::LoadPlan;
use crate::profile::{LOAD_CONNECTIONS, Profile, REGISTER_RATE};

/// Measure latency at a fixed rate (open loop), then the rate that the target reaches.
#[derive(Debug, Args)]
pub(super) struct LoadArgs {
    /// What to call; may be repeated
    #[arg(long = "kind", value_enum, default_values_t = [LoadKind::Register, LoadKind::Beat, LoadKind::Query])]
    kinds: Vec<LoadKind>,
    /// Calls per second of the open loop
    #[arg(long, default_value_t = REGISTER_RATE, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// Connections over all nodes
    #[arg(long, default_value_t = LOAD_CONNECTIONS as u32, value_parser = clap::value_parser!(u32).range(1..=4096))]
    connections: u32,
    /// Seconds of the open loop in each round; saturation takes half as long
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    duration: u64,
    /// Rounds; a ratio needs three
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    #[command(flatten)]
    measure: MeasureArgs,
}

/// A kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LoadKind {
    /// Registrations
    Register,
    /// Heartbeats
    Beat,
    /// Lists of a service's instances
    Query,
}

pub(super) async fn run(args: LoadArgs) -> anyhow::Result<ExitCode> {
    let open_loop = Duration::from_secs(args.duration);
    let plan =
        LoadPlan { rate: args.rate, open_loop, saturation: open_loop / 2, connections: args.connections as usize };
    let wanted = |kind| args.kinds.contains(&kind);
    let (register, beat, query) = (wanted(LoadKind::Register), wanted(LoadKind::Beat), wanted(LoadKind::Query));
    let profile = Profile::load_only(plan, args.rounds as usize, register, beat, query);
    measure::run(args.measure, profile).await
}
