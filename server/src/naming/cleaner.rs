//! Removes services that stay empty (compat/spec/naming-api.md §16).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::registry::Registry;
use super::service::ServiceId;

/// A service goes on the run after this many found it empty.
const EMPTY_RUNS: u32 = 4;

/// When to clean; the official keys are `nacos.naming.empty-service.*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanSettings {
    /// `auto-clean`.
    pub enabled: bool,
    /// `clean.initial-delay-ms`.
    pub initial_delay: Duration,
    /// `clean.period-time-ms`.
    pub period: Duration,
}

impl CleanSettings {
    /// What the shipped `application.properties` says.
    pub const SHIPPED: CleanSettings =
        CleanSettings { enabled: true, initial_delay: Duration::from_secs(50), period: Duration::from_secs(30) };
}

impl Default for CleanSettings {
    /// What holds when the properties say nothing.
    fn default() -> Self {
        CleanSettings { enabled: false, initial_delay: Duration::from_secs(60), period: Duration::from_secs(20) }
    }
}

/// How often each service was found empty in a row.
#[derive(Debug, Default)]
pub struct Cleaner {
    empty_runs: HashMap<ServiceId, u32>,
}

impl Cleaner {
    /// One run over the services this node is responsible for; tells what was removed.
    pub fn run(&mut self, registry: &Registry, responsible: impl Fn(&str) -> bool) -> Vec<ServiceId> {
        let mut removed = Vec::new();
        let mut still_empty = HashMap::new();
        for service in registry.services() {
            let id = service.id();
            let empty = {
                let state = service.read();
                state.ephemeral.is_empty() && state.persistent.is_empty()
            };
            if !empty || !responsible(&id.name) {
                continue;
            }
            let runs = self.empty_runs.get(id).copied().unwrap_or(0);
            let gone = runs >= EMPTY_RUNS
                && registry.remove_if(id, |state| state.ephemeral.is_empty() && state.persistent.is_empty()).is_some();
            if gone {
                removed.push(id.clone());
            } else {
                still_empty.insert(id.clone(), runs + 1);
            }
        }
        self.empty_runs = still_empty;
        removed
    }
}

/// Cleans until dropped; `removed` is told of every service that went.
pub async fn run(
    registry: Arc<Registry>,
    settings: CleanSettings,
    responsible: impl Fn(&str) -> bool,
    removed: impl Fn(&ServiceId),
) {
    if !settings.enabled {
        return;
    }
    let mut cleaner = Cleaner::default();
    tokio::time::sleep(settings.initial_delay).await;
    loop {
        for id in cleaner.run(&registry, &responsible) {
            tracing::info!(namespace = %id.namespace, service = %id.name, "removed a service that stayed empty");
            removed(&id);
        }
        tokio::time::sleep(settings.period).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::naming::service::ServiceState;

    #[test]
    fn the_fifth_run_removes() {
        let registry = Registry::new();
        let id = ServiceId::new("public", "g@@s");
        registry.get_or_create(&id, || ServiceState::new("g"));
        let mut cleaner = Cleaner::default();
        for _ in 0..4 {
            assert!(cleaner.run(&registry, |_| true).is_empty());
        }
        assert!(cleaner.run(&registry, |_| false).is_empty());
        for _ in 0..4 {
            assert!(cleaner.run(&registry, |_| true).is_empty());
        }
        assert_eq!(cleaner.run(&registry, |_| true), [id]);
    }
}
