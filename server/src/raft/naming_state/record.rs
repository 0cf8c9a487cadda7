//! Values as official members write them: a datum around a service, an instance list or the switches
//! (compat/spec/jraft.md §7, compat/spec/raft-http.md §9).

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::clock::now_ms;
use crate::distro::datum::read_list;
use crate::naming::error::NamingError;
use crate::naming::health_checker;
use crate::naming::instance::{Instance, Metadata};
use crate::naming::selector;
use crate::naming::service::{Cluster, Instances, Selector, ServiceId};
use crate::naming::switches::SwitchDomain;

const META_PREFIX: &str = "com.alibaba.nacos.naming.domains.meta.";
const LIST_PREFIX: &str = "com.alibaba.nacos.naming.iplist.";
const EPHEMERAL_PREFIX: &str = "com.alibaba.nacos.naming.iplist.ephemeral.";
const SWITCHES: &str = "00-00---000-NACOS_SWITCH_DOMAIN-000---00-00";

/// What a key is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A service's own record.
    Meta(ServiceId),
    /// A service's persistent instances.
    List(ServiceId),
    /// All switches.
    Switches,
    /// Nothing naming knows.
    Other,
}

impl Subject {
    /// What a key is about.
    pub fn of(key: &[u8]) -> Self {
        let Ok(key) = std::str::from_utf8(key) else { return Subject::Other };
        if key.ends_with(SWITCHES) {
            return Subject::Switches;
        }
        if let Some(id) = key.strip_prefix(META_PREFIX).and_then(service) {
            return Subject::Meta(id);
        }
        if !key.starts_with(EPHEMERAL_PREFIX)
            && let Some(id) = key.strip_prefix(LIST_PREFIX).and_then(service)
        {
            return Subject::List(id);
        }
        Subject::Other
    }
}

fn service(rest: &str) -> Option<ServiceId> {
    let mut parts = rest.split("##");
    let (namespace, name) = (parts.next()?, parts.next()?);
    (!namespace.is_empty() && !name.is_empty()).then(|| ServiceId::new(namespace, name))
}

/// A value that is not in the official form.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Not the JSON it should be.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// A text inside it is not.
    #[error("{0}")]
    Text(#[from] NamingError),
}

/// A service's own record: what it has apart from instances.
#[derive(Debug, Clone, PartialEq)]
pub struct Meta {
    /// Share of healthy instances at or below which all are shown as healthy.
    pub protect_threshold: f32,
    /// Service metadata.
    pub metadata: Metadata,
    /// Selector.
    pub selector: Selector,
    /// False only here: the service is then not listed.
    pub enabled: bool,
    /// Clusters.
    pub clusters: IndexMap<String, Cluster>,
}

#[derive(Deserialize)]
struct Datum<T> {
    value: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ServiceJson {
    protect_threshold: FloatJson,
    metadata: Option<IndexMap<String, Option<String>>>,
    selector: Option<Box<RawValue>>,
    enabled: Option<bool>,
    cluster_map: IndexMap<String, ClusterJson>,
}

impl Default for ServiceJson {
    fn default() -> Self {
        ServiceJson {
            protect_threshold: FloatJson::Number(0.0),
            metadata: None,
            selector: None,
            enabled: None,
            cluster_map: IndexMap::new(),
        }
    }
}

/// A float; what JSON has no number for is a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum FloatJson {
    Number(f32),
    Text(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClusterJson {
    health_checker: Option<Box<RawValue>>,
    #[serde(rename = "useIPPort4Check")]
    use_ip_port_4_check: bool,
    metadata: Option<IndexMap<String, Option<String>>>,
    #[serde(rename = "defCkport")]
    def_ck_port: i32,
    #[serde(rename = "defIPPort")]
    def_ip_port: i32,
}

impl Default for ClusterJson {
    fn default() -> Self {
        let cluster = Cluster::default();
        ClusterJson {
            health_checker: None,
            use_ip_port_4_check: cluster.use_instance_port,
            metadata: None,
            def_ck_port: cluster.check_port,
            def_ip_port: cluster.default_port,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InstancesJson {
    instance_list: Box<RawValue>,
}

/// A service's own record.
///
/// # Errors
/// What is wrong with it.
pub fn meta(value: &[u8]) -> Result<Meta, Unreadable> {
    let service = serde_json::from_slice::<Datum<ServiceJson>>(value)?.value;
    let mut clusters = IndexMap::with_capacity(service.cluster_map.len());
    for (name, cluster) in service.cluster_map {
        let settings = Cluster {
            health_checker: match cluster.health_checker {
                Some(json) => health_checker::parse(json.get())?,
                None => Cluster::default().health_checker,
            },
            check_port: cluster.def_ck_port,
            default_port: cluster.def_ip_port,
            use_instance_port: cluster.use_ip_port_4_check,
            metadata: metadata(cluster.metadata),
        };
        clusters.insert(name, settings);
    }
    Ok(Meta {
        protect_threshold: match service.protect_threshold {
            FloatJson::Number(number) => number,
            FloatJson::Text(text) => crate::java::parse_float(&text).map_err(NamingError::Illegal)?,
        },
        metadata: metadata(service.metadata),
        selector: match service.selector {
            Some(json) => selector::parse(json.get())?,
            None => Selector::None,
        },
        enabled: service.enabled.unwrap_or(true),
        clusters,
    })
}

fn metadata(map: Option<IndexMap<String, Option<String>>>) -> Metadata {
    map.unwrap_or_default().into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

/// A service's persistent instances.
///
/// # Errors
/// What is wrong with them.
pub fn list(value: &[u8]) -> Result<Instances, Unreadable> {
    let list = serde_json::from_slice::<Datum<InstancesJson>>(value)?.value.instance_list;
    // The key decides what kind they are, whatever they say themselves.
    let persistent = |instance: Instance| Instance { ephemeral: false, ..instance };
    let instances = read_list(list.get(), now_ms())?.into_iter().map(persistent);
    Ok(instances.map(|instance| (instance.key(), instance)).collect())
}

/// All switches.
///
/// # Errors
/// What is wrong with them.
pub fn switches(value: &[u8]) -> Result<SwitchDomain, Unreadable> {
    Ok(serde_json::from_slice::<Datum<SwitchDomain>>(value)?.value)
}
