//! The search for an order beside stateright's tester, on small histories.

use proptest::prelude::*;
use stateright::semantics::register::{Register, RegisterOp, RegisterRet};
use stateright::semantics::{ConsistencyTester as _, LinearizabilityTester};

use super::super::linear::{Act, Call, Order, Value, order};

/// One operation of a process: pause before it, length, what it does (a value to set, nothing to remove; or what is
/// read), whether it has an end.
type Step = (u64, u64, bool, Value, bool);

/// Processes as calls, each with the process that made it: one that has no end is the last of its process.
fn calls(processes: &[Vec<Step>]) -> Vec<(usize, Call)> {
    let mut all = Vec::new();
    let mut process = 0;
    for steps in processes {
        let mut at = 0;
        for (pause, length, is_read, value, is_open) in steps {
            let sent = at + pause;
            at = sent + length;
            // Every value is set once: 1 to 9 by the first process, 11 to 19 by the second, …
            let own = value.map(|it| it % 4 + 10 * all.len() as u64);
            let act = if *is_read { Act::Read(*value) } else { Act::Write(own) };
            let is_open = *is_open && !is_read;
            all.push((process, Call { sent, done: (!is_open).then_some(at), act }));
            process += usize::from(is_open);
            at += 1;
        }
        process += 1;
    }
    // Reads read what somebody sets, most of the time.
    let set: Vec<Value> = all
        .iter()
        .filter_map(|it| match it.1.act {
            Act::Write(value) => Some(value),
            Act::Read(_) => None,
        })
        .collect();
    for (_, call) in &mut all {
        if let Act::Read(Some(value)) = call.act {
            call.act = Act::Read(set.get(value as usize).copied().unwrap_or(Some(value)));
        }
    }
    all
}

fn is_linearizable(calls: &[(usize, Call)]) -> bool {
    let mut moments: Vec<(u64, bool, usize, Call)> = Vec::new();
    for (process, call) in calls {
        moments.push((call.sent, false, *process, *call));
        moments.extend(call.done.map(|it| (it, true, *process, *call)));
    }
    // Of one process a call of no length begins before it ends; between processes beginnings come first.
    moments.sort_by_key(|it| (it.0, it.1));
    let mut tester = LinearizabilityTester::new(Register::<Value>(None));
    for (_, is_end, process, call) in moments {
        let done = match (is_end, call.act) {
            (false, Act::Write(value)) => tester.on_invoke(process, RegisterOp::Write(value)),
            (false, Act::Read(_)) => tester.on_invoke(process, RegisterOp::Read),
            (true, Act::Write(_)) => tester.on_return(process, RegisterRet::WriteOk),
            (true, Act::Read(value)) => tester.on_return(process, RegisterRet::ReadOk(value)),
        };
        done.unwrap();
    }
    tester.is_consistent()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn says_what_stateright_says(processes in prop::collection::vec(prop::collection::vec(
        (0_u64..4, 0_u64..6, any::<bool>(), prop::option::weighted(0.8, 0_u64..6), prop::bool::weighted(0.2)), 1..4), 1..4))
    {
        let all = calls(&processes);
        let only: Vec<Call> = all.iter().map(|it| it.1).collect();
        let found = order(&only);
        prop_assert_eq!(matches!(found, Order::Exists(_)), is_linearizable(&all), "{:?}", all);
        // What it may hold in the end is exactly what may be read then.
        if let Order::Exists(held) = found {
            let end = 1 + only.iter().filter_map(|it| it.done).chain(only.iter().map(|it| it.sent)).max().unwrap();
            let named = all.iter().map(|it| match it.1.act { Act::Write(value) | Act::Read(value) => value });
            for value in named.chain([None, Some(1_000)]) {
                let mut with = all.clone();
                with.push((1_000, Call { sent: end, done: Some(end + 1), act: Act::Read(value) }));
                prop_assert_eq!(held.contains(&value), is_linearizable(&with), "{:?} {:?}", value, all);
            }
        }
    }
}

#[test]
fn long_histories_and_many_open_removals_are_no_trouble() {
    // 20,000 writes by four processes that overlap, each followed by a read.
    let mut calls = Vec::new();
    for at in 0..20_000_u64 {
        calls.push(Call { sent: at * 10, done: Some(at * 10 + 12), act: Act::Write(Some(at)) });
        calls.push(Call { sent: at * 10 + 13, done: Some(at * 10 + 14), act: Act::Read(Some(at)) });
    }
    for at in 0..50 {
        calls.push(Call { sent: at * 1_000, done: None, act: Act::Write(None) });
        calls.push(Call { sent: at * 1_000, done: None, act: Act::Write(Some(1_000_000 + at)) });
    }
    let Order::Exists(held) = order(&calls) else { panic!() };
    assert!(held.contains(&Some(19_999)) && held.contains(&None) && held.contains(&Some(1_000_000)));
    calls.push(Call { sent: 300_000, done: Some(300_001), act: Act::Read(Some(5)) });
    assert!(matches!(order(&calls), Order::Impossible(it) if it + 1 == calls.len()));
}
