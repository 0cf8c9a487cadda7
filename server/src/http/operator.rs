//! `OperatorController` (compat/spec/naming-api.md §14).

use std::sync::Arc;

use super::host_load;
use super::request::Request;
use super::response::{ApiError, Response};
use super::routes::{Answer, Route};
use crate::cluster::member::{Member, MemberState};
use crate::naming::json::JsonBuffer;
use crate::naming::switch_entries;
use crate::node::Node;

/// The endpoints, under both prefixes.
pub fn routes() -> Vec<Route> {
    macro_rules! both {
        ($($method:literal $path:literal $handler:ident),* $(,)?) => {
            vec![$(
                Route::local($method, concat!("/v1/ns/operator", $path), $handler),
                Route::local($method, concat!("/v1/ns/ops", $path), $handler),
            )*]
        };
    }
    both![
        "GET" "/switches" switches,
        "PUT" "/switches" set_switch,
        "GET" "/metrics" metrics,
        "GET" "/servers" servers,
        "GET" "/distro/server" responsible_server,
        "GET" "/distro/status" distro_status,
        "GET" "/push/state" push_state,
        "GET" "/server/status" server_status,
        "PUT" "/log" set_log_level,
        "GET" "/cluster/state" cluster_state,
    ]
}

fn switches<'a>(node: &'a Arc<Node>, _request: &'a Request) -> Answer<'a> {
    Box::pin(async { Response::json(&*node.switches.get()) })
}

/// With `debug` the change is this node's alone; otherwise it is for all members and needs consensus.
fn set_switch<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let params = &request.params;
        let debug = params.spring_bool("debug", false)?;
        let entry = params.spring_required("entry")?;
        let value = params.spring_required("value")?;
        let mut changed = (*node.switches.get()).clone();
        switch_entries::apply(&mut changed, entry, value)?;
        if debug {
            node.switches.change_here(|switches| switch_entries::apply(switches, entry, value))?;
        } else {
            node.consistency.switch(entry, value).await?;
        }
        Ok(Response::text("ok"))
    })
}

fn metrics<'a>(node: &'a Arc<Node>, _request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        // All, and those this node is responsible for.
        let (mut services, mut instances, mut own_services, mut own_instances) = (0, 0, 0, 0);
        for service in node.registry.services() {
            let held = {
                let state = service.read();
                (state.ephemeral.len() + state.persistent.len()) as i64
            };
            (services, instances) = (services + 1, instances + held);
            if node.distro.responsible(&service.id().name) {
                (own_services, own_instances) = (own_services + 1, own_instances + held);
            }
        }
        let mut json = JsonBuffer::new();
        json.raw("{\"status\":\"").raw(node.status.current().as_str()).raw("\",\"serviceCount\":").int(services);
        json.raw(",\"instanceCount\":").int(instances).raw(",\"raftNotifyTaskCount\":0");
        json.raw(",\"responsibleServiceCount\":").int(own_services);
        json.raw(",\"responsibleInstanceCount\":").int(own_instances);
        json.raw(",\"cpu\":").double(host_load::cpu()).raw(",\"load\":").double(host_load::load());
        json.raw(",\"mem\":").double(host_load::memory()).raw("}");
        Ok(Response::json_text(json.into_bytes()))
    })
}

/// Official nodes list members in no particular order; here they are sorted.
fn servers<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let healthy = request.params.spring_bool("healthy", false)?;
        let mut members = node.members.all();
        members.retain(|member| !healthy || member.state == MemberState::Up);
        let members: Vec<_> = members.into_iter().map(Member::as_official).collect();
        Response::json(&serde_json::json!({ "servers": members }))
    })
}

fn responsible_server<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let params = &request.params;
        let name = params.spring_required("serviceName")?;
        let namespace = params.spring_optional("namespaceId", "public");
        if node.registry.find(namespace, name).is_none() {
            return Err(ApiError::illegal("service not found"));
        }
        let mut json = JsonBuffer::new();
        // Nobody healthy, or switched off: this node, as in official ones.
        let owner = node.members.owner(name).filter(|_| node.switches.get().distro_enabled);
        let owner = owner.unwrap_or_else(|| node.settings.address());
        json.raw("{\"responsibleServer\":").string(&owner).raw("}");
        Ok(Response::json_text(json.into_bytes()))
    })
}

fn distro_status<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        if request.params.spring_optional("action", "view") != "view" {
            return Ok(Response::json_text("{}"));
        }
        let members: Vec<_> = node.members.all().into_iter().map(Member::as_official).collect();
        Response::json(&serde_json::json!({ "status": members }))
    })
}

fn push_state<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let detail = request.params.spring_bool("detail", false)?;
        let reset = request.params.spring_bool("reset", false)?;
        let (total, failed) = node.pushes.get();
        let succeeded = total.saturating_sub(failed);
        let mut json = JsonBuffer::new();
        json.raw("{\"succeed\":").int(succeeded as i64).raw(",\"total\":").int(total as i64).raw(",\"ratio\":");
        if total == 0 {
            json.raw("0");
        } else {
            json.float(succeeded as f32 / total as f32);
        }
        if detail {
            json.raw(",\"data\":[]");
        }
        if reset {
            node.pushes.reset();
        }
        json.raw(",\"reset\":").bool(reset).raw("}");
        Ok(Response::json_text(json.into_bytes()))
    })
}

/// What a member of 1.3 and before says of itself, one line each (compat/spec/membership.md §6.3). Strangers are
/// refused; the rest has no use here.
fn server_status<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        for line in request.params.spring_required("serverStatus")?.split("\r\n") {
            if let [_, address, _, _, ..] = line.split('#').collect::<Vec<_>>().as_slice()
                && !node.members.is_member(address)
            {
                return Err(ApiError::illegal(format!("server: {address} is not in serverlist")));
            }
        }
        Ok(Response::text("ok"))
    })
}

/// Official loggers do not exist here: taken and of no effect.
fn set_log_level<'a>(_node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        request.params.spring_required("logName")?;
        request.params.spring_required("logLevel")?;
        Ok(Response::text("ok"))
    })
}

/// The raft of 1.3 and before, which is idle in every 1.4 node.
fn cluster_state<'a>(node: &'a Arc<Node>, _request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let mut json = JsonBuffer::new();
        json.raw("{\"ip\":").string(&node.settings.address());
        json.raw(",\"term\":-1,\"leaderDueMs\":15000,\"heartbeatDueMs\":5000,\"state\":\"FOLLOWER\"}");
        Ok(Response::json_text(json.into_bytes()))
    })
}
