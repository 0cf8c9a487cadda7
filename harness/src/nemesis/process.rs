//! Signals to processes, starts and stops.

use super::{Proof, list};
use crate::target::{Cluster, procfs};

/// One process for ever: its id and when it started.
pub(super) type Identity = (u32, u64);

pub(super) fn capability(cluster: &Cluster, nodes: &[usize]) -> Result<(), String> {
    match nodes.iter().find(|node| !cluster.is_ours(**node)) {
        Some(node) => Err(format!("node {node} of {} was not started by this harness", cluster.target)),
        None => Ok(()),
    }
}

pub(super) fn identities(cluster: &Cluster) -> Vec<Option<Identity>> {
    let identity = |pid: u32| Some((pid, procfs::start_time(pid)?));
    cluster.nodes.iter().map(|node| node.pid.and_then(identity)).collect()
}

pub(super) async fn kill(cluster: &mut Cluster, nodes: &[usize]) -> anyhow::Result<()> {
    for node in nodes {
        cluster.kill_node(*node).await?;
    }
    Ok(())
}

pub(super) async fn stop(cluster: &mut Cluster, nodes: &[usize]) -> anyhow::Result<()> {
    for node in nodes {
        cluster.stop_node(*node).await?;
    }
    Ok(())
}

pub(super) async fn start(cluster: &mut Cluster, nodes: &[usize]) -> anyhow::Result<()> {
    for node in nodes {
        cluster.start_node(*node).await?;
    }
    Ok(())
}

pub(super) async fn pause(cluster: &mut Cluster, nodes: &[usize]) -> anyhow::Result<()> {
    for node in nodes {
        cluster.pause(*node).await?;
    }
    Ok(())
}

pub(super) async fn resume(cluster: &mut Cluster, nodes: &[usize]) -> anyhow::Result<()> {
    for node in nodes {
        cluster.resume(*node).await?;
    }
    Ok(())
}

pub(super) fn are_gone(nodes: &[usize], before: &[Option<Identity>]) -> Proof {
    let ran: Vec<(usize, Identity)> =
        nodes.iter().filter_map(|node| Some((*node, before.get(*node).copied().flatten()?))).collect();
    let alive: Vec<usize> =
        ran.iter().filter(|(_, (pid, started))| procfs::is_alive(*pid, *started)).map(|(node, _)| *node).collect();
    if ran.len() < nodes.len() {
        return Proof::new(false, format!("of {}, {} ran before", list(nodes), ran.len()));
    }
    if !alive.is_empty() {
        return Proof::new(false, format!("still there: the process of {}", list(&alive)));
    }
    let pids: Vec<String> = ran.iter().map(|(_, (pid, _))| pid.to_string()).collect();
    Proof::new(true, format!("gone: process {} of {}", pids.join(", "), list(nodes)))
}

pub(super) fn are_new(cluster: &Cluster, nodes: &[usize], before: &[Option<Identity>]) -> Proof {
    let now = identities(cluster);
    let of = |all: &[Option<Identity>], node: usize| all.get(node).copied().flatten();
    let old: Vec<usize> = nodes
        .iter()
        .copied()
        .filter(|node| of(&now, *node).is_none() || of(&now, *node) == of(before, *node))
        .collect();
    if old.is_empty() {
        Proof::new(true, format!("new process for {}", list(nodes)))
    } else {
        Proof::new(false, format!("no new process for {}", list(&old)))
    }
}

pub(super) fn are_frozen(cluster: &Cluster, nodes: &[usize], expected: bool) -> Proof {
    let is_frozen = |node: usize| cluster.nodes.get(node)?.pid.and_then(procfs::state).map(|state| state == "T");
    let others: Vec<usize> = nodes.iter().copied().filter(|node| is_frozen(*node) != Some(expected)).collect();
    let state = if expected { "stopped" } else { "running" };
    if others.is_empty() {
        Proof::new(true, format!("the kernel says {state} of {}", list(nodes)))
    } else {
        Proof::new(false, format!("the kernel does not say {state} of {}", list(&others)))
    }
}
