//! Whether the node takes requests (compat/spec/naming-api.md §14).

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;

use super::switches::Switches;

/// How often the status is worked out anew.
const PERIOD: Duration = Duration::from_secs(5);

/// Statuses of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "named after the official constants")]
pub enum Status {
    #[default]
    Up,
    Down,
    Starting,
    Paused,
    WriteOnly,
    ReadOnly,
}

impl Status {
    /// The official constant.
    pub fn name(self) -> &'static str {
        match self {
            Status::Up => "UP",
            Status::Down => "DOWN",
            Status::Starting => "STARTING",
            Status::Paused => "PAUSED",
            Status::WriteOnly => "WRITE_ONLY",
            Status::ReadOnly => "READ_ONLY",
        }
    }

    fn of(name: &str) -> Option<Self> {
        [Status::Up, Status::Down, Status::Starting, Status::Paused, Status::WriteOnly, Status::ReadOnly]
            .into_iter()
            .find(|status| status.name() == name)
    }
}

/// The node's own status.
#[derive(Debug, Default)]
pub struct ServerStatus {
    current: RwLock<Status>,
}

impl ServerStatus {
    /// The status as last worked out.
    pub fn get(&self) -> Status {
        *self.current.read()
    }

    /// Works the status out: what the operator set, else UP. What is no status is ignored; official Nacos never works
    /// it out again after that (compat/DIFFERENCES.md).
    pub fn refresh(&self, switches: &Switches) {
        let switches = switches.get();
        let overridden = switches.overridden_server_status.as_deref().unwrap_or_default();
        *self.current.write() = Status::of(overridden).unwrap_or(Status::Up);
    }
}

/// Keeps the status until dropped.
pub async fn run(status: Arc<ServerStatus>, switches: Arc<Switches>) {
    let mut ticks = tokio::time::interval(PERIOD);
    loop {
        ticks.tick().await;
        status.refresh(&switches);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_override_does_not_freeze() {
        let (status, switches) = (ServerStatus::default(), Switches::default());
        for (set, expected) in [("DOWN", Status::Down), ("BOGUS", Status::Up), ("READ_ONLY", Status::ReadOnly)] {
            switches.change(|switches| switches.overridden_server_status = Some(set.to_owned()));
            status.refresh(&switches);
            assert_eq!(status.get(), expected);
        }
    }
}
