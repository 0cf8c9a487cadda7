//! Nodes as containers of any image that takes the official image's variables.
//!
//! Containers share the host's network: members, clients and UDP push then reach each other by the same addresses as
//! with processes, and containers and processes can form one cluster. Each carries a label with the run that owns it,
//! by which it is found again whatever happens to the harness.

mod image;
mod logs;
mod members;
mod sweep;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, bail};
use testcontainers::bollard::Docker;
use testcontainers::bollard::query_parameters::KillContainerOptions;
use testcontainers::core::client::docker_client_instance;
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, ContainerRequest, GenericImage, ImageExt};

use super::options::LaunchOptions;
use super::process::GRACE;
use super::seat::Seat;
use crate::guard::Guard;

pub(crate) use image::{Contents, can_be_had, contents, official_tag};
pub(crate) use sweep::{remove_containers_of, sweep};

/// Label whose value is the run's id.
const LABEL: &str = "org.tandem.run";

/// Label that says where the process ids of a run's id mean something.
const PLACE_LABEL: &str = "org.tandem.place";

/// Where the official image keeps everything, and images that take its place.
const HOME: &str = "/home/nacos";

/// An engine that does not answer a ping within this time is not there.
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// The members, separated by blanks; images write them to `cluster.conf` at every start.
const MEMBERS_VARIABLE: &str = "NACOS_SERVERS";

/// Creating and starting a container of an image that is here.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// One container and the request it can be made from again.
#[derive(Debug)]
pub(crate) struct Container {
    handle: ContainerAsync<GenericImage>,
    engine: Docker,
    pub(crate) pid: Option<u32>,
    /// Ended because it was told to.
    is_ended: bool,
}

/// The engine of this machine, when one answers.
pub(crate) async fn engine() -> anyhow::Result<Docker> {
    let sentence = "no Docker engine answers on this machine; start one, or use nacos@1.4.1 with a JDK and Maven";
    let engine = docker_client_instance().await.context(sentence)?;
    match tokio::time::timeout(PING_TIMEOUT, engine.ping()).await {
        Ok(Ok(_)) => Ok(engine),
        Ok(Err(error)) => Err(error).context(sentence),
        Err(_) => bail!(sentence),
    }
}

/// Version of the engine, for `doctor`.
pub(crate) async fn engine_version() -> anyhow::Result<String> {
    let version = tokio::time::timeout(PING_TIMEOUT, engine().await?.version()).await??;
    Ok(version.version.unwrap_or_else(|| "of unknown version".to_owned()))
}

impl Container {
    /// Creates and starts the container of one node. Where `first_members` are given, it knows those at first, and
    /// others as soon as [`Self::write_members`] names them.
    pub(crate) async fn start(
        image: &str,
        seat: &Seat,
        first_members: Option<&BTreeSet<String>>,
        options: &LaunchOptions,
        guard: &Guard,
    ) -> anyhow::Result<Self> {
        let engine = engine().await?;
        guard.containers();
        let request = request(image, seat, first_members, options, guard.run());
        let handle = tokio::time::timeout(START_TIMEOUT, request.start())
            .await
            .with_context(|| format!("no container of {image} started within {} s", START_TIMEOUT.as_secs()))?
            .with_context(|| format!("cannot start a container of {image}"))?;
        let mut container = Self { handle, engine, pid: None, is_ended: false };
        container.read_pid().await;
        Ok(container)
    }

    async fn read_pid(&mut self) {
        let state = self.engine.inspect_container(self.handle.id(), None).await.ok().and_then(|seen| seen.state);
        self.pid = state.and_then(|state| u32::try_from(state.pid?).ok()).filter(|pid| *pid > 0);
    }

    /// Starts the same container again, with what it had written.
    pub(crate) async fn restart(&mut self) -> anyhow::Result<()> {
        self.handle.start().await.context("cannot start the container again")?;
        self.is_ended = false;
        self.read_pid().await;
        Ok(())
    }

    fn end(&mut self) {
        self.pid = None;
        self.is_ended = true;
    }

