//! What the harness looks at itself while programs run.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use super::judge::Acks;
use crate::client::{Call, Instance, NacosClient};
use crate::target::{Cluster, Node};

/// How long the last acknowledgement of a push may take to be counted.
const ACK_LIMIT: Duration = Duration::from_secs(3);

/// How long an instance may take to be gone from every node after it was deregistered. A heartbeat that was under way at
/// that moment brings it back on any server, until its timeout of 12 s and the server's round of 5 s are over.
const GONE_LIMIT: Duration = Duration::from_secs(20);

/// An instance with the timeouts of the programs' instances, and without heartbeats.
#[derive(Debug)]
pub(super) struct Control {
    client: NacosClient,
    instance: Instance,
}

impl Control {
    /// Registers it.
    pub(super) async fn begin(node: &Node, service: &str) -> Result<Self, String> {
        let metadata = r#"{"preserved.heart.beat.timeout":"11000","preserved.ip.delete.timeout":"12000"}"#.to_owned();
        let instance = Instance { service: service.to_owned(), ip: "127.0.0.23".to_owned(), port: 7003, metadata };
        let client = NacosClient::new(node);
        client.register(&instance).await.map_err(|error| format!("it could not be registered: {error}"))?;
        Ok(Self { client, instance })
    }

    /// Ends it: an error when the server has not removed it by itself.
    pub(super) async fn removed(self) -> Result<(), String> {
        let listing = self.client.list(&self.instance.service).await.map_err(|error| error.to_string())?;
        if !listing.shows(&self.instance) {
            return Ok(());
        }
        let _ = self.client.deregister(&self.instance).await;
        Err("it was still there".to_owned())
    }
}

/// `GET /v1/ns/operator/push/state`: pushes sent, and those of them that do not wait for an acknowledgement and have not
/// been given up (`compat/spec/health-and-push.md`).
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct PushState {
    succeed: i64,
    total: i64,
}

impl PushState {
    pub(super) async fn read(node: &Node) -> Result<Self, String> {
        let client = NacosClient::new(node);
        let call = Call::get(&node.context_path, "/v1/ns/operator/push/state", &[]);
        let reply = client.send(&call.map_err(|it| it.to_string())?).await.map_err(|it| it.to_string())?;
        serde_json::from_slice(&reply.body).map_err(|_| "its push counters cannot be read".to_owned())
    }

    /// What was sent since, and how much of that was acknowledged, once all of it is or none will be any more.
    pub(super) async fn acks_since(self, node: &Node) -> Result<Acks, String> {
        let deadline = Instant::now() + ACK_LIMIT;
        loop {
            let now = Self::read(node).await?;
            let acks = Acks { sent: now.total - self.total, acknowledged: now.succeed - self.succeed };
            if acks.sent == acks.acknowledged || Instant::now() > deadline {
                return Ok(acks);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Nodes that still list instances of a service, each with how many; waits a moment for them to be gone.
pub(super) async fn left(
    cluster: &Cluster,
    namespace: &str,
    group: &str,
    service: &str,
) -> Result<Vec<String>, String> {
    let deadline = Instant::now() + GONE_LIMIT;
    loop {
        let mut left = Vec::new();
        for node in &cluster.nodes {
            let hosts = count(node, namespace, group, service).await?;
            if hosts > 0 {
                left.push(format!("{hosts} at {}", node.address));
            }
        }
        if left.is_empty() || Instant::now() > deadline {
            return Ok(left);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn count(node: &Node, namespace: &str, group: &str, service: &str) -> Result<usize, String> {
    #[derive(Deserialize)]
    struct Hosts {
        hosts: Vec<serde_json::Value>,
    }
    let query = [("namespaceId", namespace), ("groupName", group), ("serviceName", service)];
    let call = Call::get(&node.context_path, "/v1/ns/instance/list", &query).map_err(|it| it.to_string())?;
    let reply = NacosClient::new(node).send(&call).await.map_err(|it| it.to_string())?;
    let listed: Hosts = serde_json::from_slice(&reply.body).map_err(|_| format!("{} lists nothing", node.address))?;
    Ok(listed.hosts.len())
}
