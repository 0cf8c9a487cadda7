//! Pieces of persistent data that are set, removed and read by processes, one operation at a time each: what a check for
//! linearizability asks for. Every value is set once in a run.
//!
//! Half of the registers are persistent instances, registered with the value in their metadata and deregistered; half are
//! services whose metadata has the value or not. Each has a service of its own, because official members write a service's
//! instances as one record and may lose one of two writes that come together, which is another story.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use http::Method;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::Deserialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::ring::Server;
use super::{Population, Recorder};
use crate::client::call::Expect;
use crate::client::{Call, ClientError};
use crate::experiment::fault::history::{Action, Event, Outcome, Persistent};
use crate::stats::derived_seed;

/// Address of the instances; the harness listens on no such port, and nobody asks about their health.
const IP: &str = "127.0.0.1";
const PORT: &str = "9";

/// How long the registers may take to be there before the run begins.
const SETUP_LIMIT: Duration = Duration::from_secs(60);

/// How many remove the registers after a run, and how long that may take.
const CLEARERS: u32 = 8;
const CLEAR_LIMIT: Duration = Duration::from_secs(20);

/// Of a hundred operations, so many set and so many remove; the others read.
const SETS: u32 = 50;
const REMOVES: u32 = 15;

/// How much of it there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RegisterPlan {
    /// Registers.
    pub(crate) count: u32,
    /// Processes at each node.
    pub(crate) processes: u32,
    /// Pause of a process between two operations.
    pub(crate) pause: Duration,
}

/// The registers of one run and who works on them.
pub(crate) struct Registers {
    pub(crate) plan: RegisterPlan,
    pub(crate) servers: Vec<Server>,
    /// One service for each register.
    pub(crate) population: Population,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) seed: u64,
    /// Operations so far, the newest value, and the newest process.
    pub(crate) turns: AtomicU32,
    pub(crate) values: AtomicU64,
    pub(crate) processes: AtomicU32,
}

/// The value in an answer, wherever metadata are.
#[derive(Deserialize)]
struct Held {
    #[serde(default)]
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    value: Option<String>,
}

impl Registers {
    /// Creates the services behind half of the registers, each with an instance that nobody touches: an empty service is
    /// removed by the servers themselves after two minutes (`compat/spec/naming-api.md` §16).
    ///
    /// # Errors
    /// When no server does so in time.
    pub(crate) async fn prepare(&self) -> Result<()> {
        let began = Instant::now();
        for register in (0..self.plan.count).filter(|it| !is_instance(*it)) {
            let name = self.population.service_name(register);
            let occupant = [("serviceName", name), ("ip", IP), ("port", PORT), ("ephemeral", "false")];
            for (path, query) in [("/v1/ns/service", &occupant[..1]), ("/v1/ns/instance", &occupant)] {
                while let Err(said) = self.try_each(Method::POST, path, query).await {
                    if began.elapsed() > SETUP_LIMIT {
                        bail!("no node takes persistent data: {said}");
                    }
                    sleep(Duration::from_millis(500)).await;
                }
            }
        }
        Ok(())
    }

    /// Creates or removes something at the first server that does it, or that says it is done.
    async fn try_each(&self, method: Method, path: &str, query: &[(&str, &str)]) -> Result<(), String> {
        let mut said = String::from("there is no server");
        for (_, client) in &self.servers {
            let call =
                call(method.clone(), client.context(), path, query, Expect::Any).map_err(|error| error.to_string())?;
            match client.send(&call).await {
                Ok(_) => return Ok(()),
                Err(ClientError::Refused { body, .. }) if says_done(&method, &body) => return Ok(()),
                Err(error) => said = error.to_string(),
            }
        }
        Err(said)
    }

    /// Works on the registers until told to stop.
    pub(crate) async fn run(self: Arc<Self>, over: CancellationToken) {
        let mut workers = JoinSet::new();
        for at in 0..self.servers.len() {
            for worker in 0..self.plan.processes {
                let (this, over) = (self.clone(), over.clone());
                workers.spawn(async move { this.work(at, worker, over).await });
            }
        }
        while workers.join_next().await.is_some() {}
    }

    async fn work(&self, at: usize, worker: u32, over: CancellationToken) {
        let parts = ["register worker", &at.to_string(), &worker.to_string()];
        let mut random = StdRng::seed_from_u64(derived_seed(self.seed, &parts));
        let mut process = self.new_process();
        loop {
            tokio::select! {
                () = sleep(self.plan.pause) => {}
                () = over.cancelled() => return,
            }
            let turn = self.turns.fetch_add(1, Ordering::Relaxed);
            let register = turn % self.plan.count.max(1);
            let action = match random.random_range(0..100) {
                // What nobody overwrites cannot be lost unseen: each register is set once before anything else is done.
                _ if turn < self.plan.count => Action::Set(self.values.fetch_add(1, Ordering::Relaxed)),
                it if it < SETS => Action::Set(self.values.fetch_add(1, Ordering::Relaxed)),
                it if it < SETS + REMOVES => Action::Remove,
                _ => Action::Read,
            };
            // Nobody knows whether it still acts: whoever goes on is somebody else.
            if self.act(process, at, register, action).await == Outcome::Indefinite {
                process = self.new_process();
            }
        }
    }

    /// Reads every register at every node, one after the other.
    pub(crate) async fn read_all(&self) {
        for at in 0..self.servers.len() {
            let process = self.new_process();
            for register in 0..self.plan.count {
                self.act(process, at, register, Action::Read).await;
            }
        }
    }

