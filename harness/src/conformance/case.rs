//! The case files: `compat/cases/**/*.toml`, one per API area; their format is described in `compat/cases/README.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use indexmap::IndexMap;
use serde::Deserialize;

use super::cluster::case::{Scripted, WireRule};
use super::kept::Kept;

/// All cases, in the order they are asked.
#[derive(Debug, Clone, Default)]
pub struct CaseSet {
    /// The cases; a case may rely on the state the earlier ones left.
    pub cases: Vec<Case>,
}

/// How many servers a sequence is asked of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Topology {
    /// One server in standalone mode.
    Standalone,
    /// One member of a cluster of three: the first in the order of their addresses.
    Cluster3,
}

impl Topology {
    /// The word the recordings use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Standalone => "standalone",
            Self::Cluster3 => "cluster3",
        }
    }

    /// What stands behind the `@` of a result's id.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Standalone => "",
            Self::Cluster3 => "cluster",
        }
    }
}

/// What of an answer is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compare {
    /// Everything.
    #[default]
    All,
    /// Everything but the text of the body.
    Status,
}

/// One request and how its answer is compared.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Stable, unique over all files; names the recording.
    pub id: String,
    /// Method, any token.
    pub method: String,
    /// Path as sent, with the context path `/nacos`.
    pub path: String,
    /// Parameters in order, not yet encoded.
    #[serde(default)]
    pub params: IndexMap<String, String>,
    /// Sends `params` as a form body instead of a query.
    #[serde(default)]
    pub form: bool,
    /// Query sent byte for byte.
    pub raw_query: Option<String>,
    /// Body sent byte for byte.
    pub body: Option<String>,
    /// Header lines in order.
    #[serde(default)]
    pub headers: IndexMap<String, String>,
    /// Seconds to wait before asking; for a step that relies on a write applied asynchronously.
    #[serde(default)]
    pub wait: f64,
    /// Seconds a read may take until it shows the expected answer, when the usual bound is too short.
    pub deadline: Option<f64>,
    /// Whether the request may be repeated until it shows the expected answer; by default those that only read.
    pub poll: Option<bool>,
    /// Properties a report can filter by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// JSON fields whose values vary by nature: compared by presence and type.
    #[serde(default)]
    pub volatile: Vec<String>,
    /// Regular expressions of text that varies by nature: compared by matching.
    #[serde(default)]
    pub patterns: Vec<String>,
    /// Name of a JSON array whose order is not compared; needs a `reason`.
    pub unordered: Option<String>,
    /// JSON fields that may stand in any order among themselves where they are neighbours.
    #[serde(default)]
    pub unordered_keys: Vec<String>,
    /// The body names the ports of the members outside of an address.
    #[serde(default)]
    pub own_ports: bool,
    /// What is compared.
    #[serde(default)]
    pub compare: Compare,
    /// Why something is not compared.
    pub reason: Option<String>,
    /// Why the first recording does not hold for the sequence of the cases; its answer was recorded again.
    pub rerecorded: Option<String>,
    /// Where the step is asked; everywhere by default.
    #[serde(default = "everywhere")]
    pub topology: BTreeSet<Topology>,
    /// How the answer in a cluster is judged; without it the step is only asked there, for the state it leaves.
    pub cluster: Option<ClusterRule>,
    /// Where Tandem differs on purpose, and what it must answer there.
    #[serde(default)]
    pub kept: Vec<Kept>,
    /// First version the case holds for; the file's by default.
    #[serde(default)]
    pub since: String,
    /// First version the case does not hold for any more.
    pub until: Option<String>,
    /// Where the behaviour is described, when not where the file says.
    pub spec: Option<String>,
    /// Text that a read of the reference must show before anything is compared; only in cases between members.
    pub shows: Option<String>,
    /// What members must send each other because of the request; only in cases between members.
    pub wire: Option<WireRule>,
    /// Seconds between two such requests that members send by themselves; only in cases between members.
    pub every: Option<f64>,
    /// How the harness answers as a foreign member; only in cases between members.
    #[serde(default)]
    pub foreign: Vec<Scripted>,
    /// Area, from the file.
    #[serde(skip)]
    pub area: String,
}

/// How a case is judged in a cluster of three.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterRule {
    /// Why a member of a real cluster may still give an older answer. The recorded one is expected then, and a real
    /// member also passes with what it answered to the same request before.
    pub late: Option<String>,
    /// Why the answer recorded of one server counts as well.
    pub or_standalone: Option<String>,
    /// As [`Case::poll`].
    pub poll: Option<bool>,
    /// Further volatile fields.
    #[serde(default)]
    pub volatile: Vec<String>,
    /// Further patterns.
    #[serde(default)]
    pub patterns: Vec<String>,
    /// What is compared, when not as in standalone mode.
    pub compare: Option<Compare>,
    /// As [`Case::unordered`].
    pub unordered: Option<String>,
    /// Why something is not compared.
    pub reason: Option<String>,
    /// As [`Case::rerecorded`].
    pub rerecorded: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    area: String,
    order: u32,
    #[serde(rename = "spec")]
    _spec: String,
    since: String,
    #[serde(default, rename = "case")]
    cases: Vec<Case>,
}

