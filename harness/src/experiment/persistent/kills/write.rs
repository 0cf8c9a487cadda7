//! Registers of persistent data, and writers that work on them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::Deserialize;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::client::{Call, ClientError, Instance, NacosClient};
use crate::experiment::fault::history::{Action, Event, Outcome, Persistent, Us};
use crate::experiment::loopback;

/// Pause after an operation that a node refused or whose end is not known: it is down, or there is no leader.
const PAUSE: Duration = Duration::from_millis(20);

/// Operations on one register before the writer takes another, so that registers of every age are killed over.
const OPERATIONS: u32 = 40;

/// How often a final read is tried.
const READ_TRIES: u32 = 5;

/// What all writers share.
pub(super) struct Shared {
    pub(super) clients: Vec<NacosClient>,
    pub(super) stop: CancellationToken,
    /// Operations that are sent and not answered.
    pub(super) under_way: AtomicUsize,
    tag: String,
    seed: u64,
    begun: Instant,
    events: Mutex<Vec<Event>>,
    registers: AtomicU32,
    values: AtomicU64,
    processes: AtomicU32,
    /// Acknowledged since the last restart.
    acknowledged: AtomicU64,
}

impl Shared {
    pub(super) fn new(clients: Vec<NacosClient>, tag: String, seed: u64) -> Self {
        Self {
            clients,
            stop: CancellationToken::new(),
            under_way: AtomicUsize::new(0),
            tag,
            seed,
            begun: Instant::now(),
            events: Mutex::new(Vec::new()),
            registers: AtomicU32::new(0),
            values: AtomicU64::new(1),
            processes: AtomicU32::new(0),
            acknowledged: AtomicU64::new(0),
        }
    }

    pub(super) fn now(&self) -> Us {
        self.begun.elapsed().as_micros() as Us
    }

    pub(super) fn note(&self, event: Event) {
        self.events.lock().push(event);
    }

