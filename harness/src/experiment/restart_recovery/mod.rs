//! `restart-recovery`: every node in turn is killed with SIGKILL and started again, under a load of registrations,
//! deregistrations and heartbeats that goes on all the time.
//!
//! - [`history`]: what happened, as JSON lines; everything else is worked out from it
//! - the clients, and who looks at every node all the time, are those of `super::workload`; `translate`: their events in
//!   this experiment's words
//! - [`judge()`](judge::judge): a pure function of the history: how long what was acknowledged was missing where, when
//!   all agreed again, and whether that is a pass, a fail or unknown
//! - [`figures`]: the rows and fault scenarios of the record; [`comparison`]: targets beside the all-real one
//!
//! # The load
//! One hundred registrations a second at the default, a thousand instances that stay and a thousand that leave after
//! ten seconds, so as many deregistrations, and four hundred heartbeats a second. Three real nodes on two cores spend
//! about one of them on that, which leaves the other to the JVM that starts. Instances that stay are needed: real nodes
//! drop instances whose last heartbeat *seems* older than 30 s when responsibility moves (`compat/spec/distro.md`
//! §9.2), which nothing young can show.
//!
//! A process that is started again keeps its folder and its identity; ephemeral instances are on no disk, so it comes
//! back without any.

pub mod comparison;
pub mod figures;
pub mod history;
pub mod judge;
mod translate;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::kind_name;
use super::workload::{Load, Observer, Population, Recorder, Stay, all_show};
use crate::client::NacosClient;
use crate::target::{Cluster, NodeKind, Progress};
use history::{Event, Fault, Header, Ms, Phase};
use judge::Judgement;

/// Name in the record.
pub const NAME: &str = "restart-recovery";

/// Name in the record of how long instances were missing.
pub const MISSING: &str = "restart-missing";

/// Name in the record of the share of calls without an answer.
pub const UNANSWERED: &str = "restart-unanswered";

/// How long a node may take to answer again; the slowest start seen took 110 s (`compat/spec/reference-targets.md` §6).
const SERVE_LIMIT: Duration = Duration::from_secs(180);

/// How long the nodes may take to be one cluster again before the next is killed.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// How long the nodes may take to agree at the end, [`RestartPlan::heal`] included.
const AGREEMENT_LIMIT: Duration = Duration::from_secs(60);

/// How much, how often, how long.
#[derive(Debug, Clone, Copy)]
pub struct RestartPlan {
    /// Registrations per second.
    pub rate: u32,
    /// Instances that stay to the end.
    pub residents: u32,
    /// How long the others stay.
    pub lifetime: Duration,
    /// Services they are spread over.
    pub services: u32,
    /// How often each node's whole content is looked at, per second.
    pub sweeps_per_s: u32,
    /// Full load before the first kill.
    pub steady: Duration,
    /// From the kill to the start of the process.
    pub down: Duration,
    /// Full load from the first answer of the restarted node on: longer than expiry needs to remove what nobody beats
    /// for any more, or nodes cannot agree.
    pub settle: Duration,
    /// Heartbeats alone at the end, at least.
    pub heal: Duration,
}

impl RestartPlan {
    /// What three real nodes carry on two cores.
    pub const USUAL: Self = Self {
        rate: 100,
        residents: 1000,
        lifetime: Duration::from_secs(10),
        services: 20,
        sweeps_per_s: 3,
        steady: Duration::from_secs(10),
        down: Duration::from_secs(5),
        settle: Duration::from_secs(45),
        heal: Duration::from_secs(10),
    };
}

/// Writes a history into the folder of a run and judges it.
///
/// # Errors
/// When the history cannot be written, or has no beginning.
pub fn keep(events: &[Event], out: &Path) -> Result<Judgement> {
    let judgement = judge::judge(events).context("the history has no beginning")?;
    let name = judgement.header.target.replace(['/', ':', ','], "_");
    history::write(&out.join("history").join(format!("{NAME}-{name}.jsonl")), events)?;
    Ok(judgement)
}

/// What a run needs besides its cluster.
pub struct Context<'a> {
    /// Start of every service name.
    pub tag: String,
    /// Seed of every random choice.
    pub seed: u64,
    /// Cancelled when the user wants to stop.
    pub stop: &'a CancellationToken,
    /// Where progress is shown.
    pub progress: &'a dyn Progress,
}

