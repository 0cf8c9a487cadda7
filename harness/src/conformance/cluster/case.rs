//! Case files of `compat/cases/cluster`; their format is described in `compat/cases/README.md`.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use indexmap::IndexMap;
use serde::Deserialize;

use super::cast::{CastKind, Role};
use crate::conformance::case::Case;

/// One area between members.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WireFile {
    /// Name in reports.
    pub area: String,
    /// Place among the areas.
    pub order: u32,
    /// Where the behaviour is described, unless the case says.
    pub spec: String,
    /// First version the cases hold for.
    pub since: String,
    /// Which roles are played.
    pub cast: CastKind,
    /// Services by placeholder.
    #[serde(default)]
    pub services: IndexMap<String, ServiceRule>,
    /// The cases, in the order they are asked.
    #[serde(rename = "case")]
    pub cases: Vec<Case>,
}

/// What a service's name is chosen by.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceRule {
    /// Its group, which is part of what is hashed.
    #[serde(default = "default_group")]
    pub group: String,
    /// The member that is responsible for it.
    #[serde(default)]
    pub owner: Role,
}

fn default_group() -> String {
    "DEFAULT_GROUP".to_owned()
}

/// What members must send because of a request.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WireRule {
    /// Who sends it.
    #[serde(default = "asked")]
    pub from: Role,
    /// Who receives it.
    #[serde(default)]
    pub to: Role,
    /// Method; any by default.
    pub method: Option<String>,
    /// Path; that of the case by default.
    pub path: Option<String>,
    /// Text that target or body contain; tells it from what is sent anyway.
    pub contains: Option<String>,
    /// Seconds it may take after the answer; with a count of 0, how long is watched.
    #[serde(default)]
    pub within: f64,
    /// How many there must be.
    #[serde(default = "one")]
    pub count: usize,
    /// Headers that are not compared; needs the case's `reason`.
    #[serde(default)]
    pub except_headers: Vec<String>,
}

fn asked() -> Role {
    Role::Asked
}

fn one() -> usize {
    1
}

/// One answer of the harness as a foreign member.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scripted {
    /// Path of the request, without the query.
    pub path: String,
    /// Status of the answer.
    #[serde(default = "ok")]
    pub status: u16,
    /// Its type.
    #[serde(default = "json")]
    pub content_type: String,
    /// Its body.
    pub body: String,
}

fn ok() -> u16 {
    200
}

fn json() -> String {
    "application/json;charset=UTF-8".to_owned()
}

/// All areas between members, in their order.
///
/// # Errors
/// When a file cannot be read, or a case in it makes no sense.
pub fn load(dir: &Path) -> Result<Vec<WireFile>> {
    let entries = std::fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("cannot list {}", dir.display()))?.path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut file: WireFile =
            toml::from_str(&text).with_context(|| format!("{} is not a case file", path.display()))?;
        for case in &mut file.cases {
            case.area.clone_from(&file.area);
            if case.since.is_empty() {
                case.since.clone_from(&file.since);
            }
            check(case)
                .and_then(|()| check_kept(case, file.cast))
                .with_context(|| format!("{}: case {}", path.display(), case.id))?;
        }
        files.push(file);
    }
    files.sort_by_key(|file| file.order);
    let mut seen = BTreeSet::new();
    for case in files.iter().flat_map(|file| &file.cases) {
        ensure!(seen.insert(&case.id), "{}: case {} is there twice", dir.display(), case.id);
    }
    ensure!(!files.is_empty(), "no case files in {}", dir.display());
    Ok(files)
}

fn check(case: &Case) -> Result<()> {
    case.check_alone()?;
    ensure!(case.cluster.is_none(), "has a `cluster` table, and is asked nowhere else");
    ensure!(case.every.is_none_or(|every| (0.5..=60.0).contains(&every)), "is sent `every` … s?");
    if let Some(wire) = &case.wire {
        ensure!(wire.within.is_finite() && (0.0..=60.0).contains(&wire.within), "watches for {} s", wire.within);
        ensure!(wire.count > 0 || wire.within > 0.0, "expects nothing and does not watch for it (`within`)");
        ensure!(wire.except_headers.is_empty() || case.reason.is_some(), "leaves headers out without a `reason`");
    }
    Ok(())
}

/// A kept difference is judged where the subject has a place, and not in what is only counted.
fn check_kept(case: &Case, cast: CastKind) -> Result<()> {
    for kept in &case.kept {
        let known = cast != CastKind::Traffic && cast.casts([0, 1], 2).iter().any(|(name, _)| *name == kept.at);
        ensure!(known, "keeps a difference at `{}`, where it is not judged", kept.at);
        ensure!(kept.contains.is_empty(), "keeps a difference that only `contains` something");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_s_cases_are_read() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../compat/cases/cluster");
        let files = load(&dir).expect("the cases");
        assert!(files.iter().map(|file| file.cases.len()).sum::<usize>() > 50);
    }

    #[test]
    fn errors_name_file_and_case() {
        let dir = tempfile::tempdir().expect("directory");
        let head = "area = \"x\"\norder = 1\nspec = \"s\"\nsince = \"1.4.1\"\ncast = \"forward\"\n";
        let case = "[[case]]\nid = \"W1\"\nmethod = \"GET\"\npath = \"/p\"\n";
        for tail in ["wire = { count = 0 }\n", "wire = { except_headers = [\"a\"] }\n", "nonsense = 1\n", case] {
            std::fs::write(dir.path().join("an-area.toml"), format!("{head}{case}{tail}")).expect("write");
            let text = format!("{:#}", load(dir.path()).expect_err("must fail"));
            assert!(text.contains("an-area.toml") || text.contains("W1 is there twice"), "{text}");
        }
    }
}
