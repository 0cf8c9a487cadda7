//! Services, clusters and instances as the console and operators are shown them
//! (compat/spec/naming-api.md §9.2, §9.5, §10.5–§10.8).

use std::sync::Arc;

use regex::Regex;

use super::error::NamingError;
use super::instance::{HEART_BEAT_INTERVAL, HEART_BEAT_TIMEOUT, INSTANCE_ID_GENERATOR, IP_DELETE_TIMEOUT, Instance};
use super::json::JsonBuffer;
use super::registry::Registry;
use super::service::{Cluster, Service, ServiceState};
use super::validate::{group_of, name_of};
use super::view::{clusters_in_order, instances_in_order};
use super::{health_checker, selector};
use crate::java;

/// `GET service`.
pub fn service_detail(service: &Service) -> Vec<u8> {
    let (id, state) = (service.id(), service.read());
    let mut json = JsonBuffer::new();
    json.raw("{\"name\":").string(name_of(&id.name)).raw(",\"namespaceId\":").string(&id.namespace);
    json.raw(",\"protectThreshold\":").float(state.protect_threshold);
    json.raw(",\"metadata\":").metadata(&state.metadata).raw(",\"selector\":");
    selector::write(&mut json, &state.selector);
    json.raw(",\"groupName\":").string(group_of(&id.name)).raw(",\"clusters\":");
    json.array(clusters_in_order(&state), |json, (name, cluster)| {
        json.raw("{\"name\":").string(name).raw(",\"healthChecker\":");
        health_checker::write(json, &cluster.health_checker);
        json.raw(",\"metadata\":").metadata(&cluster.metadata).raw("}");
    });
    json.raw("}");
    json.into_bytes()
}

/// `GET catalog/service`.
pub fn catalog_service(service: &Service) -> Vec<u8> {
    let (id, state) = (service.id(), service.read());
    let mut json = JsonBuffer::new();
    json.raw("{\"service\":{\"name\":").string(name_of(&id.name));
    json.raw(",\"protectThreshold\":").float(state.protect_threshold);
    json.raw(",\"groupName\":").string(group_of(&id.name)).raw(",\"selector\":");
    selector::write(&mut json, &state.selector);
    json.raw(",\"metadata\":").metadata(&state.metadata).raw("},\"clusters\":");
    json.array(clusters_in_order(&state), |json, (name, cluster)| {
        let empty = !state.all().any(|instance| instance.cluster_name == name);
        catalog_cluster(json, &id.name, name, cluster, empty);
    });
    json.raw("}");
    json.into_bytes()
}

/// A cluster as `catalog/service` shows it, and as the service's record in consensus holds it.
pub fn catalog_cluster(json: &mut JsonBuffer, service: &str, name: &str, cluster: &Cluster, empty: bool) {
    json.raw("{\"serviceName\":").string(service).raw(",\"name\":").string(name).raw(",\"healthChecker\":");
    health_checker::write(json, &cluster.health_checker);
    json.raw(",\"defaultPort\":80,\"defaultCheckPort\":80,\"useIPPort4Check\":").bool(cluster.use_instance_port);
    json.raw(",\"metadata\":").metadata(&cluster.metadata).raw(",\"sitegroup\":\"\",\"defCkport\":");
    json.int(i64::from(cluster.check_port)).raw(",\"empty\":").bool(empty);
    json.raw(",\"defIPPort\":").int(i64::from(cluster.default_port)).raw("}");
}

