//! Programs on official clients: what is missing is named, and nothing of a program outlives the harness.
//!
//! The programs themselves are run by `.ci/run`, beside real Nacos. Here a script takes the place of Python.

// A test that cannot go on panics, in its helpers as well.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tandem::results::{Outcome, Results};

/// Generous: the server may have to be built first, beside other tests.
const PATIENCE: Duration = Duration::from_secs(600);

/// Says its version, installs nothing, and as a program hangs with a child of its own.
const HANGS: &str = "#!/bin/sh\ncase \"$1\" in\n--version | -m | -c) exit ;;\nesac\n\
                     sleep 600 &\necho \"$! $$\" > \"$PIDS/pids\"\nwait\n";

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "waited for {what} in vain");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_missing_toolchain_is_a_skip_that_names_the_tool_and_no_run_without_differences() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("out");
    let done = Command::new(env!("CARGO_BIN_EXE_tandem"))
        .args(["conform", "--clients", "go,node", "--target", "3xtandem", "--out"])
        .arg(&out)
        .env("PATH", place.path())
        .env("TANDEM_CACHE", place.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert!(said.contains("nothing was judged: `go` not found, which the go client needs; install Go"), "{said}");
    let results: Results = serde_json::from_slice(&fs::read(out.join("results.json")).unwrap()).unwrap();
    let cases = results.conformance.unwrap().cases;
    assert_eq!(cases.len(), 2 * 19);
    assert!(cases.iter().all(|case| case.outcome == Outcome::Skip && case.reason.contains("not found")));
    assert_eq!(results.clients.len(), 2);
}

#[test]
fn a_program_and_its_children_end_with_the_harness() {
    for signal in [Signal::KILL, Signal::TERM] {
        let place = tempfile::tempdir().unwrap();
        let python = place.path().join("python3");
        // Programs get no variables of their own, so where to write is said in the script.
        fs::write(&python, HANGS.replace("$PIDS", &place.path().display().to_string())).unwrap();
        fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", place.path().display(), std::env::var("PATH").unwrap());
        let mut harness = Command::new(env!("CARGO_BIN_EXE_tandem"))
            .args(["conform", "--clients", "python", "--target", "tandem"])
            .env("PATH", path)
            .env("TANDEM_CACHE", place.path().join("cache"))
            .env("TMPDIR", place.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut pids = Vec::new();
        wait_until("the program", || {
            let text = fs::read_to_string(place.path().join("pids")).unwrap_or_default();
            pids = text.split_whitespace().map(str::to_owned).collect();
            pids.len() == 2
        });
        kill_process(Pid::from_raw(i32::try_from(harness.id()).unwrap()).unwrap(), signal).unwrap();
        harness.wait().unwrap();
        wait_until("the end of the program and its child", || !pids.iter().any(|pid| is_running(pid)));
        wait_until("the end of its directory", || {
            let mut left = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name());
            !left.any(|name| name.to_string_lossy().starts_with("tandem-"))
        });
    }
}

/// Whether a process is there and no zombie.
fn is_running(pid: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !matches!(rest.trim_start().chars().next(), Some('Z' | 'X') | None))
}
