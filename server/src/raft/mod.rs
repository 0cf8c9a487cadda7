//! Persistent data: the JRaft group `naming_persistent_service` of the official members (compat/spec/jraft.md).
//!
//! A node votes, follows and leads in it, beside official members or among its own kind; a node alone is a group of one.
//!
//! # Layout
//! - [`core`]: the consensus itself, apart from clock, socket and disk
//! - [`driver`]: a member at work: its threads, its calls
//! - [`transport`]: the gRPC port, and the calls to others'
//! - [`rpc`]: messages and calls of JRaft's gRPC
//! - [`datum`]: keys and values of the group, and what must not be let into it
//! - [`persisted`]: the part of a service that the group keeps
//! - [`plan`]: which entries a write needs
//! - [`naming_state`]: the state machine: what the log says, and what naming makes of it
//! - [`snapshot`]: it in files, as official members have it
//! - [`store`]: term, vote and log on disk
//! - [`participation`]: this node in the group
//! - [`voter`]: persistent writes
//! - [`old_raft`]: members that are still in the protocol before JRaft

pub mod core;
pub mod datum;
pub mod driver;
pub mod naming_state;
pub mod old_raft;
pub mod participation;
pub mod persisted;
pub mod plan;
pub mod rpc;
pub mod snapshot;
pub mod store;
pub mod transport;
pub mod voter;
