//! Giving everything back, even when the harness is killed with SIGKILL.
//!
//! A cluster's destructor cleans up on every orderly way out. For the others there is a guard: a second process (the
//! harness executing itself as `tandem __guard`) in a session of its own, which reads what to give back from a pipe.
//! When the pipe ends, for whatever reason, it kills and removes what is still there and leaves.
//!
//! The pipe carries lines: `run ID`, `pid PID STARTTIME`, `forget PID`, `dir PATH`, `containers`.

mod watch;

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, bail};
use parking_lot::Mutex;

use crate::target::procfs;

pub use watch::watch;

/// Name of the hidden subcommand.
pub const SUBCOMMAND: &str = "__guard";

/// What the guard prints once it has left the harness' session.
const READY: &str = "ready";

/// How long the guard may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an orderly end waits for the guard to be done; it has little or nothing left to do then.
const END_TIMEOUT: Duration = Duration::from_secs(30);

/// The harness' end of the pipe to one guard. Dropping it ends the pipe and waits for the guard.
#[derive(Debug)]
pub(crate) struct Guard {
    run: String,
    child: Child,
    pipe: Mutex<Option<ChildStdin>>,
}

impl Guard {
    /// Starts a guard; `program` is the `tandem` executable where the running one is another (a test).
    pub(crate) fn start(program: Option<&Path>) -> anyhow::Result<Self> {
        let program = match program {
            Some(program) => program.to_owned(),
            None => find_program()?,
        };
        let mut child = Command::new(&program)
            .arg0("tandem")
            .arg(SUBCOMMAND)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start the guard process {}", program.display()))?;
        let pipe = child.stdin.take();
        let stdout = child.stdout.take();
        let guard = Self { run: new_run_id(), child, pipe: Mutex::new(pipe) };
        if stdout.and_then(first_line).as_deref() != Some(READY) {
            bail!("{} did not start as guard process", program.display());
        }
        guard.say(format_args!("run {}", guard.run));
        Ok(guard)
    }

    /// Unique name of this run: `PID-STARTTIME-N` of the harness, so that anyone can see whether it is still there.
    pub(crate) fn run(&self) -> &str {
        &self.run
    }

    /// Kill this process' group when the harness is gone.
    pub(crate) fn pid(&self, pid: u32, started: u64) {
        self.say(format_args!("pid {pid} {started}"));
    }

    /// The process has been given back.
    pub(crate) fn forget(&self, pid: u32) {
        self.say(format_args!("forget {pid}"));
    }

    /// Remove this directory when the harness is gone.
    pub(crate) fn dir(&self, dir: &Path) {
        match dir.to_str() {
            Some(text) if !text.contains('\n') => self.say(format_args!("dir {text}")),
            _ => tracing::warn!(dir = %dir.display(), "a directory with this name cannot be guarded"),
        }
    }

    /// Remove the containers labelled with this run when the harness is gone.
    pub(crate) fn containers(&self) {
        self.say(format_args!("containers"));
    }

    /// A guard that has gone away costs only the protection against SIGKILL, so the run goes on.
    fn say(&self, line: std::fmt::Arguments<'_>) {
        let mut pipe = self.pipe.lock();
        if let Some(open) = pipe.as_mut()
            && let Err(error) = open.write_all(format!("{line}\n").as_bytes())
        {
            tracing::warn!(%error, "the guard process is gone; nothing cleans up if this process is killed");
            *pipe = None;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        *self.pipe.lock() = None;
        let deadline = std::time::Instant::now() + END_TIMEOUT;
        while matches!(self.child.try_wait(), Ok(None)) {
            if std::time::Instant::now() > deadline {
                tracing::warn!("the guard process is still cleaning up");
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Reads the guard's first line, waiting no longer than [`START_TIMEOUT`].
fn first_line(stdout: std::process::ChildStdout) -> Option<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        if BufReader::new(stdout).read_line(&mut line).is_ok() {
            let _ = sender.send(line.trim_end().to_owned());
        }
    });
    receiver.recv_timeout(START_TIMEOUT).ok()
}

fn new_run_id() -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let pid = std::process::id();
    let started = procfs::start_time(pid).unwrap_or_default();
    format!("{pid}-{started}-{}", COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// Whether the harness that made a run id is still there. Text that is no run id belongs to nobody.
pub(crate) fn is_run_alive(run: &str) -> bool {
    let mut parts = run.split('-').map(str::parse::<u64>);
    match (parts.next(), parts.next()) {
        (Some(Ok(pid)), Some(Ok(started))) => {
            u32::try_from(pid).is_ok_and(|pid| procfs::start_time(pid) == Some(started))
        }
        _ => false,
    }
}

/// The `tandem` executable: this process, or, for a test binary, the one built next to it.
fn find_program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find the running executable")?;
    if own.file_stem() == Some(OsStr::new("tandem")) {
        // Not its path: the file may be replaced by a build while this process runs.
        return Ok(PathBuf::from("/proc/self/exe"));
    }
    own.ancestors()
        .skip(1)
        .take(3)
        .map(|dir| dir.join("tandem"))
        .find(|candidate| candidate.is_file())
        .context("no `tandem` executable found beside this one to serve as guard process")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_tells_whether_its_harness_lives() {
        let run = new_run_id();
        assert!(is_run_alive(&run), "{run}");
        let pid = std::process::id();
        assert!(!is_run_alive(&format!("{pid}-1-0")), "another process of the same pid");
        assert!(!is_run_alive("not a run") && !is_run_alive(""));
    }
}
