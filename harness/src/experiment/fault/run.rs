//! One scenario at one cluster: the load, who looks at the nodes, and the phases of the run.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use parking_lot::Mutex;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::choose::chosen;
use super::history::{Event, Header, Phase, Us};
use super::inject;
use super::leader;
use super::scenario::{Scenario, Shape};
use super::timeline::Timeline;
use crate::client::NacosClient;
use crate::experiment::kind_name;
use crate::experiment::workload::{
    Load, Observer, Population, Probe, Recorder, RegisterPlan, Registers, Server, Stay, Subscribers, all_show,
};
use crate::stats::derived_seed;
use crate::target::{Cluster, LaunchOptions, NodeKind, Progress};

/// How long a leader of the persistent group is waited for.
const LEADER_LIMIT: Duration = Duration::from_secs(30);

/// How long official nodes may take to leave the protocol before JRaft (`compat/spec/membership.md` §8).
const SWITCH_LIMIT: Duration = Duration::from_secs(60);

/// What is let pass at the end, so that what is judged is not the very last look.
const LAST_LOOKS: Duration = Duration::from_secs(1);

/// What a run needs besides its cluster and its scenario.
pub struct Context<'a> {
    /// Start of every service name; another for every run at one cluster.
    pub tag: String,
    /// Seed of every random choice.
    pub seed: u64,
    /// How nodes are launched that take another's seat.
    pub options: &'a LaunchOptions,
    /// Cancelled when the user wants to stop.
    pub stop: &'a CancellationToken,
    /// Where progress is shown.
    pub progress: &'a dyn Progress,
}

/// What a cluster is made of.
pub fn shape_of(cluster: &Cluster) -> Shape {
    let tandem = cluster.nodes.iter().filter(|it| it.kind == NodeKind::Tandem).count();
    match tandem {
        0 => Shape::Nacos,
        all if all == cluster.nodes.len() => Shape::Tandem,
        _ => Shape::Mixed,
    }
}

/// Runs `scenario` at `cluster` and returns what happened, as far as it went; every fault is healed by then.
///
/// # Errors
/// When it cannot begin: the target is not suitable, or lacks what the scenario needs. The message is the reason of a
/// skip.
pub async fn run(cluster: &mut Cluster, scenario: &Scenario, context: Context<'_>) -> Result<Vec<Event>> {
    let shape = shape_of(cluster);
    if let Some(reason) = scenario.unsuitable(shape, cluster.nodes.len()) {
        bail!("{reason}");
    }
    if let Some(reason) = scenario.steps.iter().find_map(|step| inject::impossible(cluster, step)) {
        bail!("{reason}");
    }
    if scenario.needs_leader() {
        await_leader(cluster, context.stop).await?;
    }
    let cast = Cast::of(cluster, scenario, &context).await?;
    let recorder = cast.recorder.clone();
    recorder.add(Event::Run(header(cluster, scenario, shape, &cast, &context)));
    let over = CancellationToken::new();
    // Whatever way this ends, the tasks end too.
    let _guard = over.clone().drop_guard();
    let working = over.child_token();
    let tasks = cast.start(&over, &working);
    let random = StdRng::seed_from_u64(derived_seed(context.seed, &["timeline", &scenario.name]));
    let mut timeline = Timeline::new(
        cluster,
        &context,
        recorder.clone(),
        cast.observers.clone(),
        cast.load.population.names(),
        random,
    );
    let phases = Phases { scenario, shape, cast: &cast, working, context: &context };
    let outcome = phases.all(&mut timeline).await;
    timeline.heal_all().await;
    if let Err(error) = outcome {
        context.progress.line(&format!("{} at {}: {error:#}", scenario.name, timeline.target()));
        recorder.add(Event::GaveUp { at: recorder.now(), reason: format!("{error:#}") });
    }
    over.cancel();
    finish(tasks).await;
    if let Some(registers) = cast.registers {
        registers.clear().await;
    }
    Ok(recorder.take())
}

async fn finish(mut tasks: JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}

