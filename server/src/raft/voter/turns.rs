//! One change of a service at a time.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

/// Turns remembered before unused ones are dropped.
const TURNS_MAX: usize = 1_000;

/// What a turn is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Of {
    /// All switches, which are one record.
    Switches,
    /// A service, by namespace and name.
    Service(Arc<str>, Arc<str>),
    /// Anything else the log is used for.
    Other,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<Of, Arc<tokio::sync::Mutex<()>>>>);

/// Held while a change is on its way.
pub(super) type Turn = OwnedMutexGuard<()>;

impl Turns {
    /// Waits for one; those who wait get it in the order they came.
    pub(super) async fn of(&self, what: Of) -> Turn {
        let turn = {
            let mut turns = self.0.lock();
            if turns.len() > TURNS_MAX {
                turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            }
            Arc::clone(turns.entry(what).or_default())
        };
        turn.lock_owned().await
    }

    /// Waits for several, always in the same order, so that two who want the same do not wait for each other.
    pub(super) async fn all(&self, mut what: Vec<Of>) -> Vec<Turn> {
        what.sort();
        what.dedup();
        let mut turns = Vec::with_capacity(what.len());
        for one in what {
            turns.push(self.of(one).await);
        }
        turns
    }
}
