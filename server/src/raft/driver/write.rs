//! The writing thread: all that waits is made durable with one sync.
//!
//! A medium that refuses (it is full, or read-only for a while) is asked again until it is willing. Until then nothing
//! that depends on it leaves this member, so nobody is told of anything that is not written.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use super::run::Command;
use crate::raft::core::message::Ticket;
use crate::raft::core::store::{Change, Store, StoreError};

/// Batches written together at most; each is bounded by what the core takes at once.
const BATCHES_MAX: usize = 1_024;
/// Before the medium is asked again, the first time and at most.
const RETRY: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);

type Batch = (Ticket, Vec<Change>);

/// Starts it; it ends when its channel does.
pub(super) fn start(group: &str, store: Arc<dyn Store>, commands: mpsc::Sender<Command>) -> mpsc::Sender<Batch> {
    let (batches, inbox) = mpsc::channel::<Batch>();
    super::spawn(format!("raft-write-{group}"), move || {
        while let Ok((mut ticket, mut changes)) = inbox.recv() {
            for (later, more) in inbox.try_iter().take(BATCHES_MAX) {
                ticket = later;
                changes.extend(more);
            }
            let Some(done) = write(&*store, &inbox, &commands, (ticket, changes)) else { return };
            let failed = matches!(done, Command::Failed(_));
            if commands.send(done).is_err() || failed {
                return;
            }
        }
    });
    batches
}

/// Writes until it is written, with what comes meanwhile; `None` when the member stops before.
fn write(
    store: &dyn Store,
    inbox: &Receiver<Batch>,
    commands: &mpsc::Sender<Command>,
    (mut ticket, mut changes): Batch,
) -> Option<Command> {
    let mut retry = RETRY;
    loop {
        match store.write(&changes) {
            Ok(()) => return Some(Command::Written(ticket)),
            Err(error @ StoreError::Damaged(_)) => return Some(Command::Failed(error.to_string())),
            Err(error) => commands.send(Command::Unwritable(error.to_string())).ok()?,
        }
        match inbox.recv_timeout(retry) {
            Ok((later, more)) => {
                ticket = later;
                changes.extend(more);
            }
            Err(RecvTimeoutError::Timeout) => retry = (retry * 2).min(RETRY_MAX),
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}
