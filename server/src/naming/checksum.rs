//! The checksum of a service: shown in lists, compared between members (compat/spec/naming-api.md §16.1).

use md5::{Digest, Md5};

use super::instance::Instance;
use super::json::JsonBuffer;
use super::service::{HealthChecker, ServiceId, ServiceState};
use super::view::clusters_in_order;
use crate::java;

/// MD5 in hexadecimal over Nacos' text of a service.
pub fn of(id: &ServiceId, state: &ServiceState) -> String {
    let digest = Md5::digest(text(id, state).as_slice());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The text: a JSON object in the order of a Java hash table, then the instances sorted by their own text.
pub fn text(id: &ServiceId, state: &ServiceState) -> Vec<u8> {
    let count = state.all().count();
    let unhealthy = state.all().filter(|instance| !instance.healthy).count();
    let mut json = JsonBuffer::with_capacity(256 + 48 * count);
    json.raw("{\"invalidIPCount\":").int(unhealthy as i64).raw(",\"name\":").string(&id.name);
    json.raw(",\"ipCount\":").int(count as i64).raw(",\"owners\":[],\"protectThreshold\":");
    json.float(state.protect_threshold).raw(",\"clusters\":");
    json.array(clusters_in_order(state), |json, (name, cluster)| {
        json.raw("{\"healthChecker\":");
        checker(json, &cluster.health_checker);
        json.raw(",\"defIPPort\":").int(i64::from(cluster.default_port));
        json.raw(",\"defCkport\":").int(i64::from(cluster.check_port));
        json.raw(",\"name\":").string(name).raw(",\"useIPPort4Check\":").bool(cluster.use_instance_port);
        json.raw(",\"sitegroup\":\"\"}");
    });
    json.raw("}");
    let mut instances: Vec<(String, &Instance)> = state.all().map(|instance| (sort_key(instance), instance)).collect();
    instances.sort_by(|(left, _), (right, _)| left.encode_utf16().cmp(right.encode_utf16()));
    for (_, instance) in instances {
        json.raw(&instance.ip).raw(":").int(i64::from(instance.port)).raw("_");
        json.raw(&java::double_text(instance.weight)).raw("_").bool(instance.healthy);
        json.raw("_").raw(&instance.cluster_name).raw(",");
    }
    json.into_bytes()
}

/// `Instance.toString`.
pub fn sort_key(instance: &Instance) -> String {
    format!(
        "{}_{}_{}_{}_{}",
        instance.key().datum_key(),
        java::double_text(instance.weight),
        instance.healthy,
        instance.marked,
        instance.cluster_name
    )
}

/// The checker without its type.
fn checker(json: &mut JsonBuffer, checker: &HealthChecker) {
    match checker {
        HealthChecker::Tcp | HealthChecker::None => {
            json.raw("{}");
        }
        HealthChecker::Http { path, headers, expected_response_code } => {
            json.raw("{\"path\":").string(path).raw(",\"headers\":").string(headers);
            json.raw(",\"expectedResponseCode\":").int(i64::from(*expected_response_code)).raw("}");
        }
        HealthChecker::Mysql { user, pwd, cmd } => {
            json.raw("{");
            let mut separator = "";
            for (name, value) in [("user", user), ("pwd", pwd), ("cmd", cmd)] {
                if let Some(value) = value {
                    json.raw(separator).string(name).raw(":").string(value);
                    separator = ",";
                }
            }
            json.raw("}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_fixture() {
        let mut state = ServiceState::new("DEFAULT_GROUP");
        for (ip, port, weight, cluster) in [("127.3.0.1", 80, 1.0, "DEFAULT"), ("127.3.0.2", 8080, 0.5, "C1")] {
            state.ensure_cluster(cluster);
            let instance =
                Instance { ip: ip.to_owned(), port, weight, cluster_name: cluster.to_owned(), ..Instance::default() };
            state.ephemeral.insert(instance.key(), instance);
        }
        let id = ServiceId::new("public", "DEFAULT_GROUP@@c-ua");
        assert_eq!(of(&id, &state), "0922fd7585f4f98d8f5725ebaa69d47d");
    }

    #[test]
    fn empty_services() {
        // compat/recordings/1.4.1: A07z3
        let id = ServiceId::new("public", "DEFAULT_GROUP@@a-badcl-only");
        assert_eq!(of(&id, &ServiceState::new("DEFAULT_GROUP")), "94052bc2faa3113bd3625a4f7f6f3bb2");
    }
}
