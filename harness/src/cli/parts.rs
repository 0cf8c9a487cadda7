//! What the measuring commands need from the rest of the harness, wired together: launchers, conformance, report.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::compare::{ConformancePart, Parts, Plan};
use crate::conformance::case::Topology;
use crate::conformance::session::{Session, VERSION, subject_kinds};
use crate::report;
use crate::results::Results;
use crate::target::{Cluster, LaunchOptions, TargetSpec, launch, obtain};

/// The real parts.
pub(super) struct RealParts {
    /// How targets are launched.
    pub(super) options: LaunchOptions,
    /// Folder with `cases`, `recordings` and `DIFFERENCES.md`.
    pub(super) compat: PathBuf,
}

impl RealParts {
    /// Builds and fetches everything the plan starts, the reference of its conformance included.
    pub(super) async fn obtain(&self, plan: &Plan) {
        let reference = plan.profile.conformance.map(|_| format!("nacos@{VERSION}"));
        for target in plan.targets.iter().chain(&reference) {
            // What cannot be read or had is reported where it is launched.
            if let Ok(spec) = parse(target) {
                obtain(&spec, &self.options).await;
            }
        }
    }
}

impl Parts for RealParts {
    async fn launch(&self, target: &str) -> Result<Cluster> {
        let spec = parse(target)?;
        launch(&spec, &self.options).await
    }

    async fn shut_down(&self, cluster: Cluster, logs: Option<&Path>) -> Result<()> {
        if let Some(logs) = logs {
            cluster.keep_logs(&logs.join(cluster.target.replace(['/', ':'], "_"))).await?;
        }
        cluster.shutdown().await
    }

    /// One standalone node of each kind that occurs in the targets, the real one beside them as the reference where it
    /// can be started; the recordings stand in where it cannot.
    async fn conformance(&self, targets: &[String]) -> Result<ConformancePart> {
        let specs = targets.iter().map(|it| parse(it)).collect::<Result<Vec<_>>>()?;
        let session = Session {
            subjects: subject_kinds(&specs),
            live_reference: true,
            topologies: vec![Topology::Standalone],
            version: VERSION.to_owned(),
            compat: self.compat.clone(),
            launch: self.options.clone(),
        };
        let done = session.run().await?;
        Ok(ConformancePart { conformance: Some(done.conformance), skipped: done.skipped })
    }

    fn write(&self, results: &Results, out: &Path) -> Result<()> {
        report::write_results(results, out).map(drop)
    }

    fn render(&self, results: &Results, out: &Path) -> Result<()> {
        report::render(results, out).map(drop)
    }
}

fn parse(target: &str) -> Result<TargetSpec> {
    target.parse::<TargetSpec>().with_context(|| format!("the target {target:?}"))
}