/// Kills and restarts every node of `cluster` in turn and returns what happened.
///
/// # Errors
/// When the nodes are not the harness' own, there is only one, one of them cannot be killed or started, or the user
/// stopped the run.
pub async fn run(cluster: &mut Cluster, plan: RestartPlan, context: Context<'_>) -> Result<Vec<Event>> {
    ensure!(
        cluster.nodes.iter().all(|it| it.kind != NodeKind::Url),
        "servers that somebody else runs are not killed here"
    );
    ensure!(cluster.nodes.len() > 1, "one node has nobody to recover from");
    let header = Header {
        target: cluster.target.clone(),
        nodes: cluster.nodes.iter().map(|it| kind_name(it.kind).to_owned()).collect(),
        services: plan.services,
        rate: plan.rate,
        sweeps_per_s: plan.sweeps_per_s,
        seed: context.seed,
    };
    let recorder = Arc::new(Recorder::begin());
    let clients: Vec<_> = cluster.nodes.iter().map(|it| Arc::new(NacosClient::new(it))).enumerate().collect();
    let population = Population::numbered(&format!("{}-recovery", context.tag), plan.services);
    let over = CancellationToken::new();
    // Whatever way this ends, the tasks end too.
    let _guard = over.clone().drop_guard();
    let load = Arc::new(Load {
        lists: vec![clients.clone().into()],
        context: clients.first().map_or_else(String::new, |it| it.1.context().to_owned()),
        population: population.clone(),
        recorder: recorder.clone(),
        residents: plan.residents,
        fill_rate: plan.rate,
        rate: plan.rate,
        stay: Stay { lifetime: plan.lifetime, dies: 0 },
        seed: context.seed,
        calm: AtomicBool::new(false),
        over: over.clone(),
        live: Mutex::new(BTreeSet::new()),
    });
    let pace = Duration::from_secs(1) / (plan.sweeps_per_s * plan.services).max(1);
    let observer = |server| Arc::new(Observer::new(server, population.clone(), recorder.clone(), pace));
    let observers: Vec<_> = clients.into_iter().map(observer).collect();
    let mut tasks = JoinSet::new();
    for observer in &observers {
        tasks.spawn(observer.clone().run(over.clone()));
    }
    tasks.spawn(load.clone().run());
    let own = vec![(0, Event::Run(header))];
    let mut driver = Driver { cluster, plan, context, recorder: recorder.clone(), own, load, observers };
    driver.phases().await?;
    let own = std::mem::take(&mut driver.own);
    over.cancel();
    while tasks.join_next().await.is_some() {}
    Ok(translate::history(recorder.take(), own))
}

struct Driver<'a> {
    cluster: &'a mut Cluster,
    plan: RestartPlan,
    context: Context<'a>,
    recorder: Arc<Recorder>,
    /// This experiment's own events, each with how many of the workload's came before it.
    own: Vec<(usize, Event)>,
    load: Arc<Load>,
    observers: Vec<Arc<Observer>>,
}

impl Driver<'_> {
    async fn phases(&mut self) -> Result<()> {
        self.begin(Phase::Fill);
        let fill = Duration::from_secs_f64(f64::from(self.plan.residents) / f64::from(self.plan.rate.max(1)));
        self.pass(fill + self.plan.lifetime).await?;
        self.begin(Phase::Steady);
        self.pass(self.plan.steady).await?;
        for node in 0..self.cluster.nodes.len() {
            self.begin(Phase::Restart(node));
            if let Err(error) = self.restart(node).await {
                if self.context.stop.is_cancelled() {
                    return Err(error);
                }
                self.context.progress.line(&format!("{}: {error:#}", self.cluster.target));
                self.add(Event::GaveUp { at: self.now(), reason: format!("{error:#}") });
                break;
            }
        }
        self.load.calm.store(true, Ordering::Relaxed);
        self.begin(Phase::Final);
        self.pass(self.plan.heal).await?;
        let began = Instant::now();
        while !all_show(&self.load, &self.observers) && began.elapsed() + self.plan.heal < AGREEMENT_LIMIT {
            self.pass(Duration::from_millis(200)).await?;
        }
        // So that what is judged is not the very last look.
        self.pass(Duration::from_secs(2)).await?;
        self.begin(Phase::End);
        Ok(())
    }

    async fn restart(&mut self, node: usize) -> Result<()> {
        self.cluster.kill_node(node).await?;
        self.did(node, Fault::Killed);
        self.pass(self.plan.down).await?;
        self.did(node, Fault::Started);
        let started = self.recorder.now();
        self.cluster.start_node(node).await?;
        let began = Instant::now();
        while !self.observers.get(node).is_some_and(|it| it.has_answered_since(started)) {
            if began.elapsed() > SERVE_LIMIT {
                bail!("node {node} did not answer within {} s of its start", SERVE_LIMIT.as_secs());
            }
            self.pass(Duration::from_millis(20)).await?;
        }
        self.pass(self.plan.settle).await?;
        // Two nodes away at once would be another experiment.
        self.cluster.wait_ready(READY_LIMIT, self.context.progress).await.map(drop)
    }

    fn now(&self) -> Ms {
        self.recorder.now() / 1000
    }

    fn add(&mut self, event: Event) {
        self.own.push((self.recorder.len(), event));
    }

    fn begin(&mut self, phase: Phase) {
        self.add(Event::Phase { at: self.now(), phase });
        let what = match phase {
            Phase::Fill => "the population grows".to_owned(),
            Phase::Steady => "full load, no fault".to_owned(),
            Phase::Restart(node) => format!("node {node} is killed and started again"),
            Phase::Final => "nobody comes or goes any more".to_owned(),
            Phase::End => return,
        };
        self.context.progress.line(&format!("{NAME} at {}: {what}", self.cluster.target));
    }

    fn did(&mut self, node: usize, what: Fault) {
        self.add(Event::Fault { at: self.now(), node, what });
    }

    /// Lets time pass.
    async fn pass(&self, time: Duration) -> Result<()> {
        tokio::select! {
            () = tokio::time::sleep(time) => Ok(()),
            () = self.context.stop.cancelled() => bail!("the run was interrupted"),
        }
    }
}
