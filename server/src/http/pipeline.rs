//! The stages every request passes, in Nacos' order; each can answer by itself (compat/spec/naming-api.md §1).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Version};

use super::accept::{self, Accept};
use super::form::{POST_FORM_BYTES_MAX, Pairs, decode};
use super::forward::{self, Filtered};
use super::request::Request;
use super::response::{ApiError, JSON, Response, TEXT};
use super::routes::{Found, Route, Router};
use super::{cors, error_page, firewall};
use crate::java;
use crate::node::Node;
use crate::telemetry::metrics;

/// Prefix of the paths that pass the naming filters.
const NAMING: &str = "/v1/ns";

/// How long a write that another member handed on may wait while this node still loads what the others hold: written
/// to an empty list it would leave the others with that instance alone, and a deregistration would be undone. Official
/// nodes do not listen yet at that time. Members give up on a handed-on request after two seconds.
const LOADING_MAX: Duration = Duration::from_millis(1500);

/// Answers one request that was read in full.
pub async fn handle(node: &Arc<Node>, router: &Router, parts: Parts, body: Bytes, peer: SocketAddr) -> Response {
    let accept_header =
        parts.headers.get("accept").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let accept = accept::parse(&accept_header);
    let mut request = match admit(node, parts, body, peer, &accept) {
        Ok(request) => request,
        Err(refusal) => return refusal,
    };
    let naming = is_naming(&request.path);
    if naming && let Some(refusal) = traffic(node, &request) {
        return refusal;
    }
    if let Some(answer) = cors::preflight(&request, naming) {
        return answer;
    }
    if !naming && request.method == Method::OPTIONS {
        let methods = router.methods(&request.path);
        if !methods.is_empty() {
            return cors::options(&methods);
        }
    }
    let route = match find(router, &request, naming) {
        Ok(route) => route,
        Err(NoRoute::Naming) => {
            let message = format!("no such api:{}:{}", request.method, request.raw_path);
            return error_page::spring(501, &message, &request.raw_path, &accept);
        }
        Err(NoRoute::OtherMethod) => {
            let message = format!("Request method '{}' not supported", request.method);
            return error_page::of_error(&ApiError::internal(message), &accept);
        }
        Err(NoRoute::Error) => return error_page::without_error(),
        Err(NoRoute::Nothing) => {
            return error_page::spring(404, "No message available", &request.raw_path, &accept);
        }
    };
    let began = Instant::now();
    if naming {
        if route.forwarded && !node.status.wait_serving(LOADING_MAX).await {
            return refusal(node);
        }
        let sent_name = request.params.get("serviceName").filter(|_| route.forwarded).map(str::to_owned);
        group_service_name(&mut request);
        let filtered = match route.forwarded {
            true => forward::filter(node, &request, sent_name.as_deref()).await,
            false => Filtered::Here,
        };
        let answer = match filtered {
            Filtered::Here => None,
            Filtered::AlsoHere => Some(forward::as_handed_on(serve(node, &route, &request, &accept).await)),
            Filtered::Answered(answer) => Some(answer),
        };
        if let Some(answer) = answer {
            metrics::request(route.method, route.path, answer.status, began.elapsed());
            return answer;
        }
    }
    let mut response = serve(node, &route, &request, &accept).await;
    metrics::request(route.method, route.path, response.status, began.elapsed());
    if cors::is_cross_origin(&request) {
        cors::decorate(&request, &mut response);
    }
    response
}

async fn serve(node: &Arc<Node>, route: &Route, request: &Request, accept: &Accept<'_>) -> Response {
    match (route.handler)(node, request).await {
        Ok(response) => negotiate(response, accept),
        Err(error) => error_page::of_error(&error, accept),
    }
}

/// The connector, the context path, the firewall, and the reading of parameters.
fn admit(
    node: &Arc<Node>,
    parts: Parts,
    body: Bytes,
    peer: SocketAddr,
    accept: &Accept<'_>,
) -> Result<Request, Response> {
    let raw_path = parts.uri.path().to_owned();
    let raw_query = parts.uri.query().map(str::to_owned);
    let head_bytes = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>()
        + raw_path.len()
        + raw_query.as_ref().map_or(0, |query| query.len() + 1)
        + parts.method.as_str().len()
        + 13;
    let context = node.settings.context_path.as_str();
    let below = raw_path.strip_prefix(context).filter(|rest| rest.is_empty() || rest.starts_with(['/', ';']));
    if parts.version == Version::HTTP_11 && !parts.headers.contains_key("host") {
        return Err(error_page::tomcat(400));
    }
    let refused = firewall::check(&parts.method, &raw_path, raw_query.as_deref(), head_bytes, accept);
    match (&refused, below) {
        // Outside the context path only the connector's own refusals come first.
        (Some(page), None) if page.status == 500 => return Err(error_page::tomcat(404)),
        (Some(_), _) => return Err(refused.unwrap_or_else(|| error_page::tomcat(400))),
        (None, None) => return Err(error_page::tomcat(404)),
        (None, Some("")) if !context.is_empty() => return Err(redirect(&parts, &raw_path, raw_query.as_deref())),
        (None, Some(_)) => {}
    }
    let path = decode(below.unwrap_or_default().as_bytes(), false).ok_or_else(|| error_page::tomcat(400))?;
    let pairs = pairs(&parts, raw_query.as_deref(), &body);
    let mut method = parts.method;
    if method == Method::POST
        && let Some(wanted) = pairs.first("_method")
    {
        // HiddenHttpMethodFilter
        match wanted.to_ascii_uppercase().as_str() {
            "PUT" => method = Method::PUT,
            "DELETE" => method = Method::DELETE,
            "PATCH" => method = Method::PATCH,
            _ => {}
        }
    }
    let params = pairs.into_params(is_naming(&path));
    Ok(Request { method, raw_path, path, raw_query, headers: parts.headers, params, body, peer })
}

