//! `persistent-kills`: SIGKILL at random moments of a load of persistent writes, again and again; afterwards every
//! acknowledged write must be there, with the right value.
//!
//! Writers set and remove registers, one operation at a time: the metadata of a persistent instance, or of a service. An
//! operation whose end is not known leaves its register in one of two states, and the writer goes on with a fresh one;
//! so what a register may hold stays small and exact. Everything is written down as it happens, in the words of
//! [`fault::history`](crate::experiment::fault::history), and [`judge`] is a pure function of that.

pub mod judge;
mod write;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::client::NacosClient;
use crate::experiment::fault::history::{Action, Event, Fault, Header, Outcome, Phase};
use crate::experiment::kind_name;
use crate::experiment::restart_recovery::Context;
use crate::stats::derived_seed;
use crate::target::{Cluster, NodeKind};
use write::{Shared, Writer};

/// Name in the record.
pub const NAME: &str = "persistent-kills";

/// Name of the check in the header of the history.
const CHECK: &str = "acknowledged persistent writes survive";

/// Longest pause between two looks for a node that comes back.
const LOOK: Duration = Duration::from_millis(2);

/// How long a killed node may take to answer again: a JVM under load takes its time.
const BACK_LIMIT: Duration = Duration::from_secs(180);

/// How long after a node is back writes may be without success.
const WRITES_LIMIT: Duration = Duration::from_secs(30);

/// How long the nodes may take, after the last write, to show it everywhere.
const SETTLE_LIMIT: Duration = Duration::from_secs(30);

/// How much.
#[derive(Debug, Clone, Copy)]
pub struct KillPlan {
    /// Kills.
    pub kills: u32,
    /// Writers; each does one operation at a time.
    pub writers: u32,
    /// Load between a node that is back and the next kill, at least and at most, ms.
    pub load_ms: (u64, u64),
}

impl KillPlan {
    /// Short cycles, because what may break is in the milliseconds around a kill.
    pub const fn of(kills: u32) -> Self {
        Self { kills, writers: 8, load_ms: (20, 400) }
    }
}

/// Kills and restarts a random node of `cluster` as often as planned and returns what happened.
///
/// # Errors
/// When nodes are not the harness' own, one does not come back, or nothing is acknowledged any more.
pub async fn run(cluster: &mut Cluster, plan: KillPlan, context: &Context<'_>) -> Result<Vec<Event>> {
    ensure!(
        cluster.nodes.iter().all(|it| it.kind != NodeKind::Url),
        "servers that somebody else runs are not killed here"
    );
    let shared = Arc::new(Shared::new(
        cluster.nodes.iter().map(NacosClient::new).collect(),
        format!("{}-kills", context.tag),
        derived_seed(context.seed, &[NAME, "writers"]),
    ));
    shared.note(Event::Run(Header {
        scenario: NAME.to_owned(),
        target: cluster.target.clone(),
        nodes: cluster.nodes.iter().map(|it| kind_name(it.kind).to_owned()).collect(),
        addresses: cluster.nodes.iter().map(|it| it.address.clone()).collect(),
        seed: context.seed,
        checks: vec![CHECK.to_owned()],
        ..Header::default()
    }));
    shared.note(Event::Phase { at: shared.now(), phase: Phase::During });
    let mut writers = JoinSet::new();
    (0..plan.writers).for_each(|_| {
        writers.spawn(Writer::new(shared.clone()).run());
    });
    let killed = kill_again_and_again(cluster, plan, context, &shared).await;
    shared.stop.cancel();
    while writers.join_next().await.is_some() {}
    let over = match killed {
        Ok(()) => finish(&shared).await,
        Err(error) => Err(error),
    };
    if let Err(error) = over {
        // What was seen up to here says more than the error alone; the judge takes this for a failure.
        shared.note(Event::GaveUp { at: shared.now(), reason: format!("{error:#}") });
    }
    shared.note(Event::Phase { at: shared.now(), phase: Phase::End });
    Ok(shared.events())
}

