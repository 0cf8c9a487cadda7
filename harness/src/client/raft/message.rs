//! Messages of the raft port, as far as the harness asks: names, numbers and types of `compat/spec/jraft.md` §4.
//! Fields marked `required` are on the wire even when they are empty.

use std::collections::HashMap;

/// A question with its path and the type of its answer.
pub trait Ask: prost::Message + Send + Sync + 'static {
    /// `/` + Java class + `/_call`.
    const PATH: &'static str;
    /// What comes back.
    type Answer: prost::Message + Default + Send + Sync + 'static;
}

/// An error inside an answer.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ErrorResponse {
    /// 0 is no error.
    #[prost(int32, required, tag = "1")]
    pub error_code: i32,
    /// In words.
    #[prost(string, optional, tag = "2")]
    pub error_msg: Option<String>,
}

/// Who leads?
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GetLeaderRequest {
    /// Group id.
    #[prost(string, required, tag = "1")]
    pub group_id: String,
    /// The member asked.
    #[prost(string, optional, tag = "2")]
    pub peer_id: Option<String>,
}

/// Who leads.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GetLeaderResponse {
    /// `ip:raftPort`; empty beside an error.
    #[prost(string, required, tag = "1")]
    pub leader_id: String,
    /// Why there is none.
    #[prost(message, optional, tag = "99")]
    pub error_response: Option<ErrorResponse>,
}

impl Ask for GetLeaderRequest {
    const PATH: &'static str = "/com.alipay.sofa.jraft.rpc.CliRequests$GetLeaderRequest/_call";
    type Answer = GetLeaderResponse;
}

/// Who votes?
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GetPeersRequest {
    /// Group id.
    #[prost(string, required, tag = "1")]
    pub group_id: String,
    /// The member asked.
    #[prost(string, optional, tag = "2")]
    pub leader_id: Option<String>,
    /// Only those the leader heard of lately.
    #[prost(bool, optional, tag = "3")]
    pub only_alive: Option<bool>,
}

/// Who votes.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GetPeersResponse {
    /// `ip:raftPort` of each, in any order.
    #[prost(string, repeated, tag = "1")]
    pub peers: Vec<String>,
    /// Those that only listen.
    #[prost(string, repeated, tag = "2")]
    pub learners: Vec<String>,
    /// Why there is no answer.
    #[prost(message, optional, tag = "99")]
    pub error_response: Option<ErrorResponse>,
}

impl Ask for GetPeersRequest {
    const PATH: &'static str = "/com.alipay.sofa.jraft.rpc.CliRequests$GetPeersRequest/_call";
    type Answer = GetPeersResponse;
}

/// A vote, or the question whether one would be given.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RequestVoteRequest {
    /// Group id.
    #[prost(string, required, tag = "1")]
    pub group_id: String,
    /// The candidate.
    #[prost(string, required, tag = "2")]
    pub server_id: String,
    /// The member asked.
    #[prost(string, required, tag = "3")]
    pub peer_id: String,
    /// Term of the candidate; one above its own in a pre-vote.
    #[prost(int64, required, tag = "4")]
    pub term: i64,
    /// Term of its last entry.
    #[prost(int64, required, tag = "5")]
    pub last_log_term: i64,
    /// Index of its last entry.
    #[prost(int64, required, tag = "6")]
    pub last_log_index: i64,
    /// Only asking.
    #[prost(bool, required, tag = "7")]
    pub pre_vote: bool,
}

/// What the member said.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RequestVoteResponse {
    /// Its term.
    #[prost(int64, required, tag = "1")]
    pub term: i64,
    /// Whether it gives its vote.
    #[prost(bool, required, tag = "2")]
    pub granted: bool,
    /// Why there is no answer.
    #[prost(message, optional, tag = "99")]
    pub error_response: Option<ErrorResponse>,
}

impl Ask for RequestVoteRequest {
    const PATH: &'static str = "/com.alipay.sofa.jraft.rpc.RpcRequests$RequestVoteRequest/_call";
    type Answer = RequestVoteResponse;
}

/// Entries, or none; the harness sends none, so their form is not here.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AppendEntriesRequest {
    /// Group id.
    #[prost(string, required, tag = "1")]
    pub group_id: String,
    /// Who claims to lead.
    #[prost(string, required, tag = "2")]
    pub server_id: String,
    /// The member asked.
    #[prost(string, required, tag = "3")]
    pub peer_id: String,
    /// Term of the sender.
    #[prost(int64, required, tag = "4")]
    pub term: i64,
    /// Term of the entry before.
    #[prost(int64, required, tag = "5")]
    pub prev_log_term: i64,
    /// Index of the entry before.
    #[prost(int64, required, tag = "6")]
    pub prev_log_index: i64,
    /// Up to where entries are committed.
    #[prost(int64, required, tag = "8")]
    pub committed_index: i64,
}

