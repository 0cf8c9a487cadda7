//! Planted violations of the checks on persistent data.

use super::super::super::history::{Action, Outcome, Persistent, Us};
use super::super::{Check, Verdict, judge};
use super::tale::{S, Tale};
use super::{fails, judged};

const MS: Us = 1_000;

fn operation(node: usize, at: Us, action: Action, outcome: Outcome) -> Persistent {
    Persistent {
        process: node as u32,
        register: 0,
        on: "instance".into(),
        action,
        sent: at * MS,
        done: at * MS + 10 * MS,
        node,
        status: Some(200),
        outcome,
    }
}

/// Acknowledged.
fn set(node: usize, at: Us, value: u64) -> Persistent {
    operation(node, at, Action::Set(value), Outcome::Ok)
}

fn read(node: usize, at: Us, value: u64) -> Persistent {
    operation(node, at, Action::Read, Outcome::Value(Some(value)))
}

/// Three reads, one at each node.
fn all_read(at: Us, value: u64) -> [Persistent; 3] {
    [0, 1, 2].map(|node| read(node, at + 20 * node as Us, value))
}

/// Set three times, and read by all after each; in the end it is 3.
fn good() -> Tale {
    let mut persistent = vec![set(1, 15_000, 1), set(0, 30_000, 2), set(2, 50_000, 3)];
    for (at, value) in [(16_000, 1), (31_000, 2), (55_000, 3), (72_000, 3), (75_000, 3)] {
        persistent.extend(all_read(at, value));
    }
    Tale { persistent, ..Tale::default() }
}

/// The same with other answers to reads.
fn reading(change: impl Fn(usize, Us) -> Option<u64>) -> Tale {
    let mut tale = good();
    for it in &mut tale.persistent {
        if it.action == Action::Read
            && let Some(value) = change(it.node, it.sent / S)
        {
            it.outcome = Outcome::Value(Some(value));
        }
    }
    tale
}

#[test]
fn a_register_as_it_should_be() {
    let judgement = judged(&good());
    assert_eq!(judgement.verdict, Verdict::Pass);
    for check in [Check::NoLostWrite, Check::LinearizableWrites, Check::LinearizableReads] {
        assert_eq!(judgement.finding(check).unwrap().verdict, Verdict::Pass, "{check:?}");
    }
}

#[test]
fn a_lost_write() {
    use Check::{LinearizableReads, LinearizableWrites, NoLostWrite};
    let tale = reading(|node, at| (node == 0 && at >= 50).then_some(2));
    fails(
        &tale,
        &[NoLostWrite, LinearizableWrites, LinearizableReads],
        "register 0: Set(3) at node 2, acknowledged at 50.010 s (line ",
    );
    let says = judged(&tale).finding(NoLostWrite).unwrap().says().unwrap();
    assert!(says.contains("never overwritten; node 0 (tandem) reads 2 at 75.010 s (line "), "{says}");
    let tale = reading(|_, at| (at >= 50).then_some(9));
    fails(&tale, &[NoLostWrite, LinearizableWrites, LinearizableReads], "node 2 (tandem) reads 9 at 75.010 s");
}

#[test]
fn a_lost_write_that_was_overwritten_later() {
    let mut tale = good();
    tale.persistent.push(set(1, 60_000, 4));
    tale.persistent.extend(all_read(61_000, 3));
    tale.persistent.push(set(1, 65_000, 5));
    for it in tale.persistent.iter_mut().filter(|it| it.sent >= 70 * S) {
        it.outcome = Outcome::Value(Some(5));
    }
    let words = "register 0: Set(4) at node 1, acknowledged at 60.010 s";
    fails(&tale, &[Check::NoLostWrite, Check::LinearizableReads], words);
    // Somebody has seen it, so it was there.
    tale.persistent.push(read(2, 64_000, 4));
    assert_eq!(judged(&tale).verdict, Verdict::Pass);
    // Or a node was not asked.
    tale.persistent.pop();
    tale.persistent.retain(|it| it.node != 2 || it.sent / S != 61);
    assert_eq!(judged(&tale).verdict, Verdict::Pass);
}

#[test]
fn whose_lost_write_it_is_in_a_mixed_cluster() {
    // Node 2 acknowledged the last write; `of_ours` is a Tandem node, and `loser` reads the one before in the end.
    let of_tandem = |of_ours: usize, loser: usize| {
        let mut tale = reading(|node, at| (node == loser && at >= 70).then_some(2));
        tale.header.nodes = (0..3).map(|it| if it == of_ours { "tandem" } else { "nacos" }.to_owned()).collect();
        let finding = judged(&tale).finding(Check::NoLostWrite).cloned().unwrap();
        assert_eq!(finding.verdict, Verdict::Fail);
        finding.of_tandem
    };
    assert_eq!(of_tandem(2, 2), 1);
    assert_eq!(of_tandem(2, 0), 0, "it is at the Tandem node");
    assert_eq!(of_tandem(0, 0), 0, "an official node said that it was written");
}

