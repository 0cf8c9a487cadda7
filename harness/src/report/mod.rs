//! From `results.json` to something a person reads.
//!
//! Everything here is a function of a [`Results`] value: nothing is measured, nothing is looked up elsewhere, and no
//! figure is made up for what the results do not hold. Text from results is foreign text; it is escaped or stripped
//! where it is written, never trusted.
//!
//! # Layout
//! - `store`: `results.json` on disk
//! - [`schema`]: its published JSON Schema
//! - `catalogue`: what each experiment is called and how it is measured
//! - `figures`, `distribution`: measurements arranged for comparison
//! - `score`, `difference`: conformance cases arranged by area and endpoint, and where two answers part
//! - `agreement`: whether the nodes of a target hold the same, in words
//! - `window`: whether health changed when official nodes change it, in words
//! - `clients`: runs of official clients, in words
//! - `verdict`: the sentences at the top
//! - `baseline`: this run against an earlier one
//! - `html`, `plot`, `markdown`, `junit`: the three renderings
//! - `site`, `badge`: many runs as a folder to publish

mod agreement;
mod badge;
mod baseline;
mod catalogue;
pub(crate) mod clients;
mod difference;
mod distribution;
mod figures;
mod format;
mod html;
mod junit;
mod markdown;
mod plot;
mod random;
mod schema;
mod score;
mod site;
mod store;
#[cfg(test)]
pub(crate) mod tests;
mod verdict;
mod window;

use std::path::{Path, PathBuf};

use anyhow::Context;

pub use agreement::agreement_text;
pub use baseline::{CaseChange, Comparison, RatioChange, Unaligned, against};
pub use format::one_line;
pub use random::random_text;
pub use schema::schema;
pub use site::{Published, publish};
pub use store::{RESULTS_FILE, load, write_results};

use crate::results::Results;

/// The files of a rendered report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// `report.html`, one self-contained file.
    pub html: PathBuf,
    /// `report.md`, the condensed report.
    pub markdown: PathBuf,
    /// `junit.xml`, for continuous integration.
    pub junit: PathBuf,
}

/// Writes `report.html`, `report.md` and `junit.xml` into `out`, which is created when missing.
///
/// # Errors
/// When a file cannot be written or a template does not render.
pub fn render(results: &Results, out: &Path) -> anyhow::Result<Rendered> {
    render_with(results, None, out)
}

/// [`render`], with a section that compares the run with a baseline.
///
/// # Errors
/// As [`render`].
pub fn render_with(results: &Results, comparison: Option<&Comparison>, out: &Path) -> anyhow::Result<Rendered> {
    std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let rendered =
        Rendered { html: out.join("report.html"), markdown: out.join("report.md"), junit: out.join("junit.xml") };
    store::write_atomically(&rendered.html, html::html(results, comparison)?.as_bytes())?;
    store::write_atomically(&rendered.markdown, markdown::markdown(results, comparison).as_bytes())?;
    store::write_atomically(&rendered.junit, junit::junit(results).as_bytes())?;
    Ok(rendered)
}
