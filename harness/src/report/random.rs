//! Generated sequences of API calls, in words, for every form of report.

use serde::Serialize;

use super::format;
use crate::results::{Random, Results};

/// Differences and other lines that are shown of one target.
const LINES_MAX: usize = 20;
/// Characters of a call or a reason.
const LINE_CHARS: usize = 400;

/// One line of the table.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    /// Of which target.
    pub(super) target: String,
    /// `pass`, `fail` or `error`.
    pub(super) outcome: &'static str,
    /// `20,000 in 500 sequences`.
    pub(super) operations: String,
    /// Answers that were compared.
    pub(super) compared: String,
    /// Sequences that differ without excuse.
    pub(super) differing: String,
    /// `B2 12, C4 3`: what is excused, by row of `compat/DIFFERENCES.md`.
    pub(super) kept: String,
    /// What repeats it.
    pub(super) seed: String,
    /// What differed, shortest sequences first as they were found, and what could not be judged.
    pub(super) wrong: Vec<String>,
}

/// A line per target.
pub(super) fn lines(results: &Results) -> Vec<Line> {
    results.random.iter().map(line).collect()
}

fn line(it: &Random) -> Line {
    let none = || format::NONE.to_owned();
    let kept: Vec<_> = it.kept.iter().map(|(id, count)| format!("{id} {}", format::count(*count))).collect();
    let differences = it.differences.iter().map(|it| format!("{}: {}", it.steps.join(" → "), it.reason));
    let unrepeated = it.unrepeated.iter().map(|it| format!("seen once, not again: {it}"));
    let mut wrong: Vec<_> = differences.chain(unrepeated).chain(it.errors.iter().cloned()).collect();
    if it.cut_short > 0 {
        wrong.push(format!(
            "{} took too long and were cut short",
            format::plural(it.cut_short, "sequence", "sequences")
        ));
    }
    let more = wrong.len().saturating_sub(LINES_MAX);
    let mut wrong: Vec<_> = wrong.iter().take(LINES_MAX).map(|it| format::one_line(it, LINE_CHARS)).collect();
    if more > 0 {
        wrong.push(format!("… and {more} more"));
    }
    Line {
        target: it.target.clone(),
        outcome: outcome(it),
        operations: format!(
            "{} in {}",
            format::count(it.operations),
            format::plural(it.sequences, "sequence", "sequences")
        ),
        compared: format::count(it.compared),
        differing: format::count(it.differing),
        kept: if kept.is_empty() { none() } else { kept.join(", ") },
        seed: it.seed.to_string(),
        wrong,
    }
}

fn outcome(it: &Random) -> &'static str {
    match (it.differing, it.errors.is_empty() && it.sequences > 0) {
        (0, true) => "pass",
        (0, false) => "error",
        _ => "fail",
    }
}

/// The verdict on a terminal.
pub fn random_text(it: &Random) -> String {
    let line = line(it);
    format!(
        "{} beside {}: {} operations, {} answers compared, {} differ without excuse; kept on purpose: {}; seen once and \
         not again: {}; cut short: {}; seed {}; {}\nverdict: {}",
        line.target,
        it.reference,
        line.operations,
        line.compared,
        format::plural(it.differing, "sequence", "sequences"),
        line.kept,
        it.unrepeated.len(),
        it.cut_short,
        it.seed,
        format::seconds(it.duration_s),
        line.outcome
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_judged_nothing_or_differed_is_no_pass() {
        let run = Random { sequences: 2, operations: 80, ..Random::default() };
        assert_eq!(outcome(&run), "pass");
        assert_eq!(outcome(&Random::default()), "error");
        assert_eq!(outcome(&Random { errors: vec!["no answer".to_owned()], ..run.clone() }), "error");
        assert_eq!(outcome(&Random { differing: 1, ..run.clone() }), "fail");
        assert!(random_text(&run).ends_with("verdict: pass"));
    }
}
