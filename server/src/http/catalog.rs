//! `CatalogController`: what the console shows (compat/spec/naming-api.md §10.5–§10.8).

use std::sync::Arc;

use super::params::absent_primitive;
use super::request::Request;
use super::response::{ApiError, Response};
use super::routes::{Answer, Route};
use crate::java;
use crate::naming::catalog::{self, ServicesQuery};
use crate::naming::error::NamingError;
use crate::naming::json::JsonBuffer;
use crate::naming::view::clusters_in_order;
use crate::node::Node;

/// The endpoints.
pub fn routes() -> Vec<Route> {
    vec![
        Route::local("GET", "/v1/ns/catalog/services", services),
        Route::local("GET", "/v1/ns/catalog/service", service),
        Route::local("GET", "/v1/ns/catalog/instances", instances),
        Route::local("GET", "/v1/ns/catalog/rt/service", response_times),
    ]
}

fn services<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let params = &request.params;
        let with_instances = params.spring_bool("withInstances", false)?;
        let page = params.spring_int("pageNo")?.ok_or_else(|| absent_primitive("pageNo"))?;
        let size = params.spring_int("pageSize")?.ok_or_else(|| absent_primitive("pageSize"))?;
        let name = params.spring_optional("serviceNameParam", "");
        let group = params.spring_optional("groupNameParam", "");
        let only_filled = params.spring_bool("hasIpCount", false)?;
        let search =
            if java::is_blank(name) && java::is_blank(group) { String::new() } else { format!("{group}@@{name}") };
        let namespace = params.spring_optional("namespaceId", "public");
        let mut query = ServicesQuery { namespace, page, size, search: &search, ..ServicesQuery::default() };
        if with_instances {
            // Pages count from 0 here, and the other filters are not looked at.
            let (services, _) = catalog::services_page(&node.registry, &query)?;
            return Ok(Response::json_text(catalog::services_with_instances_json(&services)));
        }
        query.page = page.wrapping_sub(1);
        query.instance = params.spring_optional("instance", "");
        query.only_filled = only_filled;
        let (services, total) = catalog::services_page(&node.registry, &query)?;
        Ok(Response::json_text(catalog::services_json(&services, total)))
    })
}

fn service<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let params = &request.params;
        let Some(name) = params.get("serviceName") else {
            return Err(ApiError { status: 500, causes: Vec::new() });
        };
        let service = node
            .registry
            .find(params.spring_optional("namespaceId", "public"), name)
            .ok_or_else(|| NamingError::not_found(format!("service {name} is not found!")))?;
        Ok(Response::json_text(catalog::catalog_service(&service)))
    })
}

fn instances<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let params = &request.params;
        let name = params.spring_required("serviceName")?;
        let cluster = params.spring_required("clusterName")?;
        let page = params.spring_required_int("pageNo")?;
        let size = params.spring_required_int("pageSize")?;
        let service = node
            .registry
            .find(params.spring_optional("namespaceId", "public"), name)
            .ok_or_else(|| NamingError::not_found(format!("serivce {name} is not found!")))?;
        let state = service.read();
        if !state.clusters.contains_key(cluster) {
            return Err(NamingError::not_found(format!("cluster {cluster} is not found!")).into());
        }
        Ok(Response::json_text(catalog::instances_page(&state, cluster, page, size)?))
    })
}

/// Response times of checks: this node keeps none, so the best and worst are those of a cluster never checked.
fn response_times<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let params = &request.params;
        let name = params.required("serviceName")?;
        let service = node
            .registry
            .find(params.spring_optional("namespaceId", "public"), &name)
            .ok_or_else(|| ApiError::illegal("request service doesn't exist"))?;
        let state = service.read();
        let normalized = node.switches.get().tcp_health_params.max;
        let mut json = JsonBuffer::new();
        json.raw("{\"clusters\":").array(clusters_in_order(&state), |json, (name, _)| {
            json.raw("{\"name\":").string(name).raw(",\"checkRTBest\":").int(i64::MAX);
            json.raw(",\"checkRTWorst\":0,\"checkRTNormalized\":").int(i64::from(normalized)).raw("}");
        });
        json.raw("}");
        Ok(Response::json_text(json.into_bytes()))
    })
}
