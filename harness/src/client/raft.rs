//! Questions to the raft port of a member, asked as another member would: SOFAJRaft's gRPC (`compat/spec/jraft.md` §3).
//!
//! Methods are named after Java classes, `$` and all, so there is no service definition to generate code from: messages
//! are plain structs ([`message`]) and each knows its path.

pub mod message;

use std::time::Duration;

use anyhow::{Context as _, Result};
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use message::{Ask, GetLeaderRequest};

/// The group of persistent naming data.
pub const GROUP: &str = "naming_persistent_service";

/// The raft port is as far below the HTTP port (`compat/spec/jraft.md` §1).
pub const PORT_OFFSET: u16 = 1000;

/// How long one question may take; members answer within milliseconds or never.
pub const ASK_LIMIT: Duration = Duration::from_secs(3);

/// The raft port of one member; the connection is made when first needed and kept.
#[derive(Debug, Clone)]
pub struct RaftPort {
    peer: String,
    channel: Channel,
}

/// `ip:raftPort` of the member at `ip:httpPort`.
///
/// # Errors
/// When it is no address, or its port is too low to have a raft port.
pub fn peer_of(address: &str) -> Result<String> {
    let (ip, port) = address.rsplit_once(':').with_context(|| format!("{address} has no port"))?;
    let port: u16 = port.parse().with_context(|| format!("{address} has no port number"))?;
    let port = port.checked_sub(PORT_OFFSET).with_context(|| format!("{address} has no raft port below it"))?;
    Ok(format!("{ip}:{port}"))
}

impl RaftPort {
    /// Of the member at `ip:httpPort`; must be called within a runtime.
    ///
    /// # Errors
    /// When that is no address.
    pub fn of(address: &str) -> Result<Self> {
        let peer = peer_of(address)?;
        let endpoint =
            Endpoint::from_shared(format!("http://{peer}")).with_context(|| format!("{peer} is no address"))?;
        let channel = endpoint.connect_timeout(ASK_LIMIT).tcp_nodelay(true).connect_lazy();
        Ok(Self { peer, channel })
    }

    /// `ip:raftPort`, as members call each other.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// When there is none in time, or gRPC refuses.
    pub async fn ask<Q: Ask>(&self, question: Q, limit: Duration) -> Result<Q::Answer, Status> {
        let answer = async {
            let mut grpc = Grpc::new(self.channel.clone());
            grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            let mut request = Request::new(question);
            request.set_timeout(limit);
            let codec: ProstCodec<Q, Q::Answer> = ProstCodec::default();
            grpc.unary(request, PathAndQuery::from_static(Q::PATH), codec).await.map(tonic::Response::into_inner)
        };
        match tokio::time::timeout(limit, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(Status::new(Code::DeadlineExceeded, format!("no answer in {} ms", limit.as_millis()))),
        }
    }

    /// Whom this member takes for the leader of the group; nothing when it knows none or does not answer.
    pub async fn leader(&self) -> Option<String> {
        let question = GetLeaderRequest { group_id: GROUP.to_owned(), peer_id: Some(self.peer.clone()) };
        let answer = self.ask(question, ASK_LIMIT).await.ok()?;
        Some(answer.leader_id).filter(|it| !it.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raft_ports_are_a_thousand_below() {
        assert_eq!(peer_of("127.0.0.1:8848").unwrap(), "127.0.0.1:7848");
        assert!(peer_of("127.0.0.1").is_err() && peer_of("127.0.0.1:80").is_err() && peer_of("a:b").is_err());
    }
}
