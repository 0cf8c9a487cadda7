//! All targets of a run: every row against its official window and beside what the real server showed in the same run.

use super::window::{difference, judge, official};
use super::{Key, Row, Seen};
use crate::results::{Outcome, WindowCheck};

/// The verdicts on every row of every target, in order.
pub fn verdicts(seen: &[Seen]) -> Vec<WindowCheck> {
    seen.iter().flat_map(|target| target.rows.iter().map(|(key, row)| verdict(target, key, row, seen))).collect()
}

/// Whether only real nodes had a part in a row.
fn is_real(target: &Seen, key: &Key) -> bool {
    target.is_real || key.path.is_some_and(super::Path::is_real)
}

fn verdict(target: &Seen, key: &Key, row: &Row, seen: &[Seen]) -> WindowCheck {
    // A real server is held to how it works, not to itself.
    let real = if is_real(target, key) { Row::default() } else { beside(key, seen) };
    let values = |row: &Row| row.sightings.iter().map(|it| it.value_ms).collect::<Vec<f64>>();
    let (own, of_real) = (values(row), values(&real));
    let window = official(key.moment, key.seat, key.via, key.group.timeouts());
    let judged = judge(window, row, &real);
    WindowCheck {
        target: target.target.clone(),
        change: key.moment.name().to_owned(),
        instances: key.group.name().to_owned(),
        at: key.seat.name().to_owned(),
        by: key.via.name().to_owned(),
        direction: key.path.map(|it| format!("{}→{}", it.owner, it.observer)),
        is_real: is_real(target, key),
        outcome: judged.outcome,
        above_ms: window.above_ms,
        at_most_ms: window.at_most_ms,
        samples: own.len() as u64,
        missing: row.missing,
        flickered: row.flickers,
        outside: judged.outside,
        min_ms: range(&own).map(|it| it.0),
        max_ms: range(&own).map(|it| it.1),
        real_min_ms: range(&of_real).map(|it| it.0),
        real_max_ms: range(&of_real).map(|it| it.1),
        difference: difference(&own, &of_real),
        reasons: judged.reasons,
    }
}

/// What real nodes showed for the same change, in targets of their own and among themselves in mixed ones.
fn beside(key: &Key, seen: &[Seen]) -> Row {
    let same = |it: &Key| (it.moment, it.group, it.seat, it.via) == (key.moment, key.group, key.seat, key.via);
    let rows = seen.iter().flat_map(|target| target.rows.iter().map(move |(key, row)| (target, key, row)));
    let real = rows.filter(|(target, key, _)| same(key) && is_real(target, key));
    real.fold(Row::default(), |sum, (_, _, row)| sum.merged(row))
}

fn range(values: &[f64]) -> Option<(f64, f64)> {
    let least = values.iter().copied().min_by(f64::total_cmp)?;
    Some((least, values.iter().copied().max_by(f64::total_cmp)?))
}

/// Whether every target is held to something and passed: rows in which others than real nodes had a part, or all rows
/// when there are only real ones. What could not be judged did not pass.
pub fn held(seen: &[Seen], checks: &[WindowCheck]) -> bool {
    let has_subject = seen.iter().any(|it| !it.is_real);
    let passed = |target: &Seen| {
        let own = checks.iter().filter(|it| it.target == target.target && !(has_subject && it.is_real));
        let mut own = own.peekable();
        own.peek().is_some() && own.all(|check| check.outcome == Outcome::Pass)
    };
    let mut held = seen.iter().filter(|it| !(has_subject && it.is_real)).peekable();
    held.peek().is_some() && held.all(passed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::expiry::track::Sighting;
    use crate::experiment::expiry::window::{Moment, Seat, Via};
    use crate::experiment::expiry::{Group, Path};

    fn key(path: Option<Path>) -> Key {
        Key { moment: Moment::Gone, group: Group::Default, seat: Seat::Owner, via: Via::Read, path }
    }

    fn row(values: &[f64], missing: u64) -> Row {
        let sighting = |it: &f64| Sighting { value_ms: *it, least_ms: it - 50.0, most_ms: it + 5.0 };
        Row { sightings: values.iter().map(sighting).collect(), missing, flickers: 0 }
    }

    fn seen(target: &str, values: &[f64], missing: u64) -> Seen {
        let rows = [(key(None), row(values, missing))].into();
        Seen { target: target.into(), is_real: target.ends_with("nacos"), rows, not_done: Vec::new() }
    }

    fn outcome(all: &[Seen]) -> (bool, Vec<Outcome>) {
        let checks = verdicts(all);
        (held(all, &checks), checks.iter().map(|it| it.outcome).collect())
    }

    #[test]
    fn a_target_is_judged_beside_the_real_one_and_the_real_one_by_how_it_works() {
        let real = seen("3xnacos", &[30_500.0, 36_500.0], 0);
        let tandem = seen("3xtandem", &[30_100.0, 36_000.0], 0);
        assert_eq!(outcome(&[real.clone(), tandem.clone()]), (true, vec![Outcome::Fail, Outcome::Pass]));
        assert_eq!(outcome(std::slice::from_ref(&tandem)), (false, vec![Outcome::Fail]));
        let check = verdicts(&[real, tandem]).remove(1);
        assert_eq!((check.real_min_ms, check.real_max_ms), (Some(30_500.0), Some(36_500.0)));
        assert_eq!(check.difference, Some(0.5));
    }

    #[test]
    fn a_planted_value_fails_the_run() {
        let real = seen("3xnacos", &[31_000.0, 34_000.0], 0);
        for (values, missing) in [(vec![29_000.0, 31_000.0], 0), (vec![31_000.0, 40_000.0], 0), (vec![31_000.0], 1)] {
            let tandem = seen("3xtandem", &values, missing);
            assert_eq!(outcome(&[real.clone(), tandem]), (false, vec![Outcome::Pass, Outcome::Fail]));
        }
        assert!(!outcome(&[real.clone(), seen("3xtandem", &[], 0)]).0, "nothing seen is not a pass");
        assert!(outcome(&[real]).0);
    }

    #[test]
    fn in_a_mixed_cluster_the_real_nodes_among_themselves_are_the_reference() {
        let path = |owner, observer| key(Some(Path { owner, observer }));
        let mixed = |from_real: f64| Seen {
            rows: [
                (path("nacos", "nacos"), row(&[36_500.0], 0)),
                (path("nacos", "tandem"), row(&[from_real], 0)),
                (path("tandem", "nacos"), row(&[31_000.0], 0)),
            ]
            .into(),
            ..seen("2xnacos+tandem", &[], 0)
        };
        let (fail, pass) = (Outcome::Fail, Outcome::Pass);
        assert_eq!(outcome(&[mixed(36_000.0)]), (true, vec![fail, pass, pass]));
        assert_eq!(outcome(&[mixed(37_000.0)]), (false, vec![fail, fail, pass]));
    }
}
