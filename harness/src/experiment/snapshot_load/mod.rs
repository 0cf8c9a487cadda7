//! `snapshot-load`: one node is left out, thousands of instances are registered at the others, then it is started. How
//! long from the start of its process until it answers, and until it serves everything?
//!
//! - [`legs`]: who joins and who gives, for a cluster of one kind or several
//! - `proof`: what the joining node's own log says of the snapshot it took (`GET /distro/datums`,
//!   `compat/spec/distro.md` §8.5)
//!
//! The clock is that of [`burst_convergence`](super::burst_convergence): `operator/metrics` counts, then every list of
//! the joining node is read in full, which proves the count. That it holds all and no more makes its set of instances
//! that of the others. A node that is started again keeps its folder: ephemeral instances are on no disk.

pub mod legs;
mod proof;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use indexmap::IndexMap;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{KEEP, Observation, Session, bulk, census, kind_name, loopback};
use crate::client::{Instance, NacosClient};
use crate::results::{Fault, Outcome, TimelineEvent};
use crate::stats::Round;
use crate::target::{Cluster, Node, NodeKind, Progress};
use legs::Leg;
use proof::Proof;

/// Name in the record.
pub const NAME: &str = "snapshot-load";

/// How long a node may take to answer; the slowest start seen took 110 s (`compat/spec/reference-targets.md` §6).
const SERVE_LIMIT: Duration = Duration::from_secs(180);

/// How long a node may take to hold everything once it answers: official nodes that miss the snapshot wait 30 s, and
/// checksums bring the rest.
const COMPLETE_LIMIT: Duration = Duration::from_secs(60);

/// How long a Tandem node may take to serve everything once it answers.
const TANDEM_LIMIT: Duration = Duration::from_secs(2);

/// Time for the members that stay to notice who left: probes come every 2 s round the members
/// (`compat/spec/distro.md` §4.1).
const NOTICE: Duration = Duration::from_secs(8);

/// How long the givers may take to agree on what they hold.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);

/// Nothing is under way between members any more after this long: a change leaves within 2.1 s.
const QUIET: Duration = Duration::from_secs(4);

/// How long a cluster may take to be whole again.
const READY_LIMIT: Duration = Duration::from_secs(180);

/// How much is loaded.
#[derive(Debug, Clone, Copy)]
pub struct JoinPlan {
    /// Instances in all.
    pub instances: usize,
    /// Services they belong to.
    pub services: usize,
}

/// What a run needs besides its cluster.
pub struct Context<'a> {
    /// Start of every service name.
    pub tag: String,
    /// Seed of the run.
    pub seed: u64,
    /// Cancelled when the user wants to stop.
    pub stop: &'a CancellationToken,
    /// Where progress is shown.
    pub progress: &'a dyn Progress,
}

/// What one leg gave.
#[derive(Debug)]
pub struct Joined {
    /// The rows.
    pub observations: Vec<Observation>,
    /// The verdict on it.
    pub fault: Fault,
}

/// What became of one direction.
#[derive(Debug)]
pub enum Part {
    /// It was run.
    Joined(Box<Joined>),
    /// It cannot be run with this cluster.
    Impossible {
        /// Which.
        what: String,
        /// Why.
        reason: String,
    },
}

/// What was seen of one joining node.
#[derive(Debug, Clone, Copy, Default)]
struct Times {
    /// Start of the process to its first answer to a query.
    first_answer: Option<Duration>,
    /// Start of the process to the first count of everything.
    complete: Option<Duration>,
}

