//! The one place that knows every part of a node and wires them together.

use std::sync::Arc;
use std::time::Duration;

use crate::cluster::members::Members;
use crate::distro::Distro;
use crate::distro::peer_client::PeerClient;
use crate::naming::registry::Registry;
use crate::settings::Settings;
use crate::tasks::Tasks;

/// How long background work may take to end when the node stops.
const STOP_MAX: Duration = Duration::from_secs(5);

/// A running node: handles of its parts. Parts do not know the node; controllers do.
#[derive(Debug)]
pub struct Node {
    /// What the operator said.
    pub settings: Settings,
    /// Services and instances.
    pub registry: Arc<Registry>,
    /// The cluster.
    pub members: Arc<Members>,
    /// Replication of ephemeral instances.
    pub distro: Arc<Distro>,
    /// Background work.
    pub tasks: Tasks,
}

impl Node {
    /// A node with these settings; nothing runs yet.
    pub fn new(settings: Settings) -> Arc<Self> {
        let members = Arc::new(Members::new(&settings));
        let registry = Arc::new(Registry::new());
        let client = PeerClient::new(members.self_address(), &settings.context_path, settings.identity.as_ref());
        let distro = Distro::new(
            Arc::clone(&registry),
            Arc::clone(&members),
            Arc::new(client),
            settings.distro.clone(),
            Box::new(|| true),
        );
        Arc::new(Node { registry, members, distro, tasks: Tasks::default(), settings })
    }

    /// Starts the background work; the listener must be bound already, since peers answer at once.
    ///
    /// # Errors
    /// One sentence, when the node cannot take part in its cluster.
    pub async fn start(&self) -> anyhow::Result<()> {
        self.distro.start(&self.tasks).await;
        Ok(())
    }

    /// Stops the background work; call it when nothing is served any more.
    pub async fn stop(&self) {
        self.tasks.stop(STOP_MAX).await;
    }
}
