//! `tandem up`: a cluster to try things on.

use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;

use super::{LaunchArgs, live};
use crate::nemesis::Clocks;
use crate::network;
use crate::target::{Cluster, LaunchOptions, Network, TargetSpec, interrupted, launch};

/// No rule that leaves anything to chance is set here.
const SEED: u64 = 0;

/// Start a cluster and keep it until Ctrl-C.
#[derive(Debug, Args)]
pub(super) struct Up {
    /// For example 3xtandem, 3xnacos@1.4.1, 2xnacos+tandem, docker:nacos/nacos-server:1.4.1
    target: TargetSpec,
    /// Do not register an instance now and then to see how long a change takes
    #[arg(long)]
    no_sampling: bool,
    /// Put each node into a network namespace of its own, where nothing but the harness reaches it
    #[arg(long)]
    pub(super) own_network: bool,
    #[command(flatten)]
    launch: LaunchArgs,
}

/// Where the cluster is asked for: here, or inside of a namespace.
pub(super) async fn run(args: Up) -> anyhow::Result<ExitCode> {
    if !args.own_network {
        return keep(args, Network::Loopback).await;
    }
    network::check().map_err(|why| anyhow!(why))?;
    network::inside(|side| keep(args, Network::Own { side, seed: SEED, clocks: Clocks::Real })).await
}

/// Launches, prints what runs where, and shows what it does until interrupted.
async fn keep(args: Up, network: Network) -> anyhow::Result<ExitCode> {
    // The progress of the launch ends with its options; it must not draw where the view does.
    let options = LaunchOptions { network, ..args.launch.options() };
    let launched = tokio::select! {
        launched = launch(&args.target, &options) => Some(launched),
        signal = interrupted() => {
            eprintln!("{signal}: giving everything back");
            None
        }
    };
    drop(options);
    let Some(cluster) = launched.transpose()? else { return Ok(ExitCode::SUCCESS) };
    print(&cluster);
    let signal = tokio::select! {
        signal = interrupted() => signal,
        () = live::watch(&cluster, !args.no_sampling) => "the view ended",
    };
    eprintln!("{signal}: giving everything back");
    cluster.shutdown().await?;
    Ok(ExitCode::SUCCESS)
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
