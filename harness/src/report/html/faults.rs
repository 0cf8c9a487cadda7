//! Fault scenarios: what held at which target, and what was served while it was broken.

use serde::Serialize;

use super::{Colours, LINES_MAX};
use crate::report::plot::{self, Lane, Size};
use crate::report::{format, score};
use crate::results::{Fault, FaultCheck, FaultFigure, Outcome, Results, TimelineSample, unseen_bugs};

/// Scenarios that are shown; beyond that the reader is sent to `results.json`.
const SCENARIOS_MAX: usize = 100;
/// Events of one timeline that are listed.
const EVENTS_MAX: usize = 60;
/// Violations of one check that are shown with their evidence.
const VIOLATIONS_MAX: usize = 3;
/// Intervals that are drawn: more cannot be told apart.
const SAMPLES_MAX: usize = 4_000;

/// Every scenario by every target.
#[derive(Debug, Serialize)]
pub(super) struct Faults {
    targets: Vec<(String, usize)>,
    scenarios: Vec<Scenario>,
}

#[derive(Debug, Serialize)]
struct Scenario {
    name: String,
    /// That no target shows the bug it was written to find; empty when one does, or it was not.
    unseen: String,
    /// One per target; absent where it was not run.
    cells: Vec<Option<Cell>>,
    /// Every check by every target; empty where scenarios have a single verdict.
    checks: Vec<Check>,
    wide: String,
    narrow: String,
    runs: Vec<Run>,
    /// Something did not hold, so a reader wants to see it.
    is_open: bool,
}

#[derive(Debug, Serialize)]
struct Cell {
    target: String,
    outcome: &'static str,
    words: String,
}

#[derive(Debug, Serialize)]
struct Check {
    name: String,
    cells: Vec<Option<Cell>>,
}

/// What is wrong about one check, or why it could not be judged.
#[derive(Debug, Serialize)]
struct Found {
    check: String,
    says: String,
    /// Time and line, and the event.
    evidence: Vec<(String, String)>,
}

/// The scenario at one target.
#[derive(Debug, Serialize)]
struct Run {
    target: String,
    colour: usize,
    outcome: &'static str,
    /// Recovery, losses and availability, in words.
    figures: String,
    violations: Vec<String>,
    found: Vec<Found>,
    measured: Vec<[String; 6]>,
    history: String,
    timeline: Vec<(String, String)>,
}

/// Arranges the scenarios in their order; absent when the run had none.
///
/// # Errors
/// When a drawing does not render.
pub(super) fn view(results: &Results, colours: &Colours<'_>) -> anyhow::Result<Option<Faults>> {
    if results.faults.is_empty() {
        return Ok(None);
    }
    let mut targets: Vec<&str> = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    for fault in &results.faults {
        if !targets.contains(&fault.target.as_str()) {
            targets.push(&fault.target);
        }
        if !names.contains(&fault.scenario.as_str()) {
            names.push(&fault.scenario);
        }
    }
    targets.sort_by_key(|it| colours.of(it));
    let scenarios = names.into_iter().take(SCENARIOS_MAX).map(|name| scenario(results, name, &targets, colours));
    Ok(Some(Faults {
        scenarios: scenarios.collect::<anyhow::Result<_>>()?,
        targets: targets.iter().map(|it| (format::one_line(it, 80), colours.of(it))).collect(),
    }))
}

fn scenario(results: &Results, name: &str, targets: &[&str], colours: &Colours<'_>) -> anyhow::Result<Scenario> {
    let at = |target: &&str| results.faults.iter().find(|it| it.scenario == name && it.target == **target);
    let unseen = unseen_bugs(&results.faults, name).unwrap_or_default();
    let found: Vec<&Fault> = targets.iter().filter_map(at).collect();
    let lanes: Vec<Lane> = found.iter().map(|it| lane(it, colours)).collect();
    let name = format::one_line(name, 200);
    let draw = |size| anyhow::Ok(plot::timeline(&lanes, &format!("Timeline: {name}"), size)?.unwrap_or_default());
    let mut checks: Vec<&str> = Vec::new();
    for check in found.iter().flat_map(|it| &it.checks) {
        if !checks.contains(&check.check.as_str()) {
            checks.push(&check.check);
        }
    }
    let checks = checks.into_iter().take(LINES_MAX).map(|check| {
        let of_target = |target: &&str| at(target)?.checks.iter().find(|it| it.check == check);
        let cells = targets.iter().map(|it| of_target(it).map(|found| check_cell(it, found))).collect();
        Check { name: format::one_line(check, 80), cells }
    });
    Ok(Scenario {
        checks: checks.collect(),
        cells: targets.iter().map(|it| at(it).map(cell)).collect(),
        wide: draw(Size::Wide)?,
        narrow: draw(Size::Narrow)?,
        is_open: found.iter().any(|it| it.outcome == Outcome::Fail),
        runs: found.iter().map(|it| run(it, colours)).collect(),
        name,
        unseen,
    })
}

