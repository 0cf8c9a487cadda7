//! The real server's artifacts: which, fetched how, and proof that they are the ones that were studied.
//!
//! What Maven Central holds and how faithful it is stands in `compat/spec/reference-targets.md` §1 and §2. Each
//! version's jars are fetched once into a cache; every launch compares all of them with the pinned SHA-256 list and
//! refuses any other.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

use super::java;
use super::process::Running;
use super::progress::Progress;
use crate::guard::Guard;

/// How long to wait for another run that is fetching the same version.
const LOCK_TIMEOUT: Duration = Duration::from_secs(900);

/// How long Maven may take. 85 MB took 41 s on an ordinary line.
const MAVEN_TIMEOUT: Duration = Duration::from_secs(900);

/// One version of the real server that can be fetched.
#[derive(Debug)]
pub(crate) struct Artifact {
    pub(crate) version: &'static str,
    /// Maven coordinates of its main artifact.
    pub(crate) coordinates: &'static str,
    pom: &'static str,
    hashes: &'static str,
    /// Source of a launcher class that must be compiled once, for the version that has no working main class.
    launcher: Option<&'static str>,
}

macro_rules! pinned {
    ($version:literal, $file:literal) => {
        include_str!(concat!("../../../compat/reference/", $version, "/", $file))
    };
}

/// All of them, newest first; the first is the default.
pub(crate) const ARTIFACTS: [Artifact; 3] = [
    Artifact {
        version: "1.4.1",
        coordinates: "com.pig4cloud.nacos:nacos-console:1.4.1",
        pom: pinned!("1.4.1", "pom.xml"),
        hashes: pinned!("1.4.1", "jars.sha256"),
        launcher: None,
    },
    Artifact {
        version: "1.3.0",
        coordinates: "com.pig4cloud.nacos:nacos-naming:1.3.0",
        pom: pinned!("1.3.0", "pom.xml"),
        hashes: pinned!("1.3.0", "jars.sha256"),
        launcher: Some(pinned!("1.3.0", "NamingLauncher.java")),
    },
    Artifact {
        version: "1.1.4",
        coordinates: "com.pig4cloud.nacos:nacos-naming:1.1.4",
        pom: pinned!("1.1.4", "pom.xml"),
        hashes: pinned!("1.1.4", "jars.sha256"),
        launcher: None,
    },
];

/// What the cache holds of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CacheState {
    /// Every jar is there with its pinned hash.
    Good,
    /// Nothing fetched yet.
    Absent,
    /// Something is there that must not be used; the sentence says what.
    Wrong(String),
}

