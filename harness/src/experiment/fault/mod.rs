//! Fault scenarios: the same timeline of faults under the same load at every target, recorded first and judged later.
//!
//! - [`history`]: what happened, as JSON lines; everything else is worked out from it
//! - [`scenario`]: what is to be done under which load, and what must hold, as data
//! - [`run()`]: a scenario at a cluster; `timeline`: its steps; `inject`: how a fault begins and ends
//! - `choose`, `leader`: which nodes are meant
//! - [`judge`]: what a history says, one checker per property; [`Judged`]: what a target is held to

mod choose;
pub mod history;
mod inject;
pub mod judge;
mod judged;
mod leader;
mod run;
pub mod scenario;
mod timeline;

pub use judged::Judged;
pub use run::{Context, run, shape_of};
