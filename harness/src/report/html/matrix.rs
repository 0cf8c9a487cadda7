//! The compatibility matrix: endpoints by targets, each number with the cases behind it.

use serde::Serialize;

use super::Colours;
use crate::report::difference::{self, Part};
use crate::report::format;
use crate::report::score::{self, Case, Endpoint, Score};
use crate::results::{CaseResult, Counts, Outcome, Results};

/// Cases whose answers are written out. Beyond that only the reason stands, so that a target that fails everything
/// does not make a page no browser opens.
const DETAILS_MAX: usize = 400;
/// Characters of a request.
const REQUEST_CHARS: usize = 600;
/// Characters of a reason.
const REASON_CHARS: usize = 400;

/// The matrix and the table of areas.
#[derive(Debug, Serialize)]
pub(super) struct View {
    reference: String,
    targets: Vec<(String, usize)>,
    areas: Vec<(String, Vec<Cell>)>,
    total: Vec<Cell>,
    endpoints: Vec<EndpointView>,
    /// How many failures are shown without their answers.
    shortened: usize,
    cases: String,
}

/// Counts of one target.
#[derive(Debug, Serialize)]
struct Cell {
    target: String,
    /// `12/14`: passed of tried; a dash where nothing was tried.
    text: String,
    /// `all`, `some`, `unjudged` or `none`.
    kind: &'static str,
    /// What fell short, in words.
    shortfall: String,
}

#[derive(Debug, Serialize)]
struct EndpointView {
    method: String,
    path: String,
    /// How many verdicts fell short, over all targets: what the page sorts by.
    short: u64,
    cells: Vec<Cell>,
    cases: Vec<CaseView>,
}

#[derive(Debug, Serialize)]
struct CaseView {
    id: String,
    area: String,
    request: String,
    tags: Vec<String>,
    /// Outcomes of all targets, for the filter: `pass fail`.
    outcomes: String,
    /// One mark per target.
    marks: Vec<(String, &'static str)>,
    /// Whatever did not pass.
    troubles: Vec<Trouble>,
}

#[derive(Debug, Serialize)]
struct Trouble {
    target: String,
    colour: usize,
    outcome: &'static str,
    reason: String,
    parts: Vec<Part>,
    /// The whole answers, where they cannot be set against each other or do not differ.
    expected: Option<String>,
    observed: Option<String>,
}

/// Arranges the matrix.
pub(super) fn view(results: &Results, score: &Score<'_>, colours: &Colours<'_>) -> View {
    let mut details = 0;
    let endpoints = score.endpoints.iter().map(|it| endpoint(it, score, colours, &mut details)).collect();
    let reference = results.conformance.as_ref().map(|it| it.reference.as_str()).unwrap_or_default();
    let cells = |counts: &[Counts]| cells(counts, score);
    let totals: Vec<Counts> = (0..score.targets.len()).map(|column| score.total(column)).collect();
    View {
        reference: format::one_line(reference, 80),
        targets: score.targets.iter().map(|it| (format::one_line(it, 80), colours.of(it))).collect(),
        areas: score.areas.iter().map(|(area, counts)| (format::one_line(area, 80), cells(counts))).collect(),
        total: cells(&totals),
        endpoints,
        shortened: details.max(DETAILS_MAX) - DETAILS_MAX,
        cases: format::count(score.endpoints.iter().map(|it| it.cases.len() as u64).sum()),
    }
}

fn endpoint(endpoint: &Endpoint<'_>, score: &Score<'_>, colours: &Colours<'_>, details: &mut usize) -> EndpointView {
    let name = format::one_line(&endpoint.name, 200);
    let (method, path) = name.split_once(' ').unwrap_or(("", &name));
    let mut cases: Vec<&Case<'_>> = endpoint.cases.iter().collect();
    cases.sort_by_key(|case| case.results.iter().map(|(_, it)| place(it.outcome)).min());
    EndpointView {
        method: method.to_owned(),
        path: path.to_owned(),
        short: endpoint.counts.iter().map(|it| u64::from(it.fail) + u64::from(it.error)).sum(),
        cells: cells(&endpoint.counts, score),
        cases: cases.into_iter().map(|it| case(it, score, colours, details)).collect(),
    }
}

/// What a reader looks for comes first.
fn place(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Fail => 0,
        Outcome::Error => 1,
        Outcome::Kept => 2,
        Outcome::Skip => 3,
        Outcome::Pass => 4,
    }
}

fn cells(counts: &[Counts], score: &Score<'_>) -> Vec<Cell> {
    let cell = |(counts, target): (&Counts, &String)| Cell {
        target: format::one_line(target, 80),
        text: if score::tried(counts) == 0 {
            format::NONE.to_owned()
        } else {
            format!("{}/{}", counts.pass, score::tried(counts))
        },
        kind: match (score::tried(counts), counts.fail, counts.error) {
            (0, _, _) => "none",
            (_, 0, 0) => "all",
            (_, 0, _) => "unjudged",
            _ => "some",
        },
        shortfall: score::shortfall(counts),
    };
    counts.iter().zip(&score.targets).map(cell).collect()
}

fn case(case: &Case<'_>, score: &Score<'_>, colours: &Colours<'_>, details: &mut usize) -> CaseView {
    let first = case.results.first().map(|(_, result)| *result);
    let mut outcomes: Vec<&str> = case.results.iter().map(|(_, it)| score::word(it.outcome)).collect();
    outcomes.sort_unstable();
    outcomes.dedup();
    // Targets normally send the same; where they do not, the one that failed is the one to show.
    let failed = case.results.iter().find(|(_, it)| it.outcome == Outcome::Fail).map(|(_, result)| *result);
    let told = failed.or(first);
    CaseView {
        id: format::one_line(case.id, 80),
        area: first.map(|it| format::one_line(&it.area, 80)).unwrap_or_default(),
        request: told.map(|it| format::visible(&format::cut(&it.request, REQUEST_CHARS))).unwrap_or_default(),
        tags: told.iter().flat_map(|it| &it.tags).take(12).map(|it| format::one_line(it, 40)).collect(),
        outcomes: outcomes.join(" "),
        marks: case
            .results
            .iter()
            .filter_map(|(column, it)| {
                Some((format::one_line(score.targets.get(*column)?, 80), score::word(it.outcome)))
            })
            .collect(),
        troubles: case
            .results
            .iter()
            .filter(|(_, it)| it.outcome != Outcome::Pass)
            .map(|(_, it)| trouble(it, colours, details))
            .collect(),
    }
}

fn trouble(result: &CaseResult, colours: &Colours<'_>, details: &mut usize) -> Trouble {
    let answered = result.expected.is_some() || result.observed.is_some();
    if answered {
        *details += 1;
    }
    let mut trouble = Trouble {
        target: format::one_line(&result.target, 80),
        colour: colours.of(&result.target),
        outcome: score::word(result.outcome),
        reason: format::one_line(&result.reason, REASON_CHARS),
        parts: Vec::new(),
        expected: None,
        observed: None,
    };
    if !answered || *details > DETAILS_MAX {
        return trouble;
    }
    if let (Some(expected), Some(observed)) = (&result.expected, &result.observed) {
        trouble.parts = difference::parts(expected, observed);
    }
    if trouble.parts.is_empty() {
        trouble.expected = result.expected.as_ref().map(difference::plain);
        trouble.observed = result.observed.as_ref().map(difference::plain);
    }
    trouble
}