async fn await_leader(cluster: &Cluster, stop: &CancellationToken) -> Result<()> {
    // Until then official nodes write persistent data by another protocol, and what is done to the group hits nothing.
    cluster.wait_consensus_switch(SWITCH_LIMIT).await?;
    let began = Instant::now();
    while leader::find(cluster).await.is_none() {
        if began.elapsed() > LEADER_LIMIT || stop.is_cancelled() {
            bail!("no node tells of a leader of the persistent group");
        }
        sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

fn header(cluster: &Cluster, scenario: &Scenario, shape: Shape, cast: &Cast, context: &Context<'_>) -> Header {
    let us = |time: Duration| time.as_micros() as Us;
    Header {
        scenario: scenario.name.clone(),
        target: cluster.target.clone(),
        nodes: cluster.nodes.iter().map(|it| kind_name(it.kind).to_owned()).collect(),
        addresses: cluster.nodes.iter().map(|it| it.address.clone()).collect(),
        seed: context.seed,
        services: cast.load.population.names().to_vec(),
        checks: scenario.hold.checks.clone(),
        agree_within_us: us(scenario.hold.agree_within.of(shape).get()),
        gone_within_us: us(scenario.hold.gone_within.of(shape).get()),
        answered_min: scenario.hold.answered,
        registers: scenario.load.registers,
    }
}

/// Everybody who does something at the servers.
struct Cast {
    recorder: Arc<Recorder>,
    load: Arc<Load>,
    observers: Vec<Arc<Observer>>,
    subscribers: Arc<Subscribers>,
    registers: Option<Arc<Registers>>,
    probe: Option<Arc<Probe>>,
}

impl Cast {
    async fn of(cluster: &Cluster, scenario: &Scenario, context: &Context<'_>) -> Result<Self> {
        let spec = &scenario.load;
        let recorder = Arc::new(Recorder::begin());
        let all: Vec<Server> = cluster.nodes.iter().map(|it| Arc::new(NacosClient::new(it))).enumerate().collect();
        let addresses: Vec<&str> = cluster.nodes.iter().map(|it| it.address.as_str()).collect();
        let spread = |what: &str, count| Population::spread(&format!("{}-{what}", context.tag), count, &addresses);
        let mut population = spread("fault", spec.services);
        if let Some(beat) = spec.beat {
            population = population.beating_every(beat.get());
        }
        let mut random = StdRng::seed_from_u64(derived_seed(context.seed, &["cast", &scenario.name]));
        let mut lists: Vec<Arc<[Server]>> = Vec::new();
        for group in &spec.groups {
            let nodes = chosen(&group.servers, cluster, population.names(), &mut random).await?;
            let list: Arc<[Server]> = all.iter().filter(|it| nodes.contains(&it.0)).cloned().collect();
            lists.extend(std::iter::repeat_n(list, group.share as usize));
        }
        if lists.is_empty() {
            lists.push(all.clone().into());
        }
        let load = Arc::new(Load {
            lists: lists.clone(),
            context: all.first().map_or_else(String::new, |it| it.1.context().to_owned()),
            population: population.clone(),
            recorder: recorder.clone(),
            residents: spec.instances,
            fill_rate: spec.fill_rate,
            rate: spec.rate,
            stay: Stay { lifetime: spec.lifetime.get(), dies: spec.dies },
            seed: context.seed,
            calm: AtomicBool::new(false),
            over: CancellationToken::new(),
            live: Mutex::new(BTreeSet::new()),
        });
        let pace = Duration::from_secs(1) / (spec.sweeps * spec.services).max(1);
        let observer =
            |server: &Server| Arc::new(Observer::new(server.clone(), population.clone(), recorder.clone(), pace));
        let observers = all.iter().map(observer).collect();
        let subscribers = Arc::new(Subscribers {
            count: spec.subscribers,
            lists,
            population: population.clone(),
            recorder: recorder.clone(),
            seed: context.seed,
        });
        let mut cast = Self { recorder, load, observers, subscribers, registers: None, probe: None };
        if spec.registers > 0 {
            let registers = Registers {
                plan: RegisterPlan { count: spec.registers, processes: spec.processes, pause: spec.pause.get() },
                servers: all.clone(),
                population: spread("kept", spec.registers),
                recorder: cast.recorder.clone(),
                seed: context.seed,
                turns: AtomicU32::new(0),
                values: AtomicU64::new(1),
                processes: AtomicU32::new(0),
            };
            registers.prepare().await?;
            cast.registers = Some(Arc::new(registers));
        }
        let mut probed = Vec::new();
        for selector in &spec.probe {
            probed.extend(chosen(std::slice::from_ref(selector), cluster, population.names(), &mut random).await?);
        }
        if let [from, to @ ..] = probed.as_slice() {
            let server = |node: &usize| all.get(*node).cloned().context("there is no such node to probe");
            // One of the first services is the first node's: there are as many as nodes.
            let services = spread("probe", addresses.len() as u32);
            let mut sorted = addresses.clone();
            sorted.sort_unstable();
            let own = sorted.iter().position(|it| addresses.get(*from) == Some(it)).unwrap_or_default();
            cast.probe = Some(Arc::new(Probe {
                from: server(from)?,
                to: to.iter().map(server).collect::<Result<_>>()?,
                service: services.service_name(own as u32).to_owned(),
                recorder: cast.recorder.clone(),
            }));
        }
        Ok(cast)
    }

    /// Starts everybody; those who only work until it is calm listen to `working`.
    fn start(&self, over: &CancellationToken, working: &CancellationToken) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for observer in &self.observers {
            tasks.spawn(observer.clone().run(over.clone()));
        }
        tasks.spawn(self.subscribers.clone().run(over.clone()));
        let (load, end) = (self.load.clone(), over.clone());
        tasks.spawn(async move {
            let over = load.over.clone();
            tokio::join!(load.run(), async {
                end.cancelled().await;
                over.cancel();
            });
        });
        if let Some(registers) = &self.registers {
            tasks.spawn(registers.clone().run(working.clone()));
        }
        if let Some(probe) = &self.probe {
            tasks.spawn(probe.clone().run(working.clone()));
        }
        tasks
    }
}

/// The parts of a run.
struct Phases<'a> {
    scenario: &'a Scenario,
    shape: Shape,
    cast: &'a Cast,
    /// Who works only until it is calm.
    working: CancellationToken,
    context: &'a Context<'a>,
}

