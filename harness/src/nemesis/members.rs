//! Who is a member, and who leads.

use serde_json::{Value, json};

use super::{Proof, list};
use crate::client::raft::{GROUP, peer_of};
use crate::target::{Cluster, NodeKind};

pub(super) fn capability(cluster: &Cluster) -> Result<(), String> {
    if cluster.nodes.len() < 2 {
        return Err(format!("{} has no list of members", cluster.target));
    }
    match (0..cluster.nodes.len()).find(|node| !cluster.is_ours(*node)) {
        Some(node) => Err(format!("node {node} of {} was not started by this harness", cluster.target)),
        None => Ok(()),
    }
}

pub(super) fn transfer_capability(cluster: &Cluster, to: usize) -> Result<(), String> {
    let node = cluster.node(to).map_err(|error| error.to_string())?;
    if node.kind == NodeKind::Nacos && matches!(node.version.as_str(), "1.1.4" | "1.3.0") {
        return Err(format!("Nacos {} has no transfer of leadership", node.version));
    }
    Ok(())
}

pub(super) async fn remove(cluster: &mut Cluster, member: usize) -> anyhow::Result<()> {
    let address = cluster.node(member)?.address.clone();
    let mut members = cluster.members().clone();
    members.remove(&address);
    cluster.set_members(members).await
}

pub(super) async fn add(cluster: &mut Cluster, member: usize) -> anyhow::Result<()> {
    let address = cluster.node(member)?.address.clone();
    let mut members = cluster.members().clone();
    members.insert(address);
    cluster.set_members(members).await
}

/// Whether every other node that runs has the member in its list, or not.
pub(super) async fn know(cluster: &Cluster, member: usize, expected: bool) -> Proof {
    let Ok(address) = cluster.node(member).map(|node| node.address.clone()) else {
        return Proof::new(false, "no such member");
    };
    let (mut asked, mut others) = (Vec::new(), Vec::new());
    for (i, node) in cluster.nodes.iter().enumerate().filter(|(i, node)| *i != member && node.pid.is_some()) {
        asked.push(i);
        let answer = cluster.ask(node, "/v1/core/cluster/nodes").await.unwrap_or_default();
        let is_listed = entries(&answer).iter().any(|entry| entry["address"] == address.as_str());
        if answer.is_null() || is_listed != expected {
            others.push(i);
        }
    }
    let verb = if expected { "list" } else { "do not list" };
    match (asked.is_empty(), others.is_empty()) {
        (true, _) => Proof::new(false, "no other node runs"),
        (_, true) => Proof::new(true, format!("{} {verb} {address}", list(&asked))),
        _ => Proof::new(false, format!("not so yet at {}", list(&others))),
    }
}

fn entries(answer: &Value) -> &[Value] {
    answer["data"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn raft_address(cluster: &Cluster, node: usize) -> Option<String> {
    peer_of(&cluster.nodes.get(node)?.address).ok()
}

/// The leader as `node` says of itself in its own list.
pub(super) async fn leader(cluster: &Cluster, node: usize) -> Option<String> {
    let node = cluster.nodes.get(node)?;
    let answer = cluster.ask(node, "/v1/core/cluster/nodes").await.ok()?;
    let own = entries(&answer).iter().find(|entry| entry["address"] == node.address.as_str())?;
    own["extendInfo"]["raftMetaData"]["metaDataMap"][GROUP]["leader"].as_str().map(str::to_owned)
}

pub(super) async fn transfer(cluster: &Cluster, to: usize) -> anyhow::Result<()> {
    let value = raft_address(cluster, to).ok_or_else(|| anyhow::anyhow!("node {to} has no raft port"))?;
    let command = json!({"groupId": GROUP, "command": "transferLeader", "value": value});
    cluster.post_json(cluster.node(to)?, "/v1/core/ops/raft", &command).await
}

pub(super) async fn leads(cluster: &Cluster, to: usize, before: Option<&str>) -> Proof {
    let wanted = raft_address(cluster, to);
    let now = leader(cluster, to).await;
    match (before, now) {
        (Some(before), _) if Some(before) == wanted.as_deref() => {
            Proof::new(false, format!("node {to} ({before}) led before"))
        }
        (before, now) if now.is_some() && now == wanted => Proof::new(
            true,
            format!("{} leads, before it {}", now.unwrap_or_default(), before.unwrap_or("nobody that was known")),
        ),
        (_, now) => Proof::new(false, format!("{} leads", now.as_deref().unwrap_or("nobody that is known"))),
    }
}
