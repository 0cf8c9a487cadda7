//! `tandem conform`: every recorded API call at a target, beside real Nacos, compared to the byte.

mod clients;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use tokio::time::Instant;

use super::LaunchArgs;
use super::measure::run_id;
use super::random;
use crate::compare::record::Record;
use crate::compare::{ConformancePart, Plan};
use crate::conformance::case::{CaseSet, Topology};
use crate::conformance::clients::sdk::Sdk;
use crate::conformance::cluster::session::MixedSession;
use crate::conformance::difference::is_known;
use crate::conformance::runner;
use crate::conformance::session::{Outcome as Verdicts, Session, VERSION};
use crate::doctor::is_reference_required;
use crate::profile::{Profile, ProfileName};
use crate::report;
use crate::results::{CaseResult, Conformance, Counts, Outcome};
use crate::spelling;
use crate::target::spec::Kind;
use crate::target::{TargetSpec, interrupted};

/// Compare every recorded API call with real Nacos, to the byte.
///
/// Exits with 1 when an answer differs that is not kept on purpose. Real Nacos of another version than `--as` is asked
/// and shown beside the others, so that one run says what changed between versions of Nacos; it is not held to
/// anything and does not count for the exit code.
#[derive(Debug, Args)]
pub(super) struct Conform {
    /// Server to judge, without a count; may be repeated. For example tandem, nacos@1.3.0, url:http://host:8848
    #[arg(long = "target", value_name = "TARGET", default_value = "tandem")]
    targets: Vec<TargetSpec>,
    /// Version of Nacos the target is held to
    #[arg(long = "as", value_name = "VERSION", default_value = VERSION)]
    version: String,
    /// One server, a cluster of three, or both; or one target between two real nodes
    #[arg(long, value_enum, default_value_t = Shape::Standalone)]
    topology: Shape,
    /// Run programs on official clients instead, all or those named, at targets of any shape: java,go,python,node
    #[arg(
        long,
        value_enum,
        value_name = "CLIENT",
        value_delimiter = ',',
        num_args = 0..=1,
        default_missing_value = "java,go,python,node",
        conflicts_with_all = ["topology", "areas", "recordings_only", "version"]
    )]
    clients: Vec<Sdk>,
    /// Compare with the recordings, without starting real Nacos
    #[arg(long)]
    recordings_only: bool,
    /// Only areas with this text in their name, several separated by commas; others are still asked, since cases build
    /// on each other (but for `--topology mixed`, whose areas stand alone)
    #[arg(long = "area", value_name = "AREA", value_delimiter = ',')]
    areas: Vec<String>,
    /// Print every case that did not pass
    #[arg(long, short)]
    verbose: bool,
    /// Folder with the conformance cases and recordings
    #[arg(long, value_name = "DIR", default_value = "compat")]
    compat: PathBuf,
    /// Print the verdicts as JSON on standard output
    #[arg(long)]
    json: bool,
    /// Folder for results.json and its report, to keep, publish or compare with a later run
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    random: random::RandomArgs,
    #[command(flatten)]
    launch: LaunchArgs,
}

/// Shape of the judged cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// One server
    Standalone,
    /// Three servers, asked at the first
    Cluster,
    /// Both, one after the other
    All,
    /// Two real nodes and one target, judged by what they send each other
    Mixed,
}

pub(super) async fn run(args: Conform) -> Result<ExitCode> {
    if !args.clients.is_empty() {
        return clients::run(&args, &args.clients).await;
    }
    check_version(&args)?;
    if !matches!(args.topology, Shape::Mixed) && !args.areas.is_empty() {
        // Looked at first: a slip must not cost a run.
        let cases = CaseSet::load(&args.compat.join("cases/naming"))?;
        let known: BTreeSet<&str> = cases.cases.iter().map(|case| case.area.as_str()).collect();
        args.areas.iter().try_for_each(|area| check_area(area, &known))?;
    }
    if let Some(file) = &args.random.keep {
        return random::keep(file, &args.compat, &args.version, &args.launch.options()).await;
    }
    if let Some(operations) = args.random.random {
        return generated(&args, operations).await;
    }
    let session = Session {
        subjects: subjects(&args.targets)?,
        live_reference: !args.recordings_only,
        topologies: match args.topology {
            Shape::Standalone => vec![Topology::Standalone],
            Shape::Cluster => vec![Topology::Cluster3],
            Shape::All => vec![Topology::Standalone, Topology::Cluster3],
            Shape::Mixed => return mixed(args).await,
        },
        version: args.version.clone(),
        compat: args.compat.clone(),
        launch: args.launch.options(),
    };
    let kept = Kept::begin(&args);
    let mut verdicts = tokio::select! {
        done = session.run() => done?,
        signal = interrupted() => bail!("{signal}: stopped before the verdicts were in"),
    };
    if !args.areas.is_empty() {
        verdicts.conformance.cases.retain(|case| args.areas.iter().any(|area| case.area.contains(area.as_str())));
    }
    if is_reference_required() && !args.recordings_only && !verdicts.skipped.is_empty() {
        bail!("real Nacos is required and {} was not judged beside it", verdicts.skipped[0].what);
    }
    finish(&args, &verdicts, kept)
}

