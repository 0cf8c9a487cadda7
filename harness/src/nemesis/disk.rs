//! The data folders of nodes in namespaces: each is a file system in memory of its own, so that it can be full or
//! read-only for that node alone. Nobody outside of the node's namespace sees it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount as mount_file_system, mount_bind, mount_remount, unmount};

use super::{Proof, list, own_network};
use crate::target::Cluster;

/// Room of a data folder, bytes. Memory is taken only for what is in it.
const DATA_BYTES: u64 = 512 << 20;

/// What a write to a full folder fails with, and to a read-only one.
pub(super) const FULL: Errno = Errno::NOSPC;
pub(super) const READ_ONLY: Errno = Errno::ROFS;

/// File that is written to see whether one can be.
const PROBE: &str = ".tandem-probe";

/// More than fits the rest of a block that is in use.
const PROBE_BYTES: usize = 64 << 10;

/// A node that writes meanwhile can make the folder larger than the size it is about to get.
const FILL_TRIES: usize = 100;

/// Gives the calling thread's mount namespace a file system of its own at `data`, which exists.
pub(crate) fn mount(data: &Path) -> anyhow::Result<()> {
    let options = c_string(&format!("size={DATA_BYTES}"))?;
    mount_file_system("tandem", data, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str())
        .with_context(|| format!("cannot mount a file system at {}", data.display()))?;
    // Shared memory as well: what a killed process leaves there goes with the namespace.
    let shared = Path::new("/dev/shm");
    if shared.is_dir() {
        mount_file_system("tandem", shared, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, None)
            .context("cannot mount a file system at /dev/shm")?;
    }
    Ok(())
}

fn c_string(text: &str) -> anyhow::Result<std::ffi::CString> {
    std::ffi::CString::new(text).context("options of a mount")
}

/// Where a node keeps its data.
fn data_of(cluster: &Cluster, node: usize) -> anyhow::Result<PathBuf> {
    let home = cluster.node(node)?.logs.as_deref().and_then(Path::parent);
    Ok(home.context("a node without a directory")?.join("data"))
}

/// Does something to a node's data folder, in its namespace.
fn within<T: Send>(
    cluster: &Cluster,
    node: usize,
    work: impl FnOnce(&Path) -> anyhow::Result<T> + Send,
) -> anyhow::Result<T> {
    let data = data_of(cluster, node)?;
    let namespace = own_network(cluster)?.namespace(node).context("a node without a namespace")?;
    namespace.within(|| work(&data))?.with_context(|| format!("the data folder of node {node}"))
}

/// The same for several nodes.
pub(super) fn each(
    cluster: &Cluster,
    nodes: &[usize],
    work: impl Fn(&Path) -> anyhow::Result<()> + Send + Sync,
) -> anyhow::Result<()> {
    nodes.iter().try_for_each(|node| within(cluster, *node, &work))
}

/// Makes the file system as small as what is in it.
pub(super) fn fill(data: &Path) -> anyhow::Result<()> {
    for _ in 0..FILL_TRIES {
        let now = statvfs(data).context("cannot see what is used")?;
        // Nothing at all would stand for no bound.
        let used = now.f_blocks.saturating_sub(now.f_bfree).max(1) * now.f_frsize;
        match resize(data, used) {
            Err(Errno::INVAL) => {}
            other => return other.context("cannot make the file system smaller"),
        }
    }
    bail!("the node writes faster than the file system can be made smaller")
}

fn resize(data: &Path, bytes: u64) -> Result<(), Errno> {
    let options = std::ffi::CString::new(format!("size={bytes}")).map_err(|_| Errno::INVAL)?;
    mount_remount(data, MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str())
}

/// Covers the folder with a read-only view of itself. The file system as a whole could be made read-only only while
/// no file in it is open for writing.
pub(super) fn make_read_only(data: &Path) -> anyhow::Result<()> {
    mount_bind(data, data).context("cannot mount the folder over itself")?;
    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    mount_remount(data, flags, c"").context("cannot make the folder read-only")
}

