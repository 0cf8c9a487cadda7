//! The guard process itself.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group, setsid};

use crate::target::{docker, procfs};

/// How long killed processes may take to disappear before their directories are removed all the same.
const DEATH_TIMEOUT: Duration = Duration::from_secs(10);

/// What to give back.
#[derive(Debug, Default, PartialEq, Eq)]
struct Holdings {
    run: Option<String>,
    /// Start time by pid of a group leader.
    groups: BTreeMap<u32, u64>,
    dirs: Vec<PathBuf>,
    containers: bool,
}

impl Holdings {
    fn read(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "run" => self.run = Some(rest.to_owned()),
            "pid" => {
                if let Some((pid, started)) = rest.split_once(' ')
                    && let (Ok(pid), Ok(started)) = (pid.parse(), started.parse())
                {
                    self.groups.insert(pid, started);
                }
            }
            "forget" => {
                if let Ok(pid) = rest.parse() {
                    self.groups.remove(&pid);
                }
            }
            "dir" => self.dirs.push(PathBuf::from(rest)),
            "containers" => self.containers = true,
            _ => {}
        }
    }

    /// Processes first: they would write into the directories.
    fn give_back(&self) {
        for (&pid, &started) in &self.groups {
            if procfs::is_alive(pid, started)
                && let Some(group) = to_pid(pid)
            {
                let _ = kill_process_group(group, Signal::KILL);
            }
        }
        if let Some(run) = &self.run {
            kill_strays(run);
        }
        if self.containers
            && let Some(run) = &self.run
        {
            docker::remove_containers_of(run);
        }
        for dir in &self.dirs {
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}

/// Kills what carries the run's mark and is in no group we were told of: children born in the instant before the
/// harness died, and theirs. Comes back when none is left.
fn kill_strays(run: &str) {
    let deadline = Instant::now() + DEATH_TIMEOUT;
    loop {
        let strays = procfs::processes_of_run(run);
        if strays.is_empty() || Instant::now() > deadline {
            return;
        }
        for pid in strays.into_iter().filter_map(to_pid) {
            let _ = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn to_pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// Runs the guard until its standard input ends. Called by the hidden subcommand only.
pub fn watch() -> anyhow::Result<()> {
    // A session of its own: neither Ctrl-C nor the end of the terminal reaches the guard.
    setsid()?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", super::READY)?;
    stdout.flush()?;

    let mut holdings = Holdings::default();
    for line in std::io::stdin().lock().lines() {
        match line {
            Ok(line) => holdings.read(&line),
            Err(_) => break,
        }
    }
    holdings.give_back();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_lines_of_the_pipe() {
        let mut holdings = Holdings::default();
        for line in ["run 1-2-0", "pid 10 77", "pid 11 78", "forget 10", "dir /tmp/a b", "pid x", "pid 1", "", "?"] {
            holdings.read(line);
        }
        let expected = Holdings {
            run: Some("1-2-0".into()),
            groups: BTreeMap::from([(11, 78)]),
            dirs: vec![PathBuf::from("/tmp/a b")],
            containers: false,
        };
        assert_eq!(holdings, expected);
    }
}