/// Generated calls instead of the recorded ones.
async fn generated(args: &Conform, operations: u64) -> Result<ExitCode> {
    if !matches!(args.topology, Shape::Standalone) {
        bail!("--random asks one server, so it cannot be run with --topology");
    }
    let around = random::Around {
        subjects: subjects(&args.targets)?,
        version: &args.version,
        out: args.out.as_deref(),
        json: args.json,
        launch: args.launch.options(),
    };
    random::run(&args.random, operations, around).await
}

/// Every kind of target between two real nodes, one after the other.
async fn mixed(args: Conform) -> Result<ExitCode> {
    if args.recordings_only {
        bail!("--topology mixed needs real nodes, so it cannot be run with --recordings-only");
    }
    let kept = Kept::begin(&args);
    let mut verdicts = Verdicts::default();
    let mut cases = Vec::new();
    for subject in subjects(&args.targets)? {
        let session = MixedSession {
            subject,
            version: args.version.clone(),
            compat: args.compat.clone(),
            areas: args.areas.clone(),
            launch: args.launch.options(),
        };
        let judged = tokio::select! {
            done = session.run() => done?,
            signal = interrupted() => bail!("{signal}: stopped before the verdicts were in"),
        };
        verdicts.conformance.reference = judged.reference;
        cases.extend(judged.cases);
    }
    verdicts.conformance = runner::summarised(verdicts.conformance.reference, cases);
    finish(&args, &verdicts, kept)
}

/// A run in the making, for `--out`.
struct Kept {
    record: Record,
    began: Instant,
}

impl Kept {
    fn begin(args: &Conform) -> Self {
        Kept { record: Record::begin(&plan(args)), began: Instant::now() }
    }

    fn write(mut self, verdicts: &Verdicts, out: &Path) -> Result<()> {
        self.record.conformance(ConformancePart {
            conformance: Some(verdicts.conformance.clone()),
            skipped: verdicts.skipped.clone(),
        });
        self.record.targets(verdicts.targets.iter().cloned());
        self.record.clients.clone_from(&verdicts.clients);
        let results = self.record.results(self.began.elapsed());
        report::write_results(&results, out)?;
        report::render(&results, out)?;
        Ok(())
    }
}

/// Keeps and prints the verdicts; 1 when one differs, be it a kept difference that is otherwise than said.
fn finish(args: &Conform, verdicts: &Verdicts, kept: Kept) -> Result<ExitCode> {
    if let Some(out) = &args.out {
        kept.write(verdicts, out)?;
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&verdicts.conformance)?);
    } else {
        print(verdicts, args.verbose);
    }
    if let Some(out) = args.out.as_ref().filter(|_| !args.json) {
        println!("results and report: {}", out.display());
    }
    if let Some(reason) = nothing_judged(verdicts) {
        bail!("nothing was judged: {reason}");
    }
    Ok(ExitCode::from(u8::from(differs(&verdicts.conformance))))
}

/// Why there is no verdict at all, if so: a run of skips is not a run without differences.
fn nothing_judged(verdicts: &Verdicts) -> Option<&str> {
    let cases = &verdicts.conformance.cases;
    if cases.iter().any(|case| case.outcome != Outcome::Skip) {
        return None;
    }
    let skipped = verdicts.skipped.first().map(|it| it.reason.as_str());
    Some(skipped.or(cases.first().map(|case| case.reason.as_str())).unwrap_or("no case applies"))
}

/// Whether an answer differs that is not kept on purpose, at a target that is held to the reference.
fn differs(conformance: &Conformance) -> bool {
    conformance.cases.iter().any(|case| {
        matches!(case.outcome, Outcome::Fail | Outcome::Error) && !conformance.informative.contains(&case.target)
    })
}

/// What the record of this run says of it.
fn plan(args: &Conform) -> Plan {
    Plan {
        id: run_id("conform"),
        targets: args.targets.iter().map(ToString::to_string).collect(),
        profile: Profile { name: "conform".to_owned(), ..Profile::named(ProfileName::Quick) },
        seed: 0,
        out: args.out.clone().unwrap_or_default(),
        command: std::env::args().collect::<Vec<_>>().join(" "),
        require_all: is_reference_required(),
    }
}

