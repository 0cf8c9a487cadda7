//! What this machine has of what a run may need, and where the real server would come from.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use crate::conformance::clients::sdk::{self, Sdk};
use crate::conformance::clients::toolchain;
use crate::target::reference::{ARTIFACTS, CacheState, cache_dir};
use crate::target::{docker, java, nacos};
use crate::{nemesis, network};

/// Set to `1` where the absence of a real reference must be an error and never a skip.
pub const REQUIRE_VARIABLE: &str = "TANDEM_REQUIRE_REFERENCE";

/// Say which launchers and privileges this machine has.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Unpacked official distribution to look at
    #[arg(long, value_name = "DIR")]
    nacos_home: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Doctor {
    /// One row per thing a run may need.
    pub rows: Vec<Row>,
    /// Where real Nacos would come from.
    pub reference: Reference,
}

/// One thing a run may need.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// What it is.
    pub name: &'static str,
    /// Whether it is there.
    pub state: State,
    /// What was found, or what is missing; for the missing, what it is for and how to get it. One sentence.
    pub detail: String,
}

/// Whether something is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is there and usable.
    Ok,
    /// It is not; everything else works.
    Missing,
}

/// Where real Nacos would come from, and why not from an earlier place in the order.
#[derive(Debug, Clone, Serialize)]
pub struct Reference {
    /// The first place of the order that this machine has.
    pub source: ReferenceSource,
    /// Why each place before it was passed over.
    pub passed_over: Vec<String>,
}

/// The places real Nacos can come from, in the order in which they are tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum ReferenceSource {
    /// An unpacked official distribution.
    NacosHome {
        /// Its directory.
        dir: PathBuf,
        /// Version it holds.
        version: String,
    },
    /// The official image, by an engine that answers.
    Docker {
        /// The default version's image.
        image: String,
    },
    /// A JDK, and Maven or jars that it fetched before.
    Maven {
        /// Versions that can be had.
        versions: Vec<&'static str>,
    },
    /// Only what the real server once answered; good for conformance, and the report says so.
    Recordings {
        /// Where they are.
        dir: PathBuf,
    },
    /// Nothing at all.
    None,
}

impl ReferenceSource {
    /// Whether a live real server can be started.
    pub fn is_real(&self) -> bool {
        !matches!(self, Self::Recordings { .. } | Self::None)
    }
}

/// Looks at this machine. Starts nothing but the tools' own `--version`.
pub async fn doctor(nacos_home: Option<&Path>) -> Doctor {
    let jdk = check_jdk();
    let maven = check_tool("Maven", "mvn", "-version", "fetches real Nacos once; install Maven 3 (`mvn`)");
    let (engine, has_official_image) = check_docker().await;
    let home = check_nacos_home(nacos_home);
    let cache = check_cache();
    let recordings = check_recordings();
    let reference = decide(&Found {
        nacos_home: nacos_home.map(|dir| (dir, nacos::distribution_version(dir).map_err(|error| format!("{error:#}")))),
        docker: is_ok(&engine),
        official_image: has_official_image,
        java: java::Java::find().is_ok(),
        maven: is_ok(&maven),
        cached: is_ok(&cache),
        recordings: recordings_dir(),
    });
    let cargo =
        check_tool("Rust", "cargo", "--version", "builds tandem-server from a checkout; install it from rustup.rs");
    let [java, go, python, node] = sdk::ALL.map(check_client);
    let (namespaces, clocks) = (check_namespaces(), check_clocks());
    let rows = vec![cargo, jdk, maven, engine, cache, home, namespaces, clocks, recordings, java, go, python, node];
    Doctor { rows, reference }
}

impl Doctor {
    /// Where the real server would come from.
    pub fn reference(&self) -> &ReferenceSource {
        &self.reference.source
    }

    /// Fails when a real reference is demanded by the environment and there is none.
    pub fn require(&self) -> anyhow::Result<()> {
        if is_reference_required() && !self.reference.source.is_real() {
            bail!(
                "{REQUIRE_VARIABLE}=1 demands real Nacos, and there is none: {}",
                self.reference.passed_over.join("; ")
            );
        }
        Ok(())
    }

    /// As text for a person.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            let mark = if row.state == State::Ok { "ok     " } else { "missing" };
            let _ = writeln!(text, "{mark}  {:<20} {}", row.name, row.detail);
        }
        let _ = writeln!(text, "\nreal Nacos: {}", self.reference.source.describe());
        for reason in &self.reference.passed_over {
            let _ = writeln!(text, "  not taken: {reason}");
        }
        text
    }
}

impl ReferenceSource {
    fn describe(&self) -> String {
        match self {
            Self::NacosHome { dir, version } => format!("Nacos {version} from {}", dir.display()),
            Self::Docker { image } => format!("the official image {image}"),
            Self::Maven { versions } => format!("a JDK and Maven artifacts, versions {}", versions.join(", ")),
            Self::Recordings { dir } => format!("none; only recorded answers in {}", dir.display()),
            Self::None => "none".to_owned(),
        }
    }
}

