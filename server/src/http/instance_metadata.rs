//! `PUT` and `DELETE instance/metadata/batch` (compat/spec/naming-api.md §8.3).

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::instance::namespace;
use super::request::Request;
use super::response::{ApiError, Response};
use super::routes::Answer;
use crate::java;
use crate::naming::consistency::{Consistency, Subject};
use crate::naming::instance::{DEFAULT_CLUSTER, InstanceKey};
use crate::naming::json::JsonBuffer;
use crate::naming::metadata_batch::{self, Action, Targets};
use crate::naming::registry::Registry;
use crate::naming::service::ServiceId;
use crate::naming::{metadata, validate};
use crate::node::Node;

/// One instance as named in the parameter `instances`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Named {
    ip: String,
    port: i32,
    cluster_name: Option<String>,
    ephemeral: Value,
}

impl Default for Named {
    fn default() -> Self {
        Named { ip: String::new(), port: 0, cluster_name: None, ephemeral: Value::Bool(true) }
    }
}

/// `PUT`: merges keys.
pub(super) fn update<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async { apply(node, request, Action::Update).await })
}

/// `DELETE`: takes keys away.
pub(super) fn remove<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async { apply(node, request, Action::Remove).await })
}

async fn apply(node: &Node, request: &Request, action: Action) -> Result<Response, ApiError> {
    let params = &request.params;
    let name = params.required("serviceName")?;
    let kind = params.optional("consistencyType", "");
    let named = params.optional("instances", "");
    let given = metadata::parse(&params.required("metadata")?)?;
    // Everything wrong from here on is an empty answer, the metadata `null` included.
    let updated = match targets(&kind, &named).zip(given) {
        Some((targets, given)) if validate::service_name_format(&name).is_ok() => {
            let id = ServiceId::new(namespace(params), name.as_ref());
            let batch = |registry: &Registry, consistency: &Consistency| {
                metadata_batch::apply(registry, consistency, &id, &targets, &given, action)
            };
            node.consistency.write(&node.registry, &id, Subject::Instances, batch).await?
        }
        _ => Vec::new(),
    };
    let mut json = JsonBuffer::new();
    json.raw("{\"updated\":").array(updated, |json, key| {
        json.string(&key);
    });
    json.raw("}");
    Ok(Response::json_text(json.into_bytes()))
}

fn targets(kind: &str, named: &str) -> Option<Targets> {
    match kind {
        "ephemeral" => return Some(Targets::Kind { ephemeral: true }),
        "persist" => return Some(Targets::Kind { ephemeral: false }),
        "" => {}
        _ => return None,
    }
    let named: Vec<Named> = serde_json::from_str(named).ok()?;
    let keys = named.into_iter().map(|named| {
        let ephemeral = match &named.ephemeral {
            Value::String(text) => java::parse_bool(text),
            other => other.as_bool().unwrap_or(false),
        };
        let cluster = named.cluster_name.filter(|name| !java::is_blank(name));
        let cluster = cluster.unwrap_or_else(|| DEFAULT_CLUSTER.to_owned());
        (InstanceKey { ip: named.ip, port: named.port, cluster }, ephemeral)
    });
    Some(Targets::Instances(keys.collect()))
}
