//! Measurements arranged for comparison: one group per experiment and variant, one series per target, and the ratio
//! of each target to the reference where the run holds one.

use std::collections::BTreeMap;

use super::catalogue::{self, Experiment, Shape};
use super::distribution::Distribution;
use super::format;
use crate::experiment::load::MEASURE;
use crate::results::{Measurement, Ratio, Results};

/// The variant key that names the way a write took through a mixed cluster, e.g. `nacos→tandem`.
pub(super) const DIRECTION: &str = "direction";

/// Fewer values than this are shown as marks, not as a curve.
const CURVE_SAMPLES_MIN: u64 = 20;

/// Everything that may be compared with each other.
#[derive(Debug)]
pub(super) struct Group {
    /// What was measured.
    pub(super) experiment: Experiment,
    /// Its name in the results, also when the catalogue does not know it.
    pub(super) name: String,
    /// What distinguishes this group, without the direction.
    pub(super) variant: BTreeMap<String, String>,
    /// Unit of every figure.
    pub(super) unit: String,
    /// One per target that was measured, in the order of the targets.
    pub(super) series: Vec<Series>,
    /// Every row that has a direction, target by target.
    pub(super) directed: Vec<Series>,
}

/// The figures of one target in one group.
#[derive(Debug, Clone)]
pub(super) struct Series {
    /// The target as written on the command line.
    pub(super) target: String,
    /// The direction, or empty.
    pub(super) direction: String,
    /// Number of values.
    pub(super) samples: u64,
    /// Operations that gave no value.
    pub(super) errors: u64,
    /// Quantiles by name, in the order they are shown, then the maximum.
    pub(super) stats: Vec<(&'static str, f64)>,
    /// Median of each round.
    pub(super) rounds: Vec<f64>,
    /// All values; absent when the histogram cannot be read, with the reason among the notes.
    pub(super) distribution: Option<Distribution>,
    /// What the reader must know.
    pub(super) notes: Vec<String>,
}

/// A target compared with the reference, turned so that the target is above the line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Standing {
    /// Target over reference.
    pub(super) value: f64,
    /// Lower end of the interval.
    pub(super) low: f64,
    /// Upper end of the interval.
    pub(super) high: f64,
}

impl Standing {
    /// Whether the interval leaves no doubt about the direction.
    pub(super) fn clear(&self) -> bool {
        self.high < 1.0 || self.low > 1.0
    }

    /// Whether a clear standing is in the target's favour.
    pub(super) fn better(&self, unit: &str) -> bool {
        (self.value > 1.0) == catalogue::larger_is_better(unit)
    }

    /// `650 times sooner than X (interval 610–700)`.
    pub(super) fn words(&self, experiment: &Experiment, unit: &str, reference: &str) -> String {
        let (smaller, larger) = if unit == "1/s" { ("less", "more") } else { (experiment.smaller, experiment.larger) };
        if !self.clear() {
            let interval = format!("{}–{}", format::factor(self.low), format::factor(self.high));
            return format!(
                "no measurable difference from {reference} (ratio {}, interval {interval})",
                format::factor(self.value)
            );
        }
        let (word, value, low, high) = if self.value < 1.0 {
            (smaller, 1.0 / self.value, 1.0 / self.high, 1.0 / self.low)
        } else {
            (larger, self.value, self.low, self.high)
        };
        format!(
            "{} times {word} than {reference} (interval {}–{})",
            format::factor(value),
            format::factor(low),
            format::factor(high)
        )
    }
}

impl Series {
    fn of(row: &Measurement) -> Self {
        let mut notes = row.notes.clone();
        let distribution = match Distribution::decode(&row.histogram) {
            Ok(distribution) => Some(distribution),
            Err(_) if row.samples == 0 => None,
            Err(error) => {
                notes.push(format!("no curve: {error:#}"));
                None
            }
        };
        Self {
            target: row.target.clone(),
            direction: row.variant.get(DIRECTION).cloned().unwrap_or_default(),
            samples: row.samples,
            errors: row.errors,
            stats: vec![("p50", row.p50), ("p90", row.p90), ("p99", row.p99), ("p99.9", row.p999), ("max", row.max)],
            rounds: row.rounds.iter().map(|round| round.p50).collect(),
            distribution,
            notes,
        }
    }

    /// The figure called `stat`; absent when there was no sample.
    pub(super) fn stat(&self, stat: &str) -> Option<f64> {
        if self.samples == 0 {
            return None;
        }
        self.stats.iter().find(|(name, _)| *name == stat).map(|(_, value)| *value)
    }

