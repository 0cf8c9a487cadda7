//! Raw requests, as official nodes and curious people send them (compat/spec/distro.md §14).

use super::raw::call;
use super::*;
use crate::cluster::member::Member;
use crate::naming::consistency::Consistency;
use crate::naming::instances;

const DATUM: &str = "/nacos/v1/ns/distro/datum";
const JSON: &str = "Content-Type: application/json;charset=UTF-8";

fn key(id: &ServiceId) -> String {
    super::super::datum::key(id)
}

fn datum(id: &ServiceId, ports: &[i32]) -> String {
    let list: Vec<String> = ports
        .iter()
        .map(|port| {
            format!(r#"{{"ip":"10.0.0.1","port":{port},"serviceName":"{}","metadata":{{"a":"中😀"}}}}"#, id.name)
        })
        .collect();
    let key = key(id);
    format!(r#"{{"{key}":{{"key":"{key}","value":{{"instanceList":[{}]}},"timestamp":1}}}}"#, list.join(","))
}

fn unknown() -> ServiceId {
    ServiceId::new("space", "grp@@unknown")
}

#[tokio::test]
async fn d01_to_d07_put_datum() {
    let cluster = Cluster::start(2).await;
    let (at, node) = (cluster.addresses[0], cluster.node(0));
    let official = [JSON, "User-Agent: Nacos-Server:1.4.1", "Content-Encoding: gzip", "Client-Version: 1.4.1"];
    let put = |body: String| async move { call(at, "PUT", DATUM, &official, &body).await };
    let ok = (200, "text/plain;charset=UTF-8".to_owned(), "ok".to_owned());
    // D01, D05: plain JSON that claims to be gzip, for a service nobody knows.
    assert_eq!(put(datum(&unknown(), &[1, 2])).await, ok);
    assert_eq!(seen(node, &unknown()), Some(vec![(1, true), (2, true)]));
    assert_eq!(node.registry.get(&unknown()).unwrap().read().group_name, "grp");
    // Instances nobody could use are left out.
    let unusable = datum(&unknown(), &[1, 2]).replacen(r#""port":1"#, r#""port":1,"clusterName":"a_b""#, 1);
    assert_eq!(put(unusable.replace("10.0.0.1\",\"port\":2", "\",\"port\":2")).await, ok);
    assert_eq!(seen(node, &unknown()), Some(vec![]));
    // D06
    assert_eq!(put(datum(&unknown(), &[])).await, ok);
    assert_eq!(seen(node, &unknown()), Some(vec![]));
    // D07
    let own = cluster.service_of(0, "own");
    register(node, &own, 9);
    assert_eq!(put(datum(&own, &[1])).await, ok);
    assert_eq!(seen(node, &own), Some(vec![(1, true)]));
    // D04
    assert_eq!(put(datum(&own, &[7]).replace(".ephemeral.", ".")).await, ok);
    assert_eq!(seen(node, &own), Some(vec![(1, true)]));
    // D02
    let (status, _, body) = put("{}".to_owned()).await;
    assert_eq!((status, body.as_str()), (500, "caused: receive empty entity!;"));
    // D03
    let (status, _, body) = put("{".to_owned()).await;
    assert!(status == 500 && body.starts_with("caused: JSON parse error: "), "{status} {body}");
    let (status, _, body) =
        call(at, "PUT", DATUM, &["Content-Type: application/x-www-form-urlencoded;charset=UTF-8"], "a=b").await;
    let text = "caused: Content type 'application/x-www-form-urlencoded;charset=UTF-8' not supported;";
    assert_eq!((status, body.as_str()), (500, text));
}

/// What an official node pushes as the former owner of a service may be older than what happened here since.
#[tokio::test]
async fn a_late_push_brings_nothing_back() {
    let cluster = Cluster::start(2).await;
    let (at, node) = (cluster.addresses[0], cluster.node(0));
    let own = cluster.service_of(0, "late");
    let before = now_ms();
    for port in [1, 2] {
        register(node, &own, port);
    }
    let key = instance(2).key();
    instances::deregister(&node.registry, &Consistency::default(), &own, &key, true).unwrap();
    let push = |beat: i64| datum(&own, &[1, 2]).replace(r#""port":"#, &format!(r#""lastBeat":{beat},"port":"#));
    call(at, "PUT", DATUM, &[JSON], &push(before)).await;
    assert_eq!(seen(node, &own), Some(vec![(1, true)]));
    eventually("the other too", SOON, || seen(cluster.node(1), &own) == Some(vec![(1, true)])).await;
    // It was registered again, at whom the sender takes for the owner.
    call(at, "PUT", DATUM, &[JSON], &push(now_ms() + 1)).await;
    assert_eq!(seen(node, &own), Some(vec![(1, true), (2, true)]));
}

/// Nor what an official owner pushed before it pushed its removal: the owner is asked what is right, and when it does not
/// answer, the push counts.
#[tokio::test]
async fn of_a_push_that_was_overtaken_the_owner_is_asked() {
    let mut cluster = Cluster::start(2).await;
    let (at, node, source) = (cluster.addresses[0], Arc::clone(cluster.node(0)), cluster.addresses[1]);
    let theirs = cluster.service_of(1, "late");
    register(cluster.node(1), &theirs, 9);
    eventually("pushed", SOON, || seen(&node, &theirs).is_some()).await;
    // The owner stays reachable for pulls, but must not push by itself; what follows is what an official node means by it.
    cluster.node(1).tasks.stop(SOON).await;
    assert!(node.members.accept_report(Member::listed("127.0.0.1", source.port()), 1));
    let push = async |ports: &[i32], beat: i64| {
        let body = datum(&theirs, ports).replace(r#""port":"#, &format!(r#""lastBeat":{beat},"port":"#));
        assert_eq!(call(at, "PUT", DATUM, &[JSON], &body).await.0, 200);
    };
    let shows = |ports: &[i32]| seen(&node, &theirs) == Some(ports.iter().map(|port| (*port, true)).collect());
    let before = now_ms();
    for list in [&[1, 2], &[1, 3]] {
        push(list, before).await;
        assert!(shows(list));
    }
    // It has no 3 yet, and 2 still.
    push(&[1, 2], before).await;
    eventually("what the owner has", SOON, || shows(&[9])).await;
    // Registered again.
    push(&[1, 2], now_ms() + 1).await;
    assert!(shows(&[1, 2]));
    // The owner had heard 1 later than that, so it has pushed this before.
    push(&[1], before).await;
    eventually("what the owner has", SOON, || shows(&[9])).await;
    // Nobody in it was heard for two beats.
    push(&[4], now_ms() - 8_000).await;
    assert!(shows(&[4]));
    push(&[5], now_ms() - 11_000).await;
    eventually("what the owner has", SOON, || shows(&[9])).await;
    // Its owner would not call an instance healthy that it has not heard of for 26 s, whomever else it hears.
    let body = datum(&theirs, &[5, 6]).replace(r#""port":5"#, &format!(r#""lastBeat":{},"port":5"#, now_ms() - 26_000));
    assert!(body.matches("lastBeat").count() == 1, "{body}");
    push(&[4], now_ms() + 1).await;
    assert_eq!(call(at, "PUT", DATUM, &[JSON], &body).await.0, 200);
    eventually("what the owner has", SOON, || shows(&[9])).await;
    cluster.kill(1).await;
    push(&[5], now_ms() - 26_000).await;
    eventually("nobody knows better", SOON, || shows(&[5])).await;
}

/// While this node was out of the others' sight, one of them was the owner of what belongs to this one: what that one
/// pushed into the hole comes out when it has closed, before anybody here knows that it has. Removed there meanwhile was
/// what never was known here.
#[tokio::test]
async fn of_a_push_into_a_hole_its_sender_is_asked() {
    let mut cluster = Cluster::start(2).await;
    let (at, node, sender) = (cluster.addresses[0], Arc::clone(cluster.node(0)), Arc::clone(cluster.node(1)));
    let own = cluster.service_of(0, "hole");
    register(&node, &own, 1);
    eventually("pushed", SOON, || seen(&sender, &own).is_some()).await;
    sender.tasks.stop(SOON).await;
    assert!(node.members.accept_report(Member::listed("127.0.0.1", cluster.addresses[1].port()), 1));
    let push = async |beat: i64| {
        let body = datum(&own, &[1, 2]).replace(r#""port":"#, &format!(r#""lastBeat":{beat},"port":"#));
        assert_eq!(call(at, "PUT", DATUM, &[JSON], &body).await.0, 200);
    };
    register(&sender, &own, 3);
    push(now_ms() - 11_000).await;
    assert_eq!(seen(&node, &own), Some(vec![(1, true)]), "what it never knew is not shown for a moment");
    eventually("what the sender has", SOON, || seen(&node, &own) == Some(vec![(1, true), (3, true)])).await;
    // One that comes in time is taken as it is, and one that nobody can be asked about.
    push(now_ms()).await;
    assert_eq!(seen(&node, &own), Some(vec![(1, true), (2, true)]));
    register(&node, &own, 4);
    cluster.kill(1).await;
    push(now_ms() - 11_000).await;
    eventually("nobody knows better", SOON, || seen(&node, &own) == Some(vec![(1, true), (2, true)])).await;
}

#[tokio::test]
async fn d08_to_d10_get_datum_and_datums() {
    let cluster = Cluster::start(2).await;
    let at = cluster.addresses[0];
    let octets = "application/octet-stream;charset=UTF-8".to_owned();
    let datums = "/nacos/v1/ns/distro/datums?encoding=UTF-8&nofix=1";
    assert_eq!(call(at, "GET", datums, &[], "").await, (200, octets.clone(), "{}".to_owned()));
    let known = unknown();
    call(at, "PUT", DATUM, &[JSON], &datum(&known, &[1])).await;
    let body = format!(r#"{{"keys":"{},{}"}}"#, key(&known), key(&ServiceId::new("public", "a@@b")));
    let (status, content_type, body) = call(at, "GET", DATUM, &[JSON], &body).await;
    assert_eq!((status, content_type), (200, octets));
    assert!(body.contains("中😀") && body.matches("\"timestamp\":1").count() == 1, "{body}");
    assert_eq!(call(at, "GET", datums, &[], "").await.2, body);
    for body in ["", "{}", "{"] {
        assert_eq!(call(at, "GET", DATUM, &[JSON], body).await.0, 500, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d11_to_d15_put_checksum() {
    let mut cluster = Cluster::start(2).await;
    let source = cluster.addresses[1];
    let (stale, gone) = (cluster.service_of(1, "stale"), cluster.service_of(1, "gone"));
    let own = cluster.service_of(0, "own");
    for port in [1, 2] {
        register(cluster.node(1), &stale, port);
    }
    // The owner stays reachable for pulls, but must not push by itself while its peer is made to differ.
    eventually("pushed", SOON, || seen(cluster.node(0), &stale).is_some_and(|list| list.len() == 2)).await;
    cluster.node(1).tasks.stop(SOON).await;
    let (at, node) = (cluster.addresses[0], Arc::clone(cluster.node(0)));
    // What follows is what an official node means by it.
    assert!(node.members.accept_report(Member::listed("127.0.0.1", source.port()), 1));
    let put = |body: String| async move {
        call(at, "PUT", &format!("/nacos/v1/ns/distro/checksum?source={source}"), &[JSON], &body).await
    };
    for id in [&stale, &gone] {
        call(at, "PUT", DATUM, &[JSON], &datum(id, &[1])).await;
    }
    let sum = |id: &ServiceId, md5: &str| format!(r#""{}":"{md5}""#, key(id));
    let ok = (200, "text/plain;charset=UTF-8".to_owned(), "ok".to_owned());
    // D14: one key of the receiver's own stops everything.
    assert_eq!(put(format!("{{{},{}}}", sum(&stale, "x"), sum(&own, "y"))).await, ok);
    assert_eq!((seen(&node, &stale), seen(&node, &gone)), (Some(vec![(1, true)]), Some(vec![(1, true)])));
    // D11 and D13: pulled before the answer; what is not named goes, from what is served as well.
    assert_eq!(put(format!("{{{}}}", sum(&stale, "x"))).await, ok);
    assert_eq!(seen(&node, &stale), Some(vec![(1, true), (2, true)]));
    assert_eq!(seen(&node, &gone), None);
    assert!(node.registry.get(&gone).unwrap().read().ephemeral.is_empty());
    // D12: equal, so nothing is asked of a source that is not even there any more.
    let md5 = super::super::checksum::checksum(node.registry.get(&stale).unwrap().read().ephemeral.values());
    cluster.kill(1).await;
    assert_eq!(put(format!("{{{}}}", sum(&stale, &md5))).await, ok);
    assert_eq!(put(format!("{{{}}}", sum(&stale, "other"))).await, ok);
    assert_eq!(seen(&node, &stale), Some(vec![(1, true), (2, true)]));
    // D15
    let (status, _, body) = call(at, "PUT", "/nacos/v1/ns/distro/checksum", &[JSON], "{}").await;
    assert_eq!((status, body.as_str()), (500, "caused: Required String parameter 'source' is not present;"));
}

#[tokio::test]
async fn checksums_of_a_tandem_node_that_does_not_know_our_kind_yet_drop_nothing() {
    let cluster = Cluster::start(2).await;
    let (id, at) = (cluster.service_of(1, "kept"), cluster.addresses[0]);
    register(cluster.node(1), &id, 1);
    eventually("pushed", SOON, || seen(cluster.node(0), &id).is_some()).await;
    let uri = format!("/nacos/v1/ns/distro/checksum?source={}", cluster.addresses[1]);
    assert_eq!(call(at, "PUT", &uri, &[JSON], "{}").await.0, 200);
    assert_eq!(seen(cluster.node(0), &id), Some(vec![(1, true)]));
}

const SOON: Duration = Duration::from_secs(1);
