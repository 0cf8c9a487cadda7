//! Differences that are kept on purpose: the tables of `compat/DIFFERENCES.md`.
//!
//! A row whose first cell names cases (`A001`, in a cluster `A001@cluster`, several separated by commas) keeps their
//! difference; the last cell is the reason. Such a case still fails, with the tag `kept-difference`: it is never
//! counted as passed.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

/// Tag of a failed case whose difference is kept on purpose.
pub const TAG: &str = "kept-difference";

/// Reasons by the id of the result.
#[derive(Debug, Clone, Default)]
pub struct Differences {
    reasons: BTreeMap<String, String>,
}

impl Differences {
    /// Reads the file; one that does not exist keeps nothing.
    ///
    /// # Errors
    /// When it exists and cannot be read.
    pub fn load(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let mut reasons = BTreeMap::new();
        for line in text.lines().filter(|line| line.trim_start().starts_with('|')) {
            let cells: Vec<_> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
            let (Some(ids), Some(reason)) = (cells.first(), cells.last().filter(|_| cells.len() > 1)) else { continue };
            for id in ids.split(',').map(|id| id.trim().trim_matches('`')).filter(|id| !id.is_empty()) {
                reasons.insert(id.to_owned(), (*reason).to_owned());
            }
        }
        Self { reasons }
    }

    /// Why the difference of a result is kept.
    pub fn reason(&self, result_id: &str) -> Option<&str> {
        self.reasons.get(result_id).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_name_cases_and_reasons() {
        let kept =
            Differences::parse("# x\n| cases | what | why |\n|---|---|---|\n| `P24`, P25@cluster | a | kills |\n");
        assert_eq!(kept.reason("P24"), Some("kills"));
        assert_eq!(kept.reason("P25@cluster"), Some("kills"));
        assert_eq!(kept.reason("P25"), None);
    }
}
