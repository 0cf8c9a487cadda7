//! The comparison against contents that differ in every way it must see, and in the ways it must not.

use super::content::{Datum, InstanceKey, NodeContent, Registered, Served, ServiceKey, Stored};
use super::differ::{Difference, Expected, Place, Wanted, between, from_model};
use super::read::{Scope, parse_registry, parse_store};

fn service() -> ServiceKey {
    ServiceKey { namespace: "public".into(), name: "DEFAULT_GROUP@@s".into() }
}

fn instance(port: i64) -> InstanceKey {
    InstanceKey { ip: "10.0.0.1".into(), port, cluster: "DEFAULT".into() }
}

/// A node that stores and serves the same.
fn node(address: &str, instances: &[(i64, Stored)]) -> NodeContent {
    let mut node = NodeContent { address: address.into(), ..NodeContent::default() };
    let (mut datum, mut registered) = (Datum::default(), Registered::default());
    for (port, it) in instances {
        let (weight, enabled, healthy) = (it.weight, it.enabled, it.healthy);
        datum.instances.insert(instance(*port), it.clone());
        let served = Served { weight, enabled, healthy, metadata: it.metadata.clone() };
        registered.instances.insert(instance(*port), served);
    }
    node.store.insert(service(), datum);
    node.registry.insert(service(), registered);
    node
}

fn found(differences: &[Difference]) -> Vec<(Place, &'static str)> {
    differences.iter().map(|it| (it.place, it.property)).collect()
}

#[test]
fn equal_nodes_agree_and_a_service_without_instances_is_none() {
    let (a, mut b) = (node("a", &[(80, Stored::default())]), node("b", &[(80, Stored::default())]));
    let empty = ServiceKey { namespace: "public".into(), name: "DEFAULT_GROUP@@empty".into() };
    b.store.insert(empty.clone(), Datum::default());
    b.registry.insert(empty, Registered::default());
    assert_eq!(between(&[a, b], true), []);
}

#[test]
fn an_instance_that_one_node_lacks_is_found_where_it_is_stored_and_served() {
    let all = [node("a", &[(80, Stored::default()), (81, Stored::default())]), node("b", &[(80, Stored::default())])];
    let differences = between(&all, true);
    assert_eq!(found(&differences), [(Place::Store, "presence"), (Place::Registry, "presence")]);
    assert_eq!(
        differences[0].to_string(),
        "DEFAULT_GROUP@@s in public, 10.0.0.1:81 (DEFAULT): presence stored: there at a; absent at b"
    );
}

#[test]
fn every_property_that_differs_is_named() {
    let changes: [(&str, Stored); 7] = [
        ("weight", Stored { weight: 2.0, ..Stored::default() }),
        ("enabled", Stored { enabled: false, ..Stored::default() }),
        ("healthy", Stored { healthy: false, ..Stored::default() }),
        ("ephemeral", Stored { ephemeral: false, ..Stored::default() }),
        ("metadata", Stored { metadata: [("k".to_owned(), "v".to_owned())].into(), ..Stored::default() }),
        ("app", Stored { app: Some("x".into()), ..Stored::default() }),
        ("instanceId", Stored { id: "7".into(), ..Stored::default() }),
    ];
    for (property, other) in changes {
        let all = [node("a", &[(80, Stored::default())]), node("b", &[(80, other)])];
        let differences = between(&all, true);
        assert!(differences.iter().all(|it| it.property == property), "{property}: {differences:?}");
        assert!(differences.iter().any(|it| it.place == Place::Store), "{property}");
    }
}

#[test]
fn a_node_that_serves_other_than_it_stores_is_found_though_all_nodes_are_alike() {
    let mut a = node("a", &[(80, Stored::default())]);
    a.registry.get_mut(&service()).unwrap().instances.get_mut(&instance(80)).unwrap().healthy = false;
    let mut b = a.clone();
    b.address = "b".into();
    assert_eq!(found(&between(&[a.clone(), b.clone()], true)), [(Place::Within, "state"); 2]);
    // The store lost it, and clients are still sent there: official nodes did that when a key was removed.
    for it in [&mut a, &mut b] {
        it.store.clear();
    }
    assert_eq!(found(&between(&[a.clone(), b.clone()], true)), [(Place::Within, "presence"); 2]);
    // Where persistent instances may be, that is no difference.
    assert_eq!(between(&[a, b], false), []);
}

