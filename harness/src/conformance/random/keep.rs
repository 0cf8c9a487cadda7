//! A difference as a case file: the calls, each a case, with names of their own (`compat/cases/README.md`).

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use tokio::time::sleep;

use super::operation::Operation;
use super::shrink::Shrunk;
use crate::conformance::case::{CaseSet, Topology};
use crate::conformance::place::Fixture;
use crate::conformance::play::{Pace, Player};
use crate::conformance::record::{blank, replace};
use crate::conformance::recording::CASES_FILE;
use crate::conformance::runner::place;
use crate::target::Cluster;

/// Pause before each call whose answer is recorded: the writes before it have been applied by then.
const SETTLE: Duration = Duration::from_millis(120);

/// Seconds between two writes of a kept sequence: each must have been applied by the real server before the next.
const WAIT: f64 = 0.1;

/// Why kept cases have an answer of their own in the recordings.
const RERECORDED: &str = "found by generated sequences, after the first recording";

/// What tells one kept sequence from all others.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// Seed of the run.
    pub seed: u64,
    /// Number of the sequence in it.
    pub sequence: u64,
}

impl Origin {
    /// Part of ids and names.
    pub fn name(self) -> String {
        format!("gs{}n{}", self.seed, self.sequence)
    }
}

/// The calls of a difference, the one that shows it last.
pub fn steps(shrunk: &Shrunk) -> Vec<Operation> {
    let mut steps = shrunk.operations.clone();
    if shrunk.difference.is_look {
        steps.push(shrunk.difference.operation.clone());
    }
    steps
}

/// Writes the cases of a difference into a folder, as a file of its own, and returns where.
///
/// # Errors
/// When the file cannot be written.
pub fn write(shrunk: &Shrunk, origin: Origin, folder: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join(format!("{}.toml", origin.name()));
    let text = format!("{}{}", head(), cases(shrunk, origin));
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// The head of a file of kept sequences.
pub fn head() -> &'static str {
    "# Sequences that generated calls (`tandem conform --random`) once answered differently.\n#\n\
     # Format: compat/cases/README.md. Answers: compat/recordings, by id.\n\
     area = \"generated\"\norder = 910\nspec = \"naming-api.md\"\nsince = \"1.4.1\"\n"
}

/// The cases of a difference, as they stand in a case file.
pub fn cases(shrunk: &Shrunk, origin: Origin) -> String {
    let name = origin.name();
    let mut out = format!("\n# {}\n", shrunk.difference.text.replace(['\n', '\r'], " "));
    let steps = steps(shrunk);
    let mut after_write = false;
    for (index, step) in steps.iter().enumerate() {
        let case = step.case(&format!("{name}-{}", index + 1), &name);
        // Writing to a string does not fail.
        let _ = writeln!(out, "\n[[case]]\nid = {}", quoted(&case.id));
        let _ = writeln!(out, "method = {}\npath = {}", quoted(&case.method), quoted(&case.path));
        table(&mut out, "params", case.params.iter());
        if case.form {
            out.push_str("form = true\n");
        }
        table(&mut out, "headers", case.headers.iter());
        if after_write && !step.only_reads() {
            let _ = writeln!(out, "wait = {WAIT:?}");
        }
        if !step.only_reads() && step.method == "GET" {
            out.push_str("poll = false\n");
        }
        out.push_str("topology = [\"standalone\"]\n");
        let is_last = index + 1 == steps.len();
        let volatile = volatile(step, is_last.then_some(shrunk.difference.expected.body.as_str()));
        list(&mut out, "volatile", &volatile);
        let keys: Vec<_> = case.unordered_keys.iter().map(String::as_str).collect();
        list(&mut out, "unordered_keys", &keys);
        let _ = writeln!(out, "rerecorded = {}", quoted(RERECORDED));
        after_write = !step.only_reads();
    }
    out
}

