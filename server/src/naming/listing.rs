//! The list answer of a service, as clients ask for it and as it is pushed (compat/spec/naming-api.md §7).

use super::json::JsonBuffer;
use super::service::Service;
use super::view::{HostView, ServiceView};
use crate::java;

/// What to show of a service.
#[derive(Debug, Clone, Copy)]
pub struct ListQuery<'a> {
    /// Clusters as asked for, comma separated; empty is all.
    pub clusters: &'a str,
    /// Leave out unhealthy instances.
    pub healthy_only: bool,
    /// `isCheck`: an empty object when there is any instance.
    pub check_only: bool,
    /// Echoed.
    pub env: &'a str,
    /// How long the client may use the answer, ms.
    pub cache_millis: i64,
    /// `dom` and hosts name the service with its group; only Java clients from 1.0.0 are shown that.
    pub grouped_names: bool,
    /// Time of the answer, ms since the epoch.
    pub now: i64,
}

/// A service was disabled by a replicated record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("service is disabled now.")]
pub struct Disabled;

/// The answer for a service that is not known.
pub fn unknown(name: &str, clusters: &str, cache_millis: i64) -> Vec<u8> {
    let mut json = JsonBuffer::new();
    json.raw("{\"name\":").string(name).raw(",\"clusters\":").string(clusters);
    json.raw(",\"cacheMillis\":").int(cache_millis).raw(",\"hosts\":[]}");
    json.into_bytes()
}

/// The answer for a known service.
pub fn render(service: &Service, query: &ListQuery<'_>) -> Result<Vec<u8>, Disabled> {
    let view = service.view();
    render_view(&view, &service.shown_checksum(&view), query)
}

fn render_view(view: &ServiceView, checksum: &str, query: &ListQuery<'_>) -> Result<Vec<u8>, Disabled> {
    if !view.enabled {
        return Err(Disabled);
    }
    let selected = select(view, query.clusters);
    let dom = if query.grouped_names { view.name.as_str() } else { view.bare_name.as_str() };
    let mut json = JsonBuffer::with_capacity(320 + 400 * selected.len());
    if selected.is_empty() {
        json.raw("{");
        fields(&mut json, view, dom, checksum, query);
        json.raw(",\"hosts\":[],\"metadata\":").raw_bytes(&view.metadata_json).raw("}");
        return Ok(json.into_bytes());
    }
    if query.check_only {
        return Ok(b"{}".to_vec());
    }
    let healthy = selected.iter().filter(|host| host.healthy).count();
    let protected = healthy as f32 / selected.len() as f32 <= view.protect_threshold;
    let mut name = JsonBuffer::new();
    name.raw(",\"serviceName\":").string(dom);
    let name = name.into_bytes();
    let sick = selected.iter().filter(|host| !host.healthy);
    let well = selected.iter().filter(|host| host.healthy);
    json.raw("{\"hosts\":");
    if protected {
        json.array(well.chain(sick).filter(|host| host.enabled), |json, host| one(json, host, true, &name));
    } else {
        let shown = sick.filter(|_| !query.healthy_only).chain(well).filter(|host| host.enabled);
        json.array(shown, |json, host| one(json, host, host.healthy, &name));
    }
    json.raw(",");
    fields(&mut json, view, dom, checksum, query);
    json.raw(",\"metadata\":").raw_bytes(&view.metadata_json).raw("}");
    Ok(json.into_bytes())
}

fn fields(json: &mut JsonBuffer, view: &ServiceView, dom: &str, checksum: &str, query: &ListQuery<'_>) {
    json.raw("\"dom\":").string(dom).raw(",\"name\":").string(&view.name);
    json.raw(",\"cacheMillis\":").int(query.cache_millis).raw(",\"lastRefTime\":").int(query.now);
    json.raw(",\"checksum\":\"").raw(checksum).raw("\",\"useSpecifiedURL\":false,\"clusters\":");
    json.string(query.clusters).raw(",\"env\":").string(query.env);
}

