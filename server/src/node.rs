//! The one place that knows every part of a node and wires them together.

use std::sync::Arc;

use crate::naming::cleaner::{self, CleanSettings};
use crate::naming::consistency::Consistency;
use crate::naming::registry::Registry;
use crate::naming::server_status::{self, ServerStatus};
use crate::naming::subscribers::{PushCount, Subscribers};
use crate::naming::switches::Switches;
use crate::settings::Settings;

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
    /// Whether the node takes requests.
    pub status: Arc<ServerStatus>,
    /// Who is to be pushed.
    pub subscribers: Arc<Subscribers>,
    /// What the push did.
    pub pushes: Arc<PushCount>,
}

impl Node {
    /// A node with these settings; nothing runs yet.
    pub fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Node {
            registry: Arc::new(Registry::new()),
            consistency: Arc::new(Consistency::new(settings.standalone)),
            switches: Arc::new(Switches::default()),
            status: Arc::new(ServerStatus::default()),
            subscribers: Arc::new(Subscribers::default()),
            pushes: Arc::new(PushCount::default()),
            settings,
        })
    }

    /// What naming does by itself: keeps the status, removes services that stay empty. Runs until dropped.
    pub async fn run_naming(&self, clean: CleanSettings) {
        tokio::join!(
            server_status::run(Arc::clone(&self.status), Arc::clone(&self.switches)),
            cleaner::run(Arc::clone(&self.registry), clean, |_| true),
        );
    }
}
