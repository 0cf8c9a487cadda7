//! Wall clocks: the kernel has one for all, so a node is shown another by `libfaketime`, loaded before its program.
//! Every node reads how far off it is from a file of its own, once a second.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use super::{Proof, list};
use crate::target::Cluster;

/// Names the library outright.
const LIBRARY_VARIABLE: &str = "TANDEM_FAKETIME";

/// Its name as built for programs with threads.
const LIBRARY: &str = "libfaketimeMT.so.1";

/// Where distributions put it.
const FOLDERS: [&str; 6] = [
    "/usr/lib/x86_64-linux-gnu/faketime",
    "/usr/lib/aarch64-linux-gnu/faketime",
    "/usr/lib/faketime",
    "/usr/lib64/faketime",
    "/usr/local/lib/faketime",
    "/usr/local/lib64/faketime",
];

/// The node looks at its file once a second, and its answer takes a moment.
const TOLERANCE: Duration = Duration::from_secs(2);

/// Whether nodes are launched so that their clocks can jump. It costs a little of every look at a clock, so it is
/// asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Clocks {
    /// This machine's.
    #[default]
    Real,
    /// One that [`super::Action::ClockJump`] can set.
    Settable,
}

/// The library that shows a program another time.
///
/// # Errors
/// One sentence that says how to get it.
pub fn find_library() -> Result<PathBuf, String> {
    let named = std::env::var_os(LIBRARY_VARIABLE).map(PathBuf::from);
    let usual = FOLDERS.iter().map(|folder| Path::new(folder).join(LIBRARY));
    named.into_iter().chain(usual).find(|path| path.is_file()).ok_or_else(|| {
        format!("clock jumps need {LIBRARY}; install the package libfaketime (or faketime), or name it in {LIBRARY_VARIABLE}")
    })
}

/// File that says how far off the node at this home is.
pub(crate) fn file(home: &Path) -> PathBuf {
    home.join("conf/clock")
}

/// What a node is started with so that its clock can jump.
pub(crate) fn variables(home: &Path) -> Result<Vec<(OsString, OsString)>, String> {
    let library = find_library()?;
    Ok([
        ("LD_PRELOAD", library.into_os_string()),
        ("FAKETIME_TIMESTAMP_FILE", file(home).into_os_string()),
        ("FAKETIME_CACHE_DURATION", "1".into()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        // A JVM waits by the monotonic clock; without this its waits end at once, and it does nothing but wait.
        ("FAKETIME_FORCE_MONOTONIC_FIX", "0".into()),
        ("FAKETIME_DONT_RESET", "1".into()),
    ]
    .map(|(name, value)| (name.into(), value))
    .into())
}

/// Puts a clock right, or off; whole or not at all, since the node reads at any time.
pub(crate) fn write(home: &Path, by_ms: i64) -> anyhow::Result<()> {
    let (new, path) = (home.join("conf/clock.new"), file(home));
    let sign = if by_ms < 0 { '-' } else { '+' };
    let (seconds, rest) = (by_ms.unsigned_abs() / 1000, by_ms.unsigned_abs() % 1000);
    std::fs::write(&new, format!("{sign}{seconds}.{rest:03}\n"))
        .and_then(|()| std::fs::rename(&new, &path))
        .with_context(|| format!("cannot write {}", path.display()))
}

pub(super) fn capability(cluster: &Cluster, nodes: &[usize]) -> Result<(), String> {
    find_library()?;
    match nodes.iter().find(|node| !home(cluster, **node).is_some_and(|home| file(home).is_file())) {
        Some(node) => Err(format!("node {node} of {} was not launched with a clock that can be set", cluster.target)),
        None => Ok(()),
    }
}

fn home(cluster: &Cluster, node: usize) -> Option<&Path> {
    cluster.nodes.get(node)?.logs.as_deref()?.parent()
}

pub(super) fn set(cluster: &Cluster, nodes: &[usize], by_ms: i64) -> anyhow::Result<()> {
    nodes.iter().try_for_each(|node| write(home(cluster, *node).context("a node without a directory")?, by_ms))
}

/// Holds the time in each node's answers to this machine's.
pub(super) async fn tell(cluster: &Cluster, nodes: &[usize], by_ms: i64) -> Proof {
    let mut others = Vec::new();
    for i in nodes {
        let Some(node) = cluster.nodes.get(*i) else { continue };
        let off_ms = match cluster.clock_ahead_ms(node).await {
            Ok(off_ms) => off_ms,
            Err(why) => return Proof::new(false, format!("node {i} does not tell its time: {why}")),
        };
        if u128::from(off_ms.abs_diff(by_ms)) > TOLERANCE.as_millis() {
            others.push(format!("node {i} is off by {off_ms} ms"));
        }
    }
    if others.is_empty() {
        Proof::new(true, format!("the time in answers of {} is off by {by_ms} ms", list(nodes)))
    } else {
        Proof::new(false, others.join(", "))
    }
}
