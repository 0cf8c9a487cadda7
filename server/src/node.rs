//! The one place that knows every part of a node and wires them together.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::clock;
use crate::cluster::client;
use crate::cluster::leave::Departures;
use crate::cluster::lookup::Lookup;
use crate::cluster::members::Members;
use crate::cluster::reporter::Reporter;
use crate::cluster::status::Status;
use crate::distro::Distro;
use crate::distro::peer_client::PeerClient;
use crate::health_check::HealthCheck;
use crate::naming::checksum_upkeep;
use crate::naming::cleaner::{self, CleanSettings};
use crate::naming::consistency::Consistency;
use crate::naming::expiry::Expiry;
use crate::naming::push::Push;
use crate::naming::registry::Registry;
use crate::naming::service::ServiceId;
use crate::naming::subscribers::{PushCount, Subscribers};
use crate::naming::switches::Switches;
use crate::raft::old_raft::OldRaft;
use crate::raft::participation::{Around, Participation};
use crate::settings::Settings;
use crate::tasks::Tasks;
use crate::telemetry::metrics;

/// How long background work may take to end when the node stops.
const STOP_MAX: Duration = Duration::from_secs(5);
/// How often status and expiry follow the switches; official nodes work their status out every 5 s.
const SWITCHES_PERIOD: Duration = Duration::from_secs(1);

/// A running node: handles of its parts. Parts do not know the node; controllers do.
#[derive(Debug)]
pub struct Node {
    /// What the operator said.
    pub settings: Settings,
    /// Services and instances.
    pub registry: Arc<Registry>,
    /// Whether a write that needs consensus may be taken.
    pub consistency: Arc<Consistency>,
    /// What operators change at run time.
    pub switches: Arc<Switches>,
    /// Who is to be pushed.
    pub subscribers: Arc<Subscribers>,
    /// What the push did.
    pub pushes: Arc<PushCount>,
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
    /// Official members that do not take part in consensus yet.
    old_raft: Arc<OldRaft>,
    /// This node's part in consensus, once it has one.
    pub raft: OnceLock<Arc<Participation>>,
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
        let switches = Arc::new(Switches::default());
        let peer_client = PeerClient::new(members.self_address(), &settings.context_path, settings.identity.as_ref());
        let peer_client = Arc::new(peer_client);
        let old_raft = Arc::new(OldRaft::new(Arc::clone(&members), Arc::clone(&peer_client)));
        let wait_for_data = settings.naming.data_warmup && !settings.standalone;
        let distro = Distro::new(
            Arc::clone(&registry),
            Arc::clone(&members),
            peer_client,
            settings.distro.clone(),
            Arc::clone(&switches),
        );
        Arc::new(Node {
            registry,
            consistency: Arc::new(Consistency::default()),
            switches,
            subscribers: Arc::new(Subscribers::default()),
            pushes: Arc::new(PushCount::default()),
            lookup: Lookup::new(&settings, Arc::clone(&members), client.clone(), tasks.clone()),
            departures: Departures::default(),
            status: Arc::new(Status::new(wait_for_data)),
            distro,
            old_raft,
            raft: OnceLock::new(),
            members,
            client,
            tasks,
            settings,
        })
    }

    /// Starts the background work, loads what the peers hold and lets clients in. Serve already while it runs: members
    /// that start together answer each other before they answer anybody else.
    ///
    /// # Errors
    /// One sentence, when the node cannot take part in its cluster.
    pub async fn start(&self) -> anyhow::Result<()> {
        self.lookup.start().await?;
        if !self.settings.standalone {
            self.start_reporter();
        }
        self.start_raft().await?;
        self.start_naming();
        self.tasks.spawn("metrics upkeep", metrics::upkeep());
        self.tasks.spawn("clock", clock::watch());
        self.distro.start(&self.tasks, Arc::clone(&self.status)).await;
        self.status.serves();
        Ok(())
    }

    /// Tells the other members of this one, and finds out how they are.
    pub(crate) fn start_reporter(&self) {
        let reporter = Reporter::new(Arc::clone(&self.members), &self.settings, self.tasks.clone());
        self.tasks.spawn("reporter", reporter.run());
    }

    async fn start_raft(&self) -> anyhow::Result<()> {
        let around = Around {
            settings: &self.settings,
            members: &self.members,
            registry: &self.registry,
            switches: &self.switches,
            old_raft: &self.old_raft,
        };
        let raft = Participation::start(around, &self.tasks).await?;
        self.consistency.join(Arc::clone(&raft.voter) as _);
        self.tasks.spawn("raft catching up", Arc::clone(&raft).catch_up(Arc::clone(&self.status)));
        if self.raft.set(raft).is_err() {
            anyhow::bail!("this node was started twice");
        }
        Ok(())
    }

    /// What naming does by itself.
    pub(crate) fn start_naming(&self) {
        let (status, switches) = (Arc::clone(&self.status), Arc::clone(&self.switches));
        self.tasks.spawn("switches", async move {
            let mut ticks = tokio::time::interval(SWITCHES_PERIOD);
            loop {
                ticks.tick().await;
                status.overrides(switches.get().overridden_server_status.as_deref());
            }
        });
        let upkeep = checksum_upkeep::run(Arc::clone(&self.registry), Arc::clone(&self.switches));
        self.tasks.spawn("checksums", upkeep);
        let distro = Arc::clone(&self.distro);
        let responsible = Box::new(move |service: &str| distro.responsible(service));
        let checks = HealthCheck::new(Arc::clone(&self.registry), responsible, Arc::clone(&self.switches));
        self.tasks.spawn("health check", checks.run());
        let push = Push::new(
            Arc::clone(&self.registry),
            Arc::clone(&self.subscribers),
            Arc::clone(&self.pushes),
            Arc::clone(&self.switches),
        );
        self.tasks.spawn("push", push.run());
        self.start_upkeep();
    }

    /// Takes away whose beats stopped, and services that stay empty.
    pub(crate) fn start_upkeep(&self) {
        let naming = &self.settings.naming;
        let distro = Arc::clone(&self.distro);
        let responsible = Box::new(move |service: &str| distro.responsible(service));
        let switches = Arc::clone(&self.switches);
        let members = Arc::clone(&self.members);
        let health_is_told = Box::new(move || members.all_stream());
        let registry = Arc::clone(&self.registry);
        let expiry = Expiry::new(registry, responsible, health_is_told, switches, naming.expire_instance);
        self.tasks.spawn("expiry", expiry.run(self.members.subscribe()));
        let clean = CleanSettings {
            enabled: naming.empty_service_auto_clean,
            initial_delay: naming.empty_service_initial_delay,
            period: naming.empty_service_period,
        };
        let distro = Arc::clone(&self.distro);
        let (tasks, raft) = (self.tasks.clone(), self.raft.get().cloned());
        let removed = move |id: &ServiceId| {
            let Some(raft) = raft.clone() else { return };
            let id = id.clone();
            tasks.spawn("removal of an empty service", async move { raft.voter.cleaned(&id).await });
        };
        let responsible = move |service: &str| distro.responsible(service);
        self.tasks.spawn("cleaner", cleaner::run(Arc::clone(&self.registry), clean, responsible, removed));
    }

    /// Stops the background work; call it when nothing is served any more.
    pub async fn stop(&self) {
        self.tasks.stop(STOP_MAX).await;
    }
}
