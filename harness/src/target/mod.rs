//! What can be measured: the target grammar and the launchers behind it.
//!
//! A [`Cluster`] owns everything that was started for it: processes, ports, directories, containers. It gives all of
//! it back when it is shut down or dropped, and its guard process does so when the harness itself is killed.

use std::path::PathBuf;
use std::time::Duration;

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

impl Node {
    /// `http://host:port/nacos`, without a trailing slash.
    pub fn base_url(&self) -> String {
        format!("http://{}{}", self.address, self.context_path)
    }
}
