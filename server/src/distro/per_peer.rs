//! Rounds of calls to all peers in which a silent peer delays nobody: its next call waits for its own last one only.

use std::collections::BTreeMap;
use std::future::Future;

use tokio_util::task::AbortOnDropHandle;

/// The calls under way, one per peer at most; they end when this is dropped.
#[derive(Debug, Default)]
pub(super) struct PerPeer(BTreeMap<String, AbortOnDropHandle<()>>);

impl PerPeer {
    /// Starts a call, unless the last one to this peer is still under way: false then.
    pub(super) fn start(&mut self, peer: &str, call: impl Future<Output = ()> + Send + 'static) -> bool {
        self.0.retain(|_, call| !call.is_finished());
        if self.0.contains_key(peer) {
            return false;
        }
        self.0.insert(peer.to_owned(), AbortOnDropHandle::new(crate::tasks::spawn(call)));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_peer_that_is_silent_is_left_out() {
        let mut calls = PerPeer::default();
        assert!(calls.start("silent", std::future::pending()));
        for _ in 0..3 {
            assert!(!calls.start("silent", std::future::pending()));
            assert!(calls.start("quick", std::future::ready(())));
            tokio::task::yield_now().await;
        }
        assert_eq!(calls.0.len(), 2);
    }
}
