//! What a cluster is doing, while somebody tries things on it: members, agreement, and now and then how long a change
//! takes. On a terminal it is drawn in place; elsewhere a line is written when something changed.
//!
//! The terminal is never put into another mode, so there is nothing to put back but the lines themselves, which go
//! when the view is dropped.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::time::Duration;

use futures::future::join_all;
use http::{Method, Uri};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use tokio::time::Instant;

use crate::client::call::Expect;
use crate::client::{Call, Instance, NacosClient};
use crate::target::{Cluster, NodeKind};

/// Between two looks.
const LOOK_PERIOD: Duration = Duration::from_secs(2);
/// Looks from one sampled change to the next: one change every ten seconds disturbs nobody.
const LOOKS_PER_SAMPLE: u64 = 5;
/// Longest wait for a sampled change to show, or to be gone again.
const SAMPLE_LIMIT: Duration = Duration::from_secs(10);
/// Between two reads for a sampled change.
const SAMPLE_PAUSE: Duration = Duration::from_millis(2);
/// The same, once it takes long.
const SAMPLE_PAUSE_LONG: Duration = Duration::from_millis(50);
/// Samples the shown latency is made of.
const SAMPLES_KEPT: usize = 30;
/// Where there is no terminal, the latency is worth a line this often.
const PLAIN_LATENCY_PERIOD: Duration = Duration::from_secs(60);
/// The service of sampled changes.
const SAMPLE_SERVICE: &str = "tandem-up-sample";

/// One node at one look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Look {
    /// Status it reports, or nothing when it does not answer.
    status: Option<String>,
    /// How many members it sees up, of how many; nothing where it does not say.
    members: Option<(usize, usize)>,
    services: u64,
    instances: u64,
}

/// Everything that is shown.
#[derive(Debug)]
struct State {
    target: String,
    began: Instant,
    addresses: Vec<String>,
    looks: Vec<Look>,
    latencies: VecDeque<Duration>,
    /// Changes that did not show in time.
    missed: u64,
    /// Why no changes are sampled, where they are not.
    unsampled: Option<&'static str>,
}

/// Shows the cluster until it is dropped; never ends by itself.
pub(super) async fn watch(cluster: &Cluster, sample: bool) {
    let clients: Vec<NacosClient> = cluster.nodes.iter().map(NacosClient::new).collect();
    let foreign = cluster.nodes.iter().any(|it| it.kind == NodeKind::Url);
    let mut state = State {
        target: cluster.target.clone(),
        began: Instant::now(),
        addresses: cluster.nodes.iter().map(|it| it.address.clone()).collect(),
        looks: vec![Look::default(); clients.len()],
        latencies: VecDeque::new(),
        missed: 0,
        unsampled: match (sample, foreign, clients.len()) {
            (false, ..) => Some("not sampled, as asked"),
            (_, true, _) => Some("not sampled: the servers are somebody else's"),
            (_, _, 0 | 1) => Some("nothing to sample: there is one node"),
            _ => None,
        },
    };
    let mut screen = Screen::new();
    for number in 0_u64.. {
        state.looks = join_all(clients.iter().map(look)).await;
        if state.unsampled.is_none() && number % LOOKS_PER_SAMPLE == 1 {
            let writer = usize::try_from(number / LOOKS_PER_SAMPLE).unwrap_or(0) % clients.len();
            state.sampled(sample_change(&clients, writer, number).await);
        }
        screen.show(&state);
        tokio::time::sleep(LOOK_PERIOD).await;
    }
}

async fn look(client: &NacosClient) -> Look {
    let (metrics, members) = tokio::join!(client.metrics(), members(client));
    match metrics {
        Ok(it) => Look { status: Some(it.status), members, services: it.service_count, instances: it.instance_count },
        Err(_) => Look::default(),
    }
}

