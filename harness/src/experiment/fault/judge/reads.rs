//! *linearizable-reads*: no read is behind an acknowledged write.
//!
//! Official nodes answer reads from what they hold, and so does any node without a quorum, so this is a measurement
//! unless a scenario demands it. A read is *stale* when a write that surely came after the one it shows was acknowledged
//! before it began; it is so by the time since the first such acknowledgement.

use super::super::history::Us;
use super::finding::{Check, Figure, Finding, ms, seconds, when};
use super::linear::{self, Call, Order, Value};
use super::registers::{self, Entry, Register, value_name};
use super::story::Story;

pub(super) fn check(story: &Story<'_>) -> Option<Finding> {
    let registers = registers::registers(story);
    registers.values().any(|it| it.reads().next().is_some()).then_some(())?;
    let mut finding = Finding::new(Check::LinearizableReads);
    let mut stale: Vec<Vec<f64>> = vec![Vec::new(); story.nodes.len()];
    let mut reads = vec![0_u64; story.nodes.len()];
    for (number, register) in &registers {
        let overwrites = Overwrites::of(register);
        let mut is_stale = false;
        for read in register.reads() {
            if let Some(it) = reads.get_mut(read.op.node) {
                *it += 1;
            }
            let Some((since, by)) = read.read().and_then(|it| overwrites.first_after(register, it)) else { continue };
            if since >= read.call.sent {
                continue;
            }
            is_stale = true;
            let behind = read.call.sent - since;
            if let Some(it) = stale.get_mut(read.op.node) {
                it.push(ms(behind));
            }
            finding.violated(story, || {
                let says = format!(
                    "register {number}: {} reads {} at {}, {} after {}",
                    story.node_name(read.op.node),
                    value_name(read.read().flatten()),
                    when(read.op.done, read.line),
                    seconds(behind),
                    by.acknowledged()
                );
                (says, vec![by.line, read.line])
            });
        }
        if !is_stale {
            otherwise(story, *number, register, &mut finding);
        }
    }
    for (node, (stale, reads)) in stale.into_iter().zip(reads).enumerate() {
        let share = if reads == 0 { 0.0 } else { 100.0 * stale.len() as f64 / reads as f64 };
        finding.figures.push(Figure::new("reads that are stale", "%", vec![share]).at(node));
        finding.figures.push(Figure::new("how stale", "ms", stale).at(node));
    }
    Some(finding)
}

/// What no single read shows: that there is no order of everything.
fn otherwise(story: &Story<'_>, number: u32, register: &Register<'_>, finding: &mut Finding) {
    let calls: Vec<Call> = register.entries.iter().map(|it| it.call).collect();
    match linear::order(&calls) {
        Order::Exists(_) => {}
        Order::TooMany => finding.unknown(format!("too much went on at register {number} at once")),
        Order::Impossible(at) => {
            let Some(entry) = register.entries.get(at) else { return };
            finding.violated(story, || {
                let what = match entry.read() {
                    Some(value) => format!("the read of {}", value_name(value)),
                    None => "the write".to_owned(),
                };
                let name = story.node_name(entry.op.node);
                let setter = entry.read().flatten().and_then(|it| register.setter(it));
                let says = format!(
                    "register {number}: no order of all reads and writes explains {what} at {name} at {}",
                    when(entry.op.done, entry.line)
                );
                (says, setter.map(|it| it.line).into_iter().chain([entry.line]).collect())
            });
        }
    }
}

/// Acknowledged writes by their beginning, and from each on the one that was acknowledged first.
struct Overwrites<'a, 'b> {
    sent: Vec<Us>,
    first: Vec<&'b Entry<'a>>,
}

impl<'a, 'b> Overwrites<'a, 'b> {
    fn of(register: &'b Register<'a>) -> Self {
        let writes: Vec<_> = register.writes().filter(|it| it.call.done.is_some()).collect();
        let sent = writes.iter().map(|it| it.call.sent).collect();
        let mut first = writes.clone();
        for position in (1..first.len()).rev() {
            if let Some(pair) = first.get_mut(position - 1..=position)
                && let [before, after] = pair
                && after.call.done < before.call.done
            {
                *before = *after;
            }
        }
        Self { sent, first }
    }

    /// The first acknowledgement of a write that surely came after that of the value.
    fn first_after(&self, register: &Register<'a>, value: Value) -> Option<(Us, &'b Entry<'a>)> {
        let end = match value {
            Some(value) => register.setter(value)?.call.done?,
            // Nothing is what a register holds at first, and after any removal.
            None => {
                let removes = register.writes().filter(|it| it.written() == Some(None));
                removes.map(|it| it.call.done.unwrap_or(Us::MAX)).max().unwrap_or(0)
            }
        };
        let next = self.sent.partition_point(|it| *it < end.saturating_add(u64::from(value.is_some())));
        let by = self.first.get(next)?;
        Some((by.call.done?, by))
    }
}
