//! What can be measured: the target grammar and the launchers behind it.
//!
//! A [`Cluster`] owns everything that was started for it: processes, ports, directories, containers. It gives all of
//! it back when it is shut down or dropped, and its guard process does so when the harness itself is killed.
//!
//! - [`spec`]: the grammar; [`options`]: how to launch; [`launch()`]: from both to a running cluster
//! - `tandem`, `nacos`, `docker`: one launcher each; `reference` and `java` serve `nacos`
//! - `seat`, `ports`, `process`, `ready`: what every launcher shares; `reseat`: what can be changed about a node later;
//!   `hang`: starts that never end; `log_mark`: what a log has grown by

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::Signal;
use tempfile::TempDir;

mod control;
pub(crate) mod docker;
mod hang;
mod interrupt;
pub(crate) mod java;
mod launch;
mod log_mark;
pub(crate) mod nacos;
pub mod options;
mod ports;
pub(crate) mod process;
pub(crate) mod procfs;
pub mod progress;
mod ready;
pub(crate) mod reference;
mod reseat;
mod seat;
pub mod spec;
mod tandem;

pub(crate) use hang::HangWatch;
pub use interrupt::interrupted;
pub use launch::{check_versions, launch, obtain};
pub(crate) use log_mark::LogMark;
pub use options::{LaunchOptions, Mode, Network, ReferenceChoice};
pub use progress::{Progress, Silent, stderr_progress};
pub use spec::TargetSpec;

use crate::guard::Guard;
use crate::network::Fabric;
use crate::recorder::Recorder;
use ports::Ports;
use process::{CommandLine, Running};
pub(crate) use procfs::age;
use ready::Prober;

/// One running cluster of any kind.
#[derive(Debug)]
pub struct Cluster {
    /// The target as written on the command line, e.g. `3xnacos@1.4.1`.
    pub target: String,
    /// Members, in the order of the target's groups.
    pub nodes: Vec<Node>,
    /// Start of the first process until the cluster was usable on every node; zero for `url:` targets.
    pub ready: Duration,
    /// Processor seconds of each node until it was ready; empty where it cannot be read.
    pub cpu_seconds: Vec<f64>,

    /// What the members say to each other, when that was asked for.
    recorder: Option<Recorder>,
    /// What stands behind each node, same order.
    slots: Vec<Slot>,
    /// Every member's `host:port`, as members know each other.
    members: BTreeSet<String>,
    prober: Prober,
    /// Directory of the whole run; gone with the cluster.
    dir: Option<TempDir>,
    /// Keeps other runs off the ports while nodes are stopped and started.
    _ports: Option<Ports>,
    guard: Option<Arc<Guard>>,
    /// The network between the nodes, when it is the cluster's own.
    fabric: Option<Fabric>,
}

/// One member of a running cluster.
#[derive(Debug, Clone)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Version it runs, as far as known (`1.4.1`, `0.1.0`, `unknown`).
    pub version: String,
    /// How it was launched, in words.
    pub launch: String,
    /// What exactly ran: coordinates and hash, image, path.
    pub artifact: String,
    /// `host:port` of the HTTP API.
    pub address: String,
    /// Context path, normally `/nacos`.
    pub context_path: String,
    /// Process id of the server itself, when it is a process of this machine.
    pub pid: Option<u32>,
    /// Where its logs are, when it is ours.
    pub logs: Option<PathBuf>,
}

/// Kinds of node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// This project's own server.
    Tandem,
    /// Real Nacos.
    Nacos,
    /// A container of any image.
    Docker,
    /// A server that somebody else runs.
    Url,
}

/// What a node is made of.
#[derive(Debug)]
enum Slot {
    /// A child process; nothing runs between stop and start.
    Process { command: CommandLine, running: Option<Running> },
    /// A container, `None` once it is removed.
    Container(Option<Box<docker::Container>>),
    /// Nothing of ours.
    Remote,
}

impl Node {
    /// `http://host:port/nacos`, without a trailing slash.
    pub fn base_url(&self) -> String {
        format!("http://{}{}", self.address, self.context_path)
    }
}

