//! Fault scenarios at clusters that stay. First those in which something short is measured, at one target after the other
//! while no other one runs; then every other scenario at all targets before the next one, side by side. A cluster that
//! does not become usable again is started anew.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::record::Record;
use super::{Ending, Parts, Plan};
use crate::experiment::fault::scenario::Scenario;
use crate::experiment::fault::{self, Judged};
use crate::experiment::kind_name;
use crate::results::Results;
use crate::target::{Cluster, LaunchOptions, Progress};

/// How long a cluster may take to be usable again between two scenarios: also when one of its nodes hangs in its start
/// and is started again.
const READY_LIMIT: Duration = Duration::from_secs(150);

/// A target, and its cluster while there is one.
struct Seat {
    target: String,
    cluster: Option<Cluster>,
    /// Kinds of its nodes, as launched.
    kinds: Vec<&'static str>,
}

/// What became of one scenario at one target.
#[derive(Debug)]
pub enum Done {
    /// It was run and judged.
    Ran(Box<Judged>),
    /// It was not, for this reason.
    Skipped {
        /// Of which scenario.
        scenario: String,
        /// At which target.
        target: String,
        /// Whether it says nothing about such a target; otherwise something is missing.
        is_unsuitable: bool,
        /// Why.
        reason: String,
    },
}

/// How the scenarios are run.
#[derive(Debug, Clone, Copy)]
pub struct How<'a> {
    /// What is run, in order.
    pub scenarios: &'a [Scenario],
    /// Whether targets are run side by side.
    pub side_by_side: bool,
    /// How nodes are launched that take another's seat.
    pub options: &'a LaunchOptions,
}

/// Runs all scenarios at all targets of the plan; `told` hears of each as soon as it is judged.
///
/// # Errors
/// When no target could be started, when one could not and all are required, or when the results cannot be written.
pub async fn run<P: Parts>(
    plan: &Plan,
    parts: &P,
    how: How<'_>,
    stop: &CancellationToken,
    progress: &dyn Progress,
    told: impl Fn(&Done),
) -> Result<(Results, Ending, Vec<Done>)> {
    let (began, mut record, mut all) = (Instant::now(), Record::begin(plan), Vec::new());
    let (alone, together): (Vec<_>, Vec<_>) = how.scenarios.iter().enumerate().partition(|(_, it)| it.needs.alone);
    // Not even idle nodes of others run beside what is measured in milliseconds: six of them are much for two processors.
    let rounds = plan.targets.chunks(1).map(|target| (target, &alone, "logs/alone"));
    let mut has_started = false;
    for (targets, scenarios, logs) in rounds.chain([(plan.targets.as_slice(), &together, "logs")]) {
        if scenarios.is_empty() || stop.is_cancelled() {
            continue;
        }
        let mut seats = take_seats(targets, plan.require_all, parts, &mut record, stop, progress).await?;
        has_started |= !seats.is_empty();
        for (number, scenario) in scenarios {
            if stop.is_cancelled() {
                break;
            }
            progress.line(&format!("scenario {} of {}: {}", number + 1, how.scenarios.len(), scenario.name));
            let context = || fault::Context {
                // Fresh names: what an earlier scenario left must not be taken for this one's.
                tag: format!("t{}-{number}", record.stamp()),
                seed: plan.seed,
                options: how.options,
                stop,
                progress,
            };
            let one = |seat| at(seat, parts, scenario, context());
            let done = if how.side_by_side {
                futures::future::join_all(seats.iter_mut().map(one)).await
            } else {
                let mut done = Vec::new();
                for seat in &mut seats {
                    done.push(one(seat).await);
                }
                done
            };
            for it in done {
                record.faulted(&it, &plan.out)?;
                told(&it);
                all.push(it);
            }
            parts.write(&record.results(began.elapsed()), &plan.out)?;
        }
        for seat in seats {
            let Some(cluster) = seat.cluster else { continue };
            let logs = record.went_wrong(&seat.target).then(|| plan.out.join(logs));
            if let Err(error) = parts.shut_down(cluster, logs.as_deref()).await {
                record.skip(&format!("shutting down {}", seat.target), &format!("{error:#}"));
            }
        }
    }
    if !has_started && !stop.is_cancelled() {
        bail!("no target could be started: {}", record.reasons());
    }
    if stop.is_cancelled() {
        record.skip("the rest of the run", "it was interrupted");
    }
    let results = record.results(began.elapsed());
    parts.write(&results, &plan.out)?;
    parts.render(&results, &plan.out)?;
    Ok((results, if stop.is_cancelled() { Ending::Interrupted } else { Ending::Complete }, all))
}

