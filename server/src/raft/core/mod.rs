//! The consensus of a group as SOFAJRaft does it, apart from any clock, socket and disk (compat/spec/jraft.md §5).
//!
//! # Layout
//! - [`types`]: indices, terms, peers, entries
//! - [`store`]: what the surroundings provide: durable log, snapshots, state machine

pub mod store;
pub mod types;

pub use types::{Configuration, Entry, HardState, Index, Payload, PeerId, SnapshotMeta, Term};
