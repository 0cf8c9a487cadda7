//! `tandem fault`: scenarios of faults under load, at several targets, recorded and judged.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::Args;

use super::measure::{self, MeasureArgs};
use crate::compare::Ending;
use crate::compare::scenarios::{self, Done, How};
use crate::experiment::fault::scenario::{Action, Scenario};
use crate::nemesis::{Clocks, find_library};
use crate::network;
use crate::profile::Profile;
use crate::results::unseen_bugs;
use crate::target::{Network, check_versions};

/// Break clusters the same way under load, and prove what each keeps.
///
/// A scenario is a file; --list shows those of this project, docs/faults.md says how to write one. Exits with 1 when a
/// target with Tandem in it does not hold what a scenario demands, or could not be judged; targets that are all real are
/// shown beside it. Exits with 2 when nothing of what was asked for could be run here.
#[derive(Debug, Args)]
pub(super) struct FaultArgs {
    /// Names of scenarios
    #[arg(value_name = "SCENARIO")]
    names: Vec<String>,
    /// Run all scenarios of this project
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// Run the scenario in this file, too; may be repeated
    #[arg(long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Show the scenarios and what each is for, and run nothing
    #[arg(long)]
    list: bool,
    /// Seconds that the random part of a scenario lasts which has one
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    duration: Option<u64>,
    /// Run a scenario at one target after the other, not at all at the same time; what is measured in milliseconds always is
    #[arg(long)]
    one_by_one: bool,
    #[command(flatten)]
    measure: MeasureArgs,
}

impl FaultArgs {
    fn scenarios(&self) -> Result<Vec<Scenario>> {
        let known = Scenario::all(&self.measure.compat.join("cases/faults"));
        let mut chosen = match self.names.as_slice() {
            [] if self.all || self.list => known?,
            [] => Vec::new(),
            names => Scenario::named(&known?, names)?,
        };
        for file in &self.files {
            chosen.push(Scenario::read(file)?);
        }
        if let Some(seconds) = self.duration {
            let elastic = chosen.iter().any(Scenario::is_elastic);
            ensure!(elastic, "--duration is for scenarios with a random part; none of these has one");
            chosen = chosen.into_iter().map(|it| it.lasting(Duration::from_secs(seconds))).collect();
        }
        Ok(chosen)
    }
}

pub(super) async fn run(args: FaultArgs) -> Result<ExitCode> {
    let scenarios = args.scenarios()?;
    if args.list {
        list(&scenarios);
        return Ok(ExitCode::SUCCESS);
    }
    if scenarios.is_empty() {
        bail!("name scenarios, or --all, or --file FILE; --list shows what there is");
    }
    for target in &args.measure.targets {
        // Looked at first: a version that nobody has must not cost the rest of the run.
        check_versions(target, &args.measure.launch.options()).await?;
    }
    let foreign = args.measure.targets.iter().find(|it| !it.is_of_processes());
    let missing = match foreign {
        Some(target) => Err(format!("{target} is not made of processes of this machine, so its network is not ours")),
        None => network::check(),
    };
    match missing {
        Ok(()) => {
            let (seed, clocks) = (args.measure.seed, clocks(&scenarios));
            network::inside(move |side| measured(args, scenarios, Network::Own { side, seed, clocks })).await
        }
        Err(why) if foreign.is_none() && is_required() => bail!("{why}"),
        Err(why) => {
            eprintln!("faults of network, disk and clock are skipped: {why}");
            measured(args, scenarios, Network::Loopback).await
        }
    }
}

fn is_required() -> bool {
    std::env::var_os(network::REQUIRE_VARIABLE).is_some_and(|it| it == "1")
}

/// Clocks that can be set cost a little of every look at one, so only when a scenario sets one and it can be done.
fn clocks(scenarios: &[Scenario]) -> Clocks {
    let is_set = scenarios.iter().flat_map(|it| &it.steps).any(|it| it.action == Action::Clock);
    if is_set && find_library().is_ok() { Clocks::Settable } else { Clocks::Real }
}

fn list(scenarios: &[Scenario]) {
    for it in scenarios {
        let about: Vec<_> = it.issues.iter().map(|it| format!("#{it}")).chain(it.spec.iter().cloned()).collect();
        println!("{:30} {}", it.name, it.title);
        println!("{:30} {} [{}]", "", it.why.split_whitespace().collect::<Vec<_>>().join(" "), about.join(", "));
    }
}

async fn measured(args: FaultArgs, scenarios: Vec<Scenario>, network: Network) -> Result<ExitCode> {
    let side_by_side = !args.one_by_one;
    let mut begun = measure::begin(args.measure, Profile::none("fault"))?;
    begun.parts.options.network = network;
    let options = begun.parts.options.clone();
    let how = How { scenarios: &scenarios, side_by_side, options: &options };
    let told = |done: &Done| {
        if !begun.json {
            println!("{}", line(done));
        }
    };
    let (results, ending, done) =
        scenarios::run(&begun.plan, &begun.parts, how, &begun.stop, begun.progress.as_ref(), told).await?;
    let about: BTreeSet<&str> = results.faults.iter().map(|it| it.scenario.as_str()).collect();
    for scenario in about {
        if let Some(says) = unseen_bugs(&results.faults, scenario)
            && !begun.json
        {
            println!("{scenario}: {says}");
        }
    }
    let ran = done.iter().filter(|it| matches!(it, Done::Ran(_))).count();
    if ran == 0 && ending == Ending::Complete {
        begun.end(&results, ending, false).map(drop)?;
        bail!("nothing of what was asked for could be run here");
    }
    let held = done.iter().all(|it| match it {
        Done::Ran(judged) => judged.is_shown_only() || judged.held(),
        Done::Skipped { is_unsuitable, .. } => *is_unsuitable || !is_required(),
    });
    begun.end(&results, ending, held)
}

/// What became of a scenario, in a line or a few.
fn line(done: &Done) -> String {
    match done {
        Done::Ran(judged) => judged.to_string(),
        Done::Skipped { scenario, target, reason, .. } => {
            format!("skipped {scenario} at {target}: {}", reason.lines().next().unwrap_or_default())
        }
    }
}
