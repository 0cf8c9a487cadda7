use super::*;
use crate::naming::instance::Instance;
use crate::naming::instances::new_service;
use crate::naming::service::HealthChecker;
use crate::raft::core::{Configuration, PeerId};
use crate::raft::datum::Entry;
use prost::Message as _;

struct Node {
    registry: Arc<Registry>,
    switches: Arc<Switches>,
    data: Arc<NamingData>,
    machine: NamingState,
    index: Index,
    _folder: tempfile::TempDir,
}

fn node() -> Node {
    let folder = tempfile::tempdir().unwrap();
    let (registry, switches) = (Arc::new(Registry::new()), Arc::new(Switches::default()));
    let data = Arc::new(NamingData::new(Arc::clone(&registry), Arc::clone(&switches)));
    let machine = NamingState::new(Arc::clone(&data), Arc::new(Archive::open(folder.path()).unwrap()));
    Node { registry, switches, data, machine, index: 0, _folder: folder }
}

impl Node {
    fn apply(&mut self, entry: Entry) -> Applied {
        self.apply_bytes(entry.into_request().encode_to_vec())
    }

    fn apply_bytes(&mut self, data: Vec<u8>) -> Applied {
        self.index += 1;
        self.machine.apply(self.index, &data.into()).unwrap()
    }

    /// Addresses and health of a service's persistent instances.
    fn instances(&self, id: &ServiceId) -> Option<Vec<(String, bool)>> {
        let service = self.registry.get(id)?;
        Some(service.read().persistent.values().map(|one| (one.ip.clone(), one.healthy)).collect())
    }
}

fn id() -> ServiceId {
    ServiceId::new("public", "DEFAULT_GROUP@@s")
}

fn list(ips: &[&str]) -> Entry {
    let instances: Vec<Instance> = ips.iter().map(|ip| instance(ip)).collect();
    Entry::list(&id(), instances.iter())
}

fn instance(ip: &str) -> Instance {
    Instance { ip: ip.to_owned(), port: 80, ephemeral: false, ..Instance::default() }
}

fn service() -> Entry {
    Entry::meta(&id(), &new_service(&id()), "5740").unwrap()
}

#[test]
fn the_record_that_a_real_node_wrote() {
    // compat/spec/jraft.md §7 and datum tests: the same bytes, read back.
    let value = r#"{"key":"com.alibaba.nacos.naming.domains.meta.public##DEFAULT_GROUP@@decl","value":{"name":"DEFAULT_GROUP@@decl","protectThreshold":0.3,"groupName":"DEFAULT_GROUP","metadata":{"a":"1"},"finalizeCount":0,"owners":[],"resetWeight":false,"enabled":true,"selector":{"type":"label","expression":"CONSUMER.label.A=PROVIDER.label.A","labels":["A"]},"namespaceId":"public","ipDeleteTimeout":30000,"lastModifiedMillis":1795224029994,"checksum":"5740","clusterMap":{"HC":{"serviceName":"DEFAULT_GROUP@@decl","name":"HC","healthChecker":{"type":"HTTP","path":"/x","headers":"a:b","expectedResponseCode":201},"defaultPort":80,"defaultCheckPort":80,"useIPPort4Check":false,"metadata":{"z":"1"},"sitegroup":"","defCkport":81,"empty":true,"defIPPort":81}},"empty":true},"timestamp":0}"#;
    let meta = record::meta(value.as_bytes()).unwrap();
    assert_eq!((meta.protect_threshold, meta.metadata["a"].as_str(), meta.enabled), (0.3, "1", true));
    let cluster = &meta.clusters["HC"];
    assert!(matches!(&cluster.health_checker, HealthChecker::Http { expected_response_code: 201, .. }));
    assert_eq!((cluster.check_port, cluster.use_instance_port, cluster.metadata["z"].as_str()), (81, false, "1"));
    // Whatever a service here holds, its record reads back as the same.
    let mut node = node();
    let id = ServiceId::new("public", "DEFAULT_GROUP@@decl");
    let key = Bytes::from(meta_key(&id));
    let mut held = node.data.held.write();
    held.insert(key.clone(), Bytes::from_static(value.as_bytes()));
    node.data.projection.written(&held, &key);
    drop(held);
    let state = node.registry.get(&id).unwrap().read().clone();
    node.apply(Entry::meta(&id, &state, "5740").unwrap());
    let again = node.data.value(&meta_key(&id)).unwrap();
    assert_eq!(record::meta(&again).unwrap(), meta);
}

