//! What stops and starts nodes: once, after all rounds, because no cluster is afterwards what it was before.

use anyhow::Result;
use tokio::time::Instant;

use super::{Parts, Runner};
use crate::experiment::persistent::change;
use crate::experiment::{restart_recovery, snapshot_load};
use crate::profile::Faults;

impl<P: Parts> Runner<'_, P> {
    /// `snapshot-load`, `leader-change`, then `restart-recovery`, as far as planned, at one target after the other.
    pub(super) async fn faults(&mut self, plan: Faults) -> Result<()> {
        let end = Instant::now() + plan.limit;
        for position in 0..self.clusters.len() {
            self.at_target(position, plan, end).await;
            self.save()?;
        }
        Ok(())
    }

    async fn at_target(&mut self, position: usize, plan: Faults, end: Instant) {
        let Self { plan: run, stop, progress, record, clusters, .. } = self;
        let Some(running) = clusters.get_mut(position) else { return };
        let cluster = &mut running.cluster;
        let target = cluster.target.clone();
        if stop.is_cancelled() {
            return;
        }
        if Instant::now() > end {
            record.skip(&format!("what stops and starts nodes at {target}"), "there was no time left for it");
            return;
        }
        let tag = format!("t{}", record.stamp());
        if let Some(plan) = plan.join {
            let context = snapshot_load::Context { tag: tag.clone(), seed: run.seed, stop, progress: *progress };
            let joined = snapshot_load::all(cluster, plan, &context, |part| record.joined(&target, part)).await;
            if let Err(error) = joined {
                record.skip(&format!("{} at {target}", snapshot_load::NAME), &format!("{error:#}"));
            }
        }
        let context = restart_recovery::Context { tag, seed: run.seed, stop, progress: *progress };
        if let Some(plan) = plan.leader {
            match change::run(cluster, plan, &context).await {
                Ok(changes) => record.leader_changed(&target, changes),
                Err(error) => record.skip(&format!("{} at {target}", change::NAME), &format!("{error:#}")),
            }
        }
        if let Some(plan) = plan.restart {
            let events = restart_recovery::run(cluster, plan, context).await;
            match events.and_then(|events| restart_recovery::keep(&events, &run.out)) {
                Ok(judgement) => record.restarted(&judgement),
                Err(error) => record.skip(&format!("{} at {target}", restart_recovery::NAME), &format!("{error:#}")),
            }
        }
    }
}
