//! Calls of the command line to other members (compat/spec/jraft.md §3, second table).

use std::time::Duration;

use super::wire;
use crate::raft::core::PeerId;
use crate::raft::datum::GROUP;
use crate::raft::rpc::{ErrorResponse, RaftClient};

const GET_PEERS: &str = "/com.alipay.sofa.jraft.rpc.CliRequests$GetPeersRequest/_call";
const ADD_PEER: &str = "/com.alipay.sofa.jraft.rpc.CliRequests$AddPeerRequest/_call";
const REMOVE_PEER: &str = "/com.alipay.sofa.jraft.rpc.CliRequests$RemovePeerRequest/_call";
const CHANGE_PEERS: &str = "/com.alipay.sofa.jraft.rpc.CliRequests$ChangePeersRequest/_call";
const TRANSFER: &str = "/com.alipay.sofa.jraft.rpc.CliRequests$TransferLeaderRequest/_call";
const SNAPSHOT: &str = "/com.alipay.sofa.jraft.rpc.CliRequests$SnapshotRequest/_call";
/// A change of voters waits until a new one has the log.
const TIMEOUT: Duration = Duration::from_secs(10);

fn judge(answer: Result<Option<ErrorResponse>, tonic::Status>) -> Result<(), String> {
    match answer {
        Ok(None) => Ok(()),
        Ok(Some(error)) if error.error_code == 0 => Ok(()),
        Ok(Some(error)) => Err(error.error_msg.unwrap_or_default()),
        Err(status) => Err(status.message().to_owned()),
    }
}

/// What an operation on voters is about.
fn peer_request(leader: &PeerId, peer: &PeerId) -> wire::PeerRequest {
    wire::PeerRequest { group_id: GROUP.to_owned(), leader_id: leader.to_string(), peer_id: peer.to_string() }
}

/// The voters, as the leader has them.
///
/// # Errors
/// In the leader's words.
pub async fn peers(client: &RaftClient, leader: &PeerId, timeout: Duration) -> Result<Vec<PeerId>, String> {
    let leader_id = Some(leader.to_string());
    let message = wire::GetPeersRequest { group_id: GROUP.to_owned(), leader_id, only_alive: None };
    let answer: Result<wire::GetPeersResponse, _> = client.call(leader.endpoint(), GET_PEERS, message, timeout).await;
    match answer {
        Ok(answer) => {
            judge(Ok(answer.error_response))?;
            Ok(answer.peers.iter().filter_map(|peer| PeerId::parse(peer)).collect())
        }
        Err(status) => Err(status.message().to_owned()),
    }
}

/// Has the leader let a peer in.
///
/// # Errors
/// In the leader's words.
pub async fn add_peer(client: &RaftClient, leader: &PeerId, peer: &PeerId) -> Result<(), String> {
    let call = client.call(leader.endpoint(), ADD_PEER, peer_request(leader, peer), TIMEOUT).await;
    judge(call.map(|answer: wire::PeersOpResponse| answer.error_response))
}

/// Has the leader let go of a peer.
///
/// # Errors
/// In the leader's words.
pub async fn remove_peer(client: &RaftClient, leader: &PeerId, peer: &PeerId) -> Result<(), String> {
    let call = client.call(leader.endpoint(), REMOVE_PEER, peer_request(leader, peer), TIMEOUT).await;
    judge(call.map(|answer: wire::PeersOpResponse| answer.error_response))
}

/// Has the leader go on with these peers.
///
/// # Errors
/// In the leader's words.
pub async fn change_peers(client: &RaftClient, leader: &PeerId, peers: &[PeerId]) -> Result<(), String> {
    let new_peers = peers.iter().map(ToString::to_string).collect();
    let message = wire::ChangePeersRequest { group_id: GROUP.to_owned(), leader_id: leader.to_string(), new_peers };
    let call = client.call(leader.endpoint(), CHANGE_PEERS, message, TIMEOUT).await;
    judge(call.map(|answer: wire::PeersOpResponse| answer.error_response))
}

/// Has the leader hand over to a peer.
///
/// # Errors
/// In the leader's words.
pub async fn transfer(client: &RaftClient, leader: &PeerId, to: &PeerId) -> Result<(), String> {
    let (group_id, leader_id, peer_id) = (GROUP.to_owned(), leader.to_string(), Some(to.to_string()));
    let message = wire::TransferLeaderRequest { group_id, leader_id, peer_id };
    judge(client.call(leader.endpoint(), TRANSFER, message, TIMEOUT).await.map(Some))
}

/// Has a peer make a snapshot.
///
/// # Errors
/// In the peer's words.
pub async fn snapshot(client: &RaftClient, peer: &PeerId) -> Result<(), String> {
    let message = wire::SnapshotRequest { group_id: GROUP.to_owned(), peer_id: Some(peer.to_string()) };
    judge(client.call(peer.endpoint(), SNAPSHOT, message, TIMEOUT).await.map(Some))
}
