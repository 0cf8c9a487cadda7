//! `ClusterController` of naming (compat/spec/naming-api.md §10.1).

use std::sync::Arc;

use super::instance::namespace;
use super::request::Request;
use super::response::Response;
use super::routes::{Answer, Route};
use crate::java;
use crate::naming::consistency::{Consistency, Subject};
use crate::naming::error::NamingError;
use crate::naming::registry::Registry;
use crate::naming::service::{Cluster, ServiceId};
use crate::naming::{clusters, health_checker, json, metadata, validate};
use crate::node::Node;

/// The endpoints.
pub fn routes() -> Vec<Route> {
    vec![Route::local("PUT", "/v1/ns/cluster", update)]
}

fn update<'a>(node: &'a Arc<Node>, request: &'a Request) -> Answer<'a> {
    Box::pin(async {
        let params = &request.params;
        let cluster = params.required("clusterName")?;
        let name = params.required("serviceName")?;
        let id = ServiceId::new(namespace(params), name.as_ref());
        let check_port = params.required("checkPort")?;
        if node.registry.get(&id).is_none() {
            return Err(NamingError::invalid(format!("service not found:{name}")).into());
        }
        validate::cluster_name_syntax(&cluster)?;
        let use_instance_port = params.required("useInstancePort4Check")?;
        let checker = params.required("healthChecker")?;
        // What is no number is 0, which is refused further on.
        let port = java::parse_int(&check_port).unwrap_or(0);
        let settings = Cluster {
            health_checker: health_checker::parse(&checker).map_err(|error| told(node, error))?,
            check_port: port,
            default_port: port,
            use_instance_port: java::lang_bool(&use_instance_port),
            metadata: metadata::parse(&params.optional("metadata", ""))?.unwrap_or_default(),
        };
        let update = |registry: &Registry, consistency: &Consistency| {
            clusters::update(registry, consistency, &id, &cluster, settings.clone())
        };
        let written = node.consistency.write_persistent(&node.registry, &id, Subject::Service, update).await;
        written.map_err(|error| told(node, error))?;
        Ok(Response::text("ok"))
    })
}

/// What an official member says of a record that cannot be read back: in a cluster its consensus layer comes upon that,
/// and wraps the error (compat/spec/naming-api.md §10.1).
fn told(node: &Node, error: NamingError) -> NamingError {
    match error {
        NamingError::Internal(texts) if !node.settings.standalone && texts == [json::UNREADABLE] => {
            NamingError::internal(format!(
                "com.alibaba.nacos.consistency.exception.ConsistencyException: \
                 com.alibaba.nacos.api.exception.runtime.NacosDeserializationException: {}",
                json::UNREADABLE
            ))
        }
        other => other,
    }
}
