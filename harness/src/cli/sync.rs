//! `tandem sync`: how long single changes take to be seen everywhere, alone.

use std::process::ExitCode;

use clap::Args;

use super::measure::{self, MeasureArgs};
use crate::profile::Profile;

/// Measure how long a single change takes until every node shows it.
#[derive(Debug, Args)]
pub(super) struct SyncArgs {
    /// Registrations to measure at each target
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    samples: u32,
    /// Rounds the samples are spread over; a ratio needs three
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Also measure deregistrations, as many
    #[arg(long)]
    deregister: bool,
    /// Also measure UDP pushes, as many
    #[arg(long)]
    push: bool,
    #[command(flatten)]
    measure: MeasureArgs,
}

pub(super) async fn run(args: SyncArgs) -> anyhow::Result<ExitCode> {
    let (samples, rounds) = (args.samples as usize, args.rounds as usize);
    measure::run(args.measure, Profile::sync_only(samples, rounds, args.deregister, args.push)).await
}
