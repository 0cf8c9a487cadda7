//! The console's endpoints that clients and probes use: health, state, namespaces
//! (compat/spec/naming-api.md §15), and a page in the place of the console's own.

use std::sync::Arc;

use super::console_page;
use super::request::Request;
use super::response::Response;
use super::routes::{Answer, Route};
use crate::node::Node;

/// The endpoints.
pub fn routes() -> Vec<Route> {
    vec![
        Route::local("GET", "/v1/console/health/readiness", ok),
        Route::local("GET", "/v1/console/health/liveness", ok),
        Route::local("GET", "/v1/console/server/state", state),
        Route::local("GET", "/v1/console/namespaces", namespaces),
        Route::local("GET", "/", console_page::page),
        Route::local("GET", "/index.html", console_page::page),
    ]
}

fn ok<'a>(_node: &'a Arc<Node>, _request: &'a Request) -> Answer<'a> {
    Box::pin(async { Ok(Response::text("OK")) })
}

fn state<'a>(node: &'a Arc<Node>, _request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let mode = if node.settings.standalone { "standalone" } else { "cluster" };
        Ok(Response::json_text(format!(
            "{{\"version\":\"1.4.1\",\"standalone_mode\":\"{mode}\",\"function_mode\":null}}"
        )))
    })
}

/// Only the built-in namespace: further ones are kept by the configuration part.
fn namespaces<'a>(_node: &'a Arc<Node>, _request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        Ok(Response::json_text(
            "{\"code\":200,\"message\":null,\"data\":[{\"namespace\":\"\",\"namespaceShowName\":\"public\",\
             \"quota\":200,\"configCount\":0,\"type\":0}]}",
        ))
    })
}
