//! The checksums that lists show come up to date on a timer (the official `ServiceReporter`,
//! compat/spec/naming-api.md §16.1).

use std::sync::Arc;
use std::time::Duration;

use super::registry::Registry;
use super::switches::Switches;

/// The first run, counted from the start of the node.
const FIRST: Duration = Duration::from_secs(60);
/// The shortest pause, whatever the switch says.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// Runs until dropped.
pub async fn run(registry: Arc<Registry>, switches: Arc<Switches>) {
    tokio::time::sleep(FIRST).await;
    loop {
        for service in registry.services() {
            service.refresh_checksum();
        }
        let pause = u64::try_from(switches.get().service_status_synchronization_period_millis).unwrap_or(0);
        tokio::time::sleep(Duration::from_millis(pause).max(PAUSE_MIN)).await;
    }
}
