//! Who leads the group of persistent naming data, and the commands that operators give it
//! (`compat/spec/jraft.md` §14, B-17).

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures::future::join_all;
use tokio::time::{Instant, sleep};

use crate::client::raft::{GROUP, RaftPort};
use crate::client::wire::{self, Limits, Request};
use crate::target::Cluster;

/// Time between two questions who leads.
const LOOK: Duration = Duration::from_millis(20);

/// How long a group may be without a leader before that is an error: three elections of official members.
pub const LEADER_LIMIT: Duration = Duration::from_secs(30);

/// The raft ports of a cluster, in node order.
#[derive(Debug, Clone)]
pub struct Group {
    ports: Vec<RaftPort>,
    addresses: Vec<String>,
    context: String,
}

impl Group {
    /// Of a cluster's members.
    ///
    /// # Errors
    /// When one has no raft port.
    pub fn of(cluster: &Cluster) -> Result<Self> {
        let nodes = &cluster.nodes;
        let ports = nodes.iter().map(|it| RaftPort::of(&it.address)).collect::<Result<_>>()?;
        let context = nodes.first().map(|it| it.context_path.clone()).unwrap_or_default();
        Ok(Self { ports, addresses: nodes.iter().map(|it| it.address.clone()).collect(), context })
    }

    /// The raft port of a member.
    ///
    /// # Errors
    /// When there is no such member.
    pub fn port(&self, node: usize) -> Result<&RaftPort> {
        self.ports.get(node).with_context(|| format!("there is no member {node}"))
    }

    /// All members but these.
    pub fn others(&self, without: &[usize]) -> Vec<usize> {
        (0..self.ports.len()).filter(|it| !without.contains(it)).collect()
    }

    /// The member that a majority of all names as the leader and that takes itself for it; `asked` are asked.
    pub async fn leader(&self, asked: &[usize]) -> Option<usize> {
        let ask = |it: usize| async move { Some((it, self.ports.get(it)?.leader().await?)) };
        let named: BTreeMap<usize, String> =
            join_all(asked.iter().copied().map(ask)).await.into_iter().flatten().collect();
        let leads = |candidate: &&usize| {
            let Some(port) = self.ports.get(**candidate) else { return false };
            let votes = named.values().filter(|it| *it == port.peer()).count();
            named.get(candidate).is_some_and(|it| it == port.peer()) && votes * 2 > self.ports.len()
        };
        named.keys().find(leads).copied()
    }

    /// The leader as soon as there is one.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn wait_leader(&self, asked: &[usize], limit: Duration) -> Result<usize> {
        let begun = Instant::now();
        loop {
            if let Some(leader) = self.leader(asked).await {
                return Ok(leader);
            }
            ensure!(begun.elapsed() < limit, "no leader of {GROUP} within {} s", limit.as_secs());
            sleep(LOOK).await;
        }
    }

    /// Gives a command to the group through the member `at`, as an operator does.
    ///
    /// # Errors
    /// When it is not obeyed.
    pub async fn command(&self, at: usize, command: &str, value: &str) -> Result<()> {
        let text = self.told(at, GROUP, command, value).await?;
        let code = serde_json::from_str::<serde_json::Value>(&text).ok().and_then(|it| it["code"].as_i64());
        ensure!(code == Some(200), "member {at} answered {command} {value} with {text}");
        Ok(())
    }

    /// What a member says to a command about any group.
    ///
    /// # Errors
    /// When it does not answer with 200.
    pub async fn told(&self, at: usize, group: &str, command: &str, value: &str) -> Result<String> {
        let address = self.addresses.get(at).with_context(|| format!("there is no member {at}"))?;
        let body = serde_json::json!({ "groupId": group, "command": command, "value": value }).to_string();
        let request = Request {
            method: "POST".to_owned(),
            target: format!("{}/v1/core/ops/raft", self.context).into_bytes(),
            headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
            body: Some(body.into_bytes()),
        };
        let answer = wire::exchange(address, &request, &Limits::default()).await?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        ensure!(answer.status == 200, "{address} answered {} to {command} {value}: {text}", answer.status);
        Ok(text)
    }

    /// Makes a member the leader and waits until it is.
    ///
    /// # Errors
    /// When it is refused, or does not come about in time.
    pub async fn make_leader(&self, node: usize) -> Result<()> {
        let all = self.others(&[]);
        let begun = Instant::now();
        let mut refused = None;
        loop {
            let leader = self.wait_leader(&all, LEADER_LIMIT).await?;
            if leader == node {
                return Ok(());
            }
            if begun.elapsed() > LEADER_LIMIT {
                let why =
                    refused.map_or_else(|| "it was said to be done".to_owned(), |it: anyhow::Error| it.to_string());
                bail!("{} did not become the leader in {} s: {why}", self.port(node)?.peer(), LEADER_LIMIT.as_secs());
            }
            // A member that is still catching up is refused, and can be asked again.
            refused = self.command(leader, "transferLeader", self.port(node)?.peer()).await.err();
            let asked = Instant::now();
            while asked.elapsed() < Duration::from_secs(2) && self.leader(&all).await != Some(node) {
                sleep(LOOK).await;
            }
        }
    }
}
