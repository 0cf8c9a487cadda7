//! Who wants to know of changes, told at once, without a queue that can grow.
//!
//! A subscriber holds at most one entry per service: changes that arrive before it looks are merged, and it reads the
//! service as it is then. That bounds memory and makes a slow subscriber cheap instead of late.

use std::sync::Arc;

use indexmap::IndexMap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::service::ServiceId;

/// What changed in a service since the subscriber last looked; merged with `|`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    /// The ephemeral list was written by this node: it must be replicated.
    pub ephemeral_local: bool,
    /// The ephemeral list was written by a peer.
    pub ephemeral_peer: bool,
    /// Health flags flipped on this node.
    pub health: bool,
    /// Persistent instances, the service's settings or its clusters changed.
    pub persistent: bool,
    /// The service was removed.
    pub removed: bool,
}

impl Change {
    /// Whether only health flags changed.
    pub fn is_health_alone(self) -> bool {
        self == Change { health: true, ..Change::default() }
    }

    /// Both.
    pub fn merge(self, other: Change) -> Change {
        Change {
            ephemeral_local: self.ephemeral_local | other.ephemeral_local,
            ephemeral_peer: self.ephemeral_peer | other.ephemeral_peer,
            health: self.health | other.health,
            persistent: self.persistent | other.persistent,
            removed: self.removed | other.removed,
        }
    }
}

#[derive(Debug, Default)]
struct Inbox {
    pending: Mutex<IndexMap<ServiceId, Change>>,
    wake: Notify,
}

/// The sending side; owned by the registry.
#[derive(Debug, Default)]
pub(super) struct Announcer {
    inboxes: parking_lot::RwLock<Vec<std::sync::Weak<Inbox>>>,
}

impl Announcer {
    pub(super) fn subscribe(&self) -> Changes {
        let inbox = Arc::new(Inbox::default());
        let mut inboxes = self.inboxes.write();
        inboxes.retain(|inbox| inbox.strong_count() > 0);
        inboxes.push(Arc::downgrade(&inbox));
        Changes { inbox }
    }

    pub(super) fn announce(&self, id: &ServiceId, change: Change) {
        for inbox in self.inboxes.read().iter().filter_map(std::sync::Weak::upgrade) {
            let mut pending = inbox.pending.lock();
            match pending.get_mut(id) {
                Some(known) => *known = known.merge(change),
                None => {
                    pending.insert(id.clone(), change);
                }
            }
            drop(pending);
            inbox.wake.notify_one();
        }
    }
}

/// The receiving side. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Changes {
    inbox: Arc<Inbox>,
}

impl Changes {
    /// Services with changes that were not taken yet.
    pub fn waiting(&self) -> usize {
        self.inbox.pending.lock().len()
    }

    /// All changes since the last call, oldest first; waits until there is one. Safe to cancel.
    pub async fn next(&mut self) -> Vec<(ServiceId, Change)> {
        loop {
            let notified = self.inbox.wake.notified();
            let taken = std::mem::take(&mut *self.inbox.pending.lock());
            if !taken.is_empty() {
                return taken.into_iter().collect();
            }
            notified.await;
        }
    }
}
