//! Scenario files of `compat/cases/faults`, and a user's own; their format is described in
//! `compat/cases/faults/README.md`.
//!
//! A scenario says what is done, and never how: nodes are named by what they are (`leader`, `owner-of:0`), so that the
//! same file runs at every target. What makes no sense is refused when the file is read, in one sentence.

mod hold;
mod load;
mod select;
mod step;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

pub use hold::{Bound, Hold, Shape, checks};
pub use load::{Group, LoadSpec};
pub use select::Selector;
pub(super) use step::READY_WITHIN;
pub use step::{Action, Direction, Step};

use super::judge::Check;
use crate::spelling;

/// The longest time a file may name: a day. A slip of the keyboard must not occupy a machine for a year.
const SECONDS_MAX: f64 = 86_400.0;

/// A time in seconds, as files have it: `5` or `0.25`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(Duration);

impl Seconds {
    /// So many whole seconds.
    pub const fn new(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// As a duration.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0.as_secs_f64())
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        if !seconds.is_finite() || !(0.0..=SECONDS_MAX).contains(&seconds) {
            return Err(D::Error::custom(format!("{seconds} is no time in seconds between 0 and {SECONDS_MAX}")));
        }
        Ok(Self(Duration::from_secs_f64(seconds)))
    }
}

/// One scenario.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// Name on the command line and in reports: the file's name without its ending.
    #[serde(skip)]
    pub name: String,
    /// What is done, in one line.
    pub title: String,
    /// Why anybody should want to know, with the issue or the section of `compat/spec`.
    pub why: String,
    /// Issues of Nacos it is about, by number.
    #[serde(default)]
    pub issues: Vec<u32>,
    /// Sections of `compat/spec` it is about.
    #[serde(default)]
    pub spec: Vec<String>,
    /// What it needs of a target.
    #[serde(default)]
    pub needs: Needs,
    /// Targets it says nothing about.
    #[serde(default)]
    pub not_for: Vec<NotFor>,
    /// The clients.
    #[serde(default)]
    pub load: LoadSpec,
    /// How long the parts without faults last.
    #[serde(default)]
    pub times: Times,
    /// What is done, in order.
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
    /// What must hold.
    pub hold: Hold,
}

/// What a scenario needs of a target, beyond what its steps imply.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Needs {
    /// Nodes, at least.
    pub nodes: usize,
    /// Whether nothing else may run on the machine meanwhile, because what is measured is short.
    pub alone: bool,
}

impl Default for Needs {
    fn default() -> Self {
        Self { nodes: 3, alone: false }
    }
}

/// Targets that a scenario says nothing about.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotFor {
    /// Their shape.
    pub shape: Shape,
    /// Why.
    pub reason: String,
}

/// How long the parts without faults last. The population has grown before the first of them.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Times {
    /// Full load before the first step.
    pub before: Seconds,
    /// Full load after the last fault is over.
    pub after: Seconds,
    /// Heartbeats alone at the end, at least; it ends when all nodes agree, or at the bounds of what must hold.
    #[serde(rename = "final")]
    pub last: Seconds,
}

impl Default for Times {
    fn default() -> Self {
        Self { before: Seconds::new(5), after: Seconds::new(10), last: Seconds::new(5) }
    }
}

