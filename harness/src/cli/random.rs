//! `tandem conform --random`: generated sequences of calls at a target and at real Nacos beside it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use tokio::time::Instant;

use super::measure::run_id;
use crate::compare::Plan;
use crate::compare::record::Record;
use crate::conformance::random::keep;
use crate::conformance::random::session::{self, Options};
use crate::profile::{Profile, ProfileName};
use crate::report;
use crate::results::Random;
use crate::target::spec::Kind;
use crate::target::{Cluster, LaunchOptions, Mode, TargetSpec, interrupted, launch};

/// Official nodes switch within 5 s of knowing every member's version.
const SWITCH_LIMIT: Duration = Duration::from_secs(30);
/// Characters of a body that are printed.
const BODY_CHARS: usize = 600;

/// Flags of generated sequences.
#[derive(Debug, Clone, Args)]
pub(super) struct RandomArgs {
    /// Instead of the recorded calls, make this many generated ones in sequences, beside real Nacos; differences are
    /// shrunk to the shortest sequence
    #[arg(long, value_name = "OPERATIONS", value_parser = clap::value_parser!(u64).range(1..=10_000_000),
          conflicts_with_all = ["recordings_only", "areas"])]
    pub(super) random: Option<u64>,
    /// Seed of generated sequences: the same one makes the same sequences; a new one each time by default
    #[arg(long, value_name = "NUMBER", requires = "random")]
    seed: Option<u64>,
    /// Sequences that generated calls are spread over, of 40 calls each by default
    #[arg(long, value_name = "NUMBER", requires = "random", value_parser = clap::value_parser!(u64).range(1..))]
    sequences: Option<u64>,
    /// Case file written by --random: append it to the conformance cases, with what real Nacos answers now
    #[arg(long, value_name = "FILE", conflicts_with_all = ["random", "recordings_only", "areas"])]
    pub(super) keep: Option<PathBuf>,
}

/// What a run needs besides its own flags.
pub(super) struct Around<'a> {
    pub(super) subjects: Vec<Kind>,
    pub(super) version: &'a str,
    pub(super) out: Option<&'a Path>,
    pub(super) json: bool,
    pub(super) launch: LaunchOptions,
}

pub(super) async fn run(args: &RandomArgs, operations: u64, context: Around<'_>) -> Result<ExitCode> {
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let progress = context.launch.progress.clone();
    let options = Options {
        seed,
        operations,
        sequences: args.sequences,
        out: context.out.map(|it| it.join("cases")),
        progress: Some(Arc::new(move |done, all| progress.status(&format!("{done} of {all} sequences")))),
    };
    let mut record = Record::begin(&plan(seed, &context));
    let began = Instant::now();
    for kind in &context.subjects {
        let reference = start(&Kind::Nacos(Some(context.version.to_owned())), &context.launch)
            .await
            .context("generated sequences need real Nacos beside the target")?;
        let subject = start(kind, &context.launch).await?;
        record.target(&reference);
        record.target(&subject);
        let random = tokio::select! {
            random = session::run(&reference, &subject, &options) => random,
            signal = interrupted() => bail!("{signal}: stopped before all sequences were played"),
        };
        subject.shutdown().await?;
        reference.shutdown().await?;
        record.random.push(random?);
    }
    let results = record.results(began.elapsed());
    if let Some(out) = context.out {
        report::write_results(&results, out)?;
        report::render(&results, out)?;
    }
    if context.json {
        println!("{}", serde_json::to_string_pretty(&results.random)?);
    } else {
        results.random.iter().for_each(|it| print(it, context.out));
    }
    let is_good = results.random.iter().all(|it| it.differing == 0 && it.errors.is_empty());
    Ok(ExitCode::from(u8::from(!is_good)))
}

/// Appends a written difference to the cases of the project.
pub(super) async fn keep(file: &Path, compat: &Path, version: &str, launch: &LaunchOptions) -> Result<ExitCode> {
    let reference = start(&Kind::Nacos(Some(version.to_owned())), launch).await?;
    let kept = tokio::select! {
        kept = keep::keep(file, &reference, version, compat) => kept,
        signal = interrupted() => bail!("{signal}: nothing was kept"),
    };
    reference.shutdown().await?;
    println!("{} cases of {} kept", kept?, file.display());
    Ok(ExitCode::SUCCESS)
}

async fn start(kind: &Kind, options: &LaunchOptions) -> Result<Cluster> {
    let text = kind.to_string();
    let spec = text.parse::<TargetSpec>().with_context(|| format!("the target {text:?}"))?;
    let cluster = launch(&spec, &LaunchOptions { single_mode: Mode::Standalone, ..options.clone() }).await?;
    cluster.wait_consensus_switch(SWITCH_LIMIT).await?;
    Ok(cluster)
}

fn plan(seed: u64, context: &Around<'_>) -> Plan {
    Plan {
        id: run_id("random"),
        targets: context.subjects.iter().map(ToString::to_string).collect(),
        profile: Profile { name: "random".to_owned(), ..Profile::named(ProfileName::Quick) },
        seed,
        out: context.out.map(Path::to_path_buf).unwrap_or_default(),
        command: std::env::args().collect::<Vec<_>>().join(" "),
        require_all: false,
    }
}

fn print(random: &Random, out: Option<&Path>) {
    for (number, difference) in random.differences.iter().enumerate() {
        println!("difference {} (sequence {}): {}", number + 1, difference.sequence, difference.reason);
        for step in &difference.steps {
            println!("    {step}");
        }
        let body = |text: &str| report::one_line(text, BODY_CHARS);
        println!("  {}: {} {}", random.reference, difference.expected.status, body(&difference.expected.body));
        if let Some(observed) = &difference.observed {
            println!("  {}: {} {}", random.target, observed.status, body(&observed.body));
        }
        if let Some(file) = &difference.case_file {
            println!("  keep it: tandem conform --keep {file}");
        }
    }
    for line in random.unrepeated.iter().map(|it| format!("seen once, not again: {it}")).chain(random.errors.clone()) {
        println!("{line}");
    }
    println!("{}", report::random_text(random));
    if let Some(out) = out {
        println!("results and report: {}", out.display());
    }
}
