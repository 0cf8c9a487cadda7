//! Changes, failures and restarts.

use indexmap::IndexMap;

use super::*;
use crate::cluster::member::Outcome;
use crate::distro::receive::Sender;

const SOON: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_at_any_node_is_at_the_others_within_milliseconds() {
    let cluster = Cluster::start(3).await;
    let mut delays = Vec::new();
    for round in 0..60 {
        let owner = round % 3;
        let id = cluster.service_of(owner, "sync");
        register(cluster.node(owner), &id, 1000 + round as i32);
        let all = seen(cluster.node(owner), &id);
        delays.push(
            eventually("seen everywhere", SOON, || (0..3).all(|node| seen(cluster.node(node), &id) == all)).await,
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    delays.sort_unstable();
    println!("idle sync: p50 {:?}, p90 {:?}, max {:?}", delays[30], delays[54], delays[59]);
    assert!(delays[54] < Duration::from_millis(100), "{delays:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_5000_registrations_over_500_services() {
    let cluster = Cluster::start(3).await;
    let ids: Vec<ServiceId> = (0..500).map(|n| ServiceId::new("public", format!("DEFAULT_GROUP@@burst{n}"))).collect();
    let owner = |id: &ServiceId| (0..3).find(|node| cluster.node(*node).distro.responsible(&id.name)).unwrap();
    for port in 1..=10 {
        for id in &ids {
            register(cluster.node(owner(id)), id, port);
        }
    }
    let everywhere =
        || (0..3).all(|node| ids.iter().all(|id| seen(cluster.node(node), id).is_some_and(|l| l.len() == 10)));
    let took = eventually("5000 seen everywhere", Duration::from_secs(10), everywhere).await;
    println!("burst of 5000: {took:?} after the last");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_removals_and_health_follow() {
    let cluster = Cluster::start(2).await;
    let id = cluster.service_of(1, "follow");
    let peer_sees = |expected: &[(i32, bool)]| seen(cluster.node(0), &id).as_deref() == Some(expected);
    register(cluster.node(1), &id, 1);
    register(cluster.node(1), &id, 2);
    eventually("both registered", SOON, || peer_sees(&[(1, true), (2, true)])).await;
    let service = cluster.node(1).registry.get(&id).unwrap();
    cluster.node(1).registry.update(&service, |state| {
        state.ephemeral[0].healthy = false;
        ((), Change { health: true, ..Change::default() })
    });
    eventually("health flag", SOON, || peer_sees(&[(1, false), (2, true)])).await;
    write(cluster.node(1), &id, |state| state.ephemeral.clear());
    eventually("removed", SOON, || peer_sees(&[])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flips_of_persistent_instances_follow_at_once() {
    let cluster = Cluster::start(2).await;
    let id = cluster.service_of(1, "persistent");
    for index in [0, 1] {
        let node = cluster.node(index);
        let service = node.registry.get_or_create(&id, || ServiceState::new("DEFAULT_GROUP"));
        node.registry.update(&service, |state| {
            let one = Instance { ephemeral: false, ..instance(1) };
            state.ensure_cluster(&one.cluster_name);
            state.persistent.insert(one.key(), one);
            ((), Change { persistent: true, ..Change::default() })
        });
    }
    let flip = |index: usize, healthy| {
        let service = cluster.node(index).registry.get(&id).unwrap();
        cluster.node(index).registry.update(&service, |state| {
            state.persistent[0].healthy = healthy;
            ((), Change { health: true, ..Change::default() })
        });
    };
    let peer_sees = || cluster.node(0).registry.get(&id).unwrap().read().persistent[0].healthy;
    for healthy in [false, true] {
        flip(1, healthy);
        eventually("flag of a persistent instance", SOON, || peer_sees() == healthy).await;
    }
    // Who is not responsible is not believed, and is put right by the next round.
    flip(0, false);
    eventually("put right", Duration::from_secs(15), peer_sees).await;
    assert!(cluster.node(1).registry.get(&id).unwrap().read().persistent[0].healthy);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_or_silent_peer_delays_nobody() {
    let mut cluster = Cluster::start(3).await;
    cluster.kill(2).await;
    let id = cluster.service_of(0, "dead");
    register(cluster.node(0), &id, 1);
    let dead = eventually("with a dead peer", SOON, || seen(cluster.node(1), &id).is_some()).await;
    // Accepts nothing, answers nothing: the backlog takes the connection.
    let _silent = TcpListener::bind(cluster.addresses[2]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    for port in 2..10 {
        register(cluster.node(0), &id, port);
        let all = seen(cluster.node(0), &id);
        let silent = eventually("with a silent peer", SOON, || seen(cluster.node(1), &id) == all).await;
        assert!(silent < Duration::from_millis(250), "{silent:?}");
    }
    println!("with a dead peer: {dead:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_returns_is_told_what_it_missed() {
    let mut cluster = Cluster::start(2).await;
    let (mine, its) = (cluster.service_of(0, "mine"), cluster.service_of(1, "its"));
    register(cluster.node(0), &mine, 1);
    register(cluster.node(1), &its, 1);
    eventually("replicated", SOON, || seen(cluster.node(0), &its).is_some()).await;
    cluster.kill(1).await;
    register(cluster.node(0), &mine, 2);
    cluster.restart(1).await;
    // Loaded before it serves.
    assert_eq!(seen(cluster.node(1), &mine), Some(vec![(1, true), (2, true)]));
    assert_eq!(seen(cluster.node(1), &its), Some(vec![(1, true)]));
    register(cluster.node(0), &mine, 3);
    eventually("pushed again", Duration::from_secs(7), || seen(cluster.node(1), &mine).is_some_and(|l| l.len() == 3))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cold_start_does_not_wait() {
    let started = Instant::now();
    let _cluster = Cluster::start(3).await;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responsibility_that_moves_takes_the_beats_along() {
    let cluster = Cluster::start(3).await;
    let id = cluster.service_of(2, "moves");
    register(cluster.node(2), &id, 1);
    eventually("replicated", SOON, || seen(cluster.node(0), &id).is_some()).await;
    // A beat: known to the responsible node only.
    let service = cluster.node(2).registry.get(&id).unwrap();
    let beat = now_ms() + 1000;
    cluster.node(2).registry.update(&service, |state| {
        state.ephemeral[0].last_beat = beat;
        ((), Change::default())
    });
    let leaving = format!("127.0.0.1:{}", cluster.addresses[2].port());
    // Everybody takes it for dead, itself excepted: it sees the others alone.
    for node in [0, 1] {
        cluster.node(node).members.judge(&leaving, Outcome::Refused);
    }
    let heir = (0..2).find(|node| cluster.node(*node).distro.responsible(&id.name)).unwrap();
    let other = format!("127.0.0.1:{}", cluster.addresses[1 - heir].port());
    // The former owner's view changes too: the other one is gone, so that the heir comes to own it there as well or not;
    // in both cases nothing may be lost.
    cluster.node(2).members.judge(&other, Outcome::Refused);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(seen(cluster.node(heir), &id), Some(vec![(1, true)]));
    if cluster.node(2).members.owner(&id.name) != Some(leaving) {
        let service = cluster.node(heir).registry.get(&id).unwrap();
        assert_eq!(service.read().ephemeral[0].last_beat, beat);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_while_the_owner_was_cut_off_survives_its_return() {
    let cluster = Cluster::start(3).await;
    let id = cluster.service_of(2, "cut");
    register(cluster.node(2), &id, 1);
    eventually("replicated", SOON, || (0..2).all(|node| seen(cluster.node(node), &id).is_some())).await;
    let address = |node: usize| format!("127.0.0.1:{}", cluster.addresses[node].port());
    // Two nodes and one lose sight of each other; both sides take a write, and nothing gets across.
    for (node, lost) in [(0, 2), (1, 2), (2, 0), (2, 1)] {
        cluster.node(node).members.judge(&address(lost), Outcome::Refused);
    }
    let heir = (0..2).find(|node| cluster.node(*node).distro.responsible(&id.name)).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    register(cluster.node(heir), &id, 2);
    // What was written across the cut meanwhile is taken away again, as if it had never arrived.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let service = cluster.node(2).registry.get(&id).unwrap();
    cluster.node(2).registry.update(&service, |state| {
        state.ephemeral.retain(|key, _| key.port == 1);
        ((), Change::default())
    });
    for (node, found) in [(2, 0), (2, 1), (0, 2), (1, 2)] {
        cluster.node(node).members.accept_report(cluster.report(found), 2);
    }
    let both = Some(vec![(1, true), (2, true)]);
    eventually("both writes everywhere", SOON, || (0..3).all(|node| seen(cluster.node(node), &id) == both)).await;
    // And the checksums of the owner do not take it back.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!((0..3).all(|node| seen(cluster.node(node), &id) == both));
}

/// Those of 1.4.1 lose lists from what they compare and go on serving them (§8.4).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_official_owner_does_not_name_is_kept_as_far_as_it_serves_it() {
    let both = Some(vec![(1, true), (2, true)]);
    for (status, body, left) in [
        ("200", r#"{"ips":["10.0.0.1:2_true"]}"#, Some(vec![(2, true)])),
        ("200", r#"{"ips":[]}"#, None),
        ("500", "caused: service: DEFAULT_GROUP@@x not found.;", None),
        ("503", "not ready", both.clone()),
        ("200", "ok", both),
    ] {
        let (official, mut heads) = headers::answering(status, body).await;
        let (cluster, id) = headers::beside(&official).await;
        for port in 1..=2 {
            register(cluster.node(0), &id, port);
        }
        cluster.node(0).distro.receive_checksums(&official, IndexMap::new(), Sender::Official).await;
        assert_eq!(seen(cluster.node(0), &id), left, "{status} {body}");
        let asked =
            std::iter::from_fn(|| heads.try_recv().ok()).any(|head| head.contains("/v1/ns/instance/statuses?key="));
        assert!(asked, "{status} {body}");
    }
}
