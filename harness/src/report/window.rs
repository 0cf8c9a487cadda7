//! Whether changes of health came when official nodes make them, in words, for every form of report.

use serde::Serialize;

use super::format;
use super::score;
use crate::results::{Results, WindowCheck};

/// One line of the table.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    /// Of which target.
    pub(super) target: String,
    /// `pass`, `fail` or `error`.
    pub(super) outcome: &'static str,
    /// `last beat → gone, default timeouts`.
    pub(super) change: String,
    /// `read at the owner`.
    pub(super) seen: String,
    /// How many.
    pub(super) samples: String,
    /// `30.1 s to 34.8 s`.
    pub(super) range: String,
    /// When official nodes do it.
    pub(super) official: String,
    /// When the real server did it in this run.
    pub(super) real: String,
    /// How far the two distributions are apart at most.
    pub(super) difference: String,
    /// What was wrong.
    pub(super) wrong: String,
}

/// A line per verdict.
pub(super) fn lines(results: &Results) -> Vec<Line> {
    results.windows.iter().map(line).collect()
}

fn line(it: &WindowCheck) -> Line {
    let direction = it.direction.as_ref().map(|it| format!(", {it}")).unwrap_or_default();
    let range = |least: Option<f64>, most: Option<f64>| match least.zip(most) {
        Some((least, most)) => format!("{} to {}", format::value(least, "ms"), format::value(most, "ms")),
        None => format::NONE.to_owned(),
    };
    let total = it.samples + it.missing;
    Line {
        target: format::one_line(&it.target, 80),
        outcome: score::word(it.outcome),
        change: format::one_line(&format!("{}, {}", it.change, it.instances), 120),
        seen: format::one_line(&format!("{} at {}{direction}", it.by, it.at), 120),
        samples: if it.missing == 0 {
            format::count(it.samples)
        } else {
            format!("{} of {}", format::count(it.samples), format::count(total))
        },
        range: range(it.min_ms, it.max_ms),
        official: range(Some(it.above_ms), Some(it.at_most_ms)),
        real: range(it.real_min_ms, it.real_max_ms),
        difference: it.difference.map_or_else(|| format::NONE.to_owned(), |it| format!("{it:.2}")),
        wrong: format::one_line(&it.reasons.join("; "), 400),
    }
}
