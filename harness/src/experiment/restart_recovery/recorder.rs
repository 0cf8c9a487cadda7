//! The history while it grows, and the clock of a run.

use parking_lot::Mutex;
use tokio::time::Instant;

use super::history::{EVENTS_MAX, Event, Ms};

/// Takes events from every part of a run. The lock is short and never held over an await.
#[derive(Debug)]
pub(super) struct Recorder {
    began: Instant,
    events: Mutex<Vec<Event>>,
}

impl Recorder {
    pub(super) fn begin(first: Event) -> Self {
        Self { began: Instant::now(), events: Mutex::new(vec![first]) }
    }

    pub(super) fn now(&self) -> Ms {
        self.at(Instant::now())
    }

    pub(super) fn at(&self, time: Instant) -> Ms {
        time.saturating_duration_since(self.began).as_millis() as Ms
    }

    /// Keeps the event; beyond the bound it is dropped, and then the end is missing, which the judge notices.
    pub(super) fn add(&self, event: Event) {
        let mut events = self.events.lock();
        if events.len() < EVENTS_MAX {
            events.push(event);
        }
    }

    pub(super) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock())
    }
}
