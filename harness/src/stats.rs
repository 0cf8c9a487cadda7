//! Distributions and what may be said about two of them.
//!
//! Values are kept in HdrHistograms with three significant digits, in thousandths of their unit, so memory does not
//! grow with the run. Every round has its own; the figures of a row come from all rounds together, and an interval
//! comes from resampling rounds first and values second, because values of one round resemble each other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializer};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};

use crate::results::{Measurement, RoundStats};

/// Steps of a histogram per unit: microseconds when the unit is milliseconds.
const STEPS_PER_UNIT: f64 = 1000.0;

/// Fewest rounds on either side that a ratio is computed from: with fewer there is nothing to resample.
pub const RATIO_ROUNDS_MIN: usize = 3;

/// Fewest values on either side for a ratio of 99th percentiles; below that it is the ratio of two single values.
pub const RATIO_P99_SAMPLES_MIN: u64 = 100;

/// Resamplings per interval.
const BOOTSTRAP_DRAWS: usize = 1000;

/// A round with more values is thinned evenly to this many before it is resampled. That can only widen the interval.
const BOOTSTRAP_VALUES_PER_ROUND: usize = 512;

/// The values of one round.
#[derive(Debug, Clone)]
pub struct Round {
    histogram: Histogram<u64>,
    sum: f64,
    max: f64,
}

impl Default for Round {
    fn default() -> Self {
        Self::new()
    }
}

impl Round {
    /// No values yet.
    pub fn new() -> Self {
        Self { histogram: empty(), sum: 0.0, max: 0.0 }
    }

    /// A round of these values, in the row's unit.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut round = Self::new();
        for value in values {
            round.record(value);
        }
        round
    }

    /// Adds one value in the row's unit; a negative one counts as zero.
    pub fn record(&mut self, value: f64) {
        let value = value.max(0.0);
        let steps = (value * STEPS_PER_UNIT).round() as u64;
        // The histogram resizes itself; what is beyond even that is counted at the top rather than lost.
        if self.histogram.record(steps).is_err() {
            self.histogram.saturating_record(steps);
        }
        self.sum += value;
        self.max = self.max.max(value);
    }

    /// Adds one duration, as milliseconds.
    pub fn record_duration(&mut self, duration: std::time::Duration) {
        self.record(duration.as_secs_f64() * 1000.0);
    }

    /// Adds all values of another recorder of the same round.
    pub fn merge(&mut self, other: &Self) {
        // Cannot fail: both resize themselves.
        if self.histogram.add(&other.histogram).is_ok() {
            self.sum += other.sum;
            self.max = self.max.max(other.max);
        }
    }

    /// How many values.
    pub fn len(&self) -> u64 {
        self.histogram.len()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.histogram.is_empty()
    }

    /// The value below which the share `q` of all values lies.
    pub fn quantile(&self, q: f64) -> f64 {
        // The histogram answers with the upper end of a bucket, which may lie above everything that was recorded.
        (self.histogram.value_at_quantile(q) as f64 / STEPS_PER_UNIT).min(self.max)
    }

    /// Largest value.
    pub fn max(&self) -> f64 {
        self.max
    }

    /// Arithmetic mean, exact; zero without values.
    pub fn mean(&self) -> f64 {
        if self.is_empty() { 0.0 } else { self.sum / self.len() as f64 }
    }

    /// The figures of this round.
    pub fn stats(&self) -> RoundStats {
        RoundStats { samples: self.len(), p50: self.quantile(0.5), p99: self.quantile(0.99), mean: self.mean() }
    }

    /// At most [`BOOTSTRAP_VALUES_PER_ROUND`] values that stand for this round, in order.
    fn thinned(&self) -> Vec<f64> {
        let count = (self.len() as usize).min(BOOTSTRAP_VALUES_PER_ROUND);
        (0..count).map(|it| self.quantile((it as f64 + 0.5) / count as f64)).collect()
    }
}

/// A histogram that grows with what is recorded.
fn empty() -> Histogram<u64> {
    #[expect(clippy::expect_used, reason = "a constant: 3 is within the 0 to 5 that the library takes")]
    Histogram::new(3).expect("three significant digits")
}

/// What distinguishes one row from the others of an experiment.
pub type Variant = std::collections::BTreeMap<String, String>;

/// All rounds of one row.
#[derive(Debug, Clone, Default)]
pub struct Distribution {
    /// One entry per round, also for a round without values.
    pub rounds: Vec<Round>,
    /// Operations that failed and are not among the values.
    pub errors: u64,
    /// What the reader must know.
    pub notes: Vec<String>,
}

impl Distribution {
    /// All rounds together.
    pub fn whole(&self) -> Round {
        let mut whole = Round::new();
        for round in &self.rounds {
            whole.merge(round);
        }
        whole
    }

