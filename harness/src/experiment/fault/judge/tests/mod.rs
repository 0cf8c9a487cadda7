//! Every checker against what is planted into a run as it should be.

use super::super::history::{Change, Ended, Event, OpKind, Phase, Push, Try};
use super::*;
use crate::results::Outcome;
use tale::{Fate, S, Tale, op};

mod order;
mod registers;
mod tale;

/// A run as it should be in which a probe's changes take 1 to 3 ms.
fn probed() -> Tale {
    let change = |at: u64, shown: Option<u64>| Change {
        from: 0,
        to: 1,
        sent: at * S,
        done: at * S + 500,
        is_made: true,
        shown: shown.map(|it| at * S + 500 + it),
    };
    let others = (0..60).map(|it| Event::Change(change(10 + it, Some(1_000 + it % 3 * 1_000))));
    Tale { others: others.collect(), ..Tale::default() }
}

fn judged(tale: &Tale) -> Judgement {
    judge(&tale.events()).unwrap()
}

/// The checks that do not pass, in order.
fn criers(judgement: &Judgement) -> Vec<Check> {
    judgement.findings.iter().filter(|it| it.verdict != Verdict::Pass).map(|it| it.check).collect()
}

/// Exactly these checks fail, the first of them with these words, and every violation has evidence that is in the
/// history.
#[track_caller]
fn fails(tale: &Tale, checks: &[Check], words: &str) {
    let events = tale.events();
    let judgement = judge(&events).unwrap();
    assert_eq!(judgement.verdict, Verdict::Fail, "{:?}", judgement.unready);
    assert_eq!(criers(&judgement), checks, "{:#?}", judgement.findings.iter().map(Finding::says).collect::<Vec<_>>());
    for check in checks {
        let finding = judgement.finding(*check).unwrap();
        assert_eq!(finding.verdict, Verdict::Fail);
        for violation in &finding.violations {
            assert!(!violation.evidence.is_empty(), "{violation:?}");
            for it in &violation.evidence {
                assert_eq!(story::latest(&events[it.line - 1]), it.at, "{it:?}");
            }
        }
    }
    let says = judgement.finding(checks[0]).unwrap().says().unwrap();
    assert!(says.contains(words), "{says}");
}

#[test]
fn a_run_as_it_should_be_passes_every_check() {
    let judgement = judged(&Tale::default());
    assert_eq!((judgement.verdict, &judgement.unready), (Verdict::Pass, &Vec::new()));
    let checks: Vec<_> = judgement.findings.iter().map(|it| it.check).collect();
    assert_eq!(checks, Check::ALL[..6]);
    assert!(judgement.findings.iter().all(|it| it.is_demanded == it.check.is_default()));
    for figure in judgement.findings.iter().flat_map(|it| &it.figures) {
        let is_nought = figure.what.starts_with("gone") || figure.what.starts_with("heal");
        assert!(!is_nought || figure.values.iter().all(|it| *it == 0.0), "{figure:?}");
    }
    let seen = judgement.figures.iter().find(|it| it.what.starts_with("dereg") && it.phase == Some(Phase::During));
    assert_eq!(seen.unwrap().values, [248.0, 248.0], "at the two others, by the look after 250 ms");
}

#[test]
fn a_lost_instance() {
    use Check::{Agreement, NoLostInstance};
    let tale = Tale::lying(1, 5, 45, 90, false);
    fails(&tale, &[Agreement, NoLostInstance], "node 1 (tandem) lacks instance 5 of service 1 at 79.753 s");
    let judgement = judged(&tale);
    let finding = judgement.finding(NoLostInstance).unwrap();
    let says = finding.says().unwrap();
    assert!(says.starts_with("instance 5, last acknowledged at 76.005 s (line "), "{says}");
    assert!(says.contains("is not shown by node 1 (tandem) at 79.753 s (line "), "{says}");
    let gone = finding.figures.iter().find(|it| it.what == "gone again" && it.node == Some(1)).unwrap();
    assert_eq!((gone.values.len(), gone.quantiles().unwrap()[2]), (14, 34_500.0));
}

