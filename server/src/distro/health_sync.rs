//! Health flags between this node and official ones (compat/spec/membership.md §6.1, compat/spec/distro.md §7.6).
//!
//! An official node never takes a health flag from an instance list, so flags have a channel of their own: each node
//! reports the checksums of the services it is responsible for, and whoever has another one asks for the flags. Tandem
//! nodes take flags from lists at once; among them this channel is for persistent instances only (`flips`).

pub(super) mod flips;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::Distro;
use super::peer_client::PeerError;
use super::per_peer::PerPeer;
use super::receive::PullError;
use crate::naming::changes::Change;
use crate::naming::service::ServiceId;

/// Time between two reports; official nodes send the first one 60 s after their start, for no need of their peers.
const PERIOD: Duration = Duration::from_secs(5);
/// Services asked about at a time.
const PULLS_MAX: usize = 8;
/// Services waiting to be asked about; further ones come again with the next report.
const WAITING_MAX: usize = 10_000;

/// The report of one namespace; sent as a JSON document inside a JSON string.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Checksums {
    namespace_id: String,
    #[serde(rename = "serviceName2Checksum")]
    service_name_2_checksum: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    #[serde(rename = "clientIP")]
    client_ip: &'a str,
    statuses: String,
}

#[derive(Debug, Deserialize)]
struct Statuses {
    ips: Vec<String>,
}

/// What is being asked for.
#[derive(Debug)]
pub(super) struct Pulls {
    waiting: Mutex<HashSet<ServiceId>>,
    slots: Semaphore,
}

impl Default for Pulls {
    fn default() -> Self {
        Pulls { waiting: Mutex::default(), slots: Semaphore::new(PULLS_MAX) }
    }
}

/// Reports until dropped.
pub(super) async fn run(distro: Arc<Distro>) {
    let mut calls = PerPeer::default();
    loop {
        tokio::time::sleep(PERIOD).await;
        report(&distro, &mut calls);
    }
}

/// One round, to official peers of every state.
fn report(distro: &Arc<Distro>, calls: &mut PerPeer) {
    let mut peers = distro.members.peers();
    peers.retain(|peer| !peer.is_tandem());
    if peers.is_empty() {
        return;
    }
    let report = |checksums| {
        let statuses = serde_json::to_string(&checksums).ok()?;
        serde_json::to_string(&Report { client_ip: distro.members.self_address(), statuses }).ok()
    };
    let reports: Arc<[String]> = checksums(distro).into_iter().filter_map(report).collect();
    for peer in peers {
        let (distro, reports, address) = (Arc::clone(distro), Arc::clone(&reports), peer.address.clone());
        calls.start(&peer.address, async move {
            for report in reports.iter() {
                if let Err(error) = distro.client.status(&address, report.clone()).await {
                    tracing::debug!(peer = address, %error, "health report not delivered");
                    // The rest would fare no better, and comes again.
                    return;
                }
            }
        });
    }
}

/// Checksums of the services that are ours and not empty, by namespace.
fn checksums(distro: &Distro) -> Vec<Checksums> {
    let mut namespaces: BTreeMap<Arc<str>, BTreeMap<String, String>> = BTreeMap::new();
    for service in distro.registry.services() {
        let id = service.id();
        if distro.responsible(&id.name) && service.read().all().next().is_some() {
            let checksum = service.view().checksum.clone();
            namespaces.entry(id.namespace.clone()).or_default().insert(id.name.to_string(), checksum);
        }
    }
    namespaces
        .into_iter()
        .map(|(namespace, services)| Checksums {
            namespace_id: namespace.to_string(),
            service_name_2_checksum: services,
        })
        .collect()
}

