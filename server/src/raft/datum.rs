//! Keys and values of the group `naming_persistent_service` (compat/spec/jraft.md §7, compat/spec/raft-http.md §8).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::rpc::WriteRequest;
use crate::distro::datum::write_instance;
use crate::naming::catalog::catalog_cluster;
use crate::naming::instance::Instance;
use crate::naming::json::JsonBuffer;
use crate::naming::selector;
use crate::naming::service::{ServiceId, ServiceState};
use crate::naming::switches::SwitchDomain;
use crate::naming::validate::{group_of, name_of};
use crate::naming::view::clusters_in_order;

/// The group that keeps persistent naming data.
pub const GROUP: &str = "naming_persistent_service";

const META_PREFIX: &str = "com.alibaba.nacos.naming.domains.meta.";
const LIST_PREFIX: &str = "com.alibaba.nacos.naming.iplist.";
/// Key of all switches.
pub const SWITCH_KEY: &str = "com.alibaba.nacos.naming.domains.meta.00-00---000-NACOS_SWITCH_DOMAIN-000---00-00";
/// A member stores every key in a file of that name; file systems take names up to this long.
const KEY_BYTES_MAX: usize = 255;

/// Key of a service's own record.
pub fn meta_key(id: &ServiceId) -> String {
    format!("{META_PREFIX}{}##{}", id.namespace, id.name)
}

/// Key of a service's persistent instances.
pub fn list_key(id: &ServiceId) -> String {
    format!("{LIST_PREFIX}{}##{}", id.namespace, id.name)
}

/// Why something must not be let into the log that all members share: no restart undoes it there
/// (compat/DIFFERENCES.md).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Poison {
    /// Its file cannot be written by every member.
    #[error("namespace and name are no file name that every member can store")]
    FileName,
    /// Members fail to list a namespace with such a service.
    #[error("a service needs a name after its group")]
    NoName,
    /// Members cannot read such a record back.
    #[error("cluster {0} has port 0, which no member can read back")]
    Port(String),
    /// Members never work out their status again.
    #[error("{0} is no server status")]
    Status(String),
}

/// Whether members can keep a service of this identity.
///
/// # Errors
/// Why not.
pub fn check_id(id: &ServiceId) -> Result<(), Poison> {
    let namespace = &id.namespace;
    let legal = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | '\\' | '#');
    let is_folder = !namespace.is_empty() && !matches!(&**namespace, "." | "..") && namespace.chars().all(legal);
    if !is_folder || meta_key(id).len() > KEY_BYTES_MAX {
        return Err(Poison::FileName);
    }
    if name_of(&id.name).is_empty() {
        return Err(Poison::NoName);
    }
    Ok(())
}

/// Whether members recover from these switches.
///
/// # Errors
/// Why not.
pub fn check_switches(switches: &SwitchDomain) -> Result<(), Poison> {
    const KNOWN: [&str; 7] = ["", "UP", "DOWN", "STARTING", "PAUSED", "WRITE_ONLY", "READ_ONLY"];
    match &switches.overridden_server_status {
        Some(status) if !KNOWN.contains(&status.as_str()) => Err(Poison::Status(status.clone())),
        _ => Ok(()),
    }
}

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    key: String,
    value: String,
    operation: &'static str,
}

#[derive(Serialize)]
struct Batch {
    keys: Vec<String>,
    values: Vec<String>,
}

impl Entry {
    /// A service's own record.
    ///
    /// # Errors
    /// When members could not read it back.
    pub fn meta(id: &ServiceId, state: &ServiceState, checksum: &str) -> Result<Self, Poison> {
        for (name, cluster) in &state.clusters {
            if cluster.check_port == 0 || cluster.default_port == 0 {
                return Err(Poison::Port(name.clone()));
            }
        }
        let key = meta_key(id);
        Ok(Entry::write(key, &service_json(id, state, checksum)))
    }

