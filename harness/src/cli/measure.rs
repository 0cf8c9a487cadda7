//! What the commands that measure share: the flags, the run, and the words at its end.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use time::OffsetDateTime;
use time::macros::format_description;
use tokio_util::sync::CancellationToken;

use super::LaunchArgs;
use super::parts::RealParts;
use crate::compare::{self, Ending, Plan};
use crate::doctor::is_reference_required;
use crate::expect::{Expectations, Judged};
use crate::profile::Profile;
use crate::results::Results;
use crate::target::{Progress, TargetSpec, check_versions, interrupted};

/// Exit code of a run that the user stopped: it did not take place as asked.
const INTERRUPTED: u8 = 2;

/// Exit code of a run that did not show what it must.
pub(super) const NOT_HELD: u8 = 1;

/// Flags of every command that measures.
#[derive(Debug, Args)]
pub(super) struct MeasureArgs {
    /// Cluster to measure; may be repeated. For example 3xtandem, 3xnacos@1.4.1, 2xnacos+tandem, url:http://host:8848
    #[arg(long = "target", value_name = "TARGET", default_values_t = default_targets())]
    pub(super) targets: Vec<TargetSpec>,
    /// Seed of every random choice
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// Folder for the results [default: tandem-results/ID]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Folder with the conformance cases and recordings
    #[arg(long, value_name = "DIR", default_value = "compat")]
    pub(super) compat: PathBuf,
    /// What the run must show; exits with 1 when something of it does not hold or was not measured
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    /// Print results.json on standard output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) launch: LaunchArgs,
}

fn default_targets() -> Vec<TargetSpec> {
    ["3xtandem", "3xnacos@1.4.1", "2xnacos+tandem"].iter().filter_map(|it| it.parse().ok()).collect()
}

/// A command that measures, ready to run.
pub(super) struct Begun {
    pub(super) plan: Plan,
    pub(super) parts: RealParts,
    /// Cancelled when the user wants to stop.
    pub(super) stop: CancellationToken,
    pub(super) progress: Arc<dyn Progress>,
    pub(super) json: bool,
    expectations: Option<Expectations>,
}

/// Reads what the flags name and begins to listen for signals.
pub(super) fn begin(args: MeasureArgs, profile: Profile) -> Result<Begun> {
    // Read first: a file that cannot be read must not cost a run.
    let expectations = args.expect.as_deref().map(Expectations::load).transpose()?;
    let stop = CancellationToken::new();
    let mut options = args.launch.options();
    let progress = options.progress.clone();
    let (told, cancel) = (progress.clone(), stop.clone());
    tokio::spawn(async move {
        let signal = interrupted().await;
        told.line(&format!("{signal}: finishing what is under way and giving everything back"));
        cancel.cancel();
    });
    let id = run_id(&profile.name);
    let out = args.out.unwrap_or_else(|| PathBuf::from("tandem-results").join(&id));
    options.keep_logs = Some(out.join("logs").join("failed-launch"));
    let plan = Plan {
        id,
        targets: args.targets.iter().map(ToString::to_string).collect(),
        out,
        profile,
        seed: args.seed,
        command: std::env::args().collect::<Vec<_>>().join(" "),
        require_all: is_reference_required(),
    };
    let parts = RealParts { options, compat: args.compat };
    Ok(Begun { plan, parts, stop, progress, json: args.json, expectations })
}

/// Runs `profile` at the targets and says where the results are.
pub(super) async fn run(args: MeasureArgs, profile: Profile) -> Result<ExitCode> {
    run_judged(args, profile, |_, _| true).await
}

/// The same, with a verdict of the command's own on what came of it; it is told whether results.json is printed.
pub(super) async fn run_judged(
    args: MeasureArgs,
    profile: Profile,
    held: impl FnOnce(&Results, bool) -> bool,
) -> Result<ExitCode> {
    for target in &args.targets {
        // Looked at first: a version that nobody has must not cost the rest of the run.
        check_versions(target, &args.launch.options()).await?;
    }
    let begun = begin(args, profile)?;
    // What is built or fetched must not cost the run its time.
    tokio::select! {
        () = begun.parts.obtain(&begun.plan) => {}
        () = begun.stop.cancelled() => {}
    }
    let (results, ending) = compare::run(&begun.plan, &begun.parts, &begun.stop, begun.progress.as_ref()).await?;
    let held = held(&results, begun.json);
    begun.end(&results, ending, held)
}

impl Begun {
    /// Prints what came of it; `held` is the command's own verdict, the expectations come on top.
    pub(super) fn end(self, results: &Results, ending: Ending, held: bool) -> Result<ExitCode> {
        if self.json {
            println!("{}", serde_json::to_string_pretty(results)?);
        } else {
            println!("{}", summary(results));
            println!("results and report: {}", self.plan.out.display());
        }
        if ending == Ending::Interrupted {
            return Ok(ExitCode::from(INTERRUPTED));
        }
        let judged = self.expectations.map(|it| it.judge(results)).unwrap_or_default();
        judged.iter().for_each(|it| eprintln!("{}", sentence(it)));
        // What could not be judged did not hold: a gate that passes because nothing was measured is none.
        let held = held && judged.iter().all(|it| it.held == Some(true));
        Ok(if held { ExitCode::SUCCESS } else { ExitCode::from(NOT_HELD) })
    }
}

fn sentence(judged: &Judged) -> String {
    let verdict = match judged.held {
        Some(true) => "held",
        Some(false) => "NOT HELD",
        None => "UNKNOWN",
    };
    let absent = if judged.missing.is_empty() { "not in this run" } else { &judged.missing };
    let value = judged.value.map_or_else(|| absent.to_owned(), |it| format!("{it:.4}"));
    format!("{verdict}: {} ({value}; {})", judged.what, judged.bound)
}

/// Unique name of a run that begins now.
pub(super) fn run_id(profile: &str) -> String {
    let format = format_description!("[year][month][day]-[hour][minute][second]");
    let stamp = OffsetDateTime::now_utc().format(format).unwrap_or_default();
    format!("{stamp}-{profile}")
}

/// The ratios, what was not done, and whether the generator kept up; everything else is in the report.
fn summary(results: &Results) -> String {
    let mut lines = Vec::new();
    if !results.run.load.generator_kept_up {
        let lag = results.run.load.generator_lag_p99_ms.unwrap_or_default();
        lines.push(format!("the load generator did not keep up ({lag:.1} ms late at its 99th percentile)"));
    }
    for it in &results.ratios {
        let variant: Vec<_> = it.variant.iter().map(|(name, value)| format!(" {name} {value}")).collect();
        lines.push(format!(
            "{}{} {}: {} is {:.4} of {} [{:.4}, {:.4}]",
            it.experiment,
            variant.concat(),
            it.stat,
            it.numerator,
            it.value,
            it.denominator,
            it.low,
            it.high
        ));
    }
    for it in &results.skipped {
        lines.push(format!("not done: {} ({})", it.what, it.reason));
    }
    lines.push(format!("{} measurements in {:.0} s", results.measurements.len(), results.run.duration_s));
    lines.join("\n")
}
