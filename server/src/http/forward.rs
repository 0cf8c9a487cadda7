//! Hands a request to the node responsible for its service (compat/spec/naming-api.md §13).

use std::sync::Arc;

use super::request::Request;
use super::response::Response;
use crate::node::Node;

/// The responsible node's answer, or `None` when this node serves the request itself. Called for forwarded routes only,
/// after the service name was grouped.
pub async fn filter(_node: &Arc<Node>, _request: &mut Request) -> Option<Response> {
    None
}
