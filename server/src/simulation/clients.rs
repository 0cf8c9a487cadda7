//! Clients as official ones: they register, beat every 5 s, register again when they are not known, ask another server
//! when one does not answer, and leave or die.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{HeaderMap, HeaderValue, USER_AGENT};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, sleep, timeout};

use super::checks::{CLIENT_IP, port};
use super::network::{Network, OUTSIDE, address};
use super::plan::Plan;
use crate::peer_http::{Call, read};

/// Time between two beats.
const BEAT: Duration = Duration::from_secs(5);
/// How long a client waits for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(4);
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// Rounds over all servers before a client gives a deregistration up.
const LEAVE_ROUNDS: usize = 3;

/// One client of a world.
pub(super) struct Client {
    number: usize,
    plan: Plan,
    network: Arc<Network>,
    rng: SmallRng,
    server: usize,
    /// Changes with every registration.
    version: u64,
}

impl Client {
    pub(super) fn new(number: usize, plan: Plan, network: Arc<Network>) -> Self {
        let seed = network.random(0..u64::MAX);
        let mut rng = SmallRng::seed_from_u64(seed);
        let server = rng.random_range(0..plan.nodes);
        Client { number, plan, network, rng, server, version: 0 }
    }

    /// Lives; the clients of the first service for good.
    pub(super) async fn run(mut self) {
        let stays = self.number.is_multiple_of(self.plan.services);
        self.pause(0, 2_000).await;
        while !self.network.is_calm() || stays {
            self.register().await;
            let stay = self.rng.random_range(1_000..=self.plan.stay_ms_max);
            self.beat((!stays).then(|| Instant::now() + Duration::from_millis(stay))).await;
            match self.rng.random_range(0..10) {
                0..3 => {
                    self.network.tell(|| format!("client {} dies", self.number));
                    self.network.checks.died(self.number);
                }
                3..8 => self.leave().await,
                // An application that is started anew.
                _ => {
                    self.leave().await;
                    continue;
                }
            }
            self.pause(500, 15_000).await;
        }
    }

    async fn pause(&mut self, least: u64, most: u64) {
        let ms = self.rng.random_range(least..=most);
        sleep(Duration::from_millis(ms)).await;
    }

    async fn register(&mut self) {
        self.version += 1;
        self.network.checks.is_unsure(self.number);
        while self.ask_all(Method::POST, "", &format!("&metadata=v%3D{}", self.version)).await.is_none() {
            self.pause(300, 1_000).await;
        }
        self.network.checks.beats(self.number);
    }

    /// Beats until then, or for ever; for ever too when the faults are over.
    async fn beat(&mut self, until: Option<Instant>) {
        loop {
            let next = Instant::now() + BEAT;
            match until {
                Some(until) if until < next && !self.network.is_calm() => {
                    tokio::time::sleep_until(until).await;
                    if !self.network.is_calm() {
                        return;
                    }
                }
                _ => tokio::time::sleep_until(next).await,
            }
            match self.ask_all(Method::PUT, "/beat", "").await {
                Some(answer) if answer.contains("20404") => {
                    let metadata = format!("&metadata=v%3D{}", self.version);
                    if self.ask_all(Method::POST, "", &metadata).await.is_some() {
                        self.network.checks.beats(self.number);
                    }
                }
                Some(_) => self.network.checks.beats(self.number),
                None => {}
            }
        }
    }

    async fn leave(&mut self) {
        self.network.checks.is_unsure(self.number);
        for _ in 0..LEAVE_ROUNDS {
            if self.ask_all(Method::DELETE, "", "").await.is_some() {
                self.network.tell(|| format!("client {} left", self.number));
                self.network.checks.left(self.number);
                return;
            }
            self.pause(100, 1_000).await;
        }
        self.network.checks.died(self.number);
    }

    /// Asks one server after the other until one answers with success.
    async fn ask_all(&mut self, method: Method, path: &str, more: &str) -> Option<String> {
        if self.plan.roaming {
            self.server = self.rng.random_range(0..self.plan.nodes);
        }
        for _ in 0..self.plan.nodes {
            if let Some(answer) = self.ask(&method, path, more).await {
                return Some(answer);
            }
            self.server = (self.server + 1) % self.plan.nodes;
        }
        None
    }

    async fn ask(&self, method: &Method, path: &str, more: &str) -> Option<String> {
        let service = self.number % self.plan.services;
        let url = format!(
            "http://{}/nacos/v1/ns/instance{path}?serviceName=service{service}&ip={CLIENT_IP}&port={}{more}",
            address(self.server),
            port(self.number)
        );
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static("Nacos-Java-Client:v1.4.1"));
        let call = Call { method: method.clone(), url, headers, body: Bytes::new() };
        let answer = timeout(ANSWER_MAX, self.network.call(OUTSIDE, call, CONNECT_MAX)).await.ok()?.ok()?;
        let is_good = answer.status() == 200;
        let body = read(answer.into_body()).await.ok()?;
        is_good.then(|| String::from_utf8_lossy(&body).into_owned())
    }
}
