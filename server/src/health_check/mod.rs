//! Active checks of persistent instances (compat/spec/health-and-push.md §4): connect, GET or query, at the official
//! pace, and the flip of the health flag that follows. Ephemeral instances are never checked.
//!
//! One task owns all of it: a heap of clusters by when they are due, what is remembered of each instance, and the
//! checks under way. Nothing here outlives the instance it is about, and both checks and connections kept open are
//! bounded, so that ten thousand instances cost connects and no more.
//!
//! # Layout
//! - `schedule`: which cluster is looked at when, and by whom
//! - `check_rt`: the interval that follows the response times
//! - `status`: how many answers in a row make a flip
//! - `probe`: one check of any kind, with its bounds
//! - `tcp`, `http`, `mysql`: the three kinds

mod check_rt;
mod http;
mod mysql;
mod probe;
mod schedule;
mod status;
mod tcp;

pub use schedule::HealthCheck;
