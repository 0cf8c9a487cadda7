//! Waiting until a node shows a change, by reading its `instance/list` again and again.
//!
//! A reader starts at the acknowledgement and asks the next time one pause after the answer came. The pause is the
//! resolution of the figure: 1 ms while the change is young, 5 ms later, the same for every target. So a difference of
//! a millisecond can be seen where it matters, and a slow target is not kept busy by the readers.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::Instant;

use super::Session;
use crate::client::{Instance, NacosClient};

/// Pause between two reads while the change is younger than [`YOUNG`].
const PAUSE_YOUNG: Duration = Duration::from_millis(1);

/// Pause between two reads afterwards.
const PAUSE_OLD: Duration = Duration::from_millis(5);

/// Until when a change is young.
const YOUNG: Duration = Duration::from_millis(100);

/// A change that a node does not show after this long is an error and not a sample.
pub const VISIBLE_LIMIT: Duration = Duration::from_secs(10);

/// What a node is expected to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The instance is listed.
    Present,
    /// The instance is not listed.
    Absent,
}

/// The pause before the next read of something that began `age` ago.
pub fn pause(age: Duration) -> Duration {
    if age < YOUNG { PAUSE_YOUNG } else { PAUSE_OLD }
}

/// Time from `since` until `client`'s node showed what is wanted; nothing when it did not within [`VISIBLE_LIMIT`] or
/// the run was stopped. A read that fails shows nothing and is repeated.
async fn seen_at(
    session: &Session<'_>,
    client: &NacosClient,
    instance: &Instance,
    wanted: Wanted,
    since: Instant,
) -> Option<Duration> {
    loop {
        let shown = client.list(&instance.service).await.ok().map(|it| it.shows(instance));
        let age = since.elapsed();
        if shown == Some(wanted == Wanted::Present) {
            return Some(age);
        }
        if age >= VISIBLE_LIMIT || session.stop.is_cancelled() {
            return None;
        }
        tokio::time::sleep(pause(age)).await;
    }
}

/// `seen_at` for every node at once, the writer included: real Nacos may forward a write, and then the node that was
/// written to learns of it as late as the others.
pub async fn seen_everywhere(
    session: &Session<'_>,
    instance: &Instance,
    wanted: Wanted,
    since: Instant,
) -> Vec<Option<Duration>> {
    join_all(session.clients.iter().map(|it| seen_at(session, it, instance, wanted, since))).await
}
