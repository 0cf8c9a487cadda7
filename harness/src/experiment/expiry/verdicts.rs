//! All targets of a run: every row against its official window and beside what the real server showed in the same run.

use super::window::{difference, judge, official};
use super::{Key, Row, Seen};
use crate::results::{Outcome, WindowCheck};

/// The verdicts on every row of every target, in order.
pub fn verdicts(seen: &[Seen]) -> Vec<WindowCheck> {
    seen.iter().flat_map(|target| target.rows.iter().map(|(key, row)| verdict(target, key, row, seen))).collect()
}

fn verdict(target: &Seen, key: &Key, row: &Row, seen: &[Seen]) -> WindowCheck {
    // A real server is held to how it works, not to itself.
    let real = if target.is_real { Vec::new() } else { beside(key, seen) };
    let values: Vec<f64> = row.sightings.iter().map(|it| it.value_ms).collect();
    let window = official(key.moment, key.seat, key.via, key.group.timeouts());
    let judged = judge(window, &row.sightings, row.missing, range(&real));
    WindowCheck {
        target: target.target.clone(),
        change: key.moment.name().to_owned(),
        instances: key.group.name().to_owned(),
        at: key.seat.name().to_owned(),
        by: key.via.name().to_owned(),
        owner: key.owner.map(ToOwned::to_owned),
        outcome: judged.outcome,
        above_ms: window.above_ms,
        at_most_ms: window.at_most_ms,
        samples: values.len() as u64,
        missing: row.missing,
        outside: judged.outside,
        min_ms: range(&values).map(|it| it.0),
        max_ms: range(&values).map(|it| it.1),
        real_min_ms: range(&real).map(|it| it.0),
        real_max_ms: range(&real).map(|it| it.1),
        difference: difference(&values, &real),
        reasons: judged.reasons,
    }
}

/// What all-real targets showed for the same change; who is responsible among them makes no difference.
fn beside(key: &Key, seen: &[Seen]) -> Vec<f64> {
    let same = Key { owner: None, ..key.clone() };
    let rows = seen.iter().filter(|it| it.is_real).filter_map(|it| it.rows.get(&same));
    rows.flat_map(|row| row.sightings.iter().map(|it| it.value_ms)).collect()
}

fn range(values: &[f64]) -> Option<(f64, f64)> {
    let least = values.iter().copied().min_by(f64::total_cmp)?;
    Some((least, values.iter().copied().max_by(f64::total_cmp)?))
}

/// Whether all rows of the targets that are to be held to something passed: of those that are not all real, or of all
/// when there are no others. What could not be judged did not pass.
pub fn held(seen: &[Seen], checks: &[WindowCheck]) -> bool {
    let has_subject = seen.iter().any(|it| !it.is_real);
    let held: Vec<&Seen> = seen.iter().filter(|it| !(has_subject && it.is_real)).collect();
    let passed = |it: &&Seen| {
        let mut own = checks.iter().filter(|check| check.target == it.target).peekable();
        own.peek().is_some() && own.all(|check| check.outcome == Outcome::Pass)
    };
    !held.is_empty() && held.iter().all(passed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::expiry::Group;
    use crate::experiment::expiry::track::Sighting;
    use crate::experiment::expiry::window::{Moment, Seat, Via};

    fn seen(target: &str, is_real: bool, values: &[f64], missing: u64) -> Seen {
        let owner = target.contains('+').then_some("tandem");
        let key = Key { moment: Moment::Gone, group: Group::Default, seat: Seat::Owner, via: Via::Read, owner };
        let sighting = |it: &f64| Sighting { value_ms: *it, least_ms: it - 50.0, most_ms: it + 5.0 };
        let row = Row { sightings: values.iter().map(sighting).collect(), missing };
        Seen { target: target.into(), is_real, rows: [(key, row)].into(), not_done: Vec::new() }
    }

    fn outcome(all: &[Seen]) -> (bool, Vec<Outcome>) {
        let checks = verdicts(all);
        (held(all, &checks), checks.iter().map(|it| it.outcome).collect())
    }

    #[test]
    fn a_target_is_judged_beside_the_real_one_and_the_real_one_by_how_it_works() {
        let real = seen("3xnacos", true, &[30_500.0, 36_500.0], 0);
        let tandem = seen("2xnacos+tandem", false, &[30_100.0, 36_000.0], 0);
        assert_eq!(outcome(&[real.clone(), tandem.clone()]), (true, vec![Outcome::Fail, Outcome::Pass]));
        assert_eq!(outcome(std::slice::from_ref(&tandem)), (false, vec![Outcome::Fail]));
        let check = verdicts(&[real, tandem]).remove(1);
        assert_eq!((check.real_min_ms, check.real_max_ms), (Some(30_500.0), Some(36_500.0)));
        assert_eq!(check.difference, Some(0.5));
    }

    #[test]
    fn a_planted_value_fails_the_run() {
        let real = seen("3xnacos", true, &[31_000.0, 34_000.0], 0);
        for (values, missing) in [(vec![29_000.0, 31_000.0], 0), (vec![31_000.0, 40_000.0], 0), (vec![31_000.0], 1)] {
            let tandem = seen("3xtandem", false, &values, missing);
            assert_eq!(outcome(&[real.clone(), tandem]), (false, vec![Outcome::Pass, Outcome::Fail]));
        }
        assert!(!outcome(&[real.clone(), seen("3xtandem", false, &[], 0)]).0, "nothing seen is not a pass");
        assert!(outcome(&[real]).0);
    }
}
