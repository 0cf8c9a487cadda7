//! What a member is told, and what it wants done. Nothing here knows the wire (compat/spec/jraft.md §4, §5).

use bytes::Bytes;

use super::options::Timing;
use super::store::Change;
use super::types::{Configuration, Entry, Index, PeerId, SnapshotMeta, Term};

/// Marks a call, ours or a peer's, so that its answer finds back. Never used twice in a process.
pub type CallId = u64;

/// Marks a batch of changes given out to be made durable; they count up from 1.
pub type Ticket = u64;

/// Marks what a local caller asked for.
pub type Token = u64;

/// Where a log ends: compared by term first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogId {
    /// Of the entry.
    pub term: Term,
    /// Of the entry.
    pub index: Index,
}

/// A vote or pre-vote wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoteRequest {
    /// The candidate.
    pub from: PeerId,
    /// The term it wants to lead; for a pre-vote, the one after its own.
    pub term: Term,
    /// Where its log ends.
    pub last: LogId,
    /// Only asks whether a vote would be granted.
    pub pre_vote: bool,
}

/// The three forms of AppendEntries (compat/spec/jraft.md §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendKind {
    /// Says that the leader lives; no `data` field on the wire.
    Heartbeat,
    /// Asks whether the logs agree; `data` is there and empty.
    Probe,
    /// Carries entries.
    Entries,
}

/// Entries, or a sign of life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendRequest {
    /// The leader.
    pub from: PeerId,
    /// Its term.
    pub term: Term,
    /// The entry before the first one carried.
    pub prev: LogId,
    /// Consecutive, from `prev.index + 1` on.
    pub entries: Vec<Entry>,
    /// Up to where the leader committed.
    pub committed: Index,
    /// Which of the forms.
    pub kind: AppendKind,
}

/// A call from one peer to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Votes.
    Vote(VoteRequest),
    /// Log and heartbeats.
    Append(AppendRequest),
    /// The entries wanted are gone; there is a snapshot.
    InstallSnapshot {
        /// The leader.
        from: PeerId,
        /// Its term.
        term: Term,
        /// What the snapshot stands for.
        meta: SnapshotMeta,
        /// Where its files are read, `remote://ip:port/reader`. The driver of the sender fills it in.
        uri: String,
    },
    /// The leader wants this peer to stand for election at once.
    TimeoutNow {
        /// The leader.
        from: PeerId,
        /// Its term.
        term: Term,
    },
    /// Up to where must be applied for a linearizable read.
    ReadIndex {
        /// Who reads.
        from: PeerId,
    },
}

/// The answer to a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// To a vote or pre-vote.
    Vote {
        /// The answering peer's term.
        term: Term,
        /// Whether it was granted.
        granted: bool,
    },
    /// To an append.
    Append {
        /// The answering peer's term.
        term: Term,
        /// Whether the logs agree and the entries are durable.
        success: bool,
        /// Where the answering peer's log ends, if it says.
        last_log_index: Option<Index>,
    },
    /// To a snapshot.
    InstallSnapshot {
        /// The answering peer's term.
        term: Term,
        /// Whether it has it now.
        success: bool,
    },
    /// To a request to stand for election.
    TimeoutNow {
        /// The term the answering peer goes on with.
        term: Term,
        /// Whether it stands.
        success: bool,
    },
    /// To a read.
    ReadIndex {
        /// What must be applied.
        index: Index,
    },
    /// An error of the protocol (compat/spec/jraft.md §4, error answers).
    Error(RaftError),
}

/// An error of the protocol, as official peers number them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaftError {
    /// See the constants.
    pub code: i32,
    /// In words.
    pub message: String,
}

impl RaftError {
    /// Not now; later may be fine.
    pub const EAGAIN: i32 = 1002;
    /// Not by this peer, or not asked by that one.
    pub const EPERM: i32 = 1008;
    /// Something else is under way.
    pub const EBUSY: i32 = 1009;
    /// No such peer, group or file.
    pub const ENOENT: i32 = 1012;
    /// The medium failed.
    pub const EIO: i32 = 1014;
    /// What was asked makes no sense.
    pub const EINVAL: i32 = 1015;
    /// Time ran out.
    pub const ERAFTTIMEDOUT: i32 = 10001;
    /// The state machine stopped.
    pub const ESTATEMACHINE: i32 = 10002;
    /// A new peer did not get the log in time.
    pub const ECATCHUP: i32 = 10003;
    /// The member stops.
    pub const ESHUTDOWN: i32 = 10006;

