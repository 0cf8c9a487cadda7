//! The snapshot at start: what the peers hold, before clients are served (compat/spec/distro.md §8.5).
//!
//! Official nodes take the first answer, even an empty one, and wait 30 s when nobody answers. Here all peers are
//! asked at once, an empty answer counts only when nobody has more, and the tries that follow come quickly.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::Distro;
use super::datum::{read_map, service_of};
use super::merge::Trust;
use super::peer_client::PeerError;
use crate::clock::now_ms;
use crate::flaw::{Flaw, is_broken};

/// How long a peer may take to accept a connection. Whoever is down or cut off must not hold up a start; and a
/// kernel accepts for a process however busy that is.
const ACCEPT_MAX: Duration = Duration::from_millis(500);
/// How long the start of a node waits for a peer that accepted to begin its answer. Tandem nodes answer from the moment
/// they listen, and official ones listen when they have started; but a JVM may be busy, and without its answer this node
/// would show clients less than there is.
const FIRST_HEAD_MAX: Duration = Duration::from_secs(3);
/// How long it may wait for answers that have begun.
const FIRST_ATTEMPT_MAX: Duration = Duration::from_secs(5);
/// How long a later attempt waits for a peer to begin its answer.
const HEAD_MAX: Duration = Duration::from_secs(5);
/// First pause between further attempts; it doubles up to the configured one.
const RETRY_MIN: Duration = Duration::from_millis(200);
/// Attempts after which the checksums of the peers are left to bring what is missing.
const ATTEMPTS_MAX: u32 = 20;

/// Tries once; true when a peer answered, or there is none.
pub(super) async fn first_attempt(distro: &Arc<Distro>) -> bool {
    tokio::time::timeout(FIRST_ATTEMPT_MAX, attempt(distro, FIRST_HEAD_MAX)).await.unwrap_or(false)
}

/// Tries until a peer answered, ever more slowly, not for ever.
pub(super) async fn until_loaded(distro: Arc<Distro>) {
    let mut pause = RETRY_MIN;
    for _ in 0..ATTEMPTS_MAX {
        tokio::time::sleep(pause).await;
        if attempt(&distro, HEAD_MAX).await {
            return;
        }
        pause = (pause * 2).min(distro.settings.load_data_retry_delay);
    }
    tracing::warn!("no peer answered with its data; their checksums will bring it");
}

/// Asks all peers at once and takes the first answer that holds something.
async fn attempt(distro: &Arc<Distro>, head_max: Duration) -> bool {
    let peers = distro.members.peers();
    if peers.is_empty() {
        return true;
    }
    let mut answers: FuturesUnordered<_> = peers
        .iter()
        .map(|peer| async move { (peer.address.as_str(), ask(distro, &peer.address, head_max).await) })
        .collect();
    let mut answered = false;
    while let Some((peer, answer)) = answers.next().await {
        match answer {
            Ok(body) => match apply(distro, &body) {
                Ok(0) => answered = true,
                Ok(services) => {
                    tracing::info!(peer, services, "loaded");
                    return true;
                }
                Err(error) => tracing::warn!(peer, %error, "snapshot cannot be read"),
            },
            Err(error) => tracing::debug!(peer, %error, "no snapshot"),
        }
    }
    answered
}

async fn ask(distro: &Distro, peer: &str, head_max: Duration) -> Result<Bytes, PeerError> {
    distro.client.reach(peer, ACCEPT_MAX).await?;
    distro.client.datums(peer, head_max).await
}

/// Puts a snapshot in place. A list that a peer pushed meanwhile is newer and stays; to what was only written here
/// meanwhile the snapshot adds what it knows besides, or the other members would be left with the written part alone.
/// Services in it.
pub(super) fn apply(distro: &Distro, body: &[u8]) -> Result<usize, serde_json::Error> {
    let map = read_map(body, now_ms())?;
    let services = map.len();
    if is_broken(Flaw::IgnoresSnapshot) {
        return Ok(services);
    }
    for (key, datum) in map {
        let (Some(id), Some(instances)) = (service_of(&key), datum.instances) else { continue };
        if distro.receipt(&id).is_some() {
            continue;
        }
        // Whatever is here already was written since the start.
        distro.apply(&id, instances, Vec::new(), Trust::FormerOwner { moved_at: 0 });
    }
    Ok(services)
}
