//! Between the wire and the core. What comes from the wire is not trusted: numbers may be negative, lengths may lie.

use bytes::Bytes;

use super::wire;
use crate::raft::core::message::{AppendKind, AppendRequest, LogId, RaftError, Request, Response, VoteRequest};
use crate::raft::core::{Configuration, Entry, Payload, PeerId, SnapshotMeta};
use crate::raft::rpc::ErrorResponse;

type Parsed<T> = Result<T, RaftError>;

fn invalid(message: impl Into<String>) -> RaftError {
    RaftError::new(RaftError::EINVAL, message)
}

fn number(value: i64, name: &str) -> Parsed<u64> {
    u64::try_from(value).map_err(|_| invalid(format!("{name} is negative: {value}")))
}

pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn peer(text: &str, what: &str) -> Parsed<PeerId> {
    PeerId::parse(text).ok_or_else(|| invalid(format!("Parse {what} failed: {text}.")))
}

fn peers(texts: &[String]) -> Parsed<Vec<PeerId>> {
    texts
        .iter()
        .map(|text| PeerId::parse(text).ok_or_else(|| invalid(format!("Fail to parse peer id {text}"))))
        .collect()
}

fn texts(peers: &[PeerId]) -> Vec<String> {
    peers.iter().map(ToString::to_string).collect()
}

pub(super) fn error(error: &RaftError) -> ErrorResponse {
    ErrorResponse { error_code: error.code, error_msg: Some(error.message.clone()) }
}

fn raft_error(error: ErrorResponse) -> RaftError {
    RaftError::new(error.error_code, error.error_msg.unwrap_or_default())
}

/// A failed answer has an error with a code that is not 0.
pub(super) fn failure(error: Option<ErrorResponse>) -> Option<RaftError> {
    error.filter(|error| error.error_code != 0).map(raft_error)
}

pub(super) fn vote_request(request: &wire::RequestVoteRequest) -> Parsed<Request> {
    let last = LogId {
        term: number(request.last_log_term, "last_log_term")?,
        index: number(request.last_log_index, "last_log_index")?,
    };
    let (from, term) = (peer(&request.server_id, "candidateId")?, number(request.term, "term")?);
    Ok(Request::Vote(VoteRequest { from, term, last, pre_vote: request.pre_vote }))
}

pub(super) fn append_request(request: wire::AppendEntriesRequest) -> Parsed<Request> {
    let from = peer(&request.server_id, "serverId")?;
    let prev = LogId {
        term: number(request.prev_log_term, "prev_log_term")?,
        index: number(request.prev_log_index, "prev_log_index")?,
    };
    let kind = match (&request.data, request.entries.is_empty()) {
        (_, false) => AppendKind::Entries,
        (Some(_), true) => AppendKind::Probe,
        (None, true) => AppendKind::Heartbeat,
    };
    let mut data = request.data.unwrap_or_default();
    let mut entries = Vec::with_capacity(request.entries.len());
    let mut index = prev.index;
    for meta in &request.entries {
        index += 1;
        entries.push(entry(index, meta, &mut data)?);
    }
    let (term, committed) = (number(request.term, "term")?, number(request.committed_index, "committed_index")?);
    Ok(Request::Append(AppendRequest { from, term, prev, entries, committed, kind }))
}

fn entry(index: u64, meta: &wire::EntryMeta, data: &mut Bytes) -> Parsed<Entry> {
    let len = usize::try_from(meta.data_len.unwrap_or_default()).unwrap_or(usize::MAX);
    if len > data.len() {
        return Err(invalid(format!("entry {index} is said to have {len} bytes, {} are there", data.len())));
    }
    let own = data.split_to(len);
    let payload = match meta.r#type {
        wire::NO_OP => Payload::NoOp,
        wire::DATA => Payload::Data(own),
        wire::CONFIGURATION => Payload::Configuration(Configuration {
            peers: peers(&meta.peers)?,
            old_peers: peers(&meta.old_peers)?,
            learners: peers(&meta.learners)?,
            old_learners: peers(&meta.old_learners)?,
        }),
        other => return Err(invalid(format!("entry {index} is of the unknown type {other}"))),
    };
    Ok(Entry { index, term: number(meta.term, "term")?, payload })
}

pub(super) fn install_request(request: wire::InstallSnapshotRequest) -> Parsed<Request> {
    let from = peer(&request.server_id, "serverId")?;
    let configuration = Configuration {
        peers: peers(&request.meta.peers)?,
        old_peers: peers(&request.meta.old_peers)?,
        learners: peers(&request.meta.learners)?,
        old_learners: peers(&request.meta.old_learners)?,
    };
    let meta = SnapshotMeta {
        last_included_index: number(request.meta.last_included_index, "last_included_index")?,
        last_included_term: number(request.meta.last_included_term, "last_included_term")?,
        configuration,
    };
    Ok(Request::InstallSnapshot { from, term: number(request.term, "term")?, meta, uri: request.uri })
}

