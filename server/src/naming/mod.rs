//! Services and their instances: the state that is served, replicated and pushed. Knows no peer and no HTTP.
//!
//! # Layout
//! - [`instance`]: one instance and its identity
//! - [`service`]: one service, its clusters and both instance lists
//! - [`registry`]: all services; every change goes through it
//! - [`changes`]: who wants to know, told at once, without a queue that can grow
//! - [`push`]: consumers told by UDP
//! - [`expiry`]: instances whose beats stop

pub mod changes;
pub mod expiry;
pub mod instance;
pub mod push;
pub mod registry;
pub mod service;