#[test]
fn what_is_missing_for_a_while_is_measured_and_no_violation() {
    let tale = Tale::lying(1, 5, 22, 24, false);
    let judgement = judged(&tale);
    assert_eq!(judgement.verdict, Verdict::Pass);
    let figures = &judgement.finding(Check::NoLostInstance).unwrap().figures;
    let gone = figures.iter().find(|it| it.what == "gone again" && it.node == Some(1)).unwrap();
    assert_eq!(gone.values.iter().filter(|it| **it > 0.0).collect::<Vec<_>>(), [&2_000.0]);
}

#[test]
fn a_resurrection() {
    // It left at 30 s; node 1 forgot it and has it again for two seconds after the heal.
    let tale = Tale::lying(1, 12, 41, 43, true);
    fails(&tale, &[Check::NoResurrection], "instance 12, whose deregistration was acknowledged at 30.005 s");
    let says = judged(&tale).finding(Check::NoResurrection).unwrap().says().unwrap();
    assert!(
        says.contains("is shown by node 1 (tandem) at 41.253 s (line ") && says.contains("had been gone"),
        "{says}"
    );
    // Still there at the end: the node disagrees as well.
    let tale = Tale::lying(2, 12, 30, 90, true);
    fails(&tale, &[Check::Agreement, Check::NoResurrection], "shows instance 12 of service 0");
}

#[test]
fn what_comes_late_down_a_narrow_line_is_not_back() {
    // Instance 12 has left at 30 s; node 2, whose line is at fault until 40 s, shows it for a moment.
    let count = |fault: &'static str, node: usize, had_until: u64, shown_at: u64| {
        let mut tale = Tale { fault, ..Tale::default() };
        tale.lies = vec![(node, 12, had_until, shown_at, false), (node, 12, shown_at, shown_at + 2, true)];
        judged(&tale).finding(Check::NoResurrection).unwrap().count
    };
    assert_eq!(count("slow-link", 2, 0, 37), 0);
    assert_eq!(count("slow-link", 2, 20, 37), 1, "it had it before");
    assert_eq!(count("slow-link", 2, 0, 42), 1, "the line is well again");
    assert_eq!(count("slow-link", 1, 0, 37), 1, "its line is well");
    assert_eq!(count("partition", 2, 0, 37), 1, "nothing passes there");
}

#[test]
fn an_official_members_silence_says_nothing_of_the_others() {
    use crate::experiment::fault::judged::Judged;
    use crate::experiment::fault::scenario::Shape;
    // Node 1 is official. Some node answers nothing once the fault is healed.
    let held_to = |silent: usize, lies: &[(usize, u32, u64, u64, bool)]| {
        let mut tale = Tale { silent: vec![(silent, 40, 80)], lies: lies.to_vec(), ..Tale::default() };
        tale.header.nodes = ["tandem", "nacos", "tandem"].map(str::to_owned).to_vec();
        tale.header.checks = [Check::Agreement, Check::NoLostInstance].map(|it| it.name().to_owned()).to_vec();
        let judged = Judged::of(Shape::Mixed, tale.events()).unwrap();
        (!judged.is_shown_only(), judged.verdict())
    };
    assert_eq!(held_to(1, &[]), (false, Verdict::Unknown));
    assert_eq!(held_to(0, &[]), (true, Verdict::Fail), "a Tandem node's silence is its own");
    assert_eq!(held_to(1, &[(2, 5, 60, 80, false)]), (true, Verdict::Fail), "what the others lack counts");

    let silent = judged(&Tale { silent: vec![(1, 40, 80)], ..Tale::default() });
    let watched = (silent.recovery_us(), silent.unrecovered_us());
    assert_eq!(watched, (None, Some(40 * S)), "no agreement as long as it was watched");
}

