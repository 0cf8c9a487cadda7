//! One run of one program: bounded in time, and gone with all its children whatever happens.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::Instant;

use super::install::Installed;
use super::judge::Ran;
use super::script;
use crate::guard::Guard;
use crate::target::process::{INHERITED, Running, tail};

/// A program needs 25 s when all goes well. Its waits add up to less than this, so one that hangs is told from one that
/// waits in vain.
const LIMIT: Duration = Duration::from_secs(150);

/// How much of what a program prints is read, bytes.
const PRINTED_MAX: u64 = 4 << 20;

/// What a program is told.
#[derive(Debug)]
pub(super) struct Errand<'a> {
    pub(super) write: &'a str,
    pub(super) subscribe: &'a str,
    pub(super) namespace: &'a str,
    pub(super) service: &'a str,
    pub(super) group: &'a str,
}

/// Runs it in `dir`, which is its own.
pub(super) async fn run(installed: &Installed, errand: &Errand<'_>, dir: &Path, guard: &Guard) -> Result<Ran> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let (output, errors) = (dir.join("output"), dir.join("errors"));
    let create = |path: &Path| File::create(path).with_context(|| format!("cannot write {}", path.display()));
    let inherited = INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let mut command = Command::new(&installed.program);
    command
        .args(&installed.args)
        .args(["--write", errand.write, "--subscribe", errand.subscribe])
        .args(["--namespace", errand.namespace, "--service", errand.service, "--group", errand.group])
        .current_dir(dir)
        .env_clear()
        .envs(inherited)
        .envs(installed.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(create(&output)?)
        .stderr(create(&errors)?);
    let mut running = Running::spawn(command, guard)?;
    let deadline = Instant::now() + LIMIT;
    let end = loop {
        match running.ended() {
            // 1 is the program's own word for a step that was not ok.
            Some(status) if matches!(status.code(), Some(0 | 1)) => break None,
            Some(status) => break Some(status.to_string()),
            None if Instant::now() > deadline => break Some(format!("not done within {} s", LIMIT.as_secs())),
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    running.kill();
    guard.forget(running.pid());
    let mut printed = Vec::new();
    let file = File::open(&output).context("cannot read what a program printed")?;
    file.take(PRINTED_MAX).read_to_end(&mut printed).context("cannot read what a program printed")?;
    let lines = script::lines(&String::from_utf8_lossy(&printed));
    Ok(Ran { lines, end, said: tail(&errors, 3) })
}
