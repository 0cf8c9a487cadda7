//! The events of the shared workload in the words of this experiment's history: milliseconds, and of the servers that
//! were tried the last.

use super::history::{Ended, Event, Ms, Op, OpKind, Read, Shown};
use crate::experiment::fault::history as shared;

/// What this experiment has to say about its workload's events, and its own at their places among them: each with how
/// many of the others came before it.
pub(super) fn history(events: Vec<shared::Event>, own: Vec<(usize, Event)>) -> Vec<Event> {
    let mut all = Vec::with_capacity(events.len() + own.len());
    let mut own = own.into_iter().peekable();
    for (position, event) in events.into_iter().enumerate() {
        while let Some((_, mark)) = own.next_if(|it| it.0 <= position) {
            all.push(mark);
        }
        all.extend(of(event));
    }
    all.extend(own.map(|it| it.1));
    all
}

fn ms(us: shared::Us) -> Ms {
    us / 1000
}

/// Nothing for what this experiment has no word for and the workload does not do for it.
fn of(event: shared::Event) -> Option<Event> {
    Some(match event {
        shared::Event::Op(op) => {
            let kind = match op.kind {
                shared::OpKind::Register => OpKind::Register,
                shared::OpKind::Beat => OpKind::Beat,
                shared::OpKind::Deregister => OpKind::Deregister,
                shared::OpKind::Query => return None,
            };
            let ended = match op.ended {
                shared::Ended::Acknowledged => Ended::Acknowledged,
                shared::Ended::Unknown => Ended::Unknown,
                shared::Ended::Failed => Ended::Failed,
            };
            // Only a yes ends a round, so the last one tried is the one that answered.
            let answered = op.tries.last().filter(|it| it.status == Some(200));
            Event::Op(Op {
                kind,
                instance: op.instance,
                due: ms(op.due),
                sent: ms(op.sent),
                done: ms(op.done),
                node: answered.map(|it| it.node),
                attempts: op.tries.len() as u32,
                ended,
                indefinite: op.indefinite,
            })
        }
        shared::Event::Look(look) => Event::Read(Read {
            node: look.node,
            service: look.service,
            sent: ms(look.sent),
            done: ms(look.done),
            shown: look.present.map(|present| Shown { present, unhealthy: look.unhealthy }),
        }),
        shared::Event::Unsent { due } => Event::Unsent { due: ms(due) },
        _ => return None,
    })
}