#[test]
fn who_brought_it_back_in_a_mixed_cluster() {
    // Node 0 is of ours. Lies: node, from, until; all forgot the instance at 30 s.
    let of_tandem = |lies: &[(usize, u64, u64)]| {
        let mut tale = Tale::default();
        tale.header.nodes = ["tandem", "nacos", "nacos"].map(str::to_owned).to_vec();
        tale.lies = lies.iter().map(|(node, from, until)| (*node, 12, *from, *until, true)).collect();
        let finding = judged(&tale).finding(Check::NoResurrection).cloned().unwrap();
        assert_eq!(finding.count, 1, "{lies:?}");
        finding.of_tandem
    };
    assert_eq!(of_tandem(&[(0, 42, 44)]), 1);
    assert_eq!(of_tandem(&[(1, 42, 44)]), 0);
    // Whoever shows it first.
    assert_eq!(of_tandem(&[(0, 43, 46), (1, 42, 46)]), 0);
    assert_eq!(of_tandem(&[(0, 42, 46), (1, 43, 46)]), 1);
    // Who never forgot it is no witness for the others' innocence.
    assert_eq!(of_tandem(&[(0, 30, 46), (1, 42, 46)]), 1);
    assert_eq!(of_tandem(&[(0, 42, 46), (1, 30, 46)]), 0);
}

#[test]
fn who_never_had_it_was_told_by_an_official_node() {
    let of_tandem = |had_until: u64| {
        let mut tale = Tale::default();
        tale.header.nodes = ["nacos", "tandem", "nacos"].map(str::to_owned).to_vec();
        tale.lies = vec![(1, 12, had_until, 42, false), (1, 12, 42, 44, true)];
        let finding = judged(&tale).finding(Check::NoResurrection).cloned().unwrap();
        (finding.count, finding.of_tandem)
    };
    assert_eq!(of_tandem(0), (1, 0));
    assert_eq!(of_tandem(20), (1, 1));
}

#[test]
fn who_was_not_told_did_not_bring_it_back() {
    // Node 0, official, acknowledges that instance 12 leaves, and shows it again; node 1, of ours, never ceased to.
    let of_tandem = |until: u64| {
        let mut tale = Tale::default();
        tale.header.nodes = ["nacos", "tandem", "nacos"].map(str::to_owned).to_vec();
        // Node 2 knows the instance until then.
        tale.lies = vec![(0, 12, 42, 46, true), (1, 12, 30, 46, true)];
        tale.lies.push(if until > 30 { (2, 12, 30, until, true) } else { (2, 12, until, 46, false) });
        judged(&tale).finding(Check::NoResurrection).unwrap().of_tandem
    };
    assert_eq!(of_tandem(0), 0, "nobody else knew it, and nobody was told");
    assert_eq!(of_tandem(30), 1, "node 2 was told, and so was node 1");
    assert_eq!(of_tandem(35), 1, "node 1 was told by then as well");
    assert_eq!(of_tandem(39), 0, "node 2 may have asked a moment before node 1 would have");
}

#[test]
fn whose_zombie_it_is_in_a_mixed_cluster() {
    // Node 0 is of ours; the client of instance 11 was last heard of at 25 s. Shown: node, from, until.
    let of_tandem = |shown: &[(usize, u64, u64)]| {
        let mut tale = Tale::default();
        tale.header.nodes = ["tandem", "nacos", "nacos"].map(str::to_owned).to_vec();
        tale.lies = shown.iter().map(|(node, from, until)| (*node, 11, *from, *until, true)).collect();
        let finding = judged(&tale).finding(Check::NoZombie).cloned().unwrap();
        (finding.count, finding.of_tandem)
    };
    assert_eq!(of_tandem(&[(0, 50, 75)]), (1, 1));
    assert_eq!(of_tandem(&[(1, 50, 75)]), (1, 0));
    assert_eq!(of_tandem(&[(0, 50, 75), (1, 50, 73)]), (1, 0), "it was told to have it");
    assert_eq!(of_tandem(&[(0, 50, 75), (1, 50, 65)]), (1, 1), "that is over for long");
}