/// Starts these targets, one after the other.
async fn take_seats<P: Parts>(
    targets: &[String],
    require_all: bool,
    parts: &P,
    record: &mut Record,
    stop: &CancellationToken,
    progress: &dyn Progress,
) -> Result<Vec<Seat>> {
    let mut seats = Vec::new();
    for target in targets {
        match launch(parts, target, stop, progress).await {
            Ok(seat) => {
                seat.cluster.iter().for_each(|it| record.target(it));
                seats.push(seat);
            }
            Err(_) if stop.is_cancelled() => break,
            Err(error) if require_all => return Err(error.context(format!("{target} is required"))),
            Err(error) => record.skip(target, &format!("{error:#}")),
        }
    }
    Ok(seats)
}

async fn launch<P: Parts>(parts: &P, target: &str, stop: &CancellationToken, progress: &dyn Progress) -> Result<Seat> {
    let cluster = tokio::select! {
        launched = parts.launch(target) => launched?,
        () = stop.cancelled() => bail!("the run was interrupted"),
    };
    progress.line(&format!("{target} is ready after {:.1} s", cluster.ready.as_secs_f64()));
    let kinds = kinds(&cluster);
    Ok(Seat { target: target.to_owned(), cluster: Some(cluster), kinds })
}

fn kinds(cluster: &Cluster) -> Vec<&'static str> {
    cluster.nodes.iter().map(|it| kind_name(it.kind)).collect()
}

/// One scenario at one target, whose cluster is as usable as at its start before.
async fn at<P: Parts>(seat: &mut Seat, parts: &P, scenario: &Scenario, context: fault::Context<'_>) -> Done {
    let (name, target) = (scenario.name.clone(), seat.target.clone());
    let skipped = |is_unsuitable, reason| Done::Skipped { scenario: name, target, is_unsuitable, reason };
    if let Some(cluster) = &seat.cluster
        && let Some(reason) = scenario.unsuitable(fault::shape_of(cluster), cluster.nodes.len())
    {
        return skipped(true, reason);
    }
    let (stop, progress) = (context.stop, context.progress);
    if let Err(error) = usable(seat, parts, stop, progress).await {
        return skipped(false, format!("{error:#}"));
    }
    let Some(cluster) = &mut seat.cluster else { return skipped(false, "there is no cluster".to_owned()) };
    let shape = fault::shape_of(cluster);
    let outcome = fault::run(cluster, scenario, context).await;
    match outcome.and_then(|events| Judged::of(shape, events)) {
        Ok(judged) => Done::Ran(Box::new(Judged { issues: scenario.issues.clone(), ..judged })),
        Err(error) => skipped(false, format!("{error:#}")),
    }
}

/// Waits until a cluster is what it was at its start; one that is not in time is started anew.
async fn usable<P: Parts>(seat: &mut Seat, parts: &P, stop: &CancellationToken, progress: &dyn Progress) -> Result<()> {
    if let Some(cluster) = &mut seat.cluster {
        let is_whole = kinds(cluster) == seat.kinds;
        if is_whole && cluster.wait_ready(READY_LIMIT, progress).await.is_ok() {
            return Ok(());
        }
        progress.line(&format!("{} is not what it was; it is started anew", seat.target));
    }
    if let Some(cluster) = seat.cluster.take() {
        parts.shut_down(cluster, None).await?;
    }
    *seat = launch(parts, &seat.target, stop, progress).await?;
    Ok(())
}
