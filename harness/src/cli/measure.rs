//! What `compare`, `sync` and `load` share: the flags, the run, and the words at its end.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use time::OffsetDateTime;
use time::macros::format_description;
use tokio_util::sync::CancellationToken;

use super::LaunchArgs;
use super::parts::RealParts;
use crate::compare::{self, Ending, Plan};
use crate::doctor::REQUIRE_VARIABLE;
use crate::profile::Profile;
use crate::results::Results;
use crate::target::{TargetSpec, interrupted};

/// Exit code of a run that the user stopped: it did not take place as asked.
const INTERRUPTED: u8 = 2;

/// Flags of every command that measures.
#[derive(Debug, Args)]
pub(super) struct MeasureArgs {
    /// Cluster to measure; may be repeated. For example 3xtandem, 3xnacos@1.4.1, 2xnacos+tandem, url:http://host:8848
    #[arg(long = "target", value_name = "TARGET", default_values_t = default_targets())]
    targets: Vec<TargetSpec>,
    /// Seed of every random choice
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder for the results [default: tandem-results/ID]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Folder with the conformance cases and recordings
    #[arg(long, value_name = "DIR", default_value = "compat")]
    compat: PathBuf,
    /// Print results.json on standard output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    launch: LaunchArgs,
}

fn default_targets() -> Vec<TargetSpec> {
    ["3xtandem", "3xnacos@1.4.1", "2xnacos+tandem"].iter().filter_map(|it| it.parse().ok()).collect()
}

/// Runs `profile` at the targets and says where the results are.
pub(super) async fn run(args: MeasureArgs, profile: Profile) -> Result<ExitCode> {
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
        require_all: std::env::var(REQUIRE_VARIABLE).is_ok_and(|it| it == "1"),
    };
    let parts = RealParts { options, compat: args.compat };
    let (results, ending) = compare::run(&plan, &parts, &stop, progress.as_ref()).await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&results)?);
    } else {
        println!("{}", summary(&results));
        println!("results and report: {}", plan.out.display());
    }
    Ok(if ending == Ending::Interrupted { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS })
}

fn run_id(profile: &str) -> String {
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