#[test]
fn who_emptied_it_in_a_mixed_cluster() {
    // Node 0 is of ours. Empty: node, from, until.
    let of_tandem = |empty: &[(usize, u64, u64)]| {
        let mut tale = Tale::default();
        tale.header.nodes = ["tandem", "nacos", "nacos"].map(str::to_owned).to_vec();
        let of_service = (0..14).step_by(2);
        tale.lies = of_service
            .flat_map(|instance| empty.iter().map(move |(node, from, until)| (*node, instance, *from, *until, false)))
            .collect();
        let finding = judged(&tale).finding(Check::NoEmptiedService).cloned().unwrap();
        (finding.count, finding.of_tandem)
    };
    assert_eq!(of_tandem(&[(0, 42, 44)]), (1, 1));
    assert_eq!(of_tandem(&[(1, 42, 44)]), (1, 0));
    assert_eq!(of_tandem(&[(0, 43, 45), (1, 42, 44)]), (2, 0), "an official node told it so");
    assert_eq!(of_tandem(&[(0, 42, 44), (1, 50, 52)]), (2, 1), "what an official node did later is no reason");
    assert_eq!(of_tandem(&[(0, 60, 62), (1, 42, 44)]), (2, 1), "nor what it did long before");
}

#[test]
fn what_is_stale_until_the_heal_is_no_resurrection() {
    let judgement = judged(&Tale::lying(2, 12, 30, 42, true));
    assert_eq!(judgement.verdict, Verdict::Pass);
    let figures = &judgement.finding(Check::NoResurrection).unwrap().figures;
    assert_eq!(figures[2].quantiles().unwrap()[2], 11_745.0);
    let agreed = &judgement.finding(Check::Agreement).unwrap().figures[2];
    assert_eq!((agreed.node, agreed.values[0]), (Some(2), 2_250.0));
}

#[test]
fn what_an_unanswered_request_may_have_made_is_excused_until_it_expires() {
    // A heartbeat at node 2, cut off, had no answer before the client turned to another.
    let unanswered = Try { node: 2, took: 3_000_000, status: None, unreached: false };
    let mut tale = Tale::lying(1, 12, 41, 43, true);
    let beat = op(OpKind::Beat, 12, 27 * S);
    let tries = vec![unanswered, beat.tries[0].clone()];
    tale.others = vec![Event::Op(super::super::history::Op { tries: tries.clone(), ..beat.clone() })];
    assert_eq!(judged(&tale).verdict, Verdict::Pass);
    // One that was not even connected cannot act.
    let refused = Try { unreached: true, ..tries[0].clone() };
    tale.others = vec![Event::Op(super::super::history::Op { tries: vec![refused, tries[1].clone()], ..beat })];
    assert_eq!(judged(&tale).verdict, Verdict::Fail);
}

#[test]
fn a_zombie() {
    // Its client was last heard of at 25 s, so it is to be gone by 60 s, at node 2 by 75 s.
    let tale = Tale::lying(0, 11, 50, 64, true);
    fails(&tale, &[Check::NoZombie], "instance 11, whose client was last heard of at 25.005 s (line ");
    let says = judged(&tale).finding(Check::NoZombie).unwrap().says().unwrap();
    assert!(says.contains("is shown by node 0 (tandem) at 60.253 s") && says.ends_with("gone by 60.005 s"), "{says}");
    assert_eq!(judged(&Tale::lying(2, 11, 50, 64, true)).verdict, Verdict::Pass);
    fails(&Tale::lying(2, 11, 50, 90, true), &[Check::Agreement, Check::NoZombie], "shows instance 11");
}

