//! Requests on their way: how long they take, and what becomes of them.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use rand::distr::uniform::{SampleRange, SampleUniform};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::checks::Checks;
use super::place::{Process, Turns, elapsed_ms, place};
use super::plan::Plan;
use crate::http::{pipeline, routes};
use crate::node::Node;
use crate::peer_http::{AnswerBody, Call, PeerError};

/// Where clients are.
pub(super) const OUTSIDE: usize = usize::MAX;
/// The port of the first node.
pub(super) const FIRST_PORT: u16 = 9_001;

type Answer = Result<http::Response<AnswerBody>, PeerError>;

/// A running node, as far as others see it.
#[derive(Clone)]
pub(super) struct Host {
    pub(super) process: Arc<Process>,
    pub(super) node: Arc<Node>,
}

/// The network of one world.
pub(super) struct Network {
    plan: Plan,
    router: routes::Router,
    pub(super) checks: Checks,
    pub(super) turns: Turns,
    state: Mutex<State>,
}

struct State {
    rng: SmallRng,
    hosts: BTreeMap<usize, Host>,
    /// From where to where nothing gets through, and how many faults say so.
    cut: HashMap<(usize, usize), u32>,
    cuts: u64,
    /// What a node's requests and answers take besides, ms.
    slow: HashMap<usize, u64>,
    calm: bool,
    /// What nodes replicate is not delivered.
    hiccups: bool,
    requests: u64,
    /// A digest of all that happened, and when.
    trace: DefaultHasher,
    log: Option<Vec<String>>,
}

/// What is drawn for one way.
enum Way {
    Takes(Duration),
    /// Nothing is ever heard of it.
    Silent,
    /// The connection breaks.
    Breaks,
}

impl Network {
    pub(super) fn new(plan: Plan, seed: u64, told: bool) -> Arc<Self> {
        Arc::new(Network {
            router: routes::Router::new(routes::all()),
            checks: Checks::new(&plan),
            turns: Turns::new(seed),
            plan,
            state: Mutex::new(State {
                rng: SmallRng::seed_from_u64(seed),
                hosts: BTreeMap::new(),
                cut: HashMap::new(),
                cuts: 0,
                slow: HashMap::new(),
                calm: false,
                hiccups: false,
                requests: 0,
                trace: DefaultHasher::new(),
                log: told.then(Vec::new),
            }),
        })
    }

    pub(super) fn random<T: SampleUniform>(&self, range: impl SampleRange<T>) -> T {
        self.state.lock().rng.random_range(range)
    }

    /// Runs what belongs to no node. A panic is a violation: tokio would swallow it.
    pub(super) fn spawn(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        let network = Arc::clone(self);
        tokio::spawn(async move {
            if AssertUnwindSafe(work).catch_unwind().await.is_err() {
                network.checks.violated("a panic outside of any node".to_owned());
            }
        });
    }

    /// Writes down what happens now.
    pub(super) fn tell(&self, what: impl FnOnce() -> String) {
        let mut state = self.state.lock();
        let text = format!("{:>7} {}", elapsed_ms(), what());
        text.hash(&mut state.trace);
        if let Some(log) = &mut state.log {
            log.push(text);
        }
    }

    /// Writes down what is no part of the digest: it holds names that nodes make up.
    fn note(&self, what: impl FnOnce() -> String) {
        if let Some(log) = &mut self.state.lock().log {
            log.push(format!("{:>7} {}", elapsed_ms(), what()));
        }
    }

    pub(super) fn log(&self) -> Vec<String> {
        self.state.lock().log.clone().unwrap_or_default()
    }

