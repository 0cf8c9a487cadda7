//! The clients of a scenario.

use anyhow::{Result, ensure};
use serde::Deserialize;

use super::{Seconds, Selector};

/// The clients of a scenario, as written. Instance `i` belongs to service `i % services`; the node at place `i % nodes`
/// of the sorted addresses is responsible for service `i` while all are well.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct LoadSpec {
    /// Services.
    pub services: u32,
    /// Instances that stay to the end.
    pub instances: u32,
    /// Registrations per second besides; as many leave.
    pub rate: u32,
    /// How long those stay.
    pub lifetime: Seconds,
    /// Of those that leave, one in so many dies without deregistering; 0 for none.
    pub dies: u32,
    /// Registrations per second while the population grows.
    pub fill_rate: u32,
    /// Interval of heartbeats, where it is not the official 5 s: the servers are told, and their 15 s and 30 s grow alike.
    pub beat: Option<Seconds>,
    /// Subscribers of pushes; subscriber `i` takes service `i % services`.
    pub subscribers: u32,
    /// How often the whole content of each node is looked at, per second.
    pub sweeps: u32,
    /// Persistent data: pieces that are set, removed and read, half of them instances and half services.
    pub registers: u32,
    /// Processes that do so at each node, each one operation at a time.
    pub processes: u32,
    /// Pause of such a process between two operations.
    pub pause: Seconds,
    /// Clients that know only some of the servers; all know all by default.
    #[serde(rename = "group")]
    pub groups: Vec<Group>,
    /// Nodes between which the time of single changes is measured all along: the first registers, all others are asked.
    pub probe: Vec<Selector>,
}

/// Clients that know only some of the servers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its part of the clients, beside those of the other groups.
    pub share: u32,
    /// Servers in its list.
    pub servers: Vec<Selector>,
}

impl Default for LoadSpec {
    fn default() -> Self {
        Self {
            services: 6,
            instances: 60,
            rate: 4,
            lifetime: Seconds::new(8),
            dies: 0,
            fill_rate: 60,
            beat: None,
            subscribers: 3,
            sweeps: 5,
            registers: 0,
            processes: 1,
            pause: Seconds::new(0),
            groups: Vec::new(),
            probe: Vec::new(),
        }
    }
}

impl LoadSpec {
    pub(super) fn check(&self) -> Result<()> {
        ensure!((1..=1000).contains(&self.services), "`services` is 1 to 1000");
        ensure!(self.instances <= 100_000, "`instances` is at most 100000");
        ensure!(
            self.rate <= 10_000 && (1..=10_000).contains(&self.fill_rate),
            "`rate` and `fill-rate` are at most 10000"
        );
        ensure!((1..=50).contains(&self.sweeps), "`sweeps` is 1 to 50");
        ensure!(self.subscribers <= 1000, "`subscribers` is at most 1000");
        ensure!(self.registers <= 1000, "`registers` is at most 1000");
        ensure!((1..=100).contains(&self.processes), "`processes` is 1 to 100");
        ensure!(self.beat.is_none_or(|it| it >= Seconds::new(1)), "`beat` is at least 1 s");
        ensure!(self.groups.iter().all(|it| it.share > 0 && !it.servers.is_empty()), "a group has a share and servers");
        ensure!(self.probe.len() != 1, "`probe` names at least two nodes");
        let fixed = |it: &Selector| {
            !matches!(it, Selector::Leader | Selector::Follower | Selector::Followers | Selector::Others)
        };
        ensure!(
            self.groups.iter().flat_map(|it| &it.servers).chain(&self.probe).all(fixed),
            "clients are bound before the first step, to nodes that stay what they are: not to a leader or a follower"
        );
        Ok(())
    }

    /// The group of a client; nothing when it knows all servers. An instance's client is that of its service's column:
    /// clients have one instance in each service.
    pub fn group_of(&self, instance: u32) -> Option<&Group> {
        let all: u32 = self.groups.iter().map(|it| it.share).sum();
        let mut place = (instance / self.services.max(1)).checked_rem(all)?;
        self.groups.iter().find(|it| {
            let within = place < it.share;
            place = place.saturating_sub(it.share);
            within
        })
    }
}
