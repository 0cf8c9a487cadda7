//! The official `DistroFilter`: hands a write to the node responsible for its service (compat/spec/distro.md §5).

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, header};

use super::accept;
use super::error_page;
use super::instance_beat;
use super::request::Request;
use super::response::{JSON, Response};
use crate::clock::now_ms;
use crate::cluster::member::Member;
use crate::distro::beats::Beat;
use crate::distro::peer_client::PeerError;
use crate::java;
use crate::node::Node;

/// What official nodes carry in their agent; such a request is never handed on again.
const PEER_AGENT: &str = "Nacos-Server";
const FORM: &str = "application/x-www-form-urlencoded;charset=UTF-8";
/// From this many bytes on parameters travel as a form body: Tomcat refuses request heads above 8 KiB, and official
/// nodes lose large metadata that way.
const QUERY_BYTES_MAX: usize = 4096;
/// What the filter came to.
#[derive(Debug)]
pub enum Filtered {
    /// This node serves the request itself.
    Here,
    /// It was handed on, and this node does it as well: to be answered [`as_handed_on`].
    AlsoHere,
    /// The responsible node's answer, or why there is none.
    Answered(Response),
}

/// Hands a request on unless this node is responsible. Called for forwarded routes only, after the service name was
/// grouped; `sent_name` is the client's spelling, which is what travels.
pub async fn filter(node: &Arc<Node>, request: &Request, sent_name: Option<&str>) -> Filtered {
    if node.settings.standalone {
        return Filtered::Here;
    }
    let accept = accept::parse(request.header("accept"));
    let Some(name) = request.params.get("serviceName").filter(|name| !java::is_blank(name)) else {
        let message = "Server failed,caused: Cannot invoke \"String.hashCode()\" because \"serviceName\" is null;";
        return Filtered::Answered(error_page::spring(500, message, &request.raw_path, &accept));
    };
    if node.distro.responsible(name) {
        return Filtered::Here;
    }
    if request.header("user-agent").contains(PEER_AGENT) {
        let peer = request.peer.ip().to_canonical();
        tracing::warn!(%peer, service = name, "handed a request for a service of another node: views differ");
        let message = format!("receive invalid redirect request from peer {peer}");
        return Filtered::Answered(error_page::spring(400, &message, &request.raw_path, &accept));
    }
    let Some(owner) = node.members.owner(name) else { return Filtered::Here };
    if let Some(answer) = in_batch(node, request, &owner).await {
        return Filtered::Answered(answer);
    }
    let began = now_ms();
    let answer = hand_on(node, request, sent_name, &owner).await;
    if is_finished_here(node, request, &owner, &answer) {
        return Filtered::AlsoHere;
    }
    let answer = answer.unwrap_or_else(|error| failed(&owner, &error, &request.path));
    if answer.status == 200 {
        forget_departed(node, request, &owner, began);
        look_after(node, request).await;
    }
    Filtered::Answered(answer)
}

/// Whether a write that was handed on is done here, too. An official member says `ok` of persistent writes that it
/// loses for some seconds after each change of leader (compat/spec/jraft.md §8), and one that is frozen says nothing.
/// Here it changes nothing that is committed already.
fn is_finished_here(node: &Node, request: &Request, owner: &str, answer: &Result<Response, PeerError>) -> bool {
    if node.raft.get().is_none() || is_beat(request) || !is_persistent(request) {
        return false;
    }
    let of_tandem = |member: &Member| member.address == owner && member.is_tandem();
    match answer {
        Ok(answer) => answer.status == 200 && !node.members.all().iter().any(of_tandem),
        Err(_) => true,
    }
}

fn is_persistent(request: &Request) -> bool {
    request.params.get("ephemeral").is_some_and(|text| !java::lang_bool(java::trim(text)))
}

fn is_beat(request: &Request) -> bool {
    request.path.ends_with("/beat") || request.path.ends_with("/clientBeat")
}

/// A persistent write went to another member: read what became of it, so that the client finds it here.
async fn look_after(node: &Arc<Node>, request: &Request) {
    let params = &request.params;
    let Ok(id) = super::instance::service_id(params) else { return };
    let persistent = is_persistent(request);
    if is_beat(request) {
        return;
    }
    if let Some(raft) = node.raft.get().filter(|raft| persistent || raft.holds(&id)) {
        raft.look().await;
    }
}

