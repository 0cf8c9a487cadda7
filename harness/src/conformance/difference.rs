//! Differences that are known: the tables of `compat/DIFFERENCES.md`.
//!
//! A table with a column `cases` names them there (`A001`, in a cluster `A001@cluster`, several separated by commas);
//! the row's first cell is the id of the difference. Under a heading that begins with "Kept on purpose" the difference
//! is meant to stay, under any other it is a known shortcoming. Such a case still fails, with a tag that says which of
//! the two: it is never counted as passed.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

/// Tag of a failed case whose difference is kept on purpose.
pub const KEPT: &str = "kept-difference";

/// Tag of a failed case whose difference is a known shortcoming.
pub const KNOWN: &str = "known-difference";

/// The column that names cases.
const CASES: &str = "cases";

/// The differences by the id of the result.
#[derive(Debug, Clone, Default)]
pub struct Differences {
    by_case: BTreeMap<String, Difference>,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// [`KEPT`] or [`KNOWN`].
    pub tag: &'static str,
    /// Its row: the id, and what Tandem does.
    pub reason: String,
}

impl Differences {
    /// No difference.
    pub const fn none() -> Self {
        Self { by_case: BTreeMap::new() }
    }

    /// Reads the file; one that does not exist names nothing.
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
        let mut by_case = BTreeMap::new();
        let (mut tag, mut column) = (KNOWN, None);
        for line in text.lines().map(str::trim) {
            if let Some(heading) = line.strip_prefix("## ") {
                tag = if heading.starts_with("Kept on purpose") { KEPT } else { KNOWN };
            }
            if !line.starts_with('|') {
                column = None;
                continue;
            }
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            if cells.iter().all(|cell| cell.chars().all(|c| c == '-' || c == ':')) {
                continue;
            }
            let Some(at) = column else {
                column = cells.iter().position(|cell| *cell == CASES);
                continue;
            };
            let (Some(ids), Some(id)) = (cells.get(at), cells.first()) else { continue };
            // The cell before the cases says what Tandem does.
            let what = at.checked_sub(1).and_then(|before| cells.get(before)).copied().unwrap_or_default();
            for case in ids.split(',').filter_map(|case| case.split_whitespace().next()) {
                let reason = format!("{id}: {what}");
                by_case.insert(case.trim_matches('`').to_owned(), Difference { tag, reason });
            }
        }
        Self { by_case }
    }

    /// The difference that a result is known for.
    pub fn of(&self, result_id: &str) -> Option<&Difference> {
        self.by_case.get(result_id)
    }

    /// Ids of the results that differ knowingly.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.by_case.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::case::CaseSet;

    #[test]
    fn rows_name_cases_and_headings_say_whether_they_stay() {
        let text = "# x\n## Kept on purpose: safety\n| id | real | Tandem | cases | test |\n|---|---|---|---|---|\n\
                    | D1 | breaks | does not | `P24`, P25@cluster (shown by P23) | t |\n\
                    ## Not there yet\n| id | what | cases |\n|---|---|---|\n| N1 | no checks | Z47 |\n| N2 | x | – |\n";
        let found = Differences::parse(text);
        assert_eq!(found.of("P24"), Some(&Difference { tag: KEPT, reason: "D1: does not".into() }));
        assert_eq!(found.of("P25@cluster").map(|it| it.tag), Some(KEPT));
        assert_eq!(found.of("Z47"), Some(&Difference { tag: KNOWN, reason: "N1: no checks".into() }));
        assert_eq!(found.of("P25"), None);
    }

    #[test]
    fn every_case_the_project_names_exists() {
        let compat = Path::new(env!("CARGO_MANIFEST_DIR")).join("../compat");
        let cases = CaseSet::load(&compat.join("cases/naming")).expect("the cases");
        let between = crate::conformance::cluster::case::load(&compat.join("cases/cluster")).expect("the cases");
        let between: Vec<_> = between.into_iter().flat_map(|file| file.cases).collect();
        let found = Differences::load(&compat.join("DIFFERENCES.md")).expect("the differences");
        for id in found.ids().filter(|id| *id != "–" && *id != "none") {
            let bare = id.split('@').next().unwrap_or_default();
            let known = cases.cases.iter().chain(&between).any(|case| case.id == bare);
            assert!(known, "{id} is in DIFFERENCES.md and is no case");
        }
        assert!(found.ids().count() > 10, "the tables are read");
    }
}
