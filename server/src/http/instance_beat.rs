//! `PUT instance/beat` and its legacy spelling `clientBeat` (compat/spec/health-and-push.md §1).

use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use super::instance::{int, namespace, service_id, store};
use super::instance_list::legacy_id;
use super::request::{Params, Request};
use super::response::{ApiError, Response};
use super::routes::Answer;
use crate::java;
use crate::naming::beat::{self, Known};
use crate::naming::instance::{DEFAULT_CLUSTER, Instance, InstanceKey, Metadata};
use crate::naming::json::{JsonBuffer, jackson_message};
use crate::naming::service::ServiceId;
use crate::naming::validate;
use crate::node::Node;
use crate::telemetry::metrics;

/// Where beats go.
pub(super) const PATH: &str = "/v1/ns/instance/beat";
/// Answer codes.
const OK: i64 = 10_200;
const NOT_FOUND: i64 = 20_404;

/// The fields of a full beat that count.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct RsInfo {
    ip: Option<String>,
    #[serde(deserialize_with = "number")]
    port: i32,
    cluster: Option<String>,
    #[serde(deserialize_with = "number")]
    weight: f64,
    ephemeral: bool,
    metadata: Option<Metadata>,
}

impl Default for RsInfo {
    fn default() -> Self {
        RsInfo { ip: None, port: 0, cluster: None, weight: 0.0, ephemeral: true, metadata: None }
    }
}

/// Numbers may come as texts.
fn number<'de, D: Deserializer<'de>, T: std::str::FromStr + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either<T> {
        Number(T),
        Text(String),
    }
    match Either::<T>::deserialize(deserializer)? {
        Either::Number(number) => Ok(number),
        Either::Text(text) => text.trim().parse().map_err(|_| serde::de::Error::custom("not a number")),
    }
}

/// `PUT instance/beat`.
pub(super) fn beat<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let params = &request.params;
        let full = full_beat(params)?;
        let light_port = int(&params.optional("port", "0"))?;
        let id = service_id(params)?;
        answer(node, params, &id, full, light_port).await
    })
}

/// `GET api/clientBeat`.
pub(super) fn client_beat<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let params = &request.params;
        let full = full_beat(params)?;
        let light_port = int(&params.optional("port", "0"))?;
        let id = legacy_id(params)?;
        debug_assert_eq!(&*id.namespace, namespace(params));
        answer(node, params, &id, full, light_port).await
    })
}

fn full_beat(params: &Params) -> Result<Option<RsInfo>, ApiError> {
    let text = params.optional("beat", "");
    if java::is_blank(&text) {
        return Ok(None);
    }
    let mut reader = serde_json::Deserializer::from_str(&text);
    let parsed = if text.starts_with('[') { None } else { Option::<RsInfo>::deserialize(&mut reader).ok() };
    parsed.ok_or_else(|| ApiError {
        status: 500,
        causes: vec![
            "errCode: 101, errMsg: Nacos deserialize for class [com.alibaba.nacos.naming.healthcheck.RsInfo] \
             failed.  "
                .to_owned(),
            if text.starts_with('[') {
                format!(
                    "Cannot deserialize instance of `com.alibaba.nacos.naming.healthcheck.RsInfo` out of START_ARRAY \
                     token\n at [Source: (String)\"{text}\"; line: 1, column: 1]"
                )
            } else {
                jackson_message(&text)
            },
        ],
    })
}

async fn answer(
    node: &Node,
    params: &Params,
    id: &ServiceId,
    full: Option<RsInfo>,
    light_port: i32,
) -> Result<Response, ApiError> {
    metrics::beats().increment(1);
    let switches = node.switches.get();
    let mut cluster = params.optional("clusterName", DEFAULT_CLUSTER).into_owned();
    let known = match full {
        None => {
            let ip = params.optional("ip", "").into_owned();
            beat::refresh(&node.registry, id, &InstanceKey { ip, port: light_port, cluster })
        }
        Some(full) => {
            if let Some(named) = full.cluster.as_deref().filter(|named| !java::is_blank(named)) {
                named.clone_into(&mut cluster);
            }
            match &full.ip {
                Some(ip) => {
                    let key = InstanceKey { ip: ip.clone(), port: full.port, cluster: cluster.clone() };
                    match beat::refresh(&node.registry, id, &key) {
                        Some(known) => Some(known),
                        None => Some(register(node, id, full, key).await?),
                    }
                }
                // Official Nacos answers so too, and then can apply no later write to the service
                // (compat/DIFFERENCES.md).
                None => Some(Known { interval: None }),
            }
        }
    };
    let mut json = JsonBuffer::with_capacity(72);
    json.raw("{\"clientBeatInterval\":");
    match known {
        None => json.int(switches.client_beat_interval).raw(",\"code\":").int(NOT_FOUND).raw("}"),
        Some(known) => json
            .int(known.interval.unwrap_or(switches.client_beat_interval))
            .raw(",\"code\":")
            .int(OK)
            .raw(",\"lightBeatEnabled\":")
            .bool(switches.light_beat_enabled)
            .raw("}"),
    };
    Ok(Response::json_text(json.into_bytes()))
}

/// A full beat of an unknown instance registers it, unchecked but for names.
async fn register(node: &Node, id: &ServiceId, full: RsInfo, key: InstanceKey) -> Result<Known, ApiError> {
    let instance = Instance {
        ip: key.ip.clone(),
        port: key.port,
        cluster_name: key.cluster.clone(),
        service_name: id.name.to_string(),
        weight: validate::stored_weight(full.weight),
        ephemeral: full.ephemeral,
        metadata: full.metadata,
        last_beat: crate::clock::now_ms(),
        ..Instance::default()
    };
    store(node, id, instance).await?;
    Ok(beat::refresh(&node.registry, id, &key).unwrap_or(Known { interval: None }))
}
