//! What counts as a regression, and what is refused.

use super::fixture::{NACOS, TANDEM, sample};
use super::unmoved;
use crate::report::against;
use crate::results::{Outcome, Results};

fn set_outcome(results: &mut Results, id: &str, target: &str, outcome: Outcome) {
    let cases = &mut results.conformance.as_mut().unwrap().cases;
    cases.iter_mut().find(|it| it.id == id && it.target == target).unwrap().outcome = outcome;
}

#[test]
fn a_run_does_not_regress_against_itself() {
    let comparison = unmoved();
    assert!(!comparison.regressed());
    assert_eq!(comparison.ratios_compared, 9);
    assert!(comparison.verdict().starts_with("No regression") && comparison.verdict().contains("nothing moved"));
}

#[test]
fn a_case_that_moves_off_pass_regresses_and_one_that_moves_to_pass_does_not() {
    let old = sample();
    for (outcome, failing, unjudged) in [(Outcome::Fail, 1, 0), (Outcome::Error, 0, 1), (Outcome::Skip, 0, 1)] {
        let mut new = sample();
        set_outcome(&mut new, "A001", TANDEM, outcome);
        let comparison = against(&new, &old, 0.1).unwrap();
        assert!(comparison.regressed());
        assert_eq!((comparison.newly_failing.len(), comparison.no_longer_judged.len()), (failing, unjudged));
    }
    let mut new = sample();
    set_outcome(&mut new, "A003", TANDEM, Outcome::Pass);
    let comparison = against(&new, &old, 0.1).unwrap();
    assert!(!comparison.regressed());
    assert_eq!(comparison.newly_passing.len(), 1);
}

#[test]
fn a_difference_that_is_kept_now_is_told_and_one_that_broke_regresses() {
    let mut new = sample();
    set_outcome(&mut new, "A001", TANDEM, Outcome::Kept);
    let comparison = against(&new, &sample(), 0.1).unwrap();
    assert!(!comparison.regressed(), "{}", comparison.verdict());
    assert_eq!((comparison.now_kept.len(), comparison.newly_failing.len()), (1, 0));
    assert!(comparison.markdown().contains("A001"), "it is still told");
    for (outcome, failing, unjudged) in [(Outcome::Fail, 1, 0), (Outcome::Error, 0, 1), (Outcome::Skip, 0, 1)] {
        let mut new = sample();
        set_outcome(&mut new, "A017", TANDEM, outcome);
        let comparison = against(&new, &sample(), 0.1).unwrap();
        assert!(comparison.regressed(), "kept → {outcome:?}");
        assert_eq!((comparison.newly_failing.len(), comparison.no_longer_judged.len()), (failing, unjudged));
    }
}

#[test]
fn a_case_that_vanished_regresses_and_a_new_one_does_not() {
    let old = sample();
    let mut new = sample();
    new.conformance.as_mut().unwrap().cases.retain(|it| it.id != "A001");
    let comparison = against(&new, &old, 0.1).unwrap();
    assert!(comparison.regressed());
    assert_eq!(comparison.vanished.len(), 3);
    let comparison = against(&old, &new, 0.1).unwrap();
    assert!(!comparison.regressed());
    assert_eq!(comparison.appeared.len(), 3);
}

/// Scales the first ratio of `experiment` and `stat`, with its interval.
fn scale(results: &mut Results, experiment: &str, stat: &str, unit_rate: bool, by: f64) {
    let ratio = results
        .ratios
        .iter_mut()
        .find(|it| it.experiment == experiment && it.stat == stat && it.variant.contains_key("loop") == unit_rate)
        .unwrap();
    for it in [&mut ratio.value, &mut ratio.low, &mut ratio.high] {
        *it *= by;
    }
}