impl Distro {
    /// Takes the report of a member (`statuses` of `POST /service/status`) and asks, in the background, for the flags
    /// of every service that differs. False when the official answer is `fail`: the text is `null`.
    pub fn receive_status(self: &Arc<Self>, source: &str, statuses: &str) -> bool {
        let report: Option<Checksums> = match serde_json::from_str(statuses) {
            Ok(report) => report,
            Err(error) => {
                tracing::warn!(source, %error, "health report cannot be read");
                return true;
            }
        };
        let Some(report) = report else { return false };
        for (name, checksum) in report.service_name_2_checksum {
            let id = ServiceId::new(report.namespace_id.as_str(), name);
            let Some(service) = self.registry.get(&id) else { continue };
            service.refresh_checksum();
            // What we are responsible for, we know better: the views of the cluster differ.
            if self.responsible(&id.name) || service.view().checksum == checksum {
                continue;
            }
            let mut waiting = self.pulls.waiting.lock();
            if waiting.len() < WAITING_MAX && waiting.insert(id.clone()) {
                crate::tasks::spawn(pull(Arc::clone(self), source.to_owned(), id));
            }
        }
        true
    }

    /// What another node serves of a service, as health by address; nothing when it does not know the service.
    pub(super) async fn served(
        &self,
        source: &str,
        id: &ServiceId,
    ) -> Result<Option<HashMap<String, bool>>, PullError> {
        match self.client.statuses(source, &id.namespace, &id.name).await {
            Ok(body) => Ok(Some(flags(&serde_json::from_slice::<Statuses>(&body)?.ips))),
            // With 500 or 404, by the order of its class path (compat/spec/config-auth-console.md §0).
            Err(PeerError::Status(_, text)) if text.starts_with("caused: service: ") => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Sets the flags of a service as another node has them; what that one does not know is unhealthy. The cluster
    /// of an instance does not enter.
    fn apply_statuses(&self, id: &ServiceId, flags: &HashMap<String, bool>) {
        let Some(service) = self.registry.get(id) else { return };
        self.registry.update(&service, |state| {
            service.keep_checksum(state);
            let mut changed = false;
            for instance in state.persistent.values_mut().chain(state.ephemeral.values_mut()) {
                let healthy = flags.get(&format!("{}:{}", instance.ip, instance.port)).copied().unwrap_or(false);
                changed |= instance.healthy != healthy;
                instance.healthy = healthy;
            }
            ((), Change { health: changed, ..Change::default() })
        });
    }
}

async fn pull(distro: Arc<Distro>, source: String, id: ServiceId) {
    let Ok(_slot) = distro.pulls.slots.acquire().await else { return };
    distro.pulls.waiting.lock().remove(&id);
    match distro.served(&source, &id).await {
        Ok(Some(flags)) => distro.apply_statuses(&id, &flags),
        Ok(None) => {}
        Err(error) => tracing::debug!(source, service = %id.name, %error, "no health flags"),
    }
}

/// `ip:port_true` becomes `ip:port` and true.
fn flags(ips: &[String]) -> HashMap<String, bool> {
    ips.iter()
        .filter_map(|text| text.rsplit_once('_'))
        .map(|(address, healthy)| (address.to_owned(), healthy == "true"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_as_captured() {
        // compat/spec/membership.md §6.1
        let checksums = Checksums {
            namespace_id: "test2".to_owned(),
            service_name_2_checksum: [("DEFAULT_GROUP@@a".to_owned(), "b3c6".to_owned())].into(),
        };
        let statuses = serde_json::to_string(&checksums).unwrap();
        let report = serde_json::to_string(&Report { client_ip: "127.0.0.1:8848", statuses }).unwrap();
        assert_eq!(
            report,
            r#"{"clientIP":"127.0.0.1:8848","statuses":"{\"namespaceId\":\"test2\",\"serviceName2Checksum\":{\"DEFAULT_GROUP@@a\":\"b3c6\"}}"}"#
        );
    }

    #[test]
    fn flags_of_an_answer() {
        let flags = flags(&["10.0.0.1:80_true".to_owned(), "a_b:81_false".to_owned(), "odd".to_owned()]);
        assert_eq!((flags.get("10.0.0.1:80"), flags.get("a_b:81"), flags.len()), (Some(&true), Some(&false), 2));
    }
}
