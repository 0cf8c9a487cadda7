//! Nodes as containers: faults, logs, and nothing left behind. Needs an engine and the image that
//! `compat/docker/build` makes; says so where there is none.

// A test that cannot go on panics, in its helpers as well.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tandem::target::{LaunchOptions, NodeKind, TargetSpec, launch};
use testcontainers::bollard::Docker;
use testcontainers::bollard::models::ContainerCreateBody;
use testcontainers::bollard::query_parameters::{
    CreateContainerOptions, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
};
use testcontainers::core::client::docker_client_instance;
use tokio::sync::{Mutex, MutexGuard};

const IMAGE: &str = "tandem-server:latest";

/// Set to `1` where a missing engine or image must be an error and never a skip.
const REQUIRE_VARIABLE: &str = "TANDEM_REQUIRE_DOCKER";

/// Containers are told apart by the process that launched them, which is one for all tests of this file.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// The engine, when one answers and has the image, and the right to use it.
async fn engine() -> Option<(Docker, MutexGuard<'static, ()>)> {
    let turn = ONE_AT_A_TIME.lock().await;
    let found = async {
        let engine = docker_client_instance().await.map_err(|error| error.to_string())?;
        let asked = tokio::time::timeout(Duration::from_secs(3), engine.ping()).await;
        asked.map_err(|_| "no answer in time".to_owned())?.map_err(|error| error.to_string())?;
        engine.inspect_image(IMAGE).await.map_err(|error| format!("{error}; compat/docker/build makes it"))?;
        Ok::<_, String>(engine)
    };
    match found.await {
        Ok(engine) => Some((engine, turn)),
        Err(why) => {
            assert!(std::env::var(REQUIRE_VARIABLE).is_err(), "{why}");
            println!("skipped: no Docker engine with the image {IMAGE}: {why}");
            None
        }
    }
}

/// Ids of the containers, running or not, that a process launched.
async fn containers_of(engine: &Docker, pid: u32) -> Vec<String> {
    let filters = HashMap::from([("label", vec!["org.tandem.run"])]);
    let listing = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let of_pid = |labels: &HashMap<String, String>| labels["org.tandem.run"].starts_with(&format!("{pid}-"));
    let all = engine.list_containers(Some(listing)).await.unwrap();
    all.into_iter().filter(|it| it.labels.as_ref().is_some_and(of_pid)).filter_map(|it| it.id).collect()
}

