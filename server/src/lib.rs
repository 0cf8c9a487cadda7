//! A node that speaks Nacos 1.4's own protocols and joins official clusters as an ordinary member.
//!
//! # Layout
//! - [`naming`]: services, instances, beats, push; knows no peer and no HTTP
//! - [`cluster`]: members, their states, who is responsible for what
//! - [`distro`]: ephemeral instances replicated between nodes
//! - [`raft`]: persistent data, kept by consensus
//! - [`health_check`]: active checks of persistent instances
//! - [`http`]: the client API and what peers call, one file per official controller
//! - [`peer_http`]: calls to other members, with just the headers official nodes send
//! - [`settings`], [`node`], [`tasks`]: what the operator said, the wiring, and background work
//! - [`telemetry`]: log and metrics
//! - [`health`]: the question a container's health check asks
//! - [`clock`]: the time that travels
//! - [`java`]: the corners of the Java runtime that show on the wire

pub mod accept;
pub mod clock;
pub mod cluster;
pub mod distro;
mod flaw;
pub mod health;
pub mod health_check;
pub mod http;
pub mod java;
pub mod naming;
pub mod node;
pub mod peer_http;
pub mod raft;
pub mod settings;
#[cfg(test)]
mod simulation;
pub mod tasks;
pub mod telemetry;