    /// The row of the record, or nothing when there is no value: a distribution without values has no figures.
    pub fn measurement(&self, target: &str, experiment: &str, variant: &Variant, unit: &str) -> Option<Measurement> {
        let whole = self.whole();
        if whole.is_empty() {
            return None;
        }
        Some(Measurement {
            target: target.to_owned(),
            experiment: experiment.to_owned(),
            variant: variant.clone(),
            unit: unit.to_owned(),
            samples: whole.len(),
            errors: self.errors,
            p50: whole.quantile(0.5),
            p90: whole.quantile(0.9),
            p99: whole.quantile(0.99),
            p999: whole.quantile(0.999),
            max: whole.max(),
            mean: whole.mean(),
            rounds: self.rounds.iter().map(Round::stats).collect(),
            histogram: encode(&whole.histogram),
            notes: self.notes.clone(),
        })
    }
}

fn encode(histogram: &Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    match V2DeflateSerializer::new().serialize(histogram, &mut bytes) {
        Ok(_) => STANDARD.encode(bytes),
        // Writing to memory does not fail; an absent histogram is still better than no row.
        Err(_) => String::new(),
    }
}

/// A figure of a distribution that two distributions are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stat {
    /// Median.
    P50,
    /// 99th percentile.
    P99,
    /// Arithmetic mean.
    Mean,
}

impl Stat {
    /// Its name in the record.
    pub fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::Mean => "mean",
        }
    }

    /// The figure of `values`, which is reordered; zero without values.
    fn of(self, values: &mut [f64]) -> f64 {
        let q = match self {
            Self::Mean if values.is_empty() => return 0.0,
            Self::Mean => return values.iter().sum::<f64>() / values.len() as f64,
            Self::P50 => 0.5,
            Self::P99 => 0.99,
        };
        let position = ((q * values.len() as f64).ceil() as usize).max(1) - 1;
        if position >= values.len() {
            return 0.0;
        }
        *values.select_nth_unstable_by(position, f64::total_cmp).1
    }
}

/// A ratio with its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The ratio of the two figures.
    pub value: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end of the 95 % interval.
    pub high: f64,
}

/// Figure of `above` over figure of `below` with a 95 % percentile-bootstrap interval, or nothing when either side
/// has fewer than [`RATIO_ROUNDS_MIN`] rounds with values, too few values for the figure, or a figure of zero below.
pub fn ratio(above: &Distribution, below: &Distribution, stat: Stat, seed: u64) -> Option<Interval> {
    let (numerator, denominator) = (sampled(above, stat)?, sampled(below, stat)?);
    let mut random = StdRng::seed_from_u64(seed);
    let mut draws: Vec<f64> = Vec::with_capacity(BOOTSTRAP_DRAWS);
    let mut pool = Vec::new();
    for _ in 0..BOOTSTRAP_DRAWS {
        let upper = resampled(&numerator, stat, &mut random, &mut pool);
        let lower = resampled(&denominator, stat, &mut random, &mut pool);
        if lower > 0.0 {
            draws.push(upper / lower);
        }
    }
    let figure = |rounds: &[Vec<f64>]| stat.of(&mut rounds.concat());
    let lower = figure(&denominator);
    if lower <= 0.0 || draws.len() < BOOTSTRAP_DRAWS / 2 {
        return None;
    }
    let value = figure(&numerator) / lower;
    draws.sort_unstable_by(f64::total_cmp);
    let at = |q: f64| draws.get(((draws.len() - 1) as f64 * q).round() as usize).copied().unwrap_or(value);
    Some(Interval { value, low: at(0.025).min(value), high: at(0.975).max(value) })
}

/// The rounds a figure may be resampled from, or nothing when there are too few.
fn sampled(distribution: &Distribution, stat: Stat) -> Option<Vec<Vec<f64>>> {
    let rounds: Vec<_> = distribution.rounds.iter().filter(|it| !it.is_empty()).map(Round::thinned).collect();
    let samples: u64 = distribution.rounds.iter().map(Round::len).sum();
    let enough = rounds.len() >= RATIO_ROUNDS_MIN && (stat != Stat::P99 || samples >= RATIO_P99_SAMPLES_MIN);
    enough.then_some(rounds)
}

fn resampled(rounds: &[Vec<f64>], stat: Stat, random: &mut StdRng, pool: &mut Vec<f64>) -> f64 {
    pool.clear();
    for _ in 0..rounds.len() {
        let Some(round) = rounds.get(random.random_range(0..rounds.len())) else { continue };
        for _ in 0..round.len() {
            pool.extend(round.get(random.random_range(0..round.len())));
        }
    }
    stat.of(pool)
}

