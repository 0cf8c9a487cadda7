//! What official members show over HTTP of the data that consensus keeps (compat/spec/naming-api.md §9, §10, §14).
//! With a log of our own nothing needs to be read from them.

use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::clock::now_ms;
use crate::distro::datum::read_list;
use crate::distro::peer_client::{PeerClient, PeerError, encode};
use crate::naming::error::NamingError;
use crate::naming::health_checker;
use crate::naming::instance::{Instance, Metadata};
use crate::naming::selector;
use crate::naming::service::{Cluster, Instances, Selector, ServiceId, ServiceState};
use crate::naming::switches::SwitchDomain;

/// One read; members answer from memory.
const READ_TIMEOUT: Duration = Duration::from_secs(2);
/// More instances than any cluster of a service has.
const INSTANCES_MAX: usize = 1_000_000;
/// A pattern that no service name matches, so that namespaces are listed without their services.
const NO_SERVICE: &str = "~";
/// What a member says of the protocol before JRaft once it has left it.
const OLD_RAFT_STOPPED: &str = "old raft protocol already stop";

/// A read that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The member did not answer it.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// It is not in the official form.
    #[error("the answer cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// A text inside it is not.
    #[error("the answer cannot be read: {0}")]
    Text(#[from] NamingError),
}

/// What consensus keeps of one service.
#[derive(Debug, Clone, PartialEq)]
pub struct Persisted {
    /// Share of healthy instances at or below which all are shown as healthy.
    pub protect_threshold: f32,
    /// Service metadata.
    pub metadata: Metadata,
    /// Selector.
    pub selector: Selector,
    /// Clusters.
    pub clusters: IndexMap<String, Cluster>,
    /// Persistent instances.
    pub instances: Instances,
}

/// A service as a member shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// What consensus keeps of it.
    pub data: Persisted,
    /// How many ephemeral instances it has.
    pub ephemeral: usize,
}

impl Persisted {
    /// That part of a service here.
    pub fn of(state: &ServiceState) -> Self {
        Persisted {
            protect_threshold: state.protect_threshold,
            metadata: state.metadata.clone(),
            selector: state.selector.clone(),
            clusters: state.clusters.clone(),
            instances: state.persistent.clone(),
        }
    }

    /// Whether there is anything that a registration of ephemeral instances alone does not make.
    pub fn is_custom(&self) -> bool {
        self.protect_threshold != 0.0
            || !self.metadata.is_empty()
            || self.selector != Selector::None
            || !self.instances.is_empty()
            || self.clusters.values().any(|cluster| *cluster != Cluster::default())
    }

    /// Whether nothing would change by putting one in the place of the other; numbers that are none equal themselves.
    pub fn equals(&self, other: &Persisted) -> bool {
        let same = |one: &Instance, other: &Instance| {
            let no_numbers = one.weight.is_nan() && other.weight.is_nan();
            one == other
                || no_numbers && Instance { weight: 0.0, ..one.clone() } == Instance { weight: 0.0, ..other.clone() }
        };
        self.protect_threshold.to_bits() == other.protect_threshold.to_bits()
            && self.metadata == other.metadata
            && self.selector == other.selector
            && self.clusters == other.clusters
            && self.instances.len() == other.instances.len()
            && other.instances.iter().all(|(key, one)| self.instances.get(key).is_some_and(|known| same(known, one)))
    }

    /// Whether this, read from a member, shows a write that led to `other`: health and beats are not of consensus.
    pub fn shows(&self, other: &Persisted) -> bool {
        let mut shown = self.clone();
        for (key, instance) in &mut shown.instances {
            if let Some(other) = other.instances.get(key) {
                (instance.healthy, instance.last_beat) = (other.healthy, other.last_beat);
            }
        }
        // A cluster that only an ephemeral instance or a removal made need not be everywhere.
        let has_clusters = other.clusters.iter().all(|(name, cluster)| match self.clusters.get(name) {
            Some(known) => known == cluster,
            None => *cluster == Cluster::default(),
        });
        shown.clusters.clone_from(&other.clusters);
        has_clusters && shown.equals(other)
    }
}