impl Phases<'_> {
    async fn all(&self, timeline: &mut Timeline<'_>) -> Result<()> {
        let times = &self.scenario.times;
        self.begin(Phase::Fill, timeline.target());
        timeline.pass(self.cast.load.fill() + Duration::from_secs(1)).await?;
        self.begin(Phase::Before, timeline.target());
        timeline.pass(times.before.get()).await?;
        self.begin(Phase::During, timeline.target());
        timeline.run(&self.scenario.steps).await?;
        self.begin(Phase::After, timeline.target());
        timeline.pass(times.after.get()).await?;
        self.cast.load.calm.store(true, Ordering::Relaxed);
        self.working.cancel();
        self.begin(Phase::Final, timeline.target());
        self.calm(timeline).await?;
        self.begin(Phase::End, timeline.target());
        Ok(())
    }

    /// Nobody comes or goes: until all show the same, within the bounds of what must hold.
    async fn calm(&self, timeline: &mut Timeline<'_>) -> Result<()> {
        let hold = &self.scenario.hold;
        let limit = hold.agree_within.of(self.shape).max(hold.gone_within.of(self.shape)).get();
        let began = Instant::now();
        timeline.pass(self.scenario.times.last.get()).await?;
        while !all_show(&self.cast.load, &self.cast.observers) && began.elapsed() < limit {
            timeline.pass(Duration::from_millis(100)).await?;
        }
        timeline.pass(LAST_LOOKS).await?;
        if let Some(registers) = &self.cast.registers {
            registers.read_all().await;
        }
        Ok(())
    }

    fn begin(&self, phase: Phase, target: &str) {
        let recorder = &self.cast.recorder;
        recorder.add(Event::Phase { at: recorder.now(), phase });
        let what = match phase {
            Phase::Fill => "the population grows",
            Phase::Before => "full load, no fault",
            Phase::During => "full load under faults",
            Phase::After => "everything is healed",
            Phase::Final => "nobody comes or goes any more",
            Phase::End => return,
        };
        self.context.progress.status(&format!("{} at {target}: {what}", self.scenario.name));
    }
}
