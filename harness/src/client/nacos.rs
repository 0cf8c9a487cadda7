//! The convenient client of one node: named calls, typed answers, a small pool of connections.

use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::call::{Call, Expect, Instance};
use super::connection::{Connection, Reply};
use super::error::ClientError;
use crate::target::Node;

/// Connections kept open between calls; more may be open while more calls are under way.
const IDLE_CONNECTIONS_MAX: usize = 64;

/// How long one call may take. Real Nacos gives up forwarding a write after two seconds, so an answer that takes
/// longer than this is not coming.
pub const CALL_LIMIT: Duration = Duration::from_secs(5);

/// A client of one node.
#[derive(Debug)]
pub struct NacosClient {
    address: String,
    context: String,
    limit: Duration,
    /// Connections that are not in use. A short lock, never held over an await.
    idle: Mutex<Vec<Connection>>,
}

/// `GET /v1/ns/instance/list`, as far as the harness looks at it.
#[derive(Debug, Clone, Deserialize)]
pub struct Listing {
    /// The service, `GROUP@@NAME`.
    #[serde(default)]
    pub name: String,
    /// The instances, in the order sent.
    pub hosts: Vec<ListedHost>,
}

/// One instance of a [`Listing`].
#[derive(Debug, Clone, Deserialize)]
pub struct ListedHost {
    /// Address.
    pub ip: String,
    /// Port.
    pub port: u16,
    /// Whether it may be called.
    pub healthy: bool,
}

impl Listing {
    /// Whether the listing holds `instance`, healthy or not.
    pub fn shows(&self, instance: &Instance) -> bool {
        self.hosts.iter().any(|it| it.port == instance.port && it.ip == instance.ip)
    }
}

/// `GET /v1/ns/instance/statuses`.
#[derive(Debug, Clone, Deserialize)]
pub struct Statuses {
    /// `ip:port_healthy`, e.g. `127.0.0.1:80_true`.
    pub ips: Vec<String>,
}

/// `GET /v1/ns/operator/metrics`, as far as the harness looks at it.
#[derive(Debug, Clone, Deserialize)]
pub struct Metrics {
    /// `UP` when the node serves.
    pub status: String,
    /// Services the node holds.
    #[serde(rename = "serviceCount")]
    pub service_count: u64,
    /// Instances the node holds, over all services and namespaces.
    #[serde(rename = "instanceCount")]
    pub instance_count: u64,
}

impl NacosClient {
    /// A client of `node`; nothing is opened yet.
    pub fn new(node: &Node) -> Self {
        Self {
            address: node.address.clone(),
            context: node.context_path.clone(),
            limit: CALL_LIMIT,
            idle: Mutex::new(Vec::new()),
        }
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Context path, normally `/nacos`.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// Sends one call over a pooled connection.
    pub async fn send(&self, call: &Call) -> Result<Reply, ClientError> {
        let kept = self.idle.lock().pop();
        let mut connection = match kept {
            Some(connection) => connection,
            None => Connection::new(&self.address)?,
        };
        let result = connection.send(call, self.limit).await;
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_CONNECTIONS_MAX {
            idle.push(connection);
        }
        result
    }

    async fn read<T: DeserializeOwned>(&self, call: &Call) -> Result<T, ClientError> {
        let reply = self.send(call).await?;
        serde_json::from_slice(&reply.body).map_err(|error| ClientError::Refused {
            address: self.address.clone(),
            target: call.target.to_string(),
            status: reply.status,
            body: format!("unreadable: {error}"),
        })
    }

    /// Registers an ephemeral instance.
    pub async fn register(&self, instance: &Instance) -> Result<(), ClientError> {
        self.send(&Call::register(&self.context, instance, 1)?).await.map(drop)
    }

    /// Deregisters an ephemeral instance.
    pub async fn deregister(&self, instance: &Instance) -> Result<(), ClientError> {
        self.send(&Call::deregister(&self.context, instance)?).await.map(drop)
    }

    /// Sends the short heartbeat; an error when the server does not know the instance.
    pub async fn beat_light(&self, instance: &Instance) -> Result<(), ClientError> {
        self.send(&Call::beat_light(&self.context, instance)?).await.map(drop)
    }

    /// Sends the heartbeat that registers the instance when the server does not know it.
    pub async fn beat_full(&self, instance: &Instance) -> Result<(), ClientError> {
        self.send(&Call::beat_full(&self.context, instance)?).await.map(drop)
    }

    /// The instances of a service at this node.
    pub async fn list(&self, service: &str) -> Result<Listing, ClientError> {
        self.read(&Call::list(&self.context, service, Expect::Any)?).await
    }

    /// Health of the instances of a service at this node; an error when the node does not know the service.
    pub async fn statuses(&self, service: &str) -> Result<Statuses, ClientError> {
        self.read(&Call::statuses(&self.context, service)?).await
    }

    /// Counters of this node.
    pub async fn metrics(&self) -> Result<Metrics, ClientError> {
        self.read(&Call::metrics(&self.context)?).await
    }
}
