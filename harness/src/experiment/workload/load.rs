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
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde::Deserialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::ring::{self, Server};
use super::{Population, Recorder};
use crate::client::call::Expect;
use crate::client::{Call, ClientError};
use crate::experiment::fault::history::{Ended, Event, Op, OpKind};
use crate::stats::derived_seed;

/// Interval of heartbeats until a server says otherwise.
const BEAT_INTERVAL: Duration = Duration::from_secs(5);

/// Shortest interval that is obeyed: an answer must not turn a client into a flood.
const BEAT_INTERVAL_MIN: Duration = Duration::from_millis(500);

/// Clients beyond this many times the planned population are not started.
const CROWD_FACTOR: usize = 3;

/// The clients of one run, each with one instance.
#[derive(Debug)]
pub(crate) struct Load {
    /// Server lists. Client `c`, which has instance `c × services` and those up to the next client's, knows list
    /// `c % lists`.
    pub(crate) lists: Vec<Arc<[Server]>>,
    /// Context path of the servers.
    pub(crate) context: String,
    pub(crate) population: Population,
    pub(crate) recorder: Arc<Recorder>,
    /// Instances that stay to the end; the first ones.
    pub(crate) residents: u32,
    /// Registrations of them per second.
    pub(crate) fill_rate: u32,
    /// Registrations per second afterwards.
    pub(crate) rate: u32,
    /// How long those stay.
    pub(crate) stay: Stay,
    pub(crate) seed: u64,
    /// Nobody comes or goes once this is set.
    pub(crate) calm: AtomicBool,
    /// Every client ends.
    pub(crate) over: CancellationToken,
    /// Instances that were acknowledged and not yet given up.
    pub(crate) live: Mutex<BTreeSet<u32>>,
}

/// How long clients stay that do not stay to the end, and how they go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stay {
    pub(crate) lifetime: Duration,
    /// One in so many is killed, and so deregisters nothing; none at 0.
    pub(crate) dies: u32,
}

impl Load {
    /// Starts clients on schedule until the load is calm, then waits for the end.
    pub(crate) async fn run(self: Arc<Self>) {
        let began = Instant::now();
        let crowd = (self.residents as usize + (self.stay.lifetime.as_secs_f64() * f64::from(self.rate)) as usize)
            .saturating_mul(CROWD_FACTOR);
        let mut clients = JoinSet::new();
        for index in 0..u32::MAX {
            let Some(due) = self.due(index).map(|after| began + after) else { break };
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
            clients.spawn(Client::new(self.clone(), index, due).live(due));
        }
        self.over.cancelled().await;
        // A client under way records what it got; all end within one call.
        while clients.join_next().await.is_some() {}
    }

    /// How long the population takes to grow.
    pub(crate) fn fill(&self) -> Duration {
        Duration::from_secs_f64(f64::from(self.residents) / f64::from(self.fill_rate.max(1)))
    }

    /// When instance `index` is due after the beginning; never when nobody comes any more.
    fn due(&self, index: u32) -> Option<Duration> {
        match index.checked_sub(self.residents) {
            None => Some(Duration::from_secs_f64(f64::from(index) / f64::from(self.fill_rate.max(1)))),
            Some(_) if self.rate == 0 => None,
            Some(later) => Some(self.fill() + Duration::from_secs_f64(f64::from(later) / f64::from(self.rate))),
        }
    }
}

/// One simulated client.
struct Client {
    load: Arc<Load>,
    index: u32,
    servers: Arc<[Server]>,
    random: StdRng,
    light: bool,
    interval: Duration,
    /// When it goes.
    end: Option<Instant>,
    /// Whether it is killed then.
    dies: bool,
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
    fn new(load: Arc<Load>, index: u32, due: Instant) -> Self {
        let random = StdRng::seed_from_u64(derived_seed(load.seed, &["recovery client", &index.to_string()]));
        let column = (index / load.population.services().max(1)) as usize;
        let list = column.checked_rem(load.lists.len()).and_then(|at| load.lists.get(at));
        let servers = list.cloned().unwrap_or_else(|| Arc::new([]));
        let leaver = index.checked_sub(load.residents);
        let dies = leaver.and_then(|it| it.checked_rem(load.stay.dies)) == Some(0);
        let end = leaver.map(|_| due + load.stay.lifetime);
        Self { load, index, servers, random, light: false, interval: BEAT_INTERVAL, end, dies }
    }

