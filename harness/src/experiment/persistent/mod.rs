//! Persistent data: what the members agree on by consensus before they acknowledge it.
//!
//! - [`load`], [`read_after_write`]: figures of a cluster in which nothing happens
//! - [`change`]: the leader moved or killed, until writes are served again
//! - [`kills`]: SIGKILL at random moments of a write load, many times
//! - [`restore`]: a node wiped of its data, and given it by another's snapshot
//! - [`voters`]: every node of a cluster leads, follows, is frozen and is killed
//! - [`group`]: who leads, and commands to the group; [`alike`]: whether all nodes hold the same

pub mod alike;
pub mod change;
pub mod group;
pub mod kills;
pub mod load;
pub mod read_after_write;
pub mod restore;
pub mod voters;

use crate::agreement::ring::responsible;
use crate::target::Node;

/// Stands on every figure of writes, because it decides what they cost.
pub const FSYNC_NOTE: &str = "fsync before the acknowledgement on both sides: nacos.core.protocol.raft.data.sync is \
    true by default in real Nacos, and Tandem syncs its log before it answers";

/// A name with this prefix that the node at `owner` is responsible for: official nodes hand a write of an instance on to
/// the responsible node first, persistent or not, so only such a name is written through the node that is asked.
pub fn owned_by(nodes: &[Node], owner: usize, prefix: &str) -> String {
    /// More than enough for any number of nodes; without an owner any name does.
    const TRIES: usize = 1000;
    let addresses: Vec<&str> = nodes.iter().map(|it| it.address.as_str()).collect();
    let wanted = addresses.get(owner).copied();
    let names = (0..TRIES).map(|number| format!("{prefix}-{number}"));
    let fits = |name: &String| responsible(&format!("DEFAULT_GROUP@@{name}"), &addresses) == wanted;
    names.clone().find(fits).or_else(|| names.clone().next()).unwrap_or_default()
}