/// One instance with everything, as `catalog/instances` shows it.
pub fn full_instance(json: &mut JsonBuffer, instance: &Instance) {
    json.raw("{\"instanceId\":").string_or_null(instance.instance_id.as_deref());
    json.raw(",\"ip\":").string(&instance.ip).raw(",\"port\":").int(i64::from(instance.port));
    json.raw(",\"weight\":").double(instance.weight).raw(",\"healthy\":").bool(instance.healthy);
    json.raw(",\"enabled\":").bool(instance.enabled).raw(",\"ephemeral\":").bool(instance.ephemeral);
    json.raw(",\"clusterName\":").string(&instance.cluster_name);
    json.raw(",\"serviceName\":").string(&instance.service_name);
    if let Some(metadata) = &instance.metadata {
        json.raw(",\"metadata\":").metadata(metadata);
    }
    json.raw(",\"lastBeat\":").int(instance.last_beat).raw(",\"marked\":").bool(instance.marked);
    if let Some(app) = &instance.app {
        json.raw(",\"app\":").string(app);
    }
    let generator = instance.meta(INSTANCE_ID_GENERATOR);
    if let Some(generator) = generator {
        json.raw(",\"instanceIdGenerator\":").string(generator);
    } else if instance.metadata.as_ref().is_none_or(|metadata| metadata.is_empty()) {
        json.raw(",\"instanceIdGenerator\":\"simple\"");
    }
    json.raw(",\"instanceHeartBeatTimeOut\":").int(instance.meta_millis(HEART_BEAT_TIMEOUT, 15_000));
    json.raw(",\"ipDeleteTimeout\":").int(instance.meta_millis(IP_DELETE_TIMEOUT, 30_000));
    json.raw(",\"instanceHeartBeatInterval\":").int(instance.meta_millis(HEART_BEAT_INTERVAL, 5_000)).raw("}");
}

/// `GET catalog/instances`: one page of a cluster's instances.
pub fn instances_page(state: &ServiceState, cluster: &str, page: i32, size: i32) -> Result<Vec<u8>, NamingError> {
    let instances: Vec<&Instance> =
        instances_in_order(state).into_iter().filter(|(name, _)| *name == cluster).flat_map(|(_, all)| all).collect();
    let count = i64::try_from(instances.len()).unwrap_or(i64::MAX);
    // The products wrap as in Java, and only the beginning is kept from being negative.
    let start = i64::from(page.wrapping_sub(1).wrapping_mul(size)).clamp(0, count);
    let end = i64::from(page.wrapping_mul(size)).min(count);
    if start > end {
        return Err(NamingError::illegal(format!("fromIndex({start}) > toIndex({end})")));
    }
    let place = |index: i64| usize::try_from(index).unwrap_or_default();
    let shown = instances.get(place(start)..place(end)).unwrap_or_default();
    let mut json = JsonBuffer::new();
    json.raw("{\"list\":").array(shown.iter().copied(), full_instance);
    json.raw(",\"count\":").int(count).raw("}");
    Ok(json.into_bytes())
}

/// Services whose `group@@name:{}` matches a Java regular expression as a whole.
pub fn matching(services: Vec<Arc<Service>>, pattern: &str) -> Result<Vec<Arc<Service>>, NamingError> {
    let regex = Regex::new(&format!("^(?:{pattern})$"))
        .map_err(|_| NamingError::illegal(format!("not a regular expression: {pattern}")))?;
    Ok(services.into_iter().filter(|service| regex.is_match(&format!("{}:{{}}", service.id().name))).collect())
}

/// What `catalog/services` is asked for.
#[derive(Debug, Clone, Default)]
pub struct ServicesQuery<'a> {
    /// Namespace.
    pub namespace: &'a str,
    /// Counted from 0; negative is 0.
    pub page: i32,
    /// Services on a page.
    pub size: i32,
    /// `group@@name` to search for; empty is all.
    pub search: &'a str,
    /// Only services with this instance, `ip` or `ip:port`; empty is all.
    pub instance: &'a str,
    /// Only services with instances.
    pub only_filled: bool,
}

/// One page of services, and how many match.
pub fn services_page(
    registry: &Registry,
    query: &ServicesQuery<'_>,
) -> Result<(Vec<Arc<Service>>, usize), NamingError> {
    let Some(mut services) = registry.namespace(query.namespace) else { return Ok((Vec::new(), 0)) };
    if !crate::java::is_blank(query.search) {
        let pattern: Vec<String> = crate::java::split(query.search, "@@")
            .into_iter()
            .map(|part| if crate::java::is_blank(part) { ".*".to_owned() } else { format!(".*{part}.*") })
            .collect();
        services = matching(services, &pattern.join("@@"))?;
    }
    if query.only_filled {
        services.retain(|service| service.read().all().next().is_some());
    }
    if !crate::java::is_blank(query.instance) && !services.is_empty() {
        let with_port = contains_port(query.instance)?;
        services.retain(|service| {
            service.read().all().any(|instance| {
                if with_port {
                    format!("{}:{}", instance.ip, instance.port) == query.instance
                } else {
                    instance.ip == query.instance
                }
            })
        });
    }
    let total = services.len();
    let size = usize::try_from(query.size).unwrap_or(0);
    if size < total {
        let start = usize::try_from(query.page.wrapping_mul(query.size)).unwrap_or(0);
        services = services.into_iter().skip(start).take(size.max(1)).collect();
    }
    Ok((services, total))
}

