//! Fault scenarios: the same timeline of faults under the same load at every target, recorded first and judged later.
//!
//! - [`history`]: what happened, as JSON lines; everything else is worked out from it
//! - [`judge`]: what a history says, one checker per property

pub mod history;
pub mod judge;
