//! Anti-entropy: every few seconds the checksums of all owned lists go to all peers (compat/spec/distro.md §6.2, §7.5).

use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;

use super::{Distro, checksum, datum};

/// Sends checksums until dropped.
pub(super) async fn run(distro: Arc<Distro>) {
    loop {
        tokio::time::sleep(distro.settings.verify_interval).await;
        send(&distro).await;
    }
}

/// One round. Peers of every state are told: a returning one gets its data before it is UP.
async fn send(distro: &Arc<Distro>) {
    let peers = distro.members.peers();
    if peers.is_empty() {
        return;
    }
    let Some(body) = body(distro) else { return };
    let ring = distro.ring_text();
    join_all(peers.iter().map(|peer| {
        let (body, ring) = (body.clone(), peer.is_tandem().then_some(ring.as_str()));
        async move {
            if let Err(error) = distro.client.verify(&peer.address, body, ring).await {
                tracing::debug!(peer = peer.address, %error, "checksums not delivered");
            }
        }
    }))
    .await;
}

/// Checksums of all owned lists; `None` when there is none, which is never sent.
fn body(distro: &Distro) -> Option<Bytes> {
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