    /// A service's persistent instances.
    pub fn list<'a>(id: &ServiceId, instances: impl Iterator<Item = &'a Instance>) -> Self {
        let mut value = b"{\"instanceList\":[".to_vec();
        for (at, instance) in instances.enumerate() {
            if at > 0 {
                value.push(b',');
            }
            write_instance(&mut value, instance);
        }
        value.extend_from_slice(b"]}");
        Entry::write(list_key(id), &value)
    }

    /// All switches.
    pub fn switches(switches: &SwitchDomain) -> Self {
        Entry::write(SWITCH_KEY.to_owned(), &serde_json::to_vec(switches).unwrap_or_default())
    }

    /// Removes a service; every member then removes its instances of both kinds.
    pub fn remove(id: &ServiceId) -> Self {
        Entry { key: meta_key(id), value: String::new(), operation: "Delete" }
    }

    /// Removes a service's persistent instances.
    pub fn remove_list(id: &ServiceId) -> Self {
        Entry { key: list_key(id), value: String::new(), operation: "Delete" }
    }

    /// A datum: key, value and a timestamp that this protocol keeps at 0. `value` is JSON.
    fn write(key: String, value: &[u8]) -> Self {
        let mut json = JsonBuffer::with_capacity(value.len() + 160);
        json.raw("{\"key\":").string(&key).raw(",\"value\":").raw_bytes(value).raw(",\"timestamp\":0}");
        let value = String::from_utf8_lossy(&json.into_bytes()).into_owned();
        Entry { key, value, operation: "Write" }
    }

    /// The key it is about.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// As it is sent to the leader.
    pub fn into_request(self) -> WriteRequest {
        batch(&[self])
    }
}

/// Changes of one kind as one request: members apply them together, in this order. Official members send one at a time
/// and take more.
pub fn batch(entries: &[Entry]) -> WriteRequest {
    let texts = |of: fn(&Entry) -> &str| entries.iter().map(|entry| STANDARD.encode(of(entry))).collect();
    let batch = Batch { keys: texts(|entry| &entry.key), values: texts(|entry| &entry.value) };
    WriteRequest {
        group: GROUP.to_owned(),
        data: serde_json::to_vec(&batch).unwrap_or_default(),
        operation: entries.first().map_or("Write", |entry| entry.operation).to_owned(),
        ..WriteRequest::default()
    }
}