#[test]
fn an_emptied_service() {
    let lies = [1, 3, 5, 7, 9, 11, 13].map(|it| (2, it, 41, 43, false)).to_vec();
    let mut tale = Tale { lies, ..Tale::default() };
    fails(&tale, &[Check::NoEmptiedService], "node 2 (tandem) shows service 1 empty at 41.253 s (line ");
    let says = judged(&tale).finding(Check::NoEmptiedService).unwrap().says().unwrap();
    assert!(
        says.contains("for 2.000 s, while clients keep 6 instances alive, e.g. instance 1, acknowledged"),
        "{says}"
    );
    // A node that is away is not empty, but one that answers right after its start is.
    tale.silent = vec![(2, 39, 42)];
    fails(&tale, &[Check::NoEmptiedService], "empty at 42.253 s");
    tale.silent = vec![(2, 39, 43)];
    assert_eq!(judged(&tale).verdict, Verdict::Pass);
}

#[test]
fn an_empty_push_and_an_older_one() {
    let push = |at, last_ref_time, present: &[u32]| Push {
        at: at * S,
        node: Some(1),
        subscriber: 0,
        service: 0,
        last_ref_time,
        present: present.to_vec(),
    };
    let mut tale = Tale { pushes: vec![push(30, 7, &[0, 1, 2]), push(31, 5, &[0])], ..Tale::default() };
    let judgement = judged(&tale);
    assert_eq!(judgement.verdict, Verdict::Pass);
    let older = judgement.finding(Check::NoEmptiedService).unwrap().figures.last().unwrap().clone();
    assert_eq!((older.what.as_str(), older.values), ("pushes older than one before", vec![1.0]));
    tale.pushes.push(push(33, 8, &[]));
    fails(&tale, &[Check::NoEmptiedService], "an empty service 0 is pushed to subscriber 0 at 33.000 s (line ");
}

#[test]
fn disagreement() {
    // A registration whose answer nobody knows: either is right, but not both.
    let mut tale = Tale::default();
    tale.fates.push(Fate::Stays);
    tale.fates.push(Fate::Stays);
    tale.lies = vec![(0, 15, 0, 90, false), (1, 15, 0, 90, false), (2, 15, 0, 90, true), (0, 14, 0, 90, true)];
    let mut events = tale.events();
    for event in &mut events {
        if let Event::Op(op) = event
            && op.instance == 15
        {
            (op.ended, op.indefinite) = (Ended::Failed, true);
        }
    }
    let judgement = judge(&events).unwrap();
    assert_eq!((judgement.verdict, criers(&judgement)), (Verdict::Fail, vec![Check::Agreement]));
    let says = judgement.finding(Check::Agreement).unwrap().says().unwrap();
    assert!(says.contains("node 2 (tandem) shows instance 15 of service 1 and node 0 (tandem) does not"), "{says}");
    let told = |node, value: &str| Event::Told { at: 79 * S, node, what: "instances".into(), value: value.into() };
    let tale = Tale { others: vec![told(0, "12"), told(1, "12"), told(2, "13")], ..Tale::default() };
    fails(&tale, &[Check::Agreement], "node 0 (tandem) tells instances 12, node 2 (tandem) 13");
    // Too late, but in the end.
    let tale = Tale::lying(2, 5, 39, 47, false);
    fails(&tale, &[Check::Agreement], "before it agreed 7.250 s after the heal, where 5.000 s are allowed");
}

#[test]
fn a_node_that_is_not_looked_at_or_gives_no_answer() {
    let tale = Tale { unlooked: vec![(1, 38, 90)], ..Tale::default() };
    let judgement = judged(&tale);
    assert_eq!(judgement.verdict, Verdict::Unknown);
    for check in [Check::Agreement, Check::NoLostInstance, Check::NoResurrection, Check::NoZombie] {
        let finding = judgement.finding(check).unwrap();
        assert_eq!(finding.verdict, Verdict::Unknown);
        assert!(finding.says().unwrap().contains("node 1 (tandem)"), "{finding:?}");
    }
    let tale = Tale { silent: vec![(1, 38, 90)], ..Tale::default() };
    let says = judged(&tale).finding(Check::Agreement).unwrap().says().unwrap();
    assert_eq!(says, "node 1 (tandem) answers no look after the heal at 40.000 s");
    assert_eq!(judged(&tale).verdict, Verdict::Fail);
}

