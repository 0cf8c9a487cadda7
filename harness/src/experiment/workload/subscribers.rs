//! Subscribers of pushes that do what the official Java client does: they ask a server for their service, name their UDP
//! port with it, ask again as often as the answer says, and acknowledge what is pushed
//! (`compat/spec/health-and-push.md` §6.1).

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde::Deserialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::ring::{self, Server};
use super::{Population, PushSocket, Recorder};
use crate::client::Call;
use crate::experiment::fault::history::{Ended, Event, Op, OpKind, Push};
use crate::stats::derived_seed;

/// Until the first repetition, and after an answer without instances or none at all; doubled each time.
const POLL_FIRST: Duration = Duration::from_secs(1);

/// How often it is doubled at most.
const DOUBLED_MAX: u32 = 6;

/// Longest pause between two questions, whatever an answer says.
const POLL_MAX: Duration = Duration::from_secs(60);

/// How long one wait for a packet takes; only bounds how fast a subscriber ends.
const LISTEN: Duration = Duration::from_secs(1);

/// The subscribers of one run; subscriber `i` takes service `i % services` and server list `i % lists`.
pub(crate) struct Subscribers {
    pub(crate) count: u32,
    pub(crate) lists: Vec<Arc<[Server]>>,
    pub(crate) population: Population,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) seed: u64,
}

/// A list answer, as far as the pace of questions depends on it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(default)]
    cache_millis: u64,
    #[serde(default)]
    hosts: Vec<serde::de::IgnoredAny>,
}

impl Subscribers {
    /// Subscribes and listens until told to stop.
    pub(crate) async fn run(self: Arc<Self>, over: CancellationToken) {
        let mut all = JoinSet::new();
        for number in 0..self.count {
            let list = (number as usize).checked_rem(self.lists.len()).and_then(|at| self.lists.get(at));
            let Some(servers) = list.filter(|it| !it.is_empty()).cloned() else { continue };
            let (this, over) = (self.clone(), over.clone());
            all.spawn(async move {
                let Some(address) = servers.first().map(|it| it.1.address().to_owned()) else { return };
                // Without a port there are no pushes, and the history shows that there were none.
                let Ok(socket) = PushSocket::open(&address).await else { return };
                tokio::select! {
                    () = this.ask(number, &servers, &socket) => {}
                    () = this.listen(number, &servers, &socket) => {}
                    () = over.cancelled() => {}
                }
            });
        }
        while all.join_next().await.is_some() {}
    }

    async fn ask(&self, number: u32, servers: &[Server], socket: &PushSocket) {
        let mut random = StdRng::seed_from_u64(derived_seed(self.seed, &["subscriber", &number.to_string()]));
        let name = self.population.service_name(number % self.population.services().max(1));
        let (mut due, mut doubled) = (Instant::now(), 0);
        loop {
            sleep_until(due).await;
            let context = servers.first().map_or("", |it| it.1.context());
            let to = socket.address();
            let Ok(call) = Call::subscribe(context, name, &to.ip().to_string(), to.port()) else { return };
            let sent = self.recorder.now();
            let round = ring::round(servers, &mut random, &self.recorder, &call).await;
            let answer = round.reply.and_then(|it| serde_json::from_slice::<Answer>(&it.body).ok());
            self.recorder.add(Event::Op(Op {
                kind: OpKind::Query,
                instance: number,
                due: self.recorder.at(due),
                sent,
                done: self.recorder.now(),
                tries: round.tries,
                ended: if answer.is_some() { Ended::Acknowledged } else { Ended::Failed },
                indefinite: false,
                last: false,
            }));
            let pause = match answer.filter(|it| !it.hosts.is_empty()) {
                Some(answer) => {
                    doubled = 0;
                    Duration::from_millis(answer.cache_millis).clamp(POLL_FIRST, POLL_MAX)
                }
                None => {
                    let pause = POLL_FIRST * 2u32.pow(doubled);
                    doubled = (doubled + 1).min(DOUBLED_MAX);
                    pause.min(POLL_MAX)
                }
            };
            due = Instant::now() + pause;
        }
    }

    async fn listen(&self, number: u32, servers: &[Server], socket: &PushSocket) {
        let service = number % self.population.services().max(1);
        loop {
            let Some(pushed) = socket.next(LISTEN).await else { continue };
            let mut present: Vec<u32> =
                pushed.listing.hosts.iter().filter_map(|it| self.population.read_address(&it.ip, it.port)).collect();
            present.sort_unstable();
            present.dedup();
            let from = pushed.from.to_string();
            // Where all nodes share one address, nobody can say which one it was.
            let mut of_address = servers.iter().filter(|it| it.1.address().starts_with(&format!("{from}:")));
            let node = of_address.next().map(|it| it.0).filter(|_| of_address.next().is_none());
            let at = self.recorder.at(pushed.at);
            let last_ref_time = u64::try_from(pushed.last_ref_time).unwrap_or_default();
            self.recorder.add(Event::Push(Push { at, node, subscriber: number, service, last_ref_time, present }));
        }
    }
}
