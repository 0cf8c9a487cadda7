//! `persistent-restore`: a node is wiped of its data and started again; it must get everything back by a snapshot of the
//! leader, and all nodes must hold the same then.
//!
//! Thousands of persistent instances are registered, and the leader is told to make two snapshots: only with the second
//! does it cut its log up to the first (`compat/spec/jraft.md` §5), and only then cannot a node without data be fed
//! from the log. In a cluster of several kinds a node of each is restored by a leader of each other kind.
//!
//! An official node that has loaded a snapshot shows none of it before it is started once more (§12): loading tells
//! nobody, and its naming module reads the data only when it starts. So it is, and the timeline says when.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::alike;
use super::change::Changes;
use super::group::Group;
use crate::client::nacos::CALL_LIMIT;
use crate::client::{Call, Connection, Instance, NacosClient};
use crate::experiment::restart_recovery::Context;
use crate::experiment::{KEEP, Observation, kind_name, loopback};
use crate::results::{Fault, Outcome, TimelineEvent};
use crate::stats::Round;
use crate::target::{Cluster, LogMark, NodeKind};

/// Name in the record.
pub const NAME: &str = "persistent-restore";

/// How often one registration is tried.
const TRIES: u32 = 6;

/// Connections that register.
const CONNECTIONS: usize = 16;

/// How long a node may take to be a member again, and to leave the old protocol.
const BACK_LIMIT: Duration = Duration::from_secs(180);

/// How long the nodes may take to hold the same afterwards.
const ALIKE_LIMIT: Duration = Duration::from_secs(60);

/// How much.
#[derive(Debug, Clone, Copy)]
pub struct RestorePlan {
    /// Persistent instances.
    pub instances: usize,
    /// Services they belong to.
    pub services: usize,
}

/// Who restores whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Leg {
    leader: usize,
    wiped: usize,
}

/// Restores a node of every kind by a leader of every other kind, or, among nodes of one kind, one by another.
///
/// # Errors
/// When the cluster has fewer than three nodes, they are not the harness' own, or the data cannot be registered.
pub async fn run(
    cluster: &mut Cluster,
    plan: RestorePlan,
    context: &Context<'_>,
    mut take: impl FnMut(Changes),
) -> Result<()> {
    ensure!(cluster.nodes.len() >= 3, "a node that is wiped needs a majority beside it");
    let tag = format!("{}-restore", context.tag);
    let mut filled = 0;
    for (number, leg) in legs(cluster).into_iter().enumerate() {
        ensure!(!context.stop.is_cancelled(), "the run was interrupted");
        Group::of(cluster)?.make_leader(leg.leader).await?;
        if number == 0 {
            context.progress.status(&format!("{NAME} at {}: {} instances", cluster.target, plan.instances));
            // Through a node of ours where there is one: it takes many registrations at once in few entries.
            let ours = cluster.nodes.iter().position(|it| it.kind == NodeKind::Tandem);
            fill(cluster, ours.unwrap_or(leg.leader), &tag, plan).await?;
            filled = plan.instances;
        }
        context.progress.status(&format!("{NAME} at {}: node {} is wiped", cluster.target, leg.wiped));
        filled += cut_log(cluster, leg, &tag, number).await?;
        take(one(cluster, leg, &tag, filled, context).await?);
    }
    Ok(())
}

fn legs(cluster: &Cluster) -> Vec<Leg> {
    let kinds: Vec<NodeKind> = cluster.nodes.iter().map(|it| it.kind).collect();
    let all = (0..kinds.len()).flat_map(|leader| (0..kinds.len()).map(move |wiped| Leg { leader, wiped }));
    let mut legs: Vec<Leg> = Vec::new();
    for leg in all {
        let kind = |node: usize| kinds.get(node).copied();
        let known = legs.iter().any(|it| (kind(it.leader), kind(it.wiped)) == (kind(leg.leader), kind(leg.wiped)));
        if kind(leg.leader) != kind(leg.wiped) && !known {
            legs.push(leg);
        }
    }
    if legs.is_empty() { vec![Leg { leader: 0, wiped: 1 }] } else { legs }
}

