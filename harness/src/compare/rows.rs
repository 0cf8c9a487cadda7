//! All observations of a run, by row.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use crate::experiment::Observation;
use crate::experiment::keep_first;
use crate::experiment::load::MEASURE;
use crate::results::{Measurement, Skipped};
use crate::stats::{Distribution, Round, Variant};

/// What a row is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RowKey {
    /// The target as written on the command line.
    pub target: String,
    /// Name of the experiment.
    pub experiment: &'static str,
    /// What distinguishes the row.
    pub variant: Variant,
    /// Unit of its values.
    pub unit: &'static str,
}

/// All rows, in the order in which they first occurred.
#[derive(Debug, Default)]
pub struct Rows {
    rows: IndexMap<RowKey, Distribution>,
    /// Generator lag of every open-loop experiment, by target and experiment.
    lag: BTreeMap<(String, &'static str), Round>,
}

/// A generator later than this at the 99th percentile did not keep its schedule.
pub const GENERATOR_LAG_P99_MS_MAX: f64 = 10.0;

impl Rows {
    /// Takes what one experiment observed at `target` in `round`, counted from 0.
    pub fn add(&mut self, target: &str, round: usize, observation: Observation) {
        let Observation { experiment, variant, unit, values, errors, notes, generator_lag } = observation;
        if let Some(lag) = generator_lag {
            self.lag.entry((target.to_owned(), experiment)).or_default().merge(&lag);
        }
        let row = self.rows.entry(RowKey { target: target.to_owned(), experiment, variant, unit }).or_default();
        row.rounds.resize_with(row.rounds.len().max(round + 1), Round::new);
        if let Some(it) = row.rounds.get_mut(round) {
            it.merge(&values);
        }
        row.errors += errors;
        for note in notes {
            if !row.notes.contains(&note) {
                row.notes.push(note);
            }
        }
    }

    /// The rows of the record.
    pub fn measurements(&self) -> Vec<Measurement> {
        let row = |(key, row): (&RowKey, &Distribution)| {
            let mut row = row.clone();
            let lag = self.lag.get(&(key.target.clone(), key.experiment)).map(|it| it.quantile(0.99));
            let open_loop = key.variant.contains_key("rate") && !key.variant.contains_key(MEASURE);
            if let Some(lag) = lag.filter(|it| open_loop && *it > GENERATOR_LAG_P99_MS_MAX) {
                keep_first(&mut row.notes, format!("the generator was {lag:.1} ms late at its 99th percentile"));
            }
            row.measurement(&key.target, key.experiment, &key.variant, key.unit)
        };
        self.rows.iter().filter_map(row).collect()
    }

    /// Rows without a single value: they have no figures, so they are named here with their errors.
    pub fn without_values(&self) -> Vec<Skipped> {
        let empty = self.rows.iter().filter(|(_, row)| row.whole().is_empty());
        empty
            .map(|(key, row)| {
                let variant: Vec<_> = key.variant.iter().map(|(name, value)| format!(", {name} {value}")).collect();
                let what = format!("{} at {}{}", key.experiment, key.target, variant.concat());
                let notes = if row.notes.is_empty() { String::new() } else { format!(": {}", row.notes.join("; ")) };
                Skipped { what, reason: format!("no value, {} errors{notes}", row.errors) }
            })
            .collect()
    }

    /// The rows that two targets can be compared by.
    pub fn comparable(&self) -> impl Iterator<Item = (&RowKey, &Distribution)> {
        self.rows.iter().filter(|(key, _)| !key.variant.contains_key(MEASURE))
    }

    /// Operations that failed at a target.
    pub fn errors_at(&self, target: &str) -> u64 {
        self.rows.iter().filter(|(key, _)| key.target == target).map(|(_, row)| row.errors).sum()
    }

    /// The same row of another target.
    pub fn at(&self, target: &str, key: &RowKey) -> Option<&Distribution> {
        self.rows.get(&RowKey { target: target.to_owned(), ..key.clone() })
    }

    /// Worst 99th percentile of the generator's lag over all open-loop experiments, ms.
    pub fn generator_lag_p99_ms(&self) -> Option<f64> {
        self.lag.values().filter(|it| !it.is_empty()).map(|it| it.quantile(0.99)).max_by(f64::total_cmp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observation(values: &[f64]) -> Observation {
        Observation::new("load-query", "ms", Round::of(values.iter().copied())).with("rate", "5")
    }

    #[test]
    fn rounds_keep_their_place_even_when_one_is_missing() {
        let mut rows = Rows::default();
        rows.add("t", 0, observation(&[1.0]));
        rows.add("t", 2, observation(&[3.0, 3.0]));
        let row = rows.measurements().remove(0);
        assert_eq!(row.rounds.iter().map(|it| it.samples).collect::<Vec<_>>(), [1, 0, 2]);
        assert_eq!(row.samples, 3);
    }

    #[test]
    fn a_row_of_nothing_but_errors_is_reported_as_skipped() {
        let mut rows = Rows::default();
        rows.add("t", 0, Observation { errors: 4, notes: vec!["refused".into()], ..observation(&[]) });
        assert!(rows.measurements().is_empty());
        let skipped = rows.without_values().remove(0);
        assert_eq!(skipped.what, "load-query at t, rate 5");
        assert_eq!(skipped.reason, "no value, 4 errors: refused");
    }

    #[test]
    fn a_late_generator_is_noted_on_the_row() {
        let mut rows = Rows::default();
        let late = Observation { generator_lag: Some(Round::of([50.0; 10])), ..observation(&[1.0; 10]) };
        rows.add("t", 0, late);
        assert!(rows.generator_lag_p99_ms().is_some_and(|it| it > GENERATOR_LAG_P99_MS_MAX));
        assert!(rows.measurements().remove(0).notes.concat().contains("late at its 99th percentile"));
    }
}
