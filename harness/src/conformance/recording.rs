//! What the real server answered when it was recorded: `compat/recordings/VERSION/*.jsonl`.
//!
//! `naming-api-observed.jsonl` is the first recording, probe by probe (`compat/spec/naming-api.md` §18).
//! `naming-cases.jsonl` holds answers recorded with the sequence of the cases; it goes first, because some answers of
//! the first recording depend on how long it took. `recorded-with.json` says how each file came about.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::answer::{Answer, Origin, kept};
use super::case::Topology;
use super::place::Place;
use crate::client::wire::Framing;

/// Files in the order in which a later one replaces an earlier one's answers.
const FILES: [&str; 2] = ["naming-api-observed.jsonl", CASES_FILE];
/// Answers recorded with the sequence of the cases.
pub const CASES_FILE: &str = "naming-cases.jsonl";
/// How the files of a version were recorded.
pub const WITH_FILE: &str = "recorded-with.json";

/// All recorded answers of one version.
#[derive(Debug, Clone, Default)]
pub struct Recordings {
    /// What reports call it, e.g. `recordings/1.4.1`.
    pub name: String,
    answers: HashMap<(String, Topology), Recorded>,
}

/// One recorded answer.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The answer.
    pub answer: Answer,
    /// Addresses and ports of the server that gave it.
    pub place: Place,
    /// The file it stands in.
    pub file: &'static str,
}

/// How one file of recordings came about.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RecordedWith {
    /// In words.
    pub how: String,
    /// RFC 3339, UTC.
    pub when: String,
    /// What ran: coordinates and hashes.
    pub artifacts: Vec<String>,
    /// Addresses and ports, by topology.
    pub places: BTreeMap<String, Place>,
}

/// One line of a recording. Request fields are written for the reader and not read back.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) id: String,
    pub(super) topology: Topology,
    pub(super) method: String,
    pub(super) path: String,
    #[serde(default)]
    pub(super) params: Vec<(String, String)>,
    #[serde(default, rename = "in", skip_serializing_if = "Option::is_none")]
    pub(super) sent_in: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) raw_query: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) body_sent: Option<String>,
    #[serde(default)]
    pub(super) headers: IndexMap<String, String>,
    pub(super) status: u32,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) reason_phrase: bool,
    pub(super) content_type: Option<String>,
    pub(super) body: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) body_length: Option<usize>,
    #[serde(default)]
    pub(super) response_headers: BTreeMap<String, String>,
}

impl Serialize for Topology {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Line {
    fn into_answer(mut self) -> Answer {
        let connection = self.response_headers.remove("connection");
        let length = self.response_headers.remove("content-length");
        let framing = match self.response_headers.remove("transfer-encoding") {
            Some(_) => Framing::Chunked,
            None if length.is_some() => Framing::Length,
            None => Framing::None,
        };
        Answer {
            status: self.status,
            reason_phrase: self.reason_phrase,
            content_type: self.content_type,
            connection,
            framing,
            headers: self.response_headers.into_iter().map(|(name, line)| (name, vec![line])).collect(),
            body: self.body,
            origin: Origin::Recording { cut: self.body_length.is_some() },
        }
    }

    /// The answer's part of a line.
    pub(super) fn set_answer(&mut self, answer: &Answer) {
        self.status = answer.status;
        self.reason_phrase = answer.reason_phrase;
        self.content_type.clone_from(&answer.content_type);
        let text = kept(&answer.body);
        self.body_length = (text.len() < answer.body.len()).then(|| answer.body.chars().count());
        text.clone_into(&mut self.body);
        let lines = answer.headers.iter().filter_map(|(name, lines)| Some((name.clone(), lines.last()?.clone())));
        self.response_headers = lines.collect();
        if let Some(connection) = &answer.connection {
            self.response_headers.insert("connection".to_owned(), connection.clone());
        }
        match answer.framing {
            Framing::Chunked => self.response_headers.insert("transfer-encoding".to_owned(), "chunked".to_owned()),
            Framing::Length => self.response_headers.insert("content-length".to_owned(), answer.body.len().to_string()),
            Framing::None => None,
        };
    }
}

impl Recordings {
    /// Reads the recordings of one version, e.g. `compat/recordings/1.4.1`.
    ///
    /// # Errors
    /// Names the file and line: missing, not the format, an id twice in one file, a file that
    /// `recorded-with.json` does not describe.
    pub fn load(dir: &Path) -> Result<Self> {
        let version = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let with_path = dir.join(WITH_FILE);
        let text =
            std::fs::read_to_string(&with_path).with_context(|| format!("cannot read {}", with_path.display()))?;
        let with: BTreeMap<String, RecordedWith> =
            serde_json::from_str(&text).with_context(|| format!("{} is not readable", with_path.display()))?;
        let mut all = Self { name: format!("recordings/{version}"), answers: HashMap::new() };
        for file in FILES {
            let path = dir.join(file);
            if !path.exists() {
                continue;
            }
            let described =
                with.get(file).with_context(|| format!("{} does not describe {file}", with_path.display()))?;
            let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            all.read(file, &text, described).with_context(|| format!("in {}", path.display()))?;
        }
        ensure!(!all.answers.is_empty(), "no recordings in {}", dir.display());
        Ok(all)
    }

    fn read(&mut self, file: &'static str, text: &str, with: &RecordedWith) -> Result<()> {
        for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
            let value: serde_json::Value = serde_json::from_str(line).with_context(|| format!("line {number}"))?;
            if value.get("sleep_s").is_some() {
                continue;
            }
            let line: Line = serde_json::from_value(value).with_context(|| format!("line {number}"))?;
            let key = (line.id.clone(), line.topology);
            let place = with
                .places
                .get(line.topology.name())
                .with_context(|| format!("line {number}: no addresses for {}", line.topology.name()))?;
            let recorded = Recorded { answer: line.into_answer(), place: place.clone(), file };
            if let Some(earlier) = self.answers.insert(key, recorded) {
                ensure!(earlier.file != file, "line {number}: an id for the second time");
            }
        }
        Ok(())
    }

    /// The recorded answer of a case.
    pub fn get(&self, id: &str, topology: Topology) -> Option<&Recorded> {
        self.answers.get(&(id.to_owned(), topology))
    }

    /// Every recorded id with its topology.
    pub fn keys(&self) -> impl Iterator<Item = &(String, Topology)> {
        self.answers.keys()
    }
}
