//! Whether this process may make namespaces, and how one without privileges comes to.

use std::path::Path;
use std::sync::OnceLock;

use anyhow::Context;
use nix::sched::{CloneFlags, unshare};
use rustix::process::{getgid, getuid};

use super::Endpoint;
use super::namespace::Namespace;

/// Set to `1` where a machine that does not allow namespaces is an error and never a skip.
pub const REQUIRE_VARIABLE: &str = "TANDEM_REQUIRE_NAMESPACES";

/// What would make it run.
const HOW: &str = "faults of network and disk need root, or a kernel that lets users make user namespaces (sysctl \
    user.max_user_namespaces above 0, kernel.apparmor_restrict_unprivileged_userns=0), and the device /dev/net/tun";

/// Bits of the kernel's capability sets.
const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;

/// Whether clusters with a network of their own can be launched here: tried once, by making a namespace with
/// everything that is needed in it.
///
/// # Errors
/// One sentence that says what would make it run, and what is missing.
pub fn check() -> Result<(), String> {
    static FOUND: OnceLock<Result<(), String>> = OnceLock::new();
    FOUND.get_or_init(|| try_out().map_err(|error| format!("{HOW}; here, {error:#}"))).clone()
}

fn try_out() -> anyhow::Result<()> {
    let (namespace, _device) = Namespace::with_device(super::address(0, Endpoint::Node(0)))?;
    namespace.with_mounts(|| Ok(())).map(drop)
}

/// Lets a process without privileges make namespaces: it becomes the owner of a user namespace, in which it stays who
/// it is. One with the privileges is left alone. To be called while the process has a single thread; when it fails,
/// [`check`] says so.
pub fn enter_user_namespace() {
    if !is_privileged()
        && let Err(error) = try_to_enter()
    {
        tracing::debug!("no user namespace: {error:#}");
    }
}

fn try_to_enter() -> anyhow::Result<()> {
    let (user, group) = (getuid().as_raw(), getgid().as_raw());
    unshare(CloneFlags::CLONE_NEWUSER)?;
    let write = |file: &str, text: String| {
        let path = Path::new("/proc/self").join(file);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    write("uid_map", format!("{user} {user} 1"))?;
    // Without this the kernel takes no mapping of groups from a user.
    write("setgroups", "deny".to_owned())?;
    write("gid_map", format!("{group} {group} 1"))
}

fn is_privileged() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap_or_default();
    let capabilities = u64::from_str_radix(line.trim(), 16).unwrap_or_default();
    [CAP_NET_ADMIN, CAP_SYS_ADMIN].iter().all(|bit| capabilities & (1 << bit) != 0)
}