    async fn live(mut self, due: Instant) {
        let last = self.is_last(due + self.interval);
        self.register(due, last).await;
        if last {
            return;
        }
        let (mut beat_due, mut done) = (due + self.interval, Instant::now());
        loop {
            // Once it is calm nobody leaves any more.
            let end = self.end.filter(|_| !self.dies && !self.is_calm());
            // A client does one thing at a time: what it was too busy for is due when it is done.
            let next = end.map_or(beat_due, |end| end.min(beat_due)).max(done);
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.load.over.cancelled() => return,
            }
            if end.is_some_and(|it| it <= next) {
                if self.is_calm() {
                    continue;
                }
                return self.deregister(next).await;
            }
            let last = self.is_last(next + self.interval);
            self.beat(next, last).await;
            if last {
                return;
            }
            done = Instant::now();
            beat_due = done + self.interval;
        }
    }

    fn is_calm(&self) -> bool {
        self.load.calm.load(Ordering::Relaxed)
    }

    /// Whether the client is killed before the next thing it would do. From then on nobody counts on its instance.
    fn is_last(&self, next: Instant) -> bool {
        let last = self.dies && self.end.is_some_and(|end| end < next) && !self.is_calm();
        if last {
            self.load.live.lock().remove(&self.index);
        }
        last
    }

    async fn register(&mut self, due: Instant, last: bool) {
        let instance = self.load.population.instance(self.index);
        let call = Call::register(&self.load.context, &instance, 1);
        self.perform(OpKind::Register, due, call, last).await;
    }

    async fn deregister(&mut self, due: Instant) {
        self.load.live.lock().remove(&self.index);
        let instance = self.load.population.instance(self.index);
        let call = Call::deregister(&self.load.context, &instance);
        self.perform(OpKind::Deregister, due, call, false).await;
    }

    async fn beat(&mut self, due: Instant, last: bool) {
        let instance = self.load.population.instance(self.index);
        let call = match self.light {
            true => Call::beat_light(&self.load.context, &instance),
            false => Call::beat_full(&self.load.context, &instance),
        };
        // 20404 is an answer like any other here.
        let call = call.map(|call| Call { expect: Expect::Any, ..call });
        let Some(answer) = self.perform(OpKind::Beat, due, call, last).await else { return };
        self.light = answer.light_beat_enabled;
        if answer.client_beat_interval > 0 {
            self.interval = Duration::from_millis(answer.client_beat_interval).max(BEAT_INTERVAL_MIN);
        }
        if answer.code == 20404 && !last {
            self.register(Instant::now(), false).await;
        }
    }

    /// Sends a call round the servers and records how it ended; the answer to a heartbeat comes back.
    async fn perform(
        &mut self,
        kind: OpKind,
        due: Instant,
        call: Result<Call, ClientError>,
        last: bool,
    ) -> Option<BeatAnswer> {
        let call = call.ok()?;
        let recorder = self.load.recorder.clone();
        let sent = recorder.now();
        let round = ring::round(&self.servers, &mut self.random, &recorder, &call).await;
        let is_yes = round.reply.is_some();
        let beat: Option<BeatAnswer> =
            round.reply.filter(|_| kind == OpKind::Beat).and_then(|reply| serde_json::from_slice(&reply.body).ok());
        let ended = match (is_yes, &beat, kind) {
            (false, _, _) | (_, None, OpKind::Beat) => Ended::Failed,
            (_, Some(beat), _) if beat.code == 20404 => Ended::Unknown,
            (_, Some(beat), _) if beat.code != 10200 => Ended::Failed,
            _ => Ended::Acknowledged,
        };
        if ended == Ended::Acknowledged && kind != OpKind::Deregister && !last {
            self.load.live.lock().insert(self.index);
        }
        let (instance, due, done) = (self.index, recorder.at(due), recorder.now());
        let (tries, indefinite) = (round.tries, round.indefinite);
        recorder.add(Event::Op(Op { kind, instance, due, sent, done, tries, ended, indefinite, last }));
        beat
    }
}