async fn wait_for_containers(engine: &Docker, pid: u32, count: usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while containers_of(engine, pid).await.len() != count {
        assert!(Instant::now() < deadline, "waited in vain for {count} containers");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_take_faults_and_keep_their_logs() {
    let Some((engine, _turn)) = engine().await else { return };
    let spec: TargetSpec = format!("2xdocker:{IMAGE}").parse().unwrap();
    let options =
        LaunchOptions { guard_program: Some(PathBuf::from(env!("CARGO_BIN_EXE_tandem"))), ..LaunchOptions::default() };
    let mut cluster = launch(&spec, &options).await.unwrap();
    let limit = Duration::from_secs(30);
    let answers = async |base: String| {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(1)).build().unwrap();
        client.get(format!("{base}/v1/console/health/readiness")).send().await.is_ok()
    };

    let node = cluster.node(1).unwrap().clone();
    assert_eq!(node.kind, NodeKind::Tandem);
    assert!(node.artifact.contains("sha256:"), "{}", node.artifact);
    assert!(cluster.rss_bytes().iter().all(|bytes| *bytes > 1 << 20), "{:?}", cluster.rss_bytes());

    cluster.pause(1).await.unwrap();
    assert!(!answers(node.base_url()).await);
    cluster.resume(1).await.unwrap();
    assert!(answers(node.base_url()).await);

    cluster.kill_node(1).await.unwrap();
    assert!(!answers(node.base_url()).await);
    assert_eq!(cluster.rss_bytes()[1], 0);
    // A node that was killed is waited for, not mistaken for one that ended by itself.
    let waited = cluster.wait_ready(Duration::from_millis(300), options.progress.as_ref()).await.unwrap_err();
    assert!(waited.to_string().contains("was not usable within"), "{waited}");
    cluster.start_node(1).await.unwrap();
    cluster.wait_ready(limit, options.progress.as_ref()).await.unwrap();

    cluster.stop_node(1).await.unwrap();
    cluster.start_node(1).await.unwrap();
    cluster.wait_ready(limit, options.progress.as_ref()).await.unwrap();
    assert!(cluster.nodes[1].pid.is_some());

    let kept = tempfile::tempdir().unwrap();
    cluster.keep_logs(kept.path()).await.unwrap();
    let said = std::fs::read_to_string(kept.path().join("node1/logs/stdout.log")).unwrap();
    assert!(said.contains("serving") && said.contains("SIGTERM"), "{said}");
    let members = std::fs::read_to_string(kept.path().join("node1/conf/cluster.conf")).unwrap();
    assert!(members.contains(&node.address), "{members}");

    assert_eq!(containers_of(&engine, std::process::id()).await.len(), 2);
    cluster.shutdown().await.unwrap();
    assert_eq!(containers_of(&engine, std::process::id()).await, Vec::<String>::new());
}

/// A harness that is killed whatever the test does.
struct Harness(Child);

impl Drop for Harness {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_container_remains_when_the_harness_is_killed() {
    let Some((engine, _turn)) = engine().await else { return };
    let work = tempfile::tempdir().unwrap();
    let mut harness = Harness(
        Command::new(env!("CARGO_BIN_EXE_tandem"))
            .args(["up", &format!("2xdocker:{IMAGE}"), "--work-dir"])
            .arg(work.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let pid = harness.0.id();
    wait_for_containers(&engine, pid, 2).await;
    harness.0.kill().unwrap();
    harness.0.wait().unwrap();
    wait_for_containers(&engine, pid, 0).await;
}

/// A container that never ran, with these labels.
async fn left_behind(engine: &Docker, run: &str, place: &str) -> String {
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let labels = HashMap::from([label("org.tandem.run", run), label("org.tandem.place", place)]);
    let body = ContainerCreateBody { image: Some(IMAGE.to_owned()), labels: Some(labels), ..Default::default() };
    engine.create_container(None::<CreateContainerOptions>, body).await.unwrap().id
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_start_removes_what_a_dead_run_left_here_and_leaves_what_is_of_elsewhere() {
    let Some((engine, _turn)) = engine().await else { return };
    let options =
        LaunchOptions { guard_program: Some(PathBuf::from(env!("CARGO_BIN_EXE_tandem"))), ..LaunchOptions::default() };
    let spec: TargetSpec = format!("docker:{IMAGE}").parse().unwrap();
    let cluster = launch(&spec, &options).await.unwrap();
    let own = containers_of(&engine, std::process::id()).await.remove(0);
    let labels = engine.inspect_container(&own, None).await.unwrap().config.unwrap().labels.unwrap();
    cluster.shutdown().await.unwrap();

    // The first process of a machine starts soon after the boot, and not then.
    let (here, elsewhere) = (
        left_behind(&engine, "1-999999999-0", &labels["org.tandem.place"]).await,
        left_behind(&engine, "1-999999999-0", "another machine").await,
    );
    launch(&spec, &options).await.unwrap().shutdown().await.unwrap();
    let is_there = async |id: &str| engine.inspect_container(id, None).await.is_ok();
    let (is_here, is_elsewhere) = (is_there(&here).await, is_there(&elsewhere).await);
    for id in [here, elsewhere] {
        let gone = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let _ = engine.remove_container(&id, Some(gone)).await;
    }
    assert_eq!((is_here, is_elsewhere), (false, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_ends_by_itself_is_reported_with_what_it_said() {
    let Some((engine, _turn)) = engine().await else { return };
    let spec: TargetSpec = format!("docker:{IMAGE}").parse().unwrap();
    let kept = tempfile::tempdir().unwrap();
    let options = LaunchOptions {
        guard_program: Some(PathBuf::from(env!("CARGO_BIN_EXE_tandem"))),
        keep_logs: Some(kept.path().to_owned()),
        properties: [("nacos.core.auth.enabled".to_owned(), "true".to_owned())].into(),
        ..LaunchOptions::default()
    };
    let error = format!("{:#}", launch(&spec, &options).await.unwrap_err());
    assert!(error.contains("ended by itself") && error.contains("nacos.core.auth.enabled"), "{error}");
    let said = std::fs::read_to_string(kept.path().join("node0/logs/stdout.log")).unwrap();
    assert!(said.contains("nacos.core.auth.enabled"), "{said}");
    wait_for_containers(&engine, std::process::id(), 0).await;
}