pub(super) fn timeout_now_request(request: &wire::TimeoutNowRequest) -> Parsed<Request> {
    let from = peer(&request.server_id, "serverId")?;
    Ok(Request::TimeoutNow { from, term: number(request.term, "term")? })
}

pub(super) fn read_index_request(request: &wire::ReadIndexRequest) -> Parsed<Request> {
    Ok(Request::ReadIndex { from: peer(&request.server_id, "serverId")? })
}

fn entry_meta(entry: &Entry) -> (wire::EntryMeta, Bytes) {
    let mut meta = wire::EntryMeta { term: signed(entry.term), ..wire::EntryMeta::default() };
    let data = match &entry.payload {
        Payload::NoOp => {
            meta.r#type = wire::NO_OP;
            Bytes::new()
        }
        Payload::Data(data) => {
            meta.r#type = wire::DATA;
            data.clone()
        }
        Payload::Configuration(configuration) => {
            meta.r#type = wire::CONFIGURATION;
            meta.peers = texts(&configuration.peers);
            meta.old_peers = texts(&configuration.old_peers);
            meta.learners = texts(&configuration.learners);
            meta.old_learners = texts(&configuration.old_learners);
            Bytes::new()
        }
    };
    meta.data_len = Some(signed(data.len() as u64));
    (meta, data)
}

pub(super) fn append_message(group: &str, to: &PeerId, append: &AppendRequest) -> wire::AppendEntriesRequest {
    let mut data = Vec::with_capacity(append.entries.iter().map(Entry::data_len).sum());
    let mut entries = Vec::with_capacity(append.entries.len());
    for entry in &append.entries {
        let (meta, own) = entry_meta(entry);
        data.extend_from_slice(&own);
        entries.push(meta);
    }
    wire::AppendEntriesRequest {
        group_id: group.to_owned(),
        server_id: append.from.to_string(),
        peer_id: to.to_string(),
        term: signed(append.term),
        prev_log_term: signed(append.prev.term),
        prev_log_index: signed(append.prev.index),
        entries,
        committed_index: signed(append.committed),
        data: (append.kind != AppendKind::Heartbeat).then(|| data.into()),
    }
}

pub(super) fn vote_message(group: &str, to: &PeerId, vote: &VoteRequest) -> wire::RequestVoteRequest {
    wire::RequestVoteRequest {
        group_id: group.to_owned(),
        server_id: vote.from.to_string(),
        peer_id: to.to_string(),
        term: signed(vote.term),
        last_log_term: signed(vote.last.term),
        last_log_index: signed(vote.last.index),
        pre_vote: vote.pre_vote,
    }
}

pub(super) fn meta_message(meta: &SnapshotMeta) -> wire::SnapshotMeta {
    wire::SnapshotMeta {
        last_included_index: signed(meta.last_included_index),
        last_included_term: signed(meta.last_included_term),
        peers: texts(&meta.configuration.peers),
        old_peers: texts(&meta.configuration.old_peers),
        learners: texts(&meta.configuration.learners),
        old_learners: texts(&meta.configuration.old_learners),
    }
}

/// The answer to a vote, as read from a peer.
pub(super) fn vote_answer(answer: wire::RequestVoteResponse) -> Response {
    match (failure(answer.error_response), u64::try_from(answer.term)) {
        (Some(error), _) => Response::Error(error),
        (None, Ok(term)) => Response::Vote { term, granted: answer.granted },
        (None, Err(_)) => Response::Error(invalid("a negative term")),
    }
}

/// The answer to an append, as read from a peer.
pub(super) fn append_answer(answer: wire::AppendEntriesResponse) -> Response {
    let last_log_index = answer.last_log_index.and_then(|index| u64::try_from(index).ok());
    match (failure(answer.error_response), u64::try_from(answer.term)) {
        (Some(error), _) => Response::Error(error),
        (None, Ok(term)) => Response::Append { term, success: answer.success, last_log_index },
        (None, Err(_)) => Response::Error(invalid("a negative term")),
    }
}

/// Term and success of an answer that has only these.
pub(super) fn success_answer(answer: wire::SuccessResponse) -> Result<(u64, bool), RaftError> {
    match failure(answer.error_response) {
        Some(error) => Err(error),
        None => Ok((number(answer.term, "term")?, answer.success)),
    }
}

/// The answer to a read, as read from a peer.
pub(super) fn read_index_answer(answer: wire::ReadIndexResponse) -> Response {
    match (failure(answer.error_response), u64::try_from(answer.index)) {
        (Some(error), _) => Response::Error(error),
        (None, Ok(index)) if answer.success => Response::ReadIndex { index },
        (None, _) => Response::Error(RaftError::new(-1, "the leader could not confirm that it leads")),
    }
}
