//! What can be changed about a node of a running cluster: its data, its member list, and what sits on its seat.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;

use super::launch::{Launcher, find_launchers};
use super::options::LaunchOptions;
use super::seat::Seat;
use super::spec::{Group, Kind, TargetSpec};
use super::{Cluster, NOT_OURS, Slot, has_jraft};
use crate::nemesis::{self, Action};

/// How long the official nodes among the members may take to be usable as a cluster of their own.
const GROUP_LIMIT: Duration = Duration::from_secs(180);

impl Cluster {
    /// Writes a node's member list again, unchanged but for a comment: a running node reads it at once
    /// (`compat/spec/membership.md` §2.1).
    ///
    /// # Errors
    /// When the node is not ours, or the file cannot be written.
    pub async fn touch_members(&self, i: usize) -> anyhow::Result<()> {
        if let Some(Slot::Container(Some(container))) = self.slots.get(i) {
            return container.write_members(&self.members).await;
        }
        let conf = self.home(i)?.join("conf");
        let lines: String = self.members.iter().map(|member| format!("{member}\n")).collect();
        let (new, path) = (conf.join("members.new"), conf.join("cluster.conf"));
        std::fs::write(&new, format!("# written again\n{lines}"))
            .with_context(|| format!("cannot write {}", new.display()))?;
        std::fs::rename(&new, &path).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Ends the node and starts a server of another kind on its seat: same address, an empty folder. Returns at once:
    /// [`Self::wait_ready`] waits.
    ///
    /// # Errors
    /// When the node is not ours, or no such server can be started.
    pub async fn replace_node(&mut self, i: usize, kind: &Kind, options: &LaunchOptions) -> anyhow::Result<()> {
        let guard = self.guard.clone().with_context(|| format!("{} {NOT_OURS}", self.target))?;
        // Found first: what cannot be had must not cost the node that is there.
        let spec = TargetSpec { groups: vec![Group { count: 1, kind: kind.clone() }] };
        let launcher =
            find_launchers(&spec, options, &guard).await?.pop().with_context(|| format!("{kind} cannot be started"))?;
        self.stop_node(i).await?;
        let wipe = Action::Wipe { nodes: vec![i] };
        nemesis::apply(self, &wipe).await?;
        let seat = self.seat(i, options)?;
        seat.write(launcher.base_properties(), options)?;
        let group = self.without_majority(i, &launcher);
        if let Some(group) = &group {
            seat.write_members(group)?;
        }
        let (node, slot) = launcher.start(&seat, group.as_ref(), options, &guard, self.fabric.as_ref()).await?;
        let pid = node.pid;
        if let (Some(old), Some(old_slot)) = (self.nodes.get_mut(i), self.slots.get_mut(i)) {
            (*old, *old_slot) = (node, slot);
        }
        self.now_runs_as(i, pid);
        if let Some(group) = &group {
            self.wait_members(group, GROUP_LIMIT, options.progress.as_ref()).await?;
            seat.write_members(&self.members)?;
        }
        Ok(())
    }

    /// The official members, when the one that takes seat `i` is one of them and they are too few to elect a leader
    /// among all: alone, such a node would wait for one before it listens (`compat/spec/membership.md` §8).
    fn without_majority(&self, i: usize, launcher: &Launcher) -> Option<BTreeSet<String>> {
        let others = self.nodes.iter().enumerate().filter(|(at, node)| *at == i || has_jraft(node));
        let group: BTreeSet<String> = others.map(|(_, node)| node.address.clone()).collect();
        (launcher.has_own_consensus() && group.len() * 2 <= self.nodes.len()).then_some(group)
    }

    /// The seat of a node, as it was at its start.
    fn seat(&self, i: usize, options: &LaunchOptions) -> anyhow::Result<Seat> {
        let node = self.node(i)?;
        let (ip, port) = node.address.rsplit_once(':').context("an address without a port")?;
        Ok(Seat {
            index: i,
            ip: ip.to_owned(),
            port: port.parse().with_context(|| format!("{} has no port", node.address))?,
            listen_ip: None,
            home: self.home(i)?,
            standalone: self.nodes.len() == 1 && options.single_mode == super::Mode::Standalone,
            members: self.nodes.iter().map(|it| it.address.clone()).collect(),
            heap_mb: options.heap_mb,
        })
    }

    fn home(&self, i: usize) -> anyhow::Result<PathBuf> {
        let node = self.node(i)?;
        node.logs
            .as_deref()
            .and_then(std::path::Path::parent)
            .map(std::path::Path::to_owned)
            .with_context(|| format!("{} {NOT_OURS}", node.address))
    }
}
