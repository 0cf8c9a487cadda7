//! `GET instance/list` and its legacy spelling `srvIPXT` (compat/spec/naming-api.md §7).

use std::sync::Arc;

use super::instance::{int, namespace, service_id};
use super::request::{Params, Request};
use super::response::{ApiError, Response};
use super::routes::Answer;
use crate::java;
use crate::naming::agent::Agent;
use crate::naming::listing::{self, ListQuery};
use crate::naming::service::ServiceId;
use crate::naming::subscribers::{Subscriber, address};
use crate::naming::switches::SwitchDomain;
use crate::node::Node;

/// What the JVM says when a Java client's version has nothing to split.
pub(super) const NO_VERSION: &str = "Cannot invoke \"org.codehaus.jackson.Version.compareTo(org.codehaus.\
                                     jackson.Version)\" because \"clientInfo.version\" is null";

/// `GET instance/list`.
pub(super) fn list<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let id = service_id(&request.params)?;
        answer(node, request, &id)
    })
}

/// `GET api/srvIPXT`: the name comes from `dom` and always gets the default group.
pub(super) fn srv_ipxt<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let id = legacy_id(&request.params)?;
        answer(node, request, &id)
    })
}

/// The service of a legacy call.
pub(super) fn legacy_id(params: &Params) -> Result<ServiceId, ApiError> {
    let dom = params.required("dom")?;
    Ok(ServiceId::new(namespace(params), format!("DEFAULT_GROUP@@{dom}")))
}

fn answer(node: &Node, request: &Request, id: &ServiceId) -> Result<Response, ApiError> {
    let params = &request.params;
    let clusters = params.optional("clusters", "");
    let client_ip = params.optional("clientIP", "");
    let udp_port = int(&params.optional("udpPort", "0"))?;
    let env = params.optional("env", "");
    let check_only = java::parse_bool(&params.optional("isCheck", "false"));
    let app = params.optional("app", "");
    let healthy_only = java::parse_bool(&params.optional("healthyOnly", "false"));
    let switches = node.switches.get();
    let agent = Agent::parse(request.agent());
    let mut cache_millis = switches.default_cache_millis;
    if udp_port > 0 && may_push(&switches, agent) {
        let subscriber = address(&client_ip, udp_port).map(|address| Subscriber {
            service: id.clone(),
            clusters: clusters.clone().into_owned(),
            address,
            agent: request.agent().to_owned(),
            app: app.into_owned(),
            last_asked: crate::clock::now_ms(),
        });
        if subscriber.is_some_and(|subscriber| node.subscribers.subscribe(subscriber)) {
            cache_millis = switches.default_push_cache_millis;
        }
    }
    let Some(service) = node.registry.get(id) else {
        return Ok(Response::json_text(listing::unknown(&id.name, &clusters, cache_millis)));
    };
    let query = ListQuery {
        clusters: &clusters,
        healthy_only,
        check_only,
        env: &env,
        cache_millis,
        grouped_names: agent.shows_groups().ok_or_else(|| ApiError::internal(NO_VERSION))?,
        now: crate::clock::now_ms(),
    };
    let body = listing::render(&service, &query).map_err(|disabled| ApiError::internal(disabled.to_string()))?;
    Ok(Response::json_text(body))
}

fn may_push(switches: &SwitchDomain, agent: Agent) -> bool {
    switches.push_enabled && agent.is_pushable(switches)
}