/// Runs every leg of a cluster and hands over what each gave.
///
/// # Errors
/// Those of [`run`], and when the cluster has only one node.
pub async fn all(
    cluster: &mut Cluster,
    plan: JoinPlan,
    context: &Context<'_>,
    mut take: impl FnMut(Part),
) -> Result<()> {
    let kinds: Vec<_> = cluster.nodes.iter().map(|it| kind_name(it.kind).to_owned()).collect();
    let (legs, impossible) = legs::plan(&kinds);
    ensure!(!legs.is_empty(), "there is no node to load from");
    impossible.into_iter().for_each(|(what, reason)| take(Part::Impossible { what, reason }));
    for (position, leg) in legs.iter().enumerate() {
        take(Part::Joined(Box::new(run(cluster, plan, leg, context).await.with_context(|| leg.name())?)));
        if position + 1 < legs.len() {
            clear(cluster, plan, leg, context).await?;
        }
    }
    Ok(())
}

/// Runs one leg and leaves the cluster whole again, with what was registered still there.
///
/// # Errors
/// When the nodes are not the harness' own, the givers could not be filled, a node cannot be stopped or started, or the
/// user stopped the run.
pub async fn run(cluster: &mut Cluster, plan: JoinPlan, leg: &Leg, context: &Context<'_>) -> Result<Joined> {
    ensure!(
        cluster.nodes.iter().all(|it| it.kind != NodeKind::Url),
        "servers that somebody else runs are not stopped here"
    );
    let name = leg.name();
    context.progress.line(&format!("{NAME} at {}: {name}", cluster.target));
    let joiner = cluster.node(leg.joiner)?.clone();
    let of = |wanted: &dyn Fn(usize) -> bool| -> Vec<Node> {
        cluster.nodes.iter().enumerate().filter(|(node, _)| wanted(*node)).map(|(_, it)| it.clone()).collect()
    };
    let givers = of(&|it| leg.givers.contains(&it));
    let filled = of(&|it| leg.is_filled(it));
    for node in leg.silent.iter().chain([&leg.joiner]) {
        cluster.stop_node(*node).await?;
    }
    tokio::time::sleep(NOTICE).await;
    let instances: Vec<_> = (0..plan.instances).map(|it| instance(&context.tag, leg, it, plan.services)).collect();
    let clients: Vec<_> = filled.iter().map(|it| Arc::new(NacosClient::new(it))).collect();
    let held = fill(&session(cluster, &clients, context), &filled, &instances).await?;
    tokio::time::sleep(QUIET).await;
    ensure!(!context.stop.is_cancelled(), "the run was interrupted");

    cluster.bring_logs(leg.joiner).await?;
    let log = proof::Mark::of(&joiner);
    let client = NacosClient::new(&joiner);
    let started = Instant::now();
    cluster.start_node(leg.joiner).await?;
    let probe = instances.first().context("there is nothing to load")?.service.clone();
    let mut times =
        Times { first_answer: first_answer(&client, &joiner, &probe, started, context).await, complete: None };
    let mut problems = Vec::new();
    if times.first_answer.is_some() {
        let session = session(cluster, &clients, context);
        let counted = census::counted(&session, &client, held, started, SERVE_LIMIT + COMPLETE_LIMIT);
        let counted = tokio::time::timeout(COMPLETE_LIMIT, counted).await.ok().flatten();
        times.complete = counted.map(|it| it - started);
        problems.extend(all_shown(&client, &instances, started, &mut times).await);
        problems.extend(exactly(&client, held).await);
    }
    cluster.bring_logs(leg.joiner).await?;
    let proof = log.proof(&givers, plan.services);
    for node in &leg.silent {
        cluster.start_node(*node).await?;
    }
    cluster.wait_ready(READY_LIMIT, context.progress).await.context("after a node joined")?;
    Ok(Joined {
        observations: rows(leg, plan, times),
        fault: verdict(&cluster.target, leg, joiner.kind, times, &proof, problems),
    })
}

/// Takes away what a leg registered.
///
/// # Errors
/// When some of it stays.
pub async fn clear(cluster: &Cluster, plan: JoinPlan, leg: &Leg, context: &Context<'_>) -> Result<()> {
    let clients: Vec<_> = cluster.nodes.iter().map(|it| Arc::new(NacosClient::new(it))).collect();
    let instances: Vec<_> = (0..plan.instances).map(|it| instance(&context.tag, leg, it, plan.services)).collect();
    let removed = bulk::deregister(&session(cluster, &clients, context), &instances).await?;
    ensure!(removed.failed == 0, "{} instances were left behind: {}", removed.failed, removed.first_error());
    Ok(())
}