    pub(super) fn events(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock())
    }

    /// Registers used so far; they are numbered from 0.
    pub(super) fn registers(&self) -> u32 {
        self.registers.load(Ordering::Relaxed)
    }

    pub(super) fn fresh_register(&self) -> u32 {
        self.registers.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn fresh_value(&self) -> u64 {
        self.values.fetch_add(1, Ordering::Relaxed)
    }

    /// Begins to count acknowledgements anew.
    pub(super) fn count_anew(&self) {
        self.acknowledged.store(0, Ordering::Relaxed);
    }

    /// Waits until writes are acknowledged.
    ///
    /// # Errors
    /// When none is in time.
    pub(super) async fn acknowledged_again(&self, limit: Duration) -> Result<()> {
        let begun = Instant::now();
        while self.acknowledged.load(Ordering::Relaxed) == 0 {
            ensure!(begun.elapsed() < limit, "no write was acknowledged for {} s", limit.as_secs());
            sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    fn name(&self, register: u32) -> String {
        format!("{}-{register}", self.tag)
    }

    /// Registers alternate between the metadata of an instance and of a service.
    fn is_service(register: u32) -> bool {
        register % 2 == 1
    }

    fn call(&self, client: &NacosClient, register: u32, action: Action, exists: bool) -> Result<Call, ClientError> {
        let (context, name) = (client.context(), self.name(register));
        let metadata = match action {
            Action::Set(value) => format!(r#"{{"v":"{value}"}}"#),
            Action::Remove | Action::Read => String::new(),
        };
        let instance =
            Instance { service: name.clone(), ip: loopback(register as usize), port: 8000, metadata: metadata.clone() };
        match (Self::is_service(register), action) {
            (false, Action::Set(_)) => Call::persist(context, &instance, 1),
            (false, _) => Call::forget_persistent(context, &instance),
            (true, Action::Set(_)) if exists => Call::change_service(context, &name, &metadata),
            (true, Action::Set(_)) => Call::create_service(context, &name, &metadata),
            (true, _) => Call::delete_service(context, &name),
        }
    }

    /// One operation, from sent to written down.
    pub(super) async fn write(
        &self,
        process: u32,
        node: usize,
        register: u32,
        action: Action,
        exists: bool,
    ) -> (Option<u16>, Outcome) {
        let Some(client) = self.clients.get(node) else { return (None, Outcome::Failed) };
        let Ok(call) = self.call(client, register, action, exists) else { return (None, Outcome::Failed) };
        let sent = self.now();
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let answer = client.send(&call).await;
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        let (status, outcome) = match answer {
            Ok(_) => (Some(200), Outcome::Ok),
            Err(error) => {
                let status = if let ClientError::Refused { status, .. } = &error { Some(*status) } else { None };
                // A node that is starting says 503 before it looks at the request (`compat/spec/naming-api.md` §1);
                // 200 with another body than `ok` says nothing about what was done.
                let open = error.is_indefinite() && status != Some(503) || status == Some(200);
                (status, if open { Outcome::Indefinite } else { Outcome::Failed })
            }
        };
        if outcome == Outcome::Ok {
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        self.noted(process, node, register, action, sent, status, outcome);
        (status, outcome)
    }

    #[expect(clippy::too_many_arguments, reason = "one per field of what is written down")]
    fn noted(
        &self,
        process: u32,
        node: usize,
        register: u32,
        action: Action,
        sent: Us,
        status: Option<u16>,
        outcome: Outcome,
    ) {
        let on = if Self::is_service(register) { "service" } else { "instance" }.to_owned();
        let done = self.now();
        self.note(Event::Persistent(Persistent { process, register, on, action, sent, done, node, status, outcome }));
    }

    /// What a node shows of a register.
    ///
    /// # Errors
    /// When it does not say.
    pub(super) async fn value(&self, node: usize, register: u32) -> Result<Option<u64>, ClientError> {
        #[derive(Deserialize)]
        struct Described {
            #[serde(default)]
            metadata: Option<std::collections::BTreeMap<String, String>>,
        }
        #[derive(Deserialize)]
        struct Listed {
            hosts: Vec<Described>,
        }
        let unsendable = |reason: String| ClientError::Unsendable { what: self.name(register), reason };
        let client = self.clients.get(node).ok_or_else(|| unsendable("there is no such node".to_owned()))?;
        let held = if Self::is_service(register) {
            match client.send(&Call::service(client.context(), &self.name(register))?).await {
                Ok(reply) => Some(serde_json::from_slice(&reply.body)),
                // How every version says that it does not know a service (`compat/spec/naming-api.md` §4).
                Err(ClientError::Refused { status: 500, body, .. }) if body.contains("is not found") => None,
                Err(error) => return Err(error),
            }
        } else {
            let call = Call::list(client.context(), &self.name(register), crate::client::call::Expect::Any)?;
            let listed: Result<Listed, _> = serde_json::from_slice(&client.send(&call).await?.body);
            match listed {
                Ok(listed) => listed.hosts.into_iter().next().map(Ok),
                Err(error) => Some(Err(error)),
            }
        };
        let Some(described) = held else { return Ok(None) };
        let described: Described = described.map_err(|error: serde_json::Error| unsendable(error.to_string()))?;
        let text = described.metadata.unwrap_or_default().remove("v").unwrap_or_default();
        // Something that no writer wrote is a value all the same, and never the right one.
        Ok(Some(text.parse().unwrap_or(0)))
    }

    /// Reads a register and writes down what was there.
    pub(super) async fn read(&self, node: usize, register: u32) {
        for _ in 0..READ_TRIES {
            let sent = self.now();
            if let Ok(value) = self.value(node, register).await {
                return self.noted(u32::MAX, node, register, Action::Read, sent, Some(200), Outcome::Value(value));
            }
            sleep(PAUSE).await;
        }
        self.noted(u32::MAX, node, register, Action::Read, self.now(), None, Outcome::Indefinite);
    }
}

/// One operation after the other, on one register after the other.
pub(super) struct Writer {
    shared: Arc<Shared>,
    random: StdRng,
    process: u32,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let process = shared.processes.fetch_add(1, Ordering::Relaxed);
        let random = StdRng::seed_from_u64(shared.seed ^ u64::from(process));
        Self { shared, random, process }
    }

    pub(super) async fn run(mut self) {
        while !self.shared.stop.is_cancelled() {
            self.one_register().await;
        }
    }

    async fn one_register(&mut self) {
        let register = self.shared.fresh_register();
        let mut exists = false;
        for _ in 0..OPERATIONS {
            if self.shared.stop.is_cancelled() {
                return;
            }
            let node = self.random.random_range(0..self.shared.clients.len());
            let remove = exists && self.random.random_range(0..5) == 0;
            let action = if remove { Action::Remove } else { Action::Set(self.shared.fresh_value()) };
            match self.shared.write(self.process, node, register, action, exists).await {
                (_, Outcome::Ok) => exists = !remove,
                // Refused, and not done: the register is what it was.
                (_, Outcome::Failed) => sleep(PAUSE).await,
                _ => {
                    self.process = self.shared.processes.fetch_add(1, Ordering::Relaxed);
                    sleep(PAUSE).await;
                    return;
                }
            }
        }
    }
}
