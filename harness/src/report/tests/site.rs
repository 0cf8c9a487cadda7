//! Publishing: adds, replaces, repeats itself to the byte, and touches nothing else.

use std::collections::BTreeMap;
use std::path::Path;

use super::fixture::{HOSTILE, sample};
use crate::report::publish;
use crate::results::{Outcome, Results};

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().display().to_string();
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn later() -> Results {
    let mut results = sample();
    results.run.id = "2026-02-02T00-00-00Z-quick".into();
    results.run.started_at = "2026-02-02T00:00:00Z".into();
    results
}

#[test]
fn a_further_run_is_added_and_the_same_run_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let site = dir.path().join("new/site");
    assert_eq!(publish(&[sample()], &site).unwrap().runs, 1);
    let one = files(&site);
    assert_eq!(publish(&[sample()], &site).unwrap().runs, 1);
    assert_eq!(files(&site), one, "the same run made another site");
    assert_eq!(publish(&[later()], &site).unwrap().runs, 2);
    let two = files(&site);
    let index = String::from_utf8(two["index.html"].clone()).unwrap();
    let rows = index.split("id=\"run-rows\"").nth(1).unwrap();
    let place = |id: &str| rows.find(&format!("runs&#x2f;{id}&#x2f;index.html")).unwrap();
    assert!(place(&later().run.id) < place(&sample().run.id), "the newest comes first");

    let mut better = later();
    better.conformance.as_mut().unwrap().cases.iter_mut().for_each(|it| it.outcome = Outcome::Pass);
    assert_eq!(publish(&[better], &site).unwrap().runs, 2);
    let index = String::from_utf8(files(&site)["index.html"].clone()).unwrap();
    assert!(index.contains("<b class=\"\">100 %</b>"), "the replaced run still shows");

    // Whichever order they come in.
    let other = dir.path().join("other");
    publish(&[later(), sample()], &other).unwrap();
    assert_eq!(files(&other), two);
}

#[test]
fn pages_are_self_contained_and_their_links_lead_somewhere() {
    let dir = tempfile::tempdir().unwrap();
    publish(&[sample(), later()], dir.path()).unwrap();
    let files = files(dir.path());
    for (name, bytes) in files.iter().filter(|(name, _)| name.ends_with(".html")) {
        let page = String::from_utf8(bytes.clone()).unwrap().replace("&#x2f;", "/");
        assert!(!page.contains(" src=") || !page.contains("src=\"http"), "{name} fetches something");
        for link in page.split(" href=\"").skip(1).map(|rest| rest.split_once('"').unwrap().0) {
            let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
            if link == "data:," {
                continue;
            }
            let base = Path::new(name).parent().unwrap();
            let target = if path.is_empty() { name.clone() } else { clean(&base.join(path)) };
            let page = files.get(&target).unwrap_or_else(|| panic!("{name} links to {link}"));
            let page = String::from_utf8_lossy(page);
            let known =
                fragment.is_empty() || fragment.starts_with("area=") || page.contains(&format!("id=\"{fragment}\""));
            assert!(known, "{name} links to {link}");
        }
    }
}

/// `a/../b` → `b`.
fn clean(path: &Path) -> String {
    let mut parts: Vec<String> = Vec::new();
    for part in path.components().map(|it| it.as_os_str().to_string_lossy().into_owned()) {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}

#[test]
fn foreign_text_is_inert_on_every_page() {
    let dir = tempfile::tempdir().unwrap();
    let mut results = sample();
    results.run.profile = HOSTILE.into();
    results.run.command = HOSTILE.into();
    results.run.host.cpu = HOSTILE.into();
    results.run.git_commit = HOSTILE.into();
    results.targets[0].target = HOSTILE.into();
    let conformance = results.conformance.as_mut().unwrap();
    conformance.reference = HOSTILE.into();
    conformance.cases.iter_mut().for_each(|it| it.area = HOSTILE.into());
    publish(&[results], dir.path()).unwrap();
    for (name, bytes) in files(dir.path()) {
        if !name.ends_with(".json") {
            let text = String::from_utf8(bytes).unwrap();
            assert!(!text.contains("<img"), "markup of a result came through in {name}");
            assert!(text.chars().all(|c| c == '\n' || c == '\t' || !c.is_control()), "{name}");
        }
    }
}

#[test]
fn nothing_of_this_machine_and_nothing_that_is_not_a_site_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let mut results = sample();
    results.run.command = "/somewhere/private/tandem compare --out /somewhere/private/run".into();
    results.targets[0].nodes[0].artifact = "/somewhere/private/tandem-server".into();
    publish(&[results.clone()], &dir.path().join("site")).unwrap();
    for (name, bytes) in files(dir.path()) {
        assert!(!String::from_utf8_lossy(&bytes).contains("/somewhere"), "{name} holds a path of this machine");
    }
    let other = dir.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("thesis.txt"), "x").unwrap();
    let error = publish(&[results.clone()], &other).unwrap_err().to_string();
    assert!(error.contains("holds other things"), "{error}");
    results.run.id = "../escape".into();
    assert!(publish(&[results], &dir.path().join("site")).is_err());
    assert_eq!(files(&other).len(), 1);
}
