//! What a node says about itself.
//!
//! # Layout
//! - [`logs`]: structured log on standard output

pub mod logs;
