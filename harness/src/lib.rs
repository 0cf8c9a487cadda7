//! The harness: starts real Nacos and Tandem (or anything that claims to be Nacos), drives the same load and API
//! calls at each, and says in numbers how they differ. It judges by what comes over the wire and never imports the
//! server.
//!
//! # Layout
//! - [`agreement`]: what every node holds, read and compared
//! - [`cli`]: every subcommand and flag
//! - [`target`]: what can be measured, and how it is started and given back
//! - [`guard`]: gives everything back when the harness itself is killed
//! - [`doctor`]: what this machine has, and where the real server comes from
//! - [`client`]: a Nacos 1.x client written from the wire up
//! - [`conformance`]: cases as data, run live against every target
//! - [`experiment`]: sync latency, bursts, load, start-up, memory
//! - [`profile`]: how much of each experiment, as data
//! - [`compare`]: every experiment at every target, alternating
//! - [`host`]: the machine and how busy it was
//! - [`nemesis`]: everything that can be done to a running cluster, and the proof that it was
//! - [`network`]: a network between the nodes that the harness owns and can break
//! - [`recorder`]: what the members of a cluster say to each other, recorded
//! - [`results`]: the record of a run
//! - [`stats`]: distributions, and ratios with an interval
//! - [`spelling`]: the nearest right spelling of a wrong word
//! - [`expect`]: what a run must show, as data, for use as a gate
//! - [`report`]: `results.json` → Markdown, HTML, JUnit; comparison with a baseline

pub mod agreement;
pub mod cli;
pub mod client;
pub mod compare;
pub mod conformance;
pub mod doctor;
pub mod expect;
pub mod experiment;
pub mod guard;
pub mod host;
pub mod nemesis;
pub mod network;
pub mod profile;
pub mod recorder;
pub mod report;
pub mod results;
pub mod spelling;
pub mod stats;
pub mod target;
