//! Reading what a node holds, with as few questions as possible.
//!
//! `GET distro/datums` gives every ephemeral list of a node in one answer, but shows the store only; what clients are
//! served comes from the registry, and the only listing of it that shows true health for many services at once is
//! `GET catalog/services?withInstances=true` (`compat/spec/naming-api.md` §10.5): one question per namespace and page.
//! Both are answered from the asked node's own memory.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::checksum;
use super::content::{Datum, InstanceKey, Metadata, NodeContent, Registered, Served, ServiceKey, Stored};
use super::members::{self, Member};
use crate::client::wire::{self, Limits, Request};

/// Services per page.
const PAGE: usize = 500;

/// Pages of one namespace that are read at most; together with [`PAGE`] half a million services.
const PAGES_MAX: usize = 1000;

/// Bounds of one question. A node with 10,000 services of ten instances sends some 50 MB of lists.
const LIMITS: Limits = Limits { time: Duration::from_secs(20), head: 64 * 1024, body: 128 << 20 };

/// Prefix of the keys of ephemeral lists (`compat/spec/distro.md` §2.1).
const KEY_PREFIX: &str = "com.alibaba.nacos.naming.iplist.ephemeral.";

/// What is to be read.
#[derive(Debug, Clone)]
pub enum Scope {
    /// Services of these namespaces whose grouped name contains a text.
    Named {
        /// Namespace ids.
        namespaces: Vec<String>,
        /// Part of the name; letters, digits and `-` only, because servers take it for a regular expression.
        part: String,
    },
    /// Everything.
    All,
}

impl Scope {
    fn holds(&self, key: &ServiceKey) -> bool {
        match self {
            Self::Named { namespaces, part } => namespaces.contains(&key.namespace) && key.name.contains(part),
            Self::All => true,
        }
    }
}

/// Why a node could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No answer.
    #[error(transparent)]
    Wire(#[from] wire::WireError),
    /// An answer that is no content.
    #[error("{address} answered {target} with {what}")]
    Answer {
        /// `host:port`.
        address: String,
        /// Path and query.
        target: String,
        /// What came instead.
        what: String,
    },
}

/// Where a node is asked.
#[derive(Debug, Clone)]
pub struct Source {
    /// `host:port`.
    pub address: String,
    /// Context path, normally `/nacos`.
    pub context: String,
}

impl Source {
    /// Everything within `scope`, of all sources at once so that the readings are close in time.
    ///
    /// # Errors
    /// When one of them cannot be read: what is not known does not agree.
    pub async fn read_all(sources: &[Self], scope: &Scope) -> Result<Vec<NodeContent>, ReadError> {
        let stores = try_join_all(sources.iter().map(|it| it.store(scope))).await?;
        let namespaces: Vec<String> = match scope {
            Scope::Named { namespaces, .. } => namespaces.clone(),
            Scope::All => {
                // An official node without quorum cannot say; what has instances is known from the stores all the same.
                let known = join_all(sources.iter().map(Self::namespaces)).await.into_iter().filter_map(Result::ok);
                let stored = stores.iter().flat_map(|store| store.keys().map(|key| key.namespace.clone()));
                stored.chain(known.flatten()).collect::<BTreeSet<_>>().into_iter().collect()
            }
        };
        let part = match scope {
            Scope::Named { part, .. } => part.as_str(),
            Scope::All => "",
        };
        let rest = try_join_all(sources.iter().map(|it| it.registry_and_members(&namespaces, part))).await?;
        let all = sources.iter().zip(stores).zip(rest);
        Ok(all
            .map(|((it, store), (registry, members))| NodeContent {
                address: it.address.clone(),
                store,
                registry,
                members,
            })
            .collect())
    }

    async fn registry_and_members(
        &self,
        namespaces: &[String],
        part: &str,
    ) -> Result<(BTreeMap<ServiceKey, Registered>, Vec<Member>), ReadError> {
        let mut registry = BTreeMap::new();
        for namespace in namespaces {
            registry.extend(self.registry(namespace, part).await?);
        }
        Ok((registry, self.members().await?))
    }

    async fn store(&self, scope: &Scope) -> Result<BTreeMap<ServiceKey, Datum>, ReadError> {
        let target = format!("{}/v1/ns/distro/datums", self.context);
        let body = self.get(&target).await?;
        parse_store(&body, scope).map_err(|error| self.unreadable(&target, &error))
    }

