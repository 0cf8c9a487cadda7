//! The writing thread: all that waits is made durable with one sync.

use std::sync::{Arc, mpsc};

use super::run::Command;
use crate::raft::core::message::Ticket;
use crate::raft::core::store::{Change, Store};

/// Batches written together at most; each is bounded by what the core takes at once.
const BATCHES_MAX: usize = 1_024;

/// Starts it; it ends when its channel does.
pub(super) fn start(
    group: &str,
    store: Arc<dyn Store>,
    commands: mpsc::Sender<Command>,
) -> mpsc::Sender<(Ticket, Vec<Change>)> {
    let (batches, inbox) = mpsc::channel::<(Ticket, Vec<Change>)>();
    super::spawn(format!("raft-write-{group}"), move || {
        while let Ok((mut ticket, mut changes)) = inbox.recv() {
            for (later, more) in inbox.try_iter().take(BATCHES_MAX) {
                ticket = later;
                changes.extend(more);
            }
            let done = match store.write(&changes) {
                Ok(()) => Command::Written(ticket),
                Err(error) => Command::Failed(error.to_string()),
            };
            let failed = matches!(done, Command::Failed(_));
            if commands.send(done).is_err() || failed {
                return;
            }
        }
    });
    batches
}
