//! A run of official clients, from targets to verdicts.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::join_all;

use super::install::{self, Installed};
use super::judge::{self, Unable, Visit};
use super::pairs::{Pair, pairs};
use super::program::{self, Errand};
use super::sdk::Sdk;
use super::toolchain;
use super::witness::{self, Control, PushState};
use crate::compare::record::described;
use crate::conformance::runner;
use crate::conformance::session::Outcome as Verdicts;
use crate::guard::Guard;
use crate::results::{Outcome, Skipped};
use crate::target::{Cluster, LaunchOptions, Node, NodeKind, TargetSpec, launch};

/// Official nodes switch within 5 s of knowing every member's version.
const SWITCH_LIMIT: Duration = Duration::from_secs(30);

/// Context path that every client takes for granted.
const CONTEXT: &str = "/nacos";

/// Group of the programs' services.
const GROUP: &str = "clients";

/// What a run without real Nacos is held to.
const OWN_WORD: &str = "what the clients' script wants";

/// What is run where.
#[derive(Debug)]
pub struct ClientSession {
    /// The clients.
    pub sdks: Vec<Sdk>,
    /// The clusters.
    pub targets: Vec<TargetSpec>,
    /// Unique to the run: part of every namespace and service, so that a server that keeps running can be judged again.
    pub stamp: String,
    /// How servers are launched.
    pub launch: LaunchOptions,
}

/// A client that can be run, or why it cannot.
type Ready = (Sdk, Result<Installed, Unable>);

impl ClientSession {
    /// Installs the clients, runs them at every target, and judges what they saw. Targets of one node are started and
    /// visited together, larger ones one after the other.
    ///
    /// # Errors
    /// When the harness itself cannot work. A cluster that cannot be started and a client that cannot be run are part of
    /// the result.
    pub async fn run(&self) -> Result<Verdicts> {
        let guard = Arc::new(Guard::start(self.launch.guard_program.as_deref())?);
        let dir = tempfile::Builder::new().prefix("tandem-clients-").tempdir().context("cannot create a directory")?;
        guard.dir(dir.path());
        let clients = self.clients(&guard).await;
        let stage = Stage { session: self, clients: &clients, guard: &guard, dir: dir.path() };
        let mut verdicts = Verdicts::default();
        let mut visits = Vec::new();
        let (small, large): (Vec<_>, Vec<_>) = self.targets.iter().partition(|target| target.node_count() == 1);
        let groups = [small].into_iter().chain(large.into_iter().map(|target| vec![target]));
        for (number, group) in groups.enumerate() {
            let done = group
                .into_iter()
                .enumerate()
                .map(|(position, target)| stage.at(target, format!("{number}-{position}")));
            for visited in join_all(done).await {
                visits.extend(visited.visits);
                verdicts.targets.extend(visited.target);
                verdicts.skipped.extend(visited.skipped);
            }
        }
        let reference = visits.iter().find(|it| it.is_reference && it.ran.is_ok()).map(|it| it.target.clone());
        let (cases, runs) = judge::judge(&visits);
        verdicts.conformance = runner::summarised(reference.unwrap_or_else(|| OWN_WORD.to_owned()), cases);
        verdicts.clients = runs;
        Ok(verdicts)
    }

    async fn clients(&self, guard: &Arc<Guard>) -> Vec<Ready> {
        let mut clients = Vec::new();
        for &sdk in &self.sdks {
            let (guard, progress) = (guard.clone(), self.launch.progress.clone());
            progress.status(&format!("the {sdk} client"));
            let work = move || {
                let runtime = toolchain::find(sdk).map_err(|reason| Unable { outcome: Outcome::Skip, reason })?;
                install::install(sdk, runtime, &guard, progress.as_ref()).map_err(|error| Unable {
                    outcome: Outcome::Error,
                    reason: format!("the {sdk} client could not be installed: {error:#}"),
                })
            };
            let ready = tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
                Err(Unable {
                    outcome: Outcome::Error,
                    reason: format!("the {sdk} client could not be installed: {error}"),
                })
            });
            clients.push((sdk, ready));
        }
        clients
    }
}

/// What all visits share.
struct Stage<'a> {
    session: &'a ClientSession,
    clients: &'a [Ready],
    guard: &'a Guard,
    dir: &'a Path,
}

/// What became of one target.
#[derive(Default)]
struct Visited {
    visits: Vec<Visit>,
    target: Option<crate::results::Target>,
    skipped: Option<Skipped>,
}

