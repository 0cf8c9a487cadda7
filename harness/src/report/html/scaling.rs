//! How a figure changes with what was varied: measurements that differ in one number of their variant.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Colours;
use crate::report::figures::{Group, variant_words};
use crate::report::format;
use crate::report::plot::{self, Point, ScalingLine, Size};

/// Fewer values than this make no curve.
const POINTS_MIN: usize = 3;

/// One figure over everything that was tried.
#[derive(Debug, Serialize)]
pub(super) struct Scaling {
    title: String,
    /// The rest of the variant, and the statistic.
    detail: String,
    /// What was varied.
    varied: String,
    wide: String,
    narrow: String,
    /// The values that were tried.
    columns: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    target: String,
    colour: usize,
    values: Vec<String>,
}

/// Groups that differ in one number, ascending.
struct Family<'a> {
    varied: String,
    /// What they have in common.
    rest: BTreeMap<String, String>,
    groups: Vec<(f64, &'a Group)>,
}

/// The curves of a run, and the groups that need not be shown elsewhere because a curve shows them.
pub(super) fn scalings<'a>(
    groups: &'a [Group],
    colours: &Colours<'_>,
) -> anyhow::Result<(Vec<Scaling>, Vec<&'a Group>)> {
    let mut shown = Vec::new();
    let mut scalings = Vec::new();
    for family in families(groups) {
        scalings.push(scaling(&family, colours)?);
        shown.extend(family.groups.iter().map(|(_, group)| *group));
    }
    Ok((scalings, shown))
}

fn families(groups: &[Group]) -> Vec<Family<'_>> {
    let mut families: Vec<Family<'_>> = Vec::new();
    for group in groups.iter().filter(|it| !it.series.is_empty()) {
        for (key, value) in &group.variant {
            let Some(value) = number(value) else { continue };
            let mut rest = group.variant.clone();
            rest.remove(key);
            let alike = |it: &&mut Family<'_>| {
                it.varied == *key
                    && it.rest == rest
                    && it.groups.first().is_some_and(|(_, it)| it.name == group.name && it.unit == group.unit)
            };
            match families.iter_mut().find(alike) {
                Some(family) => family.groups.push((value, group)),
                None => families.push(Family { varied: key.clone(), rest, groups: vec![(value, group)] }),
            }
        }
    }
    for family in &mut families {
        family.groups.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    families.retain(|it| it.groups.len() >= POINTS_MIN);
    families
}

/// The number that a value of a variant begins with: 500 of `500/s`, 10000 of `10,000 instances`.
fn number(text: &str) -> Option<f64> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ',')).unwrap_or(text.len());
    let digits: String = text.get(..end)?.chars().filter(|c| *c != ',').collect();
    digits.parse::<f64>().ok().filter(|it| it.is_finite())
}

fn scaling(family: &Family<'_>, colours: &Colours<'_>) -> anyhow::Result<Scaling> {
    let varied = format::one_line(&family.varied.replace(['_', '-'], " "), 60);
    let mut targets: Vec<&str> = Vec::new();
    for series in family.groups.iter().flat_map(|(_, group)| &group.series) {
        if !targets.contains(&series.target.as_str()) {
            targets.push(&series.target);
        }
    }
    let stat = family.groups.first().map_or("p50", |(_, it)| it.stat());
    let unit = family.groups.first().map_or("", |(_, it)| it.unit.as_str());
    let value_of = |group: &Group, target: &str| group.of(target).and_then(|it| it.stat(stat));
    let line = |target: &&str| ScalingLine {
        colour: colours.of(target),
        points: family
            .groups
            .iter()
            .filter_map(|(x, group)| {
                let series = group.of(target)?;
                Some(Point {
                    x: *x,
                    y: series.stat(stat)?,
                    // Rounds hold medians, which say nothing of another statistic.
                    rounds: if stat == "p50" { series.rounds.clone() } else { Vec::new() },
                })
            })
            .collect(),
    };
    let lines: Vec<ScalingLine> = targets.iter().map(line).collect();
    let title = family.groups.first().map(|(_, it)| it.name()).unwrap_or_default();
    let label = format!("{title} over {varied}");
    let draw = |size| plot::scaling(&lines, &varied, unit, &label, size);
    let rest = variant_words(&family.rest);
    Ok(Scaling {
        detail: if rest.is_empty() { stat.to_owned() } else { format!("{rest}, {stat}") },
        wide: draw(Size::Wide)?,
        narrow: draw(Size::Narrow)?,
        columns: family.groups.iter().map(|(x, _)| format::count(*x as u64)).collect(),
        rows: targets
            .iter()
            .map(|target| Row {
                target: format::one_line(target, 80),
                colour: colours.of(target),
                values: family
                    .groups
                    .iter()
                    .map(|(_, group)| {
                        value_of(group, target).map_or_else(|| format::NONE.to_owned(), |it| format::value(it, unit))
                    })
                    .collect(),
            })
            .collect(),
        title,
        varied,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::figures;
    use crate::report::tests::fixture::{NACOS, TANDEM, row, sample};

    #[test]
    fn rows_that_differ_in_one_number_become_one_curve() {
        let mut results = sample();
        results.measurements.clear();
        for connections in ["256", "8", "64"] {
            for (target, rate) in [(TANDEM, 40_000.0), (NACOS, 8_000.0)] {
                let variant = [("mode", "saturation"), ("connections", connections)];
                results.measurements.push(row(target, "load-query", &variant, "1/s", &[rate, rate * 1.1, rate]));
            }
        }
        // Two values are no curve.
        for rate in ["100", "200"] {
            results.measurements.push(row(TANDEM, "load-beat", &[("rate", rate)], "ms", &[1.0, 2.0]));
        }
        let groups = figures::groups(&results);
        let families = families(&groups);
        assert_eq!(families.len(), 1);
        assert_eq!(families[0].varied, "connections");
        assert_eq!(families[0].groups.iter().map(|it| it.0).collect::<Vec<_>>(), [8.0, 64.0, 256.0]);
        let names = figures::target_names(&results);
        let (scalings, shown) = scalings(&groups, &Colours(&names)).unwrap();
        assert_eq!((scalings.len(), shown.len()), (1, 3));
        assert_eq!(scalings[0].rows.len(), 2);
        assert_eq!(scalings[0].detail, "mode saturation, p50");
        assert!(scalings[0].wide.contains("connections") && scalings[0].narrow.contains("<polyline"));
    }

    #[test]
    fn numbers_are_read_with_their_units() {
        assert_eq!(number("500/s"), Some(500.0));
        assert_eq!(number("10,000 instances"), Some(10_000.0));
        for text in ["saturation", "", "nacos→tandem", ".", "/s"] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