/// What the member said.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AppendEntriesResponse {
    /// Its term.
    #[prost(int64, required, tag = "1")]
    pub term: i64,
    /// Whether it follows.
    #[prost(bool, required, tag = "2")]
    pub success: bool,
    /// Index of its last entry.
    #[prost(int64, optional, tag = "3")]
    pub last_log_index: Option<i64>,
    /// Why there is no answer.
    #[prost(message, optional, tag = "99")]
    pub error_response: Option<ErrorResponse>,
}

impl Ask for AppendEntriesRequest {
    const PATH: &'static str = "/com.alipay.sofa.jraft.rpc.RpcRequests$AppendEntriesRequest/_call";
    type Answer = AppendEntriesResponse;
}

/// Up to where must a reader wait?
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ReadIndexRequest {
    /// Group id.
    #[prost(string, required, tag = "1")]
    pub group_id: String,
    /// Who asks.
    #[prost(string, required, tag = "2")]
    pub server_id: String,
    /// Not used by naming.
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub entries: Vec<Vec<u8>>,
    /// The member asked.
    #[prost(string, optional, tag = "4")]
    pub peer_id: Option<String>,
}

/// Up to here.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ReadIndexResponse {
    /// Index of the last committed entry.
    #[prost(int64, required, tag = "1")]
    pub index: i64,
    /// Whether a majority still follows.
    #[prost(bool, required, tag = "2")]
    pub success: bool,
    /// Why there is no answer.
    #[prost(message, optional, tag = "99")]
    pub error_response: Option<ErrorResponse>,
}

impl Ask for ReadIndexRequest {
    const PATH: &'static str = "/com.alipay.sofa.jraft.rpc.RpcRequests$ReadIndexRequest/_call";
    type Answer = ReadIndexResponse;
}

/// A piece of a snapshot.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GetFileRequest {
    /// Number of the reader, from the uri of a snapshot.
    #[prost(int64, required, tag = "1")]
    pub reader_id: i64,
    /// Name of the file.
    #[prost(string, required, tag = "2")]
    pub filename: String,
    /// Bytes wanted.
    #[prost(int64, required, tag = "3")]
    pub count: i64,
    /// From where.
    #[prost(int64, required, tag = "4")]
    pub offset: i64,
    /// Whether less may come.
    #[prost(bool, optional, tag = "5")]
    pub read_partly: Option<bool>,
}

/// The piece.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GetFileResponse {
    /// Whether it was the last.
    #[prost(bool, required, tag = "1")]
    pub eof: bool,
    /// The bytes.
    #[prost(bytes = "vec", required, tag = "2")]
    pub data: Vec<u8>,
    /// How many.
    #[prost(int64, optional, tag = "3")]
    pub read_size: Option<i64>,
    /// Why there is no answer.
    #[prost(message, optional, tag = "99")]
    pub error_response: Option<ErrorResponse>,
}

impl Ask for GetFileRequest {
    const PATH: &'static str = "/com.alipay.sofa.jraft.rpc.RpcRequests$GetFileRequest/_call";
    type Answer = GetFileResponse;
}

/// Is anybody there?
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PingRequest {
    /// Milliseconds since the epoch.
    #[prost(int64, required, tag = "1")]
    pub send_timestamp: i64,
}

impl Ask for PingRequest {
    const PATH: &'static str = "/com.alipay.sofa.jraft.rpc.RpcRequests$PingRequest/_call";
    type Answer = ErrorResponse;
}

/// A write of Nacos, as a follower sends it to the leader.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct WriteRequest {
    /// Group id.
    #[prost(string, tag = "1")]
    pub group: String,
    /// Unused by naming.
    #[prost(string, tag = "2")]
    pub key: String,
    /// What is written.
    #[prost(bytes = "vec", tag = "3")]
    pub data: Vec<u8>,
    /// Unused by naming.
    #[prost(string, tag = "4")]
    pub r#type: String,
    /// `Write` or `Delete`; any other text stops the state machine of an official member.
    #[prost(string, tag = "5")]
    pub operation: String,
    /// Unused by naming.
    #[prost(map = "string, string", tag = "6")]
    pub extend_info: HashMap<String, String>,
}

/// What a write came to.
#[derive(Clone, PartialEq, Eq, prost::Message)]
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

impl Ask for WriteRequest {
    const PATH: &'static str = "/com.alibaba.nacos.consistency.entity.WriteRequest/_call";
    type Answer = Response;
}

/// A read of Nacos. Sent to an official leader it stops every follower's state machine for good
/// (`compat/spec/jraft.md` §9), so it goes to members of ours alone.
#[derive(Clone, PartialEq, Eq, prost::Message)]
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

impl Ask for ReadRequest {
    const PATH: &'static str = "/com.alibaba.nacos.consistency.entity.ReadRequest/_call";
    type Answer = Response;
}
