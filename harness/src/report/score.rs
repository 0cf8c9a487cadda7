//! Conformance cases arranged for reading: counts by area, and by endpoint with the cases behind every count.
//!
//! Counts are taken from the cases, so that each number leads to what it counts.

use std::collections::BTreeMap;

use super::figures;
use super::format;
use crate::results::{CaseResult, Conformance, Counts, Outcome, Results};

/// All cases of a run, arranged.
#[derive(Debug)]
pub(super) struct Score<'a> {
    /// Column order.
    pub(super) targets: Vec<String>,
    /// Area → counts by column.
    pub(super) areas: Vec<(String, Vec<Counts>)>,
    /// Endpoints in the order of their first case.
    pub(super) endpoints: Vec<Endpoint<'a>>,
    /// Set when the summary in the file says otherwise than its cases.
    pub(super) disagrees: bool,
}

/// One endpoint and its cases.
#[derive(Debug)]
pub(super) struct Endpoint<'a> {
    /// `POST /nacos/v1/ns/instance`.
    pub(super) name: String,
    /// Counts by column.
    pub(super) counts: Vec<Counts>,
    /// Cases in the order of the file.
    pub(super) cases: Vec<Case<'a>>,
}

/// One case at every target.
#[derive(Debug)]
pub(super) struct Case<'a> {
    /// Its id.
    pub(super) id: &'a str,
    /// Results with their column.
    pub(super) results: Vec<(usize, &'a CaseResult)>,
}

impl<'a> Score<'a> {
    /// Arranges the cases; absent when the run had none.
    pub(super) fn of(results: &'a Results) -> Option<Self> {
        let conformance = results.conformance.as_ref()?;
        let mut targets = figures::target_names(results);
        targets.retain(|target| conformance.cases.iter().any(|case| case.target == *target));
        let columns = targets.len();
        let mut areas: BTreeMap<&str, Vec<Counts>> = BTreeMap::new();
        let mut endpoints: Vec<Endpoint<'a>> = Vec::new();
        let mut endpoint_at: BTreeMap<&str, usize> = BTreeMap::new();
        let mut case_at: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for case in &conformance.cases {
            let Some(column) = targets.iter().position(|it| *it == case.target) else { continue };
            let area = areas.entry(&case.area).or_insert_with(|| vec![Counts::default(); columns]);
            count(area, column, case.outcome);
            let at = *endpoint_at.entry(&case.endpoint).or_insert_with(|| {
                endpoints.push(Endpoint {
                    name: case.endpoint.clone(),
                    counts: vec![Counts::default(); columns],
                    cases: Vec::new(),
                });
                endpoints.len() - 1
            });
            let Some(endpoint) = endpoints.get_mut(at) else { continue };
            count(&mut endpoint.counts, column, case.outcome);
            let at = *case_at.entry((&case.endpoint, &case.id)).or_insert_with(|| {
                endpoint.cases.push(Case { id: &case.id, results: Vec::new() });
                endpoint.cases.len() - 1
            });
            if let Some(row) = endpoint.cases.get_mut(at) {
                row.results.push((column, case));
            }
        }
        Some(Self {
            targets,
            areas: areas.into_iter().map(|(area, counts)| (area.to_owned(), counts)).collect(),
            endpoints,
            disagrees: disagrees(conformance),
        })
    }

    /// Counts of one column over all areas.
    pub(super) fn total(&self, column: usize) -> Counts {
        let mut sum = Counts::default();
        self.areas.iter().filter_map(|(_, counts)| counts.get(column)).for_each(|it| sum.merge(it));
        sum
    }
}

fn count(counts: &mut [Counts], column: usize, outcome: Outcome) {
    if let Some(counts) = counts.get_mut(column) {
        counts.add(outcome);
    }
}

fn disagrees(conformance: &Conformance) -> bool {
    let mut counted: BTreeMap<String, BTreeMap<String, Counts>> = BTreeMap::new();
    for case in &conformance.cases {
        counted.entry(case.target.clone()).or_default().entry(case.area.clone()).or_default().add(case.outcome);
    }
    counted != conformance.summary
}

/// Cases that were tried: everything but skips, which are never counted as passes.
pub(super) fn tried(counts: &Counts) -> u64 {
    u64::from(counts.pass) + u64::from(counts.kept) + u64::from(counts.fail) + u64::from(counts.error)
}

/// Every case, skips included.
pub(super) fn all(counts: &Counts) -> u64 {
    tried(counts) + u64::from(counts.skip)
}

/// `1,203 of 1,210 (99.4 %)`.
pub(super) fn share(counts: &Counts) -> String {
    let pass = u64::from(counts.pass);
    let tried = tried(counts);
    format!("{} of {} ({})", format::count(pass), format::count(tried), format::percent(pass, tried))
}

/// `4 differ, 3 could not be judged, 7 kept differences, 2 not tried`; empty when everything passed.
pub(super) fn shortfall(counts: &Counts) -> String {
    let parts = [
        (counts.fail, "differ", "differs"),
        (counts.error, "could not be judged", "could not be judged"),
        (counts.kept, "kept differences", "kept difference"),
        (counts.skip, "not tried", "not tried"),
    ];
    let words: Vec<String> = parts
        .iter()
        .filter(|(number, ..)| *number > 0)
        .map(|(number, many, one)| {
            format!("{} {}", format::count(u64::from(*number)), if *number == 1 { one } else { many })
        })
        .collect();
    words.join(", ")
}

/// The word of an outcome, as in `results.json`.
pub(super) fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "pass",
        Outcome::Fail => "fail",
        Outcome::Kept => "kept",
        Outcome::Skip => "skip",
        Outcome::Error => "error",
    }
}
