//! Faults done to real clusters whose nodes live in namespaces of their own, each with the proof that it had effect.
//!
//! Where the machine allows no namespaces these tests say so and are skipped; `TANDEM_REQUIRE_NAMESPACES=1` makes that
//! a failure.

// A test that cannot go on panics, in its helpers as well.
#![allow(clippy::unwrap_used)]

use std::future::Future;
use std::time::{Duration, Instant};

use tandem::client::{ClientError, Instance, NacosClient};
use tandem::nemesis::{Action, Clocks, apply, capability, find_library, proof, proof_within};
use tandem::network::{self, ClientSide, Endpoint, Rule};
use tandem::target::{Cluster, LaunchOptions, Network, launch};

/// Generous, for a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// Enough for lists of many packets; more only measures a debug build.
const INSTANCES: usize = 2_000;

/// Runs a test on the client side of namespaces, or says why not.
fn with_namespaces<F>(test: impl FnOnce(ClientSide) -> F + Send + 'static)
where
    F: Future<Output = anyhow::Result<()>>,
{
    if let Err(why) = network::check() {
        assert!(std::env::var_os(network::REQUIRE_VARIABLE).is_none_or(|it| it != "1"), "{why}");
        eprintln!("skipped: {why}");
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(network::inside(test)).unwrap();
}

async fn launched(target: &str, side: ClientSide) -> Cluster {
    launched_with(target, side, Clocks::Real).await
}

async fn launched_with(target: &str, side: ClientSide, clocks: Clocks) -> Cluster {
    let options = LaunchOptions {
        network: Network::Own { side, seed: 1, clocks },
        ready_timeout: PATIENCE,
        ..LaunchOptions::default()
    };
    launch(&target.parse().unwrap(), &options).await.unwrap()
}

fn clients(cluster: &Cluster) -> Vec<NacosClient> {
    cluster.nodes.iter().map(NacosClient::new).collect()
}

fn instance(service: &str, ip: &str) -> Instance {
    Instance::kept(service, ip.to_owned(), 80, Duration::from_secs(60))
}

/// Registers as clients do: again when the node could not hand the write on in time, which a debug build on a busy machine
/// now and then cannot.
async fn registered_at(client: &NacosClient, instance: &Instance) -> Result<(), ClientError> {
    for _ in 0..2 {
        match client.register(instance).await {
            Err(ClientError::Refused { status: 500, .. }) => {}
            done => return done,
        }
    }
    client.register(instance).await
}

async fn shows(client: &NacosClient, service: &str, instance: &Instance) -> bool {
    client.list(service).await.is_ok_and(|listing| listing.shows(instance))
}

async fn wait_until_all_show(clients: &[NacosClient], service: &str, instance: &Instance) -> Duration {
    let begun = Instant::now();
    for client in clients {
        while !shows(client, service, instance).await {
            assert!(begun.elapsed() < PATIENCE, "{} does not show {instance:?}", client.address());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    begun.elapsed()
}

#[test]
fn a_partition_keeps_what_is_registered_on_one_side_from_the_other_until_it_heals() {
    with_namespaces(async |side| {
        let mut cluster = launched("3xtandem", side).await;
        let clients = clients(&cluster);
        let (before, during) = (instance("s", "10.0.0.1"), instance("s", "10.0.0.2"));
        clients[1].register(&before).await?;
        wait_until_all_show(&clients, "s", &before).await;

        let groups = vec![vec![Endpoint::Node(0)], vec![Endpoint::Node(1), Endpoint::Node(2)]];
        let partition = apply(&mut cluster, &Action::Partition { groups, one_way: false }).await?;
        clients[1].register(&during).await?;
        wait_until_all_show(&clients[1..], "s", &during).await;
        let bit = proof_within(&cluster, &partition, PATIENCE).await;
        assert!(bit.bit, "{bit:?}");
        assert!(!shows(&clients[0], "s", &during).await, "it came through a cut link");
        assert!(shows(&clients[0], "s", &before).await, "clients reach the node that is cut off");

        let healed = apply(&mut cluster, &Action::HealNetwork).await?;
        wait_until_all_show(&clients, "s", &during).await;
        let passing = proof(&cluster, &healed).await;
        assert!(passing.bit, "{passing:?}");
        cluster.shutdown().await
    });
}

#[test]
fn a_delayed_link_delays_what_is_sent_over_it_and_nothing_else() {
    with_namespaces(async |side| {
        let mut cluster = launched("3xtandem", side).await;
        let clients = clients(&cluster);
        let rule = Rule { delay: Duration::from_millis(300), ..Rule::default() };
        let (from, to) = (vec![Endpoint::Clients], vec![Endpoint::Node(2)]);
        let delayed = apply(&mut cluster, &Action::Links { from, to, rule }).await?;
        let answer_of = async |node: usize| {
            let begun = Instant::now();
            clients[node].metrics().await.map(|_| begun.elapsed())
        };
        // The delayed one needs the way there twice: for the connection and for the question.
        let (undisturbed, disturbed) = (answer_of(1).await?, answer_of(2).await?);
        assert!(undisturbed < Duration::from_millis(300), "{undisturbed:?}");
        assert!(disturbed >= Duration::from_millis(600), "{disturbed:?}");
        let bit = proof(&cluster, &delayed).await;
        assert!(bit.bit && bit.what.contains("delayed"), "{bit:?}");
        cluster.shutdown().await
    });
}

/// Does something and demands the proof that it had effect.
async fn done(cluster: &mut Cluster, action: Action) {
    let applied = apply(cluster, &action).await.unwrap_or_else(|error| panic!("{action:?}: {error:#}"));
    let proof = proof_within(cluster, &applied, PATIENCE).await;
    eprintln!("{action:?}: {proof:?}");
    assert!(proof.bit, "{action:?}: {proof:?}");
}

#[test]
fn every_fault_of_a_process_is_proven() {
    with_namespaces(async |side| {
        let mut cluster = launched("3xtandem", side).await;
        let nodes = vec![1];
        done(&mut cluster, Action::Pause { nodes: nodes.clone() }).await;
        done(&mut cluster, Action::Resume { nodes: nodes.clone() }).await;
        done(&mut cluster, Action::Kill { nodes: nodes.clone() }).await;
        done(&mut cluster, Action::RemoveMember { member: 1 }).await;
        done(&mut cluster, Action::AddMember { member: 1 }).await;
        let idle = apply(&mut cluster, &Action::Kill { nodes: nodes.clone() }).await?;
        assert!(!proof(&cluster, &idle).await.bit, "nothing was there to be killed");
        done(&mut cluster, Action::Start { nodes }).await;
        done(&mut cluster, Action::Stop { nodes: vec![0, 1, 2] }).await;
        done(&mut cluster, Action::Start { nodes: vec![0, 1, 2] }).await;
        cluster.wait_ready(PATIENCE, &tandem::target::Silent).await?;
        cluster.shutdown().await
    });
}

#[test]
fn a_data_folder_can_be_full_read_only_and_lost() {
    with_namespaces(async |side| {
        let mut cluster = launched("3xtandem", side).await;
        let nodes = vec![0, 2];
        let seen = apply(&mut cluster, &Action::DiskFull { nodes: nodes.clone() }).await?;
        assert!(proof(&cluster, &seen).await.what.contains("No space left"), "{seen:?}");
        done(&mut cluster, Action::DiskHeal { nodes: nodes.clone() }).await;
        assert!(!proof(&cluster, &seen).await.bit, "a healed folder takes no proof of being full");
        done(&mut cluster, Action::DiskReadOnly { nodes: nodes.clone() }).await;
        done(&mut cluster, Action::DiskHeal { nodes: nodes.clone() }).await;

        assert!(apply(&mut cluster, &Action::Wipe { nodes: nodes.clone() }).await.is_err(), "it runs");
        done(&mut cluster, Action::Kill { nodes: nodes.clone() }).await;
        done(&mut cluster, Action::Wipe { nodes: nodes.clone() }).await;
        done(&mut cluster, Action::Start { nodes }).await;
        cluster.wait_ready(PATIENCE, &tandem::target::Silent).await?;
        cluster.shutdown().await
    });
}

#[test]
fn the_clock_of_one_node_jumps_and_comes_back() {
    if let Err(why) = find_library() {
        eprintln!("skipped: {why}");
        return;
    }
    with_namespaces(async |side| {
        let mut cluster = launched_with("3xtandem", side, Clocks::Settable).await;
        for by_ms in [3_600_000, -90_000, 0] {
            done(&mut cluster, Action::ClockJump { nodes: vec![1], by_ms }).await;
            let others = Action::ClockJump { nodes: vec![0, 2], by_ms: 0 };
            done(&mut cluster, others).await;
        }
        cluster.shutdown().await
    });
}

#[test]
fn what_cannot_be_done_is_said_beforehand() {
    with_namespaces(async |_side| {
        let node = |port: u16| tandem::target::Node {
            kind: tandem::target::NodeKind::Url,
            version: "unknown".to_owned(),
            launch: "already running".to_owned(),
            artifact: String::new(),
            address: format!("127.0.0.1:{port}"),
            context_path: "/nacos".to_owned(),
            pid: None,
            logs: None,
        };
        let cluster = Cluster::of_running("url:x", vec![node(1), node(2)])?;
        for action in [
            Action::Kill { nodes: vec![0] },
            Action::HealNetwork,
            Action::DiskFull { nodes: vec![1] },
            Action::ClockJump { nodes: vec![0], by_ms: 1 },
            Action::RemoveMember { member: 0 },
            Action::Pause { nodes: vec![7] },
        ] {
            let why = capability(&action, &cluster).unwrap_err();
            assert!(!why.is_empty() && !why.contains('\n'), "{action:?}: {why}");
        }
        Ok(())
    });
}

/// Median of some waits.
fn median(mut waits: Vec<Duration>) -> Duration {
    waits.sort_unstable();
    waits[waits.len() / 2]
}

/// How long registrations at one node take until the others show them, one after the other.
async fn sync_latency(clients: &[NacosClient], samples: usize) -> Duration {
    let mut waits = Vec::new();
    for i in 0..samples {
        let one = instance(&format!("latency-{i}"), "10.0.0.1");
        clients[0].register(&one).await.unwrap();
        let begun = Instant::now();
        for client in &clients[1..] {
            while !shows(client, &one.service, &one).await {
                assert!(begun.elapsed() < PATIENCE);
            }
        }
        waits.push(begun.elapsed());
    }
    median(waits)
}

#[test]
fn the_switch_costs_little_and_carries_thousands_of_instances() {
    with_namespaces(async |side| {
        let on_loopback = launch(&"3xtandem".parse()?, &LaunchOptions::default()).await?;
        let loopback = sync_latency(&clients(&on_loopback), 40).await;
        on_loopback.shutdown().await?;
        let cluster = launched("3xtandem", side).await;
        let clients = clients(&cluster);
        let switched = sync_latency(&clients, 40).await;
        eprintln!("median until both others show a registration: loopback {loopback:?}, switch {switched:?}");
        // Wide, for a busy machine: what is to be noticed is a switch that sleeps or loses packets.
        assert!(switched < loopback + Duration::from_millis(20), "loopback {loopback:?}, switch {switched:?}");

        let begun = Instant::now();
        // Services of a hundred instances each.
        let all: Vec<Instance> =
            (0..INSTANCES).map(|i| instance(&format!("many-{}", i / 100), &format!("10.1.1.{}", i % 100))).collect();
        for chunk in all.chunks(64) {
            let calls = chunk.iter().enumerate().map(|(i, it)| registered_at(&clients[i % clients.len()], it));
            if let Err(error) = futures::future::try_join_all(calls).await {
                anyhow::bail!("{error} after {:?}; {:#?}", begun.elapsed(), cluster.fabric().unwrap().counts());
            }
        }
        let registered = begun.elapsed();
        for client in &clients {
            while client.metrics().await?.instance_count < all.len() as u64 {
                assert!(begun.elapsed() < PATIENCE * 4, "{} does not hold all", client.address());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        eprintln!(
            "{INSTANCES} instances registered after {registered:?}, held by every node after {:?}",
            begun.elapsed()
        );
        let failed: u64 = cluster.fabric().unwrap().counts().values().map(|counts| counts.failed).sum();
        assert_eq!(failed, 0, "packets that a device did not take");
        cluster.shutdown().await
    });
}
