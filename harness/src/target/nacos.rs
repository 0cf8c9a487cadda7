//! Real Nacos as processes of this machine, from Maven artifacts or from an unpacked official distribution.
//!
//! Every version is launched exactly as `compat/spec/reference-targets.md` §3 and §4 describe; the order of the class
//! path of 1.4.1 and the loopback address of 1.1.4 are load-bearing there.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::java::Java;
use super::options::LaunchOptions;
use super::process::CommandLine;
use super::reference::{ARTIFACTS, Artifact};
use super::seat::{DISTRIBUTION_PROPERTIES, Seat};
use crate::guard::Guard;

/// A real server that is ready to be started any number of times.
#[derive(Debug)]
pub(crate) struct Nacos {
    java: Java,
    pub(crate) version: String,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// Verified directory in the cache, and what is in it.
    Maven { dir: PathBuf, artifact: &'static Artifact },
    /// Unpacked official distribution.
    Distribution(PathBuf),
}

/// Heap of a node with the configuration service and JRaft, MiB.
const HEAP_FULL_MB: u32 = 512;

/// Heap of a node of the naming module alone, MiB.
const HEAP_NAMING_MB: u32 = 256;

/// Spring Security is on the class path of the naming module of 1.3.0 and would answer every request with 401.
const WITHOUT_SECURITY: &str = "--spring.autoconfigure.exclude=\
    org.springframework.boot.autoconfigure.security.servlet.SecurityAutoConfiguration,\
    org.springframework.boot.actuate.autoconfigure.security.servlet.ManagementWebSecurityAutoConfiguration";

/// Why a version cannot be had.
pub(super) fn unknown(asked: &str) -> anyhow::Error {
    let known: Vec<&str> = ARTIFACTS.iter().map(|artifact| artifact.version).collect();
    anyhow::anyhow!(
        "Nacos {asked} cannot be fetched from Maven (known: {}); give an unpacked distribution with --nacos-home, or \
         use docker:nacos/nacos-server:{asked}",
        known.join(", ")
    )
}

impl Nacos {
    /// Finds the server: the distribution in `--nacos-home` when given, else the Maven artifacts. Blocks while they
    /// are fetched.
    pub(crate) fn find(version: Option<&str>, options: &LaunchOptions, guard: &Guard) -> anyhow::Result<Self> {
        let java = Java::find()?;
        if let Some(home) = &options.nacos_home {
            let found = distribution_version(home)?;
            if let Some(asked) = version
                && asked != found
            {
                bail!("{} holds Nacos {found}, not the {asked} that was asked for", home.display());
            }
            let home = home.canonicalize().with_context(|| format!("cannot find {}", home.display()))?;
            return Ok(Self { java, version: found, source: Source::Distribution(home) });
        }
        let asked = version.unwrap_or(ARTIFACTS[0].version);
        let artifact = Artifact::of(asked).ok_or_else(|| unknown(asked))?;
        let dir = artifact.resolve(guard, options.progress.as_ref())?;
        Ok(Self { java, version: artifact.version.to_owned(), source: Source::Maven { dir, artifact } })
    }

    /// How it is launched, in words.
    pub(crate) fn launch(&self) -> String {
        match &self.source {
            Source::Maven { .. } => format!("JDK {} + Maven artifacts", self.java.version),
            Source::Distribution(_) => format!("JDK {} + official distribution", self.java.version),
        }
    }

    /// What exactly runs.
    pub(crate) fn artifact(&self) -> String {
        match &self.source {
            Source::Maven { artifact, .. } => format!("{} sha256:{}", artifact.coordinates, artifact.main_hash()),
            Source::Distribution(home) => home.join(DISTRIBUTION_JAR).display().to_string(),
        }
    }

    /// Properties of the distribution's template; the naming modules of older versions have none of their own.
    pub(crate) fn base_properties(&self) -> &'static [(&'static str, &'static str)] {
        if is_naming_only(&self.version) { &[] } else { &DISTRIBUTION_PROPERTIES }
    }

    /// The command that starts one node.
    pub(crate) fn command(&self, seat: &Seat) -> CommandLine {
        let mut args: Vec<OsString> = self.java.open_flags().into_iter().map(OsString::from).collect();
        args.extend(self.jvm_flags(seat).into_iter().map(OsString::from));
        match &self.source {
            Source::Maven { dir, .. } => {
                args.push("-cp".into());
                args.push(class_path(&self.version, dir));
                args.push(main_class(&self.version).into());
            }
            Source::Distribution(home) => {
                let plugins = home.join("plugins");
                args.push(format!("-Dloader.path={0}/health,{0}/cmdb", plugins.display()).into());
                args.push("-jar".into());
                args.push(home.join(DISTRIBUTION_JAR).into());
                args.push(format!("--logging.config={}/conf/nacos-logback.xml", home.display()).into());
                args.push("--server.max-http-header-size=524288".into());
            }
        }
        args.push(format!("--spring.config.additional-location=file:{}/conf/", seat.home.display()).into());
        args.push(format!("--server.port={}", seat.port).into());
        if let Some(ip) = seat.listen_ip {
            // Of the HTTP port alone: JRaft binds to all addresses.
            args.push(format!("--server.address={ip}").into());
        }
        if self.version != "1.1.4" {
            // Spelled like this: parts of Nacos read this literal key.
            args.push("--server.servlet.contextPath=/nacos".into());
        }
        if self.version == "1.3.0" && matches!(self.source, Source::Maven { .. }) {
            args.push(WITHOUT_SECURITY.into());
        }
        CommandLine::new(self.java.program.clone(), args, seat)
    }

