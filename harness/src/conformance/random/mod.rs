//! Stateful differential testing: generated sequences of calls, asked of a reference and of a subject side by side,
//! every answer compared, a difference shrunk to the shortest sequence that still shows it and written as a case.
//!
//! - [`operation`]: one call
//! - `values`, [`generator`]: what calls are made of, and sequences from a seed
//! - [`known`]: differences that are kept on purpose, recognised by rule and counted
//! - [`pair`]: one call at both servers
//! - [`play`]: one sequence at both servers
//! - [`shrink`]: the shortest sequence with the same difference
//! - [`keep`]: a difference as a case file
//! - [`switches`]: health checks off, changed switches put back
//! - [`session`]: a run of many sequences

pub mod generator;
pub mod keep;
pub mod known;
pub mod operation;
pub mod pair;
pub mod play;
pub mod session;
pub mod shrink;
pub mod switches;
mod values;
