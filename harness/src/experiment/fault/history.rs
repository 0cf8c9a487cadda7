//! What happened in a fault run, as it happened: one event per operation, look, push, fault and phase. Checkers work on
//! nothing else, so that a recorded run can be judged again (`tandem judge`).
//!
//! The file has one JSON object per line. Times are whole microseconds since the beginning of the run, from a clock that
//! only goes forward. An operation that got no answer, or one that leaves it open whether the server acted, is
//! *indefinite*: checkers must accept either reading.

use serde::{Deserialize, Serialize};

use crate::experiment::restart_recovery::history::spans;

/// Microseconds since the beginning of the run.
pub type Us = u64;

/// One line of the history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The beginning: what was run, and what it is held to.
    Run(Header),
    /// The part of the run that begins now.
    Phase {
        /// When.
        at: Us,
        /// Which.
        phase: Phase,
    },
    /// A fault begins, or happens.
    Fault(Fault),
    /// A fault is over.
    Healed {
        /// When.
        at: Us,
        /// Number of the fault.
        fault: usize,
    },
    /// Evidence that a fault had effect (packets dropped, the process gone, the leader another one), or that it had none.
    Proof {
        /// When it was taken.
        at: Us,
        /// Number of the fault.
        fault: usize,
        /// Whether it had effect.
        bit: bool,
        /// In words, with a count.
        what: String,
    },
    /// One operation of a simulated client of ephemeral data, failover included.
    Op(Op),
    /// One look at one service of one node, straight at what that node serves from.
    Look(Look),
    /// One push that a subscriber received.
    Push(Push),
    /// One operation on persistent data at one node.
    Persistent(Persistent),
    /// One change that a probe made at one node, to see when another shows it.
    Change(Change),
    /// One of its own checksums or totals that a node told at the end, for comparison between nodes.
    Told {
        /// When.
        at: Us,
        /// Position of the node.
        node: usize,
        /// What, e.g. `persistent instances`.
        what: String,
        /// The value as text.
        value: String,
    },
    /// Something that was due and could not be sent, because the generator was too busy.
    Unsent {
        /// When it was due.
        due: Us,
    },
    /// The rest of the timeline was not done.
    GaveUp {
        /// When.
        at: Us,
        /// Why.
        reason: String,
    },
}

/// What was run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Header {
    /// Name of the scenario.
    pub scenario: String,
    /// The target as written on the command line.
    pub target: String,
    /// Kind of each node, in node order: `tandem`, `nacos`, …
    pub nodes: Vec<String>,
    /// Address of each node, in node order.
    pub addresses: Vec<String>,
    /// Seed of the run.
    pub seed: u64,
    /// Names of the services; instance `i` belongs to service `i % services.len()`.
    pub services: Vec<String>,
    /// Names of the checks that the scenario demands.
    pub checks: Vec<String>,
    /// How long after the heal all nodes may take to agree.
    pub agree_within_us: Us,
    /// From the last heartbeat of a client that is gone to its absence on every node, at most.
    pub gone_within_us: Us,
    /// Least share of client operations, all servers tried, that must be answered in every phase from the first fault to
    /// the end, 0 to 1.
    pub answered_min: Option<f64>,
    /// Registers of persistent data (see [`Persistent::register`]).
    pub registers: u32,
}

/// A part of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The population grows; nothing is judged.
    Fill,
    /// Full load, no fault yet.
    Before,
    /// From the first fault to the heal of the last.
    During,
    /// Full load, everything healed.
    After,
    /// Nobody comes or goes any more; heartbeats and looks go on until all agree, within a bound.
    Final,
    /// The end of the history.
    End,
}

/// A fault, as it was injected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// When it was in force.
    pub at: Us,
    /// Its number in the run, from 0.
    pub fault: usize,
    /// Kind, as in scenario files: `kill`, `pause`, `partition`, …
    pub kind: String,
    /// Nodes it is about.
    pub nodes: Vec<usize>,
    /// In words, for the picture and the report.
    pub what: String,
}

/// A kind of operation on ephemeral data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpKind {
    /// `POST /instance`.
    Register,
    /// `PUT /instance/beat`.
    Beat,
    /// `DELETE /instance`.
    Deregister,
    /// `GET /instance/list` as a subscriber.
    Query,
}

