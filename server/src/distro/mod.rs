//! AP replication of ephemeral instances: Nacos' Distro protocol (compat/spec/distro.md).
//!
//! # Layout
//! - [`datum`]: keys and the JSON of instance lists, both ways
//! - [`checksum`]: what two nodes compare to see whether their lists agree

pub mod checksum;
pub mod datum;
