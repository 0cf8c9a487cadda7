//! The history while it grows, and the clock of a run.

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::experiment::fault::history::{Event, Us};
use crate::experiment::restart_recovery::history::EVENTS_MAX;

/// Takes events from every part of a run. The lock is short and never held over an await.
#[derive(Debug)]
pub(crate) struct Recorder {
    began: Instant,
    events: Mutex<Vec<Event>>,
}

impl Recorder {
    /// A history without events whose clock begins now.
    pub(crate) fn begin() -> Self {
        Self { began: Instant::now(), events: Mutex::new(Vec::new()) }
    }

    /// How many events there are so far.
    pub(crate) fn len(&self) -> usize {
        self.events.lock().len()
    }

    pub(crate) fn now(&self) -> Us {
        self.at(Instant::now())
    }

    pub(crate) fn at(&self, time: Instant) -> Us {
        time.saturating_duration_since(self.began).as_micros() as Us
    }

    /// Keeps the event; beyond the bound it is dropped, and then the end is missing, which the judge notices.
    pub(crate) fn add(&self, event: Event) {
        let mut events = self.events.lock();
        if events.len() < EVENTS_MAX {
            events.push(event);
        }
    }

    pub(crate) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock())
    }
}
