//! A call that began while its peer was away ends when the peer is back: what was sent into the void takes seconds to
//! fail, and sent again it arrives at once.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use tokio::sync::watch;

use crate::cluster::ring::Ring;

/// What `call` brings; nothing when this peer came into the ring meanwhile. Changes of the ring until then are seen.
pub(super) async fn unless_back<T>(
    call: impl Future<Output = T>,
    peer: &str,
    membership: &mut watch::Receiver<Arc<Ring>>,
) -> Option<T> {
    let mut call = pin!(call);
    let mut was_there = membership.borrow_and_update().contains(peer);
    loop {
        tokio::select! {
            biased;
            done = &mut call => return Some(done),
            changed = membership.changed() => {
                if changed.is_err() {
                    return Some(call.await);
                }
                let is_there = membership.borrow_and_update().contains(peer);
                if is_there && !was_there {
                    return None;
                }
                was_there = is_there;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_who_comes_back_ends_a_call() {
        let ring = |peers: &[&str]| Arc::new(Ring::new(peers.iter().map(|it| (*it).to_owned()).collect()));
        let silence = std::future::pending::<()>;
        let (tell, mut membership) = watch::channel(ring(&["self"]));
        let came_back = async {
            tokio::task::yield_now().await;
            tell.send(ring(&["self", "other"])).unwrap();
            tokio::task::yield_now().await;
            tell.send(ring(&["self", "other", "peer"])).unwrap();
        };
        assert_eq!(tokio::join!(unless_back(silence(), "peer", &mut membership), came_back).0, None);

        // It is there at the start, goes and comes back.
        let gone_and_back = async {
            tokio::task::yield_now().await;
            tell.send(ring(&["self"])).unwrap();
            tokio::task::yield_now().await;
            tell.send(ring(&["self", "peer"])).unwrap();
        };
        assert_eq!(tokio::join!(unless_back(silence(), "peer", &mut membership), gone_and_back).0, None);

        // What was answered counts, whatever came of the peer since.
        tell.send(ring(&["self"])).unwrap();
        assert_eq!(unless_back(async { 1 }, "peer", &mut membership).await, Some(1));
        let others_come = async {
            tokio::task::yield_now().await;
            tell.send(ring(&["self", "other"])).unwrap();
        };
        let limit = std::time::Duration::from_millis(50);
        let call = tokio::time::timeout(limit, unless_back(silence(), "peer", &mut membership));
        assert!(tokio::join!(call, others_come).0.is_err(), "another one is none of its business");
    }
}
