//! What became of each instance, as its client knows it.
//!
//! An instance is *owed* from an acknowledged registration or heartbeat on, while its client goes on beating: until the
//! client begins to deregister it, does its last operation, or has got no heartbeat acknowledged for [`KEPT_FOR`]. It is
//! *departed* from the acknowledgement of its deregistration until its client registers it again or beats. It is
//! *abandoned* when its client is gone without that.
//!
//! A request without an answer, or one that a server failed at, may take effect later: a server that stands still acts
//! when it goes on, and so does one to which the request was forwarded. Such a request is *open* until [`OPEN_FOR`] after
//! its end and after the heal of every fault that was in force meanwhile, and what it makes lives until it expires.

use super::super::history::{Ended, Event, Header, Op, OpKind, Try, Us};
use super::story::{Line, Spell};

/// How long an acknowledged change may take until it must be seen; real nodes need 2.2 s (`compat/spec/distro.md` §7.7).
pub(super) const SETTLED: Us = 5_000_000;

/// How long after an acknowledged heartbeat an instance is owed: official nodes call it unhealthy then.
pub(super) const KEPT_FOR: Us = 15_000_000;

/// A request without an answer may take effect this much later.
const OPEN_FOR: Us = 10_000_000;

/// A time in which an instance must be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owed {
    /// Acknowledged at.
    pub(super) from: Us,
    /// By this line.
    pub(super) line: Line,
    /// To here.
    pub(super) until: Us,
    /// Node that acknowledged it.
    pub(super) by: Option<usize>,
}

/// A time in which an instance must stay away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Departed {
    /// When its deregistration was acknowledged.
    pub(super) at: Us,
    /// By this line.
    pub(super) line: Line,
    /// Node that acknowledged it.
    pub(super) by: Option<usize>,
    /// From when on nothing excuses it: after [`SETTLED`], and after what open requests may have made.
    pub(super) forbidden_from: Us,
    /// To here.
    pub(super) until: Us,
}

/// An instance whose client is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Abandoned {
    /// When the client was last heard of, at the latest.
    pub(super) at: Us,
    /// Its last operation.
    pub(super) line: Line,
}

/// One instance.
#[derive(Debug, Clone, Default)]
pub(super) struct Life {
    /// In order of time.
    pub(super) owed: Vec<Owed>,
    /// In order of time.
    pub(super) departed: Vec<Departed>,
    /// At the end.
    pub(super) abandoned: Option<Abandoned>,
}

impl Life {
    /// The departure that a moment falls into.
    pub(super) fn departed_at(&self, at: Us) -> Option<&Departed> {
        self.departed.iter().rev().find(|it| it.at <= at && at < it.until)
    }
}

pub(super) fn lives(events: &[Event], header: &Header, faults: &[Spell<'_>], end: Us) -> Vec<Life> {
    let mut ops: Vec<Vec<(Line, &Op)>> = Vec::new();
    for (position, event) in events.iter().enumerate() {
        if let Event::Op(op) = event
            && op.kind != OpKind::Query
        {
            let index = op.instance as usize;
            if ops.len() <= index {
                ops.resize_with(index + 1, Vec::new);
            }
            if let Some(it) = ops.get_mut(index) {
                it.push((position + 1, op));
            }
        }
    }
    ops.into_iter()
        .map(|mut ops| {
            ops.sort_by_key(|it| it.1.sent);
            let mut course = Course { gone_within: header.gone_within_us, faults, ..Course::default() };
            ops.iter().for_each(|(line, op)| course.step(*line, op));
            course.finish(end)
        })
        .collect()
}

/// An instance while its operations are gone through.
#[derive(Default)]
struct Course<'a> {
    gone_within: Us,
    faults: &'a [Spell<'a>],
    life: Life,
    /// What is owed now, and the last acknowledgement.
    open: Option<(Owed, Us)>,
    /// Until when an earlier registration or heartbeat may act.
    may_come: Us,
    /// Until when an earlier deregistration may act.
    may_go: Us,
    /// When the last registration or heartbeat ended.
    kept: Us,
}

impl Course<'_> {
    fn step(&mut self, line: Line, op: &Op) {
        let by = op.tries.last().map(|it| it.node);
        let is_acknowledged = op.ended == Ended::Acknowledged;
        match op.kind {
            OpKind::Query => {}
            OpKind::Register | OpKind::Beat => {
                self.life.abandoned = None;
                if let Some(departed) = self.life.departed.last_mut() {
                    departed.until = departed.until.min(op.sent);
                }
                if is_open(op) {
                    self.may_come = self.may_come.max(self.open_until(op));
                }
                self.kept = self.kept.max(op.done);
                if is_acknowledged && op.sent >= self.may_go {
                    if self.open.is_some_and(|(_, ack)| ack + KEPT_FOR < op.done) {
                        self.close(Us::MAX);
                    }
                    let owed = self.open.map_or(Owed { from: op.done, line, until: Us::MAX, by }, |it| it.0);
                    self.open = Some((owed, op.done));
                }
                if op.last {
                    self.close(op.sent);
                    self.life.abandoned = Some(Abandoned { at: op.done.max(self.may_come), line });
                }
            }
            OpKind::Deregister => {
                self.close(op.sent);
                if is_open(op) {
                    self.may_go = self.may_go.max(self.open_until(op));
                }
                // What went on beside it may have come after it.
                let beside = if self.kept > op.sent { self.kept } else { 0 };
                let may_come = self.may_come.max(beside);
                if is_acknowledged {
                    let expired = if may_come > 0 { may_come.saturating_add(self.gone_within) } else { 0 };
                    let forbidden_from = (op.done + SETTLED).max(expired);
                    self.life.departed.push(Departed { at: op.done, line, by, forbidden_from, until: Us::MAX });
                    self.life.abandoned = None;
                } else {
                    self.life.abandoned = Some(Abandoned { at: op.done.max(may_come), line });
                }
            }
        }
    }

    fn close(&mut self, until: Us) {
        if let Some((owed, ack)) = self.open.take() {
            let until = until.min(ack + KEPT_FOR);
            if until > owed.from {
                self.life.owed.push(Owed { until, ..owed });
            }
        }
    }

    fn finish(mut self, end: Us) -> Life {
        // The client that beats at the very end is not over.
        let until = match self.open {
            Some((_, ack)) if ack + KEPT_FOR > end => end + 1,
            _ => Us::MAX,
        };
        self.close(until);
        self.life
    }

    fn open_until(&self, op: &Op) -> Us {
        // What a fault that is never healed holds up stays so.
        let over = self.faults.iter().filter(|it| it.fault.at <= op.done).map(Spell::over);
        over.filter(|it| *it >= op.sent).fold(op.done, Us::max).saturating_add(OPEN_FOR)
    }
}

/// Whether some server that was tried may act later.
fn is_open(op: &Op) -> bool {
    let is_open = |it: &Try| match it.status {
        None => !it.unreached,
        // 503 is a server that is not ready and says so; any other failure may be that of one it forwarded to.
        Some(status) => status >= 500 && status != 503,
    };
    op.indefinite || op.tries.iter().any(is_open)
}
