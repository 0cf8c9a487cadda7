//! A fault scenario from its file to its verdict, at a cluster of this project's own server.
//!
//! Where the machine allows no namespaces the test says so and is skipped; `TANDEM_REQUIRE_NAMESPACES=1` makes that a
//! failure.

// A test that cannot go on panics.
#![allow(clippy::unwrap_used)]

use std::process::Command;

use tandem::network;

/// Short enough for a test: a partition that lasts less than any official window.
const SCENARIO: &str = r#"
title = "One node is cut off for 4 s"
why = "The test of the harness itself."

[load]
services = 3
instances = 12
rate = 4
lifetime = 3

[times]
before = 2
after = 3

[[step]]
do = "partition"
nodes = ["last"]
for = 4

[[step]]
at = 5
do = "kill"
nodes = ["owner-of:0"]
for = 1

[hold]
checks = ["agreement", "no-lost-instance", "no-resurrection"]
agree-within = 15
"#;

#[test]
fn a_scenario_is_run_recorded_and_judged() {
    if let Err(why) = network::check() {
        assert!(std::env::var_os(network::REQUIRE_VARIABLE).is_none_or(|it| it != "1"), "{why}");
        println!("skipped: {why}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (file, out) = (dir.path().join("short.toml"), dir.path().join("out"));
    std::fs::write(&file, SCENARIO).unwrap();
    let compat = concat!(env!("CARGO_MANIFEST_DIR"), "/../compat");
    let run = Command::new(env!("CARGO_BIN_EXE_tandem"))
        .args(["fault", "--target", "3xtandem", "--seed", "3", "--compat", compat, "--file"])
        .arg(&file)
        .arg("--out")
        .arg(&out)
        .output()
        .unwrap();
    let said = format!("{}\n{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{said}");
    assert!(said.contains("pass: short at 3xtandem"), "{said}");
    let history = std::fs::read_to_string(out.join("history/short-3xtandem.jsonl")).unwrap();
    for event in ["run", "phase", "fault", "healed", "proof", "op", "look", "push"] {
        assert!(history.contains(&format!(r#"{{"event":"{event}""#)), "no {event} in the history");
    }
    let again = Command::new(env!("CARGO_BIN_EXE_tandem")).arg("judge").arg(&out).output().unwrap();
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stdout));
}

#[test]
fn a_slip_in_a_file_is_told_before_anything_is_started() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("slip.toml");
    std::fs::write(&file, SCENARIO.replace("\"kill\"", "\"kil\"")).unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_tandem")).args(["fault", "--file"]).arg(&file).output().unwrap();
    assert_eq!(run.status.code(), Some(2));
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(said.contains("slip.toml is no scenario") && said.contains("did you mean \"kill\"?"), "{said}");
    assert_eq!(said.trim().lines().count(), 1, "{said}");
}
