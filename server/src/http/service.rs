//! `ServiceController` (compat/spec/naming-api.md §9). Name listings are in `super::service_list`.

use std::sync::Arc;

use super::instance::namespace;
use super::request::Request;
use super::response::{ApiError, Response};
use super::routes::{Answer, Route};
use super::service_list;
use crate::java;
use crate::naming::consistency::{Consistency, Subject};
use crate::naming::error::NamingError;
use crate::naming::registry::Registry;
use crate::naming::service::{Selector, ServiceId};
use crate::naming::{catalog, metadata, selector, services};
use crate::node::Node;

/// The endpoints.
pub fn routes() -> Vec<Route> {
    vec![
        Route::local("POST", "/v1/ns/service", create),
        Route::local("DELETE", "/v1/ns/service", remove),
        Route::local("GET", "/v1/ns/service", detail),
        Route::local("PUT", "/v1/ns/service", update),
        Route::local("GET", "/v1/ns/service/list", service_list::list),
        Route::local("GET", "/v1/ns/service/names", service_list::names),
        Route::local("POST", "/v1/ns/service/status", status),
        Route::local("PUT", "/v1/ns/service/checksum", checksum),
        Route::local("GET", "/v1/ns/service/subscribers", service_list::subscribers),
    ]
}

/// The service a Spring-bound call names.
fn spring_id(request: &Request) -> Result<ServiceId, ApiError> {
    let name = request.params.spring_required("serviceName")?;
    Ok(ServiceId::new(request.params.spring_optional("namespaceId", "public"), name))
}

/// The selector is URL-decoded once more than other parameters.
fn parse_selector(text: &str) -> Result<Selector, NamingError> {
    if java::is_blank(text) {
        return Ok(Selector::None);
    }
    let decoded = super::form::decode(text.as_bytes(), true)
        .ok_or_else(|| NamingError::illegal("URLDecoder: Incomplete trailing escape (%) pattern"))?;
    selector::parse(&decoded)
}

fn create<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let params = &request.params;
        let id = spring_id(request)?;
        let protect_threshold = params.spring_float("protectThreshold", 0.0)?;
        if node.registry.get(&id).is_some() {
            let message = format!("specified service already exists, serviceName : {}", id.name);
            return Err(ApiError::illegal(message));
        }
        let metadata = metadata::parse(params.spring_optional("metadata", ""))?.unwrap_or_default();
        let selector = parse_selector(params.spring_optional("selector", ""))?;
        let settings = services::Settings { protect_threshold, metadata, selector };
        let create = |registry: &Registry, consistency: &Consistency| {
            services::create(registry, consistency, &id, settings.clone())
        };
        node.consistency.write_persistent(&node.registry, &id, Subject::Service, create).await?;
        Ok(Response::text("ok"))
    })
}

fn remove<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let id = spring_id(request)?;
        let delete = |registry: &Registry, consistency: &Consistency| services::delete(registry, consistency, &id);
        node.consistency.write_persistent(&node.registry, &id, Subject::Service, delete).await?;
        Ok(Response::text("ok"))
    })
}

fn detail<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let id = spring_id(request)?;
        let service = node
            .registry
            .get(&id)
            .ok_or_else(|| NamingError::not_found(format!("service {} is not found!", id.name)))?;
        Ok(Response::json_text(catalog::service_detail(&service)))
    })
}

fn update<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let params = &request.params;
        let name = params.required("serviceName")?;
        let id = ServiceId::new(namespace(params), name.as_ref());
        let threshold = params.required("protectThreshold")?;
        if node.registry.get(&id).is_none() {
            return Err(NamingError::invalid(format!("service {name} not found!")).into());
        }
        let settings = services::Settings {
            // A bad number is 0.
            protect_threshold: java::parse_float(&threshold).unwrap_or(0.0),
            metadata: metadata::parse(&params.optional("metadata", ""))?.unwrap_or_default(),
            selector: parse_selector(&params.optional("selector", ""))?,
        };
        let update = |registry: &Registry, consistency: &Consistency| {
            services::update(registry, consistency, &id, settings.clone())
        };
        node.consistency.write_persistent(&node.registry, &id, Subject::Service, update).await?;
        Ok(Response::text("ok"))
    })
}

fn checksum<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let params = &request.params;
        let name = params.required("serviceName")?;
        let service = node
            .registry
            .find(&namespace(params), &name)
            .ok_or_else(|| NamingError::not_found(format!("serviceName not found: {name}")))?;
        service.refresh_checksum();
        Ok(Response::json_text(format!("{{\"checksum\":\"{}\"}}", service.view().checksum)))
    })
}

/// What members report to each other. The sender must be a member, or a part of one's address.
fn status<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let text = super::form::decode(&request.body, true)
            .ok_or_else(|| ApiError::illegal("URLDecoder: Incomplete trailing escape (%) pattern"))?;
        let text = if java::is_blank(&text) { "{}".to_owned() } else { text };
        let report = crate::naming::service_status::read(&text)?;
        if !node.members.has_member(&report.client_ip) {
            return Err(NamingError::invalid(format!("ip: {} is not in serverlist", report.client_ip)).into());
        }
        let taken = node.distro.receive_status(&report.client_ip, &report.statuses);
        Ok(Response::text(if taken { "ok" } else { "fail" }))
    })
}
