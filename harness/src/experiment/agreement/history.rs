//! The history: every request and its answer, one JSON object per line, so that a verdict can be looked into later.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use parking_lot::Mutex;
use serde::Serialize;

/// One request with its answer.
#[derive(Debug, Serialize)]
pub(super) struct Entry<'a> {
    /// Number of the operation in the plan.
    pub(super) operation: usize,
    /// Sent since the start, ms.
    pub(super) sent_ms: f64,
    /// Answered since the start, ms.
    pub(super) answered_ms: f64,
    /// The node it was sent to.
    pub(super) node: &'a str,
    /// What was asked for.
    pub(super) action: &'static str,
    /// Namespace of the service.
    pub(super) namespace: &'a str,
    /// Grouped name of the service.
    pub(super) service: &'a str,
    /// The instance.
    pub(super) instance: String,
    /// The request line without the version.
    pub(super) request: String,
    /// `ok`, `failed` or `indefinite`.
    pub(super) outcome: &'static str,
    /// Status, absent when no answer came.
    pub(super) status: Option<u32>,
    /// The start of the answer.
    pub(super) answer: &'a str,
}

/// Where the history goes; nowhere when nobody wants it.
#[derive(Debug, Default)]
pub(super) struct History {
    file: Option<Mutex<BufWriter<File>>>,
}

impl History {
    /// A history in a file of its own.
    pub(super) fn create(path: &Path) -> Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { file: Some(Mutex::new(BufWriter::new(file))) })
    }

    /// Appends an entry. A full disk must not end a measurement: what is lost is missing in the file and nowhere else.
    pub(super) fn append(&self, entry: &Entry<'_>) {
        let Some(file) = &self.file else { return };
        if let Ok(line) = serde_json::to_string(entry)
            && let Err(error) = writeln!(file.lock(), "{line}")
        {
            tracing::warn!("the history is incomplete: {error}");
        }
    }

    /// Writes out what is still in memory.
    pub(super) fn flush(&self) {
        if let Some(file) = &self.file
            && let Err(error) = file.lock().flush()
        {
            tracing::warn!("the history is incomplete: {error}");
        }
    }
}
