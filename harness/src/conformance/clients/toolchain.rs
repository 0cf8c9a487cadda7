//! What each client needs on this machine.

use std::path::{Path, PathBuf};

use super::sdk::Sdk;
use crate::target::java;

/// One tool that a client needs.
struct Tool {
    program: PathBuf,
    /// What makes it say its version.
    ask: &'static [&'static str],
    /// The command as a person types it.
    shown: &'static str,
    install: &'static str,
}

impl Tool {
    fn new(
        program: impl Into<PathBuf>,
        ask: &'static [&'static str],
        shown: &'static str,
        install: &'static str,
    ) -> Self {
        Self { program: program.into(), ask, shown, install }
    }
}

fn tools(sdk: Sdk) -> Vec<Tool> {
    match sdk {
        Sdk::Java => vec![
            Tool::new(java::tool("java"), &["-version"], "java", "install a JDK, for example openjdk-17-jdk-headless"),
            Tool::new(
                java::tool("javac"),
                &["-version"],
                "javac",
                "install a JDK, for example openjdk-17-jdk-headless",
            ),
            Tool::new("mvn", &["-version"], "mvn", "install Maven 3"),
        ],
        Sdk::Go => vec![Tool::new("go", &["version"], "go", "install Go 1.18 or later")],
        Sdk::Python => vec![
            Tool::new("python3", &["--version"], "python3", "install Python 3.7 or later"),
            Tool::new("python3", &["-m", "pip", "--version"], "python3 -m pip", "install pip, for example python3-pip"),
        ],
        Sdk::Node => vec![
            Tool::new("node", &["--version"], "node", "install Node.js 12 or later"),
            Tool::new("npm", &["--version"], "npm", "install npm 7 or later"),
        ],
    }
}

/// What a client would be run with, e.g. `openjdk version "17.0.15"`.
///
/// # Errors
/// One sentence that names the tool that is missing.
pub fn find(sdk: Sdk) -> Result<String, String> {
    let mut first = None;
    for tool in tools(sdk) {
        let said = answer(&tool)
            .ok_or_else(|| format!("`{}` not found, which the {sdk} client needs; {}", tool.shown, tool.install))?;
        first.get_or_insert(said);
    }
    Ok(first.unwrap_or_default())
}

fn answer(tool: &Tool) -> Option<String> {
    let said = java::ask_with(&tool.program, tool.ask).ok()?;
    Some(said.lines().next().unwrap_or_default().trim().to_owned())
}

/// Path of the interpreter behind a name: a shim that looks at its surroundings is no use to a program that is given
/// others.
pub(super) fn interpreter(program: &str, ask: &[&str]) -> PathBuf {
    let said = java::ask_with(Path::new(program), ask).unwrap_or_default();
    let path = PathBuf::from(said.lines().next().unwrap_or_default().trim());
    if path.is_absolute() && path.is_file() { path } else { PathBuf::from(program) }
}
