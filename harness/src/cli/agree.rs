//! `tandem agree`: do all nodes of a cluster hold the same, after random operations and right now?

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use time::OffsetDateTime;
use time::macros::format_description;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::LaunchArgs;
use crate::agreement::differ::between;
use crate::agreement::read::{Scope, Source};
use crate::client::NacosClient;
use crate::experiment::agreement::{self, AgreementPlan};
use crate::experiment::{Observation, Session};
use crate::report::agreement_text;
use crate::results::{Agreement, Outcome};
use crate::target::{Cluster, LaunchOptions, NodeKind, Progress, TargetSpec, interrupted, launch};

/// Nodes that did not agree, or did and not for good.
const DISAGREED: u8 = 1;

/// It could not be found out.
const COULD_NOT_RUN: u8 = 2;

/// How long agreement is watched after the operations: two verify rounds of five seconds, and a little.
const WATCH: Duration = Duration::from_secs(11);

/// Pause between two comparisons of everything with `--watch`.
const LOOK: Duration = Duration::from_secs(1);

/// Differences that are printed at once.
const LINES_MAX: usize = 20;

/// Check that all nodes hold the same: after random operations, along every pair of nodes, and in their member lists.
///
/// Works on services of its own and removes their instances again. Exits with 0 when the nodes agreed, 1 when they did
/// not, 2 when that could not be found out.
#[derive(Debug, Args)]
pub(super) struct AgreeArgs {
    /// Cluster to check; may be repeated. For example 2xnacos+tandem, url:http://host1:8848,http://host2:8848
    #[arg(long = "target", value_name = "TARGET", default_value = "2xnacos+tandem")]
    targets: Vec<TargetSpec>,
    /// Random operations; 0 compares only what is there
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    ops: u32,
    /// Operations per second
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// Seed of the operations
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Leave out the changes along every pair of nodes
    #[arg(long)]
    no_pairs: bool,
    /// Also compare everything else the nodes hold
    #[arg(long)]
    all: bool,
    /// Go on comparing everything, once a second until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// Folder for the verdicts and the history of every operation
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the verdicts as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    launch: LaunchArgs,
}

pub(super) async fn run(args: AgreeArgs) -> Result<ExitCode> {
    ensure!(args.ops == 0 || args.ops >= 60, "--ops {} is too few to mean anything; give 0 or at least 60", args.ops);
    let mut options = args.launch.options();
    options.keep_logs = args.out.as_ref().map(|it| it.join("logs").join("failed-launch"));
    let stop = CancellationToken::new();
    let (told, cancel) = (options.progress.clone(), stop.clone());
    tokio::spawn(async move {
        let signal = interrupted().await;
        told.line(&format!("{signal}: finishing what is under way and giving everything back"));
        cancel.cancel();
    });
    let mut verdicts = Vec::new();
    let mut worst = Outcome::Pass;
    for target in &args.targets {
        let cluster = tokio::select! {
            launched = launch(target, &options) => launched?,
            () = stop.cancelled() => return Ok(ExitCode::from(COULD_NOT_RUN)),
        };
        let checked = check(&args, &cluster, &options, &stop).await;
        let good = matches!(&checked, Ok((_, Outcome::Pass)));
        if let Some(out) = args.out.as_ref().filter(|_| !good) {
            cluster.keep_logs(&out.join("logs").join(file_name(&cluster.target))).await?;
        }
        cluster.shutdown().await?;
        let (verdict, outcome) = checked?;
        verdicts.extend(verdict);
        worst = worst.max(outcome);
    }
    if let Some(out) = &args.out {
        std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
        let path = out.join("agreement.json");
        std::fs::write(&path, serde_json::to_string_pretty(&verdicts)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&verdicts)?);
    }
    Ok(match worst {
        Outcome::Pass => ExitCode::SUCCESS,
        Outcome::Fail | Outcome::Kept => ExitCode::from(DISAGREED),
        Outcome::Skip | Outcome::Error => ExitCode::from(COULD_NOT_RUN),
    })
}

