//! The calls of SOFAJRaft's gRPC that this node makes (compat/spec/jraft.md §3, §4).
//!
//! Methods are named after Java classes, `$` and all, so there is no service definition to generate code from: the
//! messages are plain structs and the paths are written out.
//!
//! A `ReadRequest` must never be sent to an official member: its leader would write it into the log, and every
//! follower's state machine would stop for good (§9). There is therefore no call for it here.

use std::collections::HashMap;
use std::time::Duration;

use http::uri::PathAndQuery;
use parking_lot::Mutex;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

pub(super) const WRITE: &str = "/com.alibaba.nacos.consistency.entity.WriteRequest/_call";
pub(super) const GET_LEADER: &str = "/com.alipay.sofa.jraft.rpc.CliRequests$GetLeaderRequest/_call";

/// Connecting to a peer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Connections kept: more members than any cluster has.
const CHANNELS_MAX: usize = 64;

/// A write to the state machine of a group.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WriteRequest {
    /// Group id.
    #[prost(string, tag = "1")]
    pub group: String,
    /// Unused by naming.
    #[prost(string, tag = "2")]
    pub key: String,
    /// What the operation is about.
    #[prost(bytes = "vec", tag = "3")]
    pub data: Vec<u8>,
    /// Unused by naming.
    #[prost(string, tag = "4")]
    pub r#type: String,
    /// `Write` or `Delete`; any other text stops the state machine.
    #[prost(string, tag = "5")]
    pub operation: String,
    /// Unused by naming.
    #[prost(map = "string, string", tag = "6")]
    pub extend_info: HashMap<String, String>,
}

/// A read of the state machine of a group.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReadRequest {
    /// Group id.
    #[prost(string, tag = "1")]
    pub group: String,
    /// What is to be read.
    #[prost(bytes = "vec", tag = "2")]
    pub data: Vec<u8>,
    /// Unused by naming.
    #[prost(map = "string, string", tag = "3")]
    pub extend_info: HashMap<String, String>,
}

/// What a write came to.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Response {
    /// Unused by naming's writes.
    #[prost(bytes = "vec", tag = "1")]
    pub data: Vec<u8>,
    /// Why not.
    #[prost(string, tag = "2")]
    pub err_msg: String,
    /// Whether it was committed and applied.
    #[prost(bool, tag = "3")]
    pub success: bool,
}

/// Asks a peer who leads.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GetLeaderRequest {
    /// Group id.
    #[prost(string, required, tag = "1")]
    pub group_id: String,
    /// The peer asked; may be left out.
    #[prost(string, optional, tag = "2")]
    pub peer_id: Option<String>,
}

/// Who leads.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GetLeaderResponse {
    /// `ip:raftPort`; empty in an error.
    #[prost(string, required, tag = "1")]
    pub leader_id: String,
    /// Why there is no answer.
    #[prost(message, optional, tag = "99")]
    pub error_response: Option<ErrorResponse>,
}

/// An error inside another answer.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ErrorResponse {
    /// 0 is no error.
    #[prost(int32, required, tag = "1")]
    pub error_code: i32,
    /// In words.
    #[prost(string, optional, tag = "2")]
    pub error_msg: Option<String>,
}

/// Calls to raft ports; connections are kept.
#[derive(Debug, Default)]
pub struct RaftClient {
    channels: Mutex<HashMap<String, Channel>>,
}

impl RaftClient {
    /// Whom `peer` (`ip:raftPort`) takes for the leader of a group; `None` when it knows none.
    ///
    /// # Errors
    /// When the peer did not answer in time.
    pub async fn leader(&self, peer: &str, group: &str, timeout: Duration) -> Result<Option<String>, Status> {
        let request = GetLeaderRequest { group_id: group.to_owned(), peer_id: Some(peer.to_owned()) };
        let answer: GetLeaderResponse = self.call(peer, GET_LEADER, request, timeout).await?;
        let failed = answer.error_response.is_some_and(|error| error.error_code != 0);
        Ok(Some(answer.leader_id).filter(|leader| !failed && !leader.is_empty()))
    }

    /// Sends a write to the leader. Only an answer with `success` means that it was committed.
    ///
    /// # Errors
    /// When there was no answer in time; the write may have been committed all the same.
    pub async fn write(&self, peer: &str, request: WriteRequest, timeout: Duration) -> Result<Response, Status> {
        self.call(peer, WRITE, request, timeout).await
    }

    pub(super) async fn call<Q, A>(
        &self,
        peer: &str,
        path: &'static str,
        message: Q,
        timeout: Duration,
    ) -> Result<A, Status>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let answer = async {
            let mut grpc = Grpc::new(self.channel(peer)?);
            grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            let mut request = Request::new(message);
            request.set_timeout(timeout);
            let codec: ProstCodec<Q, A> = ProstCodec::default();
            grpc.unary(request, PathAndQuery::from_static(path), codec).await.map(tonic::Response::into_inner)
        };
        match tokio::time::timeout(timeout, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(Status::new(Code::DeadlineExceeded, format!("no answer in {} ms", timeout.as_millis()))),
        }
    }

    fn channel(&self, peer: &str) -> Result<Channel, Status> {
        let mut channels = self.channels.lock();
        if let Some(channel) = channels.get(peer) {
            return Ok(channel.clone());
        }
        let endpoint = Endpoint::from_shared(format!("http://{peer}"))
            .map_err(|error| Status::invalid_argument(format!("{peer} is no address: {error}")))?;
        let channel = endpoint.connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true).connect_lazy();
        if channels.len() >= CHANNELS_MAX {
            channels.clear();
        }
        channels.insert(peer.to_owned(), channel.clone());
        Ok(channel)
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn messages_are_on_the_wire_as_java_reads_them() {
        // compat/spec/jraft.md §4: field numbers; required fields are present even when empty.
        let request = GetLeaderRequest { group_id: "g".to_owned(), peer_id: None };
        assert_eq!(request.encode_to_vec(), b"\x0a\x01g");
        assert_eq!(GetLeaderResponse::default().encode_to_vec(), [0x0a, 0x00]);
        let write = WriteRequest {
            group: "naming_persistent_service".to_owned(),
            data: b"{}".to_vec(),
            operation: "Write".to_owned(),
            ..WriteRequest::default()
        };
        assert_eq!(write.encode_to_vec(), b"\x0a\x19naming_persistent_service\x1a\x02{}\x2a\x05Write");
        // compat/spec/jraft.md §8: what a peer that is not the leader answers.
        let refusal = b"\x12\x11Could not find it".to_vec();
        let refusal = Response::decode(refusal.as_slice()).unwrap();
        assert_eq!((refusal.success, refusal.err_msg.as_str()), (false, "Could not find it"));
        assert!(Response::decode([0x18, 0x01].as_slice()).unwrap().success);
        // compat/spec/jraft.md §4: unknown group, error 1012 in field 99.
        let unknown = b"\x0a\x00\x9a\x06\x07\x08\xf4\x07\x12\x02no".to_vec();
        let unknown = GetLeaderResponse::decode(unknown.as_slice()).unwrap();
        assert_eq!(unknown.error_response.map(|error| error.error_code), Some(1012));
    }

    #[test]
    fn paths_are_legal() {
        for path in [WRITE, GET_LEADER] {
            assert_eq!(PathAndQuery::from_static(path).as_str(), path);
        }
    }
}