    /// All directions of one target together. Absent when their histograms cannot be merged: quantiles of a whole
    /// cannot be had from quantiles of its parts.
    fn together(parts: &[Series]) -> Option<Self> {
        let (first, rest) = parts.split_first()?;
        if rest.is_empty() {
            return Some(Self { direction: String::new(), ..first.clone() });
        }
        let mut whole: Option<Distribution> = None;
        for part in parts.iter().filter(|part| part.samples > 0) {
            let distribution = part.distribution.as_ref()?;
            match &mut whole {
                None => whole = Some(distribution.clone()),
                Some(whole) => whole.merge(distribution).ok()?,
            }
        }
        let distribution = whole?;
        Some(Self {
            target: first.target.clone(),
            direction: String::new(),
            samples: distribution.samples(),
            errors: parts.iter().map(|part| part.errors).sum(),
            stats: vec![
                ("p50", distribution.quantile(0.5)),
                ("p90", distribution.quantile(0.9)),
                ("p99", distribution.quantile(0.99)),
                ("p99.9", distribution.quantile(0.999)),
                ("max", distribution.max()),
            ],
            rounds: Vec::new(),
            distribution: Some(distribution),
            notes: vec![format!("all {} directions together", parts.len())],
        })
    }
}

impl Group {
    /// `Sync latency`.
    pub(super) fn name(&self) -> String {
        let name = if self.experiment.title.is_empty() { &self.name } else { self.experiment.title };
        let throughput = if self.unit == "1/s" && self.experiment.shape == Shape::Curve { ": throughput" } else { "" };
        format!("{name}{throughput}")
    }

    /// [`Group::name`], with the variant behind it.
    pub(super) fn title(&self) -> String {
        if self.variant.is_empty() {
            return self.name();
        }
        format!("{} · {}", self.name(), variant_words(&self.variant))
    }

    /// Curve only where there are values enough and latencies; everything else is bars.
    pub(super) fn shape(&self) -> Shape {
        let many = self.series.iter().any(|it| it.samples >= CURVE_SAMPLES_MIN && it.distribution.is_some());
        if self.experiment.shape == Shape::Curve && self.unit == "ms" && many { Shape::Curve } else { Shape::Bars }
    }

    /// The statistic that stands for the group.
    pub(super) fn stat(&self) -> &'static str {
        if self.unit == "1/s" { "p50" } else { self.experiment.stat }
    }

    /// The series of `target`.
    pub(super) fn of(&self, target: &str) -> Option<&Series> {
        self.series.iter().find(|it| it.target == target)
    }

    /// How `target` stands to `reference` in `stat`, by the run's own ratio; never computed here, since a ratio
    /// without an interval is worth little.
    pub(super) fn standing(&self, results: &Results, stat: &str, target: &str, reference: &str) -> Option<Standing> {
        results
            .ratios
            .iter()
            .filter(|it| it.experiment == self.name && it.variant == self.variant && it.stat == stat)
            .find_map(|it| standing(it, target, reference))
    }
}

pub(super) fn standing(ratio: &Ratio, target: &str, reference: &str) -> Option<Standing> {
    let usable = [ratio.value, ratio.low, ratio.high].iter().all(|it| it.is_finite() && *it > 0.0);
    if !usable {
        return None;
    }
    if ratio.numerator == target && ratio.denominator == reference {
        Some(Standing { value: ratio.value, low: ratio.low, high: ratio.high })
    } else if ratio.numerator == reference && ratio.denominator == target {
        Some(Standing { value: 1.0 / ratio.value, low: 1.0 / ratio.high, high: 1.0 / ratio.low })
    } else {
        None
    }
}