/// Everything that was asked for at one cluster.
async fn check(
    args: &AgreeArgs,
    cluster: &Cluster,
    options: &LaunchOptions,
    stop: &CancellationToken,
) -> Result<(Option<Agreement>, Outcome)> {
    let clients: Vec<_> = cluster.nodes.iter().map(|it| Arc::new(NacosClient::new(it))).collect();
    let stamp = OffsetDateTime::now_utc()
        .format(format_description!("[year][month][day][hour][minute][second]"))
        .context("the time cannot be written")?;
    let session = Session {
        cluster,
        clients: &clients,
        round: 0,
        tag: format!("t{stamp}"),
        resident: None,
        outlives_the_run: cluster.nodes.iter().any(|it| it.kind == NodeKind::Url),
        seed: args.seed,
        deadline: Instant::now() + Duration::from_secs(24 * 3600),
        stop,
        out: args.out.as_deref(),
        progress: options.progress.as_ref(),
    };
    let (mut verdict, mut outcome) = (None, Outcome::Pass);
    if args.ops > 0 {
        let plan =
            AgreementPlan { operations: args.ops as usize, rate: args.rate, watch: WATCH, pairs: !args.no_pairs };
        let history = args.out.as_ref().map(|it| it.join(format!("agreement-{}.jsonl", file_name(&cluster.target))));
        let done = agreement::run(&session, plan, history.as_deref()).await?;
        if !args.json {
            println!("{}", agreement_text(&done.agreement));
            println!("{}", times(&done.observations));
        }
        outcome = done.agreement.outcome;
        verdict = Some(done.agreement);
    }
    if (args.all || args.watch || args.ops == 0) && !stop.is_cancelled() {
        outcome = outcome.max(everything(&session, args.watch, options.progress.as_ref()).await?);
    }
    Ok((verdict, outcome))
}

/// Compares all the nodes hold; once, or until the user stops it. What differs only while a change is on its way is no
/// disagreement, so the first verdict waits for agreement as long as the experiment does.
async fn everything(session: &Session<'_>, watch: bool, progress: &dyn Progress) -> Result<Outcome> {
    let sources = agreement::sources(session);
    ensure!(sources.len() > 1, "one node has nobody to agree with");
    let began = Instant::now();
    let (mut outcome, mut before) = (Outcome::Pass, None);
    loop {
        let nodes = Source::read_all(&sources, &Scope::All).await.context("the nodes cannot be read")?;
        let differences = between(&nodes, false);
        let services = nodes.iter().map(|it| it.registry.len()).max().unwrap_or(0);
        let settled = differences.is_empty() || began.elapsed() >= agreement::AGREEMENT_LIMIT;
        if settled && before.as_ref() != Some(&differences) {
            let at = OffsetDateTime::now_utc().time();
            let (hour, minute, second) = at.as_hms();
            println!("{hour:02}:{minute:02}:{second:02} {} differences in {services} services", differences.len());
            differences.iter().take(LINES_MAX).for_each(|it| println!("  {it}"));
            outcome = if differences.is_empty() { outcome } else { Outcome::Fail };
            before = Some(differences);
        }
        if session.stop.is_cancelled() || (settled && !watch) {
            return Ok(outcome);
        }
        progress.status("comparing everything");
        sleep(LOOK).await;
    }
}

/// Median and maximum of every row.
fn times(rows: &[Observation]) -> String {
    let line = |row: &Observation| {
        let variant: Vec<_> = row.variant.values().cloned().collect();
        let (p50, max) = (row.values.quantile(0.5), row.values.max());
        format!("  {} {}: p50 {p50:.0} ms, max {max:.0} ms", row.experiment, variant.join(" "))
    };
    rows.iter().filter(|it| !it.values.is_empty()).map(line).collect::<Vec<_>>().join("\n")
}

fn file_name(target: &str) -> String {
    Path::new(target).to_string_lossy().replace(['/', ':', ','], "_")
}
