//! Errors of unusable results name the file and what was wrong with it.

use super::fixture::sample;
use crate::report::{RESULTS_FILE, load, write_results};

fn error_for(text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(RESULTS_FILE), text).unwrap();
    format!("{:#}", load(dir.path()).unwrap_err())
}

#[test]
fn unusable_results_say_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let missing = format!("{:#}", load(dir.path()).unwrap_err());
    assert!(missing.contains("no results at") && missing.contains(RESULTS_FILE), "{missing}");
    for (text, says) in [
        ("{", "not a JSON object"),
        ("[]", "not a JSON object"),
        ("{}", "no `schema` field"),
        (r#"{"schema":"tandem-results/9"}"#, "its schema is `tandem-results/9`"),
        (r#"{"schema":"tandem-results/1"}"#, "missing field `run`"),
    ] {
        let error = error_for(text);
        assert!(error.contains(RESULTS_FILE) && error.contains(says), "{text}: {error}");
    }
}

#[test]
fn figures_that_json_cannot_hold_are_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut results = sample();
    results.measurements[0].p50 = f64::NAN;
    let error = format!("{:#}", write_results(&results, dir.path()).unwrap_err());
    assert!(error.contains("would not be readable again"), "{error}");
    assert!(!dir.path().join(RESULTS_FILE).exists());
}

#[test]
fn results_survive_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = write_results(&sample(), dir.path()).unwrap();
    let read = load(dir.path()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), serde_json::to_value(sample()).unwrap());
    assert_eq!(serde_json::to_value(load(&path).unwrap()).unwrap(), serde_json::to_value(read).unwrap());
}