/// Sentence for everything that needs control over a process.
const NOT_OURS: &str = "was not started by this harness, so it cannot be stopped, started or paused";

/// Whether a node is real Nacos of the JRaft generation.
fn has_jraft(node: &Node) -> bool {
    node.kind == NodeKind::Nacos && is_of_jraft(&node.version)
}

fn is_of_jraft(version: &str) -> bool {
    !matches!(version, "1.1.4" | "1.3.0")
}

impl Cluster {
    /// A cluster of servers that somebody else runs: nothing is started, checked or given back.
    pub fn of_running(target: &str, nodes: Vec<Node>) -> anyhow::Result<Self> {
        Ok(Self {
            target: target.to_owned(),
            members: nodes.iter().map(|node| node.address.clone()).collect(),
            slots: nodes.iter().map(|_| Slot::Remote).collect(),
            nodes,
            ready: Duration::ZERO,
            cpu_seconds: Vec::new(),
            recorder: None,
            prober: Prober::new()?,
            dir: None,
            _ports: None,
            guard: None,
            fabric: None,
        })
    }

    /// What the members say to each other.
    ///
    /// # Errors
    /// When the cluster was not launched with [`LaunchOptions::record`].
    pub fn recorder(&self) -> anyhow::Result<&Recorder> {
        self.recorder.as_ref().with_context(|| format!("what the members of {} say is not recorded", self.target))
    }

    /// The network between the nodes, when it is the cluster's own ([`Network::Own`]).
    pub fn fabric(&self) -> Option<&Fabric> {
        self.fabric.as_ref()
    }

    fn now_runs_as(&self, i: usize, pid: Option<u32>) {
        if let Some(recorder) = &self.recorder {
            recorder.set_process(i, pid);
        }
    }

    /// The node at a position.
    pub fn node(&self, i: usize) -> anyhow::Result<&Node> {
        self.nodes.get(i).with_context(|| format!("{} has no node {i}; it has {}", self.target, self.nodes.len()))
    }

    /// Resident memory of each node now, bytes; 0 for a node that is stopped, empty when no node is a process of this
    /// machine.
    pub fn rss_bytes(&self) -> Vec<u64> {
        self.of_processes(procfs::rss_bytes)
    }

    /// Processor seconds each node's process has used so far; 0 for a node that is stopped, empty when no node is a
    /// process of this machine.
    pub fn cpu_seconds(&self) -> Vec<f64> {
        self.of_processes(procfs::cpu_seconds)
    }

    fn of_processes<T: Default>(&self, read: impl Fn(u32) -> Option<T>) -> Vec<T> {
        if self.slots.iter().all(|slot| matches!(slot, Slot::Remote)) {
            return Vec::new();
        }
        self.nodes.iter().map(|node| node.pid.and_then(&read).unwrap_or_default()).collect()
    }

