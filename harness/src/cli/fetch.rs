//! `tandem fetch`: real Nacos, fetched and verified, for whoever builds something of it.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;

use crate::guard::Guard;
use crate::target::reference::{ARTIFACTS, Artifact};
use crate::target::stderr_progress;

/// What to fetch.
#[derive(Debug, Args)]
pub(crate) struct FetchArgs {
    /// Version of Nacos
    #[arg(value_name = "VERSION", default_value = ARTIFACTS[0].version)]
    version: String,
}

/// Prints the directory whose `lib/` holds the jars.
pub(crate) async fn run(args: FetchArgs) -> anyhow::Result<ExitCode> {
    let artifact = Artifact::of(&args.version).with_context(|| {
        let known: Vec<&str> = ARTIFACTS.iter().map(|artifact| artifact.version).collect();
        format!("Nacos {} cannot be fetched from Maven (known: {})", args.version, known.join(", "))
    })?;
    let guard = Arc::new(Guard::start(None)?);
    let fetched = tokio::task::spawn_blocking(move || artifact.resolve(&guard, stderr_progress().as_ref()));
    println!("{}", fetched.await.context("the fetch panicked")??.display());
    Ok(ExitCode::SUCCESS)
}
