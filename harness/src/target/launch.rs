//! From a target and options to a running, usable cluster.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, anyhow, bail};
use http::Uri;

use super::docker::{self, Container, Contents};
use super::nacos::{self, Nacos};
use super::options::{LaunchOptions, Mode, Network, ReferenceChoice};
use super::ports::Ports;
use super::process;
use super::ready::Prober;
use super::reference::{ARTIFACTS, Artifact};
use super::seat::{DISTRIBUTION_PROPERTIES, Seat};
use super::spec::{Kind, TargetSpec};
use super::tandem::Tandem;
use super::{Cluster, Node, NodeKind, Slot, is_of_jraft};
use crate::guard::Guard;
use crate::nemesis::{self, Clocks};
use crate::network::{Endpoint, Fabric};
use crate::recorder::{Recorder, Wire};

/// Context path of everything this harness starts.
const CONTEXT_PATH: &str = "/nacos";

/// Address recorded members are known by, and the one they listen on.
const KNOWN_IP: &str = "127.0.0.2";
const LISTEN_IP: &str = "127.0.0.3";

/// Port of a URL that names none.
const HTTP_PORT: u16 = 80;

/// A kind of node that can be started on this machine.
pub(super) enum Launcher {
    Tandem(Tandem),
    Nacos(Nacos),
    Docker { image: String, contents: Contents },
}

/// Starts a cluster and waits until it is usable on every node. Whatever goes wrong, nothing of it remains; its logs
/// do when [`LaunchOptions::keep_logs`] says where.
pub async fn launch(spec: &TargetSpec, options: &LaunchOptions) -> anyhow::Result<Cluster> {
    if let [group] = spec.groups.as_slice()
        && let Kind::Url(urls) = &group.kind
    {
        return join_running(spec, urls, options).await;
    }
    let guard = Arc::new(Guard::start(options.guard_program.as_deref())?);
    let launchers = find_launchers(spec, options, &guard).await?;
    let mut cluster = prepare(spec, options, guard)?;
    let started = start(&mut cluster, spec, &launchers, options).await;
    if let Err(error) = started {
        if let Some(dest) = &options.keep_logs {
            cluster.keep_logs(dest).await.context("the logs of the failed launch cannot be kept")?;
        }
        return Err(error);
    }
    Ok(cluster)
}

/// Builds and fetches what this target is started from, so that a launch later begins at once. What cannot be had, the
/// launch reports.
pub async fn obtain(spec: &TargetSpec, options: &LaunchOptions) {
    let Ok(guard) = Guard::start(options.guard_program.as_deref()) else { return };
    if let Err(error) = find_launchers(spec, options, &Arc::new(guard)).await {
        tracing::debug!(%spec, error = format!("{error:#}"), "cannot be obtained");
    }
}

// === servers that somebody else runs ===