/// How an operation ended, all servers tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// A server said yes.
    Acknowledged,
    /// A server said that it does not know the instance (code 20404).
    Unknown,
    /// Every server that was tried said no, or was not reached at all.
    Failed,
}

/// One operation of a simulated client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Op {
    /// What was asked for.
    pub kind: OpKind,
    /// Number of the instance, or of the subscriber for [`OpKind::Query`].
    pub instance: u32,
    /// When it was due.
    pub due: Us,
    /// When the first request left.
    pub sent: Us,
    /// When the last answer was there.
    pub done: Us,
    /// Every server tried, in order, with how long it took and whether it answered as it should.
    pub tries: Vec<Try>,
    /// How it ended.
    pub ended: Ended,
    /// Whether a server may have acted although none said so: a timeout is not a failure.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub indefinite: bool,
    /// Not sent by a client that lives on, but the last thing it did: it is killed after this, without deregistering.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub last: bool,
}

/// One server tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Try {
    /// Position of the node.
    pub node: usize,
    /// How long it took, µs.
    pub took: Us,
    /// HTTP status; absent when there was no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// No answer, because the request never got there (connection refused): the server cannot have acted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unreached: bool,
}

/// One look at one service of one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// Position of the node.
    pub node: usize,
    /// Number of the service.
    pub service: u32,
    /// When it was asked for.
    pub sent: Us,
    /// When the answer was there, or the failure.
    pub done: Us,
    /// Numbers of the instances shown, ascending, counted within the service (`i / services`); absent when there was no
    /// answer.
    #[serde(with = "shown", default, skip_serializing_if = "Option::is_none")]
    pub present: Option<Vec<u32>>,
    /// Those of them that do not count as healthy.
    #[serde(with = "spans", default, skip_serializing_if = "Vec::is_empty")]
    pub unhealthy: Vec<u32>,
}

/// One push to a subscriber.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Push {
    /// When it arrived.
    pub at: Us,
    /// Position of the node it came from, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<usize>,
    /// Number of the subscriber.
    pub subscriber: u32,
    /// Number of the service.
    pub service: u32,
    /// `lastRefTime` of it.
    pub last_ref_time: u64,
    /// Numbers of the instances in it, as in [`Look::present`].
    #[serde(with = "spans")]
    pub present: Vec<u32>,
}

/// One change of a probe, as one other node saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Node at which it was made, which is responsible for it.
    pub from: usize,
    /// Node that was asked for it again and again.
    pub to: usize,
    /// When the request left.
    pub sent: Us,
    /// When the answer was there, or the failure.
    pub done: Us,
    /// Whether the first node said yes.
    pub is_made: bool,
    /// When the other node showed it; absent when it did not in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<Us>,
}

/// One operation on a register of persistent data: a value that is set, removed and read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Persistent {
    /// Which process: it does one operation at a time, and ends with an indefinite one.
    pub process: u32,
    /// Which register. What stands behind it (the metadata of a persistent instance, of a service) is in `on`.
    pub register: u32,
    /// `instance` or `service`.
    pub on: String,
    /// What was asked.
    pub action: Action,
    /// When the request left.
    pub sent: Us,
    /// When the answer was there, or the failure.
    pub done: Us,
    /// Node it was sent to.
    pub node: usize,
    /// HTTP status; absent when there was no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How it ended.
    pub outcome: Outcome,
}

/// What was asked of a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Set it to a value that no other operation of the run sets.
    Set(u64),
    /// Remove it.
    Remove,
    /// Read it.
    Read,
}

/// How an operation on a register ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The server acknowledged it.
    Ok,
    /// The server answered a read: the value, or that there is none.
    Value(Option<u64>),
    /// The server refused it, and did not act.
    Failed,
    /// Nobody knows.
    Indefinite,
}

/// [`spans`] for what may be absent.
mod shown {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::spans;

    pub(super) fn serialize<S: Serializer>(numbers: &Option<Vec<u32>>, serializer: S) -> Result<S::Ok, S::Error> {
        match numbers {
            Some(numbers) => spans::serialize(numbers, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u32>>, D::Error> {
        struct Spans(Vec<u32>);
        impl<'de> Deserialize<'de> for Spans {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                spans::deserialize(deserializer).map(Spans)
            }
        }
        Ok(Option::<Spans>::deserialize(deserializer)?.map(|Spans(numbers)| numbers))
    }
}
