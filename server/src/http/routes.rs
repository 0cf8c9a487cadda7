//! Every method and path that exists, exactly as official Nacos registers them; anything else under `/v1/ns` is 501.

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

/// All endpoints. Each controller file contributes its own list.
pub fn all() -> Vec<Route> {
    Vec::new()
}
