//! Telling the others that members left, without the endless echo of official nodes
//! (compat/spec/membership.md §4, §11 Q8).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::warn;

use super::members::Members;

/// How long the same departure is old news; an echo between official nodes was seen to last 31 s.
const REMEMBERED: Duration = Duration::from_secs(60);
/// Departures remembered at a time.
const REMEMBERED_MAX: usize = 64;
/// What telling one member may take; it is what official nodes wait.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Departures this node has told the others of.
#[derive(Debug, Default)]
pub struct Departures {
    told: Mutex<Vec<(Vec<String>, Instant)>>,
}

impl Departures {
    /// Whether the others must be told: the list changed, or it is this node that leaves, and it was not told lately.
    pub fn is_news(&self, gone: &[String], changed: bool, self_address: &str) -> bool {
        if !changed && !gone.iter().any(|address| address == self_address) {
            return false;
        }
        let mut gone = gone.to_vec();
        gone.sort_unstable();
        let now = Instant::now();
        let mut told = self.told.lock();
        told.retain(|(_, at)| now.duration_since(*at) < REMEMBERED);
        if told.len() >= REMEMBERED_MAX || told.iter().any(|(known, _)| *known == gone) {
            return false;
        }
        told.push((gone, now));
        true
    }
}

/// Passes the body on to every remaining member, all at once. Says nothing about their state: reports do.
pub fn tell(
    members: Arc<Members>,
    client: reqwest::Client,
    context_path: &str,
    body: Bytes,
) -> impl Future<Output = ()> + Send + 'static {
    let calls: Vec<_> = members
        .peers()
        .into_iter()
        .map(|peer| {
            let url = format!("http://{}{context_path}/v1/core/cluster/server/leave", peer.address);
            let call = client.post(url).header("Content-Type", "application/json;charset=UTF-8").timeout(TIMEOUT);
            let call = call.body(body.clone()).send();
            async move {
                match call.await {
                    Ok(answer) if answer.status().is_success() => {}
                    Ok(answer) => warn!(member = peer.address, status = %answer.status(), "leave not accepted"),
                    Err(error) => warn!(member = peer.address, %error, "leave not told"),
                }
            }
        })
        .collect();
    async move {
        join_all(calls).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn told_once() {
        let departures = Departures::default();
        let (a, b) = (["h:1".to_owned(), "h:2".to_owned()], ["h:2".to_owned(), "h:1".to_owned()]);
        assert!(!departures.is_news(&a, false, "h:9"), "nothing changed");
        assert!(departures.is_news(&a, true, "h:9"));
        assert!(!departures.is_news(&b, true, "h:9"), "the same in another order");
        assert!(departures.is_news(&["h:9".to_owned()], false, "h:9"), "this node leaves");
        tokio::time::advance(REMEMBERED * 2).await;
        assert!(departures.is_news(&a, true, "h:9"));
    }
}
