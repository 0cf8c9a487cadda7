//! What this machine has of what a run may need.

use std::process::ExitCode;

use clap::Args;

/// Say which launchers and privileges this machine has.
#[derive(Debug, Args)]
pub struct DoctorArgs {}

/// doc
pub async fn run(_args: DoctorArgs) -> anyhow::Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
