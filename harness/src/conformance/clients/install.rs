//! From sources and pinned packages to something that runs, in the harness' cache and nowhere else.
//!
//! What is installed has a folder of its own, named by a hash of the sources and of the tool that made it, and is made
//! beside it and renamed, so that a broken attempt leaves nothing that looks whole. Packages come through the language's
//! own tool, as it is configured on this machine; what they may be is pinned by the lock files.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::sdk::Sdk;
use super::toolchain;
use crate::guard::Guard;
use crate::target::Progress;
use crate::target::java;
use crate::target::process::{Running, tail};
use crate::target::reference::{cache_dir, check_jars, lock};

/// How long one tool may take to fetch and build.
const TOOL_LIMIT: Duration = Duration::from_secs(600);

/// A program that can be run.
#[derive(Debug, Clone)]
pub(super) struct Installed {
    pub(super) program: PathBuf,
    /// Arguments before those of the script.
    pub(super) args: Vec<OsString>,
    /// Variables besides those every child inherits.
    pub(super) env: Vec<(&'static str, OsString)>,
    /// What it is run with, as that says itself.
    pub(super) runtime: String,
}

/// Installs a client, unless that has been done before. Blocks for as long as its tool takes.
pub(super) fn install(sdk: Sdk, runtime: String, guard: &Guard, progress: &dyn Progress) -> Result<Installed> {
    let parent = cache_dir()?.join("clients");
    std::fs::create_dir_all(&parent).with_context(|| format!("cannot create {}", parent.display()))?;
    let dir = parent.join(format!("{sdk}-{}", fingerprint(sdk, &runtime)));
    let _lock = lock(&parent.join(format!("{sdk}.lock")), &format!("the {sdk} client"), progress)?;
    if !dir.is_dir() {
        progress.line(&format!("installing the {sdk} client ({}), once", sdk.package()));
        let fresh = tempfile::Builder::new()
            .prefix(&format!(".{sdk}-"))
            .tempdir_in(&parent)
            .with_context(|| format!("cannot create a directory in {}", parent.display()))?;
        guard.dir(fresh.path());
        for (name, text) in sdk.sources() {
            std::fs::write(fresh.path().join(name), text).with_context(|| format!("cannot write {name}"))?;
        }
        build(sdk, fresh.path(), guard)?;
        std::fs::rename(fresh.keep(), &dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    Ok(installed(sdk, &dir, runtime))
}

/// Another source, package or tool is another installation.
fn fingerprint(sdk: Sdk, runtime: &str) -> String {
    let mut hasher = Sha256::new();
    for (name, text) in sdk.sources() {
        hasher.update(format!("{name} {}\n{text}", text.len()));
    }
    hasher.update(runtime);
    hasher.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

fn installed(sdk: Sdk, dir: &Path, runtime: String) -> Installed {
    let (program, args, env) = match sdk {
        Sdk::Java => {
            let path = format!("{0}/classes:{0}/lib/*", dir.display());
            // The client writes into its user's home otherwise.
            let args = ["-Xmx128m", "-XX:TieredStopAtLevel=1", "-Duser.home=.", "-cp", &path, "Client"];
            (java::tool("java"), args.iter().map(OsString::from).collect(), Vec::new())
        }
        Sdk::Go => (dir.join("client"), Vec::new(), Vec::new()),
        Sdk::Python => {
            let program = toolchain::interpreter("python3", &["-c", "import sys; print(sys.executable)"]);
            let env = vec![("PYTHONPATH", dir.join("lib").into()), ("PYTHONDONTWRITEBYTECODE", "1".into())];
            (program, vec![dir.join("client.py").into()], env)
        }
        Sdk::Node => {
            let program = toolchain::interpreter("node", &["-p", "process.execPath"]);
            (program, vec![dir.join("client.js").into()], Vec::new())
        }
    };
    Installed { program, args, env, runtime }
}

fn build(sdk: Sdk, dir: &Path, guard: &Guard) -> Result<()> {
    match sdk {
        Sdk::Java => {
            let fetch = ["-B", "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=lib"];
            run(dir, guard, "mvn", &fetch, &[])?;
            let pins = sdk.sources().iter().find(|(name, _)| *name == "jars.sha256").map_or("", |(_, text)| text);
            check_jars(pins, &dir.join("lib"), "the Java client")?;
            std::fs::create_dir(dir.join("classes")).context("cannot write the cache")?;
            let compile = ["-encoding", "UTF-8", "-d", "classes", "-cp", "lib/*", "Client.java"];
            run(dir, guard, &java::tool("javac").to_string_lossy(), &compile, &[])
        }
        Sdk::Go => {
            // Neither another Go than the one that was found, nor a C compiler.
            let env = [("GOTOOLCHAIN", "local"), ("CGO_ENABLED", "0"), ("GOWORK", "off")];
            run(dir, guard, "go", &["build", "-mod=readonly", "-buildvcs=false", "-o", "client", "."], &env)
        }
        Sdk::Python => {
            let fetch = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"];
            let pinned = ["--require-hashes", "--only-binary=:all:", "--target", "lib", "-r", "requirements.txt"];
            run(dir, guard, "python3", &[fetch, pinned].concat(), &[])
        }
        Sdk::Node => run(dir, guard, "npm", &["ci", "--ignore-scripts", "--no-audit", "--no-fund"], &[]),
    }
}

/// Runs one tool to its end; what it says is kept beside for the message of a failure.
fn run(dir: &Path, guard: &Guard, program: &str, args: &[&str], env: &[(&str, &str)]) -> Result<()> {
    let log = dir.join("install.log");
    let output = File::options().create(true).append(true).open(&log).context("cannot write the cache")?;
    let errors = output.try_clone().context("cannot share a file")?;
    let mut command = Command::new(program);
    command.args(args).envs(env.iter().copied()).current_dir(dir).stdin(Stdio::null()).stdout(output).stderr(errors);
    let mut running = Running::spawn(command, guard)?;
    let deadline = Instant::now() + TOOL_LIMIT;
    let status = loop {
        if let Some(status) = running.ended() {
            break status;
        }
        if Instant::now() > deadline {
            bail!("`{program}` was not done within {} s", TOOL_LIMIT.as_secs());
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    guard.forget(running.pid());
    if !status.success() {
        bail!("`{program}` ended with {status}: {}", tail(&log, 6).replace('\n', " / "));
    }
    Ok(())
}
