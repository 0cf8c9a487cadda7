//! `tandem record`: asks a fresh real server every case and keeps its answers.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use super::LaunchArgs;
use crate::conformance::case::CaseSet;
use crate::conformance::record::record;
use crate::conformance::session::VERSION;
use crate::target::{TargetSpec, interrupted, launch};

/// Record what a real server answers to every case.
#[derive(Debug, Args)]
pub(super) struct RecordArgs {
    /// One server or a cluster of three, for example nacos@1.4.1 or 3xnacos@1.4.1
    #[arg(long, value_name = "TARGET", default_value = "nacos@1.4.1")]
    target: TargetSpec,
    /// Version the recordings are filed under
    #[arg(long = "as", value_name = "VERSION", default_value = VERSION)]
    version: String,
    /// Folder with the conformance cases and recordings
    #[arg(long, value_name = "DIR", default_value = "compat")]
    compat: PathBuf,
    #[command(flatten)]
    launch: LaunchArgs,
}

pub(super) async fn run(args: RecordArgs) -> Result<ExitCode> {
    let cases = CaseSet::load(&args.compat.join("cases/naming"))?;
    let out = args.compat.join("recordings").join(&args.version);
    let work = async {
        let cluster = launch(&args.target, &args.launch.options()).await?;
        let answers = record(&cluster, &cases, &args.version, &out).await;
        cluster.shutdown().await?;
        answers
    };
    let answers = tokio::select! {
        answers = work => answers?,
        signal = interrupted() => bail!("{signal}: nothing was recorded"),
    };
    println!("{answers} answers of {} recorded in {}", args.target, out.display());
    Ok(ExitCode::SUCCESS)
}
