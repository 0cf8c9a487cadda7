//! Writes to one service that come while another one to it is on its way: worked out together, committed as one.
//!
//! Who comes first leads: waits for the service's turn, puts up a [`Scratch`], lets everybody who joined meanwhile run
//! their write on it, and sees the whole through. Every write is run by whoever brought it, so nothing of it has to
//! outlive its request. Lead and others may vanish at any point; the others then make another attempt.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::attempt::Failure;
use crate::naming::consistency::{Subject, Write};
use crate::naming::error::NamingError;
use crate::naming::service::ServiceId;
use crate::raft::persisted::Persisted;
use crate::raft::plan::Scratch;

/// How a draft ended, for everyone in it.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    /// What was written is applied here, or nothing needed to be and that is certain.
    Done,
    /// It was not written, or not worked out from the newest state.
    Failed(Failure),
    /// It may be written; then this is what the group holds.
    Unknown(Failure, Option<Box<Persisted>>),
}

#[derive(Debug, Clone)]
enum Phase {
    /// Others may join.
    Gathering,
    /// Those who joined run their writes.
    Working(Arc<Scratch>),
    Ended(Outcome),
}

#[derive(Debug)]
struct Shared {
    phase: watch::Sender<Phase>,
    /// Who joined and did not run yet, and whether a write was to the service itself.
    waiting: Mutex<(usize, bool)>,
    ran: Notify,
    /// One write at a time.
    working: Mutex<()>,
}

/// The drafts that can be joined.
#[derive(Debug, Default)]
pub(super) struct Drafts(Arc<Mutex<HashMap<ServiceId, Arc<Shared>>>>);

/// A place in a draft.
pub(super) enum Place {
    /// Has to see it through.
    Lead(Lead),
    /// Has to run its write when told.
    Member(Member),
}

impl Drafts {
    /// Joins the draft of a service, or begins one.
    pub(super) fn join(&self, id: &ServiceId, subject: Subject) -> Place {
        let of_service = subject == Subject::Service;
        let mut open = self.0.lock();
        if let Some(shared) = open.get(id) {
            let mut waiting = shared.waiting.lock();
            waiting.0 += 1;
            waiting.1 |= of_service;
            return Place::Member(Member { shared: Arc::clone(shared), has_run: false });
        }
        let shared = Arc::new(Shared {
            phase: watch::channel(Phase::Gathering).0,
            waiting: Mutex::new((0, of_service)),
            ran: Notify::new(),
            working: Mutex::default(),
        });
        open.insert(id.clone(), Arc::clone(&shared));
        Place::Lead(Lead { open: Arc::clone(&self.0), id: id.clone(), shared })
    }
}

/// Sees a draft through.
pub(super) struct Lead {
    open: Arc<Mutex<HashMap<ServiceId, Arc<Shared>>>>,
    id: ServiceId,
    shared: Arc<Shared>,
}

impl Lead {
    /// Nobody joins any more.
    fn close(&self) {
        let mut open = self.open.lock();
        if open.get(&self.id).is_some_and(|other| Arc::ptr_eq(other, &self.shared)) {
            open.remove(&self.id);
        }
    }

    /// Lets everybody run their write, the lead's own first. What the own one says, and what the whole is to.
    pub(super) async fn run(&self, scratch: &Arc<Scratch>, write: &Write<'_>) -> (Result<(), NamingError>, Subject) {
        self.close();
        let own = scratch.run(write);
        self.shared.phase.send_replace(Phase::Working(Arc::clone(scratch)));
        loop {
            let ran = self.shared.ran.notified();
            let (waiting, of_service) = *self.shared.waiting.lock();
            if waiting == 0 {
                return (own, if of_service { Subject::Service } else { Subject::Instances });
            }
            ran.await;
        }
    }

    /// Tells everybody.
    pub(super) fn end(self, outcome: Outcome) {
        self.shared.phase.send_replace(Phase::Ended(outcome));
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.close();
        self.shared.phase.send_if_modified(|phase| {
            let is_ended = matches!(phase, Phase::Ended(_));
            if !is_ended {
                *phase = Phase::Ended(Outcome::Failed(Failure::again("the write it was part of was given up")));
            }
            !is_ended
        });
    }
}

/// Runs a write in a draft that another leads.
pub(super) struct Member {
    shared: Arc<Shared>,
    has_run: bool,
}

impl Member {
    /// What the write says, and how the whole ended. `None` in place of the former when it was not run.
    pub(super) async fn run(mut self, write: &Write<'_>) -> (Option<Result<(), NamingError>>, Outcome) {
        let mut phases = self.shared.phase.subscribe();
        let mut own = None;
        loop {
            let phase = phases.borrow_and_update().clone();
            match phase {
                Phase::Working(scratch) if !self.has_run => {
                    let ran = {
                        let _working = self.shared.working.lock();
                        scratch.run(write)
                    };
                    own = Some(ran);
                    self.has_run();
                }
                Phase::Ended(outcome) => return (own, outcome),
                Phase::Gathering | Phase::Working(_) => {}
            }
            // The sender lives as long as this does.
            if phases.changed().await.is_err() {
                return (own, Outcome::Failed(Failure::again("the write it was part of was given up")));
            }
        }
    }

    fn has_run(&mut self) {
        if !self.has_run {
            self.has_run = true;
            self.shared.waiting.lock().0 -= 1;
            self.shared.ran.notify_one();
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.has_run();
    }
}
