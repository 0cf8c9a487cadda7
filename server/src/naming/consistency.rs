//! Whether a write that needs consensus may be taken: the one place that decides.

use std::sync::atomic::{AtomicBool, Ordering};

use super::error::NamingError;

/// Where persistent instances, services, clusters and switches are kept.
#[derive(Debug)]
pub struct Consistency {
    standalone: bool,
    warned: AtomicBool,
}

impl Consistency {
    /// Alone, or with other members.
    pub fn new(standalone: bool) -> Self {
        Consistency { standalone, warned: AtomicBool::new(false) }
    }

    /// Lets a write pass, or refuses it: a member of a cluster must not keep to itself what all members should have.
    /// `what` names the write in messages, e.g. "a persistent instance".
    pub fn admit(&self, what: &str) -> Result<(), NamingError> {
        if !self.standalone {
            return Err(NamingError::Nacos(
                500,
                format!("{what} needs consensus among the members, which this node does not take part in yet"),
            ));
        }
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                write = what,
                "persistent instances, services, clusters and switches are kept in memory and are gone after a restart"
            );
        }
        Ok(())
    }
}
