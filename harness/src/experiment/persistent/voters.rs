//! `voters`: do all members of a cluster vote, follow and lead, whichever kind they are?
//!
//! - every node is made leader in turn, and under each registrations, updates, deletions and changes of services through
//!   every node must be right on all;
//! - under each leader, each of the others is frozen in turn, and writes must commit all the same;
//! - each leader is killed, and another must serve writes in time ([`change`]).
//!
//! Where official nodes take part, writes wait after a change of leader until those have looked for the new one: before
//! that they acknowledge writes that are lost (`compat/spec/jraft.md` §8), which is what `leader-change` counts.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::change::{self, By, Changes};
use super::group::{Group, LEADER_LIMIT};
use super::owned_by;
use crate::client::call::Expect;
use crate::client::raft::ASK_LIMIT;
use crate::client::raft::message::GetPeersRequest;
use crate::client::{Call, Instance, NacosClient};
use crate::experiment::restart_recovery::Context;
use crate::experiment::{KEEP, kind_name, loopback};
use crate::results::{Fault, Outcome, TimelineEvent};
use crate::target::{Cluster, NodeKind};

/// Name in the record.
pub const NAME: &str = "voters";

/// Until a change is right on every node: official ones show their own writes late.
const SHOWN_LIMIT: Duration = Duration::from_secs(8);

/// Official nodes look for the leader every 5 to 10 s.
const REFRESH: Duration = Duration::from_secs(11);

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(25);

/// One scenario while it is played.
struct Scenario {
    name: String,
    begun: Instant,
    checks: u64,
    events: Vec<TimelineEvent>,
    violations: Vec<String>,
}

impl Scenario {
    fn begin(name: String) -> Self {
        Self { name, begun: Instant::now(), checks: 0, events: Vec::new(), violations: Vec::new() }
    }

    fn event(&mut self, event: String) {
        let at_ms = self.begun.elapsed().as_secs_f64() * 1000.0;
        self.events.push(TimelineEvent { at_ms, event, until_ms: None });
    }

    fn check(&mut self, what: &str, held: Result<()>) {
        self.checks += 1;
        if let Err(error) = held {
            self.violations.push(format!("{what}: {error:#}"));
        }
    }

    fn end(mut self, target: &str) -> Fault {
        self.event(format!("{} checks, {} of them failed", self.checks, self.violations.len()));
        let outcome = match (self.violations.is_empty(), self.checks) {
            (false, _) => Outcome::Fail,
            (true, 0) => Outcome::Error,
            (true, _) => Outcome::Pass,
        };
        Fault {
            target: target.to_owned(),
            scenario: format!("{NAME}: {}", self.name),
            outcome,
            recovery_ms: None,
            unrecovered_ms: None,
            lost_acked: 0,
            resurrected: 0,
            violations: self.violations,
            timeline: self.events,
            samples: Vec::new(),
            checks: Vec::new(),
            figures: Vec::new(),
            issues: Vec::new(),
            history: String::new(),
        }
    }
}

/// Plays every scenario at `cluster` and hands each to `take` as it ends.
///
/// # Errors
/// When the cluster is not one of three of the harness' own, or a node cannot be frozen, killed or started.
pub async fn run(cluster: &mut Cluster, context: &Context<'_>, mut take: impl FnMut(Changes)) -> Result<()> {
    ensure!(cluster.nodes.len() == 3, "{NAME} wants a cluster of three");
    let mut one = |fault: Fault| take(Changes { observations: Vec::new(), faults: vec![fault] });
    one(three_voters(cluster).await?);
    let mut stage = Stage { cluster, tag: format!("{}-{NAME}", context.tag), names: 0 };
    for leader in 0..3 {
        ensure!(!context.stop.is_cancelled(), "the run was interrupted");
        context.progress.status(&format!("{NAME} at {}: node {leader} leads", stage.cluster.target));
        one(stage.led_by(leader).await?);
        for frozen in (0..3).filter(|it| *it != leader) {
            one(stage.frozen(leader, frozen).await?);
        }
    }
    for leader in 0..3 {
        ensure!(!context.stop.is_cancelled(), "the run was interrupted");
        context.progress.status(&format!("{NAME} at {}: node {leader} is killed while it leads", cluster.target));
        let group = Group::of(cluster)?;
        group.make_leader(leader).await?;
        sleep(settling(cluster)).await;
        take(change::one(cluster, By::Kill, leader, context).await?);
    }
    Ok(())
}

/// How long to wait after a change of leader before what official nodes acknowledge counts.
fn settling(cluster: &Cluster) -> Duration {
    let real = cluster.nodes.iter().any(|it| it.kind != NodeKind::Tandem);
    if real { REFRESH } else { Duration::ZERO }
}

fn named(cluster: &Cluster, node: usize) -> String {
    format!("node {node} ({})", cluster.nodes.get(node).map_or("", |it| kind_name(it.kind)))
}

