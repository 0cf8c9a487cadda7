//! The Java this machine has.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process_group};

/// A Java runtime that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Java {
    pub(crate) program: PathBuf,
    /// As it says itself, e.g. `17.0.15` or `1.8.0_392`.
    pub(crate) version: String,
    /// `17`, `8`.
    pub(crate) major: u32,
}

/// Packages Nacos reaches into by reflection and a modular Java keeps closed (`compat/spec/reference-targets.md` §3).
const OPENED: [&str; 8] = [
    "java.base/java.lang",
    "java.base/java.lang.invoke",
    "java.base/java.util",
    "java.base/java.io",
    "java.base/java.net",
    "java.base/java.nio",
    "java.base/java.math",
    "java.base/sun.nio.ch",
];

impl Java {
    /// Asks `$JAVA_HOME/bin/java`, else the `java` on the path.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let program = tool("java");
        let said = ask(&program, "-version")
            .context("no Java runtime (`java`) found; real Nacos needs a JDK 8 to 17 with Maven, or a Docker engine")?;
        let Some((version, major)) = parse_version(&said) else {
            bail!("{} does not say its version in a way that is understood", program.display());
        };
        Ok(Self { program, version, major })
    }

    /// Flags that open the packages; a Java before 9 does not know them.
    pub(crate) fn open_flags(&self) -> Vec<String> {
        if self.major < 9 {
            return Vec::new();
        }
        OPENED.iter().flat_map(|package| ["--add-opens".to_owned(), format!("{package}=ALL-UNNAMED")]).collect()
    }
}

/// Path of a JDK's tool: in `$JAVA_HOME` when that is set and has it, else by name from the path.
pub(crate) fn tool(name: &str) -> PathBuf {
    std::env::var_os("JAVA_HOME")
        .map(|home| PathBuf::from(home).join("bin").join(name))
        .filter(|program| program.is_file())
        .unwrap_or_else(|| PathBuf::from(name))
}

/// Longest wait for a tool that is asked for its version.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Runs a tool with one flag and returns all it prints, when it ends well and in time.
pub(crate) fn ask(program: &Path, flag: &str) -> anyhow::Result<String> {
    ask_with(program, &[flag])
}

/// The same with several arguments.
pub(crate) fn ask_with(program: &Path, args: &[&str]) -> anyhow::Result<String> {
    let shown = args.join(" ");
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    // What a tool says about its version fits a pipe, so nobody needs to read before it has ended.
    while child.try_wait().context("cannot wait for a tool")?.is_none() {
        if Instant::now() > deadline {
            if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = child.wait();
            bail!("{} {shown} does not answer within {} s", program.display(), ANSWER_TIMEOUT.as_secs());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output().context("cannot read what a tool says")?;
    if !output.status.success() {
        bail!("{} {shown} ended with {}", program.display(), output.status);
    }
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok(text)
}

/// From `openjdk version "17.0.15" 2025-04-15`.
fn parse_version(said: &str) -> Option<(String, u32)> {
    let version = said.split_once("version \"")?.1.split_once('"')?.0;
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse::<u32>().ok());
    let major = match numbers.next()? {
        1 => numbers.next()?,
        major => major,
    };
    Some((version.to_owned(), major))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_both_numbering_schemes() {
        for (said, version, major) in [
            ("openjdk version \"17.0.15\" 2025-04-15\n", "17.0.15", 17),
            ("java version \"1.8.0_392\"\nJava(TM)", "1.8.0_392", 8),
            ("openjdk version \"21-ea\" 2023", "21-ea", 21),
        ] {
            assert_eq!(parse_version(said), Some((version.to_owned(), major)), "{said}");
        }
        assert_eq!(parse_version("bash: java: not found"), None);
    }

    #[test]
    fn an_old_java_gets_no_module_flags() {
        let java = |major| Java { program: "java".into(), version: String::new(), major };
        assert!(java(8).open_flags().is_empty());
        assert_eq!(java(17).open_flags().len(), 16);
    }
}
