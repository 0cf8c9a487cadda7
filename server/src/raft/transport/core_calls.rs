//! Calls of the consensus (compat/spec/jraft.md §3, first table).

use std::sync::Arc;

use bytes::Bytes;

use super::convert;
use super::frame;
use super::server::{Called, RaftServer, decode, later};
use super::wire;
use crate::raft::core::PeerId;
use crate::raft::core::message::{RaftError, Request, Response};
use crate::raft::driver::RaftGroup;
use crate::raft::rpc::ErrorResponse;

/// Bytes of a file in one answer.
const FILE_BYTES_MAX: usize = 1024 * 1024;

impl RaftServer {
    /// The member a call is for.
    fn member(&self, group: &str, peer: &str) -> Result<&Arc<RaftGroup>, RaftError> {
        let Some(parsed) = PeerId::parse(peer) else {
            return Err(RaftError::new(RaftError::EINVAL, format!("Fail to parse peerId: {peer}")));
        };
        self.groups
            .get(group)
            .filter(|member| *member.me() == parsed)
            .ok_or_else(|| RaftError::new(RaftError::ENOENT, format!("Peer id not found: {peer}, group: {group}")))
    }

    /// The request goes to the member before this returns, so that the order is kept.
    fn ask<A: prost::Message + 'static>(
        &self,
        (group, peer): (&str, &str),
        request: impl FnOnce() -> Result<Request, RaftError>,
        answer: fn(Response) -> A,
    ) -> Called {
        let asked = self.member(group, peer).and_then(|member| Ok(member.request(request()?)));
        match asked {
            Ok(asked) => Box::pin(async move { Ok(frame::answer(&answer(asked.await))) }),
            Err(error) => Box::pin(std::future::ready(Ok(frame::answer(&answer(Response::Error(error)))))),
        }
    }

    pub(super) fn core_call(&self, name: &str, message: Bytes) -> Option<Called> {
        let called = match name {
            "AppendEntriesRequest" => decode(message).map(|request: wire::AppendEntriesRequest| {
                let to = (request.group_id.clone(), request.peer_id.clone());
                self.ask((&to.0, &to.1), || convert::append_request(request), append_response)
            }),
            "RequestVoteRequest" => decode(message).map(|request: wire::RequestVoteRequest| {
                self.ask((&request.group_id, &request.peer_id), || convert::vote_request(&request), vote_response)
            }),
            "TimeoutNowRequest" => decode(message).map(|request: wire::TimeoutNowRequest| {
                let to = (request.group_id.as_str(), request.peer_id.as_str());
                self.ask(to, || convert::timeout_now_request(&request), success_response)
            }),
            "InstallSnapshotRequest" => decode(message).map(|request: wire::InstallSnapshotRequest| {
                let to = (request.group_id.clone(), request.peer_id.clone());
                self.ask((&to.0, &to.1), || convert::install_request(request), success_response)
            }),
            "ReadIndexRequest" => decode(message).map(|request: wire::ReadIndexRequest| {
                let to = (request.group_id.as_str(), request.peer_id.as_deref().unwrap_or_default());
                self.ask(to, || convert::read_index_request(&request), read_index_response)
            }),
            "GetFileRequest" => Ok(self.get_file(message)),
            // Its code must be 0, and there must be one.
            "PingRequest" => Ok(later(message, async |_: wire::PingRequest| ErrorResponse {
                error_code: 0,
                error_msg: Some("OK".to_owned()),
            })),
            _ => return None,
        };
        Some(called.unwrap_or_else(|failure| Box::pin(std::future::ready(Err(failure)))))
    }

    fn get_file(&self, message: Bytes) -> Called {
        let readers = Arc::clone(&self.readers);
        later(message, move |request: wire::GetFileRequest| async move {
            let failed = |code, message: String| {
                let error = Some(convert::error(&RaftError::new(code, message)));
                wire::GetFileResponse { error_response: error, ..wire::GetFileResponse::default() }
            };
            let (Ok(count), Ok(offset)) = (usize::try_from(request.count), u64::try_from(request.offset)) else {
                return failed(RaftError::EINVAL, "Invalid request: a negative number".to_owned());
            };
            let (id, name) = (request.reader_id, request.filename);
            if !readers.is_open(id) {
                return failed(RaftError::ENOENT, format!("Fail to find reader={id}"));
            }
            let file = name.clone();
            let read = tokio::task::spawn_blocking(move || readers.read(id, &file, offset, count.min(FILE_BYTES_MAX)));
            match read.await {
                Ok(Ok(Some(chunk))) => {
                    let read_size = Some(convert::signed(chunk.data.len() as u64));
                    wire::GetFileResponse { eof: chunk.eof, data: chunk.data, read_size, error_response: None }
                }
                Ok(Ok(None)) => failed(RaftError::EIO, format!("Fail to read filename={name}")),
                Ok(Err(error)) => failed(RaftError::EIO, format!("Fail to read filename={name}: {error}")),
                Err(error) => failed(RaftError::EIO, error.to_string()),
            }
        })
    }
}

fn error_of(response: &Response) -> Option<ErrorResponse> {
    match response {
        Response::Error(error) => Some(convert::error(error)),
        _ => Some(convert::error(&RaftError::new(-1, "handleRequest internal error"))),
    }
}

fn append_response(response: Response) -> wire::AppendEntriesResponse {
    match response {
        Response::Append { term, success, last_log_index } => wire::AppendEntriesResponse {
            term: convert::signed(term),
            success,
            last_log_index: last_log_index.map(convert::signed),
            error_response: None,
        },
        other => wire::AppendEntriesResponse { error_response: error_of(&other), ..Default::default() },
    }
}

fn vote_response(response: Response) -> wire::RequestVoteResponse {
    match response {
        Response::Vote { term, granted } => {
            wire::RequestVoteResponse { term: convert::signed(term), granted, error_response: None }
        }
        other => wire::RequestVoteResponse { error_response: error_of(&other), ..Default::default() },
    }
}

fn success_response(response: Response) -> wire::SuccessResponse {
    match response {
        Response::InstallSnapshot { term, success } | Response::TimeoutNow { term, success } => {
            wire::SuccessResponse { term: convert::signed(term), success, error_response: None }
        }
        other => wire::SuccessResponse { error_response: error_of(&other), ..Default::default() },
    }
}

fn read_index_response(response: Response) -> wire::ReadIndexResponse {
    match response {
        Response::ReadIndex { index } => {
            wire::ReadIndexResponse { index: convert::signed(index), success: true, error_response: None }
        }
        other => wire::ReadIndexResponse { error_response: error_of(&other), ..Default::default() },
    }
}
