//! `InstanceController`: register, update, patch, deregister, detail, list, statuses
//! (compat/spec/naming-api.md §2–§8). Beats and metadata batches are in `super::instance_beat` and
//! `super::instance_metadata`.

use std::sync::Arc;

use super::request::{Params, Request};
use super::response::{ApiError, Response};
use super::routes::{Answer, Route};
use super::{instance_beat, instance_list, instance_metadata};
use crate::java;
use crate::naming::agent::{Agent, ClientType};
use crate::naming::consistency::{Consistency, Subject};
use crate::naming::error::NamingError;
use crate::naming::instance::{DEFAULT_CLUSTER, Instance, InstanceKey};
use crate::naming::json::JsonBuffer;
use crate::naming::registry::Registry;
use crate::naming::service::ServiceId;
use crate::naming::view::instances_in_order;
use crate::naming::{instances, metadata, validate};
use crate::node::Node;

/// The endpoints, also under the legacy prefix.
pub fn routes() -> Vec<Route> {
    vec![
        Route::forwarded("POST", "/v1/ns/instance", register),
        Route::forwarded("PUT", "/v1/ns/instance", update),
        Route::forwarded("PATCH", "/v1/ns/instance", patch),
        Route::forwarded("DELETE", "/v1/ns/instance", deregister),
        Route::local("GET", "/v1/ns/instance", detail),
        Route::local("GET", "/v1/ns/instance/list", instance_list::list),
        Route::forwarded("PUT", "/v1/ns/instance/beat", instance_beat::beat),
        // Declared without a method upstream, which registers as GET only.
        Route::local("GET", "/v1/ns/instance/statuses", statuses),
        Route::forwarded("PUT", "/v1/ns/instance/metadata/batch", instance_metadata::update),
        Route::forwarded("DELETE", "/v1/ns/instance/metadata/batch", instance_metadata::remove),
        Route::forwarded("POST", "/v1/ns/api", register),
        Route::forwarded("PUT", "/v1/ns/api", update),
        Route::forwarded("PATCH", "/v1/ns/api", patch),
        Route::forwarded("DELETE", "/v1/ns/api", deregister),
        Route::local("GET", "/v1/ns/api", detail),
        Route::local("GET", "/v1/ns/api/list", instance_list::list),
        Route::forwarded("PUT", "/v1/ns/api/beat", instance_beat::beat),
        Route::local("GET", "/v1/ns/api/statuses", statuses),
        Route::forwarded("PUT", "/v1/ns/api/metadata/batch", instance_metadata::update),
        Route::forwarded("DELETE", "/v1/ns/api/metadata/batch", instance_metadata::remove),
    ]
}

/// The namespace asked for.
pub(super) fn namespace(params: &Params) -> String {
    params.optional("namespaceId", "public").into_owned()
}

/// The service asked for, by its checked grouped name.
pub(super) fn service_id(params: &Params) -> Result<ServiceId, ApiError> {
    let name = params.required("serviceName")?;
    validate::service_name_format(&name)?;
    Ok(ServiceId::new(namespace(params), name.as_ref()))
}

fn cluster(params: &Params) -> String {
    match params.optional("clusterName", "") {
        name if java::is_blank(&name) => params.optional("cluster", DEFAULT_CLUSTER).into_owned(),
        name => name.into_owned(),
    }
}

pub(super) fn int(text: &str) -> Result<i32, ApiError> {
    java::parse_int(text).map_err(ApiError::illegal)
}

fn double(text: &str) -> Result<f64, NamingError> {
    java::parse_double(text).map_err(NamingError::Illegal)
}

/// What `getIpAddress` reads: all but service name and metadata.
fn address(node: &Node, params: &Params) -> Result<Instance, ApiError> {
    let ip = params.required("ip")?;
    let port = params.required("port")?;
    let enabled = match params.optional("enabled", "") {
        text if java::is_blank(&text) => params.optional("enable", "true"),
        text => text,
    };
    let default_ephemeral = if node.switches.get().default_instance_ephemeral { "true" } else { "false" };
    Ok(Instance {
        ip: ip.into_owned(),
        port: int(&port)?,
        weight: double(&params.optional("weight", "1"))?,
        healthy: java::lang_bool(&params.optional("healthy", "true")),
        enabled: java::lang_bool(&enabled),
        ephemeral: java::lang_bool(&params.optional("ephemeral", default_ephemeral)),
        cluster_name: cluster(params),
        ..Instance::default()
    })
}

/// A complete, validated instance.
fn parse(node: &Node, params: &Params) -> Result<(ServiceId, Instance), ApiError> {
    let id = service_id(params)?;
    let mut instance = address(node, params)?;
    instance.app = Some(params.optional("app", "DEFAULT").into_owned());
    instance.service_name = id.name.to_string();
    instance.last_beat = crate::clock::now_ms();
    let text = params.optional("metadata", "");
    instance.metadata = metadata::parse(&text)?;
    instance.hashed_metadata = metadata::table_of(&text);
    validate::instance(&instance)?;
    Ok((id, instance))
}

fn register<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let (id, instance) = parse(node, &request.params)?;
        store(node, &id, instance).await?;
        Ok(Response::text("ok"))
    })
}

/// Registers an instance, with the other members' consent when it is persistent.
pub(super) async fn store(node: &Node, id: &ServiceId, instance: Instance) -> Result<(), NamingError> {
    if instance.ephemeral {
        return instances::register(&node.registry, &node.consistency, id, instance);
    }
    let register = |registry: &Registry, consistency: &Consistency| {
        instances::register(registry, consistency, id, instance.clone())
    };
    node.consistency.write_persistent(&node.registry, id, Subject::Instances, register).await
}

