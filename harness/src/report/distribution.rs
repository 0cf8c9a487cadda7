//! A measured distribution: decoded from the results, merged, and turned into a cumulative curve.

use std::io::Cursor;

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

/// The histogram counts thousandths of the measurement's unit.
const STEPS_PER_UNIT: f64 = 1000.0;

/// Longest encoded histogram that is read; ours are a few kilobytes.
const ENCODED_BYTES_MAX: usize = 4 << 20;

/// All values of a measurement.
#[derive(Debug, Clone)]
pub(super) struct Distribution(Histogram<u64>);

impl Distribution {
    /// Reads an HdrHistogram V2 (deflate) in base64.
    ///
    /// # Errors
    /// When it is not one, or holds nothing.
    pub(super) fn decode(encoded: &str) -> anyhow::Result<Self> {
        if encoded.len() > ENCODED_BYTES_MAX {
            bail!("the histogram has {} bytes, more than any of ours", encoded.len());
        }
        let bytes = STANDARD.decode(encoded.trim()).context("the histogram is not base64")?;
        let histogram = Deserializer::new()
            .deserialize::<u64, _>(&mut Cursor::new(bytes))
            .map_err(|error| anyhow::anyhow!("the histogram is not an HdrHistogram V2: {error}"))?;
        if histogram.is_empty() {
            bail!("the histogram is empty");
        }
        Ok(Self(histogram))
    }

    /// Adds the values of `other`.
    pub(super) fn merge(&mut self, other: &Self) -> anyhow::Result<()> {
        // A histogram with a fixed range refuses larger values; ours may come from any writer.
        self.0.auto(true);
        self.0.add(&other.0).map_err(|error| anyhow::anyhow!("the histograms do not merge: {error}"))
    }

    /// How many values there are.
    pub(super) fn samples(&self) -> u64 {
        self.0.len()
    }

    /// The value below which `quantile` (0 to 1) of all values lie.
    pub(super) fn quantile(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / STEPS_PER_UNIT
    }

    /// Largest value.
    pub(super) fn max(&self) -> f64 {
        self.0.max() as f64 / STEPS_PER_UNIT
    }

    /// Smallest value, at least one step so that a logarithmic axis can show it.
    pub(super) fn min(&self) -> f64 {
        (self.0.min().max(1)) as f64 / STEPS_PER_UNIT
    }

    /// The cumulative curve: value, and the share (0 to 1) of all values up to it. Ascending, ends at 1.
    pub(super) fn cumulative(&self) -> Vec<(f64, f64)> {
        let total = self.0.len().max(1) as f64;
        let mut seen = 0u64;
        self.0
            .iter_recorded()
            .map(|step| {
                seen += step.count_since_last_iteration();
                (step.value_iterated_to().max(1) as f64 / STEPS_PER_UNIT, seen as f64 / total)
            })
            .collect()
    }
}

/// A histogram as it stands in the results.
pub(super) fn encode(histogram: &Histogram<u64>) -> Option<String> {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new().serialize(histogram, &mut bytes).ok()?;
    Some(STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::fixture::encode;

    #[test]
    fn a_curve_starts_at_the_least_value_and_ends_at_one() {
        let distribution = Distribution::decode(&encode(&[1.0, 2.0, 2.0, 1000.0])).unwrap();
        let curve = distribution.cumulative();
        assert_eq!(curve.len(), 3);
        assert!((curve[0].0 - 1.0).abs() < 0.01 && (curve[0].1 - 0.25).abs() < 1e-9);
        assert!((curve[2].0 - 1000.0).abs() < 2.0 && (curve[2].1 - 1.0).abs() < 1e-9);
    }

    #[test]
    fn merging_keeps_every_value() {
        let mut low = Distribution::decode(&encode(&[1.0])).unwrap();
        low.merge(&Distribution::decode(&encode(&[90_000.0, 90_000.0])).unwrap()).unwrap();
        assert_eq!(low.samples(), 3);
        assert!(low.quantile(0.9) > 80_000.0);
    }

    #[test]
    fn rubbish_is_refused_with_a_reason() {
        for (bad, says) in [("%%%", "base64"), ("AAAA", "HdrHistogram"), ("", "HdrHistogram")] {
            let error = format!("{:#}", Distribution::decode(bad).unwrap_err());
            assert!(error.contains(says), "{bad}: {error}");
        }
    }
}
