//! Calls to the raft ports of others.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tonic::Code;

use super::convert;
use super::wire;
use crate::raft::core::PeerId;
use crate::raft::core::message::{NoAnswer, RaftError, Request, Response};
use crate::raft::core::store::Chunk;
use crate::raft::driver::network::Network;
use crate::raft::rpc::{RaftClient, WriteRequest};
use crate::raft::voter::Forwarded;

const APPEND: &str = "/com.alipay.sofa.jraft.rpc.RpcRequests$AppendEntriesRequest/_call";
const VOTE: &str = "/com.alipay.sofa.jraft.rpc.RpcRequests$RequestVoteRequest/_call";
const TIMEOUT_NOW: &str = "/com.alipay.sofa.jraft.rpc.RpcRequests$TimeoutNowRequest/_call";
const INSTALL: &str = "/com.alipay.sofa.jraft.rpc.RpcRequests$InstallSnapshotRequest/_call";
const GET_FILE: &str = "/com.alipay.sofa.jraft.rpc.RpcRequests$GetFileRequest/_call";
const READ_INDEX: &str = "/com.alipay.sofa.jraft.rpc.RpcRequests$ReadIndexRequest/_call";

/// As official members wait (compat/spec/jraft.md §2).
const GET_FILE_TIMEOUT: Duration = Duration::from_secs(10);

/// The peers of all groups.
#[derive(Debug, Clone)]
pub struct Peers {
    client: Arc<RaftClient>,
    forward_timeout: Duration,
}

impl Peers {
    /// Over these connections; the leader has `forward_timeout` to answer a write.
    pub fn new(client: Arc<RaftClient>, forward_timeout: Duration) -> Self {
        Peers { client, forward_timeout }
    }
}

async fn call(
    client: &RaftClient,
    group: &str,
    to: &PeerId,
    request: Request,
    timeout: Duration,
) -> Result<Response, tonic::Status> {
    let (group_id, peer_id, at) = (group.to_owned(), to.to_string(), to.endpoint());
    Ok(match request {
        Request::Vote(vote) => {
            let message = convert::vote_message(group, to, &vote);
            convert::vote_answer(client.call(at, VOTE, message, timeout).await?)
        }
        Request::Append(append) => {
            let message = convert::append_message(group, to, &append);
            convert::append_answer(client.call(at, APPEND, message, timeout).await?)
        }
        Request::InstallSnapshot { from, term, meta, uri } => {
            let (server_id, term, meta) = (from.to_string(), convert::signed(term), convert::meta_message(&meta));
            let message = wire::InstallSnapshotRequest { group_id, server_id, peer_id, term, meta, uri };
            match convert::success_answer(client.call(at, INSTALL, message, timeout).await?) {
                Ok((term, success)) => Response::InstallSnapshot { term, success },
                Err(error) => Response::Error(error),
            }
        }
        Request::TimeoutNow { from, term } => {
            let (server_id, term) = (from.to_string(), convert::signed(term));
            let message = wire::TimeoutNowRequest { group_id, server_id, peer_id, term };
            match convert::success_answer(client.call(at, TIMEOUT_NOW, message, timeout).await?) {
                Ok((term, success)) => Response::TimeoutNow { term, success },
                Err(error) => Response::Error(error),
            }
        }
        Request::ReadIndex { from } => {
            let (server_id, peer_id) = (from.to_string(), Some(peer_id));
            // Official members send one empty context.
            let entries = vec![bytes::Bytes::new()];
            let message = wire::ReadIndexRequest { group_id, server_id, entries, peer_id };
            convert::read_index_answer(client.call(at, READ_INDEX, message, timeout).await?)
        }
    })
}

impl Network for Peers {
    fn call(
        &self,
        group: &str,
        to: &PeerId,
        request: Request,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<Response, NoAnswer>> {
        let (client, group, to) = (Arc::clone(&self.client), group.to_owned(), to.clone());
        Box::pin(async move {
            call(&client, &group, &to, request, timeout).await.map_err(|status| {
                tracing::trace!(group, peer = %to, %status, "no answer");
                NoAnswer
            })
        })
    }

    fn read_file(
        &self,
        uri: &str,
        file: &str,
        offset: u64,
        count: usize,
    ) -> BoxFuture<'static, Result<Chunk, RaftError>> {
        let (client, uri, filename) = (Arc::clone(&self.client), uri.to_owned(), file.to_owned());
        Box::pin(async move {
            let place = uri.strip_prefix("remote://").and_then(|rest| rest.rsplit_once('/'));
            let Some((at, Ok(reader_id))) = place.map(|(at, id)| (at, id.parse::<i64>())) else {
                return Err(RaftError::new(RaftError::EINVAL, format!("Fail to copy from: {uri}")));
            };
            let (count, offset) = (convert::signed(count as u64), convert::signed(offset));
            let message = wire::GetFileRequest { reader_id, filename, count, offset, read_partly: Some(true) };
            let answer: Result<wire::GetFileResponse, _> = client.call(at, GET_FILE, message, GET_FILE_TIMEOUT).await;
            let answer = answer.map_err(|status| RaftError::new(RaftError::EIO, status.message()))?;
            match convert::failure(answer.error_response) {
                Some(error) => Err(error),
                None => Ok(Chunk { data: answer.data, eof: answer.eof }),
            }
        })
    }

    fn forward(&self, to: &PeerId, request: WriteRequest) -> BoxFuture<'static, Forwarded> {
        let (client, to, timeout) = (Arc::clone(&self.client), to.clone(), self.forward_timeout);
        Box::pin(async move {
            match client.write(to.endpoint(), request, timeout).await {
                Ok(answer) => Forwarded::Answered(answer),
                // Nobody there, or nobody that knows the call.
                Err(status) if is_unsent(&status) => Forwarded::NotSent(status.message().to_owned()),
                Err(status) => Forwarded::Unknown(status.message().to_owned()),
            }
        })
    }
}

/// Whether a call certainly did nothing. A connection that broke says `Unavailable`, too, so that does not count.
fn is_unsent(status: &tonic::Status) -> bool {
    let refused = || {
        let mut source = std::error::Error::source(status);
        while let Some(error) = source {
            let io = error.downcast_ref::<std::io::Error>();
            if io.is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused) {
                return true;
            }
            source = error.source();
        }
        false
    };
    matches!(status.code(), Code::Unimplemented | Code::InvalidArgument) || refused()
}
