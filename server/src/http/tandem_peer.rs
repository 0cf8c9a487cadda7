//! What Tandem nodes call among their own; to anybody else these paths do not exist.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};

use super::forward::{self, Filtered};
use super::request::{Params, Request};
use super::response::{ApiError, Response};
use super::routes::{Answer, Route};
use super::{accept, distro, error_page, instance_beat, pipeline};
use crate::distro::beats::{Answered, Beat};
use crate::distro::peer_client::{BEATS, CHANGES};
use crate::distro::receive::Sender;
use crate::node::Node;
use crate::telemetry::metrics;

/// The endpoints.
pub(super) fn routes() -> Vec<Route> {
    vec![Route::local("POST", CHANGES, changes), Route::local("POST", BEATS, beats)]
}

/// `POST distro/tandem/changes`.
fn changes<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async move {
        let Some(sender) = peer(node, request) else { return Ok(no_such_api(request)) };
        match node.distro.receive_changes(&request.body, sender) {
            Ok(answer) => Response::json(&answer),
            Err(error) => Err(unreadable(&error)),
        }
    })
}

/// `POST distro/tandem/beats`.
fn beats<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async move {
        if peer(node, request).is_none() {
            return Ok(no_such_api(request));
        }
        let beats: Vec<Beat> = serde_json::from_slice(&request.body).map_err(|error| unreadable(&error))?;
        let mut answers: Vec<Answered> = Vec::with_capacity(beats.len());
        for beat in beats {
            let answer = one_beat(node, request, beat).await;
            answers.push((answer.status, String::from_utf8_lossy(&answer.body).into_owned()));
        }
        Response::json(&answers)
    })
}

/// What the pipeline would do with the same beat, had it come by itself.
async fn one_beat(node: &Arc<Node>, request: &Request, beat: Beat) -> Response {
    let began = Instant::now();
    let mut params = Params::default();
    for (name, value) in &beat.params {
        params.set(name, value.as_str());
    }
    let mut headers = HeaderMap::new();
    headers.insert(header::USER_AGENT, HeaderValue::from_static(crate::distro::peer_client::USER_AGENT));
    if let Ok(accept) = HeaderValue::try_from(beat.accept.as_str()) {
        headers.insert(header::ACCEPT, accept);
    }
    let request = Request {
        method: Method::PUT,
        raw_path: format!("{}{}", node.settings.context_path, instance_beat::PATH),
        path: instance_beat::PATH.to_owned(),
        raw_query: None,
        headers,
        params,
        body: Bytes::new(),
        peer: request.peer,
    };
    let accept = accept::parse(&beat.accept);
    let answer = match forward::filter(node, &request, None).await {
        // Views differ: never handed on twice.
        Filtered::Answered(refusal) => refusal,
        Filtered::Here | Filtered::AlsoHere => match instance_beat::beat(node, &request).await {
            Ok(response) => pipeline::negotiate(response, &accept),
            Err(error) => error_page::of_error(&error, &accept),
        },
    };
    metrics::request("PUT", instance_beat::PATH, answer.status, began.elapsed());
    answer
}

/// The member that sends, when this node announced the stream.
fn peer<'a>(node: &'a Arc<Node>, request: &'a Request) -> Option<Sender<'a>> {
    let sender = distro::sender(node, request);
    (node.settings.distro.peer_stream && sender != Sender::Official).then_some(sender)
}

fn no_such_api(request: &Request) -> Response {
    let accept = accept::parse(request.header("accept"));
    let message = format!("no such api:{}:{}", request.method, request.raw_path);
    error_page::spring(501, &message, &request.raw_path, &accept)
}

fn unreadable(error: &serde_json::Error) -> ApiError {
    ApiError::internal(format!("JSON parse error: {error}"))
}
