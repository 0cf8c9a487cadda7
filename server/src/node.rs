//! The one place that knows every part of a node and wires them together.

use std::sync::Arc;
use std::time::Duration;

use crate::cluster::client;
use crate::cluster::leave::Departures;
use crate::cluster::lookup::Lookup;
use crate::cluster::members::Members;
use crate::cluster::reporter::Reporter;
use crate::cluster::status::Status;
use crate::distro::Distro;
use crate::distro::peer_client::PeerClient;
use crate::naming::registry::Registry;
use crate::settings::Settings;
use crate::tasks::Tasks;
use crate::telemetry::metrics;

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
    /// Where the member list comes from.
    pub lookup: Lookup,
    /// Departures the others were told of.
    pub departures: Departures,
    /// Whether naming serves.
    pub status: Arc<Status>,
    /// Calls to other members; clones share its connections.
    pub client: reqwest::Client,
    /// Replication of ephemeral instances.
    pub distro: Arc<Distro>,
    /// Background work.
    pub tasks: Tasks,
}

impl Node {
    /// A node with these settings; nothing runs yet.
    pub fn new(settings: Settings) -> Arc<Self> {
        let members = Arc::new(Members::new(&settings));
        let client = client::new(&settings);
        let tasks = Tasks::default();
        let registry = Arc::new(Registry::new());
        let peer_client = PeerClient::new(members.self_address(), &settings.context_path, settings.identity.as_ref());
        let distro = Distro::new(
            Arc::clone(&registry),
            Arc::clone(&members),
            Arc::new(peer_client),
            settings.distro.clone(),
            Box::new(|| true),
        );
        Arc::new(Node {
            registry,
            lookup: Lookup::new(&settings, Arc::clone(&members), client.clone(), tasks.clone()),
            departures: Departures::default(),
            status: Arc::new(Status::new(settings.naming.data_warmup && !settings.standalone)),
            distro,
            members,
            client,
            tasks,
            settings,
        })
    }

    /// Starts the background work; the listener must be bound already, since peers answer at once.
    ///
    /// # Errors
    /// One sentence, when the node cannot take part in its cluster.
    pub async fn start(&self) -> anyhow::Result<()> {
        self.lookup.start().await?;
        self.distro.start(&self.tasks, Arc::clone(&self.status)).await;
        if !self.settings.standalone {
            let context_path = &self.settings.context_path;
            let reporter =
                Reporter::new(Arc::clone(&self.members), self.client.clone(), context_path, self.tasks.clone());
            self.tasks.spawn("reporter", reporter.run());
        }
        self.tasks.spawn("metrics upkeep", metrics::upkeep());
        self.status.serves();
        Ok(())
    }

    /// Stops the background work; call it when nothing is served any more.
    pub async fn stop(&self) {
        self.tasks.stop(STOP_MAX).await;
    }
}
