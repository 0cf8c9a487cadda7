//! A run between members, from launch to verdicts.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::time::Instant;

use super::cast::{Cast, CastKind};
use super::foreign::Foreign;
use super::play::Stage;
use super::{case, consensus, failures, membership, traffic};
use crate::conformance::difference::Differences;
use crate::results::CaseResult;
use crate::target::spec::Kind;
use crate::target::{Cluster, LaunchOptions, NodeKind, ReferenceChoice, TargetSpec, launch};

/// Official nodes switch within 5 s of knowing every member's version.
const SWITCH_LIMIT: Duration = Duration::from_secs(30);

/// What is judged.
#[derive(Debug)]
pub struct MixedSession {
    /// The kind of the one node that is judged.
    pub subject: Kind,
    /// Version of the two real nodes, and that the subject is held to.
    pub version: String,
    /// Folder with `cases/cluster` and `DIFFERENCES.md`.
    pub compat: PathBuf,
    /// Only areas with one of these texts in their name; all by default.
    pub areas: Vec<String>,
    /// How servers are launched.
    pub launch: LaunchOptions,
}

/// The verdicts.
#[derive(Debug)]
pub struct Judged {
    /// What was judged with.
    pub reference: String,
    /// One per case and cast.
    pub cases: Vec<CaseResult>,
}

impl MixedSession {
    /// Starts the cluster, plays every area that is wanted, and gives the cluster back.
    ///
    /// # Errors
    /// When cases cannot be read, or the cluster cannot be started.
    pub async fn run(&self) -> Result<Judged> {
        let files = case::load(&self.compat.join("cases/cluster"))?;
        let wanted = |area: &str| self.areas.is_empty() || self.areas.iter().any(|text| area.contains(text.as_str()));
        let known =
            files.iter().map(|file| file.area.as_str()).chain([consensus::AREA, membership::AREA, failures::AREA]);
        let known: Vec<&str> = known.collect();
        for text in &self.areas {
            let fits = known.iter().any(|area| area.contains(text.as_str()));
            ensure!(fits, "no area has {text:?} in its name; there are {}", known.join(", "));
        }
        let differences = Differences::load(&self.compat.join("DIFFERENCES.md"))?;
        let differences = Some(&differences).filter(|_| self.subject == Kind::Tandem);
        let mut cluster = self.start().await?;
        let ready = Instant::now();
        let (real, subject) = roles(&cluster)?;
        let members: Vec<String> = cluster.nodes.iter().map(|node| node.address.clone()).collect();
        let foreign = Foreign::open().await?;
        let mut names = 0;
        let mut cases = Vec::new();
        let progress = self.launch.progress.clone();
        for file in files.iter().filter(|file| wanted(&file.area)) {
            progress.status(&format!("{}: {} cases", file.area, file.cases.len()));
            let casts = file.cast.casts(real, subject);
            let cast = |filled| Cast::new(filled, &members, &foreign.address, file, &mut names);
            let casts = casts.into_iter().map(cast).collect::<Result<Vec<_>>>()?;
            let (recorder, foreign, version) = (cluster.recorder()?, &foreign, self.version.as_str());
            let stage = Stage { cluster: &cluster, recorder, foreign, differences, version };
            cases.extend(match file.cast {
                CastKind::Traffic => traffic::watch(&stage, file, &casts, ready).await,
                CastKind::Forward | CastKind::Member => stage.play(file, &casts).await,
            });
        }
        if wanted(membership::AREA) {
            progress.status("membership: lists edited live, and a member the harness plays");
            cases.extend(membership::run(&cluster, real, subject, differences).await?);
        }
        if wanted(consensus::AREA) {
            progress.status("raft: questions to the raft port in every role");
            cases.extend(consensus::run(&mut cluster, real, subject, differences).await?);
        }
        if wanted(failures::AREA) {
            progress.status("failures: owners that are silent or dead");
            cases.extend(failures::run(&mut cluster, real, subject, differences, &mut names).await?);
        }
        cluster.shutdown().await?;
        Ok(Judged { reference: format!("nacos@{} in the same cluster", self.version), cases })
    }

    async fn start(&self) -> Result<Cluster> {
        let text = format!("2xnacos@{}+{}", self.version, self.subject);
        let spec = text.parse::<TargetSpec>().with_context(|| format!("the target {text:?}"))?;
        let mut options = LaunchOptions { record: true, ..self.launch.clone() };
        if options.reference == ReferenceChoice::Auto {
            // Containers cannot be recorded.
            options.reference = ReferenceChoice::Maven;
        }
        let cluster = launch(&spec, &options).await?;
        cluster.wait_consensus_switch(SWITCH_LIMIT).await?;
        Ok(cluster)
    }
}

/// The two real nodes and the subject.
fn roles(cluster: &Cluster) -> Result<([usize; 2], usize)> {
    let of = |real: bool| {
        let nodes = cluster.nodes.iter().enumerate();
        nodes.filter(move |(_, node)| (node.kind == NodeKind::Nacos) == real).map(|(index, _)| index)
    };
    match (of(true).collect::<Vec<_>>().as_slice(), of(false).next()) {
        ([one, two], Some(subject)) => Ok(([*one, *two], subject)),
        _ => bail!("{} does not have two real nodes and one other", cluster.target),
    }
}