#[test]
fn a_list_that_names_an_instance_twice_is_found() {
    let (mut a, b) = (node("a", &[(80, Stored::default())]), node("b", &[(80, Stored::default())]));
    let datum = a.store.get_mut(&service()).unwrap();
    (datum.repeated, datum.checksum) = (1, "another".into());
    assert_eq!(found(&between(&[a, b], true)), [(Place::Store, "list"), (Place::Store, "checksum")]);
}

#[test]
fn metadata_of_the_service_is_compared_where_it_is_known() {
    let (mut a, b) = (node("a", &[]), node("b", &[]));
    a.registry.get_mut(&service()).unwrap().metadata.insert("k".into(), "v".into());
    assert_eq!(found(&between(&[a, b], true)), [(Place::Registry, "service metadata")]);
}

#[test]
fn nodes_that_agree_on_something_nobody_asked_for_are_found_by_the_model() {
    let all = [node("a", &[(80, Stored::default())]), node("b", &[(80, Stored::default())])];
    assert_eq!(between(&all, true), []);
    // Deregistered, and still there.
    let gone: Expected = [(service(), [(instance(80), vec![None])].into())].into();
    let differences = from_model(&all, &gone);
    assert_eq!(found(&differences), [(Place::Model, "state")]);
    assert!(differences[0].to_string().contains("absent at the clients; weight 1, enabled true"), "{}", differences[0]);
    // Never registered.
    assert_eq!(from_model(&all, &Expected::new()).len(), 1);
    // Registered with another weight, and one that is missing.
    let there = Wanted { weight: 1.0, enabled: true, healthy: true, metadata: Default::default() };
    let other = Wanted { weight: 2.0, ..there.clone() };
    let wrong: Expected =
        [(service(), [(instance(80), vec![Some(other.clone())]), (instance(81), vec![Some(there.clone())])].into())]
            .into();
    assert_eq!(from_model(&all, &wrong).len(), 2);
    // An answer never came: either state is right.
    let either: Expected = [(service(), [(instance(80), vec![Some(other), Some(there)])].into())].into();
    assert_eq!(from_model(&all, &either), []);
}

#[test]
fn what_nodes_answer_is_read() {
    let body = r#"{"com.alibaba.nacos.naming.iplist.ephemeral.public##g@@s":{"key":"x","value":{"instanceList":[
        {"instanceId":"i","ip":"1.1.1.1","port":80,"weight":0.5,"healthy":false,"enabled":true,"ephemeral":true,
         "clusterName":"c1","serviceName":"g@@s","metadata":{"k":"v","n":null},"lastBeat":1,"marked":false}]},
        "timestamp":1},
        "com.alibaba.nacos.naming.iplist.ephemeral.public##g@@other":{"value":"not read"}}"#;
    let scope = Scope::Named { namespaces: vec!["public".into()], part: "@@s".into() };
    let store = parse_store(body.as_bytes(), &scope).unwrap();
    let datum = &store[&ServiceKey { namespace: "public".into(), name: "g@@s".into() }];
    let key = InstanceKey { ip: "1.1.1.1".into(), port: 80, cluster: "c1".into() };
    let it = &datum.instances[&key];
    assert_eq!(datum.checksum.len(), 32);
    assert_eq!((it.weight, it.healthy, it.app.as_deref(), it.metadata["k"].as_str()), (0.5, false, None, "v"));
    assert!(parse_store(body.as_bytes(), &Scope::All).is_err(), "in full, it is no list");
    let body = r#"[{"serviceName":"s","groupName":"g","clusterMap":{"c1":{"hosts":[{"valid":false,"metadata":{},
        "port":80,"ip":"1.1.1.1","weight":1.0,"enabled":true}]}},"metadata":{}}]"#;
    let registry = parse_registry(body.as_bytes(), "public").unwrap();
    assert!(!registry[&ServiceKey { namespace: "public".into(), name: "g@@s".into() }].instances[&key].healthy);
}
