//! Names of services and their subscribers (compat/spec/naming-api.md §9.5, §9.6, §9.8, §15).

use std::sync::Arc;

use indexmap::IndexSet;

use super::instance::namespace;
use super::request::Request;
use super::response::{ApiError, Response};
use super::routes::Answer;
use crate::distro::subscribers::RemoteSubscriber;
use crate::java;
use crate::naming::agent::{Agent, ClientType};
use crate::naming::json::{self, JsonBuffer};
use crate::naming::selector::{NULL_FIELD, text_of};
use crate::naming::service::Service;
use crate::naming::{catalog, validate};
use crate::node::Node;

/// `NumberUtils.toInt`: what is no number is 0.
fn int_or_zero(text: &str) -> i32 {
    java::parse_int(text).unwrap_or(0)
}

/// `GET service/list`.
pub(super) fn list<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let params = &request.params;
        let page = int_or_zero(&params.required("pageNo")?);
        let size = int_or_zero(&params.required("pageSize")?);
        let group = params.optional("groupName", "DEFAULT_GROUP");
        let mut services = node.registry.namespace(&namespace(params)).unwrap_or_default();
        if services.is_empty() {
            return Ok(doms(&[], 0));
        }
        let prefix = format!("{group}@@");
        if group != "*" {
            services.retain(|service| service.id().name.starts_with(&prefix));
        }
        let selector = params.optional("selector", "");
        if !java::is_blank(&selector) {
            retain_selected(&mut services, &selector)?;
        }
        let count = i32::try_from(services.len()).unwrap_or(i32::MAX);
        let start = page.wrapping_sub(1).wrapping_mul(size).max(0);
        if start >= count {
            return Ok(doms(&[], count));
        }
        let end = start.wrapping_add(size).min(count);
        if end < start {
            return Err(ApiError::illegal(format!("fromIndex({start}) > toIndex({end})")));
        }
        let names: Vec<String> = services
            .iter()
            .skip(usize::try_from(start).unwrap_or(0))
            .take(usize::try_from(end - start).unwrap_or(0))
            .map(|service| service.id().name.replace(&prefix, ""))
            .collect();
        Ok(doms(&names, count))
    })
}

fn doms(names: &[String], count: i32) -> Response {
    let mut json = JsonBuffer::new();
    json.raw("{\"doms\":").array(names, |json, name| {
        json.string(name);
    });
    json.raw(",\"count\":").int(i64::from(count)).raw("}");
    Response::json_text(json.into_bytes())
}

/// Keeps services with a metadata value, or with an instance that has it.
fn retain_selected(services: &mut Vec<Arc<Service>>, selector: &str) -> Result<(), ApiError> {
    let value = json::parse(selector)?;
    let kind = text_of(value.get("type")).ok_or_else(|| ApiError::internal(NULL_FIELD))?;
    if !["none", "label", "unknown"].contains(&kind.as_str()) {
        let message = format!("No enum constant com.alibaba.nacos.api.selector.SelectorType.{kind}");
        return Err(ApiError::illegal(message));
    }
    let expression = text_of(value.get("expression")).ok_or_else(|| ApiError::internal(NULL_FIELD))?;
    let compact: String = expression.chars().filter(|c| !java::is_whitespace(*c)).collect();
    if kind != "label" || compact.is_empty() {
        return Ok(());
    }
    let terms = java::split(&compact, "=");
    let factors = java::split(terms.first().copied().unwrap_or_default(), ".");
    let of_instance = match factors.first().copied() {
        Some("INSTANCE") => true,
        Some("SERVICE") => false,
        _ => return Ok(()),
    };
    let key = factors.last().copied().unwrap_or_default();
    let wanted = terms
        .get(1)
        .map(|value| value.replace('\'', ""))
        .ok_or_else(|| ApiError::internal(format!("Index 1 out of bounds for length {}", terms.len())))?;
    services.retain(|service| {
        let state = service.read();
        if of_instance {
            state.all().any(|instance| instance.meta(key) == Some(&wanted))
        } else {
            state.metadata.get(key) == Some(&wanted)
        }
    });
    Ok(())
}

/// `GET service/names`.
pub(super) fn names<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let params = &request.params;
        let namespace = params.spring_optional("namespaceId", "");
        let pattern = format!(".*{}.*", params.spring_optional("expr", ""));
        let responsible_only = params.spring_bool("responsibleOnly", false)?;
        let mut namespaces: Vec<Arc<str>> =
            if java::is_blank(namespace) { node.registry.namespaces() } else { vec![namespace.into()] };
        java::hash_order(&mut namespaces, false, |name| name.to_string());
        let mut json = JsonBuffer::new();
        json.raw("{\"services\":{");
        for (at, namespace) in namespaces.iter().enumerate() {
            let services = node.registry.namespace(namespace).ok_or_else(|| {
                ApiError::internal(
                    "Cannot invoke \"java.util.Map.entrySet()\" because the return value of \
                     \"com.alibaba.nacos.naming.core.ServiceManager.chooseServiceMap(String)\" is null",
                )
            })?;
            json.raw(if at > 0 { "," } else { "" }).string(namespace).raw(":");
            let mut found = catalog::matching(services, &pattern)?;
            found.retain(|service| !responsible_only || node.distro.responsible(&service.id().name));
            name_set(&mut json, &found);
        }
        json.raw("},\"count\":").int(namespaces.len() as i64).raw("}");
        Ok(Response::json_text(json.into_bytes()))
    })
}

