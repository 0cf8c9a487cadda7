//! Persistent data: the JRaft group `naming_persistent_service` of the official members (compat/spec/jraft.md).
//!
//! This node is listed as a member of the group and does not take part in it yet. Until it does, writes are taken to
//! its leader and what it holds is read over HTTP.
//!
//! # Layout
//! - [`core`]: the consensus itself, apart from clock, socket and disk
//! - [`driver`]: a member at work: its threads, its calls
//! - [`transport`]: the gRPC port, and the calls to others'
//! - [`rpc`]: messages and calls of JRaft's gRPC
//! - [`datum`]: keys and values of the group, and what must not be let into it
//! - [`leader`]: who leads
//! - [`official`]: what official members show of the group's data
//! - [`plan`]: which entries a write needs
//! - [`naming_state`]: the state machine: what the log says, and what naming makes of it
//! - [`snapshot`]: it in files, as official members have it
//! - [`store`]: term, vote and log on disk
//! - [`participation`]: this node in the group
//! - [`voter`]: writes of a node that takes part
//! - [`relay`]: writes, until this node takes part
//! - [`mirror`]: reads, until this node takes part

pub mod core;
pub mod datum;
pub mod driver;
pub mod leader;
pub mod mirror;
pub mod naming_state;
pub mod official;
pub mod participation;
pub mod plan;
pub mod relay;
pub mod rpc;
pub mod snapshot;
pub mod store;
pub mod transport;
pub mod voter;
