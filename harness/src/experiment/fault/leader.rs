//! Who leads the group of persistent data, as members tell it of themselves (`compat/spec/jraft.md` §14).

use std::time::Duration;

use serde_json::Value;

use crate::client::raft::{GROUP, peer_of};
use crate::client::wire::{self, Limits, Request};
use crate::target::Cluster;

/// One question; nodes that are away must not hold up a timeline.
const LIMITS: Limits = Limits { time: Duration::from_secs(2), head: 64 * 1024, body: 4 * 1024 * 1024 };

/// Position of the leader: the one that the highest term knows. Nothing when nobody knows of one.
pub(super) async fn find(cluster: &Cluster) -> Option<usize> {
    let told = cluster.nodes.iter().map(|node| told_by(&node.address, &node.context_path));
    let newest = futures::future::join_all(told).await.into_iter().flatten().max_by_key(|it| it.0)?;
    cluster.nodes.iter().position(|node| peer_of(&node.address).is_ok_and(|it| it == newest.1))
}

/// Term and leader as a node tells them of itself.
async fn told_by(address: &str, context: &str) -> Option<(i64, String)> {
    let target = format!("{context}/v1/core/cluster/nodes").into_bytes();
    let request = Request { method: "GET".to_owned(), target, ..Request::default() };
    let answer = wire::exchange(address, &request, &LIMITS).await.ok()?;
    let list: Value = serde_json::from_slice(&answer.body).ok()?;
    let itself = list.get("data")?.as_array()?.iter().find(|it| it["address"] == address)?;
    let group = &itself["extendInfo"]["raftMetaData"]["metaDataMap"][GROUP];
    let leader = group["leader"].as_str().filter(|it| !it.is_empty())?;
    let term = group["term"].as_i64().or_else(|| group["term"].as_str()?.parse().ok()).unwrap_or_default();
    Some((term, leader.to_owned()))
}
