//! Measurements as the page shows them: key figures, curves, bars and the table of everything.

use serde::Serialize;

use super::Colours;
use crate::report::catalogue::larger_is_better;
use crate::report::figures::{self, Group, Series, Standing};
use crate::report::format;
use crate::report::plot::{self, Line, Size};
use crate::results::Results;

/// Key figures at the top; the rest is below.
const CARDS_MAX: usize = 15;

/// One key figure of every target.
#[derive(Debug, Serialize)]
pub(super) struct Card {
    title: String,
    /// Variant and statistic.
    detail: String,
    rows: Vec<CardRow>,
}

#[derive(Debug, Serialize)]
struct CardRow {
    target: String,
    colour: usize,
    value: String,
    standing: StandingView,
}

/// A ratio to the reference, ready to be shown.
#[derive(Debug, Default, Serialize)]
pub(super) struct StandingView {
    /// `650× sooner`; empty when there is no ratio.
    pub(super) words: String,
    /// `610–700`.
    pub(super) interval: String,
    /// `better`, `worse`, `even` or empty.
    pub(super) kind: &'static str,
}

/// Distributions on one axis.
#[derive(Debug, Serialize)]
pub(super) struct Plot {
    title: String,
    /// Heading of the legend's first column.
    of: &'static str,
    wide: String,
    narrow: String,
    legend: Vec<LegendRow>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct LegendRow {
    name: String,
    colour: usize,
    stats: Vec<String>,
    samples: String,
    errors: u64,
    standing: StandingView,
}

/// Few values per target as bars from zero.
#[derive(Debug, Serialize)]
pub(super) struct Bars {
    title: String,
    /// Variant and statistic.
    detail: String,
    rows: Vec<Bar>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Bar {
    target: String,
    colour: usize,
    /// Percent of the track.
    width: String,
    /// Places of the rounds, percent of the track.
    marks: Vec<String>,
    value: String,
    errors: u64,
    standing: StandingView,
}

/// The leading figure of each experiment.
pub(super) fn cards(results: &Results, groups: &[Group], colours: &Colours<'_>) -> Vec<Card> {
    let reference = figures::reference(results);
    let card = |group: &Group| Card {
        title: group.name(),
        detail: detail(group),
        rows: group
            .series
            .iter()
            .map(|series| CardRow {
                target: name(&series.target),
                colour: colours.of(&series.target),
                value: shown(series, group.stat(), &group.unit),
                standing: standing(results, group, &series.target, reference.as_deref()),
            })
            .collect(),
    };
    groups.iter().filter(|it| !it.series.is_empty()).take(CARDS_MAX).map(card).collect()
}

/// The whole distribution of every target.
pub(super) fn plot(results: &Results, group: &Group, colours: &Colours<'_>) -> anyhow::Result<Plot> {
    let reference = figures::reference(results);
    let series: Vec<(usize, &Series)> = group.series.iter().map(|it| (colours.of(&it.target), it)).collect();
    let (wide, narrow) = draw(&series, group)?;
    let legend = series.iter().map(|(colour, series)| LegendRow {
        name: name(&series.target),
        standing: standing(results, group, &series.target, reference.as_deref()),
        ..legend_row(*colour, series, &group.unit)
    });
    Ok(Plot { title: group.title(), of: "Target", wide, narrow, legend: legend.collect(), notes: notes(&group.series) })
}

/// For each target with several directions, the distribution of each.
pub(super) fn directions(groups: &[Group]) -> anyhow::Result<Vec<Plot>> {
    let mut plots = Vec::new();
    for group in groups {
        let mut targets: Vec<&str> = group.directed.iter().map(|it| it.target.as_str()).collect();
        targets.dedup();
        for target in targets {
            let series: Vec<(usize, &Series)> =
                group.directed.iter().filter(|it| it.target == target).enumerate().collect();
            let (wide, narrow) = draw(&series, group)?;
            let legend = series.iter().map(|(colour, series)| LegendRow {
                name: name(&series.direction),
                ..legend_row(*colour, series, &group.unit)
            });
            plots.push(Plot {
                title: format!("{} · {}", name(target), group.title()),
                of: "Direction",
                wide,
                narrow,
                legend: legend.collect(),
                notes: series.iter().flat_map(|(_, it)| it.notes.clone()).collect(),
            });
        }
    }
    Ok(plots)
}

/// Both drawings; empty when no histogram could be read.
fn draw(series: &[(usize, &Series)], group: &Group) -> anyhow::Result<(String, String)> {
    let lines: Vec<Line<'_>> = series
        .iter()
        .filter_map(|(colour, it)| Some(Line { colour: *colour, distribution: it.distribution.as_ref()? }))
        .collect();
    if lines.is_empty() || group.unit != "ms" {
        return Ok((String::new(), String::new()));
    }
    let label = format!("Cumulative distribution: {}", group.title());
    let draw = |size| plot::curves(&lines, &group.unit, &label, size);
    Ok((draw(Size::Wide)?, draw(Size::Narrow)?))
}

fn legend_row(colour: usize, series: &Series, unit: &str) -> LegendRow {
    LegendRow {
        name: String::new(),
        colour,
        stats: series.stats.iter().map(|(stat, _)| shown(series, stat, unit)).collect(),
        samples: format::count(series.samples),
        errors: series.errors,
        standing: StandingView::default(),
    }
}

/// Bars from zero, since the eye compares lengths.
pub(super) fn bars(results: &Results, group: &Group, colours: &Colours<'_>) -> Bars {
    let reference = figures::reference(results);
    let stat = group.stat();
    let values = group.series.iter().filter_map(|it| it.stat(stat));
    let rounds = group.series.iter().flat_map(|it| it.rounds.iter().copied());
    let top = values.chain(rounds).filter(|it| it.is_finite()).fold(0.0, f64::max);
    let place = |value: f64| {
        let share = if top > 0.0 && value.is_finite() { (value / top).clamp(0.0, 1.0) } else { 0.0 };
        format!("{:.2}", share * 100.0)
    };
    let bar = |series: &Series| Bar {
        target: name(&series.target),
        colour: colours.of(&series.target),
        width: place(series.stat(stat).unwrap_or(0.0)),
        marks: if series.rounds.len() > 1 { series.rounds.iter().map(|it| place(*it)).collect() } else { Vec::new() },
        value: shown(series, stat, &group.unit),
        errors: series.errors,
        standing: standing(results, group, &series.target, reference.as_deref()),
    };
    let mut notes = notes(&group.series);
    if larger_is_better(&group.unit) {
        notes.insert(0, "Longer is better.".to_owned());
    }
    Bars { title: group.name(), detail: detail(group), rows: group.series.iter().map(bar).collect(), notes }
}

/// Every row of the run as text: title, target, direction, samples, errors, quantiles.
pub(super) fn rows(groups: &[Group]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for group in groups {
        let whole = group.series.iter();
        for series in whole.chain(&group.directed) {
            let mut row = vec![
                group.title(),
                name(&series.target),
                name(&series.direction),
                format::count(series.samples),
                format::count(series.errors),
            ];
            row.extend(series.stats.iter().map(|(stat, _)| shown(series, stat, &group.unit)));
            rows.push(row);
        }
    }
    rows
}

/// `rate 500/s, p99`.
fn detail(group: &Group) -> String {
    let variant = figures::variant_words(&group.variant);
    if variant.is_empty() { group.stat().to_owned() } else { format!("{variant}, {}", group.stat()) }
}

fn name(text: &str) -> String {
    format::one_line(text, 80)
}

fn shown(series: &Series, stat: &str, unit: &str) -> String {
    series.stat(stat).map_or_else(|| format::NONE.to_owned(), |it| format::value(it, unit))
}

fn notes(series: &[Series]) -> Vec<String> {
    let noted = series.iter().flat_map(|it| it.notes.iter().map(move |note| (&it.target, note)));
    noted.map(|(target, note)| format!("{}: {}", name(target), format::one_line(note, 300))).collect()
}

fn standing(results: &Results, group: &Group, target: &str, reference: Option<&str>) -> StandingView {
    let Some(reference) = reference.filter(|it| *it != target) else { return StandingView::default() };
    let Some(it) = group.standing(results, group.stat(), target, reference) else { return StandingView::default() };
    view(&it, group)
}

/// A ratio in words.
pub(super) fn view(standing: &Standing, group: &Group) -> StandingView {
    let interval = |low: f64, high: f64| format!("{}–{}", format::factor(low), format::factor(high));
    if !standing.clear() {
        return StandingView {
            words: format!("no clear difference, {}×", format::factor(standing.value)),
            interval: interval(standing.low, standing.high),
            kind: "even",
        };
    }
    let (smaller, larger) =
        if group.unit == "1/s" { ("less", "more") } else { (group.experiment.smaller, group.experiment.larger) };
    let kind = if standing.better(&group.unit) { "better" } else { "worse" };
    if standing.value < 1.0 {
        StandingView {
            words: format!("{}× {smaller}", format::factor(1.0 / standing.value)),
            interval: interval(1.0 / standing.high, 1.0 / standing.low),
            kind,
        }
    } else {
        StandingView {
            words: format!("{}× {larger}", format::factor(standing.value)),
            interval: interval(standing.low, standing.high),
            kind,
        }
    }
}
