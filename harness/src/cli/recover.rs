//! `tandem recover`: every node killed and restarted under load, and targets beside the real one.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;

use super::measure::{self, MeasureArgs};
use crate::compare::in_turn;
use crate::compare::record::Record;
use crate::experiment::restart_recovery::comparison::{Summary, compared};
use crate::experiment::restart_recovery::judge::judge;
use crate::experiment::restart_recovery::{self, Context, RestartPlan, history};
use crate::profile::Profile;

/// Kill and restart every node in turn under a load of registrations and heartbeats.
///
/// Exits with 1 when a target that is not all real does not agree again, loses something, lets something be missing for
/// longer than the all-real target of the same run, or could not be judged.
#[derive(Debug, Args)]
pub(super) struct RecoverArgs {
    /// Registrations per second, and as many deregistrations
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// Instances that stay to the end
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    residents: u32,
    /// Seconds the others stay
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    lifetime: u64,
    /// Services they are spread over
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    services: u32,
    /// How often each node's whole content is looked at, per second
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    sweeps: u32,
    /// Seconds of load before the first kill
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    steady: u64,
    /// Seconds between a kill and the start of the process
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    down: u64,
    /// Seconds of load after a restarted node answers; expiry needs 35
    #[arg(long, default_value_t = 45, value_parser = clap::value_parser!(u64).range(8..=3600))]
    settle: u64,
    /// Seconds of heartbeats alone at the end, at least
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(8..=3600))]
    heal: u64,
    /// Judge these recorded histories again instead of running anything; may be repeated
    #[arg(long = "history", value_name = "FILE")]
    histories: Vec<PathBuf>,
    #[command(flatten)]
    measure: MeasureArgs,
}

impl RecoverArgs {
    fn plan(&self) -> RestartPlan {
        RestartPlan {
            rate: self.rate,
            residents: self.residents,
            lifetime: Duration::from_secs(self.lifetime),
            services: self.services,
            sweeps_per_s: self.sweeps,
            steady: Duration::from_secs(self.steady),
            down: Duration::from_secs(self.down),
            settle: Duration::from_secs(self.settle),
            heal: Duration::from_secs(self.heal),
        }
    }
}

pub(super) async fn run(args: RecoverArgs) -> Result<ExitCode> {
    if !args.histories.is_empty() {
        return judge_again(&args.histories);
    }
    let restart = args.plan();
    let begun = measure::begin(args.measure, Profile::none("recover"))?;
    let mut summaries = Vec::new();
    let work = async |cluster: &mut crate::target::Cluster, record: &mut Record| -> Result<()> {
        let context = Context {
            tag: format!("t{}", record.stamp()),
            seed: begun.plan.seed,
            stop: &begun.stop,
            progress: begun.progress.as_ref(),
        };
        let events = restart_recovery::run(cluster, restart, context).await?;
        let judgement = restart_recovery::keep(&events, &begun.plan.out)?;
        record.restarted(&judgement);
        summaries.push(Summary::of(&judgement));
        Ok(())
    };
    let (results, ending) = in_turn::run(&begun.plan, &begun.parts, &begun.stop, begun.progress.as_ref(), work).await?;
    let targets = begun.plan.targets.len();
    let held = say(&summaries, begun.json) && summaries.len() == targets;
    begun.end(&results, ending, held)
}

/// Judges recorded histories as if they had been run just now.
pub(super) fn judge_again(files: &[PathBuf]) -> Result<ExitCode> {
    let mut summaries = Vec::new();
    for file in files {
        let events: Vec<history::Event> = history::read(file)?;
        let judgement = judge(&events).with_context(|| format!("{} has no beginning", file.display()))?;
        summaries.push(Summary::of(&judgement));
        for part in &judgement.parts {
            println!("{} {:?}: {:?} {}", judgement.header.target, part.phase, part.verdict, part.reasons.join("; "));
        }
    }
    Ok(if say(&summaries, false) { ExitCode::SUCCESS } else { ExitCode::from(measure::NOT_HELD) })
}

/// Prints the targets beside the real one; whether all that are to be held to something held. A run of real targets
/// alone is held to the verdicts on them.
fn say(summaries: &[Summary], json: bool) -> bool {
    let all = compared(summaries);
    if !json {
        all.iter().for_each(|it| println!("{it}"));
    }
    let subjects = all.iter().any(|it| !it.target.is_reference);
    !all.is_empty() && all.iter().filter(|it| !(subjects && it.target.is_reference)).all(|it| it.held() == Some(true))
}