fn instance(tag: &str, leg: &Leg, index: usize, services: usize) -> Instance {
    let service = format!("{tag}-join-{}-{}", leg.joiner, index % services.max(1));
    Instance::kept(&service, loopback(index), 8000, KEEP)
}

fn session<'a>(cluster: &'a Cluster, clients: &'a [Arc<NacosClient>], context: &Context<'a>) -> Session<'a> {
    Session {
        cluster,
        clients,
        round: 0,
        tag: context.tag.clone(),
        resident: None,
        outlives_the_run: false,
        seed: context.seed,
        deadline: Instant::now() + SETTLE_LIMIT,
        stop: context.stop,
        out: None,
        progress: context.progress,
    }
}

/// Registers everything at the nodes that are up and waits until all of them hold it; the number of instances each holds then.
async fn fill(session: &Session<'_>, nodes: &[Node], instances: &[Instance]) -> Result<u64> {
    let before = census::settled(session, None, SETTLE_LIMIT).await.context("the nodes do not agree beforehand")?;
    let done = bulk::register_at(session, nodes, instances).await?;
    ensure!(done.failed == 0, "{} registrations failed: {}", done.failed, done.first_error());
    let wanted = before + instances.len() as u64;
    let settled = census::settled(session, Some(wanted), SETTLE_LIMIT).await;
    settled.with_context(|| format!("the nodes do not all hold {wanted} instances"))
}

/// When the node first answered a query.
async fn first_answer(
    client: &NacosClient,
    joiner: &Node,
    service: &str,
    started: Instant,
    context: &Context<'_>,
) -> Option<Duration> {
    // A JVM on few cores must not be slowed down by questions.
    let pause = Duration::from_millis(if joiner.kind == NodeKind::Tandem { 2 } else { 50 });
    while started.elapsed() < SERVE_LIMIT && !context.stop.is_cancelled() {
        if client.list(service).await.is_ok() {
            return Some(started.elapsed());
        }
        tokio::time::sleep(pause).await;
    }
    None
}

