//! What the core's surroundings must provide: a durable log, snapshots, a state machine.
//!
//! All of it blocks; the driver gives each its own thread.

use bytes::Bytes;
use thiserror::Error;

use super::types::{Entry, HardState, Index, SnapshotMeta, Term};

/// What a store could not do.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The medium refused; it may be willing later.
    #[error("the raft store failed: {0}")]
    Io(String),
    /// What is there is not what was written, in a way that cannot be repaired without losing acknowledged entries.
    #[error("the raft store is damaged: {0}")]
    Damaged(String),
}

/// One change of what is stored. Changes are applied in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Replaces term and vote.
    HardState(HardState),
    /// Adds entries after the last one; their indices are consecutive and start at last + 1.
    Append(Vec<Entry>),
    /// Drops the entry at this index and all after it.
    TruncateSuffix(Index),
    /// Drops all entries before this index. They are in a snapshot.
    TruncatePrefix(Index),
    /// A complete snapshot is in place up to here. Entries stay as they are.
    Snapshot(SnapshotMeta),
    /// A snapshot received from the leader replaces the log: all entries go, the next index is
    /// `last_included_index + 1`.
    Reset(SnapshotMeta),
}

/// What is stored, as found at start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// Term and vote.
    pub hard_state: HardState,
    /// The newest snapshot; index 0 when there is none.
    pub snapshot: SnapshotMeta,
    /// The first entry that is kept; `last_index + 1` when there is none.
    pub first_index: Index,
    /// The last entry; `first_index - 1` when there is none.
    pub last_index: Index,
}

/// Term, vote and log of one group, on a durable medium. The driver's writing thread writes while its core thread reads
/// entries that were written before, so an implementation must allow both at once.
pub trait Store: Send + Sync + 'static {
    /// What is there. Called once, before anything else; repairs or refuses a damaged tail.
    ///
    /// # Errors
    /// When it cannot be read, or not be trusted.
    fn load(&self) -> Result<Stored, StoreError>;

    /// Makes the changes durable, all or none, before it returns (one fsync for the batch).
    ///
    /// # Errors
    /// When it could not; nothing of them may be counted on then. After [`StoreError::Io`] they can be written again,
    /// what was written before them is there, and nothing else is written first.
    fn write(&self, changes: &[Change]) -> Result<(), StoreError>;

    /// The entries from `from` up to and including `to`, in order, fewer when they exceed `max_bytes` of data: at least
    /// one, when there is one.
    ///
    /// # Errors
    /// When one of them is missing or cannot be read.
    fn entries(&self, from: Index, to: Index, max_bytes: usize) -> Result<Vec<Entry>, StoreError>;

    /// The term of an entry that is in the log; the snapshot's last term at the snapshot's last index; else `None`.
    ///
    /// # Errors
    /// When it cannot be read.
    fn term_at(&self, index: Index) -> Result<Option<Term>, StoreError>;
}

/// A piece of a snapshot's file (compat/spec/jraft.md §5, GetFile).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The bytes.
    pub data: Bytes,
    /// Whether they reach the end of the file.
    pub eof: bool,
}

/// A snapshot that is being received. Dropped without [`Incoming::finish`] it leaves nothing behind.
pub trait Incoming: Send {
    /// Adds to a file, which is written from its start to its end.
    ///
    /// # Errors
    /// When the medium refuses, or the name is none a snapshot may have (it comes from the network: no path).
    fn write(&mut self, file: &str, data: &[u8]) -> Result<(), StoreError>;

    /// Checks the checksums, makes it durable and the latest one. `meta_file` is what the leader's
    /// `__raft_snapshot_meta` holds: a bare `LocalSnapshotPbMeta`.
    ///
    /// # Errors
    /// When it is not complete or not intact; the former snapshot stays the latest one.
    fn finish(self: Box<Self>, meta_file: &[u8]) -> Result<SnapshotMeta, StoreError>;
}

/// The snapshot files of one group.
pub trait Snapshots: Send + Sync + 'static {
    /// The latest complete one.
    ///
    /// # Errors
    /// When it cannot be read.
    fn latest(&self) -> Result<Option<SnapshotMeta>, StoreError>;

    /// Up to `count` bytes of a file of the snapshot at `index`, from `offset` on. `__raft_snapshot_meta` is answered
    /// as a bare `LocalSnapshotPbMeta`. `None` when there is no such file, or the snapshot is gone.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, index: Index, file: &str, offset: u64, count: usize) -> Result<Option<Chunk>, StoreError>;

    /// Starts receiving one.
    ///
    /// # Errors
    /// When the medium refuses.
    fn receive(&self) -> Result<Box<dyn Incoming>, StoreError>;
}

/// What the state machine could not take. Like official members, this one then leaves the group instead of guessing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the state machine stopped at index {index}: {reason}")]
pub struct ApplyError {
    /// The entry.
    pub index: Index,
    /// In words.
    pub reason: String,
}

/// What applying a command came to; becomes Nacos' `Response` (compat/spec/jraft.md §4).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Whether the command did what it says. A command that was refused is committed all the same.
    pub success: bool,
    /// Why not.
    pub err_msg: String,
    /// What it answers.
    pub data: Bytes,
}

/// The replicated state. One thread calls it, in order of the log, each entry once after each load.
pub trait StateMachine: Send + 'static {
    /// Applies the command of a committed entry.
    ///
    /// # Errors
    /// When the command is none it can know: the member stops.
    fn apply(&mut self, index: Index, data: &Bytes) -> Result<Applied, ApplyError>;

    /// Writes the present state as a snapshot, durable, the latest one of [`Snapshots`] from then on. The former one is
    /// kept too: a follower may be reading it.
    ///
    /// # Errors
    /// When it could not; the former snapshot stays the latest one.
    fn save(&mut self, meta: &SnapshotMeta) -> Result<(), StoreError>;

    /// Replaces the whole state by the latest snapshot; with none, by the empty state.
    ///
    /// # Errors
    /// When it cannot be read or is damaged; the member stops.
    fn load(&mut self) -> Result<Option<SnapshotMeta>, StoreError>;
}
