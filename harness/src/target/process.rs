//! Child processes: each in a process group of its own, known to the guard, and gone with their owner.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use super::procfs;
use super::seat::Seat;
use crate::guard::Guard;
use crate::network::Namespace;

/// How long a server may take to end by itself after SIGTERM before it is killed.
pub(crate) const GRACE: Duration = Duration::from_secs(8);

/// Variables a node inherits. Everything else is withheld: the official image and `tandem-server` are configured by
/// variables such as `MODE`, and a stray one must not change what is measured.
pub(crate) const INHERITED: [&str; 8] =
    ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "JAVA_HOME", "RUST_LOG", "RUST_BACKTRACE"];

/// What to run, kept so that a node can be started again.
#[derive(Debug, Clone)]
pub(crate) struct CommandLine {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) dir: PathBuf,
    /// Standard output and error go here, appended.
    pub(crate) output: PathBuf,
    /// Variables that are set besides those it inherits.
    pub(crate) variables: Vec<(OsString, OsString)>,
    /// Where it lives, when not where the harness does.
    pub(crate) namespace: Option<Arc<Namespace>>,
}

impl CommandLine {
    /// The command of the node at a seat.
    pub(crate) fn new(program: PathBuf, args: Vec<OsString>, seat: &Seat) -> Self {
        let (dir, output) = (seat.home.clone(), seat.output());
        Self { program, args, dir, output, variables: Vec::new(), namespace: None }
    }

    /// Starts the process in its own group and tells the guard.
    pub(crate) fn spawn(&self, guard: &Guard) -> anyhow::Result<Running> {
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.output)
            .with_context(|| format!("cannot write {}", self.output.display()))?;
        let errors = output.try_clone().context("cannot share the output file")?;
        let inherited = INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .current_dir(&self.dir)
            .env_clear()
            .envs(inherited)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors);
        match &self.namespace {
            Some(namespace) => namespace.within(|| Running::spawn(command, guard))?,
            None => Running::spawn(command, guard),
        }
    }
}

/// A live child. Dropping it kills its whole group at once.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    group: Pid,
    ended: Option<ExitStatus>,
}

impl Running {
    /// Starts any command in its own group, marked with the run, and tells the guard.
    pub(crate) fn spawn(mut command: Command, guard: &Guard) -> anyhow::Result<Self> {
        let child = command
            .process_group(0)
            .env(procfs::RUN_VARIABLE, guard.run())
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
        let pid = child.id();
        let Some(group) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            bail!("the system gave the unusable process id {pid}");
        };
        let running = Self { child, group, ended: None };
        guard.pid(pid, procfs::start_time(pid).unwrap_or_default());
        Ok(running)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The child's own handle, for its pipes.
    pub(crate) fn child_mut(&mut self) -> &mut Child {
        &mut self.child
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            // Whatever it left behind in its group ends with it.
            self.signal_group(Signal::KILL);
            self.ended = Some(status);
        }
        self.ended
    }

    /// Sends a signal to the whole group, unless the process has ended.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if self.ended().is_none() {
            self.signal_group(signal);
        }
    }

    fn signal_group(&self, signal: Signal) {
        // The only failure possible is that nobody is left to signal.
        let _ = kill_process_group(self.group, signal);
    }

    /// Asks it to end; a paused process is woken so that it can.
    pub(crate) fn ask_to_end(&mut self) {
        self.signal(Signal::TERM);
        self.signal(Signal::CONT);
    }

    /// Kills the group and waits for the end, which after SIGKILL is the kernel's doing alone.
    pub(crate) fn kill(&mut self) {
        if self.ended.is_none() {
            self.signal_group(Signal::KILL);
            self.ended = self.child.wait().ok();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Ends processes together: asks all, waits for all up to [`GRACE`], kills the rest.
pub(crate) async fn end_all(running: &mut [&mut Running]) {
    running.iter_mut().for_each(|process| process.ask_to_end());
    let deadline = Instant::now() + GRACE;
    while Instant::now() < deadline && running.iter_mut().any(|process| process.ended().is_none()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    running.iter_mut().for_each(|process| process.kill());
}

/// The same without a runtime, for destructors.
pub(crate) fn end_all_blocking(running: &mut [&mut Running]) {
    running.iter_mut().for_each(|process| process.ask_to_end());
    let deadline = Instant::now() + GRACE;
    while Instant::now() < deadline && running.iter_mut().any(|process| process.ended().is_none()) {
        std::thread::sleep(Duration::from_millis(10));
    }
    running.iter_mut().for_each(|process| process.kill());
}

/// Last lines of a file, for an error message; empty when it cannot be read.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let text = std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
