//! One request of the Nacos 1.x naming API, rendered once.
//!
//! All parameters travel in the query and the body is empty: the server merges both and lets the query win
//! (`compat/spec/naming-api.md` §1.1), so a rendered target can be sent again and again without any work.

use http::{Method, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::error::ClientError;

/// What must be escaped in a query value: everything but the unreserved characters of RFC 3986.
const QUERY_VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An instance as a client knows it: always ephemeral, in the default group and namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Instance {
    /// Service name without its group.
    pub service: String,
    /// Address it claims; nothing is ever sent there for an ephemeral instance.
    pub ip: String,
    /// Port it claims.
    pub port: u16,
    /// Metadata as a JSON object of strings, or empty.
    pub metadata: String,
}

impl Instance {
    /// An instance the servers keep for `keep` without any heartbeat; it counts as healthy all that time. The two
    /// keys are those of `compat/spec/health-and-push.md` §2.
    pub fn kept(service: &str, ip: String, port: u16, keep: std::time::Duration) -> Self {
        let ms = keep.as_millis();
        let metadata =
            format!(r#"{{"preserved.heart.beat.timeout":"{ms}","preserved.ip.delete.timeout":"{}"}}"#, ms + 60_000);
        Self { service: service.to_owned(), ip, port, metadata }
    }
}

/// What counts as the success of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// 200 with the body `ok`.
    Ok,
    /// 200 and code 10200: the server knows the instance (`compat/spec/naming-api.md` §8.1).
    BeatKnown,
    /// 200 with at least one host.
    Hosts,
    /// 200 with anything.
    Any,
}

impl Expect {
    /// Whether `status` and `body` are a success.
    pub fn holds(self, status: u16, body: &[u8]) -> bool {
        let contains = |text: &str| std::str::from_utf8(body).is_ok_and(|it| it.contains(text));
        status == 200
            && match self {
                Self::Ok => body == b"ok",
                Self::BeatKnown => contains(r#""code":10200"#),
                Self::Hosts => contains(r#""ip":"#),
                Self::Any => true,
            }
    }
}

/// One rendered request.
#[derive(Debug, Clone)]
pub struct Call {
    /// HTTP method.
    pub method: Method,
    /// Path and query.
    pub target: Uri,
    /// What counts as success.
    pub expect: Expect,
}

impl Call {
    pub(super) fn new(
        method: Method,
        context: &str,
        path: &str,
        query: &[(&str, &str)],
        expect: Expect,
    ) -> Result<Self, ClientError> {
        let mut text = format!("{context}{path}");
        for (position, (name, value)) in query.iter().enumerate() {
            text.push(if position == 0 { '?' } else { '&' });
            text.push_str(name);
            text.push('=');
            text.extend(utf8_percent_encode(value, QUERY_VALUE));
        }
        let target = text
            .parse::<Uri>()
            .map_err(|error| ClientError::Unsendable { what: text.clone(), reason: error.to_string() })?;
        Ok(Self { method, target, expect })
    }

    /// `POST /v1/ns/instance`. A re-registration replaces the whole record, so another `weight` is a true change.
    pub fn register(context: &str, instance: &Instance, weight: u32) -> Result<Self, ClientError> {
        Self::register_as(context, instance, weight, "true")
    }

    /// A registration; `ephemeral` is `true` or `false`.
    pub(super) fn register_as(
        context: &str,
        instance: &Instance,
        weight: u32,
        ephemeral: &str,
    ) -> Result<Self, ClientError> {
        let (port, weight) = (instance.port.to_string(), weight.to_string());
        let query = [
            ("serviceName", instance.service.as_str()),
            ("ip", &instance.ip),
            ("port", &port),
            ("weight", &weight),
            ("ephemeral", ephemeral),
            ("metadata", &instance.metadata),
        ];
        Self::new(Method::POST, context, "/v1/ns/instance", &query, Expect::Ok)
    }

    /// `POST /v1/ns/instance` of a persistent instance in a cluster of its own, whose health the server checks.
    pub fn register_checked(context: &str, instance: &Instance, cluster: &str) -> Result<Self, ClientError> {
        let query = Self::checked(instance, cluster);
        let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Self::new(Method::POST, context, "/v1/ns/instance", &query, Expect::Ok)
    }

    /// `DELETE /v1/ns/instance` of such an instance.
    pub fn deregister_checked(context: &str, instance: &Instance, cluster: &str) -> Result<Self, ClientError> {
        let query = Self::checked(instance, cluster);
        let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Self::new(Method::DELETE, context, "/v1/ns/instance", &query, Expect::Ok)
    }

    fn checked(instance: &Instance, cluster: &str) -> [(&'static str, String); 5] {
        [
            ("serviceName", instance.service.clone()),
            ("ip", instance.ip.clone()),
            ("port", instance.port.to_string()),
            ("clusterName", cluster.to_owned()),
            ("ephemeral", "false".to_owned()),
        ]
    }

    /// `DELETE /v1/ns/instance`; `ok` also when there is no such instance.
    pub fn deregister(context: &str, instance: &Instance) -> Result<Self, ClientError> {
        let port = instance.port.to_string();
        let query =
            [("serviceName", instance.service.as_str()), ("ip", &instance.ip), ("port", &port), ("ephemeral", "true")];
        Self::new(Method::DELETE, context, "/v1/ns/instance", &query, Expect::Ok)
    }

    /// `PUT /v1/ns/instance/beat` in the light form, which official clients use once the server has allowed it.
    pub fn beat_light(context: &str, instance: &Instance) -> Result<Self, ClientError> {
        let port = instance.port.to_string();
        let query = [("serviceName", instance.service.as_str()), ("ip", &instance.ip), ("port", &port)];
        Self::new(Method::PUT, context, "/v1/ns/instance/beat", &query, Expect::BeatKnown)
    }

    /// `PUT /v1/ns/instance/beat` in the full form, which registers an unknown instance.
    pub fn beat_full(context: &str, instance: &Instance) -> Result<Self, ClientError> {
        let metadata: serde_json::Value =
            serde_json::from_str(&instance.metadata).unwrap_or_else(|_| serde_json::json!({}));
        let beat = serde_json::json!({
            "serviceName": instance.service, "ip": instance.ip, "port": instance.port, "cluster": "DEFAULT",
            "weight": 1.0, "metadata": metadata, "scheduled": true, "ephemeral": true,
        })
        .to_string();
        let query = [("serviceName", instance.service.as_str()), ("beat", &beat)];
        Self::new(Method::PUT, context, "/v1/ns/instance/beat", &query, Expect::BeatKnown)
    }

    /// `GET /v1/ns/instance/list`: what the asked node itself holds.
    pub fn list(context: &str, service: &str, expect: Expect) -> Result<Self, ClientError> {
        Self::new(Method::GET, context, "/v1/ns/instance/list", &[("serviceName", service)], expect)
    }

    /// `GET /v1/ns/instance/list` that also subscribes `client_ip:udp_port` to pushes for ten seconds.
    pub fn subscribe(context: &str, service: &str, client_ip: &str, udp_port: u16) -> Result<Self, ClientError> {
        let port = udp_port.to_string();
        let query = [("serviceName", service), ("clientIP", client_ip), ("udpPort", &port)];
        Self::new(Method::GET, context, "/v1/ns/instance/list", &query, Expect::Any)
    }

    /// `GET /v1/ns/instance/statuses` of a service in the default group.
    pub fn statuses(context: &str, service: &str) -> Result<Self, ClientError> {
        let key = format!("DEFAULT_GROUP@@{service}");
        Self::new(Method::GET, context, "/v1/ns/instance/statuses", &[("key", &key)], Expect::Any)
    }

    /// Any question; only its status counts.
    pub fn get(context: &str, path: &str, query: &[(&str, &str)]) -> Result<Self, ClientError> {
        Self::new(Method::GET, context, path, query, Expect::Any)
    }

    /// `GET /v1/ns/operator/metrics`.
    pub fn metrics(context: &str) -> Result<Self, ClientError> {
        Self::new(Method::GET, context, "/v1/ns/operator/metrics", &[], Expect::Any)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_register_call_is_one_escaped_target() {
        let instance = Instance::kept("a.b:c", "127.1.2.3".into(), 80, Duration::from_secs(600));
        let call = Call::register("/nacos", &instance, 2).unwrap();
        assert_eq!(call.target.path(), "/nacos/v1/ns/instance");
        let query = call.target.query().unwrap();
        assert!(query.starts_with("serviceName=a.b%3Ac&ip=127.1.2.3&port=80&weight=2&ephemeral=true&metadata=%7B%22"));
        assert!(query.contains("preserved.heart.beat.timeout%22%3A%22600000"));
        assert!(query.contains("preserved.ip.delete.timeout%22%3A%22660000"));
    }

    #[test]
    fn success_is_judged_by_the_answer_and_not_by_the_status_alone() {
        assert!(Expect::Ok.holds(200, b"ok"));
        assert!(!Expect::Ok.holds(200, b"{}"));
        assert!(!Expect::BeatKnown.holds(200, br#"{"clientBeatInterval":5000,"code":20404}"#));
        assert!(Expect::BeatKnown.holds(200, br#"{"clientBeatInterval":5000,"code":10200}"#));
        assert!(!Expect::Hosts.holds(200, br#"{"name":"x","hosts":[]}"#));
        assert!(!Expect::Any.holds(503, b""));
    }
}
