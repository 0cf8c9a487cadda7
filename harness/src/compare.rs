//! The main job: every experiment at every target, alternating, then the record.
//!
//! Conformance comes first, on nodes of its own. Then every cluster is started once and all are kept, so that a round
//! can visit one after the other (A B C, A B C, …) and whatever drifts on the machine meets them all alike; while one
//! is measured, nothing is done at the others. What stops and starts nodes comes last. `results.json` is written after every visit, so an interrupted run
//! leaves what it had. What was asked for and not done stands in `skipped` with its reason: an experiment that fails
//! at one target costs that figure and not the run.

pub mod allowance;
mod faults;
pub mod in_turn;
pub mod ratios;
pub mod record;
pub mod rows;
pub mod scenarios;
mod visit;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client::NacosClient;
use crate::experiment::expiry::{self, ExpiryPlan};
use crate::experiment::fixture::Fixture;
use crate::experiment::{Session, bulk, census, is_mixed, memory, startup};
use crate::profile::{Profile, TargetPlan};
use crate::results::{Conformance, Results, Skipped};
use crate::target::{Cluster, Progress};
use allowance::{Limits, RoundTime};
use record::Record;

/// Longest time for `expiry-latency` at one target.
const EXPIRY_LIMIT: Duration = Duration::from_secs(300);

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Unique name of the run.
    pub id: String,
    /// The targets as written on the command line, in order.
    pub targets: Vec<String>,
    /// How much of everything.
    pub profile: Profile,
    /// Every random choice comes from it.
    pub seed: u64,
    /// Folder of the results.
    pub out: PathBuf,
    /// The command line that repeats the run.
    pub command: String,
    /// A target that cannot be started fails the run instead of being skipped.
    pub require_all: bool,
}

/// What a run needs from the rest of the harness.
pub trait Parts {
    /// Starts a target; the error says what is missing and what would help.
    fn launch(&self, target: &str) -> impl Future<Output = Result<Cluster>>;

    /// Gives a cluster back, and keeps the logs of its nodes in `logs` when there is such a folder. Dropping the
    /// cluster must give it back too.
    fn shut_down(&self, cluster: Cluster, logs: Option<&Path>) -> impl Future<Output = Result<()>>;

    /// Runs the byte-for-byte cases for these targets on nodes of its own.
    fn conformance(&self, targets: &[String]) -> impl Future<Output = Result<ConformancePart>>;

    /// Writes `results.json`, whole or not at all.
    fn write(&self, results: &Results, out: &Path) -> Result<()>;

    /// Makes the report.
    fn render(&self, results: &Results, out: &Path) -> Result<()>;
}

/// What became of the byte-for-byte cases.
#[derive(Debug, Default)]
pub struct ConformancePart {
    /// The cases; none when nothing could be run.
    pub conformance: Option<Conformance>,
    /// What was not run, and why.
    pub skipped: Vec<Skipped>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Everything was visited.
    Complete,
    /// The user stopped it; the record holds what there was.
    Interrupted,
}

/// Runs the plan. Cancelling `stop` ends it in good order.
///
/// # Errors
/// When no target could be started, when one could not and all are required, or when the results cannot be written.
pub async fn run<P: Parts>(
    plan: &Plan,
    parts: &P,
    stop: &CancellationToken,
    progress: &dyn Progress,
) -> Result<(Results, Ending)> {
    let began = Instant::now();
    let mut run = Runner { plan, parts, stop, progress, began, record: Record::begin(plan), clusters: Vec::new() };
    let outcome = run.stages().await;
    run.give_back().await;
    if stop.is_cancelled() {
        run.record.skip("the rest of the run", "it was interrupted");
    }
    let results = run.record.results(began.elapsed());
    parts.write(&results, &plan.out)?;
    parts.render(&results, &plan.out)?;
    outcome?;
    Ok((results, if stop.is_cancelled() { Ending::Interrupted } else { Ending::Complete }))
}

/// A started target.
struct Running {
    cluster: Cluster,
    clients: Vec<Arc<NacosClient>>,
    fixture: Option<Fixture>,
    /// Instances every node holds between experiments.
    resident: Option<u64>,
}

struct Runner<'a, P> {
    plan: &'a Plan,
    parts: &'a P,
    stop: &'a CancellationToken,
    progress: &'a dyn Progress,
    began: Instant,
    record: Record,
    clusters: Vec<Running>,
}

