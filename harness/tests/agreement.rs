//! The agreement check against real nodes of this project: it passes on a sound cluster, and it finds what is planted.

// A test that cannot go on panics, in its helpers as well.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tandem::agreement::content::NodeContent;
use tandem::agreement::differ::{Place, between};
use tandem::agreement::members;
use tandem::agreement::read::{Scope, Source};
use tandem::client::NacosClient;
use tandem::client::call::Instance;
use tandem::target::{Cluster, LaunchOptions, TargetSpec, launch};

async fn cluster() -> Cluster {
    let spec: TargetSpec = "3xtandem".parse().unwrap();
    let options = LaunchOptions {
        guard_program: Some(PathBuf::from(env!("CARGO_BIN_EXE_tandem"))),
        ready_timeout: Duration::from_secs(60),
        ..LaunchOptions::default()
    };
    launch(&spec, &options).await.unwrap()
}

fn sources(cluster: &Cluster) -> Vec<Source> {
    let source = |it: &tandem::target::Node| Source { address: it.address.clone(), context: it.context_path.clone() };
    cluster.nodes.iter().map(source).collect()
}

/// Sends a list to one node alone, as a peer would that nobody else can reach: it is taken from anyone.
async fn plant(node: &str, service: &str, weight: f64) {
    let key = format!("com.alibaba.nacos.naming.iplist.ephemeral.public##DEFAULT_GROUP@@{service}");
    let list = serde_json::json!({ &key: { "key": key, "timestamp": 1, "value": { "instanceList": [{
        "ip": "127.0.0.9", "port": 80, "weight": weight, "healthy": true, "enabled": true, "ephemeral": true,
        "clusterName": "DEFAULT", "serviceName": format!("DEFAULT_GROUP@@{service}"),
        "metadata": { "preserved.heart.beat.timeout": "600000", "preserved.ip.delete.timeout": "600000" },
        "lastBeat": time::OffsetDateTime::now_utc().unix_timestamp() * 1000,
    }]}}});
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{node}/nacos/v1/ns/distro/datum");
    let answer = client.put(url).json(&list).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "ok");
}

fn member_problems(nodes: &[NodeContent]) -> Vec<String> {
    let lists: Vec<_> = nodes.iter().map(|it| (it.address.as_str(), it.members.as_slice())).collect();
    members::problems(&lists)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planted_disagreement_is_found_at_the_node_that_has_it() {
    let cluster = cluster().await;
    let sources = sources(&cluster);
    let scope = Scope::Named { namespaces: vec!["public".into()], part: "planted".into() };
    let client = NacosClient::new(cluster.node(0).unwrap());
    let kept = Instance::kept("sound", "127.0.0.8".into(), 80, Duration::from_secs(600));
    client.register(&kept).await.unwrap();
    // Members tell each other who they are some seconds after the start.
    let mut nodes = Source::read_all(&sources, &Scope::All).await.unwrap();
    for _ in 0..300 {
        // A reading is not one moment: what was on its way during it may look like a difference.
        let there = nodes.iter().all(|it| it.registry.len() == 1 && it.store.len() == 1);
        if there && between(&nodes, true).is_empty() && member_problems(&nodes).is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        nodes = Source::read_all(&sources, &Scope::All).await.unwrap();
    }
    assert_eq!(between(&nodes, true), [], "a sound cluster agrees");
    assert!(nodes.iter().all(|it| it.store.len() == 1 && it.registry.len() == 1));
    assert_eq!(member_problems(&nodes), Vec::<String>::new());

    // Verify repairs what a peer planted, within five seconds or so: it must be seen before.
    plant(&sources[1].address, "planted", 1.0).await;
    let nodes = Source::read_all(&sources, &scope).await.unwrap();
    let found = between(&nodes, true);
    assert!(found.iter().any(|it| it.place == Place::Store && it.property == "presence"), "{found:?}");
    assert!(found.iter().any(|it| it.place == Place::Registry && it.property == "presence"), "{found:?}");
    let there: Vec<_> = found[0].shown.iter().filter(|(_, value)| value == "there").map(|(node, _)| node).collect();
    assert_eq!(there, [&sources[1].address]);

    // The same instance everywhere, with another weight at one node.
    for source in &sources {
        plant(&source.address, "planted-weight", if source.address == sources[2].address { 7.0 } else { 1.0 }).await;
    }
    let scope = Scope::Named { namespaces: vec!["public".into()], part: "planted-weight".into() };
    let found = between(&Source::read_all(&sources, &scope).await.unwrap(), true);
    assert!(!found.is_empty() && found.iter().all(|it| it.property == "weight"), "{found:?}");
    cluster.shutdown().await.unwrap();
}

#[test]
fn the_command_says_that_a_sound_cluster_agrees() {
    let out = tempfile::tempdir().unwrap();
    let done = Command::new(env!("CARGO_BIN_EXE_tandem"))
        .args(["agree", "--target", "3xtandem", "--ops", "150", "--seed", "7", "--all", "--out"])
        .arg(out.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
    assert!(said.contains("verdict: pass"), "{said}");
    let verdicts: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.path().join("agreement.json")).unwrap()).unwrap();
    assert_eq!(verdicts[0]["planned"], 150);
    let history = std::fs::read_to_string(out.path().join("agreement-3xtandem.jsonl")).unwrap();
    assert!(history.lines().count() >= 150, "{} lines", history.lines().count());
    let one_node = Command::new(env!("CARGO_BIN_EXE_tandem")).args(["agree", "--target", "tandem"]).output().unwrap();
    assert_eq!(one_node.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&one_node.stderr).contains("one node has nobody to agree with"));
}
