//! `leader-change`: the leader hands over, or is killed with SIGKILL; how long until a persistent write through each
//! remaining node is acknowledged *and* visible on all of them?
//!
//! A write of a service of its own is due at every remaining node every 50 ms, whether or not earlier ones are answered,
//! from a second before the change until writes have counted again for a while. An answer alone is nothing: official
//! nodes acknowledge writes for some seconds after a change that are lost (`compat/spec/jraft.md` §8). `traffic`
//! writes and looks, [`judge`] is a pure function of what was written down.

pub mod judge;
mod traffic;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::time::{Instant, sleep};

use super::group::{Group, LEADER_LIMIT};
use crate::experiment::restart_recovery::Context;
use crate::experiment::{Observation, kind_name};
use crate::results::Fault;
use crate::target::{Cluster, NodeKind};
use judge::Seen;
use traffic::Traffic;

/// Name in the record.
pub const NAME: &str = "leader-change";

/// Writes before the change: they must all count, or the figures say nothing.
const BEFORE: Duration = Duration::from_secs(1);

/// How long writes must have counted again before a change is over.
const CALM: Duration = Duration::from_secs(3);

/// Official nodes look for the leader every 5 to 10 s (`compat/spec/jraft.md` §2) and lose writes until then.
const REFRESH: Duration = Duration::from_secs(11);

/// How often a transfer that is refused is tried again.
const TRANSFER_TRIES: u32 = 3;

/// No change is watched for longer.
const WATCH_LIMIT: Duration = Duration::from_secs(40);

/// How long a killed node may take to be a member again.
const BACK_LIMIT: Duration = Duration::from_secs(180);

/// How often the leader is changed in each way.
#[derive(Debug, Clone, Copy)]
pub struct ChangePlan {
    /// By transfer.
    pub transfers: usize,
    /// By SIGKILL.
    pub kills: usize,
}

/// How the leader is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// It hands over to the next node.
    Transfer,
    /// SIGKILL.
    Kill,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Changes {
    /// Rows with the round they belong to: every change is one.
    pub observations: Vec<(usize, Observation)>,
    /// One scenario per change.
    pub faults: Vec<Fault>,
}

/// Changes the leader as planned and returns what was seen.
///
/// # Errors
/// When the cluster has fewer than three nodes or none leads, or a node cannot be killed or does not come back.
pub async fn run(cluster: &mut Cluster, plan: ChangePlan, context: &Context<'_>) -> Result<Changes> {
    ensure!(cluster.nodes.len() >= 3, "the leader of fewer than three nodes has nobody to follow it");
    let mut changes = Changes::default();
    let all = std::iter::repeat_n(By::Transfer, plan.transfers).chain(std::iter::repeat_n(By::Kill, plan.kills));
    for (number, by) in all.enumerate() {
        if context.stop.is_cancelled() {
            break;
        }
        context.progress.status(&format!("{NAME} at {}: change {}", cluster.target, number + 1));
        let round = if by == By::Kill { number - plan.transfers } else { number };
        let more = one(cluster, by, round, context).await?;
        changes.observations.extend(more.observations);
        changes.faults.extend(more.faults);
    }
    Ok(changes)
}

/// Changes the leader once; `round` counts the changes of this kind from 0.
///
/// # Errors
/// As [`run`].
pub async fn one(cluster: &mut Cluster, by: By, round: usize, context: &Context<'_>) -> Result<Changes> {
    let mut tries = 0;
    let seen = loop {
        // Names are fresh with every try: what an earlier one left behind must not be taken for a write that counts.
        match once(cluster, by, &format!("{}-{by:?}-{round}-{tries}", context.tag), context).await {
            // The leader may have changed by itself between the question and the command.
            Err(error) if by == By::Transfer && tries < TRANSFER_TRIES => {
                context.progress.line(&format!("{NAME} at {}: again, because {error:#}", cluster.target));
                tries += 1;
            }
            seen => break seen?,
        }
    };
    Ok(Changes {
        observations: judge::observations(&seen).into_iter().map(|row| (round, row)).collect(),
        faults: vec![judge::fault(&cluster.target, round + 1, &seen)],
    })
}

async fn once(cluster: &mut Cluster, by: By, tag: &str, context: &Context<'_>) -> Result<Seen> {
    let group = Group::of(cluster)?;
    let all = group.others(&[]);
    let leader = group.wait_leader(&all, LEADER_LIMIT).await?;
    let next = (leader + 1) % cluster.nodes.len();
    let remaining = if by == By::Kill { group.others(&[leader]) } else { all };
    let real = cluster.nodes.iter().any(|it| it.kind != NodeKind::Tandem);
    let traffic = Traffic::start(cluster, &remaining, tag);
    sleep(BEFORE).await;
    let changed = Instant::now();
    match by {
        By::Transfer => group.command(leader, "transferLeader", group.port(next)?.peer()).await?,
        By::Kill => cluster.kill_node(leader).await?,
    }
    let mut followed_by = None;
    let least = if real && by == By::Transfer { REFRESH } else { Duration::ZERO };
    while changed.elapsed() < WATCH_LIMIT && !context.stop.is_cancelled() {
        if followed_by.is_none() {
            let now = group.leader(&remaining).await.filter(|it| *it != leader);
            followed_by = now.map(|it| (it, changed.elapsed()));
        }
        if changed.elapsed() >= least && traffic.calm_for(changed) >= CALM {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    let attempts = traffic.end().await;
    let kinds: Vec<&str> = cluster.nodes.iter().map(|it| kind_name(it.kind)).collect();
    if by == By::Kill {
        cluster.start_node(leader).await?;
        cluster.wait_ready(BACK_LIMIT, context.progress).await?;
        cluster.wait_consensus_switch(BACK_LIMIT).await?;
    }
    let kind = |node: usize| kinds.get(node).map(|it| (*it).to_owned()).context("no such node");
    let named = |(node, after): (usize, Duration)| Some((node, kind(node).ok()?, after));
    Ok(Seen {
        by,
        changed: attempts.since(changed),
        kinds: (0..kinds.len()).map(kind).collect::<Result<_>>()?,
        leader,
        followed_by: followed_by.and_then(named),
        through: remaining,
        attempts: attempts.all,
    })
}

/// Shared by the tasks of one change.
type Shared<T> = Arc<parking_lot::Mutex<T>>;