/// Java clients may only update what is there; everyone else registers.
fn update<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let (id, instance) = parse(node, &request.params)?;
        let agent = Agent::parse(request.agent());
        let strict = agent.client == ClientType::Java
            && agent.version.ok_or_else(|| ApiError::internal(instance_list::NO_VERSION))? >= [1, 0, 0];
        if strict {
            must_exist(node, &id, &instance)?;
        }
        store(node, &id, instance).await?;
        Ok(Response::text("ok"))
    })
}

fn must_exist(node: &Node, id: &ServiceId, instance: &Instance) -> Result<(), NamingError> {
    let service = node.registry.get(id).ok_or_else(|| {
        NamingError::invalid(format!("service not found, namespace: {}, service: {}", id.namespace, id.name))
    })?;
    if instances::exists_anywhere(&service.read(), instance) {
        return Ok(());
    }
    let text = crate::naming::checksum::sort_key(instance);
    Err(NamingError::invalid(format!("instance not exist: {text}")))
}

fn patch<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let params = &request.params;
        let id = service_id(params)?;
        let ip = params.required("ip")?.into_owned();
        let port = int(&params.required("port")?)?;
        let key = InstanceKey { ip, port, cluster: cluster(params) };
        let patch = |registry: &Registry, consistency: &Consistency| {
            instances::patch(registry, consistency, &id, &key, |instance| apply_patch(params, instance))
        };
        node.consistency.write(&node.registry, &id, Subject::Instances, patch).await?;
        Ok(Response::text("ok"))
    })
}

fn apply_patch(params: &Params, instance: &mut Instance) -> Result<(), NamingError> {
    let given = |name| Some(params.optional(name, "")).filter(|text| !java::is_blank(text));
    if let Some(text) = given("metadata") {
        instance.metadata = metadata::parse(&text)?;
        instance.hashed_metadata = metadata::table_of(&text);
    }
    if let Some(app) = given("app") {
        instance.app = Some(app.into_owned());
    }
    if let Some(weight) = given("weight") {
        instance.weight = double(&weight)?;
    }
    if let Some(healthy) = given("healthy") {
        instance.healthy = java::lang_bool(&healthy);
    }
    if let Some(enabled) = given("enabled") {
        instance.enabled = java::lang_bool(&enabled);
    }
    Ok(())
}

fn deregister<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let instance = address(node, &request.params)?;
        let id = service_id(&request.params)?;
        let (key, ephemeral) = (instance.key(), instance.ephemeral);
        let deregister = |registry: &Registry, consistency: &Consistency| {
            instances::deregister(registry, consistency, &id, &key, ephemeral)
        };
        if ephemeral {
            deregister(&node.registry, &node.consistency)?;
        } else {
            node.consistency.write_persistent(&node.registry, &id, Subject::Instances, deregister).await?;
        }
        Ok(Response::text("ok"))
    })
}

/// The ephemeral instance that a request is to deregister.
pub(super) fn deregistered(node: &Node, request: &Request) -> Option<(ServiceId, InstanceKey)> {
    let is_meant = matches!(request.path.as_str(), "/v1/ns/instance" | "/v1/ns/api");
    let instance = address(node, &request.params).ok().filter(|it| is_meant && it.ephemeral)?;
    Some((service_id(&request.params).ok()?, instance.key()))
}

fn detail<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let params = &request.params;
        let id = service_id(params)?;
        let cluster = params.optional("clusterName", DEFAULT_CLUSTER);
        let ip = params.required("ip")?;
        let port = int(&params.required("port")?)?;
        let service =
            node.registry.get(&id).ok_or_else(|| NamingError::not_found(format!("no service {} found!", id.name)))?;
        let state = service.read();
        if !state.all().any(|instance| instance.cluster_name == cluster) {
            let message = format!("no ips found for cluster {cluster} in service {}", id.name);
            return Err(NamingError::not_found(message).into());
        }
        let key = InstanceKey { ip: ip.into_owned(), port, cluster: cluster.into_owned() };
        let known = state.persistent.get(&key).or_else(|| state.ephemeral.get(&key));
        let instance = known.ok_or_else(|| NamingError::not_found("no matched ip found!"))?;
        let mut json = JsonBuffer::new();
        json.raw("{\"service\":").string(&id.name).raw(",\"ip\":").string(&instance.ip);
        json.raw(",\"port\":").int(i64::from(instance.port)).raw(",\"clusterName\":").string(&instance.cluster_name);
        json.raw(",\"weight\":").double(instance.weight).raw(",\"healthy\":").bool(instance.healthy);
        json.raw(",\"instanceId\":").string_or_null(instance.instance_id.as_deref());
        json.raw(",\"metadata\":").metadata_or_null(instance.metadata.as_ref()).raw("}");
        Ok(Response::json_text(json.into_bytes()))
    })
}

/// True health of every instance: what members compare, so without the protect threshold.
fn statuses<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let key = request.params.spring_required("key")?;
        let (namespace, name) = match key.split_once("##") {
            None => ("public", key),
            Some((namespace, rest)) => {
                let name = java::split(rest, "##").first().copied().unwrap_or_default();
                if name.is_empty() {
                    return Err(ApiError::internal("Index 1 out of bounds for length 1"));
                }
                (namespace, name)
            }
        };
        validate::service_name_format(name)?;
        let service = node
            .registry
            .find(namespace, name)
            .ok_or_else(|| NamingError::not_found(format!("service: {name} not found.")))?;
        let state = service.read();
        let mut json = JsonBuffer::new();
        json.raw("{\"ips\":");
        json.array(instances_in_order(&state).into_iter().flat_map(|(_, all)| all), |json, instance| {
            json.string(&format!("{}:{}_{}", instance.ip, instance.port, instance.healthy));
        });
        json.raw("}");
        Ok(Response::json_text(json.into_bytes()))
    })
}
