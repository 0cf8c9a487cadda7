//! Whatever ends the harness, nothing of a cluster remains: no process, no directory, no port.
//!
//! The server here is a shell script that never becomes usable and has a child of its own, so that the harness is
//! ended in the middle of a launch.

// A test that cannot go on panics, in its helpers as well.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tandem::network;
use tempfile::TempDir;

/// Generous, for a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

const NEVER_READY: &str =
    "#!/bin/sh\n[ $1 = --version ] && exit\nsleep 600 &\necho \"$! $$\" >> \"${0%/*}/pids\"\nwait\n";
const ENDS_AT_ONCE: &str = "#!/bin/sh\necho 'the port is taken'\nexit 3\n";

/// A harness that launches two scripts.
struct Harness {
    child: Child,
    place: TempDir,
}

impl Harness {
    fn start(script: &str) -> Self {
        Self::start_with(script, &[])
    }

    fn start_with(script: &str, flags: &[&str]) -> Self {
        let place = tempfile::tempdir().unwrap();
        let server = place.path().join("server");
        fs::write(&server, script).unwrap();
        fs::set_permissions(&server, fs::Permissions::from_mode(0o755)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_tandem"))
            .args(["up", "2xtandem", "--work-dir"])
            .arg(place.path().join("work"))
            .args(flags)
            .env("TANDEM_SERVER_BIN", &server)
            .stdout(Stdio::null())
            .stderr(fs::File::create(place.path().join("errors")).unwrap())
            .spawn()
            .unwrap();
        Self { child, place }
    }

    /// Process ids of both scripts and their children, once all have been born.
    fn pids(&self) -> Vec<u32> {
        let file = self.place.path().join("pids");
        let mut pids = Vec::new();
        wait_until("four processes", || {
            let text = fs::read_to_string(&file).unwrap_or_default();
            pids = text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
            pids.len() == 4
        });
        pids
    }

    fn run_dirs(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.place.path().join("work")).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the end of the harness", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    fn errors(&self) -> String {
        fs::read_to_string(self.place.path().join("errors")).unwrap()
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A zombie waits for its parent only and holds nothing.
fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

fn assert_nothing_remains(harness: &Harness, pids: &[u32]) {
    wait_until("the end of every process", || !pids.iter().any(|pid| is_alive(*pid)));
    wait_until("the removal of the directory", || harness.run_dirs().is_empty());
}

#[test]
fn nothing_remains_when_the_harness_is_killed() {
    let mut harness = Harness::start(NEVER_READY);
    let pids = harness.pids();
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    assert_eq!(harness.run_dirs().len(), 1);
    harness.signal(Signal::KILL);
    harness.wait();
    assert_nothing_remains(&harness, &pids);
}

/// Every namespace that a process of this machine is in, as far as this user may see.
fn namespaces() -> BTreeSet<PathBuf> {
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    processes
        .flat_map(|process| ["net", "mnt"].map(|kind| fs::read_link(process.join("ns").join(kind))))
        .flatten()
        .collect()
}

#[test]
fn no_namespace_mount_or_device_remains_when_the_harness_is_killed() {
    if let Err(why) = network::check() {
        assert!(std::env::var_os(network::REQUIRE_VARIABLE).is_none_or(|it| it != "1"), "{why}");
        eprintln!("skipped: {why}");
        return;
    }
    let mut harness = Harness::start_with(NEVER_READY, &["--own-network"]);
    let pids = harness.pids();
    let own = |kind: &str| fs::read_link(Path::new("/proc/self/ns").join(kind)).unwrap();
    let of = |pid: u32, kind: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
    let theirs: BTreeSet<PathBuf> = pids.iter().flat_map(|pid| [of(*pid, "net"), of(*pid, "mnt")]).collect();
    // Two nodes, each in a network and with mounts of its own, which its child shares.
    assert_eq!(theirs.len(), 4, "{theirs:?}");
    assert!(!theirs.contains(&own("net")) && !theirs.contains(&own("mnt")));
    let work = harness.place.path().join("work").display().to_string();
    let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts().contains(&work), "its mounts are seen outside");

    harness.signal(Signal::KILL);
    harness.wait();
    assert_nothing_remains(&harness, &pids);
    wait_until("the end of every namespace", || namespaces().is_disjoint(&theirs));
    let devices = fs::read_to_string("/proc/self/net/dev").unwrap();
    assert!(!mounts().contains(&work) && !devices.contains("tandem"), "{devices}");
}

#[test]
fn nothing_remains_after_ctrl_c_or_sigterm() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut harness = Harness::start(NEVER_READY);
        let pids = harness.pids();
        harness.signal(signal);
        assert!(harness.wait().success(), "{}", harness.errors());
        // The orderly end is complete before the harness leaves.
        assert!(!pids.iter().any(|pid| is_alive(*pid)));
        assert!(harness.run_dirs().is_empty());
    }
}

#[test]
fn a_server_that_ends_by_itself_is_reported_and_leaves_nothing() {
    let mut harness = Harness::start(ENDS_AT_ONCE);
    assert_eq!(harness.wait().code(), Some(2));
    let errors = harness.errors();
    assert!(errors.contains("ended by itself") && errors.contains("the port is taken"), "{errors}");
    assert!(harness.run_dirs().is_empty());
}

#[test]
fn a_target_that_cannot_be_launched_is_one_sentence_and_exit_code_2() {
    let place = tempfile::tempdir().unwrap();
    let no_engine = format!("unix://{}/no.sock", place.path().display());
    for (target, sentence) in [
        ("docker:nacos/nacos-server:1.4.1", "no Docker engine answers"),
        ("rnacos", "not supported yet"),
        ("nacos@0.1", "cannot be fetched from Maven"),
        ("eureka", "is no kind of target"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_tandem"))
            .args(["up", target, "--work-dir"])
            .arg(Path::new(place.path()))
            .env("DOCKER_HOST", &no_engine)
            .env("TANDEM_CACHE", place.path().join("cache"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{target}: {said}");
        // Without any Java there is nothing to fetch the jars for, which is said first.
        assert!(said.contains(sentence) || (target == "nacos@0.1" && said.contains("Java")), "{target}: {said}");
    }
}