impl Artifact {
    pub(crate) fn of(version: &str) -> Option<&'static Self> {
        ARTIFACTS.iter().find(|artifact| artifact.version == version)
    }

    /// SHA-256 by file name.
    pub(crate) fn pins(&self) -> BTreeMap<&'static str, &'static str> {
        pins(self.hashes)
    }

    /// Hash of the jar named by the coordinates, as a fingerprint for results.
    pub(crate) fn main_hash(&self) -> &'static str {
        let mut parts = self.coordinates.split(':').skip(1);
        let jar = format!("{}-{}.jar", parts.next().unwrap_or_default(), self.version);
        self.pins().get(jar.as_str()).copied().unwrap_or("unknown")
    }

    fn dir(&self) -> anyhow::Result<PathBuf> {
        Ok(cache_dir()?.join("reference").join(self.version))
    }

    /// Compares the cache with the pins, without fetching anything.
    pub(crate) fn cache_state(&self) -> anyhow::Result<CacheState> {
        let lib = self.dir()?.join("lib");
        if !lib.is_dir() {
            return Ok(CacheState::Absent);
        }
        Ok(match self.verify(&lib) {
            Ok(()) => CacheState::Good,
            Err(error) => CacheState::Wrong(format!("{error:#}")),
        })
    }

    /// Exactly the pinned jars, each with its pinned hash.
    fn verify(&self, lib: &Path) -> anyhow::Result<()> {
        verify(self.pins(), lib, &format!("Nacos {}", self.version))
    }

    /// The directory with `lib/` and, where needed, `launcher/`, verified; fetched first when it is not there.
    /// Blocks for as long as Maven takes.
    pub(crate) fn resolve(&self, guard: &Guard, progress: &dyn Progress) -> anyhow::Result<PathBuf> {
        let dir = self.dir()?;
        let parent = dir.parent().context("the cache has no parent directory")?;
        std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
        let what = format!("Nacos {}", self.version);
        let _lock = lock(&parent.join(format!("{}.lock", self.version)), &what, progress)?;
        if !dir.join("lib").is_dir() {
            self.fetch(parent, &dir, guard, progress)?;
        }
        self.verify(&dir.join("lib"))?;
        if let Some(source) = self.launcher {
            compile_launcher(source, &dir, guard)?;
        }
        Ok(dir)
    }

    /// Fetches beside the final place and renames, so that a broken fetch leaves nothing that looks whole.
    fn fetch(&self, parent: &Path, dir: &Path, guard: &Guard, progress: &dyn Progress) -> anyhow::Result<()> {
        let fresh = tempfile::Builder::new()
            .prefix(&format!(".{}-", self.version))
            .tempdir_in(parent)
            .with_context(|| format!("cannot create a directory in {}", parent.display()))?;
        guard.dir(fresh.path());
        std::fs::write(fresh.path().join("pom.xml"), self.pom).context("cannot write the POM")?;
        let lib = fresh.path().join("lib");
        progress.line(&format!("fetching Nacos {} ({}) with Maven, once", self.version, self.coordinates));
        self.run_maven(fresh.path(), &lib, guard, progress)?;
        remove_strays(&lib)?;
        self.verify(&lib)?;
        std::fs::rename(fresh.keep(), dir).with_context(|| format!("cannot create {}", dir.display()))
    }

    fn run_maven(&self, dir: &Path, lib: &Path, guard: &Guard, progress: &dyn Progress) -> anyhow::Result<()> {
        let mut command = Command::new("mvn");
        command
            .args(["-B", "dependency:copy-dependencies", "-DincludeScope=runtime"])
            .arg(format!("-DoutputDirectory={}", lib.display()))
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut maven = Running::spawn(command, guard).context("Maven (`mvn`) is needed to fetch real Nacos")?;
        let lines = maven.child_mut().stdout.take().context("Maven has no output")?;
        let last_error = watch_errors(lines);
        let deadline = Instant::now() + MAVEN_TIMEOUT;
        let wanted = self.pins().len();
        let status = loop {
            if let Some(status) = maven.ended() {
                break status;
            }
            if Instant::now() > deadline {
                bail!("Maven did not fetch Nacos {} within {} s", self.version, MAVEN_TIMEOUT.as_secs());
            }
            let arrived = jars_in(lib).map(|jars| jars.len()).unwrap_or_default();
            progress.status(&format!("Nacos {}: {arrived} of {wanted} jars", self.version));
            std::thread::sleep(Duration::from_millis(100));
        };
        guard.forget(maven.pid());
        if !status.success() {
            let why = last_error.join().ok().flatten().unwrap_or_else(|| status.to_string());
            bail!("Maven could not fetch Nacos {}: {why}", self.version);
        }
        Ok(())
    }
}

/// SHA-256 by file name, from lines as `sha256sum` writes them.
fn pins(list: &str) -> BTreeMap<&str, &str> {
    list.lines().filter_map(|line| line.split_once("  ")).map(|(hash, name)| (name, hash)).collect()
}

/// What Maven has put into `lib` must be exactly the jars of the list, each with its hash.
pub(crate) fn check_jars(list: &str, lib: &Path, what: &str) -> anyhow::Result<()> {
    remove_strays(lib)?;
    verify(pins(list), lib, what)
}

/// Maven drops a stray POM of a build plugin beside the jars.
fn remove_strays(lib: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(lib).context("Maven fetched nothing")?.flatten() {
        if entry.path().extension().is_none_or(|extension| extension != "jar") {
            std::fs::remove_file(entry.path()).context("cannot remove what is no jar")?;
        }
    }
    Ok(())
}

fn verify(pins: BTreeMap<&str, &str>, lib: &Path, what: &str) -> anyhow::Result<()> {
    let found = jars_in(lib)?;
    if let Some(extra) = found.iter().find(|name| !pins.contains_key(name.as_str())) {
        bail!("{extra} is not one of the jars of {what}; remove {}", lib.display());
    }
    for (name, pinned) in pins {
        let path = lib.join(name);
        let hash = sha256(&path).with_context(|| format!("{} is missing or unreadable", path.display()))?;
        if hash != pinned {
            bail!("{} has SHA-256 {hash}, not the pinned {pinned}; it is not used", path.display());
        }
    }
    Ok(())
}

