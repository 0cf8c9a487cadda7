//! What the measuring commands need from the rest of the harness, wired together: launchers, conformance, report.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::compare::{ConformancePart, Parts};
use crate::conformance::case::CaseSet;
use crate::conformance::difference::Differences;
use crate::conformance::recording::Recordings;
use crate::conformance::runner;
use crate::results::{Results, Skipped};
use crate::target::spec::Kind;
use crate::target::{Cluster, LaunchOptions, Mode, TargetSpec, launch};

/// Version of the real server that cases were recorded from, and that targets are held to.
const VERSION: &str = "1.4.1";

/// The real parts.
pub(super) struct RealParts {
    /// How targets are launched.
    pub(super) options: LaunchOptions,
    /// Folder with `cases`, `recordings` and `DIFFERENCES.md`.
    pub(super) compat: PathBuf,
}

impl Parts for RealParts {
    async fn launch(&self, target: &str) -> Result<Cluster> {
        launch(&parse(target)?, &self.options).await
    }

    async fn shut_down(&self, cluster: Cluster, logs: Option<&Path>) -> Result<()> {
        if let Some(logs) = logs {
            cluster.keep_logs(&logs.join(cluster.target.replace(['/', ':'], "_"))).await?;
        }
        cluster.shutdown().await
    }

    /// One standalone node of each kind that occurs in the targets, the real one as the reference where it can be
    /// started and the recordings where it cannot.
    async fn conformance(&self, targets: &[String]) -> Result<ConformancePart> {
        let cases = CaseSet::load(&self.compat.join("cases"))?;
        let recordings = Recordings::load(&self.compat.join("recordings").join(VERSION))?;
        let mut part = ConformancePart::default();
        let options = LaunchOptions { single_mode: Mode::Standalone, ..self.options.clone() };
        let mut subjects = Vec::new();
        for kind in subject_kinds(targets)? {
            match launch(&parse(&kind)?, &options).await {
                Ok(cluster) => subjects.push(cluster),
                Err(error) => part.skipped.push(skip(format!("conformance of {kind}"), &error)),
            }
        }
        let reference = match launch(&parse(&format!("nacos@{VERSION}"))?, &options).await {
            Ok(cluster) => Some(cluster),
            Err(error) => {
                let error = error.context("answers are compared with the recordings instead");
                part.skipped.push(skip("conformance against a live reference".to_owned(), &error));
                None
            }
        };
        let judged = runner::Options {
            version: VERSION.to_owned(),
            differences: Differences::load(&self.compat.join("DIFFERENCES.md"))?,
            ..runner::Options::default()
        };
        let nodes: Vec<&Cluster> = subjects.iter().collect();
        let results = runner::run_all(&cases, &nodes, reference.as_ref(), &recordings, &judged).await;
        part.conformance = Some(runner::conformance(reference.as_ref(), &recordings, results));
        for cluster in subjects.into_iter().chain(reference) {
            cluster.shutdown().await?;
        }
        Ok(part)
    }

    fn write(&self, results: &Results, out: &Path) -> Result<()> {
        std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
        let file =
            tempfile::NamedTempFile::new_in(out).with_context(|| format!("cannot write to {}", out.display()))?;
        serde_json::to_writer_pretty(&file, results).context("cannot write the results")?;
        file.persist(out.join("results.json")).context("cannot write results.json")?;
        Ok(())
    }

    fn render(&self, _results: &Results, _out: &Path) -> Result<()> {
        Ok(())
    }
}

fn parse(target: &str) -> Result<TargetSpec> {
    target.parse::<TargetSpec>().with_context(|| format!("the target {target:?}"))
}

fn skip(what: String, error: &anyhow::Error) -> Skipped {
    Skipped { what, reason: format!("{error:#}") }
}

/// One-node targets to judge: every kind that occurs, except the reference itself and servers of others.
fn subject_kinds(targets: &[String]) -> Result<Vec<String>> {
    let mut kinds = Vec::new();
    for target in targets {
        for kind in parse(target)?.node_kinds() {
            let name = kind.to_string();
            let is_subject = !matches!(kind, Kind::Nacos(_) | Kind::Url(_));
            if is_subject && !kinds.contains(&name) {
                kinds.push(name);
            }
        }
    }
    Ok(kinds)
}
