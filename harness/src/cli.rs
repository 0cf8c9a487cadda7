//! Every subcommand and flag. Each subcommand has one function in a file of its own.

mod agree;
mod compare;
mod conform;
mod expiry;
mod fetch;
mod join;
mod judge;
mod launch_args;
mod live;
mod load;
mod measure;
mod parts;
mod push;
mod random;
mod record;
mod recover;
mod report;
mod sync;
mod up;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::{doctor, guard, network, spelling};

pub use launch_args::LaunchArgs;

/// Exit code for a run that could not take place.
const COULD_NOT_RUN: u8 = 2;

/// Drives the same load, faults and API calls at Tandem and at real Nacos, and reports how they differ.
#[derive(Debug, Parser)]
#[command(name = "tandem", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure every target with every experiment, alternating, and write a report.
    Compare(compare::CompareArgs),
    /// Measure how long a single change takes until every node shows it.
    Sync(sync::SyncArgs),
    /// Measure how long a change takes until subscribers hold its UDP push.
    Push(push::PushArgs),
    /// Stop heartbeats and close checked ports, and say when every node shows it.
    Expiry(expiry::ExpiryArgs),
    /// Measure latency at a fixed rate, then the rate that a target reaches.
    Load(load::LoadArgs),
    /// Check that all nodes of a cluster hold the same, after random operations and right now.
    Agree(agree::AgreeArgs),
    /// Kill and restart every node in turn under load, and say what was missing for how long.
    Recover(recover::RecoverArgs),
    /// Start one node of a filled cluster, and say when it serves everything.
    Join(join::JoinArgs),
    /// Judge the recorded histories of a run again.
    Judge(judge::JudgeArgs),
    /// Start a cluster and keep it until Ctrl-C, printing its addresses.
    Up(up::Up),
    /// Compare every recorded API call with real Nacos, to the byte.
    Conform(conform::Conform),
    /// Record what a real server answers to every case.
    Record(record::RecordArgs),
    /// Fetch real Nacos, compare every jar with its pinned hash, and print the directory.
    Fetch(fetch::FetchArgs),
    /// Render a recorded run again; with a baseline, say what moved.
    Report(report::Args),
    /// Say which launchers and privileges this machine has.
    Doctor(doctor::DoctorArgs),
    /// Give everything back when the harness is killed.
    #[command(name = guard::SUBCOMMAND, hide = true)]
    Guard,
}

impl Command {
    fn may_need_namespaces(&self) -> bool {
        match self {
            Self::Up(up) => up.own_network,
            Self::Doctor(_) => true,
            _ => false,
        }
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(asked) if !asked.use_stderr() || asked.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            asked.exit()
        }
        Err(wrong) => {
            eprintln!("tandem: {}", spelling::sentence(&wrong));
            return ExitCode::from(COULD_NOT_RUN);
        }
    };
    if matches!(cli.command, Command::Guard) {
        return exit_code(guard::watch().map(|()| ExitCode::SUCCESS));
    }
    if cli.command.may_need_namespaces() {
        // Before the first thread.
        network::enter_user_namespace();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit_code(Err(error.into())),
    };
    let result = runtime.block_on(run(cli.command));
    // A fetch or build that was interrupted must not hold up the end; the guard gives back what it leaves.
    runtime.shutdown_background();
    exit_code(result)
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Compare(args) => compare::run(args).await,
        Command::Sync(args) => sync::run(args).await,
        Command::Push(args) => push::run(args).await,
        Command::Expiry(args) => expiry::run(args).await,
        Command::Load(args) => load::run(args).await,
        Command::Agree(args) => agree::run(args).await,
        Command::Recover(args) => recover::run(args).await,
        Command::Join(args) => join::run(args).await,
        Command::Judge(args) => judge::run(&args),
        Command::Up(args) => up::run(args).await,
        Command::Conform(args) => conform::run(args).await,
        Command::Record(args) => record::run(args).await,
        Command::Fetch(args) => fetch::run(args).await,
        Command::Report(args) => report::run(&args),
        Command::Doctor(args) => doctor::run(args).await,
        Command::Guard => Ok(ExitCode::SUCCESS),
    }
}

fn exit_code(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("tandem: {error:#}");
        ExitCode::from(COULD_NOT_RUN)
    })
}
