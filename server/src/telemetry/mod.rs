//! What a node says about itself.
//!
//! # Layout
//! - [`logs`]: structured log on standard output
//! - [`metrics`]: figures for Prometheus
//! - `process`: figures of the process

pub mod logs;
pub mod metrics;
mod process;
