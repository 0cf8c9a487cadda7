//! Differences that are known: the tables of `compat/DIFFERENCES.md`.
//!
//! A table with a column `cases` names them there (`A001`, in a cluster `A001@cluster`, several separated by commas);
//! the row's first cell is the id of the difference. Under a heading that begins with "Kept on purpose" the difference
//! is meant to stay: the case says what must be answered instead ([`super::kept`]) and is judged by that. Under any
//! other it is a known shortcoming: the case fails, with a tag.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

use crate::results::{CaseResult, Outcome};

/// Tag of a failed case whose difference is a known shortcoming.
pub const KNOWN: &str = "known-difference";

/// Whether a case that did not pass is in the row of a known shortcoming; what else did not pass is unexplained.
pub fn is_known(case: &CaseResult) -> bool {
    case.outcome == Outcome::Fail && case.tags.iter().any(|tag| tag == KNOWN)
}

/// The column that names cases.
const CASES: &str = "cases";

/// The differences by the id of the result.
#[derive(Debug, Clone, Default)]
pub struct Differences {
    by_case: BTreeMap<String, Difference>,
    rows: BTreeMap<String, String>,
}

/// A row and a case it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Id of the row.
    pub row: String,
    /// Whether it is meant to stay.
    pub kept: bool,
    /// The id, and what Tandem does.
    pub reason: String,
}

impl Differences {
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
        let mut found = Self::default();
        let (mut kept, mut column) = (false, None);
        for line in text.lines().map(str::trim) {
            if let Some(heading) = line.strip_prefix("## ") {
                kept = heading.starts_with("Kept on purpose");
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
            let reason = format!("{id}: {what}");
            found.rows.insert((*id).to_owned(), reason.clone());
            for case in ids.split(',').filter_map(|case| case.split_whitespace().next()) {
                let difference = Difference { row: (*id).to_owned(), kept, reason: reason.clone() };
                if !matches!(case, "–" | "none") {
                    found.by_case.insert(case.trim_matches('`').to_owned(), difference);
                }
            }
        }
        found
    }

    /// The shortcoming that a result is known for.
    pub fn known(&self, result_id: &str) -> Option<&Difference> {
        self.by_case.get(result_id).filter(|it| !it.kept)
    }

    /// What a row says: its id, and what Tandem does.
    pub fn row<'a>(&'a self, id: &'a str) -> &'a str {
        self.rows.get(id).map_or(id, String::as_str)
    }

    /// Every case that a row names.
    pub fn named(&self) -> impl Iterator<Item = (&str, &Difference)> {
        self.by_case.iter().map(|(id, difference)| (id.as_str(), difference))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::conformance::case::CaseSet;

    #[test]
    fn rows_name_cases_and_headings_say_whether_they_stay() {
        let text = "# x\n## Kept on purpose: safety\n| id | real | Tandem | cases | test |\n|---|---|---|---|---|\n\
                    | D1 | breaks | does not | `P24`, P25@cluster (shown by P23) | t |\n\
                    ## Not there yet\n| id | what | cases |\n|---|---|---|\n| N1 | no checks | Z47 |\n| N2 | x | – |\n";
        let found = Differences::parse(text);
        let named: Vec<_> = found.named().map(|(id, it)| (id, it.row.as_str(), it.kept)).collect();
        assert_eq!(named, [("P24", "D1", true), ("P25@cluster", "D1", true), ("Z47", "N1", false)]);
        assert_eq!(found.known("Z47").map(|it| it.reason.as_str()), Some("N1: no checks"));
        assert_eq!((found.known("P24"), found.row("D1"), found.row("D9")), (None, "D1: does not", "D9"));
    }

    /// A row that names a case and a case that names a row belong together; else one of the two is out of date.
    #[test]
    fn rows_name_the_cases_that_name_them() {
        let compat = Path::new(env!("CARGO_MANIFEST_DIR")).join("../compat");
        let cases = CaseSet::load(&compat.join("cases/naming")).expect("the cases");
        let between = crate::conformance::cluster::case::load(&compat.join("cases/cluster")).expect("the cases");
        let between: Vec<_> = between.into_iter().flat_map(|file| file.cases).collect();
        let all = || cases.cases.iter().chain(&between);
        let found = Differences::load(&compat.join("DIFFERENCES.md")).expect("the differences");
        let rows: BTreeSet<(String, String)> =
            found.named().filter(|(_, it)| it.kept).map(|(id, it)| (id.to_owned(), it.row.clone())).collect();
        let said: BTreeSet<(String, String)> =
            all().flat_map(|case| case.kept_results()).map(|(id, row)| (id, row.to_owned())).collect();
        assert_eq!(rows.difference(&said).collect::<Vec<_>>(), Vec::<&_>::new(), "rows name them, the cases do not");
        assert_eq!(said.difference(&rows).collect::<Vec<_>>(), Vec::<&_>::new(), "cases name rows that do not");
        for (id, _) in found.named() {
            let bare = id.split('@').next().unwrap_or_default();
            assert!(all().any(|case| case.id == bare), "{id} is in DIFFERENCES.md and is no case");
        }
        assert!(rows.len() > 10, "the tables are read");
    }
}