/// Whether the environment demands a real reference.
pub fn is_reference_required() -> bool {
    std::env::var(REQUIRE_VARIABLE).is_ok_and(|value| value == "1")
}

/// The subcommand.
pub(crate) async fn run(args: DoctorArgs) -> anyhow::Result<ExitCode> {
    let doctor = doctor(args.nacos_home.as_deref()).await;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&doctor)?);
    } else {
        print!("{}", doctor.to_text());
    }
    doctor.require()?;
    Ok(ExitCode::SUCCESS)
}

// === the order ===

/// What the decision rests on.
struct Found<'a> {
    nacos_home: Option<(&'a Path, Result<String, String>)>,
    docker: bool,
    official_image: bool,
    java: bool,
    maven: bool,
    cached: bool,
    recordings: Option<PathBuf>,
}

fn decide(found: &Found<'_>) -> Reference {
    let mut passed_over = Vec::new();
    let source = 'source: {
        match &found.nacos_home {
            Some((dir, Ok(version))) => {
                break 'source ReferenceSource::NacosHome { dir: dir.to_path_buf(), version: version.clone() };
            }
            Some((_, Err(error))) => passed_over.push(error.clone()),
            None => passed_over.push("no --nacos-home was given".to_owned()),
        }
        match (found.docker, found.official_image) {
            (true, true) => break 'source ReferenceSource::Docker { image: official_image() },
            (true, false) => passed_over.push(format!("{} is not here and cannot be pulled", official_image())),
            (false, _) => passed_over.push("no Docker engine answers".to_owned()),
        }
        match (found.java, found.maven || found.cached) {
            (true, true) => {
                let versions = ARTIFACTS.iter().map(|artifact| artifact.version).collect();
                break 'source ReferenceSource::Maven { versions };
            }
            (false, _) => passed_over.push("there is no Java runtime".to_owned()),
            (true, false) => passed_over.push("there is Java, but no Maven to fetch the jars".to_owned()),
        }
        match &found.recordings {
            Some(dir) => ReferenceSource::Recordings { dir: dir.clone() },
            None => {
                passed_over.push("there are no recordings".to_owned());
                ReferenceSource::None
            }
        }
    };
    Reference { source, passed_over }
}

// === the checks ===

fn ok(name: &'static str, detail: impl Into<String>) -> Row {
    Row { name, state: State::Ok, detail: detail.into() }
}

fn missing(name: &'static str, detail: impl Into<String>) -> Row {
    Row { name, state: State::Missing, detail: detail.into() }
}

fn is_ok(row: &Row) -> bool {
    row.state == State::Ok
}

fn check_tool(name: &'static str, program: &str, flag: &str, purpose: &str) -> Row {
    match java::ask(Path::new(program), flag) {
        Ok(said) => ok(name, plain(said.lines().next().unwrap_or_default())),
        Err(_) => missing(name, format!("`{program}` does not run; it {purpose}")),
    }
}

/// Without the escape sequences with which some tools colour even what goes into a pipe.
fn plain(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        text.push_str(before);
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    text.push_str(rest);
    text
}

fn check_jdk() -> Row {
    let runtime = match java::Java::find() {
        Ok(runtime) => runtime,
        Err(error) => return missing("JDK", format!("{error:#}; install for example openjdk-17-jdk-headless")),
    };
    match java::ask(&java::tool("javac"), "-version") {
        Ok(said) => ok("JDK", format!("java {}, {}", runtime.version, said.trim())),
        Err(_) => ok("JDK", format!("java {} without javac, which only nacos@1.3.0 needs", runtime.version)),
    }
}

/// Name of the official image of the default version.
fn official_image() -> String {
    format!("nacos/nacos-server:{}", docker::official_tag(ARTIFACTS[0].version))
}

/// The engine, and whether the official image is here or can be pulled.
async fn check_docker() -> (Row, bool) {
    const NAME: &str = "Docker engine";
    let image = official_image();
    let found = async {
        let version = docker::engine_version().await?;
        anyhow::Ok((version, docker::can_be_had(&docker::engine().await?, &image).await))
    };
    match found.await {
        Ok((version, true)) => (ok(NAME, format!("version {version}, and {image} can be had")), true),
        Ok((version, false)) => {
            let stand_in = "compat/docker/stand-in/build makes an image that takes its place";
            (ok(NAME, format!("version {version}, but {image} is not here and cannot be pulled; {stand_in}")), false)
        }
        Err(_) => {
            let help = "docker: targets and the official image need one, start it or set DOCKER_HOST";
            (missing(NAME, format!("no engine answers; {help}")), false)
        }
    }
}