/// `IPUtil.containsPort`: whether an address has a port; what is neither is refused.
fn contains_port(address: &str) -> Result<bool, NamingError> {
    let illegal = || {
        NamingError::illegal(format!(
            "The IP address(\"{address}\") is incorrect. If it is an IPv6 address, please use [] to enclose the IP part!"
        ))
    };
    if address.starts_with('[') {
        return match address.rsplit_once(']') {
            Some((_, "")) => Ok(false),
            Some((_, rest)) if rest.starts_with(':') => Ok(true),
            _ => Err(illegal()),
        };
    }
    let parts = crate::java::split(address, ":");
    let ip = parts.first().copied().unwrap_or_default();
    match parts.len() {
        1 | 2 if super::validate::is_ipv4(ip) => Ok(parts.len() == 2),
        1 | 2 => Err(NamingError::illegal(format!("The IPv4 address(\"{ip}\") is incorrect."))),
        _ => Err(illegal()),
    }
}

/// `GET catalog/services`.
pub fn services_json(services: &[Arc<Service>], total: usize) -> Vec<u8> {
    let mut json = JsonBuffer::new();
    json.raw("{\"serviceList\":").array(services, |json, service| {
        let (id, state) = (service.id(), service.read());
        let count = state.all().count();
        let healthy = state.all().filter(|instance| instance.healthy).count();
        // A service without instances is 0/0, which no threshold is above.
        let triggered = count > 0 && healthy as f32 / count as f32 <= state.protect_threshold;
        json.raw("{\"name\":").string(name_of(&id.name)).raw(",\"groupName\":").string(group_of(&id.name));
        json.raw(",\"clusterCount\":").int(state.clusters.len() as i64).raw(",\"ipCount\":").int(count as i64);
        json.raw(",\"healthyInstanceCount\":").int(healthy as i64);
        json.raw(",\"triggerFlag\":\"").bool(triggered).raw("\"}");
    });
    json.raw(",\"count\":").int(if services.is_empty() { 0 } else { total as i64 }).raw("}");
    json.into_bytes()
}

/// `GET catalog/services?withInstances=true`.
pub fn services_with_instances_json(services: &[Arc<Service>]) -> Vec<u8> {
    let mut json = JsonBuffer::new();
    json.array(services, |json, service| {
        let (id, state) = (service.id(), service.read());
        json.raw("{\"serviceName\":").string(name_of(&id.name)).raw(",\"groupName\":").string(group_of(&id.name));
        json.raw(",\"clusterMap\":{");
        let mut clusters = instances_in_order(&state);
        // This answer has a table of its own, which starts with eight places.
        java::sized_hash_order(&mut clusters, 8, |(name, _)| (*name).to_owned());
        for (at, (cluster, instances)) in clusters.into_iter().enumerate() {
            json.raw(if at > 0 { "," } else { "" }).string(cluster).raw(":{\"hosts\":");
            json.array(instances, |json, instance| {
                json.raw("{\"valid\":").bool(instance.healthy);
                json.raw(",\"metadata\":").metadata_or_null(instance.metadata.as_ref());
                json.raw(",\"port\":").int(i64::from(instance.port)).raw(",\"ip\":").string(&instance.ip);
                json.raw(",\"weight\":").double(instance.weight);
                json.raw(",\"enabled\":").bool(instance.enabled).raw("}");
            });
            json.raw("}");
        }
        json.raw("},\"metadata\":").metadata(&state.metadata).raw("}");
    });
    json.into_bytes()
}
