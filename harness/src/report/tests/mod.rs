//! Reports of a made-up run.

mod baseline;
mod browser;
pub(crate) mod fixture;
mod page;
mod schema;
mod site;
mod store;

use super::Comparison;

/// Set to a folder to look at the reports of the made-up run; a temporary folder otherwise.
const SAMPLE_DIR: &str = "TANDEM_SAMPLE_REPORT";

#[test]
fn every_file_is_written_and_the_results_read_back() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = std::env::var_os(SAMPLE_DIR).map_or_else(|| temporary.path().to_path_buf(), Into::into);
    let results = fixture::sample();
    super::write_results(&results, &dir).unwrap();
    let rendered = super::render(&super::load(&dir).unwrap(), &dir).unwrap();
    for path in [rendered.html, rendered.markdown, rendered.junit] {
        assert!(std::fs::metadata(&path).unwrap().len() > 1000, "{} is empty", path.display());
    }
    let left: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left.len(), 4, "temporary files are left: {left:?}");
}

#[test]
fn markdown_and_junit_keep_their_shape() {
    let results = fixture::sample();
    insta::assert_snapshot!("report.md", super::markdown::markdown(&results, None));
    insta::assert_snapshot!("junit.xml", super::junit::junit(&results));
}

#[test]
fn a_run_of_one_experiment_without_anything_to_compare_still_renders() {
    let mut results = fixture::sample();
    results.targets.truncate(1);
    results.targets[0].ready_ms.clear();
    results.targets[0].rss_bytes.clear();
    results.measurements.clear();
    results.conformance = None;
    results.agreements.clear();
    results.windows.clear();
    results.random.clear();
    results.faults.clear();
    results.ratios.clear();
    results.skipped.clear();
    let markdown = super::markdown::markdown(&results, None);
    assert!(markdown.contains("3xtandem was not measured: see what was skipped."), "{markdown}");
    let html = super::html::html(&results, None).unwrap();
    assert!(html.contains("was not measured") && !html.contains("id=\"compatibility\""));
    assert!(super::junit::junit(&results).contains("tests=\"0\""));
}

#[test]
fn junit_is_well_formed_and_has_no_character_that_xml_forbids() {
    let xml = super::junit::junit(&fixture::sample());
    assert!(xml.chars().all(|c| matches!(c, '\n' | '\t' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)));
    assert!(xml.contains("&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;]]&gt;␀␛[31m"));
    let mut open: Vec<&str> = Vec::new();
    let tags = xml.split('<').skip(1).map(|it| it.split_once('>').unwrap().0).filter(|it| !it.starts_with('?'));
    for tag in tags {
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "not closed: {open:?}");
}

#[test]
fn a_generator_that_fell_behind_is_said_first() {
    let mut results = fixture::sample();
    results.run.load.generator_kept_up = false;
    results.run.load.generator_lag_p99_ms = Some(812.0);
    let markdown = super::markdown::markdown(&results, None);
    let warning = markdown.find("The load generator fell behind its schedule (812 ms late at p99)").unwrap();
    assert!(warning < markdown.find("## Summary").unwrap());
    let html = super::html::html(&results, None).unwrap();
    assert!(html.find("class=\"banner\"").unwrap() < html.find("<h1>").unwrap());
}

#[test]
fn the_verdict_states_figure_ratio_and_interval() {
    let results = fixture::sample();
    let groups = super::figures::groups(&results);
    let score = super::score::Score::of(&results).unwrap();
    let said: Vec<String> =
        super::verdict::verdicts(&results, &groups, Some(&score)).into_iter().map(|it| it.sentence()).collect();
    assert!(said[0].contains("649 times sooner than 3xnacos@1.4.1 (interval 610–699)"), "{}", said[0]);
    assert!(said[0].contains("answers 108 of 110 (98.1 %) API cases"), "{}", said[0]);
    assert!(said[0].contains("1 differs, 1 kept difference, 1 not tried;"), "{}", said[0]);
    assert!(said[1].contains("; it is what the others are compared with"), "{}", said[1]);
    assert!(said[2].contains("no measurable difference from 3xnacos@1.4.1"), "{}", said[2]);
    assert!(said[2].contains("0 of 1 fault scenarios, 1 could not be judged"), "{}", said[2]);
}

/// The comparison of the made-up run with itself.
fn unmoved() -> Comparison {
    super::against(&fixture::sample(), &fixture::sample(), 0.1).unwrap()
}