/// Appends the cases of a written difference to those of the project, and what the reference answers to them to its
/// recordings. Returns how many cases.
///
/// # Errors
/// When the file is not one that [`write()`] wrote, a case gets no answer, or something cannot be written.
pub async fn keep(file: &Path, reference: &Cluster, version: &str, compat: &Path) -> Result<usize> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let Some(cases) = text.strip_prefix(head()) else { bail!("{} is no case file of --random", file.display()) };
    let alone = tempfile::tempdir().context("cannot make a folder")?;
    std::fs::write(alone.path().join("one.toml"), &text).context("cannot write the cases")?;
    let set = CaseSet::load(alone.path())?;
    let fixture = Fixture::open().await.context("cannot open a port for health checks")?;
    let place = place(reference, &fixture);
    let pace = Pace::standalone();
    let mut player = Player::new(&place, &pace);
    let mut lines = String::new();
    for case in &set.cases {
        sleep(SETTLE).await;
        let answer = player.ask(case, Topology::Standalone, false, |_| true).await;
        let answer = answer.map_err(|error| anyhow!("case {}: {error}", case.id))?;
        let mut line = blank(case, Topology::Standalone);
        line.set_answer(&answer);
        lines.push_str(&serde_json::to_string(&line).context("cannot write a recording")?);
        lines.push('\n');
    }
    let target = compat.join("cases/naming/generated.toml");
    let earlier = if target.exists() { std::fs::read_to_string(&target)? } else { head().to_owned() };
    let recording = compat.join("recordings").join(version).join(CASES_FILE);
    let recorded = std::fs::read_to_string(&recording).with_context(|| format!("no {}", recording.display()))?;
    for case in &set.cases {
        let id = format!("id = {}\n", quoted(&case.id));
        ensure!(!earlier.contains(&id), "case {} is in {} already", case.id, target.display());
    }
    replace(&target, &format!("{earlier}{cases}"))?;
    replace(&recording, &format!("{recorded}{lines}"))?;
    Ok(set.cases.len())
}

/// The times in the answer of a call.
fn volatile(step: &Operation, body: Option<&str>) -> Vec<&'static str> {
    let is_list = ["/list", "/srvIPXT"].iter().any(|end| step.path.ends_with(end));
    let fields = [
        ("lastRefTime", is_list),
        ("lastBeat", step.path.ends_with("catalog/instances")),
        ("timestamp", body.is_some_and(|it| it.contains("\"timestamp\":"))),
    ];
    fields.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn table<'a>(out: &mut String, name: &str, pairs: impl Iterator<Item = (&'a String, &'a String)>) {
    let pairs: Vec<_> = pairs.map(|(key, value)| format!("{key} = {}", quoted(value))).collect();
    if !pairs.is_empty() {
        let _ = writeln!(out, "{name} = {{ {} }}", pairs.join(", "));
    }
}

fn list(out: &mut String, name: &str, values: &[&str]) {
    if !values.is_empty() {
        let values: Vec<_> = values.iter().map(|it| quoted(it)).collect();
        let _ = writeln!(out, "{name} = [{}]", values.join(", "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::wire::Framing;
    use crate::conformance::answer::{Answer, Origin as From};
    use crate::conformance::random::generator::Sequence;
    use crate::conformance::random::pair::Difference;

    #[test]
    fn what_is_written_reads_back_as_the_same_calls() {
        let expected = Answer {
            status: 200,
            reason_phrase: false,
            content_type: None,
            connection: None,
            framing: Framing::Length,
            headers: std::collections::BTreeMap::new(),
            body: "{}".to_owned(),
            origin: From::Live,
        };
        for number in 0..40 {
            let operations = Sequence::generate(3, number, 40).operations();
            let operation =
                Operation::read("/nacos/v1/ns/service", &[("serviceName", "s1"), ("namespaceId", "{tag}a")]);
            let (expected, text) = (expected.clone(), "a\nb".to_owned());
            let difference = Difference { operation, made: 40, is_look: true, text, expected, observed: None };
            let shrunk = Shrunk { operations, difference, tries: 1 };
            let origin = Origin { seed: 3, sequence: number };
            let folder = tempfile::tempdir().expect("a folder");
            write(&shrunk, origin, folder.path()).expect("written");
            let read = CaseSet::load(folder.path()).expect("cases").cases;
            assert_eq!(read.len(), 41);
            for (read, step) in read.iter().zip(steps(&shrunk)) {
                let case = step.case(&read.id, &origin.name());
                assert_eq!((&read.method, &read.path, &read.params), (&case.method, &case.path, &case.params));
                assert_eq!((&read.headers, read.form), (&case.headers, case.form));
                assert_eq!(read.may_repeat(Topology::Standalone), case.may_repeat(Topology::Standalone), "{read:?}");
            }
        }
    }
}
