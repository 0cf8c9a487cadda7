//! One instance: the record that is registered, served, replicated and expired.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// Cluster an instance belongs to when none is named.
pub const DEFAULT_CLUSTER: &str = "DEFAULT";
/// Metadata key: beat interval echoed to the client, ms.
pub const HEART_BEAT_INTERVAL: &str = "preserved.heart.beat.interval";
/// Metadata key: ms without a beat until unhealthy.
pub const HEART_BEAT_TIMEOUT: &str = "preserved.heart.beat.timeout";
/// Metadata key: ms without a beat until removed.
pub const IP_DELETE_TIMEOUT: &str = "preserved.ip.delete.timeout";
/// Metadata key: `simple` or `snowflake`.
pub const INSTANCE_ID_GENERATOR: &str = "preserved.instance.id.generator";

/// Metadata of an instance, service or cluster, in the order it was given.
pub type Metadata = IndexMap<String, String>;

/// What makes an instance the same one inside a service and kind (compat/spec/naming-api.md §2.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InstanceKey {
    /// Address as registered; hardly validated by Nacos, so any text.
    pub ip: String,
    /// Port as registered; any 32-bit number.
    pub port: i32,
    /// Cluster inside the service.
    pub cluster: String,
}

impl InstanceKey {
    /// Nacos' text form, `ip:port:unknown:cluster`; without the port when it is not positive.
    pub fn datum_key(&self) -> String {
        if self.port > 0 {
            format!("{}:{}:unknown:{}", self.ip, self.port, self.cluster)
        } else {
            format!("{}:unknown:{}", self.ip, self.cluster)
        }
    }
}

/// Places of the hash table that official Nacos keeps metadata in: 0 for metadata that came as JSON and keeps its order,
/// 1 for a table that has never held anything. It says how later keys are placed, not what the instance is: two records
/// of one instance are equal whatever it says.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hashed(pub u32);

impl PartialEq for Hashed {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// One instance. Field names on the wire are Nacos' own (compat/spec/distro.md §2.2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Instance {
    /// `ip#port#cluster#group@@service`, or a number with the snowflake generator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// Address.
    pub ip: String,
    /// Port.
    pub port: i32,
    /// Weight, 0 to 10000.
    pub weight: f64,
    /// Whether beats or checks say it lives.
    pub healthy: bool,
    /// Whether it takes traffic.
    pub enabled: bool,
    /// Kept by beats (true) or by consensus (false).
    pub ephemeral: bool,
    /// Cluster inside the service.
    pub cluster_name: String,
    /// Grouped service name, `group@@service`.
    pub service_name: String,
    /// Metadata; `None` prints as `null`, which Nacos does for the metadata text `null`.
    pub metadata: Option<Metadata>,
    /// The metadata came as `k=v` to this node (or not at all): then official Nacos keeps it in a hash table, and a key
    /// that is added later takes its place there. What came as JSON keeps the order it came in.
    #[serde(skip)]
    pub hashed_metadata: Hashed,
    /// Last beat, ms since the epoch, on the clock of the node that received it.
    pub last_beat: i64,
    /// Exempt from expiry and checks; never set through the HTTP API.
    pub marked: bool,
    /// Application name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// Tenant; unused by 1.4.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
}

impl Default for Instance {
    fn default() -> Self {
        Instance {
            instance_id: None,
            ip: String::new(),
            port: 0,
            weight: 1.0,
            healthy: true,
            enabled: true,
            ephemeral: true,
            cluster_name: DEFAULT_CLUSTER.to_owned(),
            service_name: String::new(),
            metadata: Some(Metadata::new()),
            hashed_metadata: Hashed(0),
            last_beat: 0,
            marked: false,
            app: None,
            tenant: None,
        }
    }
}

impl Instance {
    /// The identity of this instance inside its service and kind.
    pub fn key(&self) -> InstanceKey {
        InstanceKey { ip: self.ip.clone(), port: self.port, cluster: self.cluster_name.clone() }
    }

    /// A metadata value.
    pub fn meta(&self, key: &str) -> Option<&str> {
        self.metadata.as_ref()?.get(key).map(String::as_str)
    }

    /// A number in metadata if it is all digits, else `default`; ms.
    pub fn meta_millis(&self, key: &str, default: i64) -> i64 {
        self.meta(key)
            .filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    }
}