/// Takes away whatever was done.
pub(super) fn heal(data: &Path) -> anyhow::Result<()> {
    while statvfs(data).context("cannot see how it is mounted")?.f_flag.contains(StatVfsMountFlags::RDONLY) {
        unmount(data, UnmountFlags::DETACH).context("cannot uncover the folder")?;
    }
    resize(data, DATA_BYTES).context("cannot make the file system larger")
}

/// Empties the folders of nodes that do not run, and says how many files there were.
pub(super) fn wipe(cluster: &Cluster, nodes: &[usize]) -> anyhow::Result<usize> {
    let mut removed = 0;
    for node in nodes {
        if cluster.node(*node)?.pid.is_some() {
            bail!("node {node} runs; its data folder is emptied only while it does not");
        }
        removed += within(cluster, *node, |data| {
            heal(data)?;
            let files = count(data).context("cannot read it")?;
            for entry in std::fs::read_dir(data).context("cannot read it")? {
                let path = entry?.path();
                let gone = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
                gone.with_context(|| format!("cannot remove {}", path.display()))?;
            }
            Ok(files)
        })?;
    }
    Ok(removed)
}

/// Nothing is in the folders, whatever was: a node may well have had nothing on disk.
pub(super) fn are_empty(cluster: &Cluster, nodes: &[usize], removed: usize) -> Proof {
    let left: anyhow::Result<usize> =
        nodes.iter().map(|node| within(cluster, *node, |data| count(data).context("cannot read it"))).sum();
    match left {
        Ok(0) => Proof::new(true, format!("{removed} files removed, the data folder of {} is empty", list(nodes))),
        Ok(left) => Proof::new(false, format!("{left} files in the data folder of {}", list(nodes))),
        Err(error) => Proof::new(false, format!("{error:#}")),
    }
}

/// Files under a folder.
fn count(folder: &Path) -> io::Result<usize> {
    let mut files = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        files += if entry.file_type()?.is_dir() { count(&entry.path())? } else { 1 };
    }
    Ok(files)
}

/// Writes a file and removes it.
fn probe(data: &Path) -> io::Result<()> {
    let path = data.join(PROBE);
    let written = std::fs::File::create(&path).and_then(|mut file| file.write_all(&[1; PROBE_BYTES]));
    let _ = std::fs::remove_file(&path);
    written
}

/// What writing to each folder comes to.
fn outcomes(cluster: &Cluster, nodes: &[usize]) -> anyhow::Result<Vec<io::Result<()>>> {
    nodes.iter().map(|node| within(cluster, *node, |data| Ok(probe(data)))).collect()
}

pub(super) fn refuses(cluster: &Cluster, nodes: &[usize], with: Errno) -> Proof {
    match outcomes(cluster, nodes) {
        Err(error) => Proof::new(false, format!("{error:#}")),
        Ok(outcomes) => {
            let expected = |outcome: &io::Result<()>| {
                outcome.as_ref().is_err_and(|error| error.raw_os_error() == Some(with.raw_os_error()))
            };
            if outcomes.iter().all(expected) {
                let error = io::Error::from_raw_os_error(with.raw_os_error());
                return Proof::new(true, format!("writing to the data folder of {} fails: {error}", list(nodes)));
            }
            Proof::new(false, format!("writing to the data folders of {} comes to {outcomes:?}", list(nodes)))
        }
    }
}

pub(super) fn accepts(cluster: &Cluster, nodes: &[usize]) -> Proof {
    match outcomes(cluster, nodes) {
        Ok(outcomes) if outcomes.iter().all(Result::is_ok) => {
            Proof::new(true, format!("{PROBE_BYTES} bytes written to the data folder of {}", list(nodes)))
        }
        Ok(outcomes) => {
            Proof::new(false, format!("writing to the data folders of {} comes to {outcomes:?}", list(nodes)))
        }
        Err(error) => Proof::new(false, format!("{error:#}")),
    }
}
