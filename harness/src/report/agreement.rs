//! Whether the nodes agreed, in words, for every form of report.

use std::fmt::Write as _;

use serde::Serialize;

use super::format;
use super::score;
use crate::results::{Agreement, PairCheck, Results};

/// Differences and failures that are shown of one target.
const LINES_MAX: usize = 10;

// Writing to a string does not fail, so the results of `write!` below carry nothing.

/// One line of the table.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    /// Of which target.
    pub(super) target: String,
    /// `pass`, `fail` or `error`.
    pub(super) outcome: &'static str,
    /// `1,000, 2 of them without a clear answer`.
    pub(super) operations: String,
    /// `2.1 s`, or that they never did.
    pub(super) after: String,
    /// How long it was watched and how often it broke.
    pub(super) stayed: String,
    /// `90/90`.
    pub(super) pairs: String,
    /// What was wrong.
    pub(super) wrong: Vec<String>,
}

/// A line per verdict.
pub(super) fn lines(results: &Results) -> Vec<Line> {
    results.agreements.iter().map(line).collect()
}

fn line(it: &Agreement) -> Line {
    let mut operations = format::count(it.acknowledged);
    let unclear = [(it.indefinite, "without a clear answer"), (it.refused, "refused"), (it.left_out, "left out")];
    for (count, what) in unclear.into_iter().filter(|(count, _)| *count > 0) {
        let _ = write!(operations, ", {} {what}", format::count(count));
    }
    let after = it.agreed_after_ms.map_or_else(|| "never".to_owned(), |ms| format::value(ms, "ms"));
    let stayed = match (it.agreed_after_ms, it.breaks) {
        (None, _) => format::NONE.to_owned(),
        (_, 0) => format!("for {}", format::value(it.watched_ms, "ms")),
        (_, breaks) => format!("broke {}", format::plural(breaks, "time", "times")),
    };
    let held: u64 = it.pairs.iter().map(|it| it.held).sum();
    let failed: u64 = it.pairs.iter().map(|it| it.failed).sum();
    let pairs = if it.pairs.is_empty() { format::NONE.to_owned() } else { format!("{held}/{}", held + failed) };
    let failures = it.pairs.iter().flat_map(|pair| pair.failures.iter().map(move |it| (pair, it)));
    let failures = failures.map(|(pair, it)| format!("{} {}: {it}", pair.direction, pair.change));
    let all: Vec<String> = it.differences.iter().chain(&it.members).cloned().chain(failures).collect();
    let more = (all.len() as u64).max(it.differing).saturating_sub(LINES_MAX as u64);
    let mut wrong: Vec<String> = all.into_iter().take(LINES_MAX).map(|it| format::one_line(&it, 400)).collect();
    if more > 0 {
        wrong.push(format!("… and {} more", format::count(more)));
    }
    let (target, outcome) = (it.target.clone(), score::word(it.outcome));
    Line { target, outcome, operations, after, stayed, pairs, wrong }
}

/// A row per target and direction: how many of each kind of change came through.
pub(super) fn pairs(results: &Results) -> Vec<(String, String, String)> {
    let mut rows: Vec<(String, String, String)> = Vec::new();
    for it in &results.agreements {
        for PairCheck { change, direction, held, failed, .. } in &it.pairs {
            let text = format!("{change} {held}/{}", held + failed);
            match rows.iter_mut().find(|(target, known, _)| *target == it.target && known == direction) {
                Some((_, _, changes)) => {
                    let _ = write!(changes, ", {text}");
                }
                None => rows.push((it.target.clone(), direction.clone(), text)),
            }
        }
    }
    rows
}

/// The verdict on a terminal.
pub fn agreement_text(it: &Agreement) -> String {
    let line = line(it);
    let mut out = match it.agreed_after_ms {
        Some(ms) => format!("{}: agreed {} after the last operation", it.target, format::value(ms, "ms")),
        None => format!("{}: did NOT agree, {} differences", it.target, format::count(it.differing)),
    };
    let limit = format::value(it.limit_ms, "ms");
    if it.agreed_after_ms.is_some_and(|ms| ms > it.limit_ms) {
        let _ = write!(out, " (TOO LATE: the limit is {limit})");
    }
    let (services, instances) = (format::count(it.services), format::count(it.instances));
    let _ = write!(
        out,
        "; stayed: {}\n  {} operations acknowledged on {services} services, {instances} instances in the end, {} requests \
         repeated, {} deletions of services refused\n",
        line.stayed,
        line.operations,
        format::count(it.retried),
        format::count(it.deletions_refused)
    );
    for pair in &it.pairs {
        let _ = writeln!(out, "  {:16} {:13} {}/{}", pair.direction, pair.change, pair.held, pair.held + pair.failed);
    }
    for it in line.wrong.iter().chain(&it.notes) {
        let _ = writeln!(out, "  {it}");
    }
    let _ = write!(out, "  verdict: {}", line.outcome);
    out
}
