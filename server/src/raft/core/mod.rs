//! The consensus of a group as SOFAJRaft does it, apart from any clock, socket and disk (compat/spec/jraft.md §5).
//!
//! # Layout
//! - [`types`]: indices, terms, peers, entries
//! - [`message`]: what a member is told, what it wants done
//! - [`options`]: times and bounds
//! - [`store`]: what the surroundings provide: durable log, snapshots, state machine
//! - [`member`]: one member, a step at a time; its parts: `election`, `follower`, `leader` (with `progress`), `reads`,
//!   `membership`, and `log`, what it remembers of the log
//! - [`recovery`]: log and snapshot after a crash between the two
//! - `simulation`: members in worlds full of trouble, in tests

mod election;
mod follower;
mod leader;
mod log;
pub mod member;
mod membership;
#[cfg(test)]
pub(crate) mod memory;
pub mod message;
pub mod options;
mod progress;
mod reads;
pub mod recovery;
#[cfg(test)]
mod simulation;
pub mod store;
pub mod types;

pub use member::Member;
pub use types::{Configuration, Entry, HardState, Index, Payload, PeerId, SnapshotMeta, Term};
