//! One step of a timeline.

use std::fmt;

use anyhow::{Result, bail, ensure};
use serde::Deserialize;

use super::{Seconds, Selector};
use crate::target::spec::Kind;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// SIGKILL, and started again when it is over.
    Kill,
    /// SIGTERM, and started again when it is over.
    Stop,
    /// SIGSTOP, and SIGCONT when it is over.
    Pause,
    /// Nothing passes between two sides any more; packets are dropped, nothing is refused.
    Partition,
    /// Nothing reaches a node or leaves it, clients included.
    BlackHole,
    /// What passes between two sides is late.
    Delay,
    /// Some of what passes between two sides is lost.
    Loss,
    /// Some of what passes between two sides overtakes the rest.
    Reorder,
    /// Little passes between two sides in a second.
    SlowLink,
    /// The file system of a node's data is full.
    FullDisk,
    /// A node's data cannot be written.
    ReadOnly,
    /// A node's clock jumps.
    Clock,
    /// A node is killed and comes back without its data.
    Empty,
    /// The others strike a node off their member lists.
    RemoveMember,
    /// The others' member lists are written again, unchanged but for a comment.
    TouchMembers,
    /// Another kind of server takes a node's seat: its address, with an empty folder.
    Become,
    /// The leader of the persistent group is told to hand over.
    TransferLeader,
    /// All that are in force are over.
    Heal,
    /// Nothing more is done until every node is usable again.
    WaitReady,
    /// One of `of` after the other, by the seed.
    Random,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Pause => "pause",
            Self::Partition => "partition",
            Self::BlackHole => "black-hole",
            Self::Delay => "delay",
            Self::Loss => "loss",
            Self::Reorder => "reorder",
            Self::SlowLink => "slow-link",
            Self::FullDisk => "full-disk",
            Self::ReadOnly => "read-only",
            Self::Clock => "clock",
            Self::Empty => "empty",
            Self::RemoveMember => "remove-member",
            Self::TouchMembers => "touch-members",
            Self::Become => "become",
            Self::TransferLeader => "transfer-leader",
            Self::Heal => "heal",
            Self::WaitReady => "wait-ready",
            Self::Random => "random",
        })
    }
}

/// Which way nothing passes, seen from `nodes`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Neither way.
    #[default]
    Both,
    /// What `nodes` send to `from` is lost.
    Outbound,
    /// What `from` sends to `nodes` is lost.
    Inbound,
}

/// One step, as written. Which of the fields an action takes is checked when the file is read.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Step {
    /// When, since the first part under faults began; never before the step before is done.
    pub at: Option<Seconds>,
    /// When, since the step before was done. For the first step, since the faults begin.
    pub after: Option<Seconds>,
    /// What.
    #[serde(rename = "do")]
    pub action: Action,
    /// To whom.
    #[serde(default)]
    pub nodes: Vec<Selector>,
    /// The other side of a link; all other nodes by default.
    #[serde(default)]
    pub from: Vec<Selector>,
    /// When it is over; a step without is over with the last one.
    #[serde(rename = "for")]
    pub lasts: Option<Seconds>,
    /// One node after the other: each has been well again before the next.
    #[serde(default)]
    pub one_by_one: bool,
    /// How long may be waited until all are usable (`wait-ready`, `one-by-one`).
    pub within: Option<Seconds>,
    /// Of a partition.
    pub direction: Option<Direction>,
    /// Of `delay`: how late everything is.
    pub delay: Option<Seconds>,
    /// Of `delay`: how much later than that at most.
    pub jitter: Option<Seconds>,
    /// Of `loss` and `reorder`: how many of a hundred packets.
    pub percent: Option<f64>,
    /// Of `slow-link`: kilobytes per second.
    pub rate: Option<u32>,
    /// Of `clock`: by how many seconds, either way.
    pub by: Option<f64>,
    /// Of `become`: what takes the seat, as in targets: `tandem`, `nacos@1.4.1`.
    pub kind: Option<String>,
    /// Of `random`: what may happen.
    #[serde(default)]
    pub of: Vec<Action>,
    /// Of `random`: mean time from the beginning of one to that of the next.
    pub every: Option<Seconds>,
}

/// How long may be waited until all are usable, when nothing is said. A JVM on a busy machine takes a minute.
pub(in crate::experiment::fault) const READY_WITHIN: Seconds = Seconds::new(120);

impl Step {
    /// A step of a random part.
    pub(in crate::experiment::fault) fn at_random(action: Action, lasts: std::time::Duration) -> Self {
        Self {
            at: None,
            after: None,
            action,
            nodes: Vec::new(),
            from: Vec::new(),
            lasts: Some(Seconds(lasts)),
            one_by_one: false,
            within: None,
            direction: None,
            delay: (action == Action::Delay).then_some(Seconds(std::time::Duration::from_millis(200))),
            jitter: (action == Action::Delay).then_some(Seconds(std::time::Duration::from_millis(100))),
            percent: (action == Action::Loss).then_some(20.0),
            rate: None,
            by: None,
            kind: None,
            of: Vec::new(),
            every: None,
        }
    }