    /// An error in these words.
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        RaftError { code, message: message.into() }
    }
}

impl std::fmt::Display for RaftError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

/// No answer: the peer cannot be reached, or time ran out. What was asked may have been done all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoAnswer;

/// How the voters are to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MembershipChange {
    /// One more.
    Add(PeerId),
    /// One less.
    Remove(PeerId),
    /// Exactly these.
    To(Vec<PeerId>),
}

/// What happens to a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Time passed.
    Tick,
    /// A peer asks; [`Output::Reply`] answers.
    Request(CallId, Request),
    /// A peer answered a call of ours, or did not.
    Answer(CallId, Result<Response, NoAnswer>),
    /// Commands to be put into the log; each is answered by [`Output::Proposed`].
    Propose(Vec<(Token, Bytes)>),
    /// A linearizable read; answered by [`Output::Read`].
    Read(Token),
    /// Another peer shall lead: that one, or the one that fits best; answered by [`Output::Done`] once it is under way.
    Transfer(Token, Option<PeerId>),
    /// Other voters; answered by [`Output::Done`] once it is committed.
    ChangePeers(Token, MembershipChange),
    /// All changes up to this ticket are durable.
    Persisted(Ticket),
    /// The state machine applied all up to here.
    Applied(Index),
    /// A snapshot of the own state machine is in place.
    SnapshotSaved(SnapshotMeta),
    /// The snapshot asked for by [`Output::InstallSnapshot`] is in place and loaded, or could not be got.
    SnapshotInstalled(Result<SnapshotMeta, RaftError>),
    /// Other timing from now on.
    Timing(Timing),
}

/// What became of a proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proposed {
    /// It is in the log; it is committed when an entry of this index and term is applied.
    At(Index, Term),
    /// It is not in the log.
    Refused(RaftError),
}

/// What a member wants done. Outputs are worked off in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Make these durable, after all earlier ones, then say [`Input::Persisted`].
    Persist(Ticket, Vec<Change>),
    /// Answer a peer's call once all changes up to the ticket are durable.
    Reply(CallId, Response, Ticket),
    /// Call a peer, once all changes up to the ticket are durable. Calls to one peer are sent in this order.
    Call {
        /// Comes back in [`Input::Answer`].
        id: CallId,
        /// Whom.
        to: PeerId,
        /// What.
        request: Request,
        /// What must be durable before.
        after: Ticket,
        /// How long to wait for the answer.
        timeout_ms: u64,
    },
    /// Apply these entries; they are committed and durable.
    Apply(Vec<Entry>),
    /// What became of a proposal.
    Proposed(Token, Proposed),
    /// Proposals behind this index are nobody's any more: whether they are committed will not be known here.
    Abandon(Index),
    /// A read may be served once this index is applied; or not.
    Read(Token, Result<Index, RaftError>),
    /// A transfer or membership change was done, or not.
    Done(Token, Result<(), RaftError>),
    /// Fetch and load a snapshot from the leader, then say [`Input::SnapshotInstalled`]. Nothing is applied until then.
    InstallSnapshot {
        /// What it stands for.
        meta: SnapshotMeta,
        /// Where its files are.
        uri: String,
    },
    /// Term, leader, role or configuration changed.
    Status(Status),
    /// The member cannot go on without breaking its promises: stop it.
    Fatal(String),
}

/// What a member takes part as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Role {
    /// Follows, or waits.
    #[default]
    Follower,
    /// Stands for election.
    Candidate,
    /// Leads.
    Leader,
    /// Leads, and hands over.
    Transferring,
}

/// How a member stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Its part.
    pub role: Role,
    /// Its term.
    pub term: Term,
    /// Who leads, as far as it knows.
    pub leader: Option<PeerId>,
    /// The newest configuration it has.
    pub configuration: Configuration,
}