/// Reads every list; what is not shown in full moves the time of completeness to when it was, or takes it away.
async fn all_shown(
    client: &NacosClient,
    instances: &[Instance],
    started: Instant,
    times: &mut Times,
) -> Option<String> {
    let population = census::by_service(instances);
    let (began, mut seen) = (Instant::now(), IndexMap::new());
    let mut first_pass = None;
    loop {
        let late = census::incomplete(client, &population, &mut seen).await;
        let missed = *first_pass.get_or_insert(late.len());
        if late.is_empty() {
            if missed > 0 || times.complete.is_none() {
                times.complete = seen.values().max().map(|it| *it - started);
            }
            return (missed > 0).then(|| format!("{missed} services were counted before they were shown in full"));
        }
        if began.elapsed() >= COMPLETE_LIMIT {
            times.complete = None;
            return Some(format!("{} of {} services are not shown in full", late.len(), population.len()));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether the node holds as much as the givers, and not more.
async fn exactly(client: &NacosClient, held: u64) -> Option<String> {
    match client.metrics().await {
        Ok(metrics) if metrics.instance_count == held => None,
        Ok(metrics) => Some(format!("it holds {} instances, the others {held}", metrics.instance_count)),
        Err(error) => Some(error.to_string()),
    }
}

fn rows(leg: &Leg, plan: JoinPlan, times: Times) -> Vec<Observation> {
    let row = |until: &str, time: Option<Duration>| {
        let mut values = Round::new();
        time.into_iter().for_each(|it| values.record_duration(it));
        let mut row = Observation::new(NAME, "ms", values)
            .with("joins", &leg.joiner_kind)
            .with("loads from", &leg.giver_kind)
            .with("until", until);
        row.errors = u64::from(time.is_none());
        row.notes.push(format!("{} instances of {} services", plan.instances, plan.services));
        row
    };
    vec![row("it answers", times.first_answer), row("it serves everything", times.complete)]
}

fn verdict(target: &str, leg: &Leg, kind: NodeKind, times: Times, proof: &Proof, mut violations: Vec<String>) -> Fault {
    let ms = |it: Duration| it.as_secs_f64() * 1000.0;
    let mut failed = !violations.is_empty();
    let recovery = times.complete.zip(times.first_answer).map(|(all, first)| all.saturating_sub(first));
    match (times.first_answer, recovery) {
        (None, _) => violations.push(format!("it did not answer within {} s", SERVE_LIMIT.as_secs())),
        (_, None) => violations.push("it never served everything".to_owned()),
        (_, Some(after)) if kind == NodeKind::Tandem && after > TANDEM_LIMIT => {
            violations.push(format!("it served everything {:.0} ms after its first answer", ms(after)));
        }
        _ => {}
    }
    failed |= !violations.is_empty();
    let outcome = match (failed, proof) {
        (true, _) | (_, Proof::Otherwise(_)) => Outcome::Fail,
        (_, Proof::None(_)) => Outcome::Error,
        (_, Proof::Loaded(_)) => Outcome::Pass,
    };
    let said = match proof {
        Proof::Loaded(line) => line.clone(),
        Proof::Otherwise(what) | Proof::None(what) => {
            violations.push(what.clone());
            what.clone()
        }
    };
    let event = |at: Option<Duration>, event: &str| {
        at.map(|at| TimelineEvent { at_ms: ms(at), event: event.to_owned(), until_ms: None })
    };
    let timeline = [
        event(Some(Duration::ZERO), "its process is started"),
        event(times.first_answer, "it answers"),
        event(times.complete, "it serves everything"),
        event(times.complete.or(times.first_answer), &format!("its log says: {said}")),
    ];
    Fault {
        target: target.to_owned(),
        scenario: leg.name(),
        outcome,
        recovery_ms: recovery.map(ms),
        unrecovered_ms: None,
        lost_acked: 0,
        resurrected: 0,
        violations,
        timeline: timeline.into_iter().flatten().collect(),
        samples: Vec::new(),
        checks: Vec::new(),
        figures: Vec::new(),
        issues: Vec::new(),
        history: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(kind: NodeKind, first: u64, complete: Option<u64>, proof: &Proof, problems: &[&str]) -> Fault {
        let leg = legs::plan(&["tandem".to_owned(), "nacos".to_owned()]).0.remove(0);
        let times =
            Times { first_answer: Some(Duration::from_millis(first)), complete: complete.map(Duration::from_millis) };
        verdict("t", &leg, kind, times, proof, problems.iter().map(|it| (*it).to_owned()).collect())
    }

    #[test]
    fn a_join_passes_only_in_time_in_full_and_with_proof() {
        let loaded = Proof::Loaded("loaded".into());
        let (tandem, nacos) = (NodeKind::Tandem, NodeKind::Nacos);
        assert_eq!(judged(tandem, 100, Some(2_000), &loaded, &[]).outcome, Outcome::Pass);
        assert_eq!(judged(tandem, 100, Some(2_200), &loaded, &[]).outcome, Outcome::Fail, "too late for Tandem");
        assert_eq!(judged(nacos, 100, Some(2_200), &loaded, &[]).outcome, Outcome::Pass);
        assert_eq!(judged(nacos, 100, None, &loaded, &[]).outcome, Outcome::Fail);
        assert_eq!(judged(nacos, 100, Some(200), &loaded, &["3 too many"]).outcome, Outcome::Fail);
        assert_eq!(judged(nacos, 100, Some(200), &Proof::None("no log".into()), &[]).outcome, Outcome::Error);
        assert_eq!(judged(nacos, 100, Some(200), &Proof::Otherwise("pushed".into()), &[]).outcome, Outcome::Fail);
    }
}
