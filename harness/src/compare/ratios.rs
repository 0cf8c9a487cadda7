//! Every target over the all-real one, row by row.

use super::rows::{RowKey, Rows};
use crate::results::{Ratio, Target};
use crate::stats::{Distribution, Stat, derived_seed, ratio};

/// Kind of a node that is the reference.
const REFERENCE_KIND: &str = "nacos";

/// Targets whose nodes are all real, and what is compared with them: the targets with as many nodes and at least one
/// of another kind.
pub fn pairs(targets: &[Target]) -> Vec<(&str, &str)> {
    let is_real = |it: &Target| !it.nodes.is_empty() && it.nodes.iter().all(|node| node.kind == REFERENCE_KIND);
    let mut pairs = Vec::new();
    for below in targets.iter().filter(|it| is_real(it)) {
        for above in targets.iter().filter(|it| !is_real(it) && it.nodes.len() == below.nodes.len()) {
            pairs.push((above.target.as_str(), below.target.as_str()));
        }
    }
    pairs
}

/// All ratios that the rows allow; a row with too few rounds or values gives none.
pub fn ratios(rows: &Rows, targets: &[Target], seed: u64) -> Vec<Ratio> {
    let mut all = Vec::new();
    for (above, below) in pairs(targets) {
        for (key, numerator) in rows.comparable().filter(|(key, _)| key.target == above) {
            let Some(denominator) = rows.at(below, key) else { continue };
            all.extend(of_row(key, numerator, below, denominator, seed));
        }
    }
    all
}

fn of_row<'a>(
    key: &'a RowKey,
    numerator: &'a Distribution,
    below: &'a str,
    denominator: &'a Distribution,
    seed: u64,
) -> impl Iterator<Item = Ratio> + 'a {
    // The tail of a rate is its best moment, which nobody asks for.
    let stats: &[Stat] = if key.unit == "1/s" { &[Stat::P50] } else { &[Stat::P50, Stat::P99] };
    stats.iter().filter_map(move |stat| {
        let seed = derived_seed(seed, &["ratio", key.experiment, stat.name()]);
        let found = ratio(numerator, denominator, *stat, seed)?;
        Some(Ratio {
            experiment: key.experiment.to_owned(),
            variant: key.variant.clone(),
            stat: stat.name().to_owned(),
            numerator: key.target.clone(),
            denominator: below.to_owned(),
            value: found.value,
            low: found.low,
            high: found.high,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Observation;
    use crate::results::TargetNode;
    use crate::stats::Round;

    fn target(name: &str, kinds: &[&str]) -> Target {
        let node = |kind: &&str| TargetNode {
            kind: (*kind).into(),
            version: String::new(),
            launch: String::new(),
            address: String::new(),
            artifact: String::new(),
        };
        let nodes = kinds.iter().map(node).collect();
        Target { target: name.into(), nodes, ready_ms: vec![], rss_bytes: vec![], cpu_seconds: vec![] }
    }

    #[test]
    fn only_clusters_of_one_size_are_compared_and_only_with_the_real_one() {
        let targets = [
            target("3xtandem", &["tandem"; 3]),
            target("3xnacos", &["nacos"; 3]),
            target("2xnacos+tandem", &["nacos", "nacos", "tandem"]),
            target("tandem", &["tandem"]),
        ];
        assert_eq!(pairs(&targets), [("3xtandem", "3xnacos"), ("2xnacos+tandem", "3xnacos")]);
    }

    #[test]
    fn a_ratio_needs_the_row_on_both_sides() {
        let targets = [target("t", &["tandem"]), target("n", &["nacos"])];
        let mut rows = Rows::default();
        for round in 0..3 {
            rows.add("t", round, Observation::new("sync-latency", "ms", Round::of([1.0, 2.0, 3.0])));
            rows.add("t", round, Observation::new("memory", "bytes", Round::of([1.0])));
            rows.add("n", round, Observation::new("sync-latency", "ms", Round::of([10.0, 20.0, 30.0])));
        }
        let found = ratios(&rows, &targets, 1);
        assert_eq!(found.len(), 1, "no memory row at n, too few values for p99: {found:?}");
        assert_eq!((found[0].experiment.as_str(), found[0].stat.as_str()), ("sync-latency", "p50"));
        assert!((found[0].value - 0.1).abs() < 0.001);
    }
}
