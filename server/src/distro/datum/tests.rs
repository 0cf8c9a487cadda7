use super::*;
use crate::naming::instance::Metadata;

/// Sent by a real 1.4.1 node (compat/spec/distro.md §2.2).
const OBSERVED: &str = r#"{"com.alibaba.nacos.naming.iplist.ephemeral.public##DEFAULT_GROUP@@h1-a":{"key":"com.alibaba.nacos.naming.iplist.ephemeral.public##DEFAULT_GROUP@@h1-a","value":{"instanceList":[{"instanceId":"10.1.1.48#80#DEFAULT#DEFAULT_GROUP@@h1-a","ip":"10.1.1.48","port":80,"weight":1.0,"healthy":true,"enabled":true,"ephemeral":true,"clusterName":"DEFAULT","serviceName":"DEFAULT_GROUP@@h1-a","metadata":{"zone":"z1","a":"中"},"lastBeat":1795223901228,"marked":false,"app":"DEFAULT","instanceHeartBeatInterval":5000,"instanceHeartBeatTimeOut":15000,"ipDeleteTimeout":30000}]},"timestamp":1}}"#;

fn written(id: &ServiceId, instances: Vec<Instance>) -> String {
    let mut state = ServiceState::new("DEFAULT_GROUP");
    state.ephemeral = instances.into_iter().map(|instance| (instance.key(), instance)).collect();
    let mut writer = MapWriter::new();
    writer.add(id, &state);
    String::from_utf8(writer.finish()).unwrap()
}

fn instances(body: &str) -> Option<Vec<Instance>> {
    read_map(body.as_bytes(), 77).unwrap().remove(0).1.instances
}

/// A map of one key whose list holds this one JSON value.
fn map_of(instance: &str) -> String {
    format!(r#"{{"{EPHEMERAL_PREFIX}public##g@@x":{{"value":{{"instanceList":[{instance}]}}}}}}"#)
}

#[test]
fn keys_both_ways() {
    let id = ServiceId::new("public", "DEFAULT_GROUP@@h1-a");
    let text = key(&id);
    assert_eq!(text, "com.alibaba.nacos.naming.iplist.ephemeral.public##DEFAULT_GROUP@@h1-a");
    assert_eq!(service_of(&text), Some(id));
    assert_eq!(service_of("com.alibaba.nacos.naming.iplist.public##DEFAULT_GROUP@@h1-a"), None);
    assert_eq!(service_of("com.alibaba.nacos.naming.iplist.ephemeral.public"), None);
    // The name is what stands between the first and the second `##`.
    assert_eq!(service_of(&format!("{EPHEMERAL_PREFIX}a##g@@b##c")), Some(ServiceId::new("a", "g@@b")));
}

#[test]
fn observed_datum_is_reproduced_byte_for_byte() {
    let mut map = read_map(OBSERVED.as_bytes(), 0).unwrap();
    let (key, datum) = map.remove(0);
    assert_eq!(datum.key.as_deref(), Some(key.as_str()));
    assert_eq!(written(&service_of(&key).unwrap(), datum.instances.unwrap()), OBSERVED);
}

#[test]
fn empty_service_and_empty_map() {
    let id = ServiceId::new("n", "g@@x");
    let key = key(&id);
    assert_eq!(
        written(&id, vec![]),
        format!(r#"{{"{key}":{{"key":"{key}","value":{{"instanceList":[]}},"timestamp":1}}}}"#)
    );
    assert_eq!(MapWriter::new().finish(), b"{}");
    assert_eq!(read_map(b"{}", 0).unwrap().len(), 0);
}

#[test]
fn generator_appears_only_without_metadata_or_when_named() {
    let with = |metadata: Option<&[(&str, &str)]>| {
        let metadata: Option<Metadata> =
            metadata.map(|map| map.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect());
        written(&ServiceId::new("n", "g@@x"), vec![Instance { metadata, ..Instance::default() }])
    };
    assert!(with(Some(&[])).contains(r#""instanceIdGenerator":"simple""#));
    assert!(with(None).contains(r#""instanceIdGenerator":"simple""#));
    assert!(!with(None).contains("metadata"));
    assert!(!with(Some(&[("a", "b")])).contains("instanceIdGenerator"));
    assert!(with(Some(&[(INSTANCE_ID_GENERATOR, "snowflake")])).contains(r#""instanceIdGenerator":"snowflake""#));
    let odd = with(Some(&[(HEART_BEAT_TIMEOUT, "60000"), (IP_DELETE_TIMEOUT, "x"), ("quo\"te", "\n")]));
    assert!(odd.contains(r#""instanceHeartBeatTimeOut":60000,"ipDeleteTimeout":30000"#));
    assert!(odd.contains(r#""quo\"te":"\n""#));
}

#[test]
fn missing_fields_take_defaults_and_unknown_ones_are_ignored() {
    let list = instances(&map_of(r#"{"ip":"1.1.1.1","port":1,"nobody":{"knows":[1]}}"#)).unwrap();
    let expected = Instance { ip: "1.1.1.1".into(), port: 1, last_beat: 77, ..Instance::default() };
    assert_eq!(list, [expected]);
}

#[test]
fn scalars_are_read_like_jackson_reads_them() {
    let list = instances(&map_of(
        r#"{"ip":"1.1.1.1","port":"8080","weight":null,"healthy":"false","clusterName":"","metadata":{"n":1.5,"b":true,"z":null},"app":null,"lastBeat":1795223901228}"#,
    ))
    .unwrap();
    assert_eq!((list[0].port, list[0].healthy, list[0].cluster_name.as_str()), (8080, false, "DEFAULT"));
    assert_eq!((list[0].meta("n"), list[0].meta("b"), list[0].meta("z")), (Some("1.5"), Some("true"), None));
    assert_eq!((list[0].app.as_deref(), list[0].last_beat), (None, 1795223901228));
}

#[test]
fn weights_are_cut_to_the_official_range() {
    for (sent, kept) in [("0.0005", 0.01), ("20000", 10000.0), ("0", 0.0), ("100.25", 100.25), ("-1.0", -1.0)] {
        let list = instances(&map_of(&format!(r#"{{"ip":"1.1.1.1","weight":{sent}}}"#))).unwrap();
        assert_eq!(list[0].weight, kept, "{sent}");
    }
    let nan = instances(&map_of(r#"{"ip":"1.1.1.1","weight":"NaN"}"#)).unwrap();
    assert!(nan[0].weight.is_nan());
    assert!(written(&ServiceId::new("n", "g@@x"), nan).contains(r#""weight":"NaN""#));
}

#[test]
fn unusable_lists_are_told_from_empty_ones() {
    assert!(instances(&map_of("null")).is_none());
    assert!(instances(&map_of("")).is_some_and(|list| list.is_empty()));
    assert!(instances(&format!(r#"{{"{EPHEMERAL_PREFIX}a##b":null}}"#)).is_none());
    assert!(instances(&format!(r#"{{"{EPHEMERAL_PREFIX}a##b":{{"value":null}}}}"#)).is_none());
    assert!(read_map(b"[1]", 0).is_err());
    assert!(read_map(b"{", 0).is_err());
}