    /// What the registry shows of one namespace, of services whose grouped name contains `part`.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn registry(&self, namespace: &str, part: &str) -> Result<BTreeMap<ServiceKey, Registered>, ReadError> {
        let mut all = BTreeMap::new();
        for page in 0..PAGES_MAX {
            let target = format!(
                "{}/v1/ns/catalog/services?withInstances=true&pageNo={page}&pageSize={PAGE}&namespaceId={}\
                 &serviceNameParam={}",
                self.context,
                utf8_percent_encode(namespace, NON_ALPHANUMERIC),
                utf8_percent_encode(part, NON_ALPHANUMERIC)
            );
            let body = self.get(&target).await?;
            let services = parse_registry(&body, namespace).map_err(|error| self.unreadable(&target, &error))?;
            let (count, known) = (services.len(), all.len());
            all.extend(services);
            // A server that ignores the page number would send the same for ever.
            if count < PAGE || all.len() == known {
                break;
            }
        }
        Ok(all)
    }

    /// The members the node knows.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn members(&self) -> Result<Vec<Member>, ReadError> {
        let target = format!("{}/v1/core/cluster/nodes", self.context);
        let body = self.get(&target).await?;
        members::parse(&body).map_err(|error| self.unreadable(&target, &error))
    }

    async fn namespaces(&self) -> Result<Vec<String>, ReadError> {
        #[derive(Deserialize)]
        struct Answer {
            data: Vec<Entry>,
        }
        #[derive(Deserialize)]
        struct Entry {
            #[serde(default)]
            namespace: String,
        }
        let target = format!("{}/v1/console/namespaces", self.context);
        let body = self.get(&target).await?;
        let answer: Answer = serde_json::from_slice(&body).map_err(|error| self.unreadable(&target, &error))?;
        // The console shows the namespace `public` with an empty id.
        let id = |it: Entry| if it.namespace.is_empty() { "public".to_owned() } else { it.namespace };
        Ok(answer.data.into_iter().map(id).collect())
    }

    async fn get(&self, target: &str) -> Result<Vec<u8>, ReadError> {
        let request = Request { method: "GET".to_owned(), target: target.as_bytes().to_vec(), ..Request::default() };
        let answer = wire::exchange(&self.address, &request, &LIMITS).await?;
        if answer.status == 200 {
            return Ok(answer.body);
        }
        let text: String = String::from_utf8_lossy(&answer.body).chars().take(200).collect();
        Err(self.unexpected(target, format!("status {}: {text}", answer.status)))
    }

    fn unreadable(&self, target: &str, error: &serde_json::Error) -> ReadError {
        self.unexpected(target, format!("something unreadable: {error}"))
    }

    fn unexpected(&self, target: &str, what: String) -> ReadError {
        ReadError::Answer { address: self.address.clone(), target: target.to_owned(), what }
    }
}

/// Values may be null, and a map as a whole too.
type WireMetadata = Option<BTreeMap<String, Option<String>>>;

fn metadata(wire: WireMetadata) -> Metadata {
    wire.unwrap_or_default().into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect()
}

/// The lists of `GET distro/datums` within `scope`; only those are read in full.
///
/// # Errors
/// When it is no map of lists.
pub fn parse_store(body: &[u8], scope: &Scope) -> Result<BTreeMap<ServiceKey, Datum>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Entry {
        value: List,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct List {
        instance_list: Vec<Item>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Item {
        instance_id: Option<String>,
        ip: Option<String>,
        port: i64,
        weight: f64,
        healthy: bool,
        enabled: bool,
        ephemeral: bool,
        cluster_name: Option<String>,
        metadata: WireMetadata,
        app: Option<String>,
    }
    impl Default for Item {
        /// What a server assumes for what is missing (`compat/spec/distro.md` §2.2).
        fn default() -> Self {
            let (instance_id, ip, cluster_name, metadata, app) = (None, None, None, None, None);
            let (port, weight, healthy, enabled, ephemeral) = (0, 1.0, true, true, true);
            Self { instance_id, ip, port, weight, healthy, enabled, ephemeral, cluster_name, metadata, app }
        }
    }
    let raw: BTreeMap<String, &RawValue> = serde_json::from_slice(body)?;
    let mut store = BTreeMap::new();
    for (key, value) in raw {
        let Some((namespace, name)) = key.strip_prefix(KEY_PREFIX).and_then(|it| it.split_once("##")) else { continue };
        let key = ServiceKey { namespace: namespace.to_owned(), name: name.to_owned() };
        if !scope.holds(&key) {
            continue;
        }
        let list = serde_json::from_str::<Entry>(value.get())?.value.instance_list;
        let mut whole = Vec::with_capacity(list.len());
        for it in list {
            let cluster = it.cluster_name.unwrap_or_else(|| "DEFAULT".to_owned());
            let key = InstanceKey { ip: it.ip.unwrap_or_default(), port: it.port, cluster };
            let stored = Stored {
                weight: it.weight,
                enabled: it.enabled,
                healthy: it.healthy,
                ephemeral: it.ephemeral,
                metadata: metadata(it.metadata),
                app: it.app,
                id: it.instance_id.unwrap_or_default(),
            };
            whole.push((key, stored));
        }
        let checksum = checksum::of_instances(whole.iter().map(|(key, it)| (key, it)));
        let entries = whole.len();
        let instances: BTreeMap<_, _> = whole.into_iter().collect();
        store.insert(key, Datum { repeated: entries - instances.len(), instances, checksum });
    }
    Ok(store)
}

/// One page of `GET catalog/services?withInstances=true`.
///
/// # Errors
/// When it is no list of services.
pub fn parse_registry(body: &[u8], namespace: &str) -> Result<BTreeMap<ServiceKey, Registered>, serde_json::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Entry {
        service_name: String,
        group_name: String,
        #[serde(default)]
        cluster_map: BTreeMap<String, Hosts>,
        #[serde(default)]
        metadata: WireMetadata,
    }
    #[derive(Deserialize)]
    struct Hosts {
        #[serde(default)]
        hosts: Vec<Host>,
    }
    #[derive(Deserialize)]
    struct Host {
        #[serde(default)]
        ip: Option<String>,
        port: i64,
        weight: f64,
        valid: bool,
        enabled: bool,
        #[serde(default)]
        metadata: WireMetadata,
    }
    let entries: Vec<Entry> = serde_json::from_slice(body)?;
    let mut registry = BTreeMap::new();
    for entry in entries {
        let name = format!("{}@@{}", entry.group_name, entry.service_name);
        let mut service = Registered { metadata: metadata(entry.metadata), ..Registered::default() };
        for (cluster, hosts) in entry.cluster_map {
            for it in hosts.hosts {
                let key = InstanceKey { ip: it.ip.unwrap_or_default(), port: it.port, cluster: cluster.clone() };
                let (weight, enabled, healthy) = (it.weight, it.enabled, it.valid);
                service.instances.insert(key, Served { weight, enabled, healthy, metadata: metadata(it.metadata) });
            }
        }
        registry.insert(ServiceKey { namespace: namespace.to_owned(), name }, service);
    }
    Ok(registry)
}
