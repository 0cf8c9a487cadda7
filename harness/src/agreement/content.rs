//! What one node holds, reduced to what nodes must agree on.

use std::collections::BTreeMap;
use std::fmt;

use super::members::Member;

/// A service by namespace and grouped name, e.g. `public` and `DEFAULT_GROUP@@demo`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey {
    /// Namespace id.
    pub namespace: String,
    /// `GROUP@@NAME`.
    pub name: String,
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.name, self.namespace)
    }
}

/// What identifies an instance inside its service (`compat/spec/naming-api.md` §2.2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceKey {
    /// Address.
    pub ip: String,
    /// Port; servers let any integer in.
    pub port: i64,
    /// Name of the cluster inside the service.
    pub cluster: String,
}

impl fmt::Display for InstanceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} ({})", self.ip, self.port, self.cluster)
    }
}

/// Metadata of an instance or service.
pub type Metadata = BTreeMap<String, String>;

/// An ephemeral instance as the data store replicates it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// Share of traffic.
    pub weight: f64,
    /// Whether clients may be sent there.
    pub enabled: bool,
    /// Whether it is thought to be alive.
    pub healthy: bool,
    /// Always true in the store; anything else is a difference worth seeing.
    pub ephemeral: bool,
    /// Its metadata.
    pub metadata: Metadata,
    /// Name of the application, absent for instances that a heartbeat created.
    pub app: Option<String>,
    /// The id shown to clients.
    pub id: String,
}

impl Default for Stored {
    fn default() -> Self {
        let (app, id) = (None, String::new());
        Self { weight: 1.0, enabled: true, healthy: true, ephemeral: true, metadata: Metadata::new(), app, id }
    }
}

/// An instance as the registry serves it.
#[derive(Debug, Clone, PartialEq)]
pub struct Served {
    /// Share of traffic.
    pub weight: f64,
    /// Whether clients may be sent there.
    pub enabled: bool,
    /// Whether it is thought to be alive, before any protection threshold.
    pub healthy: bool,
    /// Its metadata.
    pub metadata: Metadata,
}

/// One instance list of the store.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Datum {
    /// The instances.
    pub instances: BTreeMap<InstanceKey, Stored>,
    /// Entries of the list that repeat an instance already in it; a sound list has none.
    pub repeated: usize,
    /// What the node would send for the list to verify it, computed from the list as it is.
    pub checksum: String,
}

/// One service of the registry.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Registered {
    /// The instances of all clusters.
    pub instances: BTreeMap<InstanceKey, Served>,
    /// Metadata of the service itself.
    pub metadata: Metadata,
}

/// What one node holds.
#[derive(Debug, Clone, Default)]
pub struct NodeContent {
    /// `host:port` it was read from.
    pub address: String,
    /// The replicated instance lists, empty ones included.
    pub store: BTreeMap<ServiceKey, Datum>,
    /// What is served to clients, services without instances included.
    pub registry: BTreeMap<ServiceKey, Registered>,
    /// The members it knows.
    pub members: Vec<Member>,
}

/// A thing with named properties that can be put side by side.
pub(super) trait Properties: PartialEq {
    /// Every property with its value as text.
    fn properties(&self) -> Vec<(&'static str, String)>;
}

impl Properties for Stored {
    fn properties(&self) -> Vec<(&'static str, String)> {
        vec![
            ("weight", self.weight.to_string()),
            ("enabled", self.enabled.to_string()),
            ("healthy", self.healthy.to_string()),
            ("ephemeral", self.ephemeral.to_string()),
            ("metadata", metadata_text(&self.metadata)),
            ("app", self.app.clone().unwrap_or_else(|| "absent".to_owned())),
            ("instanceId", self.id.clone()),
        ]
    }
}

impl Properties for Served {
    fn properties(&self) -> Vec<(&'static str, String)> {
        vec![
            ("weight", self.weight.to_string()),
            ("enabled", self.enabled.to_string()),
            ("healthy", self.healthy.to_string()),
            ("metadata", metadata_text(&self.metadata)),
        ]
    }
}

/// `{a=1, b=2}`.
pub fn metadata_text(metadata: &Metadata) -> String {
    let parts: Vec<_> = metadata.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("{{{}}}", parts.join(", "))
}