fn cell(fault: &Fault) -> Cell {
    let recovery = fault.recovery_ms.map(|it| format::value(it, "ms"));
    let words = match fault.outcome {
        Outcome::Pass => recovery.map_or_else(|| "held".to_owned(), |it| format!("held, {it}")),
        Outcome::Fail => fault.unrecovered_ms.map_or_else(
            || "did not hold".to_owned(),
            |it| format!("did not hold, no agreement within {}", format::value(it, "ms")),
        ),
        Outcome::Skip => "not tried".to_owned(),
        _ => "could not be judged".to_owned(),
    };
    Cell { target: format::one_line(&fault.target, 80), outcome: score::word(fault.outcome), words }
}

/// A check that is not demanded is a measurement: it cannot be wrong.
fn check_cell(target: &str, check: &FaultCheck) -> Cell {
    let words = match check.outcome {
        Outcome::Pass => "holds".to_owned(),
        Outcome::Fail => format::plural(check.count, "violation", "violations"),
        _ => "unknown".to_owned(),
    };
    let target = format::one_line(target, 80);
    if check.is_demanded {
        return Cell { target, outcome: score::word(check.outcome), words };
    }
    Cell { target, outcome: score::word(Outcome::Skip), words: format!("{words}, not demanded") }
}

fn found(check: &FaultCheck) -> Vec<Found> {
    let line = |text: &str| format::one_line(text, 400);
    let name = line(&check.check);
    let violations = check.violations.iter().take(VIOLATIONS_MAX).map(|it| Found {
        check: name.clone(),
        says: line(&it.says),
        evidence: it
            .evidence
            .iter()
            .take(EVENTS_MAX)
            .map(|it| (format!("{}, line {}", format::value(it.at_ms, "ms"), it.line), line(&it.what)))
            .collect(),
    });
    let unknown = check.unknown.iter().take(VIOLATIONS_MAX);
    let unknown =
        unknown.map(|it| Found { check: name.clone(), says: format!("unknown: {}", line(it)), evidence: Vec::new() });
    violations.chain(unknown).collect()
}

fn measured(figure: &FaultFigure) -> [String; 6] {
    let what = match figure.node {
        Some(node) => format!("{}, node {node}", figure.what),
        None => figure.what.clone(),
    };
    let value = |it: f64| match figure.unit.as_str() {
        "1" => format::count(it.max(0.0) as u64),
        unit => format::value(it, unit),
    };
    let phase = figure.phase.as_deref().unwrap_or(format::NONE);
    let samples = format::count(figure.samples);
    [
        format::one_line(&what, 120),
        format::one_line(phase, 20),
        samples,
        value(figure.p50),
        value(figure.p99),
        value(figure.max),
    ]
}

fn run(fault: &Fault, colours: &Colours<'_>) -> Run {
    let mut figures = Vec::new();
    if let Some(ms) = fault.recovery_ms {
        figures.push(format!("recovered after {}", format::value(ms, "ms")));
    }
    if let Some(ms) = fault.unrecovered_ms {
        figures.push(format!("no agreement within {}", format::value(ms, "ms")));
    }
    if let Some(words) = availability(&fault.samples) {
        figures.push(words);
    }
    if let Some(most) = fault.samples.iter().filter_map(|it| it.missing).max() {
        figures.push(format!("at most {} missing", format::plural(most, "instance", "instances")));
    }
    if fault.lost_acked > 0 {
        figures.push(format!("{} lost", format::plural(fault.lost_acked, "acknowledged write", "acknowledged writes")));
    }
    if fault.resurrected > 0 {
        figures.push(format!("{} came back", format::plural(fault.resurrected, "instance", "instances")));
    }
    let line = |text: &str| format::one_line(text, 400);
    Run {
        target: format::one_line(&fault.target, 80),
        colour: colours.of(&fault.target),
        outcome: score::word(fault.outcome),
        figures: figures.join(", "),
        violations: fault.violations.iter().take(LINES_MAX).map(|it| line(it)).collect(),
        found: fault.checks.iter().flat_map(found).collect(),
        measured: fault.figures.iter().take(LINES_MAX).map(measured).collect(),
        history: format::one_line(&fault.history, 200),
        timeline: fault
            .timeline
            .iter()
            .take(EVENTS_MAX)
            .map(|it| {
                let at = format::value(it.at_ms, "ms");
                let until = it.until_ms.map(|until| format!(" – {}", format::value(until, "ms")));
                (at + until.as_deref().unwrap_or_default(), line(&it.event))
            })
            .collect(),
    }
}

