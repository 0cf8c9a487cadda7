//! `HealthController` of naming (compat/spec/naming-api.md §10.2–§10.4).

use std::sync::Arc;

use super::instance::{int, namespace};
use super::request::Request;
use super::response::{ApiError, Response};
use super::routes::{Answer, Route};
use crate::java;
use crate::naming::instance::{DEFAULT_CLUSTER, InstanceKey};
use crate::naming::instances;
use crate::naming::service::ServiceId;
use crate::node::Node;

/// What one of the filters takes `health/checkers` for: it passes there and no controller answers.
pub const UNREACHABLE: &str = "/v1/ns/healthcheckers";

/// The endpoints. `health/checkers` is declared upstream in a way that nothing can reach: one filter knows it by
/// another path than the dispatcher.
pub fn routes() -> Vec<Route> {
    vec![
        Route::forwarded("PUT", "/v1/ns/health", update),
        Route::forwarded("PUT", "/v1/ns/health/instance", update),
        Route::local("GET", "/v1/ns/health/server", server),
    ]
}

fn update<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let params = &request.params;
        let healthy = match params.optional("healthy", "") {
            text if java::is_blank(&text) => params.optional("valid", ""),
            text => text,
        };
        if java::is_blank(&healthy) {
            return Err(ApiError::illegal("Param 'healthy' is required."));
        }
        let name = params.required("serviceName")?;
        let ip = params.required("ip")?.into_owned();
        let port = int(&params.required("port")?)?;
        let cluster = params.optional("clusterName", DEFAULT_CLUSTER).into_owned();
        let id = ServiceId::new(namespace(params), name.as_ref());
        let key = InstanceKey { ip, port, cluster };
        instances::set_health(&node.registry, &id, &key, java::lang_bool(&healthy))?;
        Ok(Response::text("ok"))
    })
}

fn server<'a>(node: &'a Arc<Node>, _request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        Ok(Response::json_text(format!(
            "{{\"msg\":\"Hello! I am Nacos-Naming and healthy! total services: raft {}, local port:{}\"}}",
            node.registry.len(),
            node.settings.port
        )))
    })
}
