//! Reports of this node to the others: they tell who we are and, by their outcome, how the other is.
//!
//! Two rhythms. Official nodes send one report per 2 s, to one member after the other, the first 5 s after their start
//! (compat/spec/membership.md §3.1); so does this node, apart from a greeting at once to every member it has not talked
//! to yet. While every other member is a Tandem node each gets a report per second instead, with a shorter timeout:
//! a silent member is then out of the ring after some 5 s rather than 17, and one that is out is knocked at more often
//! still, so that a partition that heals is noticed at once. In a mixed cluster that would only make the rings differ for
//! longer.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue};
use serde::Serialize;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use super::member::{Member, Outcome, REPORTED_VERSION};
use super::members::Members;
use crate::peer_http::{Call, PeerError, PeerHttp, read};
use crate::settings::Settings;
use crate::tasks::Tasks;

/// What official nodes send reports with, but for the length (compat/spec/membership.md §3). Their asynchronous HTTP
/// library names itself; nothing looks at it.
const HEADERS: [(&str, &str); 6] = [
    ("nacos-server", REPORTED_VERSION),
    ("content-type", "application/json;charset=UTF-8"),
    ("accept-charset", "UTF-8"),
    ("accept-encoding", "gzip"),
    ("connection", "Keep-Alive"),
    ("user-agent", "Apache-HttpAsyncClient/4.1.3 (Java/1.8.0_282)"),
];
/// Time between two reports of an official node.
const PERIOD: Duration = Duration::from_secs(2);
/// Time between two reports to the same member among Tandem nodes, and what such a report may take.
const TANDEM_PERIOD: Duration = Duration::from_secs(1);
/// The same for one that is out of the ring: what passes between a heal and the first word costs as much agreement, but
/// an answer may come from far away.
const KNOCK_PERIOD: Duration = Duration::from_millis(100);
const KNOCK_LIMIT: Duration = Duration::from_millis(250);
/// However many members there are, reports leave at most this often.
const TICK_MIN: Duration = Duration::from_millis(50);
/// First wait between greetings of a member that did not answer; doubled up to [`PERIOD`].
const GREETING_RETRY: Duration = Duration::from_millis(100);
/// Nodes started together are given this long before a refused greeting says anything.
const GREETING_GRACE: Duration = Duration::from_secs(1);
/// After this the ordinary rhythm has to do.
const GREETING_MAX: Duration = Duration::from_secs(10);

/// Sends the reports of one node.
#[derive(Debug, Clone)]
pub struct Reporter {
    members: Arc<Members>,
    http: PeerHttp,
    /// How long a member may say nothing once it is connected.
    silence: Duration,
    context_path: Arc<str>,
    tasks: Tasks,
}

impl Reporter {
    /// A reporter with the timeouts members allow each other: `nacos.http.timeout` to connect, half of it for the
    /// answer. Nothing is sent yet.
    pub fn new(members: Arc<Members>, settings: &Settings, tasks: Tasks) -> Self {
        let timeout = settings.members.timeout;
        let http = PeerHttp::new(timeout);
        Reporter { members, http, silence: timeout / 2, context_path: settings.context_path.as_str().into(), tasks }
    }

