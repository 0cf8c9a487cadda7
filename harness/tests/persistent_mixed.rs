//! Persistent data of a cluster of real nodes and Tandem: written through Tandem, kept by all of them, the same at
//! every node, and never acknowledged when it was not committed.

// A test that cannot go on panics, in its helpers as well.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;
use tandem::agreement::ring::responsible;
use tandem::doctor::{doctor, is_reference_required};
use tandem::target::{Cluster, LaunchOptions, NodeKind, Silent, TargetSpec, launch};

/// Real nodes leave the old protocol some 12 s after their start.
const SWITCH_LIMIT: Duration = Duration::from_secs(60);
/// For a new leader, and a write that waits for one.
const ELECTION_LIMIT: Duration = Duration::from_secs(30);
/// For a write to show at every node; a busy machine is slow.
const SHOWN_LIMIT: Duration = Duration::from_secs(8);

struct Reply {
    status: u16,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

struct Nodes {
    client: reqwest::Client,
    /// Real nodes first.
    urls: Vec<String>,
    tandem: usize,
}

impl Nodes {
    fn of(cluster: &Cluster) -> Self {
        let urls = cluster.nodes.iter().map(|node| format!("{}/v1/ns", node.base_url())).collect();
        let tandem = cluster.nodes.iter().position(|node| node.kind == NodeKind::Tandem).unwrap();
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
        Nodes { client, urls, tandem }
    }

    async fn ask(&self, node: usize, call: &str) -> Reply {
        let (method, path) = call.split_once(' ').unwrap();
        let request = self.client.request(method.parse().unwrap(), format!("{}{path}", self.urls[node]));
        let reply = request.send().await.unwrap();
        Reply { status: reply.status().as_u16(), body: reply.text().await.unwrap() }
    }

