//! What happened, as it happened: one event per operation, read, fault and phase. Judging works on nothing else, so a
//! recorded run can be judged again.
//!
//! The file has one JSON object per line. Times are whole milliseconds since the beginning of the run.

use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Milliseconds since the beginning of the run.
pub type Ms = u64;

/// The most events that are kept. A run of ten minutes has half a million.
pub const EVENTS_MAX: usize = 5_000_000;

/// One line of the history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The beginning: what was run.
    Run(Header),
    /// The part of the run that begins now.
    Phase {
        /// When.
        at: Ms,
        /// Which.
        phase: Phase,
    },
    /// Something was done to a node.
    Fault {
        /// When it was done (when the kill had ended; when the start was about to be made).
        at: Ms,
        /// Position of the node.
        node: usize,
        /// What.
        what: Fault,
    },
    /// One operation of a simulated client, failover included.
    Op(Op),
    /// One look at one service of one node.
    Read(Read),
    /// A registration that was due and could not be made, because too many clients were busy.
    Unsent {
        /// When it was due.
        due: Ms,
    },
    /// The remaining faults were not injected.
    GaveUp {
        /// When.
        at: Ms,
        /// Why.
        reason: String,
    },
}

/// What was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The target as written on the command line.
    pub target: String,
    /// Kind of each node, in node order.
    pub nodes: Vec<String>,
    /// Services; instance `i` belongs to service `i % services`.
    pub services: u32,
    /// Registrations per second.
    pub rate: u32,
    /// How often a node's whole content is looked at, per second.
    pub sweeps_per_s: u32,
    /// Seed of the run.
    pub seed: u64,
}

/// A part of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The population grows; nothing is judged.
    Fill,
    /// Full load, no fault.
    Steady,
    /// Full load while this node is killed, is away, comes back and settles.
    Restart(usize),
    /// Nobody comes or goes any more; heartbeats go on.
    Final,
    /// The end of the history.
    End,
}

/// What was done to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// SIGKILL.
    Killed,
    /// Its process was started again.
    Started,
}

/// A kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpKind {
    /// `POST /instance`.
    Register,
    /// `PUT /instance/beat`.
    Beat,
    /// `DELETE /instance`.
    Deregister,
}

/// How an operation ended, all servers tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// A server said yes.
    Acknowledged,
    /// A server said that it does not know the instance (code 20404).
    Unknown,
    /// No server said yes.
    Failed,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Op {
    /// What was asked for.
    pub kind: OpKind,
    /// Number of the instance.
    pub instance: u32,
    /// When it was due.
    pub due: Ms,
    /// When the first request left.
    pub sent: Ms,
    /// When the last answer was there.
    pub done: Ms,
    /// Node that answered at last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<usize>,
    /// Servers that were tried.
    pub attempts: u32,
    /// How it ended.
    pub ended: Ended,
    /// Whether a server may have acted although it did not say so: a timeout is not a failure.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub indefinite: bool,
}

/// One look at one service of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// Position of the node.
    pub node: usize,
    /// Number of the service.
    pub service: u32,
    /// When it was asked for.
    pub sent: Ms,
    /// When the answer was there, or the failure.
    pub done: Ms,
    /// What it showed; nothing when there was no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<Shown>,
}

/// What a node showed of a service. Instances are numbered within the service (`i / services`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// All instances, ascending.
    #[serde(with = "spans")]
    pub present: Vec<u32>,
    /// Those of them that do not count as healthy, ascending.
    #[serde(with = "spans", default, skip_serializing_if = "Vec::is_empty")]
    pub unhealthy: Vec<u32>,
}

/// Writes a history as JSON lines.
///
/// # Errors
/// When the file cannot be written.
pub fn write<E: Serialize>(path: &Path, events: &[E]) -> Result<()> {
    let failed = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(failed)?;
    }
    let mut file = BufWriter::new(std::fs::File::create(path).with_context(failed)?);
    for event in events {
        serde_json::to_writer(&mut file, event).with_context(failed)?;
        file.write_all(b"\n").with_context(failed)?;
    }
    file.flush().with_context(failed)
}

/// Reads a history back.
///
/// # Errors
/// When the file cannot be read or a line of it is no event.
pub fn read<E: DeserializeOwned>(path: &Path) -> Result<Vec<E>> {
    let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut events = Vec::new();
    for (number, line) in BufReader::new(file).lines().enumerate().take(EVENTS_MAX) {
        let line = line.with_context(|| format!("cannot read {}", path.display()))?;
        let event = serde_json::from_str(&line)
            .with_context(|| format!("line {} of {} is no event", number + 1, path.display()))?;
        events.push(event);
    }
    Ok(events)
}

/// Ascending numbers as text, `0-4,7`: most services are shown in full, and a run has tens of thousands of reads.
pub(crate) mod spans {
    use std::fmt::Write as _;

    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    /// More numbers than any service of a run has.
    const NUMBERS_MAX: usize = 1_000_000;

    pub(crate) fn serialize<S: Serializer>(numbers: &[u32], serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = String::new();
        let mut rest = numbers;
        while let Some((&first, _)) = rest.split_first() {
            let length = rest.iter().zip(first..).take_while(|(number, expected)| **number == *expected).count();
            let comma = if text.is_empty() { "" } else { "," };
            // Writing to a string cannot fail.
            let _ = match length {
                1 => write!(text, "{comma}{first}"),
                _ => write!(text, "{comma}{first}-{}", first + (length as u32 - 1)),
            };
            rest = rest.get(length..).unwrap_or_default();
        }
        serializer.serialize_str(&text)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u32>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut numbers = Vec::new();
        for span in text.split(',').filter(|it| !it.is_empty()) {
            let (first, last) = span.split_once('-').unwrap_or((span, span));
            let (first, last): (u32, u32) =
                (first.parse().map_err(D::Error::custom)?, last.parse().map_err(D::Error::custom)?);
            if last < first || numbers.len() + (last - first) as usize > NUMBERS_MAX {
                return Err(D::Error::custom(format!("{span:?} is no span")));
            }
            numbers.extend(first..=last);
        }
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_comes_back_as_it_was_written() {
        let shown = Shown { present: vec![0, 1, 2, 3, 7, 9, 10], unhealthy: vec![9] };
        let events = vec![
            Event::Run(Header {
                target: "3xtandem".into(),
                nodes: vec!["tandem".into(); 3],
                services: 20,
                rate: 100,
                sweeps_per_s: 3,
                seed: 1,
            }),
            Event::Phase { at: 5, phase: Phase::Restart(1) },
            Event::Fault { at: 6, node: 1, what: Fault::Killed },
            Event::Op(Op {
                kind: OpKind::Beat,
                instance: 7,
                due: 1,
                sent: 2,
                done: 3,
                node: Some(2),
                attempts: 2,
                ended: Ended::Unknown,
                indefinite: true,
            }),
            Event::Read(Read { node: 0, service: 3, sent: 8, done: 9, shown: Some(shown) }),
            Event::Read(Read { node: 0, service: 3, sent: 8, done: 9, shown: None }),
            Event::Unsent { due: 10 },
        ];
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/history.jsonl");
        write(&path, &events).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().contains(r#""present":"0-3,7,9-10""#));
        assert_eq!(read::<Event>(&path).unwrap(), events);
    }
}