/// The leader counts three peers, and every node names the same leader.
async fn three_voters(cluster: &Cluster) -> Result<Fault> {
    let group = Group::of(cluster)?;
    let all = group.others(&[]);
    let leader = group.wait_leader(&all, LEADER_LIMIT).await?;
    let mut scenario = Scenario::begin("three voters".to_owned());
    scenario.event(format!("{} leads", named(cluster, leader)));
    let wanted = all.iter().map(|it| Ok(group.port(*it)?.peer().to_owned())).collect::<Result<BTreeSet<_>>>()?;
    let port = group.port(leader)?;
    let question = GetPeersRequest {
        group_id: crate::client::raft::GROUP.to_owned(),
        leader_id: Some(port.peer().to_owned()),
        only_alive: None,
    };
    let peers = port.ask(question, ASK_LIMIT).await.context("the leader does not say who votes");
    let peers = peers.map(|it| it.peers.into_iter().collect::<BTreeSet<_>>());
    let same = peers.and_then(|it| {
        ensure!(it == wanted, "the leader counts {it:?}, the members are {wanted:?}");
        Ok(())
    });
    scenario.check("who votes", same);
    for node in all {
        let begun = Instant::now();
        let mut told = group.port(node)?.leader().await;
        while told.as_deref() != Some(port.peer()) && begun.elapsed() < SHOWN_LIMIT {
            sleep(LOOK).await;
            told = group.port(node)?.leader().await;
        }
        let held = (told.as_deref() == Some(port.peer())).then_some(());
        let held = held.with_context(|| format!("it names {told:?}, the leader is {}", port.peer()));
        scenario.check(&format!("who leads, says {}", named(cluster, node)), held);
    }
    Ok(scenario.end(&cluster.target))
}

/// Where scenarios are played.
struct Stage<'a> {
    cluster: &'a mut Cluster,
    tag: String,
    names: usize,
}

impl Stage<'_> {
    /// A fresh name that the node is responsible for, so that its writes are not handed on to another node first.
    fn name(&mut self, node: usize) -> String {
        self.names += 1;
        owned_by(&self.cluster.nodes, node, &format!("{}-{}", self.tag, self.names))
    }

    async fn lead(&self, leader: usize) -> Result<()> {
        Group::of(self.cluster)?.make_leader(leader).await?;
        sleep(settling(self.cluster)).await;
        Ok(())
    }

    /// Every kind of write through every node.
    async fn led_by(&mut self, leader: usize) -> Result<Fault> {
        let mut scenario = Scenario::begin(format!("led by {}", named(self.cluster, leader)));
        self.lead(leader).await?;
        scenario.event(format!("{} leads", named(self.cluster, leader)));
        for through in 0..3 {
            let (service, other) = (self.name(through), self.name(through));
            let who = named(self.cluster, through);
            for (what, held) in instances(self.cluster, through, &service).await? {
                scenario.check(&format!("{what} through {who}"), held);
            }
            for (what, held) in services(self.cluster, through, &other).await? {
                scenario.check(&format!("{what} through {who}"), held);
            }
            scenario.event(format!("writes through {who} are done"));
        }
        let still = Group::of(self.cluster)?.leader(&[0, 1, 2]).await;
        let held = (still == Some(leader)).then_some(()).with_context(|| format!("node {still:?} does"));
        scenario.check(&format!("{} still leads", named(self.cluster, leader)), held);
        Ok(scenario.end(&self.cluster.target))
    }

    /// Writes through the two others while one that does not lead is frozen.
    async fn frozen(&mut self, leader: usize, frozen: usize) -> Result<Fault> {
        let (lead, ice) = (named(self.cluster, leader), named(self.cluster, frozen));
        let mut scenario = Scenario::begin(format!("led by {lead}, {ice} frozen"));
        if Group::of(self.cluster)?.leader(&[0, 1, 2]).await != Some(leader) {
            self.lead(leader).await?;
        }
        let left: Vec<usize> = (0..3).filter(|it| *it != frozen).collect();
        let names: Vec<String> = left.iter().map(|it| self.name(*it)).collect();
        self.cluster.pause(frozen).await?;
        scenario.event(format!("{ice} is frozen"));
        for (through, service) in left.iter().zip(&names) {
            let who = named(self.cluster, *through);
            let begun = Instant::now();
            let held = registered(self.cluster, *through, service, &left).await;
            scenario.event(format!("a registration through {who}: {} ms", begun.elapsed().as_millis()));
            scenario.check(&format!("a registration through {who}"), held);
        }
        self.cluster.resume(frozen).await?;
        scenario.event(format!("{ice} goes on"));
        for service in &names {
            let held = eventually(self.cluster, &[frozen], async |client| holds_one(client, service).await).await;
            scenario.check(&format!("{service} at {ice} once it goes on"), held);
        }
        Ok(scenario.end(&self.cluster.target))
    }
}

