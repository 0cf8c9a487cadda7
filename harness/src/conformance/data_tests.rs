//! The cases and recordings of this project belong together.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::case::{CaseSet, Topology};
use super::recording::{CASES_FILE, Recordings};

fn compat() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../compat")
}

fn both() -> (CaseSet, Recordings) {
    let cases = CaseSet::load(&compat().join("cases/naming")).expect("cases");
    let recordings = Recordings::load(&compat().join("recordings/1.4.1")).expect("recordings");
    (cases, recordings)
}

#[test]
fn every_recorded_answer_has_one_case_and_every_case_its_answer() {
    let (cases, recordings) = both();
    let mut judged = BTreeSet::new();
    for case in &cases.cases {
        for topology in [Topology::Standalone, Topology::Cluster3] {
            let recorded = recordings.get(&case.id, topology).is_some();
            let judged_here = case.topology.contains(&topology) && case.judged(topology);
            assert_eq!(recorded, judged_here, "{} {}", case.id, topology.name());
            if recorded {
                judged.insert((case.id.clone(), topology));
            }
        }
    }
    let recorded: BTreeSet<_> = recordings.keys().cloned().collect();
    assert_eq!(recorded.difference(&judged).collect::<Vec<_>>(), Vec::<&(String, Topology)>::new());
    let count = |topology| judged.iter().filter(|(_, t)| *t == topology).count();
    assert_eq!((count(Topology::Standalone), count(Topology::Cluster3)), (1378, 318));
}

#[test]
fn answers_recorded_again_are_those_whose_cases_say_why() {
    let (cases, recordings) = both();
    for case in &cases.cases {
        for topology in [Topology::Standalone, Topology::Cluster3] {
            let Some(recorded) = recordings.get(&case.id, topology) else { continue };
            let again = recorded.file == CASES_FILE;
            assert_eq!(again, case.rerecorded_in(topology).is_some(), "{} {}", case.id, topology.name());
        }
    }
}

#[test]
fn every_recorded_request_is_the_case_s_request() {
    let (cases, _) = both();
    let file = compat().join("recordings/1.4.1/naming-api-observed.jsonl");
    let text = std::fs::read_to_string(file).expect("recordings");
    let mut seen = 0;
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("a line");
        let Some(id) = line.get("id").and_then(|id| id.as_str()) else { continue };
        let case = cases.cases.iter().find(|case| case.id == id).expect("a case");
        assert_eq!(line["method"], case.method.as_str(), "{id}");
        assert_eq!(line["path"], case.path.as_str(), "{id}");
        let names: Vec<_> = line["params"].as_array().expect("params").iter().map(|pair| &pair[0]).collect();
        assert_eq!(names, case.params.keys().map(String::as_str).collect::<Vec<_>>(), "{id}");
        assert_eq!(line["headers"].as_object().expect("headers").len(), case.headers.len(), "{id}");
        seen += 1;
    }
    assert_eq!(seen, 1213 + 318);
}
