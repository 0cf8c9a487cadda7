//! The requests of this experiment and what their answers say.
//!
//! They are sent raw: an official node answers some failures with statuses that are not HTTP (40302,
//! `compat/spec/naming-api.md` §1.3), and those must be told from a broken connection.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::agreement::content::{InstanceKey, Metadata, ServiceKey};
use crate::agreement::differ::Wanted;
use crate::client::wire::{self, Limits, Request, WireError};

/// How long one request may take; an official node gives up forwarding after two seconds.
const LIMITS: Limits = Limits { time: Duration::from_secs(5), head: 64 * 1024, body: 1 << 20 };

/// How much of an answer is kept.
const ANSWER_CHARS: usize = 200;

/// An instance by everything that identifies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) service: ServiceKey,
    pub(super) instance: InstanceKey,
}

impl Subject {
    /// Of `group`, in the cluster `cluster`.
    pub(super) fn new(namespace: &str, group: &str, name: &str, ip: String, port: i64, cluster: &str) -> Self {
        let service = ServiceKey { namespace: namespace.to_owned(), name: format!("{group}@@{name}") };
        Self { service, instance: InstanceKey { ip, port, cluster: cluster.to_owned() } }
    }
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// `POST /instance`: replaces the whole record.
    Register(Wanted),
    /// `PUT /instance`: the same, of an instance that exists.
    Update(Wanted),
    /// `PATCH /instance`: what is given.
    Patch { weight: Option<f64>, enabled: Option<bool>, metadata: Option<Metadata> },
    /// `PUT /instance/metadata/batch`: adds and replaces keys.
    MetadataPut(Metadata),
    /// `DELETE /instance/metadata/batch`: removes a key.
    MetadataDelete(String),
    /// The short heartbeat.
    BeatLight,
    /// The long heartbeat, which registers an unknown instance.
    BeatFull(Wanted),
    /// `DELETE /instance`.
    Deregister,
    /// `DELETE /service`.
    DeleteService,
    /// Nothing for a while.
    Pause(Duration),
}

impl Action {
    /// Its name in the history.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Register(_) => "register",
            Self::Update(_) => "update",
            Self::Patch { .. } => "patch",
            Self::MetadataPut(_) => "metadata-put",
            Self::MetadataDelete(_) => "metadata-delete",
            Self::BeatLight => "beat-light",
            Self::BeatFull(_) => "beat-full",
            Self::Deregister => "deregister",
            Self::DeleteService => "delete-service",
            Self::Pause(_) => "pause",
        }
    }

    fn method(&self) -> &'static str {
        match self {
            Self::Register(_) => "POST",
            Self::Patch { .. } => "PATCH",
            Self::Deregister | Self::DeleteService | Self::MetadataDelete(_) => "DELETE",
            _ => "PUT",
        }
    }

    fn path(&self) -> &'static str {
        match self {
            Self::MetadataPut(_) | Self::MetadataDelete(_) => "/v1/ns/instance/metadata/batch",
            Self::BeatLight | Self::BeatFull(_) => "/v1/ns/instance/beat",
            Self::DeleteService => "/v1/ns/service",
            _ => "/v1/ns/instance",
        }
    }

    /// Method and target for an instance.
    pub(super) fn request(&self, context: &str, subject: &Subject) -> (&'static str, String) {
        let (group, name) = subject.service.name.split_once("@@").unwrap_or(("DEFAULT_GROUP", &subject.service.name));
        let InstanceKey { ip, port, cluster } = &subject.instance;
        let mut query = vec![
            ("serviceName", name.to_owned()),
            ("groupName", group.to_owned()),
            ("namespaceId", subject.service.namespace.clone()),
        ];
        let own = [("ip", ip.clone()), ("port", port.to_string()), ("clusterName", cluster.clone())];
        match self {
            Self::MetadataPut(_) | Self::MetadataDelete(_) => {
                let list = json!([{ "ip": ip, "port": port, "clusterName": cluster, "ephemeral": true }]);
                query.push(("instances", list.to_string()));
            }
            Self::DeleteService | Self::Pause(_) => {}
            _ => query.extend(own),
        }
        match self {
            Self::Register(it) | Self::Update(it) => {
                query.push(("weight", it.weight.to_string()));
                query.push(("enabled", it.enabled.to_string()));
                query.push(("metadata", json!(it.metadata).to_string()));
                query.push(("ephemeral", "true".to_owned()));
            }
            Self::Patch { weight, enabled, metadata } => {
                query.extend(weight.map(|it| ("weight", it.to_string())));
                query.extend(enabled.map(|it| ("enabled", it.to_string())));
                query.extend(metadata.as_ref().map(|it| ("metadata", json!(it).to_string())));
            }
            Self::MetadataPut(metadata) => query.push(("metadata", json!(metadata).to_string())),
            Self::MetadataDelete(key) => query.push(("metadata", json!({ key.as_str(): "" }).to_string())),
            Self::BeatFull(it) => {
                let beat = json!({
                    "serviceName": subject.service.name, "ip": ip, "port": port, "cluster": cluster,
                    "weight": it.weight, "metadata": it.metadata, "ephemeral": true, "scheduled": true,
                });
                query.push(("beat", beat.to_string()));
            }
            Self::Deregister => query.push(("ephemeral", "true".to_owned())),
            Self::BeatLight | Self::DeleteService | Self::Pause(_) => {}
        }
        let query: Vec<_> = query
            .into_iter()
            .map(|(name, value)| format!("{name}={}", utf8_percent_encode(&value, NON_ALPHANUMERIC)))
            .collect();
        (self.method(), format!("{context}{}?{}", self.path(), query.join("&")))
    }

    fn succeeded(&self, body: &[u8], subject: &Subject) -> bool {
        let text = String::from_utf8_lossy(body);
        match self {
            Self::BeatLight | Self::BeatFull(_) => text.contains(r#""code":10200"#),
            Self::MetadataPut(_) | Self::MetadataDelete(_) => {
                text.contains(&format!("{}:{}:", subject.instance.ip, subject.instance.port))
            }
            _ => text == "ok",
        }
    }
}