/// A seed for one purpose, from the seed of the run: the same parts always give the same choices.
pub fn derived_seed(seed: u64, parts: &[&str]) -> u64 {
    let mut digest = Sha256::new();
    digest.update(seed.to_be_bytes());
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    digest.finalize().iter().take(8).fold(0, |seed, byte| (seed << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::Deserializer;

    use super::*;

    /// Even values `from..to` in steps of one, spread over rounds.
    fn even(from: u32, to: u32, rounds: usize) -> Distribution {
        let mut distribution = Distribution { rounds: vec![Round::new(); rounds], ..Default::default() };
        for value in from..to {
            distribution.rounds[value as usize % rounds].record(f64::from(value));
        }
        distribution
    }

    #[test]
    fn figures_of_a_known_distribution() {
        let row = even(1, 1001, 4).measurement("t", "e", &Variant::new(), "ms").unwrap();
        assert_eq!((row.samples, row.rounds.len()), (1000, 4));
        let close = |value: f64, wanted: f64| (value - wanted).abs() <= wanted * 0.002;
        assert!(close(row.p50, 500.0) && close(row.p90, 900.0) && close(row.p99, 990.0), "{row:?}");
        assert!(close(row.p999, 999.0), "{row:?}");
        assert_eq!((row.max, row.mean), (1000.0, 500.5));
        assert!(row.p50 <= row.p90 && row.p90 <= row.p99 && row.p99 <= row.p999 && row.p999 <= row.max);
    }

    #[test]
    fn the_histogram_travels_whole_and_in_thousandths() {
        let row = even(1, 101, 1).measurement("t", "e", &Variant::new(), "ms").unwrap();
        let bytes = STANDARD.decode(row.histogram).unwrap();
        let read: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
        assert_eq!(read.len(), 100);
        assert!(read.value_at_quantile(0.5).abs_diff(50_000) <= 50);
    }

    #[test]
    fn without_values_there_is_no_row() {
        assert!(even(1, 1, 3).measurement("t", "e", &Variant::new(), "ms").is_none());
    }

    #[test]
    fn a_ratio_of_known_distributions_lies_in_a_sensible_interval() {
        let (above, below) = (even(1000, 1200, 4), even(100, 120, 4));
        let found = ratio(&above, &below, Stat::P50, 7).unwrap();
        assert!((found.value - 10.0).abs() < 0.2, "{found:?}");
        assert!(found.low <= found.value && found.value <= found.high);
        assert!(found.low > 9.3 && found.high < 10.7 && found.high - found.low > 0.05, "{found:?}");
        assert_eq!(Some(found), ratio(&above, &below, Stat::P50, 7), "the same seed gives the same interval");
    }

    #[test]
    fn rounds_that_disagree_widen_the_interval() {
        let steady = even(100, 200, 4);
        let split = Distribution {
            rounds: vec![
                Round::of([100.0; 20]),
                Round::of([100.0; 20]),
                Round::of([300.0; 20]),
                Round::of([300.0; 20]),
            ],
            ..Default::default()
        };
        let width = |it: Interval| it.high - it.low;
        let narrow = ratio(&even(100, 200, 4), &steady, Stat::Mean, 1).unwrap();
        let wide = ratio(&split, &steady, Stat::Mean, 1).unwrap();
        assert!(width(wide) > 3.0 * width(narrow), "{wide:?} {narrow:?}");
    }

    #[test]
    fn too_little_gives_no_ratio() {
        assert!(ratio(&even(1, 100, 2), &even(1, 100, 3), Stat::P50, 1).is_none(), "two rounds");
        assert!(ratio(&even(1, 50, 3), &even(1, 500, 3), Stat::P99, 1).is_none(), "fewer than 100 values");
        let zeros = Distribution { rounds: vec![Round::of([0.0; 9]); 3], ..Default::default() };
        assert!(ratio(&even(1, 100, 3), &zeros, Stat::P50, 1).is_none(), "nothing to divide by");
    }

    #[test]
    fn a_large_round_is_thinned_without_moving_its_quantiles() {
        let round = Round::of((1..=100_000).map(f64::from));
        let mut values = round.thinned();
        assert_eq!(values.len(), BOOTSTRAP_VALUES_PER_ROUND);
        assert!((Stat::P50.of(&mut values) - 50_000.0).abs() < 300.0);
        assert!((Stat::P99.of(&mut values) - 99_000.0).abs() < 300.0);
    }

    #[test]
    fn seeds_differ_by_purpose_and_by_where_the_parts_end() {
        assert_eq!(derived_seed(1, &["a", "b"]), derived_seed(1, &["a", "b"]));
        assert_ne!(derived_seed(1, &["a", "b"]), derived_seed(1, &["ab", ""]));
        assert_ne!(derived_seed(1, &["a"]), derived_seed(2, &["a"]));
    }
}
