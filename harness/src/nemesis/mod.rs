//! Everything that can be done to a running cluster, and the proof that it was: processes, network, disks, clocks,
//! members.
//!
//! [`capability`] says beforehand whether an action can be done at a cluster, [`apply`] does it, [`proof`] says
//! afterwards whether it had effect. A fault without proof is no fault: what was seen under it proves nothing.
//!
//! - `process`, `links`, `disk`, `clock`, `members`: one kind of action each

mod clock;
mod disk;
mod links;
mod members;
mod process;

use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};

pub use clock::{Clocks, find_library};
pub(crate) use clock::{variables as clock_variables, write as set_clock};
pub(crate) use disk::mount as mount_data;

use crate::network::{Endpoint, Rule};
use crate::target::Cluster;

/// Something that is done to a cluster. Nodes are positions in it.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// SIGKILL.
    Kill {
        /// To whom.
        nodes: Vec<usize>,
    },
    /// SIGTERM, and SIGKILL to what does not end.
    Stop {
        /// To whom.
        nodes: Vec<usize>,
    },
    /// Starts what was killed or stopped. Does not wait until it is usable.
    Start {
        /// Whom.
        nodes: Vec<usize>,
    },
    /// SIGSTOP: sockets stay open, nothing answers.
    Pause {
        /// Whom.
        nodes: Vec<usize>,
    },
    /// SIGCONT.
    Resume {
        /// Whom.
        nodes: Vec<usize>,
    },
    /// Empties the data folders of nodes that do not run: each comes back as a new one in the old place.
    Wipe {
        /// Whose.
        nodes: Vec<usize>,
    },
    /// Cuts every link between endpoints of different groups; an endpoint in no group reaches everybody, as the
    /// clients do unless they are in one.
    Partition {
        /// Who stays together.
        groups: Vec<Vec<Endpoint>>,
        /// Cuts only what an earlier group sends to a later one.
        one_way: bool,
    },
    /// Another rule for what some endpoints send to others: delay, loss, a slow link, a black hole.
    Links {
        /// Senders.
        from: Vec<Endpoint>,
        /// Receivers. Nobody has a link to itself.
        to: Vec<Endpoint>,
        /// What happens to their packets from now on.
        rule: Rule,
    },
    /// Every link forwards at once again.
    HealNetwork,
    /// The data folder has no room left.
    DiskFull {
        /// Whose.
        nodes: Vec<usize>,
    },
    /// The data folder cannot be written: what is opened from now on fails. Files that are open already stay
    /// writable, as the kernel has it; kill the node before and start it after for a disk that comes up read-only.
    DiskReadOnly {
        /// Whose.
        nodes: Vec<usize>,
    },
    /// The data folder has room and can be written again.
    DiskHeal {
        /// Whose.
        nodes: Vec<usize>,
    },
    /// The wall clock differs from this machine's by so much from now on; 0 puts it right again. The monotonic clock
    /// goes on as it was.
    ClockJump {
        /// Whose.
        nodes: Vec<usize>,
        /// Milliseconds ahead; negative for behind.
        by_ms: i64,
    },
    /// Takes a member out of every node's `cluster.conf`.
    RemoveMember {
        /// Which.
        member: usize,
    },
    /// Puts it back.
    AddMember {
        /// Which.
        member: usize,
    },
    /// Asks the group of persistent naming data to make this node its leader.
    TransferLeader {
        /// Which.
        to: usize,
    },
}

impl Action {
    /// Whether it can be done only at a cluster with [a network of its own](crate::target::Network::Own).
    pub fn needs_own_network(&self) -> bool {
        match self {
            Self::Partition { .. } | Self::Links { .. } | Self::HealNetwork | Self::Wipe { .. } => true,
            Self::DiskFull { .. } | Self::DiskReadOnly { .. } | Self::DiskHeal { .. } => true,
            other => other.needs_settable_clock(),
        }
    }

