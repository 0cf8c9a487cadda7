//! `tandem compare`: every experiment at every target, alternating, then the report.

use std::process::ExitCode;

use clap::Args;

use super::measure::{self, MeasureArgs};
use crate::profile::{Profile, ProfileName};

/// Measure every target with every experiment, alternating, and write a report.
#[derive(Debug, Args)]
pub(super) struct CompareArgs {
    /// How much of everything
    #[arg(long, value_enum, default_value_t = ProfileName::Quick)]
    profile: ProfileName,
    /// Leave out the byte-for-byte API cases
    #[arg(long)]
    no_conformance: bool,
    #[command(flatten)]
    measure: MeasureArgs,
}

pub(super) async fn run(args: CompareArgs) -> anyhow::Result<ExitCode> {
    let mut profile = Profile::named(args.profile);
    if args.no_conformance {
        profile.conformance = None;
    }
    measure::run(args.measure, profile).await
}