impl Stage<'_> {
    /// Starts one target, visits it along all its pairs and gives it back.
    async fn at(&self, target: &TargetSpec, folder: String) -> Visited {
        match self.started(target, &folder).await {
            Ok(visited) => visited,
            Err(error) => {
                let what = format!("official clients at {target}");
                // What follows the first line is log.
                let reason = format!("{error:#}").lines().next().unwrap_or_default().to_owned();
                let skipped = Some(Skipped { what, reason });
                Visited { skipped, ..Visited::default() }
            }
        }
    }

    async fn started(&self, target: &TargetSpec, folder: &str) -> Result<Visited> {
        if self.clients.iter().all(|(_, ready)| ready.is_err()) {
            // No cluster is started for nobody.
            let pair = Pair { write: 0, subscribe: 0, suffix: String::new(), direction: None };
            let visits = self.clients.iter().filter_map(|(sdk, ready)| {
                Some(self.unable(*sdk, &target.to_string(), false, &pair, ready.as_ref().err()?.clone()))
            });
            return Ok(Visited { visits: visits.collect(), ..Visited::default() });
        }
        let cluster = launch(target, &self.session.launch).await?;
        cluster.wait_consensus_switch(SWITCH_LIMIT).await?;
        let mut visits = Vec::new();
        for (number, pair) in pairs(&cluster.nodes).iter().enumerate() {
            visits.extend(self.along(&cluster, pair, &format!("{folder}-{number}")).await?);
        }
        let target = Some(described(&cluster));
        cluster.shutdown().await?;
        Ok(Visited { visits, target, skipped: None })
    }

    /// All clients at one pair of nodes, at the same time.
    async fn along(&self, cluster: &Cluster, pair: &Pair, folder: &str) -> Result<Vec<Visit>> {
        let (write, subscribe) = (cluster.node(pair.write)?, cluster.node(pair.subscribe)?);
        let way = pair.direction.as_ref().map(|it| format!(", {it}")).unwrap_or_default();
        self.session.launch.progress.status(&format!(
            "{}: {} official clients{way}",
            cluster.target,
            self.clients.len()
        ));
        let stamp = format!("{}-{folder}", self.session.stamp);
        let control = Control::begin(write, &format!("clients-control-{stamp}")).await;
        let before = PushState::read(subscribe).await;
        let mut visits =
            join_all(self.clients.iter().map(|ready| self.visit(cluster, pair, ready, &stamp, (write, subscribe))))
                .await;
        let control = match control {
            Ok(control) => control.removed().await,
            Err(error) => Err(error),
        };
        let acks = match before {
            Ok(before) => before.acks_since(subscribe).await,
            Err(error) => Err(error),
        };
        for visit in &mut visits {
            (visit.control, visit.acks) = (control.clone(), acks.clone());
        }
        Ok(visits)
    }

    async fn visit(
        &self,
        cluster: &Cluster,
        pair: &Pair,
        (sdk, ready): &Ready,
        stamp: &str,
        (write, subscribe): (&Node, &Node),
    ) -> Visit {
        let is_reference = cluster.nodes.iter().all(|node| node.kind == NodeKind::Nacos);
        let unable = |unable| self.unable(*sdk, &cluster.target, is_reference, pair, unable);
        let installed = match ready {
            Ok(installed) => installed,
            Err(why) => return unable(why.clone()),
        };
        if [write, subscribe].iter().any(|node| node.context_path != CONTEXT) {
            let reason = format!("official clients take the context path {CONTEXT} for granted");
            return unable(Unable { outcome: Outcome::Skip, reason });
        }
        let (namespace, service) = (format!("clients-{stamp}-{sdk}"), format!("client-{sdk}"));
        let errand = Errand {
            write: &write.address,
            subscribe: &subscribe.address,
            namespace: &namespace,
            service: &service,
            group: GROUP,
        };
        let dir = self.dir.join(format!("{stamp}-{sdk}"));
        match program::run(installed, &errand, &dir, self.guard).await {
            Err(error) => unable(Unable { outcome: Outcome::Error, reason: format!("{error:#}") }),
            Ok(ran) => Visit {
                runtime: installed.runtime.clone(),
                left: witness::left(cluster, &namespace, GROUP, &service).await,
                ran: Ok(ran),
                ..self.unable(*sdk, &cluster.target, is_reference, pair, NOT_RUN)
            },
        }
    }

    fn unable(&self, sdk: Sdk, target: &str, is_reference: bool, pair: &Pair, why: Unable) -> Visit {
        Visit {
            sdk,
            runtime: String::new(),
            target: target.to_owned(),
            is_reference,
            pair: pair.clone(),
            ran: Err(why),
            control: Ok(()),
            acks: Err("nobody looked".to_owned()),
            left: Ok(Vec::new()),
        }
    }
}

const NOT_RUN: Unable = Unable { outcome: Outcome::Error, reason: String::new() };
