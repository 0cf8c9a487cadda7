//! The harness: starts real Nacos and Tandem (or anything that claims to be Nacos), drives the same load and API
//! calls at each, and says in numbers how they differ. It judges by what comes over the wire and never imports the
//! server.
//!
//! # Layout
//! - [`cli`]: the subcommands and their flags
//! - [`target`]: what can be measured, and how it is started and given back
//! - [`client`]: a Nacos 1.x client written from the wire up
//! - [`conformance`]: cases as data, run live against every target
//! - [`experiment`]: sync latency, bursts, load, start-up, memory
//! - [`results`]: the record of a run
//! - [`report`]: `results.json` → Markdown, HTML, JUnit; ratios; comparison with a baseline

pub mod cli;
pub mod client;
pub mod conformance;
pub mod experiment;
pub mod report;
pub mod results;
pub mod target;