    /// Requests so far, and the digest of all that happened.
    pub(super) fn summary(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.requests, state.trace.finish())
    }

    pub(super) fn open(&self, node: usize, host: Host) {
        self.state.lock().hosts.insert(node, host);
    }

    /// Nothing listens there any more.
    pub(super) fn close(&self, node: usize) -> Option<Host> {
        self.state.lock().hosts.remove(&node)
    }

    pub(super) fn host(&self, node: usize) -> Option<Host> {
        self.state.lock().hosts.get(&node).cloned()
    }

    pub(super) fn cut(&self, from: usize, to: usize) {
        let mut state = self.state.lock();
        *state.cut.entry((from, to)).or_default() += 1;
        state.cuts += 1;
    }

    /// How often something was cut.
    pub(super) fn cuts(&self) -> u64 {
        self.state.lock().cuts
    }

    pub(super) fn mend(&self, from: usize, to: usize) {
        let mut state = self.state.lock();
        if let Some(count) = state.cut.get_mut(&(from, to)) {
            *count = count.saturating_sub(1);
        }
    }

    pub(super) fn slow(&self, node: usize, ms: u64) {
        self.state.lock().slow.insert(node, ms);
    }

    /// No more loss and no cuts.
    pub(super) fn calm(&self) {
        let mut state = self.state.lock();
        state.calm = true;
        state.cut.clear();
        state.slow.clear();
    }

    pub(super) fn hiccups(&self, on: bool) {
        self.state.lock().hiccups = on;
    }

    pub(super) fn is_cut(&self, from: usize, to: usize) -> bool {
        self.state.lock().cut.get(&(from, to)).is_some_and(|count| *count > 0)
    }

    pub(super) fn is_calm(&self) -> bool {
        self.state.lock().calm
    }

    pub(super) fn is_slow(&self, node: usize) -> bool {
        self.state.lock().slow.get(&node).is_some_and(|ms| *ms > 0)
    }

    fn draw(&self, from: usize, to: usize) -> Way {
        let cut = self.is_cut(from, to);
        let mut state = self.state.lock();
        let slow = [from, to].iter().filter_map(|node| state.slow.get(node)).max().copied().unwrap_or_default();
        let (calm, rng) = (state.calm, &mut state.rng);
        let chance = rng.random_range(0..1000);
        let most = match rng.random_range(0..1000) < self.plan.late && !calm {
            true => self.plan.late_ms_max,
            false => self.plan.delay_ms_max,
        };
        let takes = Duration::from_micros(rng.random_range(100..=most * 1000)) + Duration::from_millis(slow);
        if cut || !calm && chance < self.plan.lost {
            Way::Silent
        } else if !calm && chance < self.plan.lost + self.plan.broken {
            Way::Breaks
        } else {
            Way::Takes(takes)
        }
    }

    /// Connects, and says nothing.
    pub(super) async fn reach(&self, from: usize, address: &str, limit: Duration) -> Result<(), PeerError> {
        let to = index(address).ok_or(PeerError::Refused)?;
        let connecting = async {
            match (self.draw(from, to), self.is_cut(to, from)) {
                (Way::Takes(takes), false) => sleep(takes).await,
                _ => std::future::pending().await,
            }
        };
        timeout(limit, connecting).await.map_err(|_| PeerError::ConnectTimeout)?;
        self.host(to).map(drop).ok_or(PeerError::Refused)
    }

    /// Sends a call on its way. That goes on when nobody waits any more. Boxed, because an answer may take further calls.
    pub(super) fn call(self: &Arc<Self>, from: usize, call: Call, connect_timeout: Duration) -> BoxFuture<'_, Answer> {
        async move {
            let (answer, answered) = oneshot::channel();
            self.spawn(Arc::clone(self).travel(from, call, connect_timeout, answer));
            match answered.await {
                Ok(answer) => answer,
                // Silence, for as long as the caller likes.
                Err(_) => std::future::pending().await,
            }
        }
        .boxed()
    }

    async fn travel(self: Arc<Self>, from: usize, call: Call, connect: Duration, mut answer: oneshot::Sender<Answer>) {
        let Some(to) = index(authority(&call.url)) else { return };
        let number = self.number();
        let open = self.checks.begins(&call);
        if self.state.lock().hiccups && call.url.contains("/distro/") {
            return drop(answer.send(Err(broken())));
        }
        match self.draw(from, to) {
            Way::Takes(takes) => sleep(takes).await,
            Way::Breaks => return drop(answer.send(Err(broken()))),
            // On a kept connection the request is silently lost, a new one is not made.
            Way::Silent if self.random(0..2) == 0 => return answer.closed().await,
            Way::Silent => {
                sleep(connect).await;
                return drop(answer.send(Err(PeerError::ConnectTimeout)));
            }
        }
        if self.is_cut(from, to) {
            return answer.closed().await;
        }
        let Some(host) = self.host(to) else {
            return drop(answer.send(Err(PeerError::Refused)));
        };
        let Some(done) = self.serve(from, to, number, &host, &call, &mut answer).await else {
            return drop(answer.send(Err(broken())));
        };
        let others: Vec<Host> = {
            let state = self.state.lock();
            state.hosts.iter().filter(|(other, _)| **other != to).map(|(_, host)| host.clone()).collect()
        };
        self.checks.ended(&call, &open, (to, &host.node), done.status().as_u16(), &others);
        drop(open);
        match self.draw(to, from) {
            Way::Takes(takes) => sleep(takes).await,
            Way::Breaks => return drop(answer.send(Err(broken()))),
            Way::Silent => return answer.closed().await,
        }
        match self.is_cut(to, from) {
            true => answer.closed().await,
            false => drop(answer.send(Ok(done))),
        }
    }

    fn number(&self) -> u64 {
        let mut state = self.state.lock();
        state.requests += 1;
        state.requests
    }

    /// What the node answers; `None` when the connection broke.
    async fn serve(
        &self,
        from: usize,
        to: usize,
        number: u64,
        host: &Host,
        call: &Call,
        answer: &mut oneshot::Sender<Answer>,
    ) -> Option<http::Response<AnswerBody>> {
        let path = call.url.splitn(4, '/').nth(3).unwrap_or_default();
        let mut request = http::Request::builder().method(call.method.clone()).uri(format!("/{path}")).body(()).ok()?;
        *request.headers_mut() = call.headers.clone();
        request.headers_mut().entry("host").or_insert(http::HeaderValue::from_static("node"));
        self.tell(|| format!("#{number} {} > {to}: {} /{path}", name(from), call.method));
        let is_list = path.contains("/distro/datum") || path.contains("/distro/tandem/changes");
        if is_list {
            self.note(|| format!("#{number} takes {}", in_short(&call.body)));
        }
        let (parts, ()) = request.into_parts();
        let (node, body) = (Arc::clone(&host.node), call.body.clone());
        let network = Arc::clone(&host.process.network);
        let peer = SocketAddr::from(([127, 0, 0, 1], 40_000));
        let process = Some(Arc::clone(&host.process));
        let work = async move { pipeline::handle(&node, &network.router, parts, body, peer).await };
        let mut handling = tokio::spawn(place(process, work));
        let hang_up = async {
            match self.plan.hang_ups {
                true => answer.closed().await,
                false => std::future::pending().await,
            }
        };
        let response = tokio::select! {
            biased;
            response = &mut handling => response.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())),
            () = host.process.died.cancelled() => return None,
            () = hang_up => {
                handling.abort();
                self.tell(|| format!("#{number} hung up"));
                return None;
            }
        };
        self.tell(|| format!("#{number} {} {}", response.status, response.body.len()));
        if is_list {
            self.note(|| format!("#{number} gives {}", in_short(&response.body)));
        }
        let mut answer = http::Response::new(AnswerBody::Whole(response.body));
        *answer.status_mut() = http::StatusCode::from_u16(response.status).ok()?;
        Some(answer)
    }
}