#[derive(Deserialize)]
struct CatalogService {
    service: ServiceJson,
    clusters: Vec<ClusterJson>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServiceJson {
    protect_threshold: FloatJson,
    metadata: Metadata,
    selector: Box<RawValue>,
}

/// A float; what JSON has no number for is a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum FloatJson {
    Number(f32),
    Text(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClusterJson {
    name: String,
    health_checker: Box<RawValue>,
    #[serde(rename = "useIPPort4Check")]
    use_ip_port_4_check: bool,
    metadata: Metadata,
    #[serde(rename = "defCkport")]
    def_ck_port: i32,
    #[serde(rename = "defIPPort")]
    def_ip_port: i32,
    empty: bool,
}

#[derive(Deserialize)]
struct InstancesJson {
    list: Box<RawValue>,
}

/// One line of a listing.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    name: String,
    group_name: String,
    /// Instances of both kinds.
    pub ip_count: usize,
}

impl Row {
    /// The service it is about.
    pub fn id(&self, namespace: &str) -> ServiceId {
        ServiceId::new(namespace, format!("{}@@{}", self.group_name, self.name))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListingJson {
    service_list: Vec<Row>,
}

#[derive(Deserialize)]
struct NamesJson {
    services: IndexMap<String, Vec<String>>,
}

/// Reads from one member at a time.
#[derive(Debug, Clone)]
pub struct Official {
    client: Arc<PeerClient>,
}

impl Official {
    /// Reads with this client.
    pub fn new(client: Arc<PeerClient>) -> Self {
        Official { client }
    }

    /// What a member has of a service; `None` when it does not know it.
    ///
    /// # Errors
    /// When that could not be read.
    pub async fn service(&self, member: &str, id: &ServiceId) -> Result<Option<Shown>, ReadError> {
        let Some(catalog) = self.catalog(member, id).await? else { return Ok(None) };
        let query = service_query(id);
        let lists = catalog.clusters.iter().filter(|cluster| !cluster.empty).map(|cluster| {
            let page = format!("clusterName={}&pageNo=1&pageSize={INSTANCES_MAX}", encode(&cluster.name));
            let path = format!("/v1/ns/catalog/instances?{query}&{page}");
            async move { self.client.get(member, &path, READ_TIMEOUT).await }
        });
        let (mut instances, mut ephemeral) = (Instances::new(), 0);
        for body in try_join_all(lists).await? {
            let page: InstancesJson = serde_json::from_slice(&body)?;
            for instance in read_list(page.list.get(), now_ms())? {
                if instance.ephemeral {
                    ephemeral += 1;
                } else {
                    instances.insert(instance.key(), instance);
                }
            }
        }
        Ok(Some(Shown { data: persisted(catalog, instances)?, ephemeral }))
    }

    /// Whether a member has more of a service than ephemeral instances make; false when it does not know it.
    /// Instances are not read.
    ///
    /// # Errors
    /// When that could not be read.
    pub async fn has_settings(&self, member: &str, id: &ServiceId) -> Result<bool, ReadError> {
        let catalog = self.catalog(member, id).await?;
        let data = catalog.map(|catalog| persisted(catalog, Instances::new())).transpose()?;
        Ok(data.is_some_and(|data| data.is_custom()))
    }

    async fn catalog(&self, member: &str, id: &ServiceId) -> Result<Option<CatalogService>, ReadError> {
        let path = format!("/v1/ns/catalog/service?{}", service_query(id));
        match self.client.get(member, &path, READ_TIMEOUT).await {
            Ok(body) => Ok(Some(serde_json::from_slice(&body)?)),
            Err(PeerError::Status(_, text)) if text.starts_with("caused: service ") => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A page of a member's services in a namespace, counted from 1.
    ///
    /// # Errors
    /// When that could not be read.
    pub async fn page(&self, member: &str, namespace: &str, page: usize, size: usize) -> Result<Vec<Row>, ReadError> {
        let query = format!("namespaceId={}&pageNo={page}&pageSize={size}", encode(namespace));
        let body = self.client.get(member, &format!("/v1/ns/catalog/services?{query}"), READ_TIMEOUT).await?;
        Ok(serde_json::from_slice::<ListingJson>(&body)?.service_list)
    }

    /// The namespaces a member has services in.
    ///
    /// # Errors
    /// When that could not be read.
    pub async fn namespaces(&self, member: &str) -> Result<Vec<String>, ReadError> {
        let path = format!("/v1/ns/service/names?expr={NO_SERVICE}");
        let body = self.client.get(member, &path, READ_TIMEOUT).await?;
        Ok(serde_json::from_slice::<NamesJson>(&body)?.services.into_keys().collect())
    }

    /// A member's switches.
    ///
    /// # Errors
    /// When they could not be read.
    pub async fn switches(&self, member: &str) -> Result<SwitchDomain, ReadError> {
        let body = self.client.get(member, "/v1/ns/operator/switches", READ_TIMEOUT).await?;
        Ok(serde_json::from_slice(&body)?)
    }

    /// Whether a member has left the protocol before JRaft (compat/spec/raft-http.md §7, §10). A write to JRaft before
    /// that is applied and stays invisible there.
    ///
    /// # Errors
    /// When it did not say.
    pub async fn has_left_old_raft(&self, member: &str) -> Result<bool, PeerError> {
        match self.client.get(member, "/v1/ns/raft/leader", READ_TIMEOUT).await {
            Ok(_) => Ok(false),
            Err(PeerError::Status(_, text)) => Ok(text.contains(OLD_RAFT_STOPPED)),
            Err(error) => Err(error),
        }
    }
}

fn service_query(id: &ServiceId) -> String {
    format!("serviceName={}&namespaceId={}", encode(&id.name), encode(&id.namespace))
}

fn persisted(catalog: CatalogService, instances: Instances) -> Result<Persisted, ReadError> {
    let mut clusters = IndexMap::with_capacity(catalog.clusters.len());
    for cluster in catalog.clusters {
        let settings = Cluster {
            health_checker: health_checker::parse(cluster.health_checker.get())?,
            check_port: cluster.def_ck_port,
            default_port: cluster.def_ip_port,
            use_instance_port: cluster.use_ip_port_4_check,
            metadata: cluster.metadata,
        };
        clusters.insert(cluster.name, settings);
    }
    let service = catalog.service;
    Ok(Persisted {
        protect_threshold: match service.protect_threshold {
            FloatJson::Number(number) => number,
            FloatJson::Text(text) => crate::java::parse_float(&text).unwrap_or(0.0),
        },
        metadata: service.metadata,
        selector: selector::parse(service.selector.get())?,
        clusters,
        instances,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::naming::service::HealthChecker;

    #[test]
    fn a_service_as_real_nodes_show_it() {
        let body = r#"{"service":{"name":"decl","protectThreshold":0.3,"groupName":"DEFAULT_GROUP","selector":{"type":"label","expression":"CONSUMER.label.A=PROVIDER.label.A","labels":["A"]},"metadata":{"a":"1"}},"clusters":[{"serviceName":"DEFAULT_GROUP@@decl","name":"NO","healthChecker":{"type":"NONE"},"defaultPort":80,"defaultCheckPort":80,"useIPPort4Check":true,"metadata":{},"sitegroup":"","defCkport":83,"empty":true,"defIPPort":83}]}"#;
        let read = persisted(serde_json::from_str(body).unwrap(), Instances::new()).unwrap();
        assert!(read.is_custom());
        assert_eq!((read.protect_threshold, read.metadata.get("a").map(String::as_str)), (0.3, Some("1")));
        let cluster = read.clusters.get("NO").unwrap();
        assert_eq!((&cluster.health_checker, cluster.check_port), (&HealthChecker::None, 83));
        assert!(matches!(&read.selector, Selector::Label { labels, .. } if labels == &["A"]));
        let more = Persisted { metadata: Metadata::new(), ..read.clone() };
        assert!(read.shows(&read.clone()) && !read.shows(&more));
        assert!(!Persisted::of(&ServiceState::new("g")).is_custom());
    }

    #[test]
    fn health_and_beats_do_not_hide_a_write() {
        let instance = Instance { ip: "a".to_owned(), ephemeral: false, ..Instance::default() };
        let with = |instance: Instance| {
            let mut state = ServiceState::new("g");
            state.persistent.insert(instance.key(), instance);
            Persisted::of(&state)
        };
        let written = with(instance.clone());
        assert!(with(Instance { healthy: false, last_beat: 9, ..instance.clone() }).shows(&written));
        assert!(!with(Instance { weight: 3.0, ..instance.clone() }).shows(&written));
        let no_number = with(Instance { weight: f64::NAN, ..instance });
        assert!(no_number.equals(&no_number.clone()) && no_number.shows(&no_number) && !no_number.shows(&written));
        assert!(!Persisted::of(&ServiceState::new("g")).shows(&written));
    }
}