    /// Removes all of it again, as far as the nodes do so in time: a cluster that has been through many runs would start ever
    /// more slowly, and real nodes that start slowly hang (`target::hang`).
    pub(crate) async fn clear(self: Arc<Self>) {
        let mut workers = JoinSet::new();
        for worker in 0..CLEARERS {
            let this = self.clone();
            workers.spawn(async move {
                for register in (worker..this.plan.count).step_by(CLEARERS as usize) {
                    // What stays harms nobody by itself.
                    let _ = this.remove(register).await;
                }
            });
        }
        // Whoever is not done by then ends with the set.
        let _ = timeout(CLEAR_LIMIT, async { while workers.join_next().await.is_some() {} }).await;
    }

    async fn remove(&self, register: u32) -> Result<(), String> {
        let name = self.population.service_name(register);
        let instance = [("serviceName", name), ("ip", IP), ("port", PORT), ("ephemeral", "false")];
        self.try_each(Method::DELETE, "/v1/ns/instance", &instance).await?;
        self.try_each(Method::DELETE, "/v1/ns/service", &instance[..1]).await
    }

    fn new_process(&self) -> u32 {
        self.processes.fetch_add(1, Ordering::Relaxed)
    }

    async fn act(&self, process: u32, at: usize, register: u32, action: Action) -> Outcome {
        let Some((node, client)) = self.servers.get(at) else { return Outcome::Failed };
        let name = self.population.service_name(register);
        let Ok(call) = rendered(client.context(), name, is_instance(register), action) else { return Outcome::Failed };
        let sent = self.recorder.now();
        let answer = client.send(&call).await;
        let done = self.recorder.now();
        let status = match &answer {
            Ok(reply) => Some(reply.status),
            Err(ClientError::Refused { status, .. }) => Some(*status),
            Err(_) => None,
        };
        let outcome = match (answer, action) {
            (Ok(reply), Action::Read) => match serde_json::from_slice::<Held>(&reply.body) {
                Ok(held) => Outcome::Value(held.metadata.and_then(|it| it.value?.parse().ok())),
                Err(_) => Outcome::Failed,
            },
            // An instance that is not there is told as an error (`compat/spec/naming-api.md` §6).
            (Err(ClientError::Refused { body, .. }), Action::Read) if says_absent(&body) => Outcome::Value(None),
            // A read changes nothing, so that nobody knows of it harms nobody.
            (Err(_), Action::Read) => Outcome::Failed,
            (Ok(_), _) => Outcome::Ok,
            (Err(error), _) if error.is_indefinite() => Outcome::Indefinite,
            (Err(_), _) => Outcome::Failed,
        };
        let on = if is_instance(register) { "instance" } else { "service" }.to_owned();
        let node = *node;
        self.recorder.add(Event::Persistent(Persistent {
            process,
            register,
            on,
            action,
            sent,
            done,
            node,
            status,
            outcome,
        }));
        outcome
    }
}

/// What stands behind a register.
fn is_instance(register: u32) -> bool {
    register.is_multiple_of(2)
}

/// Whether what was to be created is there, or what was to be removed is not.
fn says_done(method: &Method, body: &str) -> bool {
    let words: &[&str] = if *method == Method::POST { &["already exists"] } else { &["not exist", "not found"] };
    words.iter().any(|it| body.contains(it))
}

fn says_absent(body: &str) -> bool {
    ["no service", "no ips found", "no matched ip"].iter().any(|it| body.contains(it))
}

fn rendered(context: &str, service: &str, is_instance: bool, action: Action) -> Result<Call, ClientError> {
    let value = match action {
        Action::Set(value) => format!(r#"{{"value":"{value}"}}"#),
        Action::Remove | Action::Read => String::new(),
    };
    let mut query = vec![("serviceName", service)];
    if is_instance {
        query.extend([("ip", IP), ("port", PORT)]);
        let method = match action {
            Action::Set(_) => Method::POST,
            Action::Remove => Method::DELETE,
            Action::Read => return call(Method::GET, context, "/v1/ns/instance", &query, Expect::Any),
        };
        query.extend([("ephemeral", "false"), ("metadata", &value)]);
        return call(method, context, "/v1/ns/instance", &query, Expect::Ok);
    }
    if action == Action::Read {
        return call(Method::GET, context, "/v1/ns/service", &query, Expect::Any);
    }
    query.extend([("protectThreshold", "0"), ("metadata", &value)]);
    call(Method::PUT, context, "/v1/ns/service", &query, Expect::Ok)
}

fn call(
    method: Method,
    context: &str,
    path: &str,
    query: &[(&str, &str)],
    expect: Expect,
) -> Result<Call, ClientError> {
    Ok(Call { method, expect, ..Call::get(context, path, query)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_one_call() {
        let text = |is_instance, action| {
            let call = rendered("/nacos", "s", is_instance, action).unwrap();
            format!("{} {}", call.method, call.target)
        };
        assert_eq!(
            text(true, Action::Set(7)),
            "POST /nacos/v1/ns/instance?serviceName=s&ip=127.0.0.1&port=9&ephemeral=false&metadata=%7B%22value%22%3A%227%22%7D"
        );
        assert_eq!(text(true, Action::Read), "GET /nacos/v1/ns/instance?serviceName=s&ip=127.0.0.1&port=9");
        assert_eq!(text(false, Action::Remove), "PUT /nacos/v1/ns/service?serviceName=s&protectThreshold=0&metadata=");
        let held: Held = serde_json::from_str(r#"{"service":"s","metadata":{"value":"7"}}"#).unwrap();
        assert_eq!(held.metadata.unwrap().value.as_deref(), Some("7"));
    }
}
