//! `tandem push`: how long until a subscriber holds the UDP push of a change, alone.

use std::process::ExitCode;

use clap::Args;

use super::measure::{self, MeasureArgs};
use crate::profile::Profile;

/// Measure how long after a registration is acknowledged a subscriber holds the UDP push that lists the instance: on the
/// node that was written to, and on the others.
#[derive(Debug, Args)]
pub(super) struct PushArgs {
    /// Registrations to measure at each target
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    samples: u32,
    /// Rounds the samples are spread over; a ratio needs three
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    #[command(flatten)]
    measure: MeasureArgs,
}

pub(super) async fn run(args: PushArgs) -> anyhow::Result<ExitCode> {
    measure::run(args.measure, Profile::push_only(args.samples as usize, args.rounds as usize)).await
}
