//! Consumers the other members know: a subscription is known only to the node that was asked.

use futures::future::join_all;
use serde::{Deserialize, Serialize};

use super::Distro;

/// One consumer, with the official field names in their order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the official JSON keys")]
pub struct RemoteSubscriber {
    pub addr_str: String,
    pub agent: String,
    #[serde(default)]
    pub app: String,
    pub ip: String,
    pub namespace_id: String,
    pub service_name: String,
}

#[derive(Deserialize)]
struct Answer {
    subscribers: Vec<RemoteSubscriber>,
}

impl Distro {
    /// Consumers the other members know of the services that match; members that do not answer in time are left out.
    pub async fn remote_subscribers(&self, namespace: &str, name: &str) -> Vec<RemoteSubscriber> {
        if self.members.is_standalone() {
            return Vec::new();
        }
        let ring = self.members.ring();
        let peers = self.members.peers();
        let asked = peers.iter().filter(|peer| ring.contains(&peer.address));
        let answers = join_all(asked.map(|peer| async move {
            let body = self.client.subscribers(&peer.address, namespace, name).await;
            let answer = body
                .map_err(|error| error.to_string())
                .and_then(|body| serde_json::from_slice::<Answer>(&body).map_err(|error| error.to_string()));
            answer.map(|answer| answer.subscribers).unwrap_or_else(|error| {
                tracing::debug!(peer = peer.address, error, "consumers not learnt");
                Vec::new()
            })
        }))
        .await;
        answers.into_iter().flatten().collect()
    }
}