/// `98.2 % answered, 40 % at worst`.
fn availability(samples: &[TimelineSample]) -> Option<String> {
    let requests: u64 = samples.iter().map(|it| it.requests).sum();
    if requests == 0 {
        return None;
    }
    let answered: u64 = samples.iter().map(|it| it.answered).sum();
    let asked = samples.iter().filter(|it| it.requests > 0);
    let worst = asked.min_by(|a, b| {
        let share = |it: &TimelineSample| it.answered as f64 / it.requests as f64;
        share(a).total_cmp(&share(b))
    })?;
    let worst = format::percent(worst.answered, worst.requests);
    Some(format!("{} answered, {worst} at worst", format::percent(answered, requests)))
}

fn lane(fault: &Fault, colours: &Colours<'_>) -> Lane {
    let samples = fault.samples.get(..fault.samples.len().min(SAMPLES_MAX)).unwrap_or_default();
    let mut availability = Vec::new();
    let mut missing = Vec::new();
    for (place, sample) in samples.iter().enumerate() {
        // The last interval is as long as the one before.
        let length = match (samples.get(place + 1), place.checked_sub(1).and_then(|it| samples.get(it))) {
            (Some(next), _) => next.at_ms - sample.at_ms,
            (None, Some(before)) => sample.at_ms - before.at_ms,
            (None, None) => 1_000.0,
        };
        let until = sample.at_ms + length.max(0.0);
        if sample.requests > 0 {
            let share = sample.answered.min(sample.requests) as f64 / sample.requests as f64;
            availability.push((sample.at_ms, until, share));
        }
        if let Some(number) = sample.missing {
            missing.push((sample.at_ms, until, number as f64));
        }
    }
    Lane {
        colour: colours.of(&fault.target),
        bands: fault.timeline.iter().filter_map(|it| Some((it.at_ms, it.until_ms?))).collect(),
        moments: fault.timeline.iter().filter(|it| it.until_ms.is_none()).map(|it| it.at_ms).collect(),
        availability,
        missing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::figures;
    use crate::report::tests::fixture::sample;

    fn seen(at_ms: f64, requests: u64, answered: u64, missing: Option<u64>) -> TimelineSample {
        TimelineSample { at_ms, requests, answered, missing }
    }

    #[test]
    fn intervals_last_until_the_next_and_those_without_requests_have_no_share() {
        let mut fault = sample().faults.remove(0);
        fault.samples = vec![seen(0.0, 10, 10, None), seen(500.0, 0, 0, Some(3)), seen(1_500.0, 4, 1, Some(0))];
        let names = [fault.target.clone()];
        let lane = lane(&fault, &Colours(&names));
        assert_eq!(lane.availability, [(0.0, 500.0, 1.0), (1_500.0, 2_500.0, 0.25)]);
        assert_eq!(lane.missing, [(500.0, 1_500.0, 3.0), (1_500.0, 2_500.0, 0.0)]);
        assert_eq!(availability(&fault.samples).unwrap(), "78.5 % answered, 25 % at worst");
        assert_eq!(availability(&[]), None);
    }

    #[test]
    fn every_check_has_a_cell_and_its_evidence_and_a_measurement_is_never_wrong() {
        let results = sample();
        let names = figures::target_names(&results);
        let view = view(&results, &Colours(&names)).unwrap().unwrap();
        let scenario = &view.scenarios[0];
        let words = |check: usize| -> Vec<(&str, &str)> {
            let cells = scenario.checks[check].cells.iter().flatten();
            cells.map(|it| (it.outcome, it.words.as_str())).collect()
        };
        assert_eq!(words(1), [("pass", "holds"), ("fail", "37 violations"), ("error", "unknown")]);
        assert_eq!(words(2), [("skip", "3 violations, not demanded"); 3]);
        let real = scenario.runs.iter().find(|it| it.outcome == "fail").unwrap();
        assert!(real.found[0].says.starts_with("Set(17) at node 1"));
        assert_eq!(real.found[0].evidence[0].0, "6.03 s, line 812");
        assert_eq!(real.measured[0][0], "how stale, node 1");
    }

    #[test]
    fn every_scenario_has_a_cell_for_every_target_and_a_drawing_where_there_are_counts() {
        let mut results = sample();
        results.faults.push(Fault { scenario: "another".into(), samples: Vec::new(), ..results.faults[0].clone() });
        let names = figures::target_names(&results);
        let view = view(&results, &Colours(&names)).unwrap().unwrap();
        let cells: Vec<Vec<bool>> =
            view.scenarios.iter().map(|it| it.cells.iter().map(Option::is_some).collect()).collect();
        assert_eq!(cells, [vec![true; 3], vec![true, false, false]]);
        assert!(view.scenarios[0].wide.contains("<svg") && view.scenarios[1].wide.is_empty());
        assert!(view.scenarios[0].is_open && !view.scenarios[1].is_open);
    }
}