fn everywhere() -> BTreeSet<Topology> {
    BTreeSet::from([Topology::Standalone, Topology::Cluster3])
}

impl Case {
    /// A case that excepts nothing from comparison.
    pub fn bare(id: &str) -> Self {
        Self { id: id.to_owned(), ..Self::default() }
    }

    /// Whether asking again does no harm.
    pub fn may_repeat(&self, topology: Topology) -> bool {
        let poll = self.rule(topology).and_then(|rule| rule.poll).or(self.poll);
        poll.unwrap_or(matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE"))
    }

    /// What holds in this topology alone.
    fn rule(&self, topology: Topology) -> Option<&ClusterRule> {
        self.cluster.as_ref().filter(|_| topology == Topology::Cluster3)
    }

    /// Whether the answer is judged in this topology; otherwise the step is asked for the state it leaves.
    pub fn judged(&self, topology: Topology) -> bool {
        topology == Topology::Standalone || self.cluster.is_some()
    }

    /// Id in results: `A001`, in a cluster `A001@cluster`.
    pub fn result_id(&self, topology: Topology) -> String {
        match topology.suffix() {
            "" => self.id.clone(),
            suffix => format!("{}@{suffix}", self.id),
        }
    }

    /// What Tandem must answer where it differs on purpose; `at` is what stands behind the `@` of the result's id.
    pub fn kept_at(&self, at: &str) -> Option<&Kept> {
        self.kept.iter().find(|kept| kept.at == at)
    }

    /// Ids of the results that differ on purpose, each with its row in `compat/DIFFERENCES.md`.
    pub fn kept_results(&self) -> impl Iterator<Item = (String, &str)> {
        self.kept.iter().map(|kept| {
            let id = if kept.at.is_empty() { self.id.clone() } else { format!("{}@{}", self.id, kept.at) };
            (id, kept.difference.as_str())
        })
    }

    /// Why a real server may still give an older answer in this topology.
    pub fn late(&self, topology: Topology) -> Option<&str> {
        self.rule(topology)?.late.as_deref()
    }

    /// Why the answer recorded of one server counts as well in this topology.
    pub fn or_standalone(&self, topology: Topology) -> Option<&str> {
        self.rule(topology)?.or_standalone.as_deref()
    }

    /// What is compared in this topology.
    pub fn compare_in(&self, topology: Topology) -> Compare {
        self.rule(topology).and_then(|rule| rule.compare).unwrap_or(self.compare)
    }

    /// Why the answer was recorded again for this topology.
    pub fn rerecorded_in(&self, topology: Topology) -> Option<&str> {
        match topology {
            Topology::Standalone => self.rerecorded.as_deref(),
            Topology::Cluster3 => self.cluster.as_ref()?.rerecorded.as_deref(),
        }
    }

    /// Whether the case holds for a version such as `1.4.1`.
    pub fn applies_to(&self, version: &str) -> bool {
        let number = |text: &str| -> Vec<u32> { text.split('.').map(|part| part.parse().unwrap_or(0)).collect() };
        let asked = number(version);
        number(&self.since) <= asked && self.until.as_deref().is_none_or(|until| asked < number(until))
    }

    fn check(&self) -> Result<()> {
        ensure!(!self.id.is_empty(), "has no id");
        let between_members =
            self.shows.is_some() || self.every.is_some() || self.wire.is_some() || !self.foreign.is_empty();
        ensure!(!between_members, "has keys of cases between members (`cases/cluster`)");
        for kept in &self.kept {
            let known = [Topology::Standalone, Topology::Cluster3].into_iter().find(|it| it.suffix() == kept.at);
            let judged = known.is_some_and(|it| self.topology.contains(&it) && self.judged(it));
            ensure!(judged, "keeps a difference at `{}`, where it is not judged", kept.at);
            ensure!(kept.between.is_empty(), "keeps a difference `between` members (`cases/cluster`)");
        }
        self.check_alone()
    }

    /// What holds for every case.
    pub(super) fn check_alone(&self) -> Result<()> {
        ensure!(self.path.starts_with('/'), "path `{}` does not begin with `/`", self.path);
        ensure!(self.raw_query.is_none() || self.params.is_empty(), "has both `params` and `raw_query`");
        ensure!(self.body.is_none() || !self.form, "has both `form` and `body`");
        ensure!(self.wait.is_finite() && (0.0..=60.0).contains(&self.wait), "waits {} s", self.wait);
        let deadline = self.deadline.unwrap_or(0.0);
        ensure!(deadline.is_finite() && (0.0..=60.0).contains(&deadline), "has a deadline of {deadline} s");
        ensure!(self.unordered.is_none() || self.reason.is_some(), "is `unordered` without a `reason`");
        ensure!(
            self.compare == Compare::All || self.reason.is_some() || self.tags.iter().any(|t| t == "jvm-text"),
            "compares only the status without a `reason` or the tag `jvm-text`"
        );
        for (index, kept) in self.kept.iter().enumerate() {
            ensure!(kept.says_something(), "does not say what must be answered instead ({})", kept.difference);
            let twice = self.kept.iter().skip(index + 1).any(|it| it.at == kept.at);
            ensure!(!twice, "keeps two differences at `{}`", kept.at);
        }
        let rule = self.cluster.clone().unwrap_or_default();
        ensure!(rule.unordered.is_none() || rule.reason.is_some(), "is `unordered` in a cluster without a `reason`");
        for pattern in self.patterns.iter().chain(&rule.patterns) {
            regex::Regex::new(pattern).with_context(|| format!("has the pattern `{pattern}`"))?;
        }
        Ok(())
    }
}

impl CaseSet {
    /// Reads every `.toml` file below a directory, in the order the files give themselves.
    ///
    /// # Errors
    /// Names the file and, where there is one, the case: unreadable, not the format, an id or an order used twice.
    pub fn load(dir: &Path) -> Result<Self> {
        let mut paths = Vec::new();
        collect(dir, &mut paths).with_context(|| format!("cannot read the cases in {}", dir.display()))?;
        paths.sort();
        let mut files = BTreeMap::new();
        for path in paths {
            let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let file: CaseFile = toml::from_str(&text)
                .map_err(crate::spelling::with_hint)
                .with_context(|| format!("{} is not a case file", path.display()))?;
            if let Some((_, other)) = files.insert(file.order, (file, path.clone())) {
                bail!("{} has the same order as {}", path.display(), other.display());
            }
        }
        ensure!(!files.is_empty(), "no case files in {}", dir.display());
        let mut seen = BTreeSet::new();
        let mut cases = Vec::new();
        for (file, path) in files.into_values() {
            for mut case in file.cases {
                case.area.clone_from(&file.area);
                if case.since.is_empty() {
                    case.since.clone_from(&file.since);
                }
                case.check().with_context(|| format!("{}: case {}", path.display(), case.id))?;
                ensure!(seen.insert(case.id.clone()), "{}: case {} is there twice", path.display(), case.id);
                cases.push(case);
            }
        }
        Ok(Self { cases })
    }