    /// Whether the other side of a link matters.
    pub(in crate::experiment::fault) fn is_about_links(action: Action) -> bool {
        matches!(action, Action::Partition | Action::Delay | Action::Loss | Action::Reorder | Action::SlowLink)
    }

    /// Whether the action goes on until something ends it.
    fn lasts_by_nature(action: Action) -> bool {
        !matches!(
            action,
            Action::TouchMembers | Action::TransferLeader | Action::Heal | Action::WaitReady | Action::Become
        )
    }

    pub(super) fn check(&self, services: u32) -> Result<()> {
        use Action as A;
        ensure!(self.at.is_none() || self.after.is_none(), "is due `at` a time or `after` the step before, not both");
        let needs_nodes = !matches!(self.action, A::Heal | A::WaitReady | A::Random | A::TransferLeader);
        ensure!(!needs_nodes || !self.nodes.is_empty(), "names no `nodes`");
        ensure!(!self.nodes.contains(&Selector::Others), "\"others\" stands in `from` alone");
        for selector in self.nodes.iter().chain(&self.from) {
            if let Selector::OwnerOf(service) = selector {
                ensure!(*service < services, "there is no service {service}; [load] has {services}");
            }
        }
        self.check_fields()?;
        let percent = self.percent.unwrap_or(1.0);
        ensure!(percent > 0.0 && percent <= 100.0, "`percent` is above 0 and at most 100");
        ensure!(self.rate != Some(0), "`rate` is at least 1 kB/s");
        ensure!(self.by.is_none_or(|by| by.is_finite() && by.abs() <= 1e9), "`by` is no jump of a clock");
        if let Some(kind) = &self.kind {
            let kind: Kind = kind.parse()?;
            ensure!(matches!(kind, Kind::Tandem | Kind::Nacos(_)), "no {kind} can take a seat; tandem and nacos can");
        }
        for action in &self.of {
            let random = [A::Kill, A::Stop, A::Pause, A::Partition, A::BlackHole, A::TransferLeader, A::Delay, A::Loss];
            ensure!(random.contains(action), "{action} is not done at random");
        }
        Ok(())
    }

    /// Whatever an action does not take is a slip, and would be ignored in silence.
    fn check_fields(&self) -> Result<()> {
        use Action as A;
        let action = self.action;
        let fields = [
            ("nodes", !self.nodes.is_empty(), !matches!(action, A::Heal | A::WaitReady | A::Random), false),
            ("from", !self.from.is_empty(), Self::is_about_links(action), false),
            ("for", self.lasts.is_some(), Self::lasts_by_nature(action), action == A::Random),
            (
                "one-by-one",
                self.one_by_one,
                matches!(action, A::Kill | A::Stop | A::Empty | A::Become | A::Pause | A::RemoveMember),
                false,
            ),
            ("within", self.within.is_some(), action == A::WaitReady || self.one_by_one, false),
            ("direction", self.direction.is_some(), action == A::Partition, false),
            ("delay", self.delay.is_some(), action == A::Delay, action == A::Delay),
            ("jitter", self.jitter.is_some(), action == A::Delay, false),
            (
                "percent",
                self.percent.is_some(),
                matches!(action, A::Loss | A::Reorder),
                matches!(action, A::Loss | A::Reorder),
            ),
            ("rate", self.rate.is_some(), action == A::SlowLink, action == A::SlowLink),
            ("by", self.by.is_some(), action == A::Clock, action == A::Clock),
            ("kind", self.kind.is_some(), action == A::Become, action == A::Become),
            ("of", !self.of.is_empty(), action == A::Random, action == A::Random),
            ("every", self.every.is_some(), action == A::Random, action == A::Random),
        ];
        for (name, given, taken, needed) in fields {
            if given && !taken {
                bail!("{action} takes no `{name}`");
            }
            if needed && !given {
                bail!("{action} needs `{name}`");
            }
        }
        if self.one_by_one && matches!(action, A::Kill | A::Stop | A::Empty | A::Pause | A::RemoveMember) {
            ensure!(self.lasts.is_some(), "one after the other, each needs an end: `for`");
        }
        Ok(())
    }

    /// Whether somebody is to be found by who leads.
    pub(super) fn needs_leader(&self) -> bool {
        let by_leading = |it: &Selector| matches!(it, Selector::Leader | Selector::Follower | Selector::Followers);
        self.action == Action::TransferLeader || self.nodes.iter().chain(&self.from).any(by_leading)
    }
}
