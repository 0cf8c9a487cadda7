//! One start of the real server, through the library.

// A test that cannot go on panics, in its helpers as well.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use tandem::doctor::{doctor, is_reference_required};
use tandem::target::{LaunchOptions, NodeKind, TargetSpec, launch};

#[tokio::test(flavor = "multi_thread")]
async fn real_nacos_starts_alone_and_leaves_nothing() {
    let machine = doctor(None).await;
    machine.require().unwrap();
    if !machine.reference().is_real() {
        assert!(!is_reference_required());
        println!("skipped: no JDK and Maven, Docker or distribution to take real Nacos from");
        return;
    }
    let spec: TargetSpec = "nacos@1.4.1".parse().unwrap();
    let options = LaunchOptions {
        heap_mb: Some(384),
        guard_program: Some(PathBuf::from(env!("CARGO_BIN_EXE_tandem"))),
        ..LaunchOptions::default()
    };
    let mut cluster = launch(&spec, &options).await.unwrap();

    let node = cluster.node(0).unwrap().clone();
    assert_eq!((node.kind, node.version.as_str()), (NodeKind::Nacos, "1.4.1"));
    assert!(cluster.node(1).is_err());
    assert!(cluster.ready.as_millis() > 0);
    assert!(cluster.cpu_seconds[0] > 0.0);
    assert!(cluster.rss_bytes()[0] > 50 << 20, "a JVM with less than 50 MiB is no Nacos");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let reply = client.get(format!("{}/v1/console/server/state", node.base_url())).send().await.unwrap();
    assert!(reply.text().await.unwrap().contains("\"version\":\"1.4.1\""));

    let home = node.logs.unwrap();
    assert!(home.exists());
    cluster.kill_node(0).await.unwrap();
    assert_eq!((cluster.nodes[0].pid, cluster.rss_bytes()), (None, vec![0]));
    let kept = tempfile::tempdir().unwrap();
    cluster.keep_logs(kept.path()).await.unwrap();
    assert!(kept.path().join("node0/logs/stdout.log").exists());
    cluster.shutdown().await.unwrap();
    assert!(!home.exists());
}
