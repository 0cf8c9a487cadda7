//! Simulated clients: each owns one instance and does what the official Java client 1.4.1 does for it
//! (`compat/spec/health-and-push.md` §6.1).
//!
//! Every call begins at a random server of the list and goes round it, each server once, until one says yes; whatever
//! is not a yes moves on. The first heartbeat comes one interval after the registration and carries the whole
//! instance until an answer allows the light form; an answer of 20404 makes the client register at once. A
//! registration that no server takes is left to the next heartbeat, as the official client leaves it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::Deserialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::history::{Ended, Event, Op, OpKind};
use super::population::Population;
use super::recorder::Recorder;
use crate::client::call::Expect;
use crate::client::{Call, ClientError, NacosClient};
use crate::stats::derived_seed;

/// Interval of heartbeats until a server says otherwise.
const BEAT_INTERVAL: Duration = Duration::from_secs(5);

/// Shortest interval that is obeyed: an answer must not turn a client into a flood.
const BEAT_INTERVAL_MIN: Duration = Duration::from_millis(500);

/// Clients beyond this many times the planned population are not started.
const CROWD_FACTOR: usize = 3;

/// The load of one run.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) clients: Vec<Arc<NacosClient>>,
    pub(super) population: Population,
    pub(super) recorder: Arc<Recorder>,
    /// Registrations per second.
    pub(super) rate: u32,
    /// Instances that stay to the end; the first ones.
    pub(super) residents: u32,
    /// How long the others stay.
    pub(super) lifetime: Duration,
    pub(super) seed: u64,
    /// Nobody comes or goes once this is set.
    pub(super) calm: AtomicBool,
    /// Every client ends.
    pub(super) over: CancellationToken,
    /// Instances that were acknowledged and not yet given up.
    pub(super) live: Mutex<BTreeSet<u32>>,
}

impl Load {
    /// Starts clients on schedule until the load is calm, then waits for the end.
    pub(super) async fn run(self: Arc<Self>) {
        let began = Instant::now();
        let crowd = (self.residents as usize + (self.lifetime.as_secs_f64() * f64::from(self.rate)) as usize)
            .saturating_mul(CROWD_FACTOR);
        let mut clients = JoinSet::new();
        for index in 0..u32::MAX {
            let due = began + Duration::from_secs_f64(f64::from(index) / f64::from(self.rate.max(1)));
            tokio::select! {
                () = sleep_until(due) => {}
                () = self.over.cancelled() => break,
            }
            if self.calm.load(Ordering::Relaxed) {
                break;
            }
            while clients.try_join_next().is_some() {}
            if clients.len() >= crowd {
                self.recorder.add(Event::Unsent { due: self.recorder.at(due) });
                continue;
            }
            let end = (index >= self.residents).then(|| due + self.lifetime);
            clients.spawn(Client::new(self.clone(), index).live(due, end));
        }
        self.over.cancelled().await;
        // A client under way records what it got; all end within one call.
        while clients.join_next().await.is_some() {}
    }
}

/// One simulated client.
struct Client {
    load: Arc<Load>,
    index: u32,
    random: StdRng,
    light: bool,
    interval: Duration,
}

/// The answer to a heartbeat, as far as clients look at it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BeatAnswer {
    #[serde(default)]
    code: u32,
    #[serde(default)]
    client_beat_interval: u64,
    #[serde(default)]
    light_beat_enabled: bool,
}

impl Client {
    fn new(load: Arc<Load>, index: u32) -> Self {
        let random = StdRng::seed_from_u64(derived_seed(load.seed, &["recovery client", &index.to_string()]));
        Self { load, index, random, light: false, interval: BEAT_INTERVAL }
    }

    async fn live(mut self, due: Instant, end: Option<Instant>) {
        self.register(due).await;
        let mut beat_due = due + self.interval;
        loop {
            // Once it is calm nobody leaves any more.
            let end = end.filter(|_| !self.load.calm.load(Ordering::Relaxed));
            let next = end.map_or(beat_due, |end| end.min(beat_due));
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.load.over.cancelled() => return,
            }
            if end == Some(next) {
                if self.load.calm.load(Ordering::Relaxed) {
                    continue;
                }
                return self.deregister(next).await;
            }
            self.beat(next).await;
            beat_due = Instant::now() + self.interval;
        }
    }

    async fn register(&mut self, due: Instant) {
        let instance = self.load.population.instance(self.index);
        let call = Call::register(self.context(), &instance, 1);
        self.perform(OpKind::Register, due, call).await;
    }

    async fn deregister(&mut self, due: Instant) {
        self.load.live.lock().remove(&self.index);
        let instance = self.load.population.instance(self.index);
        let call = Call::deregister(self.context(), &instance);
        self.perform(OpKind::Deregister, due, call).await;
    }

    async fn beat(&mut self, due: Instant) {
        let instance = self.load.population.instance(self.index);
        let call = match self.light {
            true => Call::beat_light(self.context(), &instance),
            false => Call::beat_full(self.context(), &instance),
        };
        // 20404 is an answer like any other here.
        let call = call.map(|call| Call { expect: Expect::Any, ..call });
        let Some(answer) = self.perform(OpKind::Beat, due, call).await else { return };
        self.light = answer.light_beat_enabled;
        if answer.client_beat_interval > 0 {
            self.interval = Duration::from_millis(answer.client_beat_interval).max(BEAT_INTERVAL_MIN);
        }
        if answer.code == 20404 {
            self.register(Instant::now()).await;
        }
    }

    fn context(&self) -> &str {
        self.load.clients.first().map_or("", |it| it.context())
    }

    /// Sends a call round the servers and records how it ended; the answer to a heartbeat comes back.
    async fn perform(&mut self, kind: OpKind, due: Instant, call: Result<Call, ClientError>) -> Option<BeatAnswer> {
        let call = call.ok()?;
        let count = self.load.clients.len();
        let first = self.random.random_range(0..count.max(1));
        let recorder = self.load.recorder.clone();
        let sent = recorder.now();
        let (mut attempts, mut indefinite, mut answered) = (0, false, None);
        for (node, client) in self.load.clients.iter().enumerate().cycle().skip(first).take(count) {
            attempts += 1;
            match client.send(&call).await {
                Ok(reply) => {
                    answered = Some((node, reply));
                    break;
                }
                Err(error) => indefinite |= error.is_indefinite(),
            }
        }
        let node = answered.as_ref().map(|(node, _)| *node);
        let beat: Option<BeatAnswer> =
            answered.filter(|_| kind == OpKind::Beat).and_then(|(_, reply)| serde_json::from_slice(&reply.body).ok());
        let ended = match (node, &beat, kind) {
            (None, _, _) | (_, None, OpKind::Beat) => Ended::Failed,
            (_, Some(beat), _) if beat.code == 20404 => Ended::Unknown,
            (_, Some(beat), _) if beat.code != 10200 => Ended::Failed,
            _ => Ended::Acknowledged,
        };
        if ended == Ended::Acknowledged && kind != OpKind::Deregister {
            self.load.live.lock().insert(self.index);
        }
        let (instance, due, done) = (self.index, recorder.at(due), recorder.now());
        recorder.add(Event::Op(Op { kind, instance, due, sent, done, node, attempts, ended, indefinite }));
        beat
    }
}