fn check_cache() -> Row {
    const NAME: &str = "reference cache";
    let Ok(dir) = cache_dir() else {
        return missing(NAME, "there is no place for fetched jars; set TANDEM_CACHE to a directory");
    };
    let mut good = Vec::new();
    for artifact in &ARTIFACTS {
        match artifact.cache_state() {
            Ok(CacheState::Good) => good.push(artifact.version),
            Ok(CacheState::Absent) => {}
            Ok(CacheState::Wrong(why)) => return missing(NAME, format!("not usable for {}: {why}", artifact.version)),
            Err(error) => return missing(NAME, format!("{error:#}")),
        }
    }
    if good.is_empty() {
        return missing(NAME, format!("{} holds no Nacos yet; the first launch fetches it with Maven", dir.display()));
    }
    ok(NAME, format!("{} holds Nacos {} with every pinned hash right", dir.display(), good.join(", ")))
}

/// What the program on an official client needs.
fn check_client(sdk: Sdk) -> Row {
    let name = match sdk {
        Sdk::Java => "Java client",
        Sdk::Go => "Go client",
        Sdk::Python => "Python client",
        Sdk::Node => "Node client",
    };
    match toolchain::find(sdk) {
        Ok(runtime) => ok(name, format!("{} would run with {}", sdk.package(), plain(&runtime))),
        Err(why) => missing(name, format!("{why}; `conform --clients` skips it")),
    }
}

fn check_nacos_home(dir: Option<&Path>) -> Row {
    const NAME: &str = "official distribution";
    match dir.map(|dir| (dir, nacos::distribution_version(dir))) {
        Some((dir, Ok(version))) => ok(NAME, format!("Nacos {version} in {}", dir.display())),
        Some((_, Err(error))) => missing(NAME, format!("{error:#}")),
        None => {
            missing(NAME, "none was named; give the directory of an unpacked one with --nacos-home to launch from it")
        }
    }
}

fn check_namespaces() -> Row {
    const NAME: &str = "namespaces";
    match network::check() {
        Ok(()) => ok(NAME, "this user may make them, so nodes can have a network and disks of their own to be broken"),
        Err(why) => missing(NAME, why),
    }
}

fn check_clocks() -> Row {
    const NAME: &str = "settable clocks";
    match nemesis::find_library() {
        Ok(library) => ok(NAME, library.display().to_string()),
        Err(why) => missing(NAME, why),
    }
}

fn check_recordings() -> Row {
    const NAME: &str = "recordings";
    match recordings_dir() {
        Some(dir) => ok(NAME, dir.display().to_string()),
        None => missing(NAME, "compat/recordings is not here; conformance without real Nacos needs a checkout of it"),
    }
}

/// `compat/recordings` of the checkout this runs in, when it holds any.
fn recordings_dir() -> Option<PathBuf> {
    let start = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).or_else(|| std::env::current_dir().ok())?;
    start
        .ancestors()
        .map(|dir| dir.join("compat/recordings"))
        .find(|dir| std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> Found<'static> {
        Found {
            nacos_home: None,
            docker: false,
            official_image: false,
            java: false,
            maven: false,
            cached: false,
            recordings: None,
        }
    }

    #[test]
    fn the_order_is_distribution_docker_maven_recordings() {
        let dir = Path::new("/nacos");
        let recordings = Some(PathBuf::from("/r"));
        let all = || Found {
            nacos_home: Some((dir, Ok("1.4.1".into()))),
            docker: true,
            official_image: true,
            java: true,
            maven: true,
            cached: true,
            recordings: recordings.clone(),
        };
        assert!(matches!(decide(&all()).source, ReferenceSource::NacosHome { .. }));
        let broken = Found { nacos_home: Some((dir, Err("no distribution".into()))), ..all() };
        let chosen = decide(&broken);
        assert_eq!(chosen.source, ReferenceSource::Docker { image: "nacos/nacos-server:1.4.1".into() });
        assert_eq!(chosen.passed_over, ["no distribution"]);
        assert!(matches!(
            decide(&Found { nacos_home: None, docker: false, ..all() }).source,
            ReferenceSource::Maven { .. }
        ));
        let only_recordings = decide(&Found { recordings, ..nothing() }).source;
        assert!(matches!(only_recordings, ReferenceSource::Recordings { .. }) && !only_recordings.is_real());
    }

    #[test]
    fn each_place_passed_over_has_its_reason() {
        let chosen = decide(&nothing());
        assert_eq!((chosen.source, chosen.passed_over.len()), (ReferenceSource::None, 4));
        let cached = decide(&Found { java: true, cached: true, ..nothing() });
        assert!(matches!(cached.source, ReferenceSource::Maven { .. }), "jars fetched before need no Maven");
        let bare = decide(&Found { java: true, ..nothing() });
        assert!(bare.passed_over.iter().any(|reason| reason.contains("no Maven")));
    }

    #[tokio::test]
    async fn every_row_says_something_in_one_line() {
        let doctor = doctor(None).await;
        assert_eq!(doctor.rows.len(), 13);
        for row in &doctor.rows {
            assert!(!row.detail.is_empty() && !row.detail.contains('\n'), "{row:?}");
        }
        assert!(serde_json::to_value(&doctor).unwrap()["reference"]["source"]["kind"].is_string());
    }

    #[test]
    fn colours_are_removed() {
        assert_eq!(plain("\u{1b}[1mApache Maven 3.8.7\u{1b}[m"), "Apache Maven 3.8.7");
    }
}