/// `GET /v1/core/cluster/nodes` (compat/spec/membership.md); absent in versions before 1.3.
async fn members(client: &NacosClient) -> Option<(usize, usize)> {
    #[derive(Deserialize)]
    struct Answer {
        data: Vec<Member>,
    }
    #[derive(Deserialize)]
    struct Member {
        state: String,
    }
    let target: Uri = format!("{}/v1/core/cluster/nodes", client.context()).parse().ok()?;
    let reply = client.send(&Call { method: Method::GET, target, expect: Expect::Any }).await.ok()?;
    let answer: Answer = serde_json::from_slice(&reply.body).ok()?;
    Some((answer.data.iter().filter(|it| it.state == "UP").count(), answer.data.len()))
}

/// Registers an instance at one node, waits until every node shows it, and takes it away again. The time counts from
/// the acknowledgement; nothing when some node did not show it in time.
async fn sample_change(clients: &[NacosClient], writer: usize, number: u64) -> Option<Duration> {
    let port = 1 + u16::try_from(number % 60_000).unwrap_or(0);
    let instance = Instance::kept(SAMPLE_SERVICE, "127.0.0.1".to_owned(), port, Duration::from_secs(60));
    let client = clients.get(writer)?;
    client.register(&instance).await.ok()?;
    let acknowledged = Instant::now();
    let seen = join_all(clients.iter().map(|it| shows(it, &instance, true, acknowledged))).await;
    // Also where it was not seen: it must not stay among the user's instances.
    let removed = client.deregister(&instance).await;
    if removed.is_ok() {
        let since = Instant::now();
        join_all(clients.iter().map(|it| shows(it, &instance, false, since))).await;
    }
    seen.into_iter().collect::<Option<Vec<_>>>()?.into_iter().max()
}

async fn shows(client: &NacosClient, instance: &Instance, wanted: bool, since: Instant) -> Option<Duration> {
    loop {
        let shown = client.list(&instance.service).await.ok().map(|it| it.shows(instance));
        let age = since.elapsed();
        if shown == Some(wanted) {
            return Some(age);
        }
        if age >= SAMPLE_LIMIT {
            return None;
        }
        tokio::time::sleep(if age < Duration::from_millis(100) { SAMPLE_PAUSE } else { SAMPLE_PAUSE_LONG }).await;
    }
}

impl State {
    fn sampled(&mut self, latency: Option<Duration>) {
        let Some(latency) = latency else {
            self.missed += 1;
            return;
        };
        if self.latencies.len() == SAMPLES_KEPT {
            self.latencies.pop_front();
        }
        self.latencies.push_back(latency);
    }

    /// Whether all nodes hold as many instances.
    fn agreement(&self) -> String {
        let silent = self.looks.iter().filter(|it| it.status.is_none()).count();
        let counts: Vec<u64> = self.looks.iter().filter(|it| it.status.is_some()).map(|it| it.instances).collect();
        let silence = match silent {
            0 => String::new(),
            1 => "; one node does not answer".to_owned(),
            many => format!("; {many} nodes do not answer"),
        };
        let (Some(least), Some(most)) = (counts.iter().min(), counts.iter().max()) else {
            return "no node answers".to_owned();
        };
        if least == most {
            format!("{least} instances on every node that answers{silence}")
        } else {
            format!("nodes do not agree: {least} to {most} instances{silence}")
        }
    }

    fn latency(&self) -> String {
        if let Some(reason) = self.unsampled {
            return format!("sync latency {reason}");
        }
        let mut sorted: Vec<Duration> = self.latencies.iter().copied().collect();
        sorted.sort_unstable();
        let missed = if self.missed == 0 { String::new() } else { format!("; {} did not show in time", self.missed) };
        match (sorted.get(sorted.len() / 2), sorted.last()) {
            (Some(median), Some(worst)) => format!(
                "a change shows on every node after {} (median of {}, worst {}){missed}",
                milliseconds(*median),
                sorted.len(),
                milliseconds(*worst)
            ),
            _ => format!("sync latency not sampled yet{missed}"),
        }
    }