fn service_json(id: &ServiceId, state: &ServiceState, checksum: &str) -> Vec<u8> {
    let mut json = JsonBuffer::with_capacity(768);
    json.raw("{\"name\":").string(&id.name).raw(",\"protectThreshold\":").float(state.protect_threshold);
    json.raw(",\"groupName\":").string(group_of(&id.name)).raw(",\"metadata\":").metadata(&state.metadata);
    json.raw(",\"finalizeCount\":0,\"owners\":[],\"resetWeight\":false,\"enabled\":").bool(state.enabled);
    json.raw(",\"selector\":");
    selector::write(&mut json, &state.selector);
    json.raw(",\"namespaceId\":").string(&id.namespace).raw(",\"ipDeleteTimeout\":30000,\"lastModifiedMillis\":");
    json.int(state.last_modified).raw(",\"checksum\":").string(checksum).raw(",\"clusterMap\":{");
    for (at, (name, cluster)) in clusters_in_order(state).into_iter().enumerate() {
        let empty = !state.all().any(|instance| instance.cluster_name == name);
        json.raw(if at > 0 { "," } else { "" }).string(name).raw(":");
        catalog_cluster(&mut json, &id.name, name, cluster, empty);
    }
    json.raw("},\"empty\":").bool(state.all().next().is_none()).raw("}");
    json.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::naming::instance::Metadata;
    use crate::naming::service::{Cluster, HealthChecker};

    fn id(name: &str) -> ServiceId {
        ServiceId::new("public", name)
    }

    #[test]
    fn records_are_those_that_real_nodes_write() {
        // As found in the log of real 1.4.1 nodes (compat/spec/jraft.md §7).
        let mut state = ServiceState::new("DEFAULT_GROUP");
        state.last_modified = 1795224029994;
        let entry = Entry::meta(&id("DEFAULT_GROUP@@s"), &state, "5740").unwrap();
        assert_eq!(entry.key, "com.alibaba.nacos.naming.domains.meta.public##DEFAULT_GROUP@@s");
        assert_eq!(
            entry.value,
            r#"{"key":"com.alibaba.nacos.naming.domains.meta.public##DEFAULT_GROUP@@s","value":{"name":"DEFAULT_GROUP@@s","protectThreshold":0.0,"groupName":"DEFAULT_GROUP","metadata":{},"finalizeCount":0,"owners":[],"resetWeight":false,"enabled":true,"selector":{"type":"none"},"namespaceId":"public","ipDeleteTimeout":30000,"lastModifiedMillis":1795224029994,"checksum":"5740","clusterMap":{},"empty":true},"timestamp":0}"#
        );
        let cluster = Cluster {
            health_checker: HealthChecker::Http {
                path: "/x".to_owned(),
                headers: "a:b".to_owned(),
                expected_response_code: 201,
            },
            check_port: 81,
            default_port: 81,
            use_instance_port: false,
            metadata: Metadata::from([("z".to_owned(), "1".to_owned())]),
        };
        state.clusters.insert("HC".to_owned(), cluster);
        let entry = Entry::meta(&id("DEFAULT_GROUP@@decl"), &state, "").unwrap();
        let clusters = r#""clusterMap":{"HC":{"serviceName":"DEFAULT_GROUP@@decl","name":"HC","healthChecker":{"type":"HTTP","path":"/x","headers":"a:b","expectedResponseCode":201},"defaultPort":80,"defaultCheckPort":80,"useIPPort4Check":false,"metadata":{"z":"1"},"sitegroup":"","defCkport":81,"empty":true,"defIPPort":81}},"empty":true},"timestamp":0}"#;
        assert!(entry.value.ends_with(clusters), "{}", entry.value);

        let instance = Instance {
            instance_id: Some("127.0.0.9#80#C1#DEFAULT_GROUP@@p1".to_owned()),
            ip: "127.0.0.9".to_owned(),
            port: 80,
            ephemeral: false,
            cluster_name: "C1".to_owned(),
            service_name: "DEFAULT_GROUP@@p1".to_owned(),
            metadata: Some(Metadata::from([("k".to_owned(), "v".to_owned())])),
            last_beat: 1795244586200,
            app: Some("DEFAULT".to_owned()),
            ..Instance::default()
        };
        let entry = Entry::list(&id("DEFAULT_GROUP@@p1"), [instance].iter());
        let value: serde_json::Value = serde_json::from_str(&entry.value).unwrap();
        let real: serde_json::Value = serde_json::from_str(r#"{"key":"com.alibaba.nacos.naming.iplist.public##DEFAULT_GROUP@@p1","value":{"instanceList":[{"instanceId":"127.0.0.9#80#C1#DEFAULT_GROUP@@p1","ip":"127.0.0.9","port":80,"weight":1.0,"healthy":true,"enabled":true,"ephemeral":false,"clusterName":"C1","serviceName":"DEFAULT_GROUP@@p1","metadata":{"k":"v"},"lastBeat":1795244586200,"marked":false,"app":"DEFAULT","instanceHeartBeatInterval":5000,"instanceHeartBeatTimeOut":15000,"ipDeleteTimeout":30000}]},"timestamp":0}"#).unwrap();
        assert_eq!(value, real);
    }

    #[test]
    fn requests_hold_one_key() {
        // compat/spec/jraft.md §7
        let request = Entry::remove(&id("g@@s")).into_request();
        assert_eq!((request.group.as_str(), request.operation.as_str()), (GROUP, "Delete"));
        assert_eq!(
            String::from_utf8(request.data).unwrap(),
            r#"{"keys":["Y29tLmFsaWJhYmEubmFjb3MubmFtaW5nLmRvbWFpbnMubWV0YS5wdWJsaWMjI2dAQHM="],"values":[""]}"#
        );
    }

    #[test]
    fn poison_is_refused() {
        assert_eq!(check_id(&id("g@@s")), Ok(()));
        assert_eq!(check_id(&id("x@@")), Err(Poison::NoName));
        for namespace in ["..", "a/b", "a\\b", "a##b", "a b", "服务", &"n".repeat(300)] {
            let id = ServiceId::new(namespace, "g@@s");
            assert_eq!(check_id(&id), Err(Poison::FileName), "{namespace}");
        }
        let mut state = ServiceState::new("g");
        state.clusters.insert("C".to_owned(), Cluster { check_port: 0, ..Cluster::default() });
        assert_eq!(Entry::meta(&id("g@@s"), &state, ""), Err(Poison::Port("C".to_owned())));
        let status = |text: &str| {
            check_switches(&SwitchDomain { overridden_server_status: Some(text.to_owned()), ..SwitchDomain::default() })
        };
        assert_eq!(status("BOGUS"), Err(Poison::Status("BOGUS".to_owned())));
        assert!(status("READ_ONLY").is_ok());
    }
}
