//! Messages of SOFAJRaft (compat/spec/jraft.md §4). Required fields are on the wire even when empty.

use crate::raft::rpc::ErrorResponse;

/// `EntryType`, nothing.
pub(super) const NO_OP: i32 = 1;
/// `EntryType`, data.
pub(super) const DATA: i32 = 2;
/// `EntryType`, configuration.
pub(super) const CONFIGURATION: i32 = 3;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PingRequest {
    #[prost(int64, required, tag = "1")]
    pub(super) send_timestamp: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct EntryMeta {
    #[prost(int64, required, tag = "1")]
    pub(super) term: i64,
    #[prost(int32, required, tag = "2")]
    pub(super) r#type: i32,
    #[prost(string, repeated, tag = "3")]
    pub(super) peers: Vec<String>,
    #[prost(int64, optional, tag = "4")]
    pub(super) data_len: Option<i64>,
    #[prost(string, repeated, tag = "5")]
    pub(super) old_peers: Vec<String>,
    #[prost(int64, optional, tag = "6")]
    pub(super) checksum: Option<i64>,
    #[prost(string, repeated, tag = "7")]
    pub(super) learners: Vec<String>,
    #[prost(string, repeated, tag = "8")]
    pub(super) old_learners: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SnapshotMeta {
    #[prost(int64, required, tag = "1")]
    pub(super) last_included_index: i64,
    #[prost(int64, required, tag = "2")]
    pub(super) last_included_term: i64,
    #[prost(string, repeated, tag = "3")]
    pub(super) peers: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    pub(super) old_peers: Vec<String>,
    #[prost(string, repeated, tag = "5")]
    pub(super) learners: Vec<String>,
    #[prost(string, repeated, tag = "6")]
    pub(super) old_learners: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RequestVoteRequest {
    #[prost(string, required, tag = "1")]
    pub(super) group_id: String,
    #[prost(string, required, tag = "2")]
    pub(super) server_id: String,
    #[prost(string, required, tag = "3")]
    pub(super) peer_id: String,
    #[prost(int64, required, tag = "4")]
    pub(super) term: i64,
    #[prost(int64, required, tag = "5")]
    pub(super) last_log_term: i64,
    #[prost(int64, required, tag = "6")]
    pub(super) last_log_index: i64,
    #[prost(bool, required, tag = "7")]
    pub(super) pre_vote: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RequestVoteResponse {
    #[prost(int64, required, tag = "1")]
    pub(super) term: i64,
    #[prost(bool, required, tag = "2")]
    pub(super) granted: bool,
    #[prost(message, optional, tag = "99")]
    pub(super) error_response: Option<ErrorResponse>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AppendEntriesRequest {
    #[prost(string, required, tag = "1")]
    pub(super) group_id: String,
    #[prost(string, required, tag = "2")]
    pub(super) server_id: String,
    #[prost(string, required, tag = "3")]
    pub(super) peer_id: String,
    #[prost(int64, required, tag = "4")]
    pub(super) term: i64,
    #[prost(int64, required, tag = "5")]
    pub(super) prev_log_term: i64,
    #[prost(int64, required, tag = "6")]
    pub(super) prev_log_index: i64,
    #[prost(message, repeated, tag = "7")]
    pub(super) entries: Vec<EntryMeta>,
    #[prost(int64, required, tag = "8")]
    pub(super) committed_index: i64,
    /// Absent in a heartbeat, present and empty in a probe.
    #[prost(bytes = "bytes", optional, tag = "9")]
    pub(super) data: Option<bytes::Bytes>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AppendEntriesResponse {
    #[prost(int64, required, tag = "1")]
    pub(super) term: i64,
    #[prost(bool, required, tag = "2")]
    pub(super) success: bool,
    #[prost(int64, optional, tag = "3")]
    pub(super) last_log_index: Option<i64>,
    #[prost(message, optional, tag = "99")]
    pub(super) error_response: Option<ErrorResponse>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct InstallSnapshotRequest {
    #[prost(string, required, tag = "1")]
    pub(super) group_id: String,
    #[prost(string, required, tag = "2")]
    pub(super) server_id: String,
    #[prost(string, required, tag = "3")]
    pub(super) peer_id: String,
    #[prost(int64, required, tag = "4")]
    pub(super) term: i64,
    #[prost(message, required, tag = "5")]
    pub(super) meta: SnapshotMeta,
    #[prost(string, required, tag = "6")]
    pub(super) uri: String,
}

/// Also of InstallSnapshot and TimeoutNow, which have the same fields.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SuccessResponse {
    #[prost(int64, required, tag = "1")]
    pub(super) term: i64,
    #[prost(bool, required, tag = "2")]
    pub(super) success: bool,
    #[prost(message, optional, tag = "99")]
    pub(super) error_response: Option<ErrorResponse>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TimeoutNowRequest {
    #[prost(string, required, tag = "1")]
    pub(super) group_id: String,
    #[prost(string, required, tag = "2")]
    pub(super) server_id: String,
    #[prost(string, required, tag = "3")]
    pub(super) peer_id: String,
    #[prost(int64, required, tag = "4")]
    pub(super) term: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ReadIndexRequest {
    #[prost(string, required, tag = "1")]
    pub(super) group_id: String,
    #[prost(string, required, tag = "2")]
    pub(super) server_id: String,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub(super) entries: Vec<bytes::Bytes>,
    #[prost(string, optional, tag = "4")]
    pub(super) peer_id: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ReadIndexResponse {
    #[prost(int64, required, tag = "1")]
    pub(super) index: i64,
    #[prost(bool, required, tag = "2")]
    pub(super) success: bool,
    #[prost(message, optional, tag = "99")]
    pub(super) error_response: Option<ErrorResponse>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct GetFileRequest {
    #[prost(int64, required, tag = "1")]
    pub(super) reader_id: i64,
    #[prost(string, required, tag = "2")]
    pub(super) filename: String,
    #[prost(int64, required, tag = "3")]
    pub(super) count: i64,
    #[prost(int64, required, tag = "4")]
    pub(super) offset: i64,
    #[prost(bool, optional, tag = "5")]
    pub(super) read_partly: Option<bool>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct GetFileResponse {
    #[prost(bool, required, tag = "1")]
    pub(super) eof: bool,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub(super) data: bytes::Bytes,
    #[prost(int64, optional, tag = "3")]
    pub(super) read_size: Option<i64>,
    #[prost(message, optional, tag = "99")]
    pub(super) error_response: Option<ErrorResponse>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct GetPeersRequest {
    #[prost(string, required, tag = "1")]
    pub(super) group_id: String,
    #[prost(string, optional, tag = "2")]
    pub(super) leader_id: Option<String>,
    #[prost(bool, optional, tag = "3")]
    pub(super) only_alive: Option<bool>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct GetPeersResponse {
    #[prost(string, repeated, tag = "1")]
    pub(super) peers: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(super) learners: Vec<String>,
    #[prost(message, optional, tag = "99")]
    pub(super) error_response: Option<ErrorResponse>,
}

/// Of AddPeer and RemovePeer.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PeerRequest {
    #[prost(string, required, tag = "1")]
    pub(super) group_id: String,
    #[prost(string, required, tag = "2")]
    pub(super) leader_id: String,
    #[prost(string, required, tag = "3")]
    pub(super) peer_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ChangePeersRequest {
    #[prost(string, required, tag = "1")]
    pub(super) group_id: String,
    #[prost(string, required, tag = "2")]
    pub(super) leader_id: String,
    #[prost(string, repeated, tag = "3")]
    pub(super) new_peers: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PeersOpResponse {
    #[prost(string, repeated, tag = "1")]
    pub(super) old_peers: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(super) new_peers: Vec<String>,
    #[prost(message, optional, tag = "99")]
    pub(super) error_response: Option<ErrorResponse>,
}

/// Of Snapshot; ResetPeer starts with the same fields.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SnapshotRequest {
    #[prost(string, required, tag = "1")]
    pub(super) group_id: String,
    #[prost(string, optional, tag = "2")]
    pub(super) peer_id: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TransferLeaderRequest {
    #[prost(string, required, tag = "1")]
    pub(super) group_id: String,
    #[prost(string, required, tag = "2")]
    pub(super) leader_id: String,
    #[prost(string, optional, tag = "3")]
    pub(super) peer_id: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct LearnersRequest {
    #[prost(string, required, tag = "1")]
    pub(super) group_id: String,
    #[prost(string, required, tag = "2")]
    pub(super) leader_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct LearnersOpResponse {
    #[prost(string, repeated, tag = "1")]
    pub(super) old_learners: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(super) new_learners: Vec<String>,
    #[prost(message, optional, tag = "99")]
    pub(super) error_response: Option<ErrorResponse>,
}
