//! `/v1/core/*`: what members tell and ask each other, and what operators do to the list
//! (compat/spec/membership.md §4).

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tracing::{debug, info};

use super::request::Request;
use super::response::ApiError;
use super::rest_result::{done, failed, success};
use super::routes::{Answer, Route};
use crate::clock::now_ms;
use crate::cluster::conf;
use crate::cluster::leave;
use crate::cluster::member::{Member, MemberState};
use crate::java;
use crate::node::Node;
use crate::raft::datum::GROUP;

/// The endpoints.
pub fn routes() -> Vec<Route> {
    vec![
        Route::local("GET", "/v1/core/cluster/self", own),
        Route::local("GET", "/v1/core/cluster/nodes", nodes),
        Route::local("GET", "/v1/core/cluster/simple/nodes", simple_nodes),
        Route::local("GET", "/v1/core/cluster/health", health),
        Route::local("POST", "/v1/core/cluster/report", report),
        Route::local("POST", "/v1/core/cluster/switch/lookup", switch_lookup),
        Route::local("POST", "/v1/core/cluster/server/leave", server_leave),
        Route::local("POST", "/v1/core/ops/raft", raft_ops),
        Route::local("GET", "/v1/core/ops/idInfo", id_info),
    ]
}

fn own<'a>(node: &'a Arc<Node>, _request: &'a Request) -> Answer<'a> {
    Box::pin(async { success(node.members.own()) })
}

/// The keyword is a whole address or the beginning of one.
fn nodes<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let keyword = request.params.get("keyword").filter(|text| !java::is_blank(text)).unwrap_or_default();
        let mut members = node.members.all();
        members.retain(|member| member.address.starts_with(keyword));
        success(members)
    })
}

fn simple_nodes<'a>(node: &'a Arc<Node>, _request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let members = node.members.all().into_iter();
        let mut up: Vec<_> =
            members.filter(|member| member.state == MemberState::Up).map(|member| member.address).collect();
        java::hash_order(&mut up, false, |address| address.clone());
        success(up)
    })
}

fn health<'a>(node: &'a Arc<Node>, _request: &'a Request) -> Answer<'a> {
    Box::pin(async { success(node.members.own().map(|member| member.state)) })
}

fn report<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let member: Member = json_body(request, SIGNATURES.report)?;
        if !member.is_valid() {
            return failed(400, "Node information is illegal");
        }
        success(node.members.accept_report(member, now_ms()).to_string())
    })
}

fn switch_lookup<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let kind = request
            .params
            .get("type")
            .ok_or_else(|| ApiError::internal("Required String parameter 'type' is not present"))?;
        match node.lookup.switch(kind).await {
            Ok(()) => done(),
            Err(why) => failed(500, why),
        }
    })
}

/// Answers at once and tells the others at most once; official nodes call each other in circles here.
fn server_leave<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let named: Vec<String> = json_body(request, SIGNATURES.leave)?;
        let entries: Result<Vec<_>, _> = named.iter().map(|text| conf::parse_entry(text)).collect();
        let entries = entries.map_err(|error| ApiError::illegal(error.to_string()))?;
        if let Some(error) = conf::unresolved(&entries).await {
            return Err(ApiError::illegal(error.to_string()));
        }
        let gone: Vec<_> = entries.into_iter().map(|entry| format!("{}:{}", entry.host, entry.port)).collect();
        info!(members = ?gone, peer = %request.peer, "asked to take members off the list");
        let changed = node.members.leave(&gone);
        if changed {
            node.lookup.write_back();
        }
        if node.departures.is_news(&gone, changed, node.members.self_address()) {
            let body = request.body.clone();
            let tell = leave::tell(Arc::clone(&node.members), node.client.clone(), &node.settings.context_path, body);
            node.tasks.spawn("leave", tell);
        }
        success("ok")
    })
}

/// There is no consensus group on this node, so none is the one asked for.
fn raft_ops<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let commands: Map<String, Value> = json_body(request, SIGNATURES.raft_ops)?;
        let text = |key| match commands.get(key) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => "null".to_owned(),
        };
        let is_ours = commands.get("groupId").is_none_or(|group| group == GROUP);
        if let Some(raft) = node.raft.get().filter(|_| is_ours && !node.settings.standalone) {
            return match raft.maintain(&text("command"), &text("value")).await {
                Ok(()) => done(),
                Err(why) => failed(500, why),
            };
        }
        match commands.contains_key("groupId") {
            true => failed(500, format!("not this raft group : {}", text("groupId"))),
            false => failed(500, format!("Not support command : {}", text("command"))),
        }
    })
}

/// Ids are handed out by the configuration part only.
fn id_info<'a>(_node: &'a Arc<Node>, _request: &'a Request) -> Answer<'a> {
    Box::pin(async { success(Map::new()) })
}

/// How Spring names the methods whose body is missing.
struct Signatures {
    report: &'static str,
    leave: &'static str,
    raft_ops: &'static str,
}

const SIGNATURES: Signatures = Signatures {
    report: "public com.alibaba.nacos.common.model.RestResult<java.lang.String> \
             com.alibaba.nacos.core.controller.NacosClusterController.report(com.alibaba.nacos.core.cluster.Member)",
    leave: "public com.alibaba.nacos.common.model.RestResult<java.lang.String> \
            com.alibaba.nacos.core.controller.NacosClusterController.leave(java.util.Collection<java.lang.String>) \
            throws java.lang.Exception",
    raft_ops: "public com.alibaba.nacos.common.model.RestResult<java.lang.String> \
               com.alibaba.nacos.core.controller.CoreOpsController.raftOps(java.util.Map<java.lang.String, \
               java.lang.String>)",
};

/// The body as JSON, with Spring's complaints.
fn json_body<T: DeserializeOwned>(request: &Request, signature: &str) -> Result<T, ApiError> {
    let content_type = request.header("content-type");
    let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if !(media == "application/json" || (media.starts_with("application/") && media.ends_with("+json"))) {
        let shown = if content_type.is_empty() { "application/octet-stream" } else { content_type };
        return Err(ApiError::internal(format!("Content type '{shown}' not supported")));
    }
    if request.body.is_empty() {
        return Err(ApiError::internal(format!("Required request body is missing: {signature}")));
    }
    serde_json::from_slice(&request.body).map_err(|error| {
        debug!(path = request.path, %error, "bad body");
        ApiError::internal(format!("JSON parse error: {error}"))
    })
}
