//! *linearizable-writes*: all nodes apply writes in one order, and that agrees with the times of the acknowledgements.
//!
//! Reads are answered from what the asked node holds, so they may be behind; but no node may show two writes in another
//! order than another node, or than they were made in. Violated when
//! - no order of all writes and the last reads of the final phase explains them ([`linear`]);
//! - a node shows one write and then, for the first time, another that was acknowledged before the first began;
//! - two nodes show two writes in opposite orders.
//!
//! A process that comes back may go through old states once more, so what a node shows is cut at every fault that
//! involves it.

use std::collections::HashMap;

use super::super::history::Us;
use super::finding::{Check, Finding, when};
use super::linear::{self, Call, Order};
use super::registers::{self, Entry, Register, value_name};
use super::story::Story;

/// What a node shows between two faults: each value with the read that showed it first, in order.
type Stretch<'a, 'b> = Vec<(u64, &'b Entry<'a>)>;

pub(super) fn check(story: &Story<'_>) -> Option<Finding> {
    let registers = registers::registers(story);
    if registers.is_empty() {
        return None;
    }
    let mut finding = Finding::new(Check::LinearizableWrites);
    let Some(calm) = registers::calm(story) else {
        finding.unknown("the history does not come to its final phase");
        return Some(finding);
    };
    for (number, register) in &registers {
        let stretches = stretches(story, register);
        let is_torn = backwards(story, *number, register, &stretches, &mut finding)
            | opposite(story, *number, &stretches, &mut finding);
        if !is_torn {
            at_the_end(story, *number, register, calm, &mut finding);
        }
    }
    let read = registers.values().any(|it| !it.last_reads(calm).is_empty());
    if !read {
        finding.unknown("nothing was read in the final phase");
    }
    Some(finding)
}

fn at_the_end(story: &Story<'_>, number: u32, register: &Register<'_>, calm: Us, finding: &mut Finding) {
    let last = register.last_reads(calm);
    let entries: Vec<&Entry<'_>> = register.writes().chain(last.values()).collect();
    let calls: Vec<Call> = entries.iter().map(|it| it.call).collect();
    match linear::order(&calls) {
        Order::Exists(_) => {}
        Order::TooMany => finding.unknown(format!("too many writes to register {number} were under way at once")),
        Order::Impossible(at) => finding.violated(story, || {
            let reads = last.values().map(|it| {
                let value = value_name(it.read().flatten());
                format!("{} reads {value} at {}", story.node_name(it.op.node), when(it.op.done, it.line))
            });
            let reads: Vec<_> = reads.collect();
            let write = register.writes().filter(|it| it.call.done.is_some()).max_by_key(|it| it.call.done);
            let after = write.map(|it| format!(" after {}", it.acknowledged())).unwrap_or_default();
            let says =
                format!("register {number}: no order of the writes explains what is read{after}: {}", reads.join(", "));
            let lines = last.values().map(|it| it.line).chain(write.map(|it| it.line));
            (says, lines.chain(entries.get(at).map(|it| it.line)).collect())
        }),
    }
}

fn stretches<'a, 'b>(story: &Story<'_>, register: &'b Register<'a>) -> Vec<(usize, Stretch<'a, 'b>)> {
    let mut all = Vec::new();
    for node in 0..story.nodes.len() {
        let involved = story.faults.iter().filter(|it| it.involves(node));
        let mut cuts: Vec<Us> = involved.flat_map(|it| [it.fault.at, it.until()]).collect();
        cuts.sort_unstable();
        let mut reads: Vec<&Entry<'_>> = register.reads().filter(|it| it.op.node == node).collect();
        reads.sort_by_key(|it| it.op.done);
        let mut stretch: Stretch<'_, '_> = Vec::new();
        let mut seen: HashMap<u64, ()> = HashMap::new();
        let mut before: Option<&Entry<'_>> = None;
        for read in reads {
            let is_cut = before.is_some_and(|before| {
                let next = cuts.partition_point(|it| *it < before.call.sent);
                cuts.get(next).is_some_and(|it| *it <= read.op.done)
            });
            if is_cut {
                all.push((node, std::mem::take(&mut stretch)));
                seen.clear();
            }
            // Of two reads at once nobody knows which came first.
            if before.is_some_and(|it| it.op.done > read.call.sent) && !is_cut {
                continue;
            }
            before = Some(read);
            if let Some(Some(value)) = read.read()
                && seen.insert(value, ()).is_none()
            {
                stretch.push((value, read));
            }
        }
        all.push((node, stretch));
    }
    all
}

/// A node shows an older write after a newer one.
fn backwards(
    story: &Story<'_>,
    number: u32,
    register: &Register<'_>,
    stretches: &[(usize, Stretch<'_, '_>)],
    finding: &mut Finding,
) -> bool {
    let mut found = false;
    for (node, stretch) in stretches {
        let mut newest: Option<(&Entry<'_>, &Entry<'_>)> = None;
        for (value, read) in stretch {
            let Some(write) = register.setter(*value) else { continue };
            match newest {
                Some((newer, shown)) if write.call.done.is_some_and(|it| it < newer.call.sent) => {
                    found = true;
                    finding.violated(story, || {
                        let (first, then) = (when(shown.op.done, shown.line), when(read.op.done, read.line));
                        let (old, new) = (value_name(Some(*value)), value_name(newer.written().flatten()));
                        let says = format!(
                            "register {number}: {} reads {new} at {first} and {old} for the first time at {then}, but {} \
                             before the other began",
                            story.node_name(*node),
                            write.acknowledged()
                        );
                        (says, vec![write.line, newer.line, shown.line, read.line])
                    });
                }
                Some((newer, _)) if newer.call.sent >= write.call.sent => {}
                _ => newest = Some((write, read)),
            }
        }
    }
    found
}

/// Two nodes show two writes in opposite orders.
fn opposite(story: &Story<'_>, number: u32, stretches: &[(usize, Stretch<'_, '_>)], finding: &mut Finding) -> bool {
    for (place, (one, first)) in stretches.iter().enumerate() {
        for (other, second) in stretches.iter().skip(place + 1).filter(|it| it.0 != *one) {
            let positions: HashMap<u64, usize> = second.iter().enumerate().map(|(at, it)| (it.0, at)).collect();
            let common: Vec<_> = first.iter().filter_map(|it| Some((it, *positions.get(&it.0)?))).collect();
            let Some([(a, a_at), (b, b_at)]) = common.array_windows().find(|[a, b]| a.1 > b.1) else { continue };
            let shown = [a.1.line, b.1.line];
            finding.violated(story, || {
                let (one, other) = (story.node_name(*one), story.node_name(*other));
                let (a, b) = (a.0, b.0);
                let says = format!("register {number}: {one} reads {a} and then {b}, {other} {b} and then {a}");
                let lines = [*a_at, *b_at].map(|it| second.get(it).map(|it| it.1.line));
                (says, lines.into_iter().flatten().chain(shown).collect())
            });
            return true;
        }
    }
    false
}
