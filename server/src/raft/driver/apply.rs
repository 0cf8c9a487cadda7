//! The applying thread: calls the state machine, in order of the log.

use std::sync::mpsc;

use super::run::Command;
use crate::raft::core::message::RaftError;
use crate::raft::core::store::{Applied, StateMachine};
use crate::raft::core::{Entry, Index, Payload, SnapshotMeta, Term};

/// What the state machine is to do.
pub(super) enum Job {
    Apply(Vec<Entry>),
    Save(SnapshotMeta),
    /// A snapshot from the leader is in place.
    Load,
}

/// A command that was applied.
pub(super) struct Done {
    pub(super) index: Index,
    pub(super) term: Term,
    pub(super) applied: Applied,
}

/// Starts it; it ends when its channel does.
pub(super) fn start(
    group: &str,
    mut machine: Box<dyn StateMachine>,
    commands: mpsc::Sender<Command>,
) -> mpsc::Sender<Job> {
    let (jobs, inbox) = mpsc::channel();
    super::spawn(format!("raft-apply-{group}"), move || {
        while let Ok(job) = inbox.recv() {
            let command = match job {
                Job::Apply(entries) => apply(&mut *machine, entries),
                Job::Save(meta) => {
                    Command::Saved(machine.save(&meta).map(|()| meta).map_err(|error| error.to_string()))
                }
                Job::Load => match machine.load() {
                    Ok(Some(meta)) => Command::Installed(Ok(meta)),
                    Ok(None) => Command::Installed(Err(RaftError::new(RaftError::EIO, "the snapshot is gone"))),
                    // The state before it is gone, too.
                    Err(error) => Command::Failed(error.to_string()),
                },
            };
            let failed = matches!(command, Command::Failed(_));
            if commands.send(command).is_err() || failed {
                return;
            }
        }
    });
    jobs
}

fn apply(machine: &mut dyn StateMachine, entries: Vec<Entry>) -> Command {
    let mut done = Vec::with_capacity(entries.len());
    let mut last = 0;
    for Entry { index, term, payload } in entries {
        last = index;
        if let Payload::Data(data) = payload {
            match machine.apply(index, &data) {
                Ok(applied) => done.push(Done { index, term, applied }),
                Err(error) => return Command::Failed(error.to_string()),
            }
        }
    }
    Command::Applied { done, last }
}
