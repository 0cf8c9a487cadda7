//! This project's own server as processes of this machine.
//!
//! Launch contract: `tandem-server --home DIR --port P --ip IP --mode standalone|cluster`, configuration from
//! `DIR/conf/`, log on standard output.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use parking_lot::Mutex;

use super::java::ask;
use super::process::{CommandLine, Running};
use super::progress::Progress;
use super::seat::Seat;
use crate::guard::Guard;

/// The server's executable, by name.
const PROGRAM: &str = "tandem-server";

/// Names the executable outright.
const PROGRAM_VARIABLE: &str = "TANDEM_SERVER_BIN";

/// A server that is ready to be started any number of times.
#[derive(Debug, Clone)]
pub(crate) struct Tandem {
    program: PathBuf,
    pub(crate) version: String,
    /// Built by this process from the checkout, and with which profile.
    built: Option<&'static str>,
}

/// Cargo is asked once per process; afterwards the result stands even when sources change, so that every round of a
/// run measures the same binary.
static BUILT: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Cargo profile that matches the harness' own.
const PROFILE: &str = if cfg!(debug_assertions) { "debug" } else { "release" };

impl Tandem {
    /// Finds the executable: `$TANDEM_SERVER_BIN`, else built from the checkout when run by cargo, else beside the
    /// harness' own. Blocks while cargo builds.
    pub(crate) fn find(guard: &Guard, progress: &dyn Progress) -> anyhow::Result<Self> {
        let (program, built) = if let Some(named) = std::env::var_os(PROGRAM_VARIABLE) {
            (PathBuf::from(named), None)
        } else if let Some(workspace) = checkout() {
            (build_once(&workspace, guard, progress)?, Some(PROFILE))
        } else {
            (beside_own()?, None)
        };
        if !program.is_file() {
            bail!("{} is no file, so there is no {PROGRAM} to start", program.display());
        }
        let version = ask(&program, "--version")
            .ok()
            .and_then(|said| said.split_whitespace().nth(1).map(str::to_owned))
            .unwrap_or_else(|| "unknown".to_owned());
        Ok(Self { program, version, built })
    }

    /// How it is launched, in words; a debug build says so, because its figures are not a release's.
    pub(crate) fn launch(&self) -> String {
        match self.built {
            Some(profile) => format!("process ({profile} build)"),
            None => "process".to_owned(),
        }
    }

    /// What exactly runs.
    pub(crate) fn artifact(&self) -> String {
        self.program.display().to_string()
    }

    /// The command that starts one node.
    pub(crate) fn command(&self, seat: &Seat) -> CommandLine {
        let mode = if seat.standalone { "standalone" } else { "cluster" };
        let port = seat.port.to_string();
        let home = seat.home.as_os_str();
        let args = ["--home".as_ref(), home, "--port".as_ref(), port.as_ref(), "--ip".as_ref(), seat.ip.as_ref()]
            .into_iter()
            .chain(["--mode".as_ref(), mode.as_ref()])
            .chain(seat.listen_ip.iter().flat_map(|ip| ["--address".as_ref(), (*ip).as_ref()]))
            .map(std::ffi::OsStr::to_owned)
            .collect();
        CommandLine::new(self.program.clone(), args, seat)
    }
}

/// The workspace this process was run from by cargo, if it was.
fn checkout() -> Option<PathBuf> {
    std::env::var_os("CARGO")?;
    let package = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR")?);
    let workspace = package.parent()?.to_owned();
    workspace.join("server/Cargo.toml").is_file().then_some(workspace)
}

fn beside_own() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find the running executable")?;
    own.ancestors()
        .skip(1)
        .take(2)
        .map(|dir| dir.join(PROGRAM))
        .find(|candidate| candidate.is_file())
        .with_context(|| format!("no {PROGRAM} beside {}; set {PROGRAM_VARIABLE} to where it is", own.display()))
}

fn build_once(workspace: &Path, guard: &Guard, progress: &dyn Progress) -> anyhow::Result<PathBuf> {
    let mut built = BUILT.lock();
    if let Some(program) = built.as_ref() {
        return Ok(program.clone());
    }
    let program = build(workspace, guard, progress)?;
    *built = Some(program.clone());
    Ok(program)
}

/// Builds the server; cargo itself says where the executable is.
fn build(workspace: &Path, guard: &Guard, progress: &dyn Progress) -> anyhow::Result<PathBuf> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["build", "-p", PROGRAM, "--bin", PROGRAM, "--message-format=json-render-diagnostics"])
        .current_dir(workspace)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if PROFILE == "release" {
        command.arg("--release");
    }
    progress.status(&format!("building {PROGRAM} ({PROFILE})"));
    let mut cargo = Running::spawn(command, guard)?;
    let (messages, diagnostics) = match (cargo.child_mut().stdout.take(), cargo.child_mut().stderr.take()) {
        (Some(stdout), Some(stderr)) => (stdout, stderr),
        _ => bail!("cargo has no output"),
    };
    let executable = std::thread::spawn(move || {
        BufReader::new(messages).lines().map_while(Result::ok).filter_map(|line| executable_in(&line)).last()
    });
    let mut last_lines: Vec<String> = Vec::new();
    for line in BufReader::new(diagnostics).lines().map_while(Result::ok) {
        progress.status(line.trim());
        if last_lines.len() == 20 {
            last_lines.remove(0);
        }
        last_lines.push(line);
    }
    let executable = executable.join().ok().flatten();
    let status = loop {
        match cargo.ended() {
            Some(status) => break status,
            None => std::thread::sleep(std::time::Duration::from_millis(10)),
        }
    };
    guard.forget(cargo.pid());
    match executable {
        Some(program) if status.success() => Ok(program),
        _ => bail!("cargo could not build {PROGRAM}: {status}\n{}", last_lines.join("\n")),
    }
}

/// Path of the server's executable when this message of cargo announces it.
fn executable_in(message: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let is_server = message["reason"] == "compiler-artifact" && message["target"]["name"] == PROGRAM;
    if is_server { message["executable"].as_str().map(PathBuf::from) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_says_where_the_executable_is() {
        let line = |name: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","target":{{"name":"{name}","kind":["bin"]}},"executable":"/t/{name}"}}"#
            )
        };
        assert_eq!(executable_in(&line(PROGRAM)), Some(PathBuf::from("/t/tandem-server")));
        assert_eq!(executable_in(&line("tandem")), None);
        assert_eq!(executable_in("not json"), None);
    }

    #[test]
    fn the_command_keeps_the_launch_contract() {
        let tandem = Tandem { program: "/bin/t".into(), version: "1".into(), built: None };
        let seat = Seat {
            index: 0,
            ip: "127.0.0.1".to_owned(),
            port: 14_000,
            listen_ip: None,
            home: "/n".into(),
            standalone: false,
            members: vec![],
            heap_mb: None,
        };
        let args = tandem.command(&seat).args;
        let args: Vec<&str> = args.iter().map(|arg| arg.to_str().unwrap()).collect();
        assert_eq!(args, ["--home", "/n", "--port", "14000", "--ip", "127.0.0.1", "--mode", "cluster"]);
    }
}