/// Bare names without repeats, in the order of a Java hash set.
fn name_set(json: &mut JsonBuffer, services: &[Arc<Service>]) {
    let mut names: Vec<&str> = bare_names(services).into_iter().collect();
    java::hash_order(&mut names, false, |name| *name);
    json.array(&names, |json, name| {
        json.string(name);
    });
}

/// Names without their groups, each once.
fn bare_names(services: &[Arc<Service>]) -> IndexSet<&str> {
    services.iter().map(|service| validate::name_of(&service.id().name)).collect()
}

/// `GET api/allDomNames`.
pub(super) fn all_dom_names<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let agent = Agent::parse(request.agent());
        let responsible_only = java::parse_bool(&request.params.optional("responsibleOnly", "false"));
        let shown = |service: &Arc<Service>| !responsible_only || node.distro.responsible(&service.id().name);
        let mut json = JsonBuffer::new();
        if agent.client == ClientType::Dns && agent.version.is_some_and(|version| version <= [1, 0, 1]) {
            // In the order of the grouped names, one name per service.
            let services = node.registry.namespace("public").unwrap_or_default();
            let names: Vec<&str> = services
                .iter()
                .filter(|service| shown(service))
                .map(|service| validate::name_of(&service.id().name))
                .collect();
            json.raw("{\"count\":").int(names.len() as i64).raw(",\"doms\":").array(names, |json, name| {
                json.string(name);
            });
            json.raw("}");
            return Ok(Response::json_text(json.into_bytes()));
        }
        let mut namespaces = node.registry.namespaces();
        java::hash_order(&mut namespaces, false, |name| name.to_string());
        let all: Vec<(Arc<str>, Vec<Arc<Service>>)> = namespaces
            .into_iter()
            .map(|namespace| {
                let mut services = node.registry.namespace(&namespace).unwrap_or_default();
                services.retain(&shown);
                (namespace, services)
            })
            .collect();
        let count: usize = all.iter().map(|(_, services)| bare_names(services).len()).sum();
        json.raw("{\"count\":").int(count as i64).raw(",\"doms\":{");
        for (at, (namespace, services)) in all.iter().enumerate() {
            json.raw(if at > 0 { "," } else { "" }).string(namespace).raw(":");
            name_set(&mut json, services);
        }
        json.raw("}}");
        Ok(Response::json_text(json.into_bytes()))
    })
}

/// `GET service/subscribers`: those this node knows and, with `aggregation`, those the other members know. An official
/// node asks them too, in a way they refuse (compat/DIFFERENCES.md).
pub(super) fn subscribers<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let params = &request.params;
        let page = int_or_zero(&params.required("pageNo")?);
        let size = int_or_zero(&params.required("pageSize")?);
        let namespace = namespace(params);
        let service = params.required("serviceName")?;
        let max_age = node.switches.get().default_push_cache_millis;
        node.subscribers.forget_silent(crate::clock::now_ms(), max_age);
        let found = node.subscribers.search(&service, &namespace);
        let mut found: IndexSet<RemoteSubscriber> = found
            .into_iter()
            .map(|known| RemoteSubscriber {
                addr_str: known.address.to_string(),
                agent: known.agent,
                app: known.app,
                ip: known.address.ip().to_string(),
                namespace_id: namespace.to_string(),
                service_name: known.service.name.to_string(),
            })
            .collect();
        if java::parse_bool(&params.optional("aggregation", "true")) {
            found.extend(node.distro.remote_subscribers(&namespace, &service).await);
        }
        let count = i32::try_from(found.len()).unwrap_or(i32::MAX);
        let start = page.wrapping_sub(1).wrapping_mul(size).max(0);
        let end = start.wrapping_add(size).min(count);
        let mut json = JsonBuffer::new();
        if end < start || start > count {
            json.raw("{\"subscribers\":[],\"count\":0}");
            return Ok(Response::json_text(json.into_bytes()));
        }
        let shown =
            found.iter().skip(usize::try_from(start).unwrap_or(0)).take(usize::try_from(end - start).unwrap_or(0));
        json.raw("{\"subscribers\":").array(shown, |json, known| {
            json.raw("{\"addrStr\":").string(&known.addr_str).raw(",\"agent\":").string(&known.agent);
            json.raw(",\"app\":").string(&known.app);
            json.raw(",\"ip\":").string(&known.ip);
            json.raw(",\"namespaceId\":").string(&known.namespace_id);
            json.raw(",\"serviceName\":").string(&known.service_name).raw("}");
        });
        json.raw(",\"count\":").int(i64::from(count)).raw("}");
        Ok(Response::json_text(json.into_bytes()))
    })
}
