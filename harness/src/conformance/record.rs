//! New recordings: asks the cases of a fresh real server and keeps the answers.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::{Instant, sleep, sleep_until};

use super::answer::KEPT_BODY;
use super::case::{Case, CaseSet, Topology};
use super::place::Fixture;
use super::play::{Pace, Player};
use super::recording::{CASES_FILE, Line, RecordedWith, WITH_FILE};
use super::runner::{place, topology};
use crate::target::Cluster;

/// Asks all cases of a fresh server and writes `naming-cases.jsonl` and its entry in `recorded-with.json` into a
/// directory (`compat/recordings/VERSION`). Each file is replaced as a whole or not at all. Returns how many answers
/// were recorded.
///
/// Nothing says here what a read must show, so a read waits until the last write is long enough ago, and a case with
/// a `deadline` waits that long.
///
/// # Errors
/// When a case gets no answer (named), or a file cannot be written.
pub async fn record(target: &Cluster, cases: &CaseSet, version: &str, out: &Path) -> Result<usize> {
    let topology = topology(target).context("only one server or a cluster of three can be recorded")?;
    let (pace, settle) = match topology {
        Topology::Standalone => (Pace::standalone(), Duration::from_millis(80)),
        Topology::Cluster3 => (Pace::cluster(), Duration::from_millis(2500)),
    };
    let fixture = Fixture::open().await.context("cannot open a port for health checks")?;
    let place = place(target, &fixture);
    let mut player = Player::new(&place, &pace);
    let mut lines = Vec::new();
    let mut settled = Instant::now();
    for case in cases.select(version, topology) {
        if let Some(seconds) = case.deadline {
            sleep(Duration::from_secs_f64(seconds)).await;
        }
        // In a cluster most reads are only steps; waiting for all of them would take a quarter of an hour.
        if case.may_repeat(topology) && case.judged(topology) {
            sleep_until(settled).await;
        }
        let answer = player
            .ask(case, topology, false, |_| true)
            .await
            .map_err(|error| anyhow::anyhow!("case {}: {error}", case.id))?;
        if !case.may_repeat(topology) {
            settled = Instant::now() + settle;
        }
        if case.judged(topology) {
            let mut line = blank(case, topology);
            line.set_answer(&answer);
            lines.push(line);
        }
    }
    ensure!(!lines.is_empty(), "no case applies to {version}");
    let when = time::OffsetDateTime::now_utc();
    let when = when.format(&time::format_description::well_known::Rfc3339).context("cannot write the time")?;
    let with = RecordedWith {
        how: format!(
            "the cases in their order, at one fresh {} server; reads {} ms after the last write; bodies cut at \
             {KEPT_BODY} characters",
            topology.name(),
            settle.as_millis()
        ),
        when,
        artifacts: target.nodes.iter().map(|node| format!("{} {}", node.launch, node.artifact)).collect(),
        places: BTreeMap::from([(topology.name().to_owned(), place.clone())]),
    };
    save(&lines, with, topology, out)?;
    Ok(lines.len())
}

/// A line that says what was asked and nothing of the answer.
pub(super) fn blank(case: &Case, topology: Topology) -> Line {
    Line {
        id: case.id.clone(),
        topology,
        method: case.method.clone(),
        path: case.path.clone(),
        params: case.params.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        sent_in: case.form.then(|| "form".to_owned()),
        raw_query: case.raw_query.clone(),
        body_sent: case.body.clone(),
        headers: case.headers.clone(),
        status: 0,
        reason_phrase: false,
        content_type: None,
        body: String::new(),
        body_length: None,
        response_headers: BTreeMap::new(),
    }
}

/// Writes the lines of one topology and keeps those of the others.
fn save(lines: &[Line], mut with: RecordedWith, topology: Topology, out: &Path) -> Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let (cases_path, with_path) = (out.join(CASES_FILE), out.join(WITH_FILE));
    let mut text = String::new();
    for line in std::fs::read_to_string(&cases_path).unwrap_or_default().lines() {
        let earlier: Line = serde_json::from_str(line).with_context(|| format!("in {}", cases_path.display()))?;
        if earlier.topology != topology {
            text.push_str(line);
            text.push('\n');
        }
    }
    for line in lines {
        text.push_str(&serde_json::to_string(line).context("cannot write a recording")?);
        text.push('\n');
    }
    let mut all: BTreeMap<String, RecordedWith> = match std::fs::read_to_string(&with_path) {
        Ok(text) => serde_json::from_str(&text).with_context(|| format!("in {}", with_path.display()))?,
        Err(_) => BTreeMap::new(),
    };
    if let Some(earlier) = all.remove(CASES_FILE) {
        for (name, place) in earlier.places {
            with.places.entry(name).or_insert(place);
        }
    }
    all.insert(CASES_FILE.to_owned(), with);
    replace(&cases_path, &text)?;
    replace(&with_path, &format!("{}\n", serde_json::to_string_pretty(&all).context("cannot write the origin")?))
}

/// Replaces a file in one step.
pub(super) fn replace(path: &Path, text: &str) -> Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file =
        tempfile::NamedTempFile::new_in(dir).with_context(|| format!("cannot write in {}", dir.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
    file.persist(path).with_context(|| format!("cannot replace {}", path.display()))?;
    Ok(())
}
