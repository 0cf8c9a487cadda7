//! Namespaces without names: made by a thread for itself, kept by a file descriptor, gone with the last process and
//! descriptor. Nothing of them can be left behind.
//!
//! A thread's network namespace is inherited by the threads and processes that it starts, so whoever is to live in one
//! is started from a thread that has entered it.

use std::fs::File;
use std::future::Future;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use nix::sched::{CloneFlags, setns, unshare};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tun_rs::{DeviceBuilder, SyncDevice};

use super::netlink;

/// Name of the device that leads out of a namespace; in the harness' own a number follows.
const DEVICE: &str = "tandem";

/// Longest packet, bytes: that of Ethernet with jumbo frames. Small enough that loss and slow links act as they do on
/// real networks, large enough that a snapshot of 10,000 instances is a few hundred packets.
const MTU: u16 = 9000;

/// Packets that a device holds while the switch is not scheduled; the kernel's default of 500 overflows in a burst.
const DEVICE_QUEUE: u32 = 10_000;

/// All endpoints of a fabric are in one network of this many bits.
const PREFIX: u8 = 24;

/// The namespaces that one node lives in.
#[derive(Debug)]
pub(crate) struct Namespace {
    net: File,
    mounts: Option<File>,
}

impl Namespace {
    /// A network namespace with loopback and one device that leads out of it.
    pub(super) fn with_device(address: Ipv4Addr) -> anyhow::Result<(Self, SyncDevice)> {
        in_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace")?;
            netlink::set_up(netlink::LOOPBACK)?;
            let device = open_device(DEVICE, address)?;
            Ok((Self { net: own("net")?, mounts: None }, device))
        })?
    }

    /// Gives it mounts of its own as well, changed by `mount` in a thread that is in them. Nothing of that is seen
    /// outside.
    pub(crate) fn with_mounts(self, mount: impl FnOnce() -> anyhow::Result<()> + Send) -> anyhow::Result<Self> {
        let mounts = in_thread(|| {
            unshare(CloneFlags::CLONE_NEWNS).context("cannot make a mount namespace")?;
            let private = rustix::mount::MountPropagationFlags::PRIVATE | rustix::mount::MountPropagationFlags::REC;
            rustix::mount::mount_change("/", private).context("cannot keep mounts to the namespace")?;
            mount()?;
            own("mnt")
        })??;
        Ok(Self { mounts: Some(mounts), ..self })
    }

    /// Does something in a thread that lives in the namespaces; so does every process that it starts.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
        in_thread(|| {
            setns(self.net.as_fd(), CloneFlags::CLONE_NEWNET).context("cannot enter a network namespace")?;
            if let Some(mounts) = &self.mounts {
                // Threads share their working directory, and the kernel moves only one that does not.
                unshare(CloneFlags::CLONE_FS).context("cannot have a working directory of its own")?;
                setns(mounts.as_fd(), CloneFlags::CLONE_NEWNS).context("cannot enter a mount namespace")?;
            }
            Ok(work())
        })?
    }
}

/// This thread's own namespace of a kind.
fn own(kind: &str) -> anyhow::Result<File> {
    let path = PathBuf::from("/proc/thread-self/ns").join(kind);
    File::open(&path).with_context(|| format!("cannot open {}", path.display()))
}

/// The device in the calling thread's namespace, usable at once and not blocking.
pub(super) fn open_device(name: &str, address: Ipv4Addr) -> anyhow::Result<SyncDevice> {
    let device = DeviceBuilder::new()
        .name(name)
        .mtu(MTU)
        .build_sync()
        .context("cannot make a network device from /dev/net/tun")?;
    device.set_nonblocking(true).context("cannot read a network device without waiting")?;
    let index = device.if_index().context("a network device without index")?;
    netlink::set_up(index)?;
    netlink::lengthen_queue(index, DEVICE_QUEUE)?;
    netlink::add_address(index, address, PREFIX)?;
    Ok(device)
}

/// Runs something in a thread that ends with it, so that no other work ever runs in its namespaces.
fn in_thread<T: Send>(work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
    std::thread::scope(|scope| scope.spawn(work).join()).map_err(|_| anyhow!("a thread in a namespace panicked"))
}

/// Whether the calling thread is in a network namespace of its own, apart from the process'.
pub(super) fn is_apart() -> bool {
    let namespace = |of: &str| std::fs::read_link(Path::new("/proc").join(of).join("ns/net")).ok();
    matches!((namespace("self"), namespace("thread-self")), (Some(all), Some(own)) if all != own)
}

// === the harness' own side ===

/// Says that its holder is in a network namespace where clusters with a network of their own can be reached.
#[derive(Debug, Clone)]
pub struct ClientSide {
    outside: Handle,
}

impl ClientSide {
    /// Does something on the outside, where this machine's network is: fetching, building.
    pub(crate) async fn outside<T: Send + 'static>(
        &self,
        work: impl Future<Output = anyhow::Result<T>> + Send + 'static,
    ) -> anyhow::Result<T> {
        self.outside.spawn(work).await.context("work outside of the namespace panicked")?
    }
}

/// Runs `work` on a runtime of its own whose threads live in a new network namespace. All that is opened there
/// reaches the clusters that are launched there, and nothing else.
///
/// # Errors
/// When namespaces cannot be made here (see [`super::check`]), and what `work` fails with.
pub async fn inside<T, F>(work: impl FnOnce(ClientSide) -> F + Send + 'static) -> anyhow::Result<T>
where
    T: Send + 'static,
    F: Future<Output = anyhow::Result<T>>,
{
    let side = ClientSide { outside: Handle::current() };
    let (done, result) = oneshot::channel();
    std::thread::Builder::new().name("client-side".to_owned()).spawn(move || {
        let _ = done.send(run_inside(side, work));
    })?;
    result.await.context("the thread of the client side panicked")?
}

fn run_inside<T, F>(side: ClientSide, work: impl FnOnce(ClientSide) -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace")?;
    netlink::set_up(netlink::LOOPBACK)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(work(side));
    runtime.shutdown_background();
    result
}