fn one(json: &mut JsonBuffer, host: &HostView, healthy: bool, name: &[u8]) {
    json.raw_bytes(&host.head);
    json.raw(if healthy { ",\"valid\":true,\"healthy\":true" } else { ",\"valid\":false,\"healthy\":false" });
    json.raw_bytes(&host.middle).raw_bytes(name).raw(host.tail);
}

/// Instances of the clusters asked for, in that order; a cluster named twice counts twice.
fn select<'a>(view: &'a ServiceView, clusters: &str) -> Vec<&'a HostView> {
    if clusters.is_empty() {
        return view.clusters.iter().flat_map(|cluster| &cluster.hosts).collect();
    }
    let names = java::split(clusters, ",");
    if names.is_empty() {
        // Commas alone name no cluster.
        return select(view, "");
    }
    names
        .into_iter()
        .filter_map(|name| view.clusters.iter().find(|cluster| cluster.name == name))
        .flat_map(|cluster| &cluster.hosts)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::naming::instance::Instance;
    use crate::naming::service::{ServiceId, ServiceState};

    fn query(healthy_only: bool) -> ListQuery<'static> {
        ListQuery {
            clusters: "",
            healthy_only,
            check_only: false,
            env: "",
            cache_millis: 3000,
            grouped_names: true,
            now: 1,
        }
    }

    /// Addresses and health as shown, in order.
    fn shown(state: &ServiceState, query: &ListQuery<'_>) -> Vec<(String, bool)> {
        let view = ServiceView::new(&ServiceId::new("public", "g@@s"), state);
        let body = render_view(&view, &view.checksum, query).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let hosts = value["hosts"].as_array().unwrap();
        hosts.iter().map(|host| (host["ip"].as_str().unwrap().to_owned(), host["healthy"].as_bool().unwrap())).collect()
    }

    fn state(instances: &[(&str, bool, bool)]) -> ServiceState {
        let mut state = ServiceState::new("g");
        state.ensure_cluster("DEFAULT");
        for (ip, healthy, enabled) in instances {
            let instance =
                Instance { ip: (*ip).to_owned(), healthy: *healthy, enabled: *enabled, ..Instance::default() };
            state.ephemeral.insert(instance.key(), instance);
        }
        state
    }

    #[test]
    fn hosts_come_in_java_hash_order() {
        // compat/recordings/1.4.1: A01z
        let ips = [2, 3, 4, 5, 6, 10, 11, 14].map(|last| format!("127.1.1.{last}"));
        let instances: Vec<(&str, bool, bool)> = ips.iter().map(|ip| (ip.as_str(), true, true)).collect();
        let order: Vec<String> = shown(&state(&instances), &query(false)).into_iter().map(|(ip, _)| ip).collect();
        assert_eq!(order, [3, 2, 5, 4, 6, 10, 11, 14].map(|last| format!("127.1.1.{last}")));
    }

    #[test]
    fn at_or_below_the_threshold_all_are_shown_healthy() {
        let mut state = state(&[("10.0.0.1", true, true), ("10.0.0.2", false, true), ("10.0.0.3", false, true)]);
        assert_eq!(shown(&state, &query(true)), [("10.0.0.1".to_owned(), true)]);
        assert_eq!(shown(&state, &query(false)).last(), Some(&("10.0.0.1".to_owned(), true)));
        state.protect_threshold = 1.0 / 3.0;
        assert!(shown(&state, &query(true)).iter().all(|(_, healthy)| *healthy));
        assert_eq!(shown(&state, &query(true)).len(), 3);
        for instance in state.ephemeral.values_mut() {
            instance.healthy = false;
        }
        state.protect_threshold = 0.0;
        assert_eq!(shown(&state, &query(true)).len(), 3);
    }

    #[test]
    fn disabled_instances_count_and_are_not_shown() {
        let state = state(&[("10.0.0.1", true, false), ("10.0.0.2", false, true)]);
        assert_eq!(shown(&state, &query(false)), [("10.0.0.2".to_owned(), false)]);
    }
}
