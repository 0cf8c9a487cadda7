//! `/actuator/*`: health for probes, figures for Prometheus, at the places Spring Boot has them
//! (compat/spec/config-auth-console.md §7).

use std::sync::Arc;

use super::request::Request;
use super::response::{ApiError, Response};
use super::routes::{Answer, Route};
use super::{accept, error_page};
use crate::node::Node;
use crate::telemetry::metrics;

const ACTUATOR_JSON: &str = "application/vnd.spring-boot.actuator.v2+json;charset=UTF-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4;charset=utf-8";

/// The endpoints.
pub fn routes() -> Vec<Route> {
    vec![
        Route::local("GET", "/actuator/health", health),
        Route::local("GET", "/actuator/info", info),
        Route::local("GET", "/actuator/prometheus", prometheus),
    ]
}

fn health<'a>(_node: &'a Arc<Node>, _request: &'a Request) -> Answer<'a> {
    Box::pin(async { Ok(actuator_json("{\"status\":\"UP\"}")) })
}

fn info<'a>(_node: &'a Arc<Node>, _request: &'a Request) -> Answer<'a> {
    Box::pin(async { Ok(actuator_json("{}")) })
}

/// Not there unless exposed, as in official nodes.
fn prometheus<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        if !node.settings.prometheus {
            let accept = accept::parse(request.header("accept"));
            return Ok(error_page::spring(404, "No message available", &request.raw_path, &accept));
        }
        let text = metrics::render(node).ok_or_else(|| ApiError::internal("nothing is counted in this process"))?;
        Ok(Response { content_type: Some(PROMETHEUS.to_owned()), ..Response::text(text) })
    })
}

fn actuator_json(text: &'static str) -> Response {
    Response { content_type: Some(ACTUATOR_JSON.to_owned()), ..Response::json_text(text) }
}
