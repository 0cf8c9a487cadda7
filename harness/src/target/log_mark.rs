//! The end of a node's log at some moment, to read later what was written since.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

/// The most of a log that is read.
const LOG_BYTES_MAX: u64 = 64 << 20;

/// Where a log ended.
#[derive(Debug)]
pub(crate) struct LogMark {
    file: PathBuf,
    end: u64,
}

impl LogMark {
    /// The end of this log now; the start of one that is not there yet.
    pub(crate) fn at_end_of(file: PathBuf) -> Self {
        let end = file.metadata().map_or(0, |it| it.len());
        Self { file, end }
    }

    /// What was written since, as far as it is text; `None` when it cannot be read.
    pub(crate) fn written_since(&self) -> Option<String> {
        let mut file = File::open(&self.file).ok()?;
        file.seek(SeekFrom::Start(self.end)).ok()?;
        let mut bytes = Vec::new();
        file.take(LOG_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}