/// A version without recordings has nothing to hold a target to.
fn check_version(args: &Conform) -> Result<()> {
    let folder = args.compat.join("recordings");
    if folder.join(&args.version).is_dir() {
        return Ok(());
    }
    let entries = std::fs::read_dir(&folder).with_context(|| format!("no recordings in {}", folder.display()))?;
    let known: BTreeSet<String> =
        entries.filter_map(|it| Some(it.ok()?.file_name().to_string_lossy().into_owned())).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    bail!("there are no recordings of Nacos {:?}, only of {}", args.version, known.join(", "))
}

/// A filter that matches nothing is a slip, not a run without failures.
fn check_area(wanted: &str, areas: &BTreeSet<&str>) -> Result<()> {
    if areas.iter().any(|area| area.contains(wanted)) {
        return Ok(());
    }
    match spelling::nearest(wanted, areas.iter().copied()) {
        Some(area) => bail!("no area has {wanted:?} in its name; did you mean {area:?}?"),
        None => {
            bail!("no area has {wanted:?} in its name; there are {}", Vec::from_iter(areas.iter().copied()).join(", "))
        }
    }
}

fn subjects(targets: &[TargetSpec]) -> Result<Vec<Kind>> {
    targets
        .iter()
        .map(|target| match target.groups.as_slice() {
            [group] if group.count == 1 => Ok(group.kind.clone()),
            _ => bail!("conform judges one kind of server: write for example `tandem` rather than `{target}`"),
        })
        .collect()
}

fn print(verdicts: &Verdicts, verbose: bool) {
    println!("compared with {}", verdicts.conformance.reference);
    for (target, areas) in &verdicts.conformance.summary {
        let is_informative = verdicts.conformance.informative.contains(target);
        println!("{target}{}", if is_informative { " (another version: shown, not held to anything)" } else { "" });
        let mut total = Counts::default();
        for (area, counts) in areas {
            line(area, counts);
            total.merge(counts);
        }
        line("all", &total);
        let of_target = verdicts.conformance.cases.iter().filter(|case| case.target == *target);
        println!("{}", summary(&total, of_target));
    }
    for it in report::clients::lines(&verdicts.clients) {
        println!("{} at {}: {} passed; {}", it.client, it.target, it.passed, it.told);
    }
    for case in &verdicts.conformance.cases {
        if verbose && case.outcome != Outcome::Pass {
            println!("{:?} {} {} {}: {}", case.outcome, case.target, case.id, case.request, case.reason);
        }
    }
    for skipped in &verdicts.skipped {
        println!("skipped: {}: {}", skipped.what, skipped.reason);
    }
}

fn line(area: &str, counts: &Counts) {
    let judged = counts.pass + counts.kept + counts.fail + counts.error;
    let share = if judged == 0 { 0.0 } else { f64::from(counts.pass) * 100.0 / f64::from(judged) };
    let (pass, kept, skip) = (counts.pass, counts.kept, counts.skip);
    println!("  {area:<22} {pass:>5} of {judged:>5} ({share:.1} %), {kept} kept, {skip} skipped");
}

/// `  1,190 of 1,213 as the reference, 23 kept differences, 0 unexplained`.
fn summary<'a>(total: &Counts, cases: impl Iterator<Item = &'a CaseResult>) -> String {
    let open = cases.filter(|case| matches!(case.outcome, Outcome::Fail | Outcome::Error));
    let (known, unexplained): (Vec<_>, Vec<_>) = open.partition(|case| is_known(case));
    let judged = total.pass + total.kept + total.fail + total.error;
    let (pass, kept, known, unexplained) = (total.pass, total.kept, known.len(), unexplained.len());
    let known = if known == 0 { String::new() } else { format!("{known} known shortcomings, ") };
    format!("  {pass} of {judged} as the reference, {kept} kept differences, {known}{unexplained} unexplained")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(target: &str, outcome: Outcome) -> CaseResult {
        CaseResult {
            id: "A1".to_owned(),
            area: "x".to_owned(),
            endpoint: "GET /".to_owned(),
            group: String::new(),
            difference: None,
            target: target.to_owned(),
            outcome,
            tags: Vec::new(),
            reason: String::new(),
            request: String::new(),
            expected: None,
            observed: None,
        }
    }

    #[test]
    fn another_version_does_not_count_and_everything_else_does() {
        let of = |cases: Vec<CaseResult>| Conformance {
            informative: vec!["nacos@1.1.4".to_owned()],
            ..runner::summarised("nacos@1.4.1".to_owned(), cases)
        };
        let shown = verdict("nacos@1.1.4", Outcome::Fail);
        assert!(!differs(&of(vec![shown.clone(), verdict("tandem", Outcome::Pass)])));
        assert!(!differs(&of(vec![verdict("tandem", Outcome::Kept)])));
        assert!(differs(&of(vec![shown.clone(), verdict("tandem", Outcome::Fail)])));
        assert!(differs(&of(vec![shown, verdict("nacos@1.4.1", Outcome::Error)])));
    }
}