/// Reads Maven's output to its end and keeps the first error it names.
fn watch_errors(output: std::process::ChildStdout) -> std::thread::JoinHandle<Option<String>> {
    std::thread::spawn(move || {
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let first = lines.find_map(|line| line.strip_prefix("[ERROR] ").map(str::to_owned));
        lines.for_each(drop);
        first
    })
}

/// The launcher class is compiled again whenever its source has changed.
fn compile_launcher(source: &str, dir: &Path, guard: &Guard) -> anyhow::Result<()> {
    let place = dir.join("launcher");
    let copy = place.join("NamingLauncher.java");
    if std::fs::read_to_string(&copy).is_ok_and(|text| text == source) {
        return Ok(());
    }
    let fresh = tempfile::Builder::new().prefix(".launcher-").tempdir_in(dir).context("cannot write the cache")?;
    guard.dir(fresh.path());
    let file = fresh.path().join("NamingLauncher.java");
    std::fs::write(&file, source).context("cannot write the launcher's source")?;
    let output = Command::new(java::tool("javac"))
        .arg("-d")
        .arg(fresh.path())
        .arg("-cp")
        .arg(dir.join("lib/*"))
        .arg(&file)
        .stdin(Stdio::null())
        .output()
        .context("a JDK with `javac` is needed once to start Nacos 1.3.0")?;
    if !output.status.success() {
        bail!("javac refused the launcher of Nacos 1.3.0: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    if place.exists() {
        std::fs::remove_dir_all(&place).with_context(|| format!("cannot replace {}", place.display()))?;
    }
    std::fs::rename(fresh.keep(), &place).with_context(|| format!("cannot create {}", place.display()))
}

/// Where fetched artifacts are kept: `$TANDEM_CACHE`, else the user's cache directory.
pub(crate) fn cache_dir() -> anyhow::Result<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    from("TANDEM_CACHE")
        .or_else(|| Some(from("XDG_CACHE_HOME")?.join("tandem")))
        .or_else(|| Some(from("HOME")?.join(".cache/tandem")))
        .context("no place for a cache: set TANDEM_CACHE to a directory")
}

/// Holds a file's lock; the kernel releases it with the process.
pub(crate) fn lock(path: &Path, what: &str, progress: &dyn Progress) -> anyhow::Result<File> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    let deadline = Instant::now() + LOCK_TIMEOUT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
            Err(TryLockError::WouldBlock) if Instant::now() > deadline => {
                bail!("another run holds {} for more than {} s", path.display(), LOCK_TIMEOUT.as_secs());
            }
            Err(TryLockError::WouldBlock) => {
                progress.status(&format!("waiting for another run that fetches {what}"));
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

fn jars_in(lib: &Path) -> anyhow::Result<Vec<String>> {
    let entries = std::fs::read_dir(lib).with_context(|| format!("cannot read {}", lib.display()))?;
    Ok(entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".jar"))
        .collect())
}

fn sha256(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_pins_its_main_jar() {
        for (artifact, jars) in ARTIFACTS.iter().zip([130, 114, 76]) {
            assert_eq!(artifact.pins().len(), jars, "{}", artifact.version);
            assert_eq!(artifact.main_hash().len(), 64, "{}", artifact.version);
            assert!(artifact.pom.contains(artifact.version));
        }
        assert!(Artifact::of("1.4.1").is_some() && Artifact::of("9").is_none());
    }

    /// A version of two made-up jars, to try the check without the real ones.
    fn small() -> Artifact {
        // SHA-256 of "one" and "two".
        let hashes = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed  one.jar\n\
                      3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3  two.jar\n";
        Artifact { version: "0", coordinates: "a:one:0", pom: "", hashes, launcher: None }
    }

    #[test]
    fn only_exactly_the_pinned_jars_pass() {
        let dir = tempfile::tempdir().unwrap();
        let lib = dir.path();
        let verify = || small().verify(lib).map_err(|error| format!("{error:#}"));
        std::fs::write(lib.join("one.jar"), "one").unwrap();
        assert!(verify().unwrap_err().contains("two.jar is missing"));
        std::fs::write(lib.join("two.jar"), "two").unwrap();
        assert_eq!(verify(), Ok(()));
        std::fs::write(lib.join("two.jar"), "tow").unwrap();
        assert!(verify().unwrap_err().contains("not the pinned"));
        std::fs::write(lib.join("two.jar"), "two").unwrap();
        std::fs::write(lib.join("three.jar"), "").unwrap();
        assert!(verify().unwrap_err().contains("three.jar is not one of the jars"));
    }
}
