//! `results.json` on disk: written whole or not at all, read with an error that says what is wrong with which file.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::results::{Results, SCHEMA};

/// Name of the file inside a run's folder.
pub const RESULTS_FILE: &str = "results.json";

/// Largest file that is read, bytes. A full run is a few megabytes; anything near this is not one of ours.
const RESULTS_BYTES_MAX: u64 = 512 << 20;

/// Writes `results.json` into `out`, atomically: a reader sees the old file or the new one.
///
/// # Errors
/// When the file cannot be written, or when a figure is not a number: JSON cannot hold it, and the file could not be
/// read again.
pub fn write_results(results: &Results, out: &Path) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let path = out.join(RESULTS_FILE);
    let mut text = serde_json::to_string_pretty(results).context("cannot encode the results")?;
    text.push('\n');
    parse(&text).with_context(|| format!("{} would not be readable again", path.display()))?;
    write_atomically(&path, text.as_bytes())?;
    Ok(path)
}

/// Reads the results of the run in `dir` (or the file itself, when `dir` is one).
///
/// # Errors
/// Names the file and what was wrong with it: missing, not JSON, another schema, a field missing or of another type.
pub fn load(dir: &Path) -> anyhow::Result<Results> {
    let path = if dir.is_file() { dir.to_path_buf() } else { dir.join(RESULTS_FILE) };
    let size = std::fs::metadata(&path).with_context(|| format!("no results at {}", path.display()))?.len();
    if size > RESULTS_BYTES_MAX {
        bail!("{} has {size} bytes; no run is larger than {RESULTS_BYTES_MAX}", path.display());
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| format!("{} is not usable", path.display()))
}

/// The one field that decides whether the rest can be understood.
#[derive(Deserialize)]
struct Head {
    schema: Option<String>,
}

fn parse(text: &str) -> anyhow::Result<Results> {
    let head: Head = serde_json::from_str(text).context("it is not a JSON object")?;
    match head.schema.as_deref() {
        Some(SCHEMA) => {}
        Some(other) => bail!("its schema is `{other}`; this version reads `{SCHEMA}`"),
        None => bail!("it has no `schema` field; this version reads `{SCHEMA}`"),
    }
    serde_json::from_str(text).with_context(|| format!("it does not follow `{SCHEMA}`"))
}

/// Writes a file beside its final place, then renames it.
pub(super) fn write_atomically(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".report").tempfile_in(dir)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        // A temporary file is private; a report is made to be read by others.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        }
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