#[test]
fn a_fault_that_did_not_bite_or_a_generator_that_lagged_is_no_pass_and_no_fail() {
    let unready = |tale: &Tale| {
        let judgement = judged(tale);
        assert_eq!(judgement.verdict, Verdict::Unknown);
        judgement.unready[0].clone()
    };
    let fault = "fault 0 (node 2 cut off from the others) had no effect: ";
    let mut tale = Tale::lying(1, 5, 45, 90, false);
    tale.proof = Some(false);
    assert_eq!(unready(&tale), format!("{fault}0 packets dropped"));
    tale.proof = None;
    assert_eq!(unready(&tale), format!("{fault}nothing proves that it had one"));
    tale.others = vec![Event::Unsent { due: 1 }];
    assert_eq!(unready(&tale), "the load generator could not keep up: 1 operations were due and not sent");
    let mut tale = Tale::default();
    tale.header.checks = vec!["agreement".into(), "eternity".into()];
    assert_eq!(unready(&tale), "the scenario demands \"eternity\", which is no check");
    let mut events = Tale::default().events();
    events.retain(|it| !matches!(it, Event::Phase { phase: Phase::End, .. }));
    assert_eq!(judge(&events).unwrap().unready, ["the history has no end"]);
    let mut events = Tale::default().events();
    for event in &mut events {
        if let Event::Op(op) = event {
            op.due = op.sent.saturating_sub(2 * S);
        }
    }
    assert!(judge(&events).unwrap().unready[0].contains("2.000 s late at p99"));
    events.remove(0);
    assert!(judge(&events).is_none());
}

#[test]
fn availability_is_held_to_a_bound_where_there_is_one() {
    let mut tale = Tale::default();
    let failed = |instance: u32, at| {
        let it = op(OpKind::Query, instance, at * S);
        Event::Op(super::super::history::Op { ended: Ended::Failed, tries: Vec::new(), ..it })
    };
    tale.others = (0..20).map(|it| failed(it, 25)).collect();
    tale.header.answered_min = Some(0.9);
    tale.header.checks = vec!["availability".into()];
    fails(&tale, &[Check::Availability], "operations were answered in phase during, ");
    tale.header.answered_min = Some(0.5);
    let judgement = judged(&tale);
    assert_eq!(judgement.verdict, Verdict::Pass);
    let looks = judgement.finding(Check::Availability).unwrap().figures.iter();
    let looks: Vec<_> = looks.filter(|it| it.what == "answered: looks" && it.node == Some(2)).collect();
    assert_eq!((looks.len(), looks[0].values.as_slice()), (4, [100.0].as_slice()));
    // Without a bound it is a measurement, and a scenario that demands nothing else has not been judged.
    tale.header.answered_min = None;
    let judgement = judged(&tale);
    assert_eq!(judgement.verdict, Verdict::Unknown);
    assert!(!judgement.finding(Check::Availability).unwrap().is_demanded);
}

#[test]
fn a_check_that_is_demanded_and_has_nothing_to_judge_is_unknown() {
    let mut tale = Tale::default();
    tale.header.checks = vec!["no-lost-write".into()];
    let judgement = judged(&tale);
    assert_eq!(judgement.verdict, Verdict::Unknown);
    assert!(judgement.finding(Check::NoLostWrite).unwrap().says().unwrap().starts_with("nothing in the history"));
}