/// What one request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Acknowledged.
    Done,
    /// Surely not done.
    Refused,
    /// It may or may not have been done.
    Indefinite,
}

impl Outcome {
    /// Its name in the history.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Done => "ok",
            Self::Refused => "failed",
            Self::Indefinite => "indefinite",
        }
    }
}

/// One answer.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    /// Absent when none came.
    pub(super) status: Option<u32>,
    /// The start of the body, or why there is none.
    pub(super) said: String,
}

/// Sends one request to `address` as an official client would.
pub(super) async fn send(address: &str, context: &str, subject: &Subject, action: &Action) -> Answer {
    let (method, target) = action.request(context, subject);
    let headers = vec![("User-Agent".to_owned(), "Nacos-Java-Client:v1.4.1".to_owned())];
    let request = Request { method: method.to_owned(), target: target.into_bytes(), headers, body: None };
    match wire::exchange(address, &request, &LIMITS).await {
        Ok(answer) => {
            let outcome = match answer.status {
                200 if action.succeeded(&answer.body, subject) => Outcome::Done,
                // 500 is also what a node says that forwarded a write and did not hear back.
                status if status >= 500 => Outcome::Indefinite,
                _ => Outcome::Refused,
            };
            let said = String::from_utf8_lossy(&answer.body).chars().take(ANSWER_CHARS).collect();
            Answer { outcome, status: Some(answer.status), said }
        }
        Err(error) => {
            let unsent = matches!(error, WireError::Connect { .. });
            let outcome = if unsent { Outcome::Refused } else { Outcome::Indefinite };
            Answer { outcome, status: None, said: error.to_string() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_name_the_instance_and_escape_everything() {
        let subject = Subject::new("ns", "g", "s", "127.0.0.1".into(), 80, "c1");
        let wanted =
            Wanted { weight: 0.5, enabled: false, healthy: true, metadata: [("a".into(), "中&".into())].into() };
        let (method, target) = Action::Register(wanted).request("/nacos", &subject);
        assert_eq!(method, "POST");
        assert_eq!(
            target,
            "/nacos/v1/ns/instance?serviceName=s&groupName=g&namespaceId=ns&ip=127%2E0%2E0%2E1&port=80&clusterName=c1\
             &weight=0%2E5&enabled=false&metadata=%7B%22a%22%3A%22%E4%B8%AD%26%22%7D&ephemeral=true"
        );
        let (_, target) = Action::DeleteService.request("/nacos", &subject);
        assert_eq!(target, "/nacos/v1/ns/service?serviceName=s&groupName=g&namespaceId=ns");
    }
}