#[test]
fn a_ratio_regresses_only_beyond_interval_and_tolerance() {
    let old = sample();
    // (factor, tolerance, worse, better): the sync interval spans about ±7 %.
    for (factor, tolerance, worse, better) in [(1.05, 0.0, 0, 0), (1.5, 0.1, 1, 0), (1.5, 0.6, 0, 0), (0.5, 0.1, 0, 1)]
    {
        let mut new = sample();
        scale(&mut new, "sync-latency", "p50", false, factor);
        let comparison = against(&new, &old, tolerance).unwrap();
        assert_eq!((comparison.worse.len(), comparison.better.len()), (worse, better), "{factor} {tolerance}");
        assert_eq!(comparison.regressed(), worse > 0);
    }
}

#[test]
fn for_a_rate_more_is_better_also_when_the_reference_is_above_the_line() {
    let old = sample();
    let mut new = sample();
    // NACOS over TANDEM grows: the target became slower beside the reference.
    scale(&mut new, "load-query", "p50", true, 2.0);
    let comparison = against(&new, &old, 0.1).unwrap();
    assert_eq!(comparison.worse.len(), 1);
    assert_eq!(comparison.worse[0].ratio, format!("{TANDEM} over {NACOS}"));
}

#[test]
fn a_ratio_that_vanished_regresses() {
    let mut new = sample();
    new.ratios.remove(0);
    let comparison = against(&new, &sample(), 0.1).unwrap();
    assert!(comparison.regressed());
    assert_eq!(comparison.ratios_vanished.len(), 1);
}

#[test]
fn ratios_are_not_judged_when_a_generator_fell_behind() {
    let mut new = sample();
    new.run.load.generator_kept_up = false;
    scale(&mut new, "sync-latency", "p50", false, 10.0);
    let comparison = against(&new, &sample(), 0.1).unwrap();
    assert!(!comparison.regressed());
    assert!(comparison.markdown().contains("Ratios were not compared: in the new run the load generator fell behind"));
}

#[test]
fn unaligned_runs_are_refused_with_the_reason() {
    let old = sample();
    let refused = |change: fn(&mut Results)| {
        let mut new = sample();
        change(&mut new);
        against(&new, &old, 0.1).unwrap_err().to_string()
    };
    assert_eq!(
        refused(|it| it.run.profile = "full".into()),
        "the runs are not comparable: the profile was `quick` then and is `full` now"
    );
    assert!(refused(|it| it.run.host.cores = 8).contains("processors was `2` then and is `8` now"));
    assert!(refused(|it| it.targets.truncate(2)).contains("list of targets"));
    assert!(refused(|it| it.conformance.as_mut().unwrap().reference = "recordings/1.4.1".into()).contains("reference"));
}

#[test]
fn the_comparison_reads_well() {
    let mut new = sample();
    set_outcome(&mut new, "A001", TANDEM, Outcome::Fail);
    set_outcome(&mut new, "A003", TANDEM, Outcome::Pass);
    scale(&mut new, "sync-latency", "p50", false, 1.5);
    let comparison = against(&new, &sample(), 0.1).unwrap();
    insta::assert_snapshot!("comparison.md", comparison.markdown());
    let html = crate::report::html::html(&new, Some(&comparison)).unwrap();
    assert!(html.contains("id=\"baseline\"") && html.contains("Newly failing (1)"));
}

#[test]
fn answers_are_compared_across_machines_and_ratios_are_not() {
    let mut old = sample();
    let mut new = sample();
    new.run.host.cpu = "Another CPU".into();
    assert!(against(&new, &old, 0.1).is_err());
    old.ratios.clear();
    new.ratios.clear();
    assert!(!against(&new, &old, 0.1).unwrap().regressed());
    set_outcome(&mut new, "A001", TANDEM, Outcome::Fail);
    assert!(against(&new, &old, 0.1).unwrap().regressed());
}

#[test]
fn a_baseline_of_nothing_gates_nothing_and_is_refused() {
    let mut old = sample();
    old.ratios.clear();
    old.conformance = None;
    let error = against(&sample(), &old, 0.1).unwrap_err().to_string();
    assert!(error.contains("nothing could regress"), "{error}");
}