    /// Whether it can be done only at nodes that were launched with [`Clocks::Settable`].
    pub fn needs_settable_clock(&self) -> bool {
        matches!(self, Self::ClockJump { .. })
    }
}

/// An action that was done.
#[derive(Debug, Clone)]
pub struct Applied {
    /// What.
    pub action: Action,
    /// When it was in force.
    pub at: Instant,
    /// What was so before, for the proof.
    before: Before,
}

/// What a proof is measured against.
#[derive(Debug, Clone, Default)]
struct Before {
    /// Process of each node.
    pids: Vec<Option<process::Identity>>,
    /// What had become of packets, over all directions that the action is about.
    links: links::Tally,
    /// Files removed.
    removed: usize,
    /// Leader of the persistent naming data, `ip:port` as it calls itself.
    leader: Option<String>,
}

/// Whether an action had effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Whether it had.
    pub bit: bool,
    /// What shows it, in words with counts.
    pub what: String,
}

impl Proof {
    fn new(bit: bool, what: impl Into<String>) -> Self {
        Self { bit, what: what.into() }
    }
}

/// Whether an action can be done at this cluster.
///
/// # Errors
/// One sentence that says why not, and what would make it possible.
pub fn capability(action: &Action, cluster: &Cluster) -> Result<(), String> {
    for node in nodes_of(action) {
        if cluster.nodes.get(node).is_none() {
            return Err(format!("{} has no node {node}", cluster.target));
        }
    }
    match action {
        Action::Kill { .. }
        | Action::Stop { .. }
        | Action::Start { .. }
        | Action::Pause { .. }
        | Action::Resume { .. } => process::capability(cluster, &nodes_of(action)),
        Action::ClockJump { nodes, .. } => clock::capability(cluster, nodes),
        Action::RemoveMember { .. } | Action::AddMember { .. } => members::capability(cluster),
        Action::TransferLeader { to } => members::transfer_capability(cluster, *to),
        _ => needs_own_network(cluster),
    }
}

/// Does it. Returns as soon as it is in force; what follows from it is for others to watch.
///
/// # Errors
/// When it cannot be done ([`capability`]) or fails half-way.
pub async fn apply(cluster: &mut Cluster, action: &Action) -> anyhow::Result<Applied> {
    capability(action, cluster).map_err(|why| anyhow!(why))?;
    let mut before = Before { pids: process::identities(cluster), ..Before::default() };
    match action {
        Action::Kill { nodes } => process::kill(cluster, nodes).await?,
        Action::Stop { nodes } => process::stop(cluster, nodes).await?,
        Action::Start { nodes } => process::start(cluster, nodes).await?,
        Action::Pause { nodes } => process::pause(cluster, nodes).await?,
        Action::Resume { nodes } => process::resume(cluster, nodes).await?,
        Action::Wipe { nodes } => before.removed = disk::wipe(cluster, nodes)?,
        Action::Partition { groups, one_way } => {
            let directions = links::between(groups, *one_way);
            before.links = links::set(cluster, directions, &Rule::cut())?;
        }
        Action::Links { from, to, rule } => {
            before.links = links::set(cluster, links::from_to(from, to), rule)?;
        }
        Action::HealNetwork => before.links = links::heal(cluster)?,
        Action::DiskFull { nodes } => disk::each(cluster, nodes, disk::fill)?,
        Action::DiskReadOnly { nodes } => disk::each(cluster, nodes, disk::make_read_only)?,
        Action::DiskHeal { nodes } => disk::each(cluster, nodes, disk::heal)?,
        Action::ClockJump { nodes, by_ms } => clock::set(cluster, nodes, *by_ms)?,
        Action::RemoveMember { member } => members::remove(cluster, *member).await?,
        Action::AddMember { member } => members::add(cluster, *member).await?,
        Action::TransferLeader { to } => {
            before.leader = members::leader(cluster, *to).await;
            members::transfer(cluster, *to).await?;
        }
    }
    Ok(Applied { action: action.clone(), at: Instant::now(), before })
}