    /// The view of a terminal, some lines.
    fn screen(&self) -> String {
        let up = self.began.elapsed().as_secs();
        let mut lines = vec![format!("{}   {} min {:02} s   Ctrl-C ends it", self.target, up / 60, up % 60)];
        let width = self.addresses.iter().map(String::len).max().unwrap_or(0);
        for (address, look) in self.addresses.iter().zip(&self.looks) {
            lines.push(format!("  {address:<width$}  {}", look.words()));
        }
        lines.push(format!("  {}", self.agreement()));
        lines.push(format!("  {}", self.latency()));
        lines.join("\n")
    }

    /// What is worth a line where nothing can be drawn in place.
    fn line(&self) -> String {
        let up = self.looks.iter().filter(|it| it.status.as_deref() == Some("UP")).count();
        format!("{up} of {} nodes UP; {}", self.looks.len(), self.agreement())
    }
}

impl Look {
    fn words(&self) -> String {
        let Some(status) = &self.status else { return "does not answer".to_owned() };
        let members = self.members.map(|(up, all)| format!("   sees {up} of {all} up")).unwrap_or_default();
        format!("{status:<8}{members}   {:>6} services   {:>6} instances", self.services, self.instances)
    }
}

/// Three digits are enough for the eye.
fn milliseconds(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1000.0;
    match ms {
        ms if ms >= 1000.0 => format!("{:.2} s", ms / 1000.0),
        ms if ms >= 10.0 => format!("{ms:.0} ms"),
        ms => format!("{ms:.2} ms"),
    }
}

/// Where it is shown.
enum Screen {
    Terminal(ProgressBar),
    Plain { said: String, latency_said: Option<Instant> },
}

impl Screen {
    fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Screen::Plain { said: String::new(), latency_said: None };
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        Screen::Terminal(bar)
    }

    fn show(&mut self, state: &State) {
        match self {
            Screen::Terminal(bar) => {
                bar.set_message(state.screen());
                bar.tick();
            }
            Screen::Plain { said, latency_said } => {
                let line = state.line();
                if line != *said {
                    eprintln!("{line}");
                    *said = line;
                }
                let due = latency_said.is_none_or(|at| at.elapsed() >= PLAIN_LATENCY_PERIOD);
                if due && !state.latencies.is_empty() {
                    eprintln!("{}", state.latency());
                    *latency_said = Some(Instant::now());
                }
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Screen::Terminal(bar) = self {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(looks: &[(Option<&str>, u64)]) -> State {
        State {
            target: "3xtandem".into(),
            began: Instant::now(),
            addresses: (0..looks.len()).map(|it| format!("127.0.0.1:{it}")).collect(),
            looks: looks
                .iter()
                .map(|(status, instances)| Look {
                    status: status.map(str::to_owned),
                    members: Some((3, 3)),
                    services: 1,
                    instances: *instances,
                })
                .collect(),
            latencies: VecDeque::new(),
            missed: 0,
            unsampled: None,
        }
    }

    #[test]
    fn agreement_speaks_only_of_nodes_that_answer() {
        let up = Some("UP");
        assert_eq!(state(&[(up, 6), (up, 6)]).agreement(), "6 instances on every node that answers");
        assert_eq!(state(&[(up, 6), (up, 5)]).agreement(), "nodes do not agree: 5 to 6 instances");
        let silent = state(&[(up, 6), (None, 0)]);
        assert_eq!(silent.agreement(), "6 instances on every node that answers; one node does not answer");
        assert_eq!(silent.line().split(';').next(), Some("1 of 2 nodes UP"));
        assert!(silent.screen().contains("127.0.0.1:1  does not answer"));
        assert_eq!(state(&[(None, 0)]).agreement(), "no node answers");
    }

    #[test]
    fn latency_is_of_the_last_samples_and_tells_what_it_missed() {
        let mut state = state(&[(Some("UP"), 1)]);
        assert_eq!(state.latency(), "sync latency not sampled yet");
        for ms in 0..100 {
            state.sampled(Some(Duration::from_millis(ms)));
        }
        state.sampled(None);
        assert_eq!(state.latencies.len(), SAMPLES_KEPT);
        let words = "a change shows on every node after 85 ms (median of 30, worst 99 ms); 1 did not show in time";
        assert_eq!(state.latency(), words);
    }
}