    /// A write through Tandem that must succeed.
    async fn write(&self, call: &str) {
        let reply = self.ask(self.tandem, call).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, "ok"), "{call}");
    }

    /// What Tandem shows must hold at once, and then at every node.
    async fn shown(&self, call: &str, holds: impl Fn(&Value) -> bool) {
        let at_once = self.ask(self.tandem, call).await;
        assert!(holds(&at_once.json()), "Tandem, at once, {call}: {}", at_once.body);
        for node in 0..self.urls.len() {
            self.eventually(node, call, &holds).await;
        }
    }

    async fn eventually(&self, node: usize, call: &str, holds: impl Fn(&Value) -> bool) {
        let begun = Instant::now();
        loop {
            let reply = self.ask(node, call).await;
            if serde_json::from_str(&reply.body).is_ok_and(|value| holds(&value)) {
                return;
            }
            assert!(begun.elapsed() < SHOWN_LIMIT, "node {node}, {call}: {} {}", reply.status, reply.body);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The instances of a service in full, disabled ones included, are the same at every node.
    async fn agree(&self, service: &str, cluster: &str, ips: &[&str]) {
        let call = format!(
            "GET /catalog/instances?serviceName=DEFAULT_GROUP@@{service}&clusterName={cluster}&pageNo=1&pageSize=100"
        );
        self.shown(&call, |value| addresses(value) == ips).await;
        let mut lists = Vec::new();
        for node in 0..self.urls.len() {
            let mut list = self.ask(node, &call).await.json()["list"].as_array().unwrap().clone();
            list.sort_by_key(|one| one["ip"].as_str().map(str::to_owned));
            lists.push(list);
        }
        assert!(lists.windows(2).all(|pair| pair[0] == pair[1]), "{lists:#?}");
    }
}

fn addresses(value: &Value) -> Vec<&str> {
    let list = value["list"].as_array().into_iter().flatten();
    let mut ips: Vec<&str> = list.filter_map(|one| one["ip"].as_str()).collect();
    ips.sort_unstable();
    ips
}

/// A name with this prefix that the node at `owner` of three is responsible for.
fn name_owned_by(cluster: &Cluster, owner: usize, prefix: &str) -> String {
    let addresses: Vec<&str> = cluster.nodes.iter().map(|node| node.address.as_str()).collect();
    (0..)
        .map(|n| format!("{prefix}{n}"))
        .find(|name| responsible(&format!("DEFAULT_GROUP@@{name}"), &addresses) == Some(addresses[owner]))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn persistent_writes_through_tandem_are_kept_by_the_real_nodes() {
    let machine = doctor(None).await;
    machine.require().unwrap();
    if !machine.reference().is_real() {
        assert!(!is_reference_required());
        println!("skipped: no JDK and Maven, Docker or distribution to take real Nacos from");
        return;
    }
    let spec: TargetSpec = "2xnacos@1.4.1+tandem".parse().unwrap();
    let options = LaunchOptions {
        heap_mb: Some(384),
        guard_program: Some(PathBuf::from(env!("CARGO_BIN_EXE_tandem"))),
        ..LaunchOptions::default()
    };
    let mut cluster = launch(&spec, &options).await.unwrap();
    cluster.wait_consensus_switch(SWITCH_LIMIT).await.unwrap();
    let nodes = Nodes::of(&cluster);
    let real = (0..3).find(|node| *node != nodes.tandem).unwrap();

    for owner in [nodes.tandem, real] {
        instances(&nodes, &name_owned_by(&cluster, owner, "inst")).await;
        quick_registrations(&nodes, &name_owned_by(&cluster, owner, "quick"), owner == nodes.tandem).await;
        services(&nodes, &name_owned_by(&cluster, owner, "serv")).await;
    }
    written_elsewhere(&nodes, real, &name_owned_by(&cluster, real, "else")).await;
    switches(&nodes).await;
    poison(&nodes).await;

    let held = name_owned_by(&cluster, nodes.tandem, "inst");
    change_of_leader(&nodes, real, &held).await;
    nodes.write(&format!("POST /instance?serviceName={held}&ip=10.1.0.9&port=80&ephemeral=false")).await;
    // A Tandem node that starts has it before clients are let in.
    cluster.kill_node(nodes.tandem).await.unwrap();
    cluster.start_node(nodes.tandem).await.unwrap();
    cluster.wait_ready(SWITCH_LIMIT, &Silent).await.unwrap();
    nodes.agree(&held, "DEFAULT", &["10.1.0.9"]).await;
    cluster.kill_node(real).await.unwrap();
    with_two_of_three(&nodes).await;
    let other = (0..3).find(|node| *node != nodes.tandem && *node != real).unwrap();
    cluster.kill_node(other).await.unwrap();
    without_quorum(&nodes, &held).await;
    cluster.shutdown().await.unwrap();
}

async fn instances(nodes: &Nodes, service: &str) {
    let instance = format!("/instance?serviceName={service}&ip=10.1.0.1&port=80&clusterName=C1&ephemeral=false");
    nodes.write(&format!("POST {instance}&metadata=a%3D1&weight=2.5")).await;
    nodes.agree(service, "C1", &["10.1.0.1"]).await;
    nodes.write(&format!("PUT {instance}&metadata=a%3D2&weight=3&enabled=false")).await;
    let all = format!("GET /catalog/instances?serviceName=DEFAULT_GROUP@@{service}&clusterName=C1&pageNo=1&pageSize=9");
    let updated = |value: &Value| {
        let one = &value["list"][0];
        one["weight"] == 3.0 && one["enabled"] == false && one["metadata"]["a"] == "2" && one["ephemeral"] == false
    };
    nodes.shown(&all, updated).await;
    let patch = format!("PATCH /instance?serviceName={service}&ip=10.1.0.1&port=80&clusterName=C1&enabled=true");
    nodes.write(&patch).await;
    nodes.shown(&all, |value| value["list"][0]["enabled"] == true).await;
    let batch = format!("PUT /instance/metadata/batch?serviceName={service}&consistencyType=persist&metadata=b%3D3");
    let reply = nodes.ask(nodes.tandem, &batch).await;
    assert_eq!(reply.json()["updated"][0], "10.1.0.1:80:unknown:C1:persist", "{}", reply.body);
    nodes.shown(&all, |value| value["list"][0]["metadata"]["b"] == "3").await;
    nodes.write(&format!("DELETE {instance}")).await;
    nodes.agree(service, "C1", &[]).await;
}

/// One after the other without a pause; and, where Tandem does it, at the same time: real nodes may lose one then.
async fn quick_registrations(nodes: &Nodes, service: &str, is_ours: bool) {
    let call = |n: u8| format!("POST /instance?serviceName={service}&ip=10.2.0.{n}&port=80&ephemeral=false");
    let (first, second, third, fourth) = (call(1), call(2), call(3), call(4));
    nodes.write(&first).await;
    nodes.write(&second).await;
    if is_ours {
        tokio::join!(nodes.write(&third), nodes.write(&fourth));
        nodes.agree(service, "DEFAULT", &["10.2.0.1", "10.2.0.2", "10.2.0.3", "10.2.0.4"]).await;
    } else {
        nodes.agree(service, "DEFAULT", &["10.2.0.1", "10.2.0.2"]).await;
    }
}

async fn services(nodes: &Nodes, service: &str) {
    nodes.write(&format!("POST /service?serviceName={service}&protectThreshold=0.3&metadata=k%3Dv")).await;
    let detail = format!("GET /service?serviceName={service}");
    nodes.shown(&detail, |value| value["protectThreshold"] == 0.3 && value["metadata"]["k"] == "v").await;
    let again = nodes.ask(nodes.tandem, &format!("POST /service?serviceName={service}")).await;
    assert_eq!(again.status, 400, "{}", again.body);
    nodes.write(&format!("PUT /service?serviceName={service}&protectThreshold=0.7&metadata=k%3Dw")).await;
    nodes.shown(&detail, |value| value["protectThreshold"] == 0.7 && value["metadata"]["k"] == "w").await;
    let cluster = "clusterName=H&checkPort=8080&useInstancePort4Check=false&metadata=m%3Dn";
    let checker = "%7B%22type%22:%22HTTP%22,%22path%22:%22/x%22,%22headers%22:%22%22,%22expectedResponseCode%22:204%7D";
    nodes.write(&format!("PUT /cluster?serviceName={service}&{cluster}&healthChecker={checker}")).await;
    let catalog = format!("GET /catalog/service?serviceName=DEFAULT_GROUP@@{service}");
    let has_cluster = |value: &Value| {
        let cluster = &value["clusters"][0];
        cluster["healthChecker"]["expectedResponseCode"] == 204
            && cluster["defCkport"] == 8080
            && cluster["useIPPort4Check"] == false
            && cluster["metadata"]["m"] == "n"
            && value["service"]["protectThreshold"] == 0.7
    };
    nodes.shown(&catalog, has_cluster).await;
    nodes.write(&format!("DELETE /service?serviceName={service}")).await;
    let gone = nodes.ask(nodes.tandem, &detail).await;
    assert_eq!(gone.status, 500, "{}", gone.body);
    tokio::time::sleep(Duration::from_secs(3)).await;
    for node in 0..nodes.urls.len() {
        let gone = nodes.ask(node, &detail).await;
        assert!(gone.status == 500 && gone.body.contains("is not found!"), "node {node}: {}", gone.body);
    }
}

/// What is written at a real node appears at Tandem, and goes again.
async fn written_elsewhere(nodes: &Nodes, real: usize, service: &str) {
    let call = format!("/instance?serviceName={service}&namespaceId=other&ip=10.3.0.1&port=80&ephemeral=false");
    let reply = nodes.ask(real, &format!("POST {call}&enabled=false")).await;
    assert_eq!(reply.body, "ok");
    let all = format!(
        "GET /catalog/instances?serviceName=DEFAULT_GROUP@@{service}&namespaceId=other&clusterName=DEFAULT&pageNo=1\
         &pageSize=9"
    );
    nodes.eventually(nodes.tandem, &all, |value| addresses(value) == ["10.3.0.1"]).await;
    nodes.ask(real, &format!("PUT /service?serviceName={service}&namespaceId=other&protectThreshold=0.4")).await;
    let detail = format!("GET /service?serviceName={service}&namespaceId=other");
    nodes.eventually(nodes.tandem, &detail, |value| value["protectThreshold"] == 0.4).await;
    nodes.ask(real, &format!("DELETE {call}")).await;
    nodes.eventually(nodes.tandem, &all, |value| value["count"] == 0).await;
    nodes.ask(real, &format!("DELETE /service?serviceName={service}&namespaceId=other")).await;
    let begun = Instant::now();
    while nodes.ask(nodes.tandem, &detail).await.status == 200 {
        assert!(begun.elapsed() < SHOWN_LIMIT, "a service removed elsewhere is still here");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn switches(nodes: &Nodes) {
    nodes.write("PUT /operator/switches?entry=clientBeatInterval&value=5001").await;
    nodes.shown("GET /operator/switches", |value| value["clientBeatInterval"] == 5001).await;
    nodes.write("PUT /operator/switches?entry=clientBeatInterval&value=5002&debug=true").await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    for node in 0..nodes.urls.len() {
        let value = if node == nodes.tandem { 5002 } else { 5001 };
        assert_eq!(nodes.ask(node, "GET /operator/switches").await.json()["clientBeatInterval"], value, "node {node}");
    }
    nodes.write("PUT /operator/switches?entry=clientBeatInterval&value=5000").await;
    nodes.shown("GET /operator/switches", |value| value["clientBeatInterval"] == 5000).await;
}

/// What would damage the data that all nodes share is refused, and everything works afterwards.
async fn poison(nodes: &Nodes) {
    nodes.write("POST /service?serviceName=poisoned").await;
    let cluster = "PUT /cluster?serviceName=poisoned&clusterName=C&useInstancePort4Check=true";
    let tcp = "healthChecker=%7B%22type%22:%22TCP%22%7D";
    for call in [
        format!("{cluster}&checkPort=0&{tcp}"),
        format!("{cluster}&checkPort=abc&{tcp}"),
        format!("{cluster}&checkPort=80&healthChecker=null"),
        "POST /service?serviceName=x@@".to_owned(),
        "POST /service?serviceName=p&namespaceId=..%2F..%2Fx".to_owned(),
        format!("POST /service?serviceName={}", "n".repeat(300)),
        "PUT /operator/switches?entry=overriddenServerStatus&value=BOGUS".to_owned(),
    ] {
        let reply = nodes.ask(nodes.tandem, &call).await;
        assert!(reply.status == 500 && reply.body.starts_with("caused: "), "{call}: {} {}", reply.status, reply.body);
    }
    nodes.write("PUT /service?serviceName=poisoned&protectThreshold=0.5").await;
    nodes.shown("GET /service?serviceName=poisoned", |value| value["protectThreshold"] == 0.5).await;
}

/// Right after the leader changed, real nodes acknowledge writes for seconds that are lost
/// (compat/spec/jraft.md §8). Through Tandem none is.
async fn change_of_leader(nodes: &Nodes, real: usize, service: &str) {
    let core = nodes.urls[real].replace("/v1/ns", "/v1/core");
    let group = "naming_persistent_service";
    let members = || async {
        let reply = nodes.client.get(format!("{core}/cluster/nodes")).send().await.unwrap();
        reply.json::<Value>().await.unwrap()
    };
    let leader_of = |member: &Value| {
        member["extendInfo"]["raftMetaData"]["metaDataMap"][group]["leader"].as_str().map(str::to_owned)
    };
    let known = members().await;
    let is_real = |member: &&Value| member["extendInfo"]["tandem"].is_null();
    let real_members: Vec<&Value> = known["data"].as_array().unwrap().iter().filter(is_real).collect();
    let leader = leader_of(real_members[0]).unwrap();
    let raft =
        |member: &Value| format!("{}:{}", member["ip"].as_str().unwrap(), member["port"].as_i64().unwrap() - 1000);
    let next = real_members.iter().map(|member| raft(member)).find(|raft| *raft != leader).unwrap();
    let command = serde_json::json!({ "groupId": group, "command": "transferLeader", "value": next });
    let reply = nodes.client.post(format!("{core}/ops/raft")).json(&command).send().await.unwrap();
    let text = reply.text().await.unwrap();
    assert!(text.contains("\"code\":200"), "{text}");
    let ips: Vec<String> = (1..=5).map(|n| format!("10.4.0.{n}")).collect();
    for ip in &ips {
        nodes.write(&format!("POST /instance?serviceName={service}&ip={ip}&port=80&ephemeral=false")).await;
    }
    // That the leader did change, or nothing was shown.
    let begun = Instant::now();
    while !members().await["data"].as_array().unwrap().iter().any(|one| leader_of(one).as_ref() == Some(&next)) {
        assert!(begun.elapsed() < SWITCH_LIMIT, "{next} does not lead");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    nodes.agree(service, "DEFAULT", &ips.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for ip in &ips {
        nodes.write(&format!("DELETE /instance?serviceName={service}&ip={ip}&port=80&ephemeral=false")).await;
    }
}

/// Tandem and one real node are a majority, whoever led before.
async fn with_two_of_three(nodes: &Nodes) {
    let begun = Instant::now();
    let call = "POST /instance?serviceName=two-of-three&ip=10.5.0.1&port=80&ephemeral=false";
    while nodes.ask(nodes.tandem, call).await.body != "ok" {
        assert!(begun.elapsed() < ELECTION_LIMIT, "two of three do not commit");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let list = nodes.ask(nodes.tandem, "GET /instance/list?serviceName=two-of-three").await.json();
    assert_eq!(list["hosts"][0]["ip"], "10.5.0.1", "{list}");
}

/// Both real nodes are gone: nothing can be committed, so nothing may be acknowledged; what is known stays.
async fn without_quorum(nodes: &Nodes, service: &str) {
    let refused = |call: String| async move {
        let begun = Instant::now();
        let reply = nodes.ask(nodes.tandem, &call).await;
        assert!(begun.elapsed() < Duration::from_secs(12), "{call} took {:?}", begun.elapsed());
        assert!(reply.status == 500 && reply.body.starts_with("caused: "), "{call}: {} {}", reply.status, reply.body);
    };
    tokio::join!(
        refused(format!("POST /instance?serviceName={service}&ip=10.1.0.10&port=80&ephemeral=false")),
        refused("POST /service?serviceName=never".to_owned()),
        refused("PUT /operator/switches?entry=clientBeatInterval&value=5009".to_owned()),
    );
    let list = nodes.ask(nodes.tandem, &format!("GET /instance/list?serviceName={service}")).await.json();
    assert_eq!(list["hosts"][0]["ip"], "10.1.0.9", "{list}");
}
