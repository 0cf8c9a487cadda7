//! Writes to the settings of a cluster (compat/spec/naming-api.md §10.1).

use super::changes::Change;
use super::consistency::Consistency;
use super::error::NamingError;
use super::registry::Registry;
use super::service::{Cluster, ServiceId};
use super::validate;
use crate::clock::now_ms;

/// Creates or replaces a cluster's settings in a known service. A check port of 0 is refused before anything changes:
/// official Nacos stores a record it can never read again, which in a cluster stops its consensus for good
/// (compat/DIFFERENCES.md).
pub fn update(
    registry: &Registry,
    consistency: &Consistency,
    id: &ServiceId,
    name: &str,
    mut cluster: Cluster,
) -> Result<(), NamingError> {
    let service = registry.get(id).ok_or_else(|| NamingError::invalid(format!("service not found:{}", id.name)))?;
    if cluster.check_port == 0 {
        return Err(NamingError::internal(super::json::UNREADABLE));
    }
    validate::cluster_name_syntax(name)?;
    consistency.admit("a cluster's settings")?;
    registry.update(&service, |state| {
        if let Some((at, _, known)) = state.clusters.get_full(name)
            && at < state.recorded_clusters
        {
            cluster.default_port = known.default_port;
        }
        state.clusters.insert(name.to_owned(), cluster);
        state.recorded_clusters = state.clusters.len();
        state.last_modified = now_ms();
        ((), Change { persistent: true, ..Change::default() })
    });
    Ok(())
}
