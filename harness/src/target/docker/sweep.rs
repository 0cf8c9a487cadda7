//! Containers that were left behind: found by their labels, whatever became of the harness.
//!
//! Several machines, or containers of one machine, may share an engine. Whether a run is still there can be told only
//! where it ran, so containers of other places are left alone.

use std::collections::HashMap;

use testcontainers::bollard::Docker;
use testcontainers::bollard::query_parameters::{ListContainersOptionsBuilder, RemoveContainerOptionsBuilder};

use super::{LABEL, PLACE_LABEL, engine};
use crate::guard;

/// Where process ids mean the same as here: the machine and its namespace of processes.
pub(super) fn place() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{} {}", host.trim_end(), namespace.display())
}

/// Removes containers whose harness is gone.
pub(crate) async fn sweep(engine: &Docker) {
    remove_where(engine, |run| !guard::is_run_alive(run)).await;
}

/// Removes the containers of one run; for the guard process, which has no runtime.
pub(crate) fn remove_containers_of(run: &str) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async {
        if let Ok(engine) = engine().await {
            remove_where(&engine, |owner| owner == run).await;
        }
    });
}

async fn remove_where(engine: &Docker, is_due: impl Fn(&str) -> bool) {
    let ours = format!("{PLACE_LABEL}={}", place());
    let filters = HashMap::from([("label", vec![LABEL, ours.as_str()])]);
    let listing = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let containers = engine.list_containers(Some(listing)).await.unwrap_or_default();
    for container in containers {
        let run = container.labels.as_ref().and_then(|labels| labels.get(LABEL));
        if let (Some(id), Some(run)) = (&container.id, run)
            && is_due(run)
        {
            let force = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
            if let Err(error) = engine.remove_container(id, Some(force)).await {
                tracing::warn!(%error, id, "a container that was left behind cannot be removed");
            }
        }
    }
}