/// Query first, then the body when it is a form.
fn pairs(parts: &Parts, raw_query: Option<&str>, body: &Bytes) -> Pairs {
    let mut pairs = Pairs::default();
    pairs.add_urlencoded(raw_query.unwrap_or_default().as_bytes());
    if body.is_empty() {
        return pairs;
    }
    let content_type = parts.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let method = &parts.method;
    match media.as_str() {
        "application/x-www-form-urlencoded" => {
            let filtered = [Method::PUT, Method::PATCH, Method::DELETE].contains(method);
            if filtered || (*method == Method::POST && body.len() <= POST_FORM_BYTES_MAX) {
                pairs.add_urlencoded(body);
            }
        }
        "multipart/form-data" if *method == Method::POST => pairs.add_multipart(content_type, body),
        _ => {}
    }
    pairs
}

fn redirect(parts: &Parts, raw_path: &str, raw_query: Option<&str>) -> Response {
    let host = parts.headers.get("host").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let query = raw_query.map(|query| format!("?{query}")).unwrap_or_default();
    let mut response = error_page::empty(302);
    response.headers.push(("location", format!("http://{host}{raw_path}/{query}")));
    response.chunked = true;
    response
}

fn is_naming(path: &str) -> bool {
    path.strip_prefix(NAMING).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `TrafficReviseFilter`: limited URLs, and a status that does not take this request.
fn traffic(node: &Node, request: &Request) -> Option<Response> {
    let switches = node.switches.get();
    if !switches.limited_url_map.is_empty() {
        // A missing query reads "null" here.
        let url = format!("{}?{}", request.raw_path, request.raw_query.as_deref().unwrap_or("null"));
        if let Some((_, status)) = switches.limited_url_map.iter().find(|(prefix, _)| url.starts_with(prefix.as_str()))
        {
            return Some(error_page::empty(u16::try_from(*status).unwrap_or(500)));
        }
    }
    let status = node.status.current();
    if status.admits(request.method == Method::GET, request.agent().starts_with("Nacos-Server")) {
        return None;
    }
    Some(refusal(node))
}

fn refusal(node: &Node) -> Response {
    let mut refusal = error_page::empty(503);
    refusal.body = format!("server is {} now, please try again later!", node.status.current().as_str()).into();
    refusal
}

enum NoRoute {
    Naming,
    OtherMethod,
    Error,
    Nothing,
}

fn find(router: &Router, request: &Request, naming: bool) -> Result<Route, NoRoute> {
    let method = request.method.as_str();
    // Outside the naming filters Spring serves HEAD with whatever serves GET.
    let method = if !naming && method == "HEAD" { "GET" } else { method };
    match router.find(method, &request.path) {
        Found::Endpoint(route) => Ok(route),
        Found::Nothing if method == "GET" && request.path == super::health::UNREACHABLE => Err(NoRoute::Nothing),
        Found::Nothing | Found::OtherMethod if naming => Err(NoRoute::Naming),
        Found::OtherMethod => Err(NoRoute::OtherMethod),
        Found::Nothing if request.path == "/error" => Err(NoRoute::Error),
        // Outside the naming filters Spring serves a trailing slash like the path without.
        Found::Nothing => match request.path.strip_suffix('/').map(|path| router.find(method, path)) {
            Some(Found::Endpoint(route)) => Ok(route),
            Some(Found::OtherMethod) => Err(NoRoute::OtherMethod),
            _ => Err(NoRoute::Nothing),
        },
    }
}

/// `DistroFilter` names the service `group@@service` before any controller sees it (compat/spec/naming-api.md §1.2).
fn group_service_name(request: &mut Request) {
    let params = &request.params;
    let given = params.get("serviceName").filter(|name| !java::is_blank(name)).or_else(|| params.get("dom"));
    let Some(name) = given.filter(|name| !java::is_blank(name)).map(java::trim) else { return };
    let grouped = if name.contains("@@") {
        name.to_owned()
    } else {
        let group = params.get("groupName").filter(|group| !java::is_blank(group)).unwrap_or("DEFAULT_GROUP");
        format!("{group}@@{name}")
    };
    request.params.set("serviceName", grouped);
}

/// Strings take whatever type is asked for; JSON objects are refused where JSON is not taken.
pub(super) fn negotiate(mut response: Response, accept: &Accept<'_>) -> Response {
    match response.content_type.as_deref() {
        Some(TEXT) => match accept.of_text() {
            Some(content_type) => response.content_type = Some(content_type),
            None => return error_page::empty(406),
        },
        Some(JSON) if response.chunked && !accept.takes_json() => return error_page::not_acceptable(accept),
        _ => {}
    }
    response
}