#[test]
fn services_and_instances_come_and_go() {
    let mut node = node();
    assert!(node.apply(service()).success);
    assert_eq!(node.instances(&id()), Some(vec![]));
    assert!(node.apply(list(&["a", "b"])).success);
    // A check found one dead; a later list does not revive it.
    let known = node.registry.get(&id()).unwrap();
    node.registry.update(&known, |state| {
        if let Some(one) = state.persistent.get_mut(&instance("a").key()) {
            one.healthy = false;
        }
        ((), crate::naming::changes::Change::default())
    });
    node.apply(list(&["a", "c"]));
    assert_eq!(node.instances(&id()), Some(vec![("a".to_owned(), false), ("c".to_owned(), true)]));
    assert!(node.data.holds(&id()));
    let base = node.data.base(&id());
    assert!(base.is_held && base.here.is_some());
    assert_eq!(base.fingerprint, node.data.fingerprint(&[meta_key(&id()), list_key(&id())]));

    node.apply(Entry::remove(&id()));
    assert_eq!(node.instances(&id()), None);
    assert_ne!(node.data.base(&id()).fingerprint, base.fingerprint);
    // As official members do after it.
    assert!(node.data.holds(&id()), "its list is still there");
    node.apply(list(&[]));
    node.apply(service());
    assert_eq!(node.instances(&id()), Some(vec![]));
}

#[test]
fn switches() {
    let mut node = node();
    let mut switches = (*node.switches.get()).clone();
    switches.push_enabled = false;
    node.apply(Entry::switches(&switches));
    assert!(!node.switches.get().push_enabled);
}

#[test]
fn what_cannot_be_read_is_kept_and_not_applied() {
    let mut node = node();
    node.apply(service());
    node.apply(list(&["a"]));
    let bad = |key: String, value: &str| {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        crate::raft::rpc::WriteRequest {
            group: crate::raft::datum::GROUP.to_owned(),
            operation: "Write".to_owned(),
            data: format!(r#"{{"keys":["{}"],"values":["{}"]}}"#, STANDARD.encode(key), STANDARD.encode(value))
                .into_bytes(),
            ..Default::default()
        }
        .encode_to_vec()
    };
    for value in ["", "null", "{", r#"{"value":null}"#, r#"{"value":{"instanceList":[null]}}"#, r#"{"value":{}}"#] {
        assert!(node.apply_bytes(bad(list_key(&id()), value)).success, "it is committed");
        assert_eq!(node.data.value(&list_key(&id())).unwrap(), value.as_bytes());
    }
    for value in ["", "[]", r#"{"value":{"clusterMap":{"C":{"healthChecker":null,"defCkport":"x"}}}}"#] {
        assert!(node.apply_bytes(bad(meta_key(&id()), value)).success);
    }
    let odd = ["com.alibaba.nacos.naming.domains.meta.", "com.alibaba.nacos.naming.iplist.x", "", "\u{0}##"];
    for key in odd {
        assert!(node.apply_bytes(bad(key.to_owned(), "{}")).success);
    }
    assert_eq!(node.instances(&id()), Some(vec![("a".to_owned(), true)]), "naming goes on with what it had");
    // compat/spec/jraft.md §9
    let poison = node.apply_bytes(b"\x0a\x19naming_persistent_service\x12\x08[\"aw==\"]".to_vec());
    assert!(!poison.success && poison.err_msg.contains("read"), "{poison:?}");
    assert!(!node.apply_bytes(vec![0xff; 9]).success);
}

#[test]
fn a_snapshot_brings_everything_back_and_takes_the_rest_away() {
    let mut node = node();
    node.apply(service());
    node.apply(list(&["a"]));
    let mut switches = (*node.switches.get()).clone();
    switches.check_times = 7;
    node.apply(Entry::switches(&switches));
    let meta = SnapshotMeta {
        last_included_index: 3,
        last_included_term: 1,
        configuration: Configuration::of([PeerId::parse("127.0.0.1:7848").unwrap()]),
    };
    node.machine.save(&meta).unwrap();
    let before = node.data.held.read().clone();

    let other = ServiceId::new("public", "DEFAULT_GROUP@@other");
    node.apply(Entry::meta(&other, &new_service(&other), "").unwrap());
    node.apply(list(&["a", "b"]));
    assert_eq!(node.machine.load().unwrap(), Some(meta));
    assert_eq!(*node.data.held.read(), before);
    assert_eq!(node.instances(&id()), Some(vec![("a".to_owned(), true)]));
    assert_eq!((node.instances(&other), node.switches.get().check_times), (None, 7));

    // A node that starts.
    let registry = Arc::new(Registry::new());
    let data = Arc::new(NamingData::new(Arc::clone(&registry), Arc::default()));
    let mut fresh = NamingState::new(Arc::clone(&data), Arc::clone(&node.machine.archive));
    fresh.load().unwrap();
    assert_eq!(registry.get(&id()).unwrap().read().persistent.len(), 1);
    assert_eq!(data.len(), 3);
}