    /// The cases that are asked of this version in this topology, up to the last one that is judged there.
    pub fn select(&self, version: &str, topology: Topology) -> Vec<&Case> {
        let applies = |case: &&Case| case.applies_to(version) && case.topology.contains(&topology);
        let mut asked: Vec<&Case> = self.cases.iter().filter(applies).collect();
        asked.truncate(asked.iter().rposition(|case| case.judged(topology)).map_or(0, |last| last + 1));
        asked
    }
}

fn collect(dir: &Path, out: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, out)?;
        } else if path.extension().is_some_and(|e| e == "toml") {
            out.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<CaseSet> {
        let dir = tempfile::tempdir().expect("directory");
        std::fs::write(dir.path().join("some-area.toml"), text).expect("write");
        CaseSet::load(dir.path())
    }

    const HEAD: &str = "area = \"x\"\norder = 1\nspec = \"s\"\nsince = \"1.4.1\"\n";
    const CASE: &str = "[[case]]\nid = \"X1\"\nmethod = \"GET\"\npath = \"/p\"\n";

    #[test]
    fn keeps_order_and_takes_defaults_from_the_file() {
        let set = load(&format!("{HEAD}{CASE}params = {{ z = \"1\", a = \"2\" }}\n")).expect("cases");
        let case = &set.cases[0];
        assert_eq!(case.params.keys().collect::<Vec<_>>(), ["z", "a"]);
        assert_eq!((case.area.as_str(), case.since.as_str()), ("x", "1.4.1"));
        assert!(
            case.may_repeat(Topology::Standalone)
                && case.judged(Topology::Standalone)
                && !case.judged(Topology::Cluster3)
        );
        assert!(case.applies_to("1.4.1") && case.applies_to("1.10.0") && !case.applies_to("1.3.0"));
    }

    #[test]
    fn errors_name_file_and_case() {
        let text = |tail: &str| format!("{:#}", load(&format!("{HEAD}{CASE}{tail}")).expect_err("must fail"));
        assert!(text("nonsense = 1\n").contains("some-area.toml"));
        for tail in ["wait = -1.0\n", "unordered = \"hosts\"\n", "patterns = [\"(\"]\n", "compare = \"status\"\n"] {
            let text = text(tail);
            assert!(text.contains("some-area.toml") && text.contains("case X1"), "{text}");
        }
        let twice = text(CASE);
        assert!(twice.contains("some-area.toml: case X1 is there twice"), "{twice}");
    }
}