/// Whether the action had effect by now. To be asked while it is in force: before its heal, and not before the load
/// has had a moment to run into it.
pub async fn proof(cluster: &Cluster, applied: &Applied) -> Proof {
    let before = &applied.before;
    match &applied.action {
        Action::Kill { nodes } | Action::Stop { nodes } => process::are_gone(nodes, &before.pids),
        Action::Start { nodes } => process::are_new(cluster, nodes, &before.pids),
        Action::Pause { nodes } => process::are_frozen(cluster, nodes, true),
        Action::Resume { nodes } => process::are_frozen(cluster, nodes, false),
        Action::Wipe { nodes } => disk::are_empty(cluster, nodes, before.removed),
        Action::Partition { .. } => links::disturbed(cluster, &before.links),
        Action::Links { rule, .. } if !rule.is_clear() => links::disturbed(cluster, &before.links),
        Action::Links { .. } | Action::HealNetwork => links::passing(cluster, &before.links),
        Action::DiskFull { nodes } => disk::refuses(cluster, nodes, disk::FULL),
        Action::DiskReadOnly { nodes } => disk::refuses(cluster, nodes, disk::READ_ONLY),
        Action::DiskHeal { nodes } => disk::accepts(cluster, nodes),
        Action::ClockJump { nodes, by_ms } => clock::tell(cluster, nodes, *by_ms).await,
        Action::RemoveMember { member } => members::know(cluster, *member, false).await,
        Action::AddMember { member } => members::know(cluster, *member, true).await,
        Action::TransferLeader { to } => members::leads(cluster, *to, before.leader.as_deref()).await,
    }
}

/// Asks for the proof again and again until there is one, at most so long; the last answer otherwise.
pub async fn proof_within(cluster: &Cluster, applied: &Applied, limit: Duration) -> Proof {
    let deadline = Instant::now() + limit;
    loop {
        let proof = proof(cluster, applied).await;
        if proof.bit || Instant::now() > deadline {
            return proof;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Nodes that an action names.
fn nodes_of(action: &Action) -> Vec<usize> {
    let of_endpoints = |all: &mut dyn Iterator<Item = &Endpoint>| {
        all.filter_map(|endpoint| match endpoint {
            Endpoint::Node(node) => Some(*node),
            Endpoint::Clients => None,
        })
        .collect()
    };
    match action {
        Action::Kill { nodes }
        | Action::Stop { nodes }
        | Action::Start { nodes }
        | Action::Pause { nodes }
        | Action::Resume { nodes }
        | Action::Wipe { nodes }
        | Action::DiskFull { nodes }
        | Action::DiskReadOnly { nodes }
        | Action::DiskHeal { nodes }
        | Action::ClockJump { nodes, .. } => nodes.clone(),
        Action::Partition { groups, .. } => of_endpoints(&mut groups.iter().flatten()),
        Action::Links { from, to, .. } => of_endpoints(&mut from.iter().chain(to)),
        Action::HealNetwork => Vec::new(),
        Action::RemoveMember { member: node }
        | Action::AddMember { member: node }
        | Action::TransferLeader { to: node } => {
            vec![*node]
        }
    }
}

fn needs_own_network(cluster: &Cluster) -> Result<(), String> {
    match cluster.fabric() {
        Some(_) => Ok(()),
        None => Err(format!(
            "{} was not launched with a network of its own, which only processes on a machine with namespaces have",
            cluster.target
        )),
    }
}

fn own_network(cluster: &Cluster) -> anyhow::Result<&crate::network::Fabric> {
    match cluster.fabric() {
        Some(fabric) => Ok(fabric),
        None => bail!("{} has no network of its own", cluster.target),
    }
}

/// `0`, `0 and 2`, for sentences.
fn list(nodes: &[usize]) -> String {
    let words: Vec<String> = nodes.iter().map(usize::to_string).collect();
    match words.as_slice() {
        [] => "none".to_owned(),
        [one] => format!("node {one}"),
        [rest @ .., last] => format!("nodes {} and {last}", rest.join(", ")),
    }
}
