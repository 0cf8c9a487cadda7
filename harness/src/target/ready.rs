//! When a cluster is usable: not when a process says so, but when every node sees every node
//! (`compat/spec/reference-targets.md` §5).

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use reqwest::Client;
use serde_json::Value;

use super::{Node, NodeKind};

/// One question to a node that is still starting must not hold up the others for long.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// A persistent write may wait 5 s for a majority inside real Nacos.
const PROBE_TIMEOUT: Duration = Duration::from_secs(6);

/// Bound on removing the probe's service: a real server shows its own write a moment late.
const CLEAN_UP_TRIES: u32 = 50;

/// Name of the service that proves that persistent writes work; removed again.
const PROBE_SERVICE: &str = "tandem-ready-probe";

/// Asks nodes whether they are usable.
#[derive(Debug, Clone)]
pub(crate) struct Prober {
    client: Client,
}

impl Prober {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let client = Client::builder()
            .no_proxy()
            .connect_timeout(Duration::from_millis(500))
            .timeout(REQUEST_TIMEOUT)
            .build()
            .context("cannot set up an HTTP client")?;
        Ok(Self { client })
    }

    /// `Ok` when the node is up and sees all `members` as up; otherwise a few words on what is missing. Without a leader
    /// for its own storage a real node is never ready by its own word, and serves names all the same
    /// (`compat/spec/membership.md` §8).
    pub(crate) async fn check(&self, node: &Node, members: &BTreeSet<String>, has_storage: bool) -> Result<(), String> {
        self.metrics_up(node).await?;
        match (node.kind, node.version.as_str()) {
            (NodeKind::Url, _) => Ok(()),
            (NodeKind::Nacos, "1.1.4") => {
                self.naming_up(node, members, "?healthy=true", "alive", &Value::Bool(true)).await
            }
            (NodeKind::Nacos, "1.3.0") => self.naming_up(node, members, "", "state", &Value::from("UP")).await,
            (NodeKind::Nacos, _) => {
                if has_storage {
                    self.readiness(node).await?;
                }
                self.members_up(node, members).await
            }
            (NodeKind::Tandem | NodeKind::Docker, _) => self.members_up(node, members).await,
        }
    }

    /// Whether a node listens at all.
    pub(crate) async fn answers(&self, node: &Node) -> bool {
        self.get(node, "/v1/ns/operator/metrics").await.is_ok()
    }

    async fn get(&self, node: &Node, path: &str) -> Result<(u16, String), String> {
        let answer = self.client.get(format!("{}{path}", node.base_url())).send().await.map_err(|_| "no answer")?;
        let status = answer.status().as_u16();
        let body = answer.text().await.map_err(|_| "answer cut short")?;
        Ok((status, body))
    }

    pub(crate) async fn get_json(&self, node: &Node, path: &str) -> Result<Value, String> {
        match self.get(node, path).await? {
            (200, body) => serde_json::from_str(&body).map_err(|_| format!("{path} answers no JSON")),
            (status, _) => Err(format!("{path} answers {status}")),
        }
    }

    pub(crate) async fn post_json(&self, node: &Node, path: &str, body: &Value) -> anyhow::Result<Value> {
        let url = format!("{}{path}", node.base_url());
        let answer = self.client.post(&url).timeout(PROBE_TIMEOUT).json(body).send().await;
        let answer = answer.with_context(|| format!("no answer to POST {path}"))?;
        answer.json().await.with_context(|| format!("POST {path} answers no JSON"))
    }

    /// The time in a node's answer to a path that is none, as text. Not the `Date` header: servers keep that for a
    /// second, and one whose clock was put back for as long as it was put back.
    pub(crate) async fn time(&self, node: &Node) -> Result<String, String> {
        let (_, body) = self.get(node, "/v1/tandem-clock").await?;
        let answer: Value = serde_json::from_str(&body).map_err(|_| "no JSON about a path that is none")?;
        answer["timestamp"].as_str().map(str::to_owned).ok_or_else(|| "no time in its answer".to_owned())
    }

    /// `Ok` when the node has switched from the old raft to JRaft: its old paths then say so and nothing else.
    pub(crate) async fn left_old_raft(&self, node: &Node) -> Result<(), String> {
        match self.get(node, "/v1/ns/raft/state").await? {
            (500, body) if body.contains("old raft protocol already stop") => Ok(()),
            _ => Err("still speaks the old raft protocol".to_owned()),
        }
    }

    async fn metrics_up(&self, node: &Node) -> Result<(), String> {
        let metrics = self.get_json(node, "/v1/ns/operator/metrics").await?;
        match metrics["status"].as_str() {
            Some("UP") => Ok(()),
            status => Err(format!("status {}", status.unwrap_or("unknown"))),
        }
    }

    async fn readiness(&self, node: &Node) -> Result<(), String> {
        match self.get(node, "/v1/console/health/readiness").await? {
            (200, _) => Ok(()),
            (status, _) => Err(format!("readiness {status}")),
        }
    }

    async fn members_up(&self, node: &Node, members: &BTreeSet<String>) -> Result<(), String> {
        let answer = self.get_json(node, "/v1/core/cluster/nodes").await?;
        all_listed(members, &answer["data"], |entry| entry["state"] == "UP")
    }

    /// The naming-only versions: an HTTP raft leader, and all members in the naming module's own list.
    async fn naming_up(
        &self,
        node: &Node,
        members: &BTreeSet<String>,
        query: &str,
        field: &str,
        up: &Value,
    ) -> Result<(), String> {
        if members.len() < 2 {
            // Alone, 1.1.4 never gets a leader and works all the same (§4.3).
            return Ok(());
        }
        let servers = self.get_json(node, &format!("/v1/ns/operator/servers{query}")).await?;
        all_listed(members, &servers["servers"], |entry| &entry[field] == up)?;
        match self.get(node, "/v1/ns/raft/leader").await? {
            (200, body) if body.contains("LEADER") => Ok(()),
            _ => Err("no raft leader".to_owned()),
        }
    }

    /// Registers a persistent instance and removes every trace of it: proof that a CP leader exists. The clean-up is
    /// tried a few times, since a real server shows its own write a moment late.
    pub(crate) async fn persistent_write(&self, node: &Node) -> Result<(), String> {
        let base = node.base_url();
        let instance = format!("{base}/v1/ns/instance?serviceName={PROBE_SERVICE}&ip=127.0.0.1&port=1&ephemeral=false");
        let post = self.client.post(&instance).timeout(PROBE_TIMEOUT).send().await;
        match post.map(|answer| answer.status().as_u16()) {
            Ok(200) => {}
            Ok(status) => return Err(format!("persistent writes answer {status}")),
            Err(_) => return Err("persistent writes are not answered".to_owned()),
        }
        let service = format!("{base}/v1/ns/service?serviceName={PROBE_SERVICE}");
        let mut instance_is_gone = false;
        for _ in 0..CLEAN_UP_TRIES {
            if !instance_is_gone {
                let removed = self.client.delete(&instance).timeout(PROBE_TIMEOUT).send().await;
                instance_is_gone = removed.is_ok_and(|answer| answer.status().as_u16() == 200);
            }
            if instance_is_gone && self.is_service_removed(&service).await {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(format!("the service {PROBE_SERVICE} cannot be removed again"))
    }

    /// Asks for the removal; a service that is not there any more (any status, but a text that says so) counts too.
    async fn is_service_removed(&self, service: &str) -> bool {
        let Ok(answer) = self.client.delete(service).timeout(PROBE_TIMEOUT).send().await else { return false };
        let status = answer.status().as_u16();
        let body = answer.text().await.unwrap_or_default();
        status == 200 || body.contains("specified service not exist")
    }
}

/// Every member stands in the list, and counts as up.
fn all_listed(members: &BTreeSet<String>, list: &Value, is_up: impl Fn(&Value) -> bool) -> Result<(), String> {
    let entries = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let up: BTreeSet<String> = entries.iter().filter(|entry| is_up(entry)).filter_map(address_of).collect();
    let missing: Vec<&str> = members.difference(&up).map(String::as_str).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("does not see {} as up", missing.join(", "))) }
}

fn address_of(entry: &Value) -> Option<String> {
    let ip = entry["ip"].as_str()?;
    // 1.1.4 calls it servePort.
    let port = entry["port"].as_u64().or_else(|| entry["servePort"].as_u64())?;
    Some(format!("{ip}:{port}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_member_that_is_down_or_absent_is_named() {
        let members = BTreeSet::from(["127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned()]);
        let list = |state: &str| json!([{"ip": "127.0.0.1", "port": 1, "state": "UP"}, {"ip": "127.0.0.1", "port": 2, "state": state}]);
        let is_up = |entry: &Value| entry["state"] == "UP";
        assert_eq!(all_listed(&members, &list("UP"), is_up), Ok(()));
        assert!(all_listed(&members, &list("DOWN"), is_up).unwrap_err().contains("127.0.0.1:2"));
        assert!(all_listed(&members, &Value::Null, is_up).is_err());
    }
}
