//! Whether naming serves: the status the traffic filter goes by (compat/spec/membership.md §7.3).

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::Notify;

/// Status of naming on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the official names")]
pub enum ServerStatus {
    Starting,
    Up,
    Down,
    Paused,
    ReadOnly,
    WriteOnly,
}

impl ServerStatus {
    /// The official name.
    pub fn as_str(self) -> &'static str {
        match self {
            ServerStatus::Starting => "STARTING",
            ServerStatus::Up => "UP",
            ServerStatus::Down => "DOWN",
            ServerStatus::Paused => "PAUSED",
            ServerStatus::ReadOnly => "READ_ONLY",
            ServerStatus::WriteOnly => "WRITE_ONLY",
        }
    }

    /// The status of an official name.
    pub fn named(name: &str) -> Option<Self> {
        use ServerStatus::{Down, Paused, ReadOnly, Starting, Up, WriteOnly};
        [Starting, Up, Down, Paused, ReadOnly, WriteOnly].into_iter().find(|status| status.as_str() == name)
    }

    /// Whether a request passes. `from_member` is a user agent that begins with `Nacos-Server`.
    pub fn admits(self, is_get: bool, from_member: bool) -> bool {
        match self {
            ServerStatus::Up => true,
            ServerStatus::ReadOnly => is_get || from_member,
            ServerStatus::WriteOnly => !is_get || from_member,
            ServerStatus::Starting | ServerStatus::Down | ServerStatus::Paused => from_member,
        }
    }
}

/// The status of one node, worked out whenever it is asked for; official nodes look every 5 s.
#[derive(Debug)]
pub struct Status {
    serving: AtomicBool,
    /// Told when `serving` is set.
    begins: Notify,
    data_ready: AtomicBool,
    consensus_ready: AtomicBool,
    overridden: RwLock<Option<ServerStatus>>,
}

impl Status {
    /// STARTING, then DOWN until [`Status::consensus_is_ready`] and, with `wait_for_data` (`nacos.naming.data.warmup`),
    /// [`Status::data_is_ready`].
    pub fn new(wait_for_data: bool) -> Self {
        Status {
            serving: AtomicBool::new(false),
            begins: Notify::new(),
            data_ready: AtomicBool::new(!wait_for_data),
            consensus_ready: AtomicBool::new(false),
            overridden: RwLock::new(None),
        }
    }

    /// The node takes requests from now on.
    pub fn serves(&self) {
        self.serving.store(true, Ordering::Release);
        self.begins.notify_waiters();
    }

    /// Waits until the node takes requests; false when it does not within `limit`.
    pub async fn wait_serving(&self, limit: Duration) -> bool {
        // Armed before the look, so that nothing set in between is missed.
        let mut begins = pin!(self.begins.notified());
        begins.as_mut().enable();
        self.serving.load(Ordering::Acquire) || tokio::time::timeout(limit, begins).await.is_ok()
    }

    /// There is a leader, and what was committed is here.
    pub fn consensus_is_ready(&self) {
        self.consensus_ready.store(true, Ordering::Release);
    }

    /// The data of a peer was loaded.
    pub fn data_is_ready(&self) {
        self.data_ready.store(true, Ordering::Release);
    }

    /// The switch `overriddenServerStatus`; absent, blank or unknown ends it. Official nodes never work their status
    /// out again after an unknown name.
    pub fn overrides(&self, name: Option<&str>) {
        *self.overridden.write() = name.and_then(ServerStatus::named);
    }

    /// The status now.
    pub fn current(&self) -> ServerStatus {
        if let Some(status) = *self.overridden.read() {
            return status;
        }
        let ready = self.data_ready.load(Ordering::Acquire) && self.consensus_ready.load(Ordering::Acquire);
        match (self.serving.load(Ordering::Acquire), ready) {
            (false, _) => ServerStatus::Starting,
            (true, false) => ServerStatus::Down,
            (true, true) => ServerStatus::Up,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admission_table() {
        // compat/spec/membership.md §7.3, M24: GET, other method, member's GET, member's other
        for (name, passes) in [
            ("UP", [true, true, true, true]),
            ("READ_ONLY", [true, false, true, true]),
            ("WRITE_ONLY", [false, true, true, true]),
            ("DOWN", [false, false, true, true]),
            ("STARTING", [false, false, true, true]),
            ("PAUSED", [false, false, true, true]),
        ] {
            let status = ServerStatus::named(name).unwrap();
            let seen = [(true, false), (false, false), (true, true), (false, true)].map(|(g, m)| status.admits(g, m));
            assert_eq!(seen, passes, "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_let_in_when_it_serves() {
        let status = Status::new(false);
        assert!(!status.wait_serving(Duration::from_secs(1)).await);
        let (served, ()) = tokio::join!(status.wait_serving(Duration::from_secs(1)), async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            status.serves();
        });
        assert!(served && status.wait_serving(Duration::ZERO).await);
    }

    #[test]
    fn worked_out_at_once() {
        let status = Status::new(true);
        assert_eq!(status.current(), ServerStatus::Starting);
        status.serves();
        assert_eq!(status.current(), ServerStatus::Down);
        status.overrides(Some("PAUSED"));
        assert_eq!(status.current(), ServerStatus::Paused);
        status.overrides(Some("nonsense"));
        assert_eq!(status.current(), ServerStatus::Down);
        status.overrides(None);
        status.data_is_ready();
        assert_eq!(status.current(), ServerStatus::Down);
        status.consensus_is_ready();
        assert_eq!(status.current(), ServerStatus::Up);
        let status = Status::new(false);
        status.consensus_is_ready();
        status.serves();
        assert_eq!(status.current(), ServerStatus::Up);
    }
}
