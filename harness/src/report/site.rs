//! A folder of reports to publish: pages that open from disk, need no network and no server.
//!
//! # Layout of the folder
//! - `index.html`, `compatibility.html`, `method.html`
//! - `runs/ID/index.html` with `results.json` beside it
//! - `badges/NAME.svg`, `badges/NAME.json`
//!
//! The site is a function of `runs/*/results.json`: publishing a run puts its results there and makes every page
//! anew, so a further run is added, the same run replaced, and the same runs give the same bytes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::html::site as pages;
use super::{badge, store};
use crate::results::Results;

/// Folder of the published runs.
const RUNS: &str = "runs";
/// Folder of the badges.
const BADGES: &str = "badges";
/// Most runs of one site: all are read at once.
const RUNS_MAX: usize = 500;

/// A site that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Its first page.
    pub index: PathBuf,
    /// Runs it holds now.
    pub runs: usize,
}

/// Adds `runs` to the site in `dir` and makes every page anew. Paths of this machine do not go with them.
///
/// # Errors
/// When `dir` holds other things than a site, when a run's id cannot name a folder, when a published run cannot be
/// read, or when a file cannot be written.
pub fn publish(runs: &[Results], dir: &Path) -> anyhow::Result<Published> {
    // Everything is checked before anything is written.
    for results in runs {
        check_id(&results.run.id)?;
    }
    check_dir(dir)?;
    for results in runs {
        store::write_results(&portable(results), &dir.join(RUNS).join(&results.run.id))?;
    }
    let all = read(dir)?;
    for results in &all {
        write(dir, &format!("{RUNS}/{}/index.html", results.run.id), &pages::run_page(results)?)?;
    }
    let badges = badge::badges(&all);
    let mut kept = BTreeSet::new();
    for badge in &badges {
        for (ending, text) in [("svg", badge.svg() + "\n"), ("json", badge.json()?)] {
            let name = format!("{}.{ending}", badge.name);
            write(dir, &format!("{BADGES}/{name}"), &text)?;
            kept.insert(name);
        }
    }
    remove_others(&dir.join(BADGES), &kept)?;
    write(dir, pages::VERSIONS, &pages::versions(&all)?)?;
    write(dir, pages::METHOD, &pages::method(&all)?)?;
    // Last, so that it never leads to what is not there yet.
    write(dir, pages::OVERVIEW, &pages::overview(&all, &badges)?)?;
    Ok(Published { index: dir.join(pages::OVERVIEW), runs: all.len() })
}

/// The published runs, newest first.
fn read(dir: &Path) -> anyhow::Result<Vec<Results>> {
    let mut all = Vec::new();
    for folder in entries(&dir.join(RUNS))? {
        if !folder.join(store::RESULTS_FILE).is_file() {
            continue;
        }
        if all.len() == RUNS_MAX {
            bail!("{} holds more than {RUNS_MAX} runs; start another site", dir.display());
        }
        let results = store::load(&folder)?;
        check_id(&results.run.id)?;
        if folder.file_name().is_none_or(|it| it.to_string_lossy() != results.run.id) {
            bail!("{} holds the run {}; a run lies in the folder of its name", folder.display(), results.run.id);
        }
        all.push(results);
    }
    all.sort_by(|a, b| (&b.run.started_at, &b.run.id).cmp(&(&a.run.started_at, &a.run.id)));
    Ok(all)
}

/// An id becomes the name of a folder and part of a link; it must be able to.
fn check_id(id: &str) -> anyhow::Result<()> {
    let usable = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if id.is_empty() || id.len() > 100 || id.starts_with('.') || !id.bytes().all(usable) {
        bail!("the run id {id:?} cannot name a folder; letters, digits, `-`, `_` and `.` can");
    }
    Ok(())
}

/// Files are overwritten and badges removed; that must not happen to something else.
fn check_dir(dir: &Path) -> anyhow::Result<()> {
    let is_site = dir.join(RUNS).is_dir();
    if dir.exists() && !is_site && !entries(dir)?.is_empty() {
        bail!("{} holds other things; name an empty folder or a published site", dir.display());
    }
    Ok(())
}

/// What a folder holds, in a fixed order; nothing when there is no such folder.
fn entries(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let list = || -> std::io::Result<Vec<PathBuf>> {
        let mut paths = std::fs::read_dir(dir)?.map(|it| Ok(it?.path())).collect::<std::io::Result<Vec<_>>>()?;
        paths.sort();
        Ok(paths)
    };
    list().with_context(|| format!("cannot read the folder {}", dir.display()))
}

fn write(dir: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let path = dir.join(name);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    }
    store::write_atomically(&path, text.as_bytes())
}

/// A badge that no run stands behind any more must not be shown by those who link to it.
fn remove_others(dir: &Path, kept: &BTreeSet<String>) -> anyhow::Result<()> {
    for path in entries(dir)? {
        let ours = path.extension().is_some_and(|it| it == "svg" || it == "json");
        if ours && path.file_name().is_none_or(|it| !kept.contains(it.to_string_lossy().as_ref())) {
            std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// The results as they are shown to others: absolute paths in the command and the artifacts lose their folders.
fn portable(results: &Results) -> Results {
    let mut results = results.clone();
    let words: Vec<String> = results.run.command.split(' ').map(last_part).collect();
    results.run.command = words.join(" ");
    for node in results.targets.iter_mut().flat_map(|it| &mut it.nodes) {
        node.artifact = last_part(&node.artifact);
    }
    results
}

/// `tandem-server` from `/somewhere/tandem-server`, `--out=run` from `--out=/somewhere/run`; other text as it is.
fn last_part(word: &str) -> String {
    let (flag, path) = match word.split_once('=') {
        Some((flag, path)) if path.starts_with('/') => (format!("{flag}="), path),
        _ => (String::new(), word),
    };
    if !path.starts_with('/') {
        return word.to_owned();
    }
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or(path);
    format!("{flag}{last}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lose_their_folders_and_nothing_else() {
        assert_eq!(last_part("/a/b/tandem"), "tandem");
        assert_eq!(last_part("--out=/a/b/"), "--out=b");
        for word in ["url:http://h:1/nacos", "compat/expectations.toml", "3xtandem", "--flag=x/y"] {
            assert_eq!(last_part(word), word);
        }
    }

    #[test]
    fn an_id_that_leads_elsewhere_is_refused() {
        for id in ["", "../x", "a/b", ".hidden", "a b", "<x>"] {
            assert!(check_id(id).is_err(), "{id}");
        }
        check_id("2026-01-02T03-04-05Z-quick").unwrap();
    }
}