/// An instance was deregistered at an official member, at this time or later (ms since the epoch). That one tells us
/// seconds afterwards, or never when it dies first or waits for somebody who is dead; who becomes responsible meanwhile
/// would bring the instance back everywhere, although it said `ok` itself.
fn forget_departed(node: &Node, request: &Request, owner: &str, at: i64) {
    if request.method != Method::DELETE || node.members.is_tandem(owner) {
        return;
    }
    if let Some((id, key)) = super::instance::deregistered(node, request) {
        node.distro.departed(&id, key, at);
    }
}

/// The owner's answer to a beat that went there in a batch; `None` when it must go by itself.
async fn in_batch(node: &Arc<Node>, request: &Request, owner: &str) -> Option<Response> {
    let plain = request.body.is_empty() || is_form(request);
    if request.method != Method::PUT || request.path != instance_beat::PATH || !plain {
        return None;
    }
    let params: Vec<_> = own_parameters(request).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    // One that large is rare, and better not waited for.
    if params.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() >= QUERY_BYTES_MAX {
        return None;
    }
    let beat = Beat { params, accept: request.header("accept").to_owned() };
    Some(match node.distro.hand_on_beat(owner, beat).await? {
        Ok((status, body)) => answer(status, body.into()),
        Err(error) => failed(owner, &error, &request.path),
    })
}

async fn hand_on(
    node: &Arc<Node>,
    request: &Request,
    sent_name: Option<&str>,
    owner: &str,
) -> Result<Response, PeerError> {
    let mut headers = request.headers.clone();
    // A form has become part of the parameters.
    let mut body = if is_form(request) { Bytes::new() } else { request.body.clone() };
    let mut path = request.raw_path.clone();
    let parameters = parameters(request, sent_name);
    if body.is_empty() && parameters.len() >= QUERY_BYTES_MAX && request.method != Method::GET {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(FORM));
        body = parameters.into();
    } else {
        path = format!("{path}?{parameters}");
    }
    let client = node.distro.client();
    let (status, body) = client.forward(request.method.clone(), owner, &path, &headers, body).await?;
    Ok(answer(status, body))
}

fn failed(owner: &str, error: &PeerError, path: &str) -> Response {
    tracing::warn!(owner, %error, path, "a request could not be handed on");
    answer(500, exception(error, owner).into())
}

/// Whether the body was parameters only.
fn is_form(request: &Request) -> bool {
    let content_type = request.header("content-type").trim_start().to_ascii_lowercase();
    content_type.starts_with("application/x-www-form-urlencoded") || content_type.starts_with("multipart/form-data")
}

/// The client's parameters without those that only steer a request.
fn own_parameters(request: &Request) -> impl Iterator<Item = (&str, &str)> {
    request.params.iter().filter(|(name, _)| !matches!(*name, "nofix" | "_method"))
}

/// Every parameter of query and form, once; of `encoding` and `nofix` the official values win over the client's.
fn parameters(request: &Request, sent_name: Option<&str>) -> String {
    let mut text = String::with_capacity(256);
    for (name, value) in request.params.iter().filter(|(name, _)| !matches!(*name, "nofix" | "encoding")) {
        let Some(value) = (if name == "serviceName" { sent_name } else { Some(value) }) else { continue };
        text.push_str(&java::url_encode(name));
        text.push('=');
        text.push_str(&java::url_encode(value));
        text.push('&');
    }
    text.push_str("encoding=UTF-8&nofix=1");
    text
}

/// An answer of this node to a request that was handed on as well: clients get it in the same form.
pub fn as_handed_on(response: Response) -> Response {
    answer(response.status, response.body)
}

/// Status and body of the owner; its content type is lost on the way, as in official nodes.
fn answer(status: u16, body: Bytes) -> Response {
    Response { status, content_type: Some(JSON.to_owned()), headers: Vec::new(), body, chunked: false }
}

/// The bare exception text that official nodes answer.
fn exception(error: &PeerError, owner: &str) -> String {
    let host = owner.rsplit_once(':').map_or(owner, |(host, _)| host);
    match error {
        PeerError::Refused => format!(
            "org.apache.http.conn.HttpHostConnectException: Connect to {owner} [/{host}] failed: Connection refused"
        ),
        PeerError::ConnectTimeout => format!(
            "org.apache.http.conn.ConnectTimeoutException: Connect to {owner} [/{host}] failed: connect timed out"
        ),
        PeerError::Timeout => "java.net.SocketTimeoutException: Read timed out".to_owned(),
        PeerError::Status(..) | PeerError::Transport(_) => "java.net.SocketException: Connection reset".to_owned(),
    }
}
