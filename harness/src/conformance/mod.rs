//! Conformance: cases as data, run live against every target and compared with the reference beside it.
//!
//! - [`case`]: the case files (`compat/cases`, format in its README)
//! - [`group`]: the endpoint and the group of parameters a case is about
//! - [`recording`]: what the real server answered when it was recorded (`compat/recordings`)
//! - [`answer`]: one answer, reduced to what is compared
//! - [`normal`]: names of addresses and values that must differ, put in their place
//! - [`compare`]: the first difference between two answers
//! - [`place`]: the asked server's addresses, and the ports that health checks find open or closed
//! - [`play`]: the sequence of cases at one target
//! - [`runner`]: reference and subjects side by side
//! - `verdict`: what a case must be answered with, and what is said about the answer
//! - [`session`]: from targets to verdicts, servers started and given back
//! - [`record`]: new recordings
//! - [`clients`]: what programs on the official SDKs see
//! - [`random`]: generated sequences at a reference and a subject, differences shrunk to cases
//! - [`cluster`]: what members of a mixed cluster send each other
//! - [`difference`]: differences that are known (`compat/DIFFERENCES.md`)
//! - [`kept`]: what must be answered where one is kept on purpose

pub mod answer;
pub mod case;
pub mod clients;
pub mod cluster;
pub mod compare;
#[cfg(test)]
mod data_tests;
pub mod difference;
pub mod group;
pub mod kept;
pub mod normal;
pub mod place;
pub mod play;
pub mod random;
pub mod record;
pub mod recording;
pub mod runner;
#[cfg(test)]
mod runner_tests;
pub mod session;
mod verdict;
