//! How a target is to be launched, apart from what it is.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::nemesis::Clocks;
use crate::network::ClientSide;

use super::progress::{Progress, Silent};

/// Start of the slowest cluster seen on a machine with load 40 was 110 s (`compat/spec/reference-targets.md` §6).
pub const READY_TIMEOUT: Duration = Duration::from_secs(180);

/// Mode of a node that is the only one of its cluster; several nodes are always a cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// `nacos.standalone=true`.
    #[default]
    Standalone,
    /// A cluster of one.
    Cluster,
}

/// Which of the ways to get real Nacos is taken for `nacos` nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReferenceChoice {
    /// `--nacos-home` when given, else Docker when an engine answers, else Maven.
    #[default]
    Auto,
    /// The official image only.
    Docker,
    /// The Maven artifacts only.
    Maven,
}

/// How the nodes of a cluster reach each other.
#[derive(Debug, Clone, Default)]
pub enum Network {
    /// All on this machine's loopback, each with a port of its own.
    #[default]
    Loopback,
    /// Each in namespaces of its own, with an address and a data folder of its own that faults can be done to; only
    /// [inside](crate::network::inside) of a namespace, and for processes only.
    Own {
        /// From where the launch is done.
        side: ClientSide,
        /// What rules of the network leave to chance comes from it.
        seed: u64,
        /// Whether their clocks can jump.
        clocks: Clocks,
    },
}

/// Everything about a launch that the target itself does not say.
#[derive(Clone)]
pub struct LaunchOptions {
    /// Where the run's directory is made; the system's directory for temporary files when not given.
    pub work_dir: Option<PathBuf>,
    /// Mode of one-node targets.
    pub single_mode: Mode,
    /// Java heap of each node, MiB; by default 512 for 1.4, 256 for naming-only versions.
    pub heap_mb: Option<u32>,
    /// An unpacked official distribution to launch `nacos` nodes from.
    pub nacos_home: Option<PathBuf>,
    /// Where real Nacos comes from when `nacos_home` is not given.
    pub reference: ReferenceChoice,
    /// Added to `application.properties` of every node.
    pub properties: BTreeMap<String, String>,
    /// Added to `application.properties` of the node with this index, after [`Self::properties`].
    pub node_properties: BTreeMap<usize, BTreeMap<String, String>>,
    /// Where the nodes' logs go when the launch fails; nowhere by default.
    pub keep_logs: Option<PathBuf>,
    /// Who is told what goes on.
    pub progress: Arc<dyn Progress>,
    /// How long the cluster may take until it is usable.
    pub ready_timeout: Duration,
    /// HTTP ports to choose from; by default all between 11000 and the ephemeral range.
    pub ports: Option<RangeInclusive<u16>>,
    /// Whether what the members say to each other is recorded: each then listens on an address of its own, behind one
    /// of the harness. Not for containers.
    pub record: bool,
    /// How the nodes reach each other.
    pub network: Network,
    /// The `tandem` executable that serves as guard process; found by itself where possible.
    pub guard_program: Option<PathBuf>,
}

impl Default for LaunchOptions {
    fn default() -> Self {
        Self {
            work_dir: None,
            single_mode: Mode::default(),
            heap_mb: None,
            nacos_home: None,
            reference: ReferenceChoice::default(),
            properties: BTreeMap::new(),
            node_properties: BTreeMap::new(),
            keep_logs: None,
            progress: Arc::new(Silent),
            ready_timeout: READY_TIMEOUT,
            ports: None,
            record: false,
            network: Network::default(),
            guard_program: None,
        }
    }
}

impl LaunchOptions {
    /// Properties asked for at one node, in the order in which later ones win.
    pub(crate) fn properties_of(&self, node: usize) -> impl Iterator<Item = (&String, &String)> {
        self.properties.iter().chain(self.node_properties.get(&node).into_iter().flatten())
    }
}

impl std::fmt::Debug for LaunchOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LaunchOptions")
            .field("work_dir", &self.work_dir)
            .field("single_mode", &self.single_mode)
            .field("heap_mb", &self.heap_mb)
            .field("nacos_home", &self.nacos_home)
            .field("reference", &self.reference)
            .field("properties", &self.properties)
            .field("node_properties", &self.node_properties)
            .field("keep_logs", &self.keep_logs)
            .field("ready_timeout", &self.ready_timeout)
            .field("ports", &self.ports)
            .field("record", &self.record)
            .field("network", &self.network)
            .field("guard_program", &self.guard_program)
            .finish_non_exhaustive()
    }
}
