//! `read-after-write`: a fresh persistent instance is registered at one node; how long after the acknowledgement does
//! that node show it, and each other?
//!
//! One registration at a time, each of a service of its own, at a random node. A node that answers from what it applied
//! before it acknowledged shows it in the first read; official nodes show their own writes late
//! (`compat/spec/jraft.md` §10). A mixed cluster also gets one row per direction.

use std::time::Duration;

use anyhow::Result;
use rand::RngExt as _;
use tokio::time::Instant;

use super::FSYNC_NOTE;
use crate::client::Call;
use crate::experiment::directions::Directions;
use crate::experiment::visibility::{Wanted, seen_everywhere};
use crate::experiment::{Observation, Session, bulk, keep_first};
use crate::stats::Round;

/// Name in the record.
pub const NAME: &str = "read-after-write";

/// Longest pause before a sample, ms.
const PAUSE_MS_MAX: u64 = 100;

/// Connections for clearing away.
const CONNECTIONS: usize = 8;

/// Measures `samples` registrations, or as many as fit, and removes them again.
///
/// # Errors
/// When they cannot be removed.
pub async fn run(session: &Session<'_>, samples: usize) -> Result<Vec<Observation>> {
    let mut random = session.random(NAME);
    let (mut own, mut others) = (Round::new(), Round::new());
    let (mut own_errors, mut other_errors) = (0, 0);
    let mut directions = Directions::of(session);
    let (mut forget, mut notes) = (Vec::new(), Vec::new());
    for done in 0..samples {
        if session.is_over() {
            notes.push(session.cut_short(done, samples));
            break;
        }
        session.show(NAME, done, samples);
        let pause = Duration::from_millis(random.random_range(0..=PAUSE_MS_MAX));
        let writer = random.random_range(0..session.clients.len().max(1));
        tokio::time::sleep(pause).await;
        let instance = session.instance(&format!("{}-raw-{done}", session.tag), done);
        let Some(client) = session.clients.get(writer) else { break };
        let answer = client.send(&Call::persist(session.context(), &instance, 1)?).await;
        let acknowledged = Instant::now();
        forget.push(Call::forget_persistent(session.context(), &instance)?);
        if let Err(error) = answer {
            own_errors += 1;
            keep_first(&mut notes, format!("round {}: {error}", session.round + 1));
            continue;
        }
        let seen = seen_everywhere(session, &instance, Wanted::Present, acknowledged).await;
        directions.record(writer, &instance, &seen);
        for (node, seen) in seen.iter().enumerate() {
            let (row, errors) =
                if node == writer { (&mut own, &mut own_errors) } else { (&mut others, &mut other_errors) };
            match seen {
                Some(after) => row.record_duration(*after),
                None => *errors += 1,
            }
        }
    }
    bulk::send_all(session, forget.into(), CONNECTIONS).await?;
    notes.push(FSYNC_NOTE.to_owned());
    let row = |at: &str, values, errors| {
        let mut row = Observation::new(NAME, "ms", values).with("read at", at);
        (row.errors, row.notes) = (errors, notes.clone());
        row
    };
    let mut rows = vec![row("the node written to", own, own_errors)];
    if session.clients.len() > 1 {
        rows.push(row("another node", others, other_errors));
    }
    rows.extend(directions.observations(NAME));
    Ok(rows)
}