/// Every group of the run, in report order.
pub(super) fn groups(results: &Results) -> Vec<Group> {
    let targets = target_names(results);
    let mut groups: Vec<Group> = Vec::new();
    for row in rows(results) {
        let mut variant = row.variant.clone();
        let directed = variant.remove(DIRECTION).is_some();
        let at = groups.iter().position(|it| it.name == row.experiment && it.variant == variant && it.unit == row.unit);
        let at = at.unwrap_or_else(|| {
            groups.push(Group {
                experiment: catalogue::experiment(&row.experiment),
                name: row.experiment.clone(),
                variant,
                unit: row.unit.clone(),
                series: Vec::new(),
                directed: Vec::new(),
            });
            groups.len() - 1
        });
        if let Some(group) = groups.get_mut(at) {
            let list = if directed { &mut group.directed } else { &mut group.series };
            list.push(Series::of(&row));
        }
    }
    for group in &mut groups {
        for target in &targets {
            if group.of(target).is_none() {
                let parts: Vec<Series> = group.directed.iter().filter(|it| it.target == *target).cloned().collect();
                group.series.extend(Series::together(&parts));
            }
        }
        let place = |it: &Series| targets.iter().position(|target| *target == it.target);
        group.series.sort_by_key(place);
        group.directed.sort_by_key(place);
    }
    groups.sort_by(|a, b| {
        let key = |it: &Group| (catalogue::rank(&it.name), it.name.clone(), it.unit != "ms", it.variant.clone());
        key(a).cmp(&key(b))
    });
    groups
}

/// The rows of the run about a target, and start-up and memory from the targets where no experiment measured them apart.
/// How late the generator itself was stays out: it says nothing about a target and stands with the machine's load.
fn rows(results: &Results) -> Vec<Measurement> {
    let mut rows = results.measurements.clone();
    rows.retain(|row| !row.variant.contains_key(MEASURE));
    let has = |name: &str| results.measurements.iter().any(|it| it.experiment == name);
    if !has("startup") {
        rows.extend(results.targets.iter().filter_map(|it| few(&it.target, "startup", "ms", &it.ready_ms)));
    }
    if !has("memory") {
        rows.extend(results.targets.iter().filter_map(|it| {
            let values: Vec<f64> = it.rss_bytes.iter().map(|bytes| *bytes as f64).collect();
            few(&it.target, "memory", "bytes", &values)
        }));
    }
    rows
}

/// A row from a handful of values.
fn few(target: &str, experiment: &str, unit: &str, values: &[f64]) -> Option<Measurement> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|it| it.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let max = *sorted.last()?;
    let at = |quantile: f64| {
        let rank = ((sorted.len() as f64 * quantile).ceil() as usize).clamp(1, sorted.len());
        sorted.get(rank - 1).copied().unwrap_or(max)
    };
    let mut histogram = hdrhistogram::Histogram::<u64>::new(3).ok()?;
    for value in &sorted {
        histogram.record((value * 1000.0).max(0.0) as u64).ok()?;
    }
    Some(Measurement {
        target: target.to_owned(),
        experiment: experiment.to_owned(),
        variant: BTreeMap::new(),
        unit: unit.to_owned(),
        samples: sorted.len() as u64,
        errors: 0,
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max,
        mean: sorted.iter().sum::<f64>() / sorted.len() as f64,
        rounds: values
            .iter()
            .map(|it| crate::results::RoundStats { samples: 1, p50: *it, p99: *it, mean: *it })
            .collect(),
        histogram: super::distribution::encode(&histogram)?,
        notes: Vec::new(),
    })
}

/// `rate 500/s, service size 10` from `{"rate":"500/s","service_size":"10"}`.
pub(super) fn variant_words(variant: &BTreeMap<String, String>) -> String {
    let words: Vec<String> =
        variant.iter().map(|(key, value)| format!("{} {value}", key.replace(['_', '-'], " "))).collect();
    words.join(", ")
}

/// Every target the results speak of: those of the run first, then any that only a row names.
pub(super) fn target_names(results: &Results) -> Vec<String> {
    let declared = results.targets.iter().map(|it| &it.target);
    let measured = results.measurements.iter().map(|it| &it.target);
    let judged = results.conformance.iter().flat_map(|it| it.cases.iter().map(|case| &case.target));
    let mut names: Vec<String> = Vec::new();
    for name in declared.chain(measured).chain(judged) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// What the targets are compared with: the conformance reference when it ran, else the first cluster of real Nacos
/// alone, else the last target. Absent when there is only one target.
pub(super) fn reference(results: &Results) -> Option<String> {
    if results.targets.len() < 2 {
        return None;
    }
    let real = |it: &&crate::results::Target| !it.nodes.is_empty() && it.nodes.iter().all(|node| node.kind == "nacos");
    let named = results.conformance.as_ref().map(|it| it.reference.as_str());
    results
        .targets
        .iter()
        .find(|it| Some(it.target.as_str()) == named)
        .or_else(|| results.targets.iter().find(real))
        .or(results.targets.last())
        .map(|it| it.target.clone())
}
