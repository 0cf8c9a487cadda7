//! The official clients, and the sources of their programs.

use std::fmt;

use clap::ValueEnum;

/// An official client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum Sdk {
    /// The Java client
    Java,
    /// The Go SDK
    Go,
    /// The Python SDK of the HTTP generation
    Python,
    /// The Node SDK
    Node,
}

/// All of them, in the order of reports.
pub const ALL: [Sdk; 4] = [Sdk::Java, Sdk::Go, Sdk::Python, Sdk::Node];

macro_rules! sources {
    ($folder:literal, $($file:literal),+) => {
        &[$(($file, include_str!(concat!("../../../../compat/clients/", $folder, "/", $file)))),+]
    };
}

impl Sdk {
    /// `java`, `go`, `python`, `node`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Java => "java",
            Self::Go => "go",
            Self::Python => "python",
            Self::Node => "node",
        }
    }

    /// The package and its version, as the lock file pins them.
    pub fn package(self) -> &'static str {
        match self {
            Self::Java => "com.alibaba.nacos:nacos-client 1.4.1",
            Self::Go => "github.com/nacos-group/nacos-sdk-go v1.1.6",
            Self::Python => "nacos-sdk-python 1.0.0",
            Self::Node => "nacos 2.6.3",
        }
    }

    /// Whether it listens for UDP pushes; one that does not asks again and again.
    pub fn has_push(self) -> bool {
        self != Self::Python
    }

    /// File names and contents of the program and of what pins its packages.
    pub(super) fn sources(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Java => sources!("java", "Client.java", "pom.xml", "jars.sha256"),
            Self::Go => sources!("go", "main.go", "go.mod", "go.sum"),
            Self::Python => sources!("python", "client.py", "requirements.txt"),
            Self::Node => sources!("node", "client.js", "package.json", "package-lock.json"),
        }
    }

    /// Area of its verdicts.
    pub(super) fn area(self) -> String {
        format!("client-{self}")
    }
}

impl fmt::Display for Sdk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
