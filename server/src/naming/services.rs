//! Writes to services (compat/spec/naming-api.md §9.1, §9.3, §9.4).

use super::changes::Change;
use super::consistency::Consistency;
use super::error::NamingError;
use super::instance::Metadata;
use super::instances::new_service;
use super::registry::Registry;
use super::service::{Selector, ServiceId, ServiceState};
use super::validate;
use crate::clock::now_ms;

/// What a service is set to.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Share of healthy instances at or below which all are shown as healthy; any number.
    pub protect_threshold: f32,
    /// Metadata.
    pub metadata: Metadata,
    /// Selector.
    pub selector: Selector,
}

const CHANGED: Change =
    Change { persistent: true, ephemeral_local: false, ephemeral_peer: false, health: false, removed: false };

/// Creates a service that is not known.
pub fn create(
    registry: &Registry,
    consistency: &Consistency,
    id: &ServiceId,
    settings: Settings,
) -> Result<(), NamingError> {
    if registry.get(id).is_some() {
        return Err(NamingError::illegal(format!("specified service already exists, serviceName : {}", id.name)));
    }
    validate::service_name_syntax(&id.name)?;
    consistency.admit("a service")?;
    set(registry, id, settings, true);
    Ok(())
}

/// Changes a known service. Everything was validated before, so that a refused update changes nothing, unlike in
/// official Nacos (compat/DIFFERENCES.md).
pub fn update(
    registry: &Registry,
    consistency: &Consistency,
    id: &ServiceId,
    settings: Settings,
) -> Result<(), NamingError> {
    consistency.admit("a service")?;
    set(registry, id, settings, false);
    Ok(())
}

/// A service that begins as a record keeps its clusters in the order they came in.
fn set(registry: &Registry, id: &ServiceId, settings: Settings, linked_clusters: bool) {
    registry.upsert(
        id,
        || ServiceState { linked_clusters, ..new_service(id) },
        |state| {
            state.protect_threshold = settings.protect_threshold;
            state.metadata = settings.metadata;
            state.selector = settings.selector;
            state.declared = true;
            state.recorded_clusters = state.clusters.len();
            state.last_modified = now_ms();
            ((), CHANGED)
        },
    );
}

/// Removes a service, with its instances: official Nacos does not mind them.
pub fn delete(registry: &Registry, consistency: &Consistency, id: &ServiceId) -> Result<(), NamingError> {
    if registry.get(id).is_none() {
        return Err(NamingError::illegal(format!("specified service not exist, serviceName : {}", id.name)));
    }
    consistency.admit("removing a service")?;
    registry.remove(id);
    Ok(())
}
