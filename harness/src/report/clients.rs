//! Runs of official clients, in words for any kind of report.

use super::format;
use crate::results::{ClientRun, Counts, Outcome};

/// One run as a row.
pub(crate) struct Line {
    /// `java (com.alibaba.nacos:nacos-client 1.4.1)`.
    pub(crate) client: String,
    /// `2xnacos+tandem, nacos→tandem`.
    pub(crate) target: String,
    /// `18/18`: passed of tried.
    pub(crate) passed: String,
    /// `appear by push after 51 ms, …`.
    pub(crate) told: String,
    /// Steps that were not tried or did not pass, with the reason.
    pub(crate) rest: Vec<String>,
}

/// One row per run.
pub(crate) fn lines(runs: &[ClientRun]) -> Vec<Line> {
    runs.iter().map(line).collect()
}

fn line(run: &ClientRun) -> Line {
    let mut counts = Counts::default();
    run.steps.iter().for_each(|step| counts.add(step.outcome));
    let told = run.steps.iter().filter_map(|step| {
        let after = step.after_ms.map(|ms| format!(" after {}", format::value(ms, "ms"))).unwrap_or_default();
        Some(format!("{} by {}{after}", step.step, step.way.as_ref()?))
    });
    let rest = run.steps.iter().filter(|step| step.outcome != Outcome::Pass);
    Line {
        client: format!("{} ({})", run.client, run.package),
        target: match &run.direction {
            Some(direction) => format!("{}, {direction}", run.target),
            None => run.target.clone(),
        },
        passed: format!("{}/{}", counts.pass, super::score::tried(&counts)),
        told: told.collect::<Vec<_>>().join(", "),
        rest: rest.map(|it| format!("{} ({}): {}", it.step, super::score::word(it.outcome), it.reason)).collect(),
    }
}
