//! A conformance run from targets to verdicts: starts fresh servers, asks all cases, gives the servers back.
//!
//! The reference is real Nacos started beside the subjects; where it cannot be, the recordings stand in for it and
//! the result says so.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use super::case::{CaseSet, Topology};
use super::difference::Differences;
use super::recording::Recordings;
use super::runner;
use crate::compare::record::described;
use crate::results::{CaseResult, ClientRun, Conformance, Skipped, Target};
use crate::target::spec::Kind;
use crate::target::{Cluster, LaunchOptions, Mode, NodeKind, TargetSpec, launch};

/// Version of the real server that cases were recorded from, and that targets are held to unless told otherwise.
pub const VERSION: &str = "1.4.1";

/// Official nodes switch within 5 s of knowing every member's version.
const SWITCH_LIMIT: Duration = Duration::from_secs(30);

/// What a session asks, of whom, and what it holds them to.
#[derive(Debug)]
pub struct Session {
    /// Kinds of node to judge; one server, or a cluster of three, of each is started.
    pub subjects: Vec<Kind>,
    /// Whether real Nacos is started beside them; else the recordings are the expectation.
    pub live_reference: bool,
    /// One server, a cluster of three, or both, one after the other.
    pub topologies: Vec<Topology>,
    /// Version the subjects are held to.
    pub version: String,
    /// Folder with `cases`, `recordings` and `DIFFERENCES.md`.
    pub compat: PathBuf,
    /// How servers are launched.
    pub launch: LaunchOptions,
}

/// The verdicts, and what could not be asked.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Verdicts on every case of every subject, and of the reference against its recording.
    pub conformance: Conformance,
    /// Servers that could not be started, and why.
    pub skipped: Vec<Skipped>,
    /// What was asked, the reference last.
    pub targets: Vec<Target>,
    /// Runs of official clients.
    pub clients: Vec<ClientRun>,
}

impl Session {
    /// Runs the session.
    ///
    /// # Errors
    /// When cases or recordings cannot be read. A server that cannot be started is skipped, with the reason.
    pub async fn run(&self) -> Result<Outcome> {
        let cases = CaseSet::load(&self.compat.join("cases/naming"))?;
        let recordings = Recordings::load(&self.compat.join("recordings").join(&self.version))?;
        let progress = self.launch.progress.clone();
        let judged = runner::Options {
            version: self.version.clone(),
            differences: Differences::load(&self.compat.join("DIFFERENCES.md"))?,
            // Clusters started here are asked nothing afterwards; one that somebody else runs stays whole.
            destructive: !self.subjects.iter().any(|kind| matches!(kind, Kind::Url(_))),
            progress: Some(std::sync::Arc::new(move |target: &str, done, all| {
                progress.status(&format!("{target}: {done} of {all} cases"));
            })),
            ..runner::Options::default()
        };
        let mut all = Gathered::default();
        for topology in &self.topologies {
            self.ask(*topology, &cases, &recordings, &judged, &mut all).await?;
        }
        let mut conformance = runner::conformance(None, &recordings, all.results);
        if let Some(reference) = all.reference {
            conformance.reference = reference;
        }
        conformance.informative = all.informative.into_iter().collect();
        Ok(Outcome { conformance, skipped: all.skipped, targets: all.targets, clients: Vec::new() })
    }

    async fn ask(
        &self,
        topology: Topology,
        cases: &CaseSet,
        recordings: &Recordings,
        judged: &runner::Options,
        all: &mut Gathered,
    ) -> Result<()> {
        let mut subjects = Vec::new();
        for kind in self.subjects.iter().filter(|kind| !self.is_beside_itself(kind)) {
            match self.start(kind, topology).await {
                Ok(cluster) => subjects.push(cluster),
                Err(error) => all.skip(format!("conformance of {kind} ({})", topology.name()), &error),
            }
        }
        let mut reference = None;
        if self.live_reference {
            match self.start(&Kind::Nacos(Some(self.version.clone())), topology).await {
                Ok(cluster) => reference = Some(cluster),
                Err(error) => {
                    let error = error.context("answers are compared with the recordings instead");
                    all.skip(format!("conformance against a live reference ({})", topology.name()), &error);
                }
            }
        }
        for cluster in subjects.iter().chain(&reference) {
            all.targets.push(described(cluster));
            if is_another_version(cluster, &self.version) {
                all.informative.insert(cluster.target.clone());
            }
        }
        let judged = runner::Options { informative: all.informative.clone(), ..judged.clone() };
        let asked: Vec<&Cluster> = subjects.iter().collect();
        all.results.extend(runner::run_all(cases, &asked, reference.as_ref(), recordings, &judged).await);
        if let Some(reference) = &reference {
            all.reference.get_or_insert_with(|| reference.target.clone());
        }
        for cluster in subjects.into_iter().chain(reference) {
            cluster.shutdown().await?;
        }
        Ok(())
    }

    /// Whether a subject is the reference, which is asked anyway: one of several needs no second server.
    fn is_beside_itself(&self, kind: &Kind) -> bool {
        let version = match kind {
            Kind::Nacos(version) => version.as_deref().unwrap_or(VERSION),
            _ => return false,
        };
        self.live_reference && self.subjects.len() > 1 && version == self.version
    }

    async fn start(&self, kind: &Kind, topology: Topology) -> Result<Cluster> {
        let text = match (kind, topology) {
            (Kind::Url(_), _) | (_, Topology::Standalone) => kind.to_string(),
            (_, Topology::Cluster3) => format!("3x{kind}"),
        };
        let spec = text.parse::<TargetSpec>().with_context(|| format!("the target {text:?}"))?;
        let cluster = launch(&spec, &LaunchOptions { single_mode: Mode::Standalone, ..self.launch.clone() }).await?;
        // What was recorded is how a server answers that has been up for a while.
        cluster.wait_consensus_switch(SWITCH_LIMIT).await?;
        Ok(cluster)
    }
}

#[derive(Default)]
struct Gathered {
    results: Vec<CaseResult>,
    reference: Option<String>,
    skipped: Vec<Skipped>,
    targets: Vec<Target>,
    informative: BTreeSet<String>,
}

impl Gathered {
    fn skip(&mut self, what: String, error: &anyhow::Error) {
        self.skipped.push(Skipped { what, reason: format!("{error:#}") });
    }
}

/// Real Nacos of another version than `held_to`: where it differs, Nacos changed, and nobody's server is wrong.
fn is_another_version(cluster: &Cluster, held_to: &str) -> bool {
    !cluster.nodes.is_empty()
        && cluster
            .nodes
            .iter()
            .all(|node| node.kind == NodeKind::Nacos && node.version.trim_start_matches('v') != held_to)
}

/// The kinds of node that occur in some targets and can be judged: all but the reference itself.
pub fn subject_kinds<'a>(targets: impl IntoIterator<Item = &'a TargetSpec>) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for kind in targets.into_iter().flat_map(TargetSpec::node_kinds) {
        if !matches!(kind, Kind::Nacos(_) | Kind::Url(_)) && !kinds.contains(kind) {
            kinds.push(kind.clone());
        }
    }
    kinds
}
