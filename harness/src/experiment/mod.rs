//! Measurements: each experiment runs once per round at one cluster and returns what it observed.
//!
//! - [`startup`], [`memory`]: what a cluster costs before it does anything
//! - [`sync_latency`], [`deregister_latency`]: one change at one node until every node shows it
//! - [`burst_convergence`]: thousands of changes until every node shows them all
//! - [`load_register`], [`load_beat`], [`load_query`]: latency at a fixed rate, and the rate at which it ends
//! - [`push_latency`]: one change until the UDP push of each node is in hand
//! - [`expiry`]: beats that stop and ports that close, until every node shows it
//! - [`agreement`]: random operations, then whether all nodes hold the same
//! - [`restart_recovery`]: every node killed and restarted under load
//! - [`fault`]: scenarios of faults under load, recorded first and judged later
//! - [`persistent`]: what is committed before it is acknowledged: load, reads, changes of leader, kills
//! - [`snapshot_load`]: one node that joins a filled cluster
//! - [`fixture`]: the instances that the load works on
//! - [`bulk`], [`census`], [`visibility`], [`load`], `workload`: what several experiments need
//!
//! An experiment never judges and never compares; it stops early when its [`Session`] is over and says so in a note.

pub mod agreement;
pub mod bulk;
pub mod burst_convergence;
pub mod census;
pub mod deregister_latency;
mod directions;
pub mod expiry;
pub mod fault;
pub mod fixture;
pub mod load;
pub mod load_beat;
pub mod load_query;
pub mod load_register;
pub mod memory;
pub mod persistent;
pub mod push_latency;
pub mod restart_recovery;
pub mod snapshot_load;
pub mod startup;
pub mod sync_latency;
pub mod visibility;
mod workload;

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client::{Instance, NacosClient};
use crate::stats::{Round, Variant, derived_seed};
use crate::target::{Cluster, Node, NodeKind, Progress};

/// How long the servers keep an instance of the harness without heartbeats: longer than any profile takes, so that
/// nothing expires while it is measured; and what a killed run leaves at somebody's server is gone the same day.
pub const KEEP: Duration = Duration::from_secs(6 * 3600);

/// What one experiment needs to know to run once at one cluster.
pub struct Session<'a> {
    /// The cluster under measurement.
    pub cluster: &'a Cluster,
    /// One client per node, in node order.
    pub clients: &'a [Arc<NacosClient>],
    /// Counted from 0.
    pub round: usize,
    /// Unique in the run for every target and round; start of every service name.
    pub tag: String,
    /// Instances every node holds when nothing is being measured; nothing when that is not known.
    pub resident: Option<u64>,
    /// Whether the servers live on after the run. If not, what is expensive to clean up may stay.
    pub outlives_the_run: bool,
    /// Seed of the run.
    pub seed: u64,
    /// When the experiment must end by itself.
    pub deadline: Instant,
    /// Cancelled when the user wants to stop.
    pub stop: &'a CancellationToken,
    /// Folder of the results, for what is kept beside them; none when nothing is kept.
    pub out: Option<&'a std::path::Path>,
    /// Where progress is shown.
    pub progress: &'a dyn Progress,
}

impl Session<'_> {
    /// Random choices for one purpose. They do not depend on the target, so every target meets the same choices in
    /// the same round.
    pub fn random(&self, purpose: &str) -> StdRng {
        StdRng::seed_from_u64(derived_seed(self.seed, &[purpose, &self.round.to_string()]))
    }

    /// Whether the experiment must end now.
    pub fn is_over(&self) -> bool {
        self.stop.is_cancelled() || Instant::now() >= self.deadline
    }

    /// Context path of the cluster; the nodes of one cluster share it.
    pub fn context(&self) -> &str {
        self.clients.first().map_or("", |it| it.context())
    }

    /// A fresh instance of `service`, number `index` of the experiment.
    pub fn instance(&self, service: &str, index: usize) -> Instance {
        Instance::kept(service, loopback(index), 8000 + (index % 1000) as u16, KEEP)
    }

    /// Shows how far an experiment is.
    pub fn show(&self, experiment: &str, done: usize, planned: usize) {
        let (round, target) = (self.round + 1, &self.cluster.target);
        self.progress.status(&format!("{experiment} at {target}, round {round}: {done}/{planned}"));
    }

    /// The note of an experiment that ended before its plan was done.
    pub fn cut_short(&self, done: usize, planned: usize) -> String {
        let why = if self.stop.is_cancelled() { "the run was interrupted" } else { "its time was used up" };
        format!("round {}: {done} of {planned} samples, then {why}", self.round + 1)
    }
}

/// An address out of 127.0.0.0/8 for instance number `index`; repeats after some four million.
pub fn loopback(index: usize) -> String {
    format!("127.{}.{}.{}", 16 + index / 62_500 % 64, index / 250 % 250, index % 250 + 1)
}

/// Keeps the first few problems: they are enough to see what is wrong, and a row must stay readable.
pub fn keep_first(notes: &mut Vec<String>, note: String) {
    const NOTES_MAX: usize = 3;
    if notes.len() < NOTES_MAX {
        notes.push(note);
    }
}

/// What one experiment observed in one round, for one row.
#[derive(Debug, Clone)]
pub struct Observation {
    /// Name of the experiment.
    pub experiment: &'static str,
    /// What distinguishes the row.
    pub variant: Variant,
    /// Unit of the values.
    pub unit: &'static str,
    /// The values.
    pub values: Round,
    /// Operations that failed and are not among the values.
    pub errors: u64,
    /// What the reader must know.
    pub notes: Vec<String>,
    /// Open loop only: how late the generator sent, ms.
    pub generator_lag: Option<Round>,
}

impl Observation {
    /// Values without a variant, errors or notes.
    pub fn new(experiment: &'static str, unit: &'static str, values: Round) -> Self {
        let variant = Variant::new();
        Self { experiment, variant, unit, values, errors: 0, notes: Vec::new(), generator_lag: None }
    }

    /// The same with one more distinguishing mark.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variant.insert(name.to_owned(), value.into());
        self
    }
}

/// Name of a kind of node in the record.
pub fn kind_name(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Tandem => "tandem",
        NodeKind::Nacos => "nacos",
        NodeKind::Docker => "docker",
        NodeKind::Url => "url",
    }
}

/// Whether the nodes are of different kinds.
pub fn is_mixed(nodes: &[Node]) -> bool {
    nodes.windows(2).any(|it| matches!(it, [a, b] if a.kind != b.kind))
}
