//! What must hold.

use std::fmt;

use anyhow::{Result, ensure};
use serde::Deserialize;

use super::Seconds;
use crate::experiment::fault::judge::Check;
use crate::spelling;

/// Names of the checks.
pub fn checks() -> impl Iterator<Item = &'static str> {
    Check::ALL.into_iter().map(Check::name)
}

/// Whether a check is about persistent data.
pub(super) fn is_about_registers(check: &str) -> bool {
    matches!(check, "no-lost-write" | "linearizable-writes" | "linearizable-reads")
}

/// What a cluster is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// Tandem alone.
    Tandem,
    /// Real Nacos, or whatever else is no Tandem.
    Nacos,
    /// Both.
    Mixed,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tandem => "tandem",
            Self::Nacos => "nacos",
            Self::Mixed => "mixed",
        })
    }
}

/// One time for all, or one for each shape: official members take as long as they take, in mixed clusters too.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
pub enum Bound {
    /// For every target.
    All(Seconds),
    /// By what the target is made of.
    Each {
        /// Tandem alone.
        tandem: Seconds,
        /// Real Nacos.
        nacos: Seconds,
        /// Both.
        mixed: Seconds,
    },
}

impl Bound {
    /// For this shape.
    pub fn of(self, shape: Shape) -> Seconds {
        match (self, shape) {
            (Self::All(it), _) => it,
            (Self::Each { tandem, .. }, Shape::Tandem) => tandem,
            (Self::Each { nacos, .. }, Shape::Nacos) => nacos,
            (Self::Each { mixed, .. }, Shape::Mixed) => mixed,
        }
    }
}

/// What must hold.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Hold {
    /// Names of the checks.
    pub checks: Vec<String>,
    /// How long after the heal all nodes may take to agree.
    #[serde(default = "agree_within")]
    pub agree_within: Bound,
    /// From the last heartbeat of a client that is gone to its absence on every node, at most.
    #[serde(default = "gone_within")]
    pub gone_within: Bound,
    /// Least share of client operations, all servers tried, that must be answered in every phase from the first fault on.
    pub answered: Option<f64>,
}

/// What an official member brings back or counts anew at the heal goes with its own time: 30 s without a heartbeat, 5 s
/// until the next check and 5 until the next verify, and 2 s to the other nodes (`compat/spec/distro.md` §11, P5–P7).
fn agree_within() -> Bound {
    Bound::Each { tandem: Seconds::new(3), nacos: Seconds::new(45), mixed: Seconds::new(45) }
}

/// 30 s without a heartbeat, up to 5 s until the next check, and 2 s to the other nodes; and as much again as a new
/// owner may have to learn of it.
fn gone_within() -> Bound {
    Bound::All(Seconds::new(45))
}

impl Hold {
    pub(super) fn check(&self) -> Result<()> {
        ensure!(!self.checks.is_empty(), "`checks` is empty, so the scenario could not fail");
        for check in &self.checks {
            ensure!(Check::of_name(check).is_some(), "there is no check {check:?}{}", spelling::hint(check, checks()));
        }
        let bounded = self.answered.is_some() || !self.checks.iter().any(|it| it == Check::Availability.name());
        ensure!(bounded, "availability is held to the share `answered`, which is not said");
        ensure!(self.answered.is_none_or(|it| (0.0..=1.0).contains(&it)), "`answered` is a share: 0 to 1");
        Ok(())
    }
}
