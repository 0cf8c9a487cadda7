//! Times and bounds of a member (compat/spec/jraft.md §2).

/// How long things take, ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// A leader not heard of for this long is taken for dead.
    pub election_ms: u64,
    /// Random part of the election timer, on top.
    pub election_spread_ms: u64,
    /// Between two heartbeats.
    pub heartbeat_ms: u64,
    /// A leader that has no majority's answers to calls younger than this steps down.
    pub lease_ms: u64,
    /// Wait for the answer to a heartbeat.
    pub heartbeat_timeout_ms: u64,
    /// Wait for the answer to anything else but a snapshot.
    pub call_timeout_ms: u64,
}

impl Timing {
    /// What official members use and cannot be configured below; for a group that has one of them.
    pub const OFFICIAL: Timing = Timing {
        election_ms: 5_000,
        election_spread_ms: 1_000,
        heartbeat_ms: 500,
        lease_ms: 4_500,
        heartbeat_timeout_ms: 2_500,
        call_timeout_ms: 5_000,
    };

    /// For a group of this program's nodes only: a new leader within 1.5 s of the death of the last. The lease may be
    /// longer than an election takes, as nothing is read on the strength of it: on a machine where everybody comes to
    /// run late, a leader that gives up at the first silence is followed by one that does the same.
    pub const FAST: Timing = Timing {
        election_ms: 500,
        election_spread_ms: 300,
        heartbeat_ms: 100,
        lease_ms: 900,
        heartbeat_timeout_ms: 500,
        call_timeout_ms: 2_000,
    };
}

/// Times and bounds of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Times; can be changed later.
    pub timing: Timing,
    /// Wait for a peer to fetch and load a snapshot, ms.
    pub install_timeout_ms: u64,
    /// Entries in one append.
    pub append_entries_max: usize,
    /// Bytes of data in one append; one entry may go beyond.
    pub append_bytes_max: usize,
    /// Appends on the way to one peer. More than one needs a transport that keeps their order.
    pub appends_in_flight_max: usize,
    /// Proposals that are not committed yet.
    pub proposals_max: usize,
    /// Bytes of one command; with a full append before it, it must fit into a message of 4 MiB.
    pub proposal_bytes_max: usize,
    /// Bytes of entries that are not durable yet.
    pub unwritten_bytes_max: usize,
    /// Entries handed to the state machine and not yet applied.
    pub applying_max: usize,
    /// Bytes of durable entries kept in memory for followers that are nearly there.
    pub cache_bytes_max: usize,
    /// A new peer may vote when it is at most this many entries behind.
    pub catch_up_margin: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            timing: Timing::OFFICIAL,
            install_timeout_ms: 300_000,
            append_entries_max: 1_024,
            append_bytes_max: 512 * 1024,
            appends_in_flight_max: 1,
            proposals_max: 16_384,
            proposal_bytes_max: 3 * 1024 * 1024,
            unwritten_bytes_max: 64 * 1024 * 1024,
            applying_max: 4_096,
            cache_bytes_max: 4 * 1024 * 1024,
            catch_up_margin: 1_000,
        }
    }
}
