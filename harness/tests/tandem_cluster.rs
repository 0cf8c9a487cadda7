//! A cluster of this project's own server through the library: what the fault experiments rely on.

// A test that cannot go on panics, in its helpers as well.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::time::Duration;

use tandem::target::{Cluster, LaunchOptions, NodeKind, Silent, TargetSpec, launch};

/// Generous, for a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

async fn is_answering(cluster: &Cluster, i: usize) -> bool {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build().unwrap();
    let url = format!("{}/v1/ns/operator/metrics", cluster.node(i).unwrap().base_url());
    client.get(url).send().await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_stop_start_freeze_and_leave_nothing() {
    let spec: TargetSpec = "3xtandem".parse().unwrap();
    let guard_program = Some(PathBuf::from(env!("CARGO_BIN_EXE_tandem")));
    let options = LaunchOptions { guard_program, ready_timeout: PATIENCE, ..LaunchOptions::default() };
    let mut cluster = launch(&spec, &options).await.unwrap();

    assert!(cluster.nodes.iter().all(|node| node.kind == NodeKind::Tandem && node.pid.is_some()));
    let mut sorted: Vec<_> = cluster.nodes.iter().map(|node| node.address.clone()).collect();
    sorted.sort();
    assert!(sorted.iter().eq(cluster.nodes.iter().map(|node| &node.address)), "addresses are in node order");
    assert!(cluster.rss_bytes().iter().all(|bytes| *bytes > 1 << 20));
    let (address, first_pid) = (cluster.nodes[1].address.clone(), cluster.nodes[1].pid);

    cluster.kill_node(1).await.unwrap();
    assert!(!is_answering(&cluster, 1).await && is_answering(&cluster, 0).await);
    assert_eq!(cluster.rss_bytes()[1], 0);
    cluster.start_node(1).await.unwrap();
    assert!(cluster.start_node(1).await.is_err(), "it runs already");
    cluster.wait_ready(PATIENCE, &Silent).await.unwrap();
    assert_eq!(cluster.nodes[1].address, address);
    assert!(cluster.nodes[1].pid.is_some() && cluster.nodes[1].pid != first_pid);

    cluster.pause(2).await.unwrap();
    assert!(!is_answering(&cluster, 2).await);
    cluster.resume(2).await.unwrap();
    assert!(is_answering(&cluster, 2).await);

    cluster.stop_node(0).await.unwrap();
    assert!(!is_answering(&cluster, 0).await);
    cluster.pause(2).await.unwrap();

    // One node stopped, one frozen: the end copes with both.
    let homes: Vec<_> = cluster.nodes.iter().map(|node| node.logs.clone().unwrap()).collect();
    cluster.shutdown().await.unwrap();
    assert!(!homes.iter().any(|home| home.exists()));
}
