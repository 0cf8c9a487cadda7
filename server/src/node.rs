//! The one place that knows every part of a node and wires them together.

use std::sync::Arc;

use crate::naming::registry::Registry;
use crate::settings::Settings;

/// A running node: handles of its parts. Parts do not know the node; controllers do.
#[derive(Debug)]
pub struct Node {
    /// What the operator said.
    pub settings: Settings,
    /// Services and instances.
    pub registry: Arc<Registry>,
}

impl Node {
    /// A node with these settings; nothing runs yet.
    pub fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Node { settings, registry: Arc::new(Registry::new()) })
    }
}