#[test]
fn a_slow_probe() {
    let mut tale = probed();
    // Ten seconds before the fault have too few changes, so they come twenty times as often.
    let more: Vec<Event> = tale.others.iter().cycle().take(1_140).cloned().collect();
    tale.others.extend(more);
    tale.header.checks = vec!["sync-latency".into()];
    let judgement = judged(&tale);
    assert_eq!(judgement.verdict, Verdict::Pass, "{:?}", judgement.finding(Check::SyncLatency));
    for event in &mut tale.others {
        if let Event::Change(it) = event
            && (30 * S..32 * S).contains(&it.sent)
        {
            it.shown = Some(it.done + 9_000);
        }
    }
    fails(&tale, &[Check::SyncLatency], "took 9.0 ms at p99 during the fault, 3.0 ms before");
    if let Some(Event::Change(it)) = tale.others.last_mut() {
        it.shown = None;
    }
    fails(&tale, &[Check::SyncLatency], "node 1 (tandem) did not show in time what node 0 (tandem) acknowledged at ");
    let mut tale = probed();
    tale.header.checks = vec!["sync-latency".into()];
    assert!(judged(&tale).finding(Check::SyncLatency).unwrap().says().unwrap().contains("10 changes were seen before"));
}

#[test]
fn a_judgement_becomes_a_scenario_of_the_record() {
    let mut tale = Tale::lying(1, 5, 22, 24, false);
    tale.lies.push((1, 7, 23, 90, false));
    let fault = judged(&tale).fault("history/one-node-cut-off.jsonl");
    assert_eq!((fault.outcome, fault.lost_acked, fault.recovery_ms), (Outcome::Fail, 1, None));
    assert_eq!(fault.violations.len(), 2);
    assert!(
        fault.violations[1].starts_with("no-lost-instance: instance 7, last acknowledged at "),
        "{:?}",
        fault.violations
    );
    let bands: Vec<_> =
        fault.timeline.iter().filter_map(|it| Some((it.at_ms, it.until_ms?, it.event.as_str()))).collect();
    assert_eq!(bands, [(20_000.0, 40_000.0, "node 2 cut off from the others")]);
    let missing: Vec<_> = fault.samples.iter().map(|it| it.missing.unwrap_or(9)).collect();
    assert_eq!((missing[21], missing[22], missing[23], missing[25], missing[79]), (0, 1, 2, 1, 1));
    assert!(fault.samples.iter().all(|it| it.requests == it.answered));
    let lost = fault.checks.iter().find(|it| it.check == "no-lost-instance").unwrap();
    assert_eq!((lost.outcome, lost.is_demanded, lost.count), (Outcome::Fail, true, 1));
    assert_eq!(lost.violations[0].evidence.len(), 2);
    assert!(fault.figures.iter().any(|it| it.what == "gone again" && it.node == Some(1) && it.max == 56_500.0));
    let whole = judged(&Tale::default()).fault("");
    assert_eq!((whole.outcome, whole.recovery_ms), (Outcome::Pass, Some(0.0)));
}

#[test]
fn a_fault_that_needs_no_heal_excuses_nothing_for_ever() {
    // A leader hands over while an unanswered heartbeat is under way.
    let mut tale = Tale::lying(1, 12, 60, 62, true);
    let beat = op(OpKind::Beat, 12, 21 * S);
    let open = Try { node: 2, took: 3_000_000, status: None, unreached: false };
    tale.others = vec![Event::Op(super::super::history::Op { tries: vec![open], ended: Ended::Failed, ..beat })];
    let mut events = tale.events();
    events.retain(|it| !matches!(it, Event::Healed { .. }));
    let judgement = judge(&events).unwrap();
    let says = judgement.finding(Check::NoResurrection).unwrap().says();
    // Open until 31 s, and what it makes is gone by 66 s.
    assert_eq!(says, None);
    let at_the_end = events.iter_mut().filter_map(|it| match it {
        Event::Look(look) if look.node == 1 && look.service == 0 && look.sent > 70 * S => look.present.as_mut(),
        _ => None,
    });
    at_the_end.for_each(|it| it.push(6));
    let judgement = judge(&events).unwrap();
    assert!(judgement.finding(Check::NoResurrection).unwrap().says().is_some());
}
