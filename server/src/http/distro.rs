//! What peers call: the official `DistroController` (compat/spec/distro.md §6).

use std::sync::Arc;

use indexmap::IndexMap;

use super::request::Request;
use super::response::{ApiError, Response};
use super::routes::{Answer, Route};
use crate::distro::peer_client::{TANDEM_NODE, TANDEM_RING};
use crate::distro::receive::{ReceiveError, Sender};
use crate::node::Node;

/// Content type of lists: the official controller answers bytes.
const OCTETS: &str = "application/octet-stream;charset=UTF-8";
/// The official methods that demand a body, as Spring names them when there is none.
const ON_SYNC_DATUM: &str = "onSyncDatum(java.util.Map<java.lang.String, com.alibaba.nacos.naming.consistency.Datum<\
                             com.alibaba.nacos.naming.core.Instances>>) throws java.lang.Exception";
const SYNC_CHECKSUM: &str = "syncChecksum(java.lang.String,java.util.Map<java.lang.String, java.lang.String>)";
const GET: &str = "get(java.lang.String) throws java.lang.Exception";

/// The endpoints.
pub fn routes() -> Vec<Route> {
    vec![
        Route::local("PUT", "/v1/ns/distro/datum", put_datum),
        Route::local("PUT", "/v1/ns/distro/checksum", put_checksum),
        Route::local("GET", "/v1/ns/distro/datum", get_datum),
        Route::local("GET", "/v1/ns/distro/datums", get_datums),
    ]
}

fn put_datum<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async move {
        let body = json_body(request, ON_SYNC_DATUM)?;
        match node.distro.receive(body, sender(node, request)) {
            Ok(()) => Ok(Response::text("ok")),
            // 400 in Nacos' own words, 500 as the official archive answers it.
            Err(ReceiveError::Empty) => Err(ApiError::internal(ReceiveError::Empty.to_string())),
            Err(ReceiveError::Json(error)) => Err(json_error(&error)),
        }
    })
}

fn put_checksum<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async move {
        let Some(source) = request.params.get("source") else {
            return Err(ApiError::internal("Required String parameter 'source' is not present"));
        };
        let body = json_body(request, SYNC_CHECKSUM)?;
        let checksums: IndexMap<String, String> = serde_json::from_slice(body).map_err(|error| json_error(&error))?;
        let sender = match sender(node, request) {
            // It was not told yet that we are of its kind: official rules are not what it means.
            Sender::Official if node.members.may_be_tandem(source) => Sender::tandem(source),
            sender => sender,
        };
        node.distro.receive_checksums(source, checksums, sender).await;
        Ok(Response::text("ok"))
    })
}

fn get_datum<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async move {
        if request.body.is_empty() {
            return Err(missing_body(GET));
        }
        let body: serde_json::Value = serde_json::from_slice(&request.body)
            .map_err(|error| ApiError::internal(format!("errCode: 101, errMsg: Nacos deserialize failed. {error} ")))?;
        let Some(keys) = body.get("keys").and_then(serde_json::Value::as_str) else {
            return Err(ApiError::internal(
                "Cannot invoke \"com.fasterxml.jackson.databind.JsonNode.asText()\" because the return value of \
                 \"com.fasterxml.jackson.databind.JsonNode.get(String)\" is null",
            ));
        };
        Ok(octets(node.distro.datums_of(keys.split(','))))
    })
}

fn get_datums<'a>(node: &'a Arc<Node>, _request: &'a Request) -> Answer<'a> {
    Box::pin(async move { Ok(octets(node.distro.all_datums())) })
}

/// Tandem nodes say who they are; the word of a stranger counts no more than an official node's.
pub(super) fn sender<'a>(node: &'a Arc<Node>, request: &'a Request) -> Sender<'a> {
    let address = request.header(TANDEM_NODE);
    if address.is_empty() || !node.members.is_member(address) {
        return Sender::Official;
    }
    Sender::Tandem { address, ring: request.header(TANDEM_RING) }
}

/// The body, whatever `Content-Encoding` claims: official senders write `gzip` on plain JSON (§12 trap 1).
fn json_body<'a>(request: &'a Request, method: &str) -> Result<&'a [u8], ApiError> {
    let content_type = request.header("content-type");
    let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if request.body.is_empty() && (media.is_empty() || is_json(&media)) {
        return Err(missing_body(method));
    }
    if is_json(&media) {
        return Ok(&request.body);
    }
    let shown = match media.as_str() {
        "" => "application/octet-stream".to_owned(),
        _ if !content_type.contains("charset") => format!("{content_type};charset=UTF-8"),
        _ => content_type.replace("; ", ";"),
    };
    Err(ApiError::internal(format!("Content type '{shown}' not supported")))
}

fn is_json(media: &str) -> bool {
    media == "application/json" || (media.starts_with("application/") && media.ends_with("+json"))
}

fn missing_body(method: &str) -> ApiError {
    ApiError::internal(format!(
        "Required request body is missing: public org.springframework.http.ResponseEntity \
         com.alibaba.nacos.naming.controllers.DistroController.{method}"
    ))
}

/// The rest of the text is Jackson's and differs between its versions.
fn json_error(error: &serde_json::Error) -> ApiError {
    ApiError::internal(format!("JSON parse error: {error}"))
}

fn octets(body: Vec<u8>) -> Response {
    Response {
        status: 200,
        content_type: Some(OCTETS.to_owned()),
        headers: Vec::new(),
        body: body.into(),
        chunked: false,
    }
}