    /// Greets every member there is or comes, and keeps reporting to all.
    pub async fn run(self) {
        let mut changes = self.members.subscribe();
        let mut greeted = HashSet::new();
        let mut cursor = 0usize;
        let (mut due, mut knock) = (Instant::now() + PERIOD, Instant::now());
        loop {
            let peers = self.members.peers();
            let rhythm = Rhythm::of(&peers);
            // Official timeouts stand for the official rhythm, which knows no knocks.
            let is_out = |peer: &&Member| rhythm.timeout.is_some() && !peer.state.is_healthy();
            greeted.retain(|address| peers.iter().any(|peer| peer.address == *address));
            for peer in &peers {
                if greeted.insert(peer.address.clone()) {
                    self.tasks.spawn("greeting", self.clone().greet(peer.address.clone()));
                }
            }
            tokio::select! {
                biased;
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    // Whoever turned out to be a Tandem node may be due sooner.
                    due = due.min(Instant::now() + Rhythm::of(&self.members.peers()).tick);
                }
                () = tokio::time::sleep_until(knock), if peers.iter().any(|peer| is_out(&peer)) => {
                    knock = Instant::now() + KNOCK_PERIOD;
                    for peer in peers.iter().filter(is_out) {
                        self.tasks.spawn("knock", self.clone().knock(peer.address.clone()));
                    }
                }
                () = tokio::time::sleep_until(due) => {
                    due = Instant::now() + rhythm.tick;
                    if !peers.is_empty() {
                        // Official nodes, too, begin with the second of the sorted list.
                        cursor = (cursor + 1) % peers.len();
                        if let Some(peer) = peers.get(cursor) {
                            self.tasks.spawn("report", self.clone().report(peer.address.clone(), rhythm.timeout));
                        }
                    }
                }
            }
        }
    }

    /// Reports at short intervals until the member answered once.
    async fn greet(self, address: String) {
        let start = Instant::now();
        let mut wait = GREETING_RETRY;
        while start.elapsed() < GREETING_MAX && self.members.is_member(&address) {
            match self.send(&address, Some(TANDEM_PERIOD)).await {
                outcome @ (Outcome::Accepted | Outcome::Unsupported) => {
                    self.members.judge(&address, outcome);
                    return;
                }
                Outcome::Refused if start.elapsed() > GREETING_GRACE => {
                    self.members.judge(&address, Outcome::Refused);
                }
                // Failures count at the official pace only, or four of them would pass in half a second.
                Outcome::Refused | Outcome::Failed => {}
            }
            sleep(wait).await;
            wait = (wait * 2).min(PERIOD);
        }
    }

    async fn report(self, address: String, timeout: Option<Duration>) {
        let outcome = self.send(&address, timeout).await;
        self.members.judge(&address, outcome);
    }

    /// That it fails says nothing new, and it may have begun before the member was back.
    async fn knock(self, address: String) {
        let outcome = self.send(&address, Some(KNOCK_LIMIT)).await;
        if matches!(outcome, Outcome::Accepted | Outcome::Unsupported) {
            self.members.judge(&address, outcome);
        }
    }

    async fn send(&self, address: &str, timeout: Option<Duration>) -> Outcome {
        let Some(own) = self.members.own() else { return Outcome::Failed };
        let call = Call {
            method: http::Method::POST,
            url: format!("http://{address}{}/v1/core/cluster/report", self.context_path),
            headers: headers(),
            body: json(&own).into(),
        };
        // A connection that breaks says little: a process that dies breaks the kept ones first. Whether anybody listens
        // shows at once, and until it is known the members differ about who is responsible.
        let answer = match self.ask(call.clone(), timeout).await {
            Err(PeerError::Transport(_)) => self.ask(call, timeout).await,
            answer => answer,
        };
        match answer {
            Ok((status, body)) => {
                let outcome = Outcome::of_answer(status, &body);
                if outcome != Outcome::Accepted {
                    warn!(member = address, status, "report not accepted");
                }
                outcome
            }
            Err(PeerError::Refused) => {
                debug!(member = address, "report refused");
                Outcome::Refused
            }
            Err(error) => {
                debug!(member = address, %error, "report failed");
                Outcome::Failed
            }
        }
    }

    /// One report; status and body of the answer.
    async fn ask(&self, call: Call, timeout: Option<Duration>) -> Result<(u16, Bytes), PeerError> {
        let exchange = async {
            let answer = self.http.begin_within(call, self.silence).await?;
            let status = answer.status().as_u16();
            let body = tokio::time::timeout(self.silence, read(answer.into_body())).await;
            Ok((status, body.map_err(|_| PeerError::Timeout)??))
        };
        match timeout {
            Some(timeout) => tokio::time::timeout(timeout, exchange).await.map_err(|_| PeerError::Timeout)?,
            None => exchange.await,
        }
    }
}

fn headers() -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(HEADERS.len());
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// How often reports leave and what one may take; `None`: the client's own timeouts, which are the official ones.
#[derive(Debug, PartialEq, Eq)]
struct Rhythm {
    tick: Duration,
    timeout: Option<Duration>,
}

impl Rhythm {
    fn of(peers: &[Member]) -> Self {
        if peers.is_empty() || !peers.iter().all(Member::is_tandem) {
            return Rhythm { tick: PERIOD, timeout: None };
        }
        let peers = u32::try_from(peers.len()).unwrap_or(u32::MAX);
        Rhythm { tick: (TANDEM_PERIOD / peers).max(TICK_MIN), timeout: Some(TANDEM_PERIOD) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_member_that_dies_during_a_report_is_found_dead_at_once() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let settings = Settings { standalone: false, ..Settings::loopback("/nowhere", 9301) };
        let members = Arc::new(Members::new(&settings));
        let reporter = Reporter::new(members, &settings, Tasks::default());
        let dying = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            stream.readable().await.unwrap();
            drop(listener);
            drop(stream);
        });
        assert_eq!(reporter.send(&address, Some(TANDEM_PERIOD)).await, Outcome::Refused);
        dying.await.unwrap();
    }

    #[test]
    fn one_official_member_sets_the_official_rhythm() {
        let (tandem, official) = (Member::own("127.0.0.1", 1), Member::listed("127.0.0.1", 2));
        let slow = Rhythm { tick: PERIOD, timeout: None };
        assert_eq!(Rhythm::of(&[]), slow);
        assert_eq!(Rhythm::of(&[tandem.clone(), official]), slow);
        let fast = Rhythm::of(&[tandem.clone(), tandem]);
        assert_eq!((fast.tick, fast.timeout), (Duration::from_millis(500), Some(TANDEM_PERIOD)));
    }
}