    /// Waits until the cluster is usable on every node, as at its start, and returns how long that took. Fails when a
    /// process of it ends meanwhile, or at the time limit, naming what was missing.
    pub async fn wait_ready(&mut self, limit: Duration, progress: &dyn Progress) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let mut hung = HangWatch::default();
        let interval = self.poll_interval();
        loop {
            let has_storage = self.has_official_majority();
            let checks = self.nodes.iter().map(|node| self.prober.check(node, &self.members, has_storage));
            let mut missing: Vec<String> = futures::future::join_all(checks)
                .await
                .into_iter()
                .zip(&self.nodes)
                .filter_map(|(check, node)| Some(format!("{}: {}", node.address, check.err()?)))
                .collect();
            if missing.is_empty()
                && let Some(node) = self.nodes.first().filter(|_| self.needs_persistent_probe())
                && let Err(error) = self.prober.persistent_write(node).await
            {
                missing.push(format!("{}: {error}", node.address));
            }
            if missing.is_empty() {
                return Ok(begun.elapsed());
            }
            self.check_alive().await?;
            if begun.elapsed() > limit {
                bail!("{} was not usable within {} s ({})", self.target, limit.as_secs(), missing.join("; "));
            }
            if hung.is_due(begun.elapsed()) {
                self.start_all_hung_again(&mut hung, progress).await?;
            }
            let up = self.nodes.len().saturating_sub(missing.len());
            let first = missing.first().map(String::as_str).unwrap_or_default();
            progress.status(&format!("{}: {up} of {} nodes usable ({first})", self.target, self.nodes.len()));
            tokio::time::sleep(interval).await;
        }
    }

    /// Waits until the nodes at these addresses are usable as a cluster of their own.
    async fn wait_members(
        &mut self,
        group: &BTreeSet<String>,
        limit: Duration,
        progress: &dyn Progress,
    ) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut hung = HangWatch::default();
        loop {
            let nodes = self.nodes.iter().filter(|node| group.contains(&node.address));
            let checks = futures::future::join_all(nodes.map(|node| self.prober.check(node, group, true))).await;
            let Some(missing) = checks.into_iter().find_map(Result::err) else { return Ok(()) };
            self.check_alive().await?;
            if begun.elapsed() > limit {
                bail!("the official nodes of {} were not usable within {} s ({missing})", self.target, limit.as_secs());
            }
            if hung.is_due(begun.elapsed()) {
                self.start_all_hung_again(&mut hung, progress).await?;
            }
            progress.status(&format!("{}: the official nodes first ({missing})", self.target));
            tokio::time::sleep(self.poll_interval()).await;
        }
    }

    async fn start_all_hung_again(&mut self, watch: &mut HangWatch, progress: &dyn Progress) -> anyhow::Result<()> {
        let all: Vec<usize> = (0..self.nodes.len()).collect();
        self.start_hung_again(&all, watch, progress).await
    }

    /// Looks at those real nodes among these that run and do not listen, and kills and starts again who hangs.
    pub(crate) async fn start_hung_again(
        &mut self,
        among: &[usize],
        watch: &mut HangWatch,
        progress: &dyn Progress,
    ) -> anyhow::Result<()> {
        for i in among.iter().copied() {
            let Some(node) = self.nodes.get(i).filter(|node| has_jraft(node)) else { continue };
            let output = match self.slots.get(i) {
                Some(Slot::Process { command, running: Some(running) }) => Some((running.pid(), &command.output)),
                Some(Slot::Container(Some(_))) => None,
                _ => continue,
            };
            let start = match output {
                _ if self.prober.answers(node).await => hang::Start::GoesOn,
                Some((pid, output)) => hang::look_at(pid, output).await,
                None => hang::Start::Unknown,
            };
            if watch.hangs(i, start) {
                progress.line(&format!("{} hangs in its start; it is killed and started again", node.address));
                self.kill_node(i).await?;
                self.start_node(i).await?;
            }
        }
        Ok(())
    }

    /// Puts the nodes in the order of these addresses, whatever the order was in which they were started.
    fn sort(&mut self, addresses: &[String]) {
        let mut rows: Vec<_> = self.nodes.drain(..).zip(self.slots.drain(..)).collect();
        rows.sort_by_key(|(node, _)| addresses.iter().position(|address| *address == node.address));
        (self.nodes, self.slots) = rows.into_iter().unzip();
    }

    /// Waits until no real node of the JRaft generation speaks the old raft any more. They switch some seconds after
    /// they are usable, each for itself, and until then some persistent calls are answered otherwise
    /// (`compat/spec/membership.md` §8). Other nodes need no waiting.
    pub async fn wait_consensus_switch(&self, limit: Duration) -> anyhow::Result<()> {
        let begun = Instant::now();
        for node in self.nodes.iter().filter(|node| has_jraft(node)) {
            while let Err(missing) = self.prober.left_old_raft(node).await {
                if begun.elapsed() > limit {
                    bail!("{}: {missing} after {} s", node.address, limit.as_secs());
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        Ok(())
    }

    /// Fine steps where a start takes milliseconds; a JVM on few cores must not be slowed down by questions.
    fn poll_interval(&self) -> Duration {
        let all_tandem = self.nodes.iter().all(|node| node.kind == NodeKind::Tandem);
        Duration::from_millis(if all_tandem { 20 } else { 100 })
    }

    /// Whether the group in which official nodes keep their configuration has a leader: only they take part in it, and
    /// all members count.
    fn has_official_majority(&self) -> bool {
        self.nodes.iter().filter(|node| has_jraft(node)).count() * 2 > self.members.len()
    }

    /// Real Nacos of the JRaft generation has no leader for a while after all nodes are up.
    fn needs_persistent_probe(&self) -> bool {
        self.nodes.iter().all(has_jraft)
    }

    /// Fails when a node that should run has ended, with the end of its log.
    async fn check_alive(&mut self) -> anyhow::Result<()> {
        for (slot, node) in self.slots.iter_mut().zip(&self.nodes) {
            match slot {
                Slot::Process { command, running: Some(running) } => {
                    if let Some(status) = running.ended() {
                        let said = process::tail(&command.output, 15);
                        bail!("{} at {} ended by itself ({status}):\n{said}", self.target, node.address);
                    }
                }
                Slot::Container(Some(container)) if container.ended_by_itself().await => {
                    let said = String::from_utf8_lossy(&container.output().await).into_owned();
                    bail!("the container at {} ended by itself:\n{said}", node.address);
                }
                _ => {}
            }
        }
        Ok(())
    }

    // === faults ===

    fn slot(&mut self, i: usize) -> anyhow::Result<(&mut Slot, &mut Node)> {
        match (self.slots.get_mut(i), self.nodes.get_mut(i)) {
            (Some(slot), Some(node)) => Ok((slot, node)),
            _ => bail!("{} has no node {i}", self.target),
        }
    }

    /// Kills a node with SIGKILL; its directory and port stay.
    pub async fn kill_node(&mut self, i: usize) -> anyhow::Result<()> {
        let guard = self.guard.clone();
        let (slot, node) = self.slot(i)?;
        match slot {
            Slot::Process { running, .. } => {
                if let Some(mut running) = running.take() {
                    running.kill();
                    forget(guard.as_deref(), &running);
                }
            }
            Slot::Container(Some(container)) => container.kill().await?,
            _ => bail!("{} {NOT_OURS}", node.address),
        }
        node.pid = None;
        self.now_runs_as(i, None);
        Ok(())
    }

    /// Stops a node with SIGTERM, and SIGKILL when it does not end; its directory and port stay.
    pub async fn stop_node(&mut self, i: usize) -> anyhow::Result<()> {
        let guard = self.guard.clone();
        let (slot, node) = self.slot(i)?;
        match slot {
            Slot::Process { running, .. } => {
                if let Some(mut running) = running.take() {
                    process::end_all(&mut [&mut running]).await;
                    forget(guard.as_deref(), &running);
                }
            }
            Slot::Container(Some(container)) => container.stop().await?,
            _ => bail!("{} {NOT_OURS}", node.address),
        }
        node.pid = None;
        self.now_runs_as(i, None);
        Ok(())
    }

    /// Starts a stopped or killed node with the same directory and port. Returns at once: [`Self::wait_ready`] waits.
    pub async fn start_node(&mut self, i: usize) -> anyhow::Result<()> {
        let guard = self.guard.clone();
        let (slot, node) = self.slot(i)?;
        match (slot, guard) {
            (Slot::Process { running: Some(_), .. }, _) => bail!("{} is running already", node.address),
            (Slot::Process { command, running }, Some(guard)) => {
                let started = command.spawn(&guard)?;
                node.pid = Some(started.pid());
                *running = Some(started);
            }
            (Slot::Container(Some(container)), _) => {
                container.restart().await?;
                node.pid = container.pid;
            }
            _ => bail!("{} {NOT_OURS}", node.address),
        }
        let pid = node.pid;
        self.now_runs_as(i, pid);
        Ok(())
    }

    /// Freezes a node (SIGSTOP): its sockets stay open and nothing answers.
    pub async fn pause(&mut self, i: usize) -> anyhow::Result<()> {
        let (slot, node) = self.slot(i)?;
        match slot {
            Slot::Process { running: Some(running), .. } => running.signal(Signal::STOP),
            Slot::Container(Some(container)) => container.pause().await?,
            _ => bail!("{} is not running here, so it cannot be paused", node.address),
        }
        Ok(())
    }

    /// Lets a frozen node go on (SIGCONT).
    pub async fn resume(&mut self, i: usize) -> anyhow::Result<()> {
        let (slot, node) = self.slot(i)?;
        match slot {
            Slot::Process { running: Some(running), .. } => running.signal(Signal::CONT),
            Slot::Container(Some(container)) => container.resume().await?,
            _ => bail!("{} is not running here, so it cannot be resumed", node.address),
        }
        Ok(())
    }

    // === the end ===

    /// Copies each node's configuration and logs to `dest/nodeN/`.
    pub async fn keep_logs(&self, dest: &Path) -> anyhow::Result<()> {
        for (i, (node, slot)) in self.nodes.iter().zip(&self.slots).enumerate() {
            let to = dest.join(format!("node{i}"));
            if let Slot::Container(Some(container)) = slot {
                container.keep(&to).await.with_context(|| format!("cannot keep the logs of {}", node.address))?;
            } else if let Some(home) = node.logs.as_deref().and_then(Path::parent) {
                for part in ["logs", "conf"] {
                    copy_tree(&home.join(part), &to.join(part))
                        .with_context(|| format!("cannot keep the {part} of {}", node.address))?;
                }
            }
        }
        Ok(())
    }

    /// Brings what a node has logged so far to where [`Node::logs`] says: a process writes there, a container does not.
    ///
    /// # Errors
    /// When there is no such node, or its container cannot be read.
    pub async fn bring_logs(&self, i: usize) -> anyhow::Result<()> {
        let home = self.node(i)?.logs.as_deref().and_then(Path::parent);
        match (self.slots.get(i), home) {
            (Some(Slot::Container(Some(container))), Some(home)) => container.keep(home).await,
            _ => Ok(()),
        }
    }

    /// Ends every node (SIGTERM, then SIGKILL) and removes everything that was made for the cluster.
    pub async fn shutdown(mut self) -> anyhow::Result<()> {
        process::end_all(&mut self.running()).await;
        for slot in &mut self.slots {
            if let Slot::Container(container) = slot
                && let Some(container) = container.take()
            {
                container.remove().await?;
            }
        }
        match self.dir.take() {
            Some(dir) => remove_dir(dir),
            None => Ok(()),
        }
    }

    fn running(&mut self) -> Vec<&mut Running> {
        self.slots
            .iter_mut()
            .filter_map(|slot| match slot {
                Slot::Process { running, .. } => running.as_mut(),
                _ => None,
            })
            .collect()
    }
}

impl Drop for Cluster {
    /// The same as [`Cluster::shutdown`], without a runtime; containers are the guard's to remove.
    fn drop(&mut self) {
        process::end_all_blocking(&mut self.running());
        if let Some(dir) = self.dir.take()
            && let Err(error) = remove_dir(dir)
        {
            tracing::warn!("{error:#}");
        }
    }
}

fn forget(guard: Option<&Guard>, running: &Running) {
    if let Some(guard) = guard {
        guard.forget(running.pid());
    }
}

fn remove_dir(dir: TempDir) -> anyhow::Result<()> {
    let path = dir.path().to_owned();
    dir.close().with_context(|| format!("cannot remove {}", path.display()))
}

/// Files and directories only; a tree that is not there copies as nothing, and so does what goes while it is copied: logs
/// are rolled over by whoever writes them.
fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    if !from.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let target = to.join(entry.file_name());
        let copied = if kind.is_dir() {
            copy_tree(&entry.path(), &target)
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target).map(drop)
        } else {
            Ok(())
        };
        if entry.path().exists() {
            copied?;
        }
    }
    Ok(())
}