/// A body without what is the same in all of them.
fn in_short(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let same = [
        "\"weight\":1.0,",
        "\"enabled\":true,",
        "\"ephemeral\":true,",
        "\"clusterName\":\"DEFAULT\",",
        "\"marked\":false,",
        "\"app\":\"DEFAULT\",",
        "\"instanceHeartBeatInterval\":5000,",
        "\"instanceHeartBeatTimeOut\":15000,",
        "\"ipDeleteTimeout\":30000",
        "\"ip\":\"10.0.0.1\",",
    ];
    same.into_iter().fold(text.into_owned(), |text, part| text.replace(part, ""))
}

fn broken() -> PeerError {
    PeerError::Transport("connection reset".to_owned())
}

fn name(node: usize) -> String {
    if node == OUTSIDE { "client".to_owned() } else { node.to_string() }
}

fn authority(url: &str) -> &str {
    url.trim_start_matches("http://").split('/').next().unwrap_or_default()
}

/// The node at an address.
pub(super) fn index(address: &str) -> Option<usize> {
    let port: u16 = address.rsplit_once(':')?.1.parse().ok()?;
    port.checked_sub(FIRST_PORT).map(usize::from)
}

/// The address of a node.
pub(super) fn address(node: usize) -> String {
    format!("127.0.0.1:{}", usize::from(FIRST_PORT) + node)
}