impl<P: Parts> Runner<'_, P> {
    async fn stages(&mut self) -> Result<()> {
        self.conformance().await?;
        self.launch().await?;
        if self.stop.is_cancelled() {
            return Ok(());
        }
        if self.clusters.is_empty() {
            bail!("no target could be started: {}", self.record.reasons());
        }
        self.place_fixtures().await;
        for round in 0..self.plan.profile.rounds {
            let mut time = self.round_time(round);
            for position in 0..self.clusters.len() {
                if self.stop.is_cancelled() {
                    return Ok(());
                }
                self.visit(round, position, &mut time).await;
                self.save()?;
            }
        }
        if let Some(plan) = self.plan.profile.expiry {
            self.expiry(plan).await?;
        }
        if let Some(plan) = self.plan.profile.faults {
            self.faults(plan).await?;
        }
        Ok(())
    }

    async fn conformance(&mut self) -> Result<()> {
        let Some(limit) = self.plan.profile.conformance else { return Ok(()) };
        self.progress.line("conformance: the same calls at every kind of node");
        let work = tokio::time::timeout(limit, self.parts.conformance(&self.plan.targets));
        let outcome = tokio::select! {
            outcome = work => outcome,
            () = self.stop.cancelled() => return Ok(()),
        };
        match outcome {
            Ok(Ok(part)) => self.record.conformance(part),
            Ok(Err(error)) => self.record.skip("conformance", &format!("{error:#}")),
            Err(_) => self.record.skip("conformance", &format!("it took more than {} s", limit.as_secs())),
        }
        if self.plan.require_all && self.record.lacks_live_conformance() {
            bail!("conformance had no live reference: {}", self.record.reasons());
        }
        self.save()
    }

    async fn launch(&mut self) -> Result<()> {
        for target in &self.plan.targets {
            let launched = tokio::select! {
                launched = self.parts.launch(target) => launched,
                () = self.stop.cancelled() => return Ok(()),
            };
            match launched {
                Ok(cluster) => self.started(cluster),
                Err(error) if self.plan.require_all => return Err(error.context(format!("{target} is required"))),
                Err(error) => self.record.skip(target, &format!("{error:#}")),
            }
            self.save()?;
        }
        for running in &self.clusters {
            self.record.idle_memory(&running.cluster, running.cluster.rss_bytes());
            let rows = memory::observe(&running.cluster, "idle and empty");
            rows.into_iter().for_each(|row| self.record.rows.add(&running.cluster.target, 0, row));
        }
        self.save()
    }

    fn started(&mut self, cluster: Cluster) {
        let wall = cluster.ready.as_secs_f64();
        self.progress.line(&format!("{} is ready after {wall:.1} s", cluster.target));
        self.record.target(&cluster);
        for row in startup::observe(&cluster) {
            self.record.rows.add(&cluster.target, 0, row);
        }
        let clients = cluster.nodes.iter().map(|it| Arc::new(NacosClient::new(it))).collect();
        self.clusters.push(Running { cluster, clients, fixture: None, resident: None });
    }

    /// Places what load works on, where load is planned.
    async fn place_fixtures(&mut self) {
        for position in 0..self.clusters.len() {
            let Some(running) = self.clusters.get(position) else { continue };
            let plan = target_plan(&self.plan.profile, &running.cluster);
            let session = self.session(running, 0, "f", Instant::now() + Duration::from_secs(30));
            let before = census::settled(&session, None, Duration::from_secs(5)).await;
            let placed = match plan.beat.is_some() || plan.query.is_some() {
                true => Some(Fixture::place(&session).await),
                false => None,
            };
            drop(session);
            let (fixture, problem) = match placed {
                Some(Ok(fixture)) => (Some(fixture), None),
                Some(Err(error)) => (None, Some(format!("{error:#}"))),
                None => (None, None),
            };
            let count = fixture.as_ref().map_or(0, |it| it.instances.len() as u64);
            if let Some(running) = self.clusters.get_mut(position) {
                running.resident = before.map(|it| it + count).filter(|_| problem.is_none());
                running.fixture = fixture;
                if let Some(problem) = problem {
                    self.record.skip(&format!("load-beat and load-query at {}", running.cluster.target), &problem);
                }
            }
        }
    }

    /// Beats that stop, at one target after the other: what was placed before is kept for hours and does not matter.
    async fn expiry(&mut self, plan: ExpiryPlan) -> Result<()> {
        let mut all = Vec::new();
        for position in 0..self.clusters.len() {
            let Some(running) = self.clusters.get(position) else { continue };
            if self.stop.is_cancelled() {
                return Ok(());
            }
            let what = format!("{} at {}", expiry::NAME, running.cluster.target);
            self.progress.line(&what);
            let session = self.session(running, 0, "x", Instant::now() + EXPIRY_LIMIT);
            match expiry::run(&session, plan).await {
                Ok(seen) => {
                    all.push(seen);
                    self.record.expired(&all);
                }
                Err(error) => self.record.skip(&what, &format!("{error:#}")),
            }
            self.save()?;
        }
        Ok(())
    }

    fn session<'s>(&'s self, running: &'s Running, round: usize, tag: &str, deadline: Instant) -> Session<'s> {
        Session {
            cluster: &running.cluster,
            clients: &running.clients,
            round,
            tag: format!("t{}-{tag}", self.record.stamp()),
            resident: running.resident,
            outlives_the_run: outlives_the_run(&running.cluster),
            seed: self.plan.seed,
            deadline,
            stop: self.stop,
            out: Some(&self.plan.out),
            progress: self.progress,
        }
    }

    fn is_last(&self, round: usize) -> bool {
        round + 1 == self.plan.profile.rounds
    }

    fn round_time(&self, round: usize) -> RoundTime {
        let profile = &self.plan.profile;
        let is_last = self.is_last(round);
        let limits = self.clusters.iter().map(|it| visit::limits(target_plan(profile, &it.cluster), is_last));
        let limits = limits.fold(Limits::default(), |sum, it| sum + it);
        RoundTime::begin(Instant::now(), self.began + profile.budget, profile.rounds - round, limits)
    }

    async fn visit(&mut self, round: usize, position: usize, time: &mut RoundTime) {
        let Some(running) = self.clusters.get(position) else { return };
        let target = running.cluster.target.clone();
        self.progress.line(&format!("round {} of {}: {target}", round + 1, self.plan.profile.rounds));
        let plan = target_plan(&self.plan.profile, &running.cluster).clone();
        let session = self.session(running, round, &format!("r{round}"), Instant::now());
        let seen = visit::run(session, running.fixture.as_ref(), &plan, time, self.is_last(round)).await;
        if let Some(running) = self.clusters.get_mut(position) {
            running.resident = seen.left_behind.and_then(|left| running.resident.map(|it| it + left));
        }
        for row in seen.observations {
            self.record.rows.add(&target, round, row);
        }
        self.record.agreements.extend(seen.agreement);
        let profile = &self.plan.profile;
        let asked_for = |it: &Skipped| it.reason != record::NOT_PLANNED || profile.plans(&it.what);
        for skipped in seen.skipped.into_iter().filter(asked_for) {
            self.record.skip(&format!("{} at {target}", skipped.what), &skipped.reason);
        }
    }

    fn save(&self) -> Result<()> {
        self.parts.write(&self.record.results(self.began.elapsed()), &self.plan.out)
    }

    /// Removes what was placed where the servers live on, and stops what was started.
    async fn give_back(&mut self) {
        for running in std::mem::take(&mut self.clusters) {
            let target = running.cluster.target.clone();
            // Nodes that die now need no cleaning.
            if let Some(fixture) = running.fixture.as_ref().filter(|_| outlives_the_run(&running.cluster)) {
                let session = self.session(&running, 0, "f", Instant::now());
                let removed = bulk::deregister(&session, &fixture.instances).await;
                drop(session);
                if !removed.is_ok_and(|it| it.failed == 0) {
                    self.record.skip(&format!("clean-up of {target}"), "instances of the fixture were left behind");
                }
            }
            let logs = self.record.went_wrong(&target).then(|| self.plan.out.join("logs"));
            if let Err(error) = self.parts.shut_down(running.cluster, logs.as_deref()).await {
                self.record.skip(&format!("shutting down {target}"), &format!("{error:#}"));
            }
        }
    }
}

fn outlives_the_run(cluster: &Cluster) -> bool {
    cluster.nodes.iter().any(|it| it.kind == crate::target::NodeKind::Url)
}

fn target_plan<'a>(profile: &'a Profile, cluster: &Cluster) -> &'a TargetPlan {
    if is_mixed(&cluster.nodes) { &profile.mixed } else { &profile.uniform }
}
