//! `RaftController`: the protocol before 1.4, which every 1.4 node has stopped (compat/spec/naming-api.md §15).

use std::sync::Arc;

use super::request::Request;
use super::response::ApiError;
use super::routes::{Answer, Route};
use crate::node::Node;

/// The endpoints, under both prefixes; the second lies outside the naming filters.
pub fn routes() -> Vec<Route> {
    macro_rules! both {
        ($($method:literal $path:literal),* $(,)?) => {
            vec![$(
                Route::local($method, concat!("/v1/ns/raft", $path), stopped),
                Route::local($method, concat!("/nacos/v1/ns/raft", $path), stopped),
            )*]
        };
    }
    both![
        "POST" "/vote",
        "POST" "/beat",
        "GET" "/peer",
        "PUT" "/datum/reload",
        "POST" "/datum",
        "DELETE" "/datum",
        "GET" "/datum",
        "GET" "/state",
        "POST" "/datum/commit",
        "DELETE" "/datum/commit",
        "GET" "/leader",
        "GET" "/listeners",
    ]
}

fn stopped<'a>(_node: &'a Arc<Node>, _request: &'a Request) -> Answer<'a> {
    Box::pin(async { Err(ApiError::internal("old raft protocol already stop")) })
}