    fn jvm_flags(&self, seat: &Seat) -> Vec<String> {
        let default_heap = if is_naming_only(&self.version) { HEAP_NAMING_MB } else { HEAP_FULL_MB };
        let heap = seat.heap_mb.unwrap_or(default_heap);
        let home = seat.home.display();
        let mut flags = vec![
            format!("-Xms{heap}m"),
            format!("-Xmx{heap}m"),
            // The JVM's and Tomcat's temporary files must go with the node's directory, also after SIGKILL.
            "-XX:-UsePerfData".to_owned(),
            format!("-Djava.io.tmpdir={home}/tmp"),
            format!("-Dnacos.standalone={}", seat.standalone),
            format!("-Dnacos.home={home}"),
            format!("-Dnacos.logs.path={home}/logs"),
            format!("-Dnacos.server.ip={}", seat.ip),
            format!("-Dserver.port={}", seat.port),
        ];
        if !seat.standalone && !is_naming_only(&self.version) {
            flags.push("-DembeddedStorage=true".to_owned());
        }
        flags
    }
}

/// Place of the fat jar in the distribution.
const DISTRIBUTION_JAR: &str = "target/nacos-server.jar";

fn is_naming_only(version: &str) -> bool {
    matches!(version, "1.3.0" | "1.1.4")
}

/// The address a node of this version must be known by: one of 1.1.4 whose own address contains `127.0.0.1` sends no
/// status reports, and its peers count it as dead (`compat/spec/reference-targets.md` §4.3).
pub(crate) fn ip_for(version: &str) -> &'static str {
    if version == "1.1.4" { "127.0.0.2" } else { "127.0.0.1" }
}

/// For 1.4.1 the console's classes come first, then config, then naming, as in the official archive: with another
/// order other exception handlers win and 72 of the observed error statuses change (§4.1 there).
fn class_path(version: &str, dir: &Path) -> OsString {
    let dir = dir.display();
    match version {
        "1.4.1" => format!(
            "{dir}/lib/nacos-console-1.4.1.jar:{dir}/lib/nacos-config-1.4.1.jar:{dir}/lib/nacos-naming-1.4.1.jar:{dir}/lib/*"
        ),
        "1.3.0" => format!("{dir}/launcher:{dir}/lib/*"),
        _ => format!("{dir}/lib/*"),
    }
    .into()
}

fn main_class(version: &str) -> &'static str {
    match version {
        "1.4.1" => "com.alibaba.nacos.Nacos",
        "1.3.0" => "NamingLauncher",
        _ => "com.alibaba.nacos.naming.NamingApp",
    }
}

/// Version of an unpacked distribution, read from the names of the jars inside its fat jar.
pub(crate) fn distribution_version(home: &Path) -> anyhow::Result<String> {
    let jar = home.join(DISTRIBUTION_JAR);
    let bytes = std::fs::read(&jar).with_context(|| {
        format!("{} is no unpacked Nacos distribution: it has no {DISTRIBUTION_JAR}", home.display())
    })?;
    version_in_names(&bytes)
        .with_context(|| format!("{} does not look like a Nacos server of the 1.x line", jar.display()))
}

/// The names of a zip archive's entries stand in it as plain text.
fn version_in_names(bytes: &[u8]) -> Option<String> {
    let prefix = b"BOOT-INF/lib/nacos-naming-";
    let start = bytes.windows(prefix.len()).position(|window| window == prefix)? + prefix.len();
    let rest = bytes.get(start..bytes.len().min(start + 40))?;
    let end = rest.windows(4).position(|window| window == b".jar")?;
    let version = std::str::from_utf8(&rest[..end]).ok()?;
    version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte)).then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_a_distribution_is_in_its_entry_names() {
        let bytes = b"PK\x03\x04..BOOT-INF/lib/nacos-naming-1.4.1.jar....";
        assert_eq!(version_in_names(bytes).as_deref(), Some("1.4.1"));
        assert_eq!(version_in_names(b"BOOT-INF/lib/nacos-naming-"), None);
        assert_eq!(version_in_names(b""), None);
    }

    fn command(version: &'static str, standalone: bool) -> String {
        let java = Java { program: "java".into(), version: "17".into(), major: 17 };
        let artifact = Artifact::of(version).unwrap();
        let nacos = Nacos { java, version: version.into(), source: Source::Maven { dir: "/cache".into(), artifact } };
        let ip = ip_for(version);
        let seat = Seat {
            index: 0,
            ip: ip.to_owned(),
            port: 14_000,
            listen_ip: None,
            home: "/n".into(),
            standalone,
            members: vec![],
            heap_mb: None,
        };
        let args = nacos.command(&seat).args;
        args.iter().map(|arg| arg.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_version_is_launched_as_the_specification_says() {
        let full = command("1.4.1", false);
        for part in [
            "-Xmx512m",
            "-DembeddedStorage=true",
            "-Dnacos.logs.path=/n/logs",
            "-cp /cache/lib/nacos-console-1.4.1.jar:/cache/lib/nacos-config-1.4.1.jar",
            "com.alibaba.nacos.Nacos --spring.config.additional-location=file:/n/conf/ --server.port=14000",
        ] {
            assert!(full.contains(part), "{part} in {full}");
        }
        let alone = command("1.4.1", true);
        assert!(alone.contains("-Dnacos.standalone=true") && !alone.contains("embeddedStorage"));
        let naming = command("1.3.0", false);
        assert!(naming.contains("-cp /cache/launcher:/cache/lib/* NamingLauncher") && naming.contains("-Xmx256m"));
        assert!(naming.contains("SecurityAutoConfiguration,org.springframework"));
        let oldest = command("1.1.4", false);
        assert!(oldest.contains("-Dnacos.server.ip=127.0.0.2") && !oldest.contains("contextPath"));
    }
}