impl Scenario {
    /// Reads one file.
    ///
    /// # Errors
    /// One sentence with the file's name and, for a word nobody knows, the nearest right one.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.file_stem().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
        Self::parse(&name, &text).with_context(|| format!("{} is no scenario", path.display()))
    }

    /// Reads the text of a file called `name`.
    ///
    /// # Errors
    /// As [`Self::read`], without the file's name.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let mut scenario: Self = toml::from_str(text).map_err(|error| sentence(&error, text))?;
        name.clone_into(&mut scenario.name);
        scenario.check()?;
        Ok(scenario)
    }

    /// All files of a folder, by name.
    ///
    /// # Errors
    /// When the folder cannot be read, or one of its files is no scenario.
    pub fn all(dir: &Path) -> Result<Vec<Self>> {
        let failed = || format!("cannot read the scenarios in {}", dir.display());
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(dir).with_context(failed)? {
            let path = entry.with_context(failed)?.path();
            if path.extension().is_some_and(|it| it == "toml") {
                paths.push(path);
            }
        }
        paths.sort();
        ensure!(!paths.is_empty(), "no scenario files in {}", dir.display());
        paths.iter().map(|it| Self::read(it)).collect()
    }

    /// Those of `all` with these names, in the order asked for.
    ///
    /// # Errors
    /// When there is none of such a name.
    pub fn named(all: &[Self], names: &[String]) -> Result<Vec<Self>> {
        let mut chosen = Vec::with_capacity(names.len());
        for name in names {
            let Some(scenario) = all.iter().find(|it| it.name == *name) else {
                let hint = spelling::hint(name, all.iter().map(|it| it.name.as_str()));
                bail!("there is no scenario {name:?}{hint}");
            };
            chosen.push(scenario.clone());
        }
        Ok(chosen)
    }

    fn check(&self) -> Result<()> {
        ensure!(!self.title.trim().is_empty(), "`title` is empty");
        ensure!(!self.why.trim().is_empty(), "`why` is empty: say what the scenario is for");
        ensure!(!self.steps.is_empty(), "there is no [[step]], so nothing would happen");
        self.load.check().context("[load]")?;
        for (number, step) in self.steps.iter().enumerate() {
            step.check(self.load.services).with_context(|| format!("step {} ({})", number + 1, step.action))?;
        }
        self.hold.check().context("[hold]")?;
        let persistent: Vec<_> = self.hold.checks.iter().filter(|it| hold::is_about_registers(it)).collect();
        if let Some(check) = persistent.first() {
            ensure!(self.load.registers > 0, "the check {check:?} needs persistent data: [load] registers = …");
        }
        // What cannot happen cannot be judged, and would be unknown every time.
        let load = &self.load;
        for (check, is_there, what) in [
            (Check::NoZombie, load.rate > 0 && load.dies > 0, "clients that die: [load] dies = …"),
            (Check::NoResurrection, load.rate > 0 && load.dies != 1, "clients that leave: [load] rate = …"),
            (Check::SyncLatency, !load.probe.is_empty(), "a probe: [load] probe = [0, 1]"),
        ] {
            let is_named = self.hold.checks.iter().any(|it| it == check.name());
            ensure!(is_there || !is_named, "the check {:?} needs {what}", check.name());
        }
        let mut shapes = BTreeSet::new();
        for it in &self.not_for {
            ensure!(shapes.insert(it.shape), "[[not-for]] names {} twice", it.shape);
        }
        Ok(())
    }

    /// Why the scenario says nothing about a target of this shape with so many nodes, if it does not.
    pub fn unsuitable(&self, shape: Shape, nodes: usize) -> Option<String> {
        if let Some(it) = self.not_for.iter().find(|it| it.shape == shape) {
            return Some(it.reason.clone());
        }
        let least = self.needs.nodes;
        (nodes < least).then(|| format!("it needs {least} nodes, and the target has {nodes}"))
    }

    /// Whether a leader of the persistent group must exist: somebody is to be found by it, or writes to it.
    pub fn needs_leader(&self) -> bool {
        self.load.registers > 0 || self.steps.iter().any(Step::needs_leader)
    }

    /// Whether it can last as long as the user wants.
    pub fn is_elastic(&self) -> bool {
        self.steps.iter().any(|it| it.action == Action::Random)
    }

    /// The same with its random part as long as this.
    #[must_use]
    pub fn lasting(mut self, duration: Duration) -> Self {
        for step in self.steps.iter_mut().filter(|it| it.action == Action::Random) {
            step.lasts = Some(Seconds(duration));
        }
        self
    }
}

/// What is wrong with a file in one sentence, where the library draws a picture.
fn sentence(error: &toml::de::Error, text: &str) -> anyhow::Error {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let told = format!("line {}\n{}", before.matches('\n').count() + 1, error.message());
    anyhow::anyhow!("{}", spelling::with_hint(told).to_string().replace('\n', ": "))
}

#[cfg(test)]
mod tests;
