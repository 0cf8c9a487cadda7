//! Flips of persistent instances, told at once.
//!
//! Their flags are in no list that Distro carries, so among Tandem nodes too they need this channel; and nobody has to
//! wait for the next round to ask for them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::{Checksums, PERIOD, Report};
use crate::distro::Distro;
use crate::naming::changes::Changes;
use crate::naming::service::ServiceId;
use crate::tasks::placed;

/// Flips within this go together.
const GRAIN: Duration = Duration::from_millis(20);

/// What a peer has not been told yet, and whether it is being told.
#[derive(Debug, Default)]
struct Owed {
    services: HashSet<ServiceId>,
    busy: bool,
}

/// Tells until dropped, of every flip from now on.
pub(in crate::distro) fn run(distro: Arc<Distro>) -> impl Future<Output = ()> {
    let changes = distro.registry.subscribe();
    tell_all(distro, changes)
}

async fn tell_all(distro: Arc<Distro>, mut changes: Changes) {
    let mut rounds = interval_at(Instant::now() + PERIOD, PERIOD);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut owed: HashMap<String, Owed> = HashMap::new();
    let mut sending: JoinSet<String> = JoinSet::new();
    loop {
        tokio::select! {
            changed = changes.next() => {
                let flipped: Vec<ServiceId> = changed
                    .into_iter()
                    .filter(|(id, change)| change.health && is_ours(&distro, id))
                    .map(|(id, _)| id)
                    .collect();
                if flipped.is_empty() {
                    continue;
                }
                for peer in distro.members.peers() {
                    owed.entry(peer.address).or_default().services.extend(flipped.iter().cloned());
                }
                tokio::time::sleep(GRAIN).await;
            }
            _ = rounds.tick() => {
                let peers = distro.members.peers();
                owed.retain(|address, owed| owed.busy || peers.iter().any(|peer| peer.address == *address));
                // Official peers get a round of all services anyway.
                let all: Vec<ServiceId> = distro.registry.services().iter().map(|one| one.id().clone()).collect();
                let ours: Vec<ServiceId> = all.into_iter().filter(|id| is_ours(&distro, id)).collect();
                for peer in peers.into_iter().filter(|peer| peer.is_tandem() && !ours.is_empty()) {
                    owed.entry(peer.address).or_default().services.extend(ours.iter().cloned());
                }
            }
            Some(told) = sending.join_next() => {
                if let Some(owed) = told.ok().and_then(|address| owed.get_mut(&address)) {
                    owed.busy = false;
                }
            }
        }
        for (address, owed) in owed.iter_mut().filter(|(_, owed)| !owed.busy && !owed.services.is_empty()) {
            owed.busy = true;
            let services = std::mem::take(&mut owed.services);
            sending.spawn(placed(tell(Arc::clone(&distro), address.clone(), services)));
        }
    }
}

/// Whether others rely on us for flags that no list carries.
fn is_ours(distro: &Distro, id: &ServiceId) -> bool {
    distro.responsible(&id.name) && distro.registry.get(id).is_some_and(|one| !one.read().persistent.is_empty())
}

/// Reports the services to one peer and tells which it was. What does not arrive comes again with the next round.
async fn tell(distro: Arc<Distro>, address: String, services: HashSet<ServiceId>) -> String {
    let mut namespaces: BTreeMap<Arc<str>, BTreeMap<String, String>> = BTreeMap::new();
    for id in services {
        if let Some(service) = distro.registry.get(&id) {
            let checksum = service.view().checksum.clone();
            namespaces.entry(id.namespace).or_default().insert(id.name.to_string(), checksum);
        }
    }
    for (namespace, services) in namespaces {
        let checksums = Checksums { namespace_id: namespace.to_string(), service_name_2_checksum: services };
        let Ok(statuses) = serde_json::to_string(&checksums) else { continue };
        let report = Report { client_ip: distro.members.self_address(), statuses };
        let Ok(body) = serde_json::to_string(&report) else { continue };
        if let Err(error) = distro.client.status(&address, body).await {
            tracing::debug!(peer = address, %error, "flips not delivered");
            break;
        }
    }
    address
}
