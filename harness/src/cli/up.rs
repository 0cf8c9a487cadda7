//! `tandem up`: a cluster to try things on.

use std::process::ExitCode;

use clap::Args;

use super::LaunchArgs;
use crate::target::{Cluster, LaunchOptions, TargetSpec, interrupted, launch};

/// Start a cluster and keep it until Ctrl-C.
#[derive(Debug, Args)]
pub(super) struct Up {
    /// For example 3xtandem, 3xnacos@1.4.1, 2xnacos+tandem, docker:nacos/nacos-server:1.4.1
    target: TargetSpec,
    #[command(flatten)]
    launch: LaunchArgs,
}

pub(super) async fn run(args: Up) -> anyhow::Result<ExitCode> {
    up(&args.target, &args.launch.options()).await?;
    Ok(ExitCode::SUCCESS)
}

/// Launches, prints what runs where, and waits until interrupted.
async fn up(spec: &TargetSpec, options: &LaunchOptions) -> anyhow::Result<()> {
    let cluster = tokio::select! {
        launched = launch(spec, options) => launched?,
        signal = interrupted() => {
            eprintln!("{signal}: giving everything back");
            return Ok(());
        }
    };
    print(&cluster);
    let signal = interrupted().await;
    eprintln!("{signal}: giving everything back");
    cluster.shutdown().await
}

fn print(cluster: &Cluster) {
    println!("{} is usable after {:.1} s", cluster.target, cluster.ready.as_secs_f64());
    for node in &cluster.nodes {
        let pid = node.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let logs = node.logs.as_ref().map_or_else(|| "-".to_owned(), |logs| logs.display().to_string());
        println!("{}  pid {pid}  {} ({})  logs {logs}", node.base_url(), node.version, node.launch);
    }
    println!("Ctrl-C ends it");
}
