//! Every method and path that exists, exactly as official Nacos registers them; anything else under `/v1/ns` is 501.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::request::Request;
use super::response::{ApiError, Response};
use crate::node::Node;

/// What a controller method returns.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Response, ApiError>> + Send + 'a>>;

/// A controller method.
pub type Handler = for<'a> fn(&'a Arc<Node>, &'a Request) -> Answer<'a>;

/// One endpoint.
#[derive(Clone, Copy)]
pub struct Route {
    /// HTTP method.
    pub method: &'static str,
    /// Decoded path below the context path, e.g. `/v1/ns/instance`.
    pub path: &'static str,
    /// Forwarded to the responsible node in a cluster (official annotation `CanDistro`).
    pub forwarded: bool,
    /// The controller method.
    pub handler: Handler,
}

impl Route {
    /// A route served by the node that is asked.
    pub const fn local(method: &'static str, path: &'static str, handler: Handler) -> Self {
        Route { method, path, forwarded: false, handler }
    }

    /// A route served by the responsible node.
    pub const fn forwarded(method: &'static str, path: &'static str, handler: Handler) -> Self {
        Route { method, path, forwarded: true, handler }
    }
}

/// All endpoints. Each controller file contributes its own list.
pub fn all() -> Vec<Route> {
    [
        super::instance::routes(),
        super::service::routes(),
        super::cluster::routes(),
        super::health::routes(),
        super::catalog::routes(),
        super::operator::routes(),
        super::api::routes(),
        super::raft::routes(),
        super::distro::routes(),
        super::tandem_peer::routes(),
        super::core_cluster::routes(),
        super::console::routes(),
        super::actuator::routes(),
    ]
    .concat()
}

/// What a method and path lead to.
#[derive(Debug)]
pub enum Found<T> {
    /// This endpoint.
    Endpoint(T),
    /// The path exists with other methods.
    OtherMethod,
    /// Nothing.
    Nothing,
}

/// The endpoints, by path and method.
#[derive(Default)]
pub struct Router {
    paths: HashMap<&'static str, Vec<Route>>,
}

impl Router {
    /// A table of these.
    pub fn new(routes: Vec<Route>) -> Self {
        let mut paths: HashMap<&'static str, Vec<Route>> = HashMap::new();
        for route in routes {
            paths.entry(route.path).or_default().push(route);
        }
        Router { paths }
    }

    /// The methods a path exists with.
    pub fn methods(&self, path: &str) -> Vec<&'static str> {
        self.paths.get(path).into_iter().flatten().map(|route| route.method).collect()
    }

    /// Looks a request up.
    pub fn find(&self, method: &str, path: &str) -> Found<Route> {
        match self.paths.get(path) {
            None => Found::Nothing,
            Some(routes) => match routes.iter().find(|route| route.method == method) {
                Some(route) => Found::Endpoint(*route),
                None => Found::OtherMethod,
            },
        }
    }
}
