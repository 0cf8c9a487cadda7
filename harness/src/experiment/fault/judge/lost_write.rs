//! *no-lost-write*: an acknowledged write is there in the end, or was overwritten by one that may have come after it.
//!
//! A write is lost when
//! - the last read of the final phase at some node shows what can no longer be there, given every acknowledged write; or
//! - it was overwritten later, but nobody ever read it, and between its acknowledgement and the beginning of the next
//!   write every node was read and showed something else. Whichever node acknowledged it had to show it by then: only
//!   one that lost its memory meanwhile is excused, so stretches in which a process was stopped are not judged like that.
//!
//! What is not shown for a while and then is, is not lost; it makes [stale reads](super::reads).
//!
//! In a cluster of both kinds it *began at a Tandem node* when one acknowledged the write and one does not show it.

use std::collections::{BTreeMap, BTreeSet};

use super::super::history::Us;
use super::finding::{Check, Finding, when};
use super::linear::{self, Call, Order, Value};
use super::registers::{self, Entry, Register, value_name};
use super::story::{Line, Story};

/// Kinds of faults that leave every process and its memory alone.
const HARMLESS: [&str; 10] = [
    "partition",
    "black-hole",
    "delay",
    "loss",
    "reorder",
    "slow-link",
    "transfer-leader",
    "touch-members",
    "clock",
    "pause",
];

pub(super) fn check(story: &Story<'_>) -> Option<Finding> {
    let registers = registers::registers(story);
    if registers.is_empty() {
        return None;
    }
    let mut finding = Finding::new(Check::NoLostWrite);
    let Some(calm) = registers::calm(story) else {
        finding.unknown("the history does not come to its final phase");
        return Some(finding);
    };
    let mut unread: BTreeSet<usize> = BTreeSet::new();
    for (number, register) in &registers {
        let last = register.last_reads(calm);
        unread.extend((0..story.nodes.len()).filter(|it| !last.contains_key(it)));
        if !at_the_end(story, *number, register, &last, &mut finding) {
            overwritten(story, *number, register, &mut finding);
        }
    }
    for node in unread {
        finding.unknown(format!("{} was not read in the final phase", story.node_name(node)));
    }
    Some(finding)
}

/// Whether some node's last read shows what cannot be.
fn at_the_end(
    story: &Story<'_>,
    number: u32,
    register: &Register<'_>,
    last: &BTreeMap<usize, Entry<'_>>,
    finding: &mut Finding,
) -> bool {
    let writes: Vec<Call> = register.writes().map(|it| it.call).collect();
    let possible = match linear::order(&writes) {
        Order::Exists(possible) => possible,
        Order::Impossible(_) | Order::TooMany => {
            finding.unknown(format!("too many writes to register {number} were under way at once"));
            return false;
        }
    };
    let wrong: Vec<_> = last.values().filter(|it| it.read().is_some_and(|it| !possible.contains(&it))).collect();
    let Some(read) = wrong.first() else { return false };
    let value = read.read().flatten();
    let lost = last_write_after(register, value);
    let by_tandem = lost.is_some_and(|it| story.is_tandem(it.op.node));
    finding.of_tandem += u64::from(by_tandem && wrong.iter().any(|it| story.is_tandem(it.op.node)));
    finding.violated(story, || {
        let nodes: Vec<_> = wrong.iter().map(|it| story.node_name(it.op.node)).collect();
        let reads = format!("{} reads {} at {}", nodes.join(", "), value_name(value), when(read.op.done, read.line));
        let lines = wrong.iter().map(|it| it.line);
        let Some(lost) = lost else {
            return (format!("register {number}: {reads}, which nobody wrote"), lines.collect());
        };
        let says = format!("register {number}: {}, never overwritten; {reads}", lost.acknowledged());
        (says, lines.chain([lost.line]).collect())
    });
    true
}

/// The last acknowledged write that surely came after the one of this value; nothing when nobody wrote it.
fn last_write_after<'a, 'b>(register: &'b Register<'a>, value: Value) -> Option<&'b Entry<'a>> {
    let after = match value {
        Some(value) => register.setter(value)?.call.done?,
        None => 0,
    };
    let later = register.writes().filter(|it| it.call.done.is_some() && it.call.sent >= after);
    later.filter(|it| it.written() != Some(value)).max_by_key(|it| it.call.done)
}

/// Writes that nobody ever read although everybody looked before the next.
fn overwritten(story: &Story<'_>, number: u32, register: &Register<'_>, finding: &mut Finding) {
    let read: BTreeSet<Value> = register.reads().filter_map(Entry::read).collect();
    let writes: Vec<&Entry<'_>> = register.writes().collect();
    for (position, write) in writes.iter().enumerate() {
        let (Some(value), Some(done)) = (write.written(), write.call.done) else { continue };
        let Some(next) = writes.get(position + 1) else { continue };
        // One that began before and may still act is no less an overwriting.
        let beside = writes.iter().take(position).any(|it| it.call.done.is_none_or(|it| it >= write.call.sent));
        if value.is_none() || read.contains(&value) || beside || next.call.sent <= done {
            continue;
        }
        let until = next.call.sent;
        let between = register.reads().filter(|it| it.call.sent >= done && it.op.done < until);
        let seen: BTreeMap<usize, &Entry<'_>> = between.map(|it| (it.op.node, it)).collect();
        if seen.len() < story.nodes.len() || forgot(story, write.call.sent, until) {
            continue;
        }
        finding.of_tandem += u64::from(story.is_tandem(write.op.node));
        finding.violated(story, || {
            let read = seen.values().map(|it| value_name(it.read().flatten())).collect::<BTreeSet<_>>();
            let read: Vec<_> = read.into_iter().collect();
            let says = format!(
                "register {number}: {} and gone: before the next write at {} every node reads {}, and nobody ever reads it",
                write.acknowledged(),
                when(until, next.line),
                read.join(" or ")
            );
            let lines: Vec<Line> = seen.values().map(|it| it.line).chain([write.line, next.line]).collect();
            (says, lines)
        });
    }
}

/// Whether some process may have lost its memory in a stretch.
fn forgot(story: &Story<'_>, from: Us, until: Us) -> bool {
    let mut beside = story.faults.iter().filter(|it| it.fault.at <= until && it.until() >= from);
    beside.any(|it| !HARMLESS.contains(&it.fault.kind.as_str()))
}
