//! Calls of the command line, which official members make all the time (compat/spec/jraft.md §3, second table).

use std::sync::Arc;

use bytes::Bytes;

use super::convert;
use super::server::{Called, RaftServer, later};
use super::wire;
use crate::raft::core::PeerId;
use crate::raft::core::message::{MembershipChange, RaftError, Role};
use crate::raft::driver::RaftGroup;
use crate::raft::rpc::{ErrorResponse, GetLeaderRequest, GetLeaderResponse};

type Found = Result<Arc<RaftGroup>, RaftError>;

fn error(code: i32, message: impl Into<String>) -> RaftError {
    RaftError::new(code, message)
}

fn parse(peer: &str) -> Result<PeerId, RaftError> {
    PeerId::parse(peer).ok_or_else(|| error(RaftError::EINVAL, format!("Fail to parse peer id {peer}")))
}

fn status(result: Result<(), RaftError>) -> ErrorResponse {
    match result {
        Ok(()) => ErrorResponse { error_code: 0, error_msg: Some("OK".to_owned()) },
        Err(error) => convert::error(&error),
    }
}

fn names(peers: &[PeerId]) -> Vec<String> {
    peers.iter().map(ToString::to_string).collect()
}

impl RaftServer {
    /// The member of a group, if `peer` is it or is left out.
    fn found(&self, group: &str, peer: &str) -> Found {
        if peer.trim().is_empty() {
            let none = || error(RaftError::ENOENT, format!("Empty nodes in group {group}"));
            return self.groups.get(group).cloned().ok_or_else(none);
        }
        let parsed =
            PeerId::parse(peer).ok_or_else(|| error(RaftError::EINVAL, format!("Fail to parse peer: {peer}")))?;
        let member = self.groups.get(group).filter(|member| *member.me() == parsed).cloned();
        member.ok_or_else(|| error(RaftError::ENOENT, format!("Fail to find node {peer} in group {group}")))
    }

    pub(super) fn cli_call(self: &Arc<Self>, name: &str, message: Bytes) -> Option<Called> {
        let server = Arc::clone(self);
        Some(match name {
            "GetLeaderRequest" => later(message, async move |request| server.get_leader(&request)),
            "GetPeersRequest" => later(message, async move |request| server.get_peers(request).await),
            "AddPeerRequest" => later(message, async move |request: wire::PeerRequest| {
                let found = server.found(&request.group_id, &request.leader_id);
                let peer = parse(&request.peer_id).map(MembershipChange::Add);
                change(found, peer).await
            }),
            "RemovePeerRequest" => later(message, async move |request: wire::PeerRequest| {
                let found = server.found(&request.group_id, &request.leader_id);
                let peer = parse(&request.peer_id).map(MembershipChange::Remove);
                change(found, peer).await
            }),
            "ChangePeersRequest" => later(message, async move |request: wire::ChangePeersRequest| {
                let found = server.found(&request.group_id, &request.leader_id);
                let peers: Result<_, _> = request.new_peers.iter().map(|peer| parse(peer)).collect();
                change(found, peers.map(MembershipChange::To)).await
            }),
            "TransferLeaderRequest" => {
                later(message, async move |request: wire::TransferLeaderRequest| status(server.transfer(request).await))
            }
            "SnapshotRequest" => later(message, async move |request: wire::SnapshotRequest| {
                match server.found(&request.group_id, &request.peer_id.unwrap_or_default()) {
                    Ok(member) => status(member.snapshot().await),
                    Err(error) => convert::error(&error),
                }
            }),
            // It would make this member forget what the others committed.
            "ResetPeerRequest" => later(message, async |_: wire::SnapshotRequest| {
                convert::error(&error(RaftError::EPERM, "Peers are not reset here: it can lose committed writes"))
            }),
            "AddLearnersRequest" | "RemoveLearnersRequest" | "ResetLearnersRequest" => {
                later(message, async |_: wire::LearnersRequest| {
                    let refused = error(RaftError::EPERM, "Learners are not supported");
                    let error_response = Some(convert::error(&refused));
                    wire::LearnersOpResponse { error_response, ..wire::LearnersOpResponse::default() }
                })
            }
            _ => return None,
        })
    }

    fn get_leader(&self, request: &GetLeaderRequest) -> GetLeaderResponse {
        let found = match &request.peer_id {
            Some(peer) => parse(peer).and_then(|_| self.found(&request.group_id, peer)),
            None => {
                let none = || error(RaftError::ENOENT, format!("No nodes in group {}", request.group_id));
                self.groups.get(&request.group_id).cloned().ok_or_else(none)
            }
        };
        let leader = found.and_then(|member| {
            let leader = member.status().leader;
            leader.ok_or_else(|| error(RaftError::EAGAIN, "Unknown leader"))
        });
        match leader {
            Ok(leader) => GetLeaderResponse { leader_id: leader.to_string(), error_response: None },
            Err(error) => GetLeaderResponse { leader_id: String::new(), error_response: Some(convert::error(&error)) },
        }
    }

    async fn get_peers(&self, request: wire::GetPeersRequest) -> wire::GetPeersResponse {
        let failed = |error: RaftError| wire::GetPeersResponse {
            error_response: Some(convert::error(&error)),
            ..wire::GetPeersResponse::default()
        };
        let member = match self.found(&request.group_id, &request.leader_id.unwrap_or_default()) {
            Ok(member) => member,
            Err(error) => return failed(error),
        };
        let status = member.status();
        if !matches!(status.role, Role::Leader | Role::Transferring) {
            // What official followers do here is throw.
            return failed(error(-1, "handleRequest internal error"));
        }
        let peers = match request.only_alive {
            Some(true) => match member.alive_peers().await {
                Ok(peers) => peers,
                Err(error) => return failed(error),
            },
            _ => status.configuration.peers,
        };
        let (peers, learners) = (names(&peers), names(&status.configuration.learners));
        wire::GetPeersResponse { peers, learners, error_response: None }
    }

    async fn transfer(&self, request: wire::TransferLeaderRequest) -> Result<(), RaftError> {
        let member = self.found(&request.group_id, &request.leader_id)?;
        let to = request.peer_id.as_deref().filter(|peer| !peer.is_empty() && *peer != ANY_PEER);
        let to = to.map(parse).transpose()?;
        member.transfer(to).await
    }
}

/// "Whoever fits best".
const ANY_PEER: &str = "0.0.0.0:0";

async fn change(found: Found, change: Result<MembershipChange, RaftError>) -> wire::PeersOpResponse {
    let done = async {
        let (member, change) = (found?, change?);
        let old = member.status().configuration.peers;
        let new = match &change {
            MembershipChange::Add(peer) if old.contains(peer) => old.clone(),
            MembershipChange::Add(peer) => old.iter().chain([peer]).cloned().collect(),
            MembershipChange::Remove(peer) => old.iter().filter(|it| *it != peer).cloned().collect(),
            MembershipChange::To(peers) => peers.clone(),
        };
        member.change_peers(change).await?;
        Ok::<_, RaftError>((names(&old), names(&new)))
    };
    match done.await {
        Ok((old_peers, new_peers)) => wire::PeersOpResponse { old_peers, new_peers, error_response: None },
        Err(error) => {
            wire::PeersOpResponse { error_response: Some(convert::error(&error)), ..wire::PeersOpResponse::default() }
        }
    }
}
