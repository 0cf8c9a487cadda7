//! One instance through the looks at one node.

use super::SETTLED;
use crate::experiment::restart_recovery::history::{Ended, Ms, Op, OpKind};

/// A request without an answer may take effect this much later.
const INDEFINITE_FOR: Ms = 10_000;

/// What is known of one instance.
#[derive(Debug, Clone, Default)]
pub(super) struct Life {
    /// First acknowledgement of a registration or a heartbeat.
    pub(super) acked: Option<Ms>,
    /// When its client began to deregister it.
    pub(super) leaves: Option<Ms>,
    /// When that was acknowledged.
    left: Option<Ms>,
    /// When the last request without an answer ended that may register it.
    indefinite: Option<Ms>,
}

impl Life {
    pub(super) fn take(&mut self, op: &Op) {
        match op.kind {
            OpKind::Register | OpKind::Beat => {
                if op.ended == Ended::Acknowledged {
                    self.acked = Some(self.acked.map_or(op.done, |it| it.min(op.done)));
                }
                if op.indefinite {
                    self.indefinite = self.indefinite.max(Some(op.done));
                }
            }
            OpKind::Deregister => {
                self.leaves = Some(op.sent);
                self.left = (op.ended == Ended::Acknowledged).then_some(op.done);
            }
        }
    }

    /// Since when no look may show it.
    pub(super) fn forbidden_since(&self) -> Option<Ms> {
        let left = self.left?;
        let doubtful = self.indefinite.is_some_and(|it| it + INDEFINITE_FOR > left);
        (!doubtful).then_some(left + SETTLED)
    }
}

/// One answered look.
pub(super) struct Look<'a> {
    pub(super) sent: Ms,
    pub(super) done: Ms,
    /// Position of the part it falls into.
    pub(super) part: usize,
    /// How often the node had been started again by then.
    pub(super) incarnation: usize,
    pub(super) present: &'a [u32],
    pub(super) unhealthy: &'a [u32],
    pub(super) short: bool,
    pub(super) wrong: bool,
}

/// One instance at one node.
#[derive(Default)]
pub(super) struct Track {
    acked: Ms,
    /// Incarnation of the node at the acknowledgement.
    born: usize,
    shown: bool,
    /// Incarnation of the last look.
    incarnation: Option<usize>,
    /// First look that lacked it, and the last one.
    absent: Option<(Ms, Ms, usize)>,
    /// How long it was not shown after it was acknowledged; nothing while it never was looked for.
    pub(super) late: Option<Ms>,
    pub(super) parts: Vec<Seen>,
}

/// What a track found in one part.
#[derive(Clone, Default)]
pub(super) struct Seen {
    pub(super) looked: bool,
    pub(super) unhealthy: bool,
    pub(super) gone: Ms,
}

impl Track {
    /// An instance that was acknowledged while the node was in its incarnation `born`.
    pub(super) fn new(acked: Ms, born: usize) -> Self {
        Self { acked, born, ..Self::default() }
    }

    pub(super) fn step(&mut self, look: &Look<'_>, present: bool, unhealthy: bool) {
        if self.incarnation != Some(look.incarnation) {
            // What was missing when the node went away was missing until its last look.
            self.close(None);
            self.incarnation = Some(look.incarnation);
            self.shown |= look.incarnation > self.born;
        }
        let seen = self.part(look.part);
        seen.looked = true;
        seen.unhealthy |= unhealthy;
        if present {
            self.close(Some(look.sent));
            self.shown = true;
            self.late.get_or_insert(0);
        } else {
            let (first, part) = self.absent.map_or((look.sent, look.part), |it| (it.0, it.2));
            self.absent = Some((first, look.sent, part));
        }
    }

    /// Ends what was missing: when it was shown again, or with the last look.
    fn close(&mut self, shown: Option<Ms>) {
        let Some((first, last, part)) = self.absent.take() else { return };
        if self.shown {
            let gone = shown.unwrap_or(last) - first;
            self.part(part).gone += gone;
        } else {
            // Not yet shown at the last look that lacked it; when between the two looks it came is not known.
            self.late = Some(last - self.acked);
        }
    }

    pub(super) fn finish(&mut self) {
        self.close(None);
    }

    fn part(&mut self, position: usize) -> &mut Seen {
        if self.parts.len() <= position {
            self.parts.resize(position + 1, Seen::default());
        }
        &mut self.parts[position]
    }
}