async fn join_running(spec: &TargetSpec, urls: &[String], options: &LaunchOptions) -> anyhow::Result<Cluster> {
    let nodes = urls.iter().map(|url| remote_node(url)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut cluster = Cluster::of_running(&spec.to_string(), nodes)?;
    cluster.wait_ready(options.ready_timeout, options.progress.as_ref()).await?;
    Ok(cluster)
}

fn remote_node(url: &str) -> anyhow::Result<Node> {
    let uri: Uri = url.parse().with_context(|| format!("{url:?} is no URL"))?;
    let host = uri.host().with_context(|| format!("{url:?} names no host"))?;
    let path = uri.path().trim_end_matches('/');
    Ok(Node {
        kind: NodeKind::Url,
        version: "unknown".to_owned(),
        launch: "already running".to_owned(),
        artifact: url.to_owned(),
        address: format!("{host}:{}", uri.port_u16().unwrap_or(HTTP_PORT)),
        context_path: if path.is_empty() { CONTEXT_PATH.to_owned() } else { path.to_owned() },
        pid: None,
        logs: None,
    })
}

// === what to start ===

/// One launcher per node, found once per kind. What is built or fetched for it comes by this machine's own network.
pub(super) async fn find_launchers(
    spec: &TargetSpec,
    options: &LaunchOptions,
    guard: &Arc<Guard>,
) -> anyhow::Result<Vec<Arc<Launcher>>> {
    let Network::Own { side, .. } = &options.network else { return find_launchers_here(spec, options, guard).await };
    if let Some(kind) = spec.node_kinds().find(|kind| !matches!(kind, Kind::Tandem | Kind::Nacos(_))) {
        bail!("{kind} cannot be put into a network of its own: that is for nodes that are processes of this machine");
    }
    if options.record {
        bail!("what members say to each other is recorded on the loopback, not in a network of their own");
    }
    let options = LaunchOptions { reference: ReferenceChoice::Maven, ..options.clone() };
    let (spec, guard) = (spec.clone(), guard.clone());
    side.outside(async move { find_launchers_here(&spec, &options, &guard).await }).await
}

async fn find_launchers_here(
    spec: &TargetSpec,
    options: &LaunchOptions,
    guard: &Arc<Guard>,
) -> anyhow::Result<Vec<Arc<Launcher>>> {
    let mut launchers = Vec::with_capacity(spec.node_count());
    for group in &spec.groups {
        let launcher = Arc::new(find_launcher(&group.kind, options, guard).await?);
        launchers.extend(std::iter::repeat_n(launcher, group.count));
    }
    Ok(launchers)
}

async fn find_launcher(kind: &Kind, options: &LaunchOptions, guard: &Arc<Guard>) -> anyhow::Result<Launcher> {
    match kind {
        Kind::Tandem => {
            let (guard, progress) = (guard.clone(), options.progress.clone());
            blocking(move || Tandem::find(&guard, progress.as_ref())).await.map(Launcher::Tandem)
        }
        Kind::Nacos(version) => find_nacos(version.clone(), options, guard).await,
        Kind::Docker(image) => {
            options.progress.status(&format!("looking for the image {image}"));
            find_image(image.clone()).await
        }
        Kind::Rnacos(_) => {
            bail!("launching {kind} is not supported yet; start it yourself and use url:http://host:port")
        }
        Kind::Url(_) => {
            bail!("a running server cannot become a member of a cluster that is started here; use {kind} alone")
        }
    }
}

/// Whether the versions that a target names can be had on this machine, as far as that shows without fetching them.
///
/// # Errors
/// When one cannot be had.
pub async fn check_versions(spec: &TargetSpec, options: &LaunchOptions) -> anyhow::Result<()> {
    for group in &spec.groups {
        let Kind::Nacos(Some(version)) = &group.kind else { continue };
        if options.nacos_home.is_some() || Artifact::of(version).is_some() {
            continue;
        }
        // An engine may have the image, or may pull it.
        if options.reference == ReferenceChoice::Maven || docker::engine().await.is_err() {
            return Err(nacos::unknown(version)).with_context(|| format!("the target {spec}"));
        }
    }
    Ok(())
}

/// Real Nacos in the order of the design: the distribution given, the official image, the Maven artifacts.
async fn find_nacos(version: Option<String>, options: &LaunchOptions, guard: &Arc<Guard>) -> anyhow::Result<Launcher> {
    if options.nacos_home.is_none() && options.reference != ReferenceChoice::Maven {
        let tag = version.clone().unwrap_or_else(|| ARTIFACTS[0].version.to_owned());
        match find_image(format!("nacos/nacos-server:{}", docker::official_tag(&tag))).await {
            Ok(launcher) => return Ok(launcher),
            Err(error) if options.reference == ReferenceChoice::Docker => return Err(error),
            Err(_) => {}
        }
    }
    let (options, guard) = (options.clone(), guard.clone());
    blocking(move || Nacos::find(version.as_deref(), &options, &guard)).await.map(Launcher::Nacos)
}

/// An image, pulled when it is not here; what runs left behind goes first.
async fn find_image(image: String) -> anyhow::Result<Launcher> {
    let engine = docker::engine().await?;
    docker::sweep(&engine).await;
    let contents = docker::contents(&engine, &image).await?;
    Ok(Launcher::Docker { image, contents })
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> anyhow::Result<T> + Send + 'static) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await.context("a launcher panicked")?
}

// === starting it ===

/// Directory, ports and guard of a cluster without nodes yet.
fn prepare(spec: &TargetSpec, options: &LaunchOptions, guard: Arc<Guard>) -> anyhow::Result<Cluster> {
    let parent = options.work_dir.clone().unwrap_or_else(std::env::temp_dir);
    std::fs::create_dir_all(&parent).with_context(|| format!("cannot create {}", parent.display()))?;
    let parent = parent.canonicalize().with_context(|| format!("cannot find {}", parent.display()))?;
    let dir = tempfile::Builder::new()
        .prefix("tandem-")
        .tempdir_in(&parent)
        .with_context(|| format!("cannot create a directory in {}", parent.display()))?;
    guard.dir(dir.path());
    let nodes = spec.node_count();
    let (ports, fabric) = match &options.network {
        Network::Loopback => (Ports::reserve(nodes, options.ports.as_ref())?, None),
        Network::Own { seed, .. } => {
            let data = |node: usize| home(dir.path(), node).join("data");
            for node in 0..nodes {
                std::fs::create_dir_all(data(node)).context("cannot create a data folder")?;
            }
            (Ports::official(nodes), Some(Fabric::new(nodes, *seed, |node| nemesis::mount_data(&data(node)))?))
        }
    };
    Ok(Cluster {
        target: spec.to_string(),
        nodes: Vec::new(),
        ready: std::time::Duration::ZERO,
        cpu_seconds: Vec::new(),
        recorder: None,
        slots: Vec::new(),
        members: BTreeSet::new(),
        prober: Prober::new()?,
        dir: Some(dir),
        _ports: Some(ports),
        guard: Some(guard),
        fabric,
    })
}

async fn start(
    cluster: &mut Cluster,
    spec: &TargetSpec,
    launchers: &[Arc<Launcher>],
    options: &LaunchOptions,
) -> anyhow::Result<()> {
    let seats = seats(cluster, launchers, options)?;
    cluster.members = seats.iter().map(Seat::address).collect();
    cluster.recorder = options.record.then(|| record(&seats)).transpose()?;
    let guard = cluster.guard.clone().context("a cluster without a guard cannot start anything")?;
    options.progress.status(&format!("starting {spec}"));
    let begun = Instant::now();
    let places: Vec<_> = seats.iter().zip(launchers).collect();
    let lonely = without_majority(&places);
    let (first, others): (Vec<_>, Vec<_>) = places.into_iter().partition(|(seat, _)| lonely.contains(&seat.index));
    if !first.is_empty() {
        let group: BTreeSet<String> = first.iter().map(|(seat, _)| seat.address()).collect();
        first.iter().try_for_each(|(seat, _)| seat.write_members(&group))?;
        start_at(cluster, &first, Some(&group), options, &guard).await?;
        if let Err(error) = cluster.wait_members(&group, options.ready_timeout, options.progress.as_ref()).await {
            write_outputs(cluster, &seats).await;
            bail!("{error:#}\n{}", log_tails(&seats));
        }
        for ((seat, _), slot) in first.iter().zip(&cluster.slots) {
            match slot {
                Slot::Container(Some(container)) => container.write_members(&cluster.members).await?,
                _ => seat.write_members(&cluster.members)?,
            }
        }
    }
    start_at(cluster, &others, None, options, &guard).await?;
    cluster.sort(&seats.iter().map(Seat::address).collect::<Vec<_>>());
    if let Err(error) = cluster.wait_ready(options.ready_timeout, options.progress.as_ref()).await {
        write_outputs(cluster, &seats).await;
        bail!("{error:#}\n{}", log_tails(&seats));
    }
    cluster.ready = begun.elapsed();
    cluster.cpu_seconds = cluster.cpu_seconds();
    Ok(())
}

/// Starts what belongs at these places.
async fn start_at(
    cluster: &mut Cluster,
    places: &[(&Seat, &Arc<Launcher>)],
    first_members: Option<&BTreeSet<String>>,
    options: &LaunchOptions,
    guard: &Guard,
) -> anyhow::Result<()> {
    for (seat, launcher) in places {
        let (node, slot) = launcher.start(seat, first_members, options, guard, cluster.fabric.as_ref()).await?;
        if let Some(recorder) = &cluster.recorder {
            recorder.set_process(seat.index, node.pid);
        }
        cluster.nodes.push(node);
        cluster.slots.push(slot);
    }
    Ok(())
}

/// Official nodes that are too few to elect a leader among all members. With its own storage such a node waits for one
/// in the group of that, which nobody else takes part in, before it listens, for ever (`compat/spec/membership.md` §8).
/// As a cluster of their own they start; the others, started when these serve, find a group for persistent data and are
/// let into it.
fn without_majority(places: &[(&Seat, &Arc<Launcher>)]) -> Vec<usize> {
    let official = places.iter().filter(|(_, launcher)| launcher.has_own_consensus());
    let official: Vec<usize> = official.map(|(seat, _)| seat.index).collect();
    if official.len() * 2 > places.len() { Vec::new() } else { official }
}

/// Places of all nodes, with their configuration written.
fn seats(cluster: &Cluster, launchers: &[Arc<Launcher>], options: &LaunchOptions) -> anyhow::Result<Vec<Seat>> {
    let dir = cluster.dir.as_ref().map(|dir| dir.path()).context("a cluster without a directory")?;
    let ports = cluster._ports.as_ref().map(|ports| ports.http.as_slice()).unwrap_or_default();
    // One address for all members: the strictest member decides.
    let ip = launchers.iter().map(|launcher| launcher.ip()).max().unwrap_or("127.0.0.1");
    let (ip, listen_ip) = if options.record { (KNOWN_IP, Some(LISTEN_IP)) } else { (ip, None) };
    let ip_of = |index: usize| match &cluster.fabric {
        Some(fabric) => fabric.address(Endpoint::Node(index)).to_string(),
        None => ip.to_owned(),
    };
    let members: Vec<String> = ports.iter().enumerate().map(|(i, port)| format!("{}:{port}", ip_of(i))).collect();
    let standalone = ports.len() == 1 && options.single_mode == Mode::Standalone;
    let mut seats = Vec::with_capacity(ports.len());
    for (index, (&port, launcher)) in ports.iter().zip(launchers).enumerate() {
        let home = home(dir, index);
        let (heap_mb, ip) = (options.heap_mb, ip_of(index));
        let seat = Seat { index, ip, port, listen_ip, home, standalone, members: members.clone(), heap_mb };
        seat.write(launcher.base_properties(), options)?;
        seats.push(seat);
    }
    Ok(seats)
}

/// A node's own directory in that of the run.
fn home(dir: &Path, index: usize) -> PathBuf {
    dir.join(format!("node{index}"))
}

/// Puts what containers printed where processes have it, as far as possible: it serves an error message.
async fn write_outputs(cluster: &Cluster, seats: &[Seat]) {
    for (slot, node) in cluster.slots.iter().zip(&cluster.nodes) {
        let seat = seats.iter().find(|seat| seat.address() == node.address);
        if let (Slot::Container(Some(container)), Some(seat)) = (slot, seat) {
            let _ = std::fs::write(seat.output(), container.output().await);
        }
    }
}

/// Begins to record members that do not run yet.
fn record(seats: &[Seat]) -> anyhow::Result<Recorder> {
    let wire = |seat: &Seat| {
        let address = |ip: &str| format!("{ip}:{}", seat.port).parse().context("a recorded member needs an IP address");
        Ok(Wire { known_as: address(&seat.ip)?, listens_on: address(seat.listen_ip.unwrap_or(&seat.ip))? })
    };
    Ok(Recorder::start(&seats.iter().map(wire).collect::<anyhow::Result<Vec<_>>>()?))
}

/// What the nodes said last, for the message of a failed start.
fn log_tails(seats: &[Seat]) -> String {
    let tail = |seat: &Seat, path: &Path| match process::tail(path, 8) {
        text if text.is_empty() => None,
        text => Some(format!("last lines of {} of {}:\n{text}", path.display(), seat.address())),
    };
    seats
        .iter()
        .flat_map(|seat| [tail(seat, &seat.output()), tail(seat, &seat.logs().join("nacos.log"))])
        .flatten()
        .collect::<Vec<_>>()
        .join("\n")
}

impl Launcher {
    fn ip(&self) -> &'static str {
        match self {
            Self::Nacos(nacos) => nacos::ip_for(&nacos.version),
            Self::Docker { contents, .. } => nacos::ip_for(&contents.version),
            Self::Tandem(_) => nacos::ip_for(""),
        }
    }

    /// Whether it is real Nacos that needs a leader of its JRaft groups to start.
    pub(super) fn has_own_consensus(&self) -> bool {
        match self {
            Self::Nacos(nacos) => is_of_jraft(&nacos.version),
            Self::Docker { contents, .. } => contents.kind == NodeKind::Nacos && is_of_jraft(&contents.version),
            Self::Tandem(_) => false,
        }
    }

    pub(super) fn base_properties(&self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Nacos(nacos) => nacos.base_properties(),
            Self::Tandem(_) | Self::Docker { .. } => &DISTRIBUTION_PROPERTIES,
        }
    }

    pub(super) async fn start(
        &self,
        seat: &Seat,
        first_members: Option<&BTreeSet<String>>,
        options: &LaunchOptions,
        guard: &Guard,
        fabric: Option<&Fabric>,
    ) -> anyhow::Result<(Node, Slot)> {
        let mut node = self.describe(seat);
        let mut command = match self {
            Self::Tandem(tandem) => tandem.command(seat),
            Self::Nacos(nacos) => nacos.command(seat),
            Self::Docker { .. } if options.record => bail!("what containers say to each other cannot be recorded"),
            Self::Docker { image, .. } => {
                let container = Container::start(image, seat, first_members, options, guard).await?;
                node.pid = container.pid;
                return Ok((node, Slot::Container(Some(Box::new(container)))));
            }
        };
        if let Network::Own { clocks: Clocks::Settable, .. } = &options.network {
            nemesis::set_clock(&seat.home, 0)?;
            command.variables = nemesis::clock_variables(&seat.home).map_err(|why| anyhow!(why))?;
        }
        command.namespace = fabric.and_then(|fabric| fabric.namespace(seat.index)).cloned();
        let running = command.spawn(guard)?;
        node.pid = Some(running.pid());
        Ok((node, Slot::Process { command, running: Some(running) }))
    }

    fn describe(&self, seat: &Seat) -> Node {
        let (kind, version, launch, artifact) = match self {
            Self::Tandem(tandem) => (NodeKind::Tandem, &tandem.version, tandem.launch(), tandem.artifact()),
            Self::Nacos(nacos) => (NodeKind::Nacos, &nacos.version, nacos.launch(), nacos.artifact()),
            Self::Docker { contents, .. } => {
                (contents.kind, &contents.version, contents.launch.to_owned(), contents.artifact.clone())
            }
        };
        Node {
            kind,
            version: version.clone(),
            launch,
            artifact,
            address: seat.address(),
            context_path: CONTEXT_PATH.to_owned(),
            pid: None,
            logs: Some(seat.logs()),
        }
    }
}