async fn kill_again_and_again(
    cluster: &mut Cluster,
    plan: KillPlan,
    context: &Context<'_>,
    shared: &Arc<Shared>,
) -> Result<()> {
    let mut random = StdRng::seed_from_u64(derived_seed(context.seed, &[NAME, "moments"]));
    for kill in 0..plan.kills as usize {
        if context.stop.is_cancelled() {
            bail!("the run was interrupted");
        }
        context.progress.status(&format!("{NAME} at {}: {} of {}", cluster.target, kill, plan.kills));
        let victim = random.random_range(0..cluster.nodes.len());
        let load = random.random_range(plan.load_ms.0..=plan.load_ms.1);
        // A kill while nothing is acknowledged would show little.
        shared.acknowledged_again(WRITES_LIMIT).await?;
        sleep(Duration::from_millis(load)).await;
        let under_way = shared.under_way.load(Ordering::Relaxed);
        let at = shared.now();
        cluster.kill_node(victim).await?;
        let what = format!("kill -9 of node {victim}");
        shared.note(Event::Fault(Fault { at, fault: kill, kind: "kill".to_owned(), nodes: vec![victim], what }));
        shared.note(Event::Proof {
            at,
            fault: kill,
            bit: under_way > 0,
            what: format!("{under_way} writes were under way"),
        });
        let client = NacosClient::new(cluster.node(victim)?);
        let started = Instant::now();
        cluster.start_node(victim).await?;
        while !client.metrics().await.is_ok_and(|it| it.status == "UP") {
            ensure!(
                started.elapsed() < BACK_LIMIT,
                "node {victim} was not back {} s after kill {kill}",
                BACK_LIMIT.as_secs()
            );
            ensure!(!context.stop.is_cancelled(), "the run was interrupted");
            sleep(LOOK).await;
        }
        shared.note(Event::Healed { at: shared.now(), fault: kill });
        shared.count_anew();
    }
    Ok(())
}

/// Waits until what was written last is everywhere, then reads every register at every node.
async fn finish(shared: &Arc<Shared>) -> Result<()> {
    shared.note(Event::Phase { at: shared.now(), phase: Phase::Final });
    barrier(shared).await?;
    let registers = shared.registers();
    for node in 0..shared.clients.len() {
        for register in 0..registers {
            shared.read(node, register).await;
        }
    }
    Ok(())
}

/// Writes once more through each node and waits until every node shows it: what was committed before is applied then.
async fn barrier(shared: &Arc<Shared>) -> Result<()> {
    let begun = Instant::now();
    for through in 0..shared.clients.len() {
        let register = loop {
            let register = shared.fresh_register();
            let (_, outcome) =
                shared.write(u32::MAX, through, register, Action::Set(shared.fresh_value()), false).await;
            if outcome == Outcome::Ok {
                break register;
            }
            ensure!(begun.elapsed() < SETTLE_LIMIT, "node {through} takes no writes after the last kill");
            sleep(Duration::from_millis(100)).await;
        };
        for node in 0..shared.clients.len() {
            while !matches!(shared.value(node, register).await, Ok(Some(_))) {
                let late = begun.elapsed() >= SETTLE_LIMIT;
                ensure!(!late, "node {node} does not show what was written through node {through} after the last kill");
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
    Ok(())
}

/// Writes a history into the folder of a run and judges it.
///
/// # Errors
/// When it cannot be written, or has no beginning.
pub fn keep(events: &[Event], out: &std::path::Path) -> Result<judge::Judgement> {
    let judgement = judge::judge(events).context("the history has no beginning")?;
    let name = judgement.header.target.replace(['/', ':', ','], "_");
    let path = out.join("history").join(format!("{NAME}-{name}.jsonl"));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let lines: Vec<String> = events.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
    std::fs::write(&path, lines.join("\n") + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    Ok(judgement)
}