type Checks = Vec<(&'static str, Result<()>)>;

/// Two instances are registered, one is changed, one is removed; each step must be right on all nodes before the next.
async fn instances(cluster: &Cluster, through: usize, service: &str) -> Result<Checks> {
    let all = [0, 1, 2];
    let client = NacosClient::new(cluster.node(through)?);
    let (one, two) = (instance(service, 1, "1"), instance(service, 2, "1"));
    let mut checks: Checks = Vec::new();
    let step = async |call: Result<Call, _>, ips: &[&str], changed: Option<(&str, u32)>| -> Result<()> {
        client.send(&call?).await?;
        eventually(cluster, &all, async |client| {
            let value = ask(client, &listed(client, service)?).await?;
            let shown = hosts(&value);
            let mut shown_ips: Vec<&str> = shown.iter().filter_map(|it| it["ip"].as_str()).collect();
            shown_ips.sort_unstable();
            let is_right = |(ip, weight): (&str, u32)| {
                shown.iter().any(|it| it["ip"] == ip && it["weight"].as_f64() == Some(f64::from(weight)))
            };
            Ok(shown_ips == ips && changed.is_none_or(is_right))
        })
        .await
    };
    let context = client.context();
    let (first, second) = (one.ip.as_str(), two.ip.as_str());
    checks.push(("a registration", step(Call::persist(context, &one, 1), &[first], None).await));
    checks.push(("a second registration", step(Call::persist(context, &two, 1), &[first, second], None).await));
    let changed = instance(service, 1, "2");
    let update = step(Call::change_persistent(context, &changed, 7), &[first, second], Some((first, 7))).await;
    checks.push(("an update", update));
    checks.push(("a deletion", step(Call::forget_persistent(context, &two), &[first], None).await));
    Ok(checks)
}

/// A service is created, changed and removed.
async fn services(cluster: &Cluster, through: usize, name: &str) -> Result<Checks> {
    let all = [0, 1, 2];
    let client = NacosClient::new(cluster.node(through)?);
    let mut checks: Checks = Vec::new();
    let step = async |call: Result<Call, _>, wanted: Option<&str>| -> Result<()> {
        client.send(&call?).await?;
        eventually(cluster, &all, async |client| {
            match (ask(client, &Call::service(client.context(), name)?).await, wanted) {
                (Ok(value), Some(wanted)) => Ok(value["metadata"]["k"] == wanted),
                (Err(error), None) if error.to_string().contains("is not found") => Ok(true),
                (Ok(_), None) => Ok(false),
                (Err(error), _) => Err(error),
            }
        })
        .await
    };
    let context = client.context();
    checks.push(("a new service", step(Call::create_service(context, name, r#"{"k":"v"}"#), Some("v")).await));
    checks.push(("a change of a service", step(Call::change_service(context, name, r#"{"k":"w"}"#), Some("w")).await));
    checks.push(("a service's removal", step(Call::delete_service(context, name), None).await));
    Ok(checks)
}

/// One registration, right on the nodes that are `left`.
async fn registered(cluster: &Cluster, through: usize, service: &str, left: &[usize]) -> Result<()> {
    let client = NacosClient::new(cluster.node(through)?);
    client.send(&Call::persist(client.context(), &instance(service, 1, "1"), 1)?).await?;
    eventually(cluster, left, async |client| holds_one(client, service).await).await
}

async fn holds_one(client: &NacosClient, service: &str) -> Result<bool> {
    Ok(hosts(&ask(client, &listed(client, service)?).await?).len() == 1)
}

fn instance(service: &str, number: usize, value: &str) -> Instance {
    let kept = Instance::kept(service, loopback(number), 8000, KEEP);
    Instance { metadata: format!(r#"{{"v":"{value}"}}"#), ..kept }
}

fn listed(client: &NacosClient, service: &str) -> Result<Call, crate::client::ClientError> {
    Call::list(client.context(), service, Expect::Any)
}

async fn ask(client: &NacosClient, call: &Call) -> Result<Value> {
    Ok(serde_json::from_slice(&client.send(call).await?.body)?)
}

fn hosts(value: &Value) -> Vec<&Value> {
    value["hosts"].as_array().into_iter().flatten().collect()
}

/// Asks each of the nodes until it answers as it must.
///
/// # Errors
/// When one does not in time, with what it last said.
async fn eventually(
    cluster: &Cluster,
    nodes: &[usize],
    holds: impl AsyncFn(&NacosClient) -> Result<bool>,
) -> Result<()> {
    let begun = Instant::now();
    for node in nodes {
        let client = NacosClient::new(cluster.node(*node)?);
        loop {
            let held = holds(&client).await;
            if matches!(held, Ok(true)) {
                break;
            }
            if begun.elapsed() > SHOWN_LIMIT {
                let said = held.map_or_else(|error| format!("{error:#}"), |_| "something else".to_owned());
                bail!("{} does not show it within {} s: {said}", named(cluster, *node), SHOWN_LIMIT.as_secs());
            }
            sleep(LOOK).await;
        }
    }
    Ok(())
}