#[test]
fn what_comes_to_sight_late_is_stale_and_not_lost() {
    let mut tale = reading(|_, at| (at == 31).then_some(1));
    tale.persistent.extend(all_read(40_000, 2));
    let judgement = judged(&tale);
    assert_eq!(judgement.verdict, Verdict::Pass);
    let finding = judgement.finding(Check::LinearizableReads).unwrap();
    assert_eq!((finding.verdict, finding.count), (Verdict::Fail, 3));
    let says = &finding.violations[0].says;
    assert!(says.starts_with("register 0: node 0 (tandem) reads 1 at 31.010 s (line "), "{says}");
    assert!(says.contains("), 0.990 s after Set(2) at node 0, acknowledged at 30.010 s (line "), "{says}");
    tale.header.checks = vec!["linearizable-reads".into()];
    fails(&tale, &[Check::LinearizableReads], "0.990 s after Set(2)");
}

#[test]
fn writes_in_another_order_than_they_were_made_in() {
    use Check::{LinearizableReads, LinearizableWrites};
    // Node 0 has not shown 1 before it shows 2.
    let tale = reading(|node, at| match (node, at) {
        (0, 16) => Some(2),
        (0, 31) => Some(1),
        _ => None,
    });
    // 2 is read before it is set: that is another thing, so the read is after, and before the one of 1.
    let mut tale = Tale {
        persistent: tale.persistent.into_iter().filter(|it| it.node != 0 || it.sent / S != 16).collect(),
        ..tale
    };
    tale.persistent.push(read(0, 30_500, 2));
    fails(&tale, &[LinearizableWrites, LinearizableReads], "node 0 (tandem) reads 2 at 30.510 s");
    let says = judged(&tale).finding(LinearizableWrites).unwrap().says().unwrap();
    assert!(
        says.contains("and 1 for the first time at 31.010 s") && says.contains("but Set(1) at node 1, ack"),
        "{says}"
    );
}

#[test]
fn writes_in_different_orders_at_two_nodes() {
    use Check::{LinearizableReads, LinearizableWrites};
    let mut tale = good();
    let mut two = [set(0, 60_000, 4), set(1, 60_000, 5)];
    two.iter_mut().for_each(|it| it.done += 5 * S);
    tale.persistent.extend(two);
    tale.persistent.extend([read(0, 61_000, 4), read(0, 62_000, 5), read(1, 61_000, 5), read(1, 62_000, 4)]);
    for it in tale.persistent.iter_mut().filter(|it| it.sent >= 70 * S) {
        it.outcome = Outcome::Value(Some(5));
    }
    fails(
        &tale,
        &[LinearizableWrites, LinearizableReads],
        "node 0 (tandem) reads 4 and then 5, node 1 (tandem) 5 and then 4",
    );
}

#[test]
fn nodes_that_hold_different_possible_values_for_ever() {
    use Check::{LinearizableReads, LinearizableWrites};
    let mut tale = reading(|node, at| (at >= 70).then_some(if node == 1 { 5 } else { 4 }));
    let mut two = [set(0, 60_000, 4), set(1, 60_000, 5)];
    two.iter_mut().for_each(|it| it.done += 5 * S);
    tale.persistent.extend(two);
    fails(&tale, &[LinearizableWrites, LinearizableReads], "no order of the writes explains what is read");
}

#[test]
fn an_operation_that_nobody_knows_the_outcome_of_may_be_either_way() {
    for (action, either) in [(Action::Set(7), Some(7)), (Action::Remove, None)] {
        for value in [Some(3), either] {
            let mut tale = good();
            tale.persistent.push(operation(1, 60_000, action, Outcome::Indefinite));
            for it in tale.persistent.iter_mut().filter(|it| it.sent >= 70 * S) {
                it.outcome = Outcome::Value(value);
            }
            let judgement = judged(&tale);
            assert_eq!(judgement.verdict, Verdict::Pass, "{action:?} {value:?} {:?}", judgement.findings);
            assert_eq!(judgement.finding(Check::LinearizableReads).unwrap().verdict, Verdict::Pass);
        }
    }
    // Refused is not acknowledged, and did not happen.
    let mut tale = good();
    tale.persistent.push(operation(1, 60_000, Action::Set(7), Outcome::Failed));
    assert_eq!(judged(&tale).verdict, Verdict::Pass);
}

#[test]
fn without_a_last_read_nothing_is_known() {
    let mut tale = good();
    tale.persistent.retain(|it| it.node != 1 || it.sent < 70 * S);
    let judgement = judged(&tale);
    let finding = judgement.finding(Check::NoLostWrite).unwrap();
    assert_eq!(finding.says().unwrap(), "node 1 (tandem) was not read in the final phase");
    assert_eq!(judgement.verdict, Verdict::Unknown);
    let mut events = good().events();
    events.retain(|it| !matches!(it, super::Event::Phase { phase: super::Phase::Final, .. }));
    assert_eq!(judge(&events).unwrap().finding(Check::LinearizableWrites).unwrap().verdict, Verdict::Unknown);
}