fn instance(tag: &str, index: usize, services: usize) -> Instance {
    let service = format!("{tag}-{}", index % services.max(1));
    let kept = Instance::kept(&service, loopback(index), 8000, KEEP);
    Instance { metadata: format!(r#"{{"number":"{index}"}}"#), ..kept }
}

/// Registers everything through one node, each service by one connection: two registrations of a service at once may
/// undo each other at an official node.
async fn fill(cluster: &Cluster, through: usize, tag: &str, plan: RestorePlan) -> Result<()> {
    let node = cluster.node(through)?.clone();
    let mut workers = JoinSet::new();
    for worker in 0..CONNECTIONS {
        let mine = (0..plan.instances).filter(|it| it % plan.services.max(1) % CONNECTIONS == worker);
        let calls = mine.map(|it| Call::persist(&node.context_path, &instance(tag, it, plan.services), 1));
        let calls = calls.collect::<Result<Vec<_>, _>>()?;
        let mut connection = Connection::new(&node.address)?;
        workers.spawn(async move {
            for call in &calls {
                // A registration means the same when it is done again, and an official node on a busy machine is slow.
                let mut tries = 1;
                while let Err(error) = connection.send(call, CALL_LIMIT).await {
                    if tries == TRIES {
                        return Err(error);
                    }
                    tries += 1;
                }
            }
            Ok::<_, crate::client::ClientError>(())
        });
    }
    while let Some(done) = workers.join_next().await {
        done.context("a registering task ended unexpectedly")?.context("a registration failed")?;
    }
    let alike = alike::wait(&cluster.nodes, tag, ALIKE_LIMIT, |held| count(held, plan.instances)).await;
    alike.map(drop).map_err(|wrong| anyhow::anyhow!("the nodes do not hold the same beforehand: {}", wrong.join("; ")))
}

fn count(held: &alike::Held, wanted: usize) -> Result<(), String> {
    let found = held.instances.len();
    if found == wanted { Ok(()) } else { Err(format!("{found} instances are there, not {wanted}")) }
}

/// Has the leader make two snapshots with an entry after each, so that its log no longer begins at the beginning; the
/// instances that were added.
async fn cut_log(cluster: &Cluster, leg: Leg, tag: &str, leg_number: usize) -> Result<usize> {
    let group = Group::of(cluster)?;
    let client = NacosClient::new(cluster.node(leg.leader)?);
    let snapshots = 2;
    for number in 0..snapshots {
        group.command(leg.leader, "doSnapshot", group.port(leg.leader)?.peer()).await?;
        let service = super::owned_by(&cluster.nodes, leg.leader, &format!("{tag}-more-{leg_number}-{number}"));
        client.send(&Call::persist(client.context(), &instance(&service, 0, 1), 1)?).await?;
    }
    Ok(snapshots)
}

async fn one(cluster: &mut Cluster, leg: Leg, tag: &str, held: usize, context: &Context<'_>) -> Result<Changes> {
    let kind = |cluster: &Cluster, node: usize| cluster.nodes.get(node).map_or("", |it| kind_name(it.kind));
    let (leader, wiped) = (kind(cluster, leg.leader), kind(cluster, leg.wiped));
    let mut timeline = Vec::new();
    let mut violations = Vec::new();
    cluster.kill_node(leg.wiped).await?;
    let node = cluster.node(leg.wiped)?.clone();
    let home = node.logs.as_deref().and_then(Path::parent).context("the node's folder is not known")?;
    let data = home.join("data");
    std::fs::remove_dir_all(&data).with_context(|| format!("cannot wipe {}", data.display()))?;
    let log = Log::of(&node);
    let started = Instant::now();
    let mut event = |what: String| {
        timeline.push(TimelineEvent { at_ms: started.elapsed().as_secs_f64() * 1000.0, event: what, until_ms: None });
    };
    event("its data is gone, its process is started".to_owned());
    cluster.start_node(leg.wiped).await?;
    cluster.wait_ready(BACK_LIMIT, context.progress).await?;
    cluster.wait_consensus_switch(BACK_LIMIT).await?;
    event("it is a member again".to_owned());
    let proof = log.wait(BACK_LIMIT.min(ALIKE_LIMIT)).await;
    if let Some(line) = &proof {
        event(format!("its log says: {line}"));
    }
    if node.kind != NodeKind::Tandem {
        cluster.kill_node(leg.wiped).await?;
        cluster.start_node(leg.wiped).await?;
        cluster.wait_ready(BACK_LIMIT, context.progress).await?;
        cluster.wait_consensus_switch(BACK_LIMIT).await?;
        event("it is started once more, so that its naming module reads what was loaded".to_owned());
    }
    let alike = alike::wait(&cluster.nodes, tag, ALIKE_LIMIT, |it| count(it, held)).await;
    let after = started.elapsed();
    match &alike {
        Ok(_) => event(format!("all nodes hold the same {held} instances")),
        Err(wrong) => violations.extend(wrong.iter().cloned()),
    }
    let outcome = match (violations.is_empty(), &proof) {
        (false, _) => Outcome::Fail,
        (true, Some(_)) => Outcome::Pass,
        (true, None) => Outcome::Error,
    };
    if proof.is_none() {
        violations.push("its log does not say that it loaded a snapshot of the leader".to_owned());
    }
    let ms = alike.is_ok().then_some(after.as_secs_f64() * 1000.0);
    let mut row = Observation::new(NAME, "ms", Round::of(ms)).with("wiped", wiped).with("leader", leader);
    row.errors = u64::from(alike.is_err());
    row.notes.push(format!("{held} persistent instances"));
    if node.kind != NodeKind::Tandem {
        row.notes.push("with a second start, before which an official node shows nothing of a snapshot".to_owned());
    }
    let fault = Fault {
        target: cluster.target.clone(),
        scenario: format!("{NAME}: {wiped} wiped, restored by the snapshot of {leader}"),
        outcome,
        recovery_ms: ms,
        unrecovered_ms: None,
        lost_acked: 0,
        resurrected: 0,
        violations,
        timeline,
        samples: Vec::new(),
        checks: Vec::new(),
        figures: Vec::new(),
        issues: Vec::new(),
        history: String::new(),
    };
    Ok(Changes { observations: vec![(0, row)], faults: vec![fault] })
}

/// The log in which a node says that it loads a snapshot of the leader.
struct Log {
    written: Option<LogMark>,
    says: &'static str,
}

impl Log {
    fn of(node: &crate::target::Node) -> Self {
        let (name, says) = match node.kind {
            NodeKind::Tandem => ("stdout.log", "a snapshot of the leader is loaded"),
            _ => ("alipay-jraft.log", "received InstallSnapshotRequest from"),
        };
        let written = node.logs.as_ref().map(|it| LogMark::at_end_of(it.join(name)));
        Self { written, says }
    }

    /// The line about the group of naming data, once it is there.
    async fn wait(&self, limit: Duration) -> Option<String> {
        let begun = Instant::now();
        loop {
            if let Some(line) = self.line() {
                return Some(line);
            }
            if begun.elapsed() > limit {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn line(&self) -> Option<String> {
        let text = self.written.as_ref()?.written_since()?;
        let line = text.lines().find(|it| it.contains(self.says) && it.contains(crate::client::raft::GROUP))?;
        Some(line.chars().take(300).collect())
    }
}
