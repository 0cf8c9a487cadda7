//! `report.html`: one file that opens from disk, without network, on any screen.
//!
//! The same page is what a published site shows of a run; [`site`] has the pages around it.

mod boards;
mod faults;
mod figure;
mod headline;
mod matrix;
mod scaling;
pub(super) mod site;
mod template;

use serde::Serialize;

use super::Comparison;
use super::agreement;
use super::catalogue::Shape;
use super::figures::{self, Group};
use super::format;
use super::random;
use super::score::Score;
use super::verdict;
use super::window;
use crate::results::{Results, Target};

/// Lines of a list taken from the results, beyond which the reader is sent to `results.json`.
const LINES_MAX: usize = 200;

/// Everything the template shows.
#[derive(Debug, Serialize)]
struct Page {
    #[serde(flatten)]
    frame: template::Frame,
    tiles: Vec<headline::Tile>,
    title: String,
    subtitle: String,
    facts: Vec<(&'static str, String)>,
    warnings: Vec<String>,
    machine: String,
    verdicts: Vec<VerdictLine>,
    comparison: Option<ComparisonView>,
    cards: Vec<figure::Card>,
    conformance: Option<matrix::View>,
    plots: Vec<figure::Plot>,
    scalings: Vec<scaling::Scaling>,
    bars: Vec<figure::Bars>,
    directions: Vec<figure::Plot>,
    agreements: Vec<agreement::Line>,
    random: Vec<random::Line>,
    pairs: Vec<(String, String, String)>,
    windows: Vec<window::Line>,
    faults: Option<faults::Faults>,
    skipped: Vec<(String, String)>,
    methods: Vec<(String, &'static str)>,
    rows: Vec<Vec<String>>,
    targets: Vec<TargetView>,
    command: String,
    commit: String,
}

/// A verdict with its target apart, so that the name can stand out.
#[derive(Debug, Serialize)]
struct VerdictLine {
    target: String,
    colour: usize,
    /// The leading clause.
    lead: String,
    /// Whatever follows it.
    rest: String,
}

#[derive(Debug, Serialize)]
struct ComparisonView {
    verdict: String,
    regressed: bool,
    unjudged: Option<String>,
    lists: Vec<(&'static str, usize, Vec<String>)>,
}

#[derive(Debug, Serialize)]
struct TargetView {
    name: String,
    colour: usize,
    nodes: Vec<[String; 5]>,
}

/// Renders the page.
///
/// # Errors
/// When the template or a drawing does not render, which is a fault of this module and not of the results.
pub(super) fn html(results: &Results, comparison: Option<&Comparison>) -> anyhow::Result<String> {
    template::render("report.html", page(results, comparison, None)?)
}

fn page(results: &Results, comparison: Option<&Comparison>, site: Option<template::Site>) -> anyhow::Result<Page> {
    let groups = figures::groups(results);
    let score = Score::of(results);
    let names = figures::target_names(results);
    let colours = Colours(&names);
    let run = &results.run;
    let (curves, bars): (Vec<&Group>, Vec<&Group>) = groups.iter().partition(|it| it.shape() == Shape::Curve);
    let (scalings, scaled) = scaling::scalings(&groups, &colours)?;
    let is_scaled = |group: &&&Group| scaled.iter().any(|it| std::ptr::eq(*it, **group));
    let verdicts = verdict::verdicts(results, &groups, score.as_ref());
    Ok(Page {
        frame: template::Frame::new(verdicts.first().map(|it| it.sentence()).unwrap_or_default(), site),
        tiles: headline::tiles(results, &groups, score.as_ref()),
        title: title(results, &names),
        subtitle: format!(
            "{} profile, {}, {}",
            run.profile,
            format::moment(&run.started_at),
            format::seconds(run.duration_s)
        ),
        facts: facts(results),
        warnings: verdict::warnings(results, score.as_ref()),
        machine: verdict::machine(results),
        verdicts: verdicts
            .into_iter()
            .map(|it| {
                let (lead, rest) = it.clauses();
                VerdictLine { colour: colours.of(&it.target), lead, rest, target: format::one_line(&it.target, 80) }
            })
            .collect(),
        comparison: comparison.map(compared),
        cards: figure::cards(results, &groups, &colours),
        conformance: score.as_ref().map(|score| matrix::view(reference_of(results), score, &colours)),
        plots: curves.iter().map(|group| figure::plot(results, group, &colours)).collect::<anyhow::Result<_>>()?,
        scalings,
        bars: bars.iter().filter(|it| !is_scaled(it)).map(|group| figure::bars(results, group, &colours)).collect(),
        directions: figure::directions(&groups)?,
        agreements: agreement::lines(results),
        random: random::lines(results),
        pairs: agreement::pairs(results),
        windows: window::lines(results),
        faults: faults::view(results, &colours)?,
        skipped: results
            .skipped
            .iter()
            .take(LINES_MAX)
            .map(|it| (format::one_line(&it.what, 200), format::one_line(&it.reason, 600)))
            .collect(),
        methods: methods(&groups),
        rows: figure::rows(&groups),
        targets: results.targets.iter().map(|it| target(it, &colours)).collect(),
        command: format::visible(&format::cut(&run.command, 4000)),
        commit: format::one_line(&run.git_commit, 80),
    })
}

/// The measured targets; those that only a row or a case names would say the same twice.
fn title(results: &Results, names: &[String]) -> String {
    let declared: Vec<&String> = results.targets.iter().map(|it| &it.target).collect();
    let shown = if declared.is_empty() { names.iter().collect() } else { declared };
    shown.iter().map(|it| format::one_line(it, 80)).collect::<Vec<_>>().join(" · ")
}

/// The colour of each target, the same everywhere on the page.
pub(super) struct Colours<'a>(&'a [String]);

impl Colours<'_> {
    fn of(&self, target: &str) -> usize {
        self.0.iter().position(|it| it == target).unwrap_or(0) % super::plot::PALETTE.len()
    }
}

/// What the calls were compared with.
fn reference_of(results: &Results) -> &str {
    results.conformance.as_ref().map(|it| it.reference.as_str()).unwrap_or_default()
}

fn facts(results: &Results) -> Vec<(&'static str, String)> {
    let run = &results.run;
    let host = format::host(&run.host);
    let facts = [
        ("Harness", format!("tandem {} at {}", run.version, run.git_commit)),
        ("Host", host),
        ("Seed", run.seed.to_string()),
        ("Run", run.id.clone()),
    ];
    facts.into_iter().map(|(name, value)| (name, format::one_line(&value, 300))).collect()
}

fn compared(comparison: &Comparison) -> ComparisonView {
    let mut lists = Vec::new();
    for (title, cases) in comparison.case_lists() {
        lists.push((title, cases.len(), cases.iter().take(LINES_MAX).map(|it| line(&it.line())).collect::<Vec<_>>()));
    }
    for (title, ratios) in comparison.ratio_lists() {
        lists.push((title, ratios.len(), ratios.iter().take(LINES_MAX).map(|it| line(&it.line())).collect()));
    }
    lists.retain(|(_, count, _)| *count > 0);
    ComparisonView {
        verdict: line(&comparison.verdict()),
        regressed: comparison.regressed(),
        unjudged: comparison.ratios_unjudged.clone(),
        lists,
    }
}

fn line(text: &str) -> String {
    format::one_line(text, 400)
}

fn target(target: &Target, colours: &Colours<'_>) -> TargetView {
    TargetView {
        name: line(&target.target),
        colour: colours.of(&target.target),
        nodes: target
            .nodes
            .iter()
            .take(LINES_MAX)
            .map(|it| [&it.kind, &it.version, &it.launch, &it.address, &it.artifact].map(|text| line(text)))
            .collect(),
    }
}

/// One entry per way of measuring; experiments that share it share the entry.
fn methods(groups: &[Group]) -> Vec<(String, &'static str)> {
    let mut methods: Vec<(String, &'static str)> = Vec::new();
    for group in groups {
        let (title, method) = (group.experiment.title, group.experiment.method);
        if method.is_empty() || methods.iter().any(|(titles, _)| titles.split(", ").any(|it| it == title)) {
            continue;
        }
        match methods.iter_mut().find(|(_, known)| *known == method) {
            Some((titles, _)) => {
                titles.push_str(", ");
                titles.push_str(title);
            }
            None => methods.push((title.to_owned(), method)),
        }
    }
    methods
}
