//! Anti-entropy: every few seconds the checksums of all owned lists go to all peers (compat/spec/distro.md §6.2, §7.5).

use std::sync::Arc;

use bytes::Bytes;

use super::per_peer::PerPeer;
use super::{Distro, checksum, datum};
use crate::flaw::{Flaw, is_broken};

/// Sends checksums until dropped.
pub(super) async fn run(distro: Arc<Distro>) {
    let mut calls = PerPeer::default();
    loop {
        tokio::time::sleep(distro.settings.verify_interval).await;
        distro.forget_receipts();
        send(&distro, &mut calls);
    }
}

/// One round. Tandem peers of every state are told: a returning one gets its data before it is UP.
fn send(distro: &Arc<Distro>, calls: &mut PerPeer) {
    let peers = distro.members.peers();
    if peers.is_empty() || is_broken(Flaw::NeverVerifies) {
        return;
    }
    let body = body(distro);
    let ring = distro.ring_text();
    for peer in peers {
        // Without lists of its own an official node says nothing, and whoever has one of its lists keeps it for ever.
        let of_none = peer.is_tandem().then_some(Bytes::from_static(b"{}"));
        let Some(body) = body.clone().or(of_none).filter(|_| distro.may_be_told(&peer.address)) else { continue };
        let distro = Arc::clone(distro);
        let ring = peer.is_tandem().then(|| ring.clone());
        let address = peer.address.clone();
        calls.start(&peer.address, async move {
            if let Err(error) = distro.client.verify(&address, body, ring.as_deref()).await {
                tracing::debug!(peer = address, %error, "checksums not delivered");
            }
        });
    }
}

/// Checksums of all owned lists; `None` when there is none, which official nodes never send.
pub(super) fn body(distro: &Distro) -> Option<Bytes> {
    let mut out = b"{".to_vec();
    for service in distro.registry.services() {
        let id = service.id();
        if !distro.responsible(&id.name) {
            continue;
        }
        let state = service.read();
        if !state.has_datum {
            continue;
        }
        let checksum = checksum::checksum(state.ephemeral.values());
        drop(state);
        if out.len() > 1 {
            out.push(b',');
        }
        datum::string(&mut out, &datum::key(id));
        out.push(b':');
        datum::string(&mut out, &checksum);
    }
    if out.len() == 1 {
        return None;
    }
    out.push(b'}');
    Some(out.into())
}