    /// SIGTERM, and SIGKILL after the grace time.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        self.end();
        let grace = i32::try_from(GRACE.as_secs()).ok();
        self.handle.stop_with_timeout(grace).await.context("cannot stop the container")
    }

    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        self.end();
        let none: Option<KillContainerOptions> = None;
        self.engine.kill_container(self.handle.id(), none).await.context("cannot kill the container")
    }

    pub(crate) async fn pause(&self) -> anyhow::Result<()> {
        self.handle.pause().await.context("cannot pause the container")
    }

    pub(crate) async fn resume(&self) -> anyhow::Result<()> {
        self.handle.unpause().await.context("cannot resume the container")
    }

    /// Whether it has ended though nobody told it to.
    pub(crate) async fn ended_by_itself(&self) -> bool {
        !self.is_ended && !self.handle.is_running().await.unwrap_or(false)
    }

    /// All it printed so far.
    pub(crate) async fn output(&self) -> Vec<u8> {
        let mut all = self.handle.stdout_to_vec().await.unwrap_or_default();
        all.extend(self.handle.stderr_to_vec().await.unwrap_or_default());
        all
    }

    pub(crate) async fn remove(self) -> anyhow::Result<()> {
        self.handle.rm().await.context("cannot remove the container")
    }
}

/// Variables of the official image (`compat/spec/reference-targets.md` §8).
fn variables(seat: &Seat, options: &LaunchOptions) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("NACOS_SERVER_IP", seat.ip.clone()),
        ("PREFER_HOST_MODE", "ip".to_owned()),
        ("NACOS_APPLICATION_PORT", seat.port.to_string()),
    ];
    if seat.standalone {
        variables.push(("MODE", "standalone".to_owned()));
    } else {
        variables.push(("MODE", "cluster".to_owned()));
        variables.push((MEMBERS_VARIABLE, seat.members.join(" ")));
        variables.push(("EMBEDDED_STORAGE", "embedded".to_owned()));
    }
    let heap = seat.heap_mb.unwrap_or(512);
    variables.push(("JVM_XMS", format!("{heap}m")));
    variables.push(("JVM_XMX", format!("{heap}m")));
    variables.push(("JVM_XMN", format!("{}m", heap / 2)));
    let asked: Vec<String> = options.properties_of(seat.index).map(|(key, value)| format!("--{key}={value}")).collect();
    if !asked.is_empty() {
        // Appended behind the jar, where Spring reads them as arguments.
        variables.push(("JAVA_OPT_EXT", asked.join(" ")));
    }
    variables
}

fn request(
    image: &str,
    seat: &Seat,
    first_members: Option<&BTreeSet<String>>,
    options: &LaunchOptions,
    run: &str,
) -> ContainerRequest<GenericImage> {
    let (name, tag) = image::split_tag(image);
    let mut request = GenericImage::new(name, tag)
        .with_network("host")
        .with_label(LABEL, run)
        .with_label(PLACE_LABEL, sweep::place());
    if let Some(members) = first_members {
        request = request.with_copy_to(members::MEMBERS_FILE, members::lines(members));
    }
    variables(seat, options)
        .into_iter()
        .filter(|(key, _)| first_members.is_none() || *key != MEMBERS_VARIABLE)
        .fold(request, |request, (key, value)| request.with_env_var(key, value))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_cluster_node_gets_the_official_variables() {
        let members = vec!["127.0.0.1:14001".to_owned(), "127.0.0.1:14002".to_owned()];
        let mut seat = Seat {
            index: 0,
            ip: "127.0.0.1".to_owned(),
            port: 14_001,
            listen_ip: None,
            home: "/n".into(),
            standalone: false,
            members,
            heap_mb: Some(384),
        };
        let given: BTreeMap<_, _> = variables(&seat, &LaunchOptions::default()).into_iter().collect();
        assert_eq!(given["NACOS_SERVERS"], "127.0.0.1:14001 127.0.0.1:14002");
        assert_eq!((given["EMBEDDED_STORAGE"].as_str(), given["MODE"].as_str()), ("embedded", "cluster"));
        assert_eq!((given["JVM_XMX"].as_str(), given["NACOS_APPLICATION_PORT"].as_str()), ("384m", "14001"));
        seat.standalone = true;
        let alone: BTreeMap<_, _> = variables(&seat, &LaunchOptions::default()).into_iter().collect();
        assert!(alone["MODE"] == "standalone" && !alone.contains_key("NACOS_SERVERS"));
    }
}
