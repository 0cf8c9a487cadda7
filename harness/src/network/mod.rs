//! A network between the nodes of a cluster that the harness owns: every node in a network namespace of its own, the
//! harness' clients in another, and a switch in this process between them. Its rules are the faults.
//!
//! Needs no program and no kernel module but TUN. Namespaces have no names and devices end with this process, so
//! nothing is left behind however it ends.
//!
//! - `rule`, `lines`: what happens to which packet, as pure decisions
//! - `switch`: the thread that moves packets; `namespace`, `netlink`: where they come from and go to
//! - `privilege`: whether this machine allows it

mod lines;
mod namespace;
mod netlink;
mod privilege;
mod rule;
mod switch;

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::bail;

pub(crate) use namespace::Namespace;
pub use namespace::{ClientSide, inside};
pub use privilege::{REQUIRE_VARIABLE, check, enter_user_namespace};
pub use rule::{Counts, Rule};

use lines::{Lines, Port};
use switch::Switch;

/// First two bytes of every address; the third is the fabric's own.
const NETWORK: [u8; 2] = [10, 77];

/// Last byte of the clients' address, and of the first node's. Two digits for all, so that addresses sort like numbers.
const CLIENTS: u8 = 10;
const FIRST_NODE: u8 = 11;

/// Most nodes of one fabric.
const NODES_MAX: usize = 88;

/// One side of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// The harness' own sockets: simulated clients, readers, ready checks.
    Clients,
    /// The node at this position of the cluster.
    Node(usize),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clients => f.write_str("clients"),
            Self::Node(node) => write!(f, "node {node}"),
        }
    }
}

impl Endpoint {
    fn port(self) -> Port {
        match self {
            Self::Clients => 0,
            Self::Node(node) => node + 1,
        }
    }

    fn at(port: Port) -> Self {
        port.checked_sub(1).map_or(Self::Clients, Self::Node)
    }
}

/// The network of one cluster. It ends when this is dropped.
#[derive(Debug)]
pub struct Fabric {
    subnet: u8,
    nodes: Vec<Arc<Namespace>>,
    switch: Switch,
}

impl Fabric {
    /// Makes namespaces for `nodes` nodes and connects them and the calling thread's namespace; everything arrives at
    /// once until a rule says otherwise. What rules leave to chance comes from `seed`; `mount` changes the mounts that
    /// a node alone sees.
    ///
    /// # Errors
    /// When called outside of [`inside`], or when the machine does not allow it.
    pub(crate) fn new(
        nodes: usize,
        seed: u64,
        mount: impl Fn(usize) -> anyhow::Result<()> + Sync,
    ) -> anyhow::Result<Self> {
        if !namespace::is_apart() {
            bail!("a cluster with a network of its own is launched from inside of a namespace only");
        }
        if nodes > NODES_MAX {
            bail!("a network of its own has room for {NODES_MAX} nodes, not for {nodes}");
        }
        // Clusters of one process may be reached from one namespace at a time, so each has addresses of its own.
        static SUBNET: AtomicU8 = AtomicU8::new(0);
        let subnet = SUBNET.fetch_add(1, Ordering::Relaxed);
        let addresses: Vec<Ipv4Addr> = (0..=nodes).map(|port| address(subnet, Endpoint::at(port))).collect();
        let mut devices = Vec::with_capacity(addresses.len());
        let mut namespaces = Vec::with_capacity(nodes);
        for (port, &address) in addresses.iter().enumerate() {
            devices.push(match Endpoint::at(port) {
                Endpoint::Clients => namespace::open_device(&format!("tandem{subnet}"), address)?,
                Endpoint::Node(node) => {
                    let (namespace, device) = Namespace::with_device(address)?;
                    namespaces.push(Arc::new(namespace.with_mounts(|| mount(node))?));
                    device
                }
            });
        }
        Ok(Self { subnet, nodes: namespaces, switch: Switch::start(Lines::new(addresses, seed), devices)? })
    }

    /// Address of an endpoint.
    pub fn address(&self, of: Endpoint) -> Ipv4Addr {
        address(self.subnet, of)
    }

    /// Where a node lives.
    pub(crate) fn namespace(&self, node: usize) -> Option<&Arc<Namespace>> {
        self.nodes.get(node)
    }

    /// All endpoints, the clients first.
    pub fn endpoints(&self) -> impl Iterator<Item = Endpoint> + use<> {
        (0..=self.nodes.len()).map(Endpoint::at)
    }

    /// Directions in which a rule holds.
    pub fn disturbed(&self) -> Vec<(Endpoint, Endpoint)> {
        self.switch.with_lines(|lines, _| {
            let disturbed = lines.links().filter(|(_, _, rule, _)| !rule.is_clear());
            disturbed.map(|(from, to, ..)| (Endpoint::at(from), Endpoint::at(to))).collect()
        })
    }

    /// From now on `rule` holds for what `from` sends to `to`, in this direction alone.
    pub fn set(&self, from: Endpoint, to: Endpoint, rule: Rule) {
        self.switch.with_lines(|lines, now| lines.set(now, from.port(), to.port(), rule));
    }

    /// Every link forwards at once again. What waits on slow ones arrives now, in order.
    pub fn heal(&self) {
        for (from, to) in self.disturbed() {
            self.set(from, to, Rule::default());
        }
    }

    /// What became of the packets so far, by sender and receiver.
    pub fn counts(&self) -> BTreeMap<(Endpoint, Endpoint), Counts> {
        self.switch.with_lines(|lines, _| {
            lines.links().map(|(from, to, _, counts)| ((Endpoint::at(from), Endpoint::at(to)), counts)).collect()
        })
    }
}

fn address(subnet: u8, of: Endpoint) -> Ipv4Addr {
    let last = match of {
        Endpoint::Clients => CLIENTS,
        // Bounded by NODES_MAX.
        Endpoint::Node(node) => FIRST_NODE.saturating_add(u8::try_from(node).unwrap_or(u8::MAX)),
    };
    Ipv4Addr::new(NETWORK[0], NETWORK[1], subnet, last)
}
