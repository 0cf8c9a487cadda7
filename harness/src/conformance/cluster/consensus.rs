//! The raft port and the commands of operators, asked from outside: what a real node and the subject answer to the same
//! in the same role (`compat/spec/jraft.md` §4, §14).
//!
//! A real node leads first, and the other real node and the subject are asked as followers; then the subject leads and
//! is asked what the real leader was. Nothing of this writes anything: the one question that does harm, a read sent to
//! the leader (§9), goes to the subject alone, and the real nodes must be well afterwards.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::sleep;
use tonic::Status;

use super::cast::Cast;
use super::play::{decide, open_result};
use crate::client::raft::message::{
    AppendEntriesRequest, Ask, ErrorResponse, GetFileRequest, GetLeaderRequest, GetPeersRequest, PingRequest,
    ReadIndexRequest, ReadRequest, RequestVoteRequest, WriteRequest,
};
use crate::client::raft::{ASK_LIMIT, GROUP, RaftPort};
use crate::client::{Call, Instance, NacosClient};
use crate::conformance::case::Case;
use crate::conformance::difference::Differences;
use crate::experiment::persistent::group::Group;
use crate::results::{CaseResult, Outcome};
use crate::target::Cluster;

/// Name of the area in reports.
pub const AREA: &str = "raft";

/// Official nodes look for a new leader every 5 to 10 s.
const REFRESH: Duration = Duration::from_secs(11);

/// A peer that is no member.
const STRANGER: &str = "127.0.0.1:9999";

/// A log that is further than any.
const FAR: i64 = 1 << 40;

/// What was seen of one node: case and text.
type Seen = Vec<(&'static str, String)>;

/// A method that nobody has.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Unknown {}

impl Ask for Unknown {
    const PATH: &'static str = "/foo.Bar/_call";
    type Answer = ErrorResponse;
}

/// What a real node must show for a case to say anything.
fn documented(id: &str, role: &str) -> &'static str {
    match (id, role) {
        ("B-01", _) => "{leader}",
        ("B-02", "follower") => "error -1 handleRequest internal error",
        ("B-02", _) => "{asked} {one} {two}",
        ("B-03" | "B-04", _) => "granted false, term stays",
        ("B-05", _) => "success false, current term",
        ("B-17", _) => "Not support command : nonsense",
        ("B-17g", _) => "not this raft group : nosuch",
        ("B-21", _) => "error 1012 Peer id not found",
        ("B-22", _) => "error 1015 Parse candidateId failed",
        ("B-23" | "B-24", _) => "error 1012",
        ("B-25", "leader") => "error 1008",
        ("B-26", _) => "error 1012 Fail to find reader=12345",
        ("B-27", _) => "error 0",
        ("B-28", _) => "success false: Could not find leader",
        ("B-29", _) => "success false: Could not find the corresponding Raft Group",
        ("B-30", _) => "Unimplemented",
        _ => "",
    }
}

/// Asks the real nodes and the subject in every role.
///
/// # Errors
/// When a node cannot be made the leader.
pub async fn run(
    cluster: &mut Cluster,
    real: [usize; 2],
    subject: usize,
    differences: Option<&Differences>,
) -> Result<Vec<CaseResult>> {
    let [one, two] = real;
    let group = Group::of(cluster)?;
    let members: Vec<String> = cluster.nodes.iter().map(|node| node.address.clone()).collect();
    let target = cluster.target.clone();
    let judge = |role: &'static str, expected: &Seen, observed: &Seen| -> Vec<CaseResult> {
        let cast = Cast::bare((role, [subject, two, one]), &members);
        let pair = |((id, expected), (_, observed)): (&(&'static str, String), &(&'static str, String))| {
            let mut result = open_result(&Case::bare(id), &cast, &target);
            (result.area, result.endpoint) = (AREA.to_owned(), "raft port".to_owned());
            if !expected.contains(documented(id, role)) {
                result.reason = format!("the real node did not answer as documented: {expected}");
                return result;
            }
            let found = (expected != observed).then(|| format!("`{expected}` ≠ `{observed}`"));
            decide(result, &found.into_iter().collect::<Vec<_>>(), std::slice::from_ref(observed), differences)
        };
        expected.iter().zip(observed).map(pair).collect()
    };

    group.make_leader(one).await?;
    sleep(REFRESH).await;
    let (of_real, of_subject) =
        (Asked::of(&group, two, one)?.as_follower().await, Asked::of(&group, subject, one)?.as_follower().await);
    let mut cases = judge("follower", &of_real, &of_subject);
    let (of_real, of_subject) = (operator(&group, two).await, operator(&group, subject).await);
    cases.extend(judge("operator", &of_real, &of_subject));
    let of_real = Asked::of(&group, one, one)?.as_leader().await;
    group.make_leader(subject).await?;
    sleep(REFRESH).await;
    let of_subject = Asked::of(&group, subject, subject)?.as_leader().await;
    cases.extend(judge("leader", &of_real, &of_subject));

    let own = |id: &'static str, what: Result<String, String>| {
        let cast = Cast::bare(("leader", [subject, two, one]), &members);
        let mut result = open_result(&Case::bare(id), &cast, &target);
        (result.area, result.endpoint) = (AREA.to_owned(), "raft port".to_owned());
        (result.outcome, result.reason) = match what {
            Ok(said) => (Outcome::Pass, said),
            Err(said) => (Outcome::Fail, said),
        };
        result
    };
    cases.push(own("B-12", poison(cluster, &group, subject, real).await?));
    cases.push(own("B-08", without_quorum(cluster, subject, real).await?));
    Ok(cases)
}

/// A node that is asked in a role.
struct Asked<'a> {
    port: &'a RaftPort,
    leader: String,
    others: Vec<String>,
}

impl<'a> Asked<'a> {
    fn of(group: &'a Group, node: usize, leader: usize) -> Result<Self> {
        let others = group.others(&[node]).into_iter().map(|it| Ok(group.port(it)?.peer().to_owned()));
        Ok(Self {
            port: group.port(node)?,
            leader: group.port(leader)?.peer().to_owned(),
            others: others.collect::<Result<_>>()?,
        })
    }

    /// Addresses by role, so that the answers of two nodes can be compared.
    fn normal(&self, text: &str) -> String {
        let mut text = text.replace(self.port.peer(), "{asked}").replace(&self.leader, "{leader}");
        for (other, name) in self.others.iter().zip(["{one}", "{two}"]) {
            text = text.replace(other, name);
        }
        text
    }

    fn error(&self, error: Option<ErrorResponse>) -> Option<String> {
        let error = error.filter(|it| it.error_code != 0)?;
        let text = error.error_msg.unwrap_or_default();
        // What follows is the Java object as text, with ids of log entries.
        let text = text.split("ConfigurationEntry").next().unwrap_or_default();
        Some(format!("error {} {}", error.error_code, self.normal(text).trim()))
    }

    async fn ask<Q: Ask>(&self, question: Q, text: impl Fn(Q::Answer) -> String) -> String {
        match self.port.ask(question, ASK_LIMIT).await {
            Ok(answer) => text(answer),
            Err(status) => self.normal(&words(&status)),
        }
    }

    /// The member's term: it says so to a sender of a lower one.
    async fn term(&self) -> Option<i64> {
        self.port.ask(self.append(0), ASK_LIMIT).await.ok().map(|it| it.term)
    }

    fn append(&self, term: i64) -> AppendEntriesRequest {
        AppendEntriesRequest {
            group_id: GROUP.to_owned(),
            server_id: self.others.first().cloned().unwrap_or_default(),
            peer_id: self.port.peer().to_owned(),
            term,
            prev_log_term: 0,
            prev_log_index: 0,
            committed_index: 0,
        }
    }

    fn pre_vote(&self, candidate: &str, asked: &str, term: i64) -> RequestVoteRequest {
        RequestVoteRequest {
            group_id: GROUP.to_owned(),
            server_id: candidate.to_owned(),
            peer_id: asked.to_owned(),
            term,
            last_log_term: FAR,
            last_log_index: FAR,
            pre_vote: true,
        }
    }

    /// A pre-vote of a candidate whose log is further than any, while the leader is well.
    async fn vote(&self, candidate: &str, asked: &str) -> String {
        let Some(term) = self.term().await else { return "it does not say its term".to_owned() };
        let said = self
            .ask(self.pre_vote(candidate, asked, term + 1), |it| {
                self.error(it.error_response).unwrap_or_else(|| format!("granted {}", it.granted))
            })
            .await;
        if said.starts_with("error") {
            return said;
        }
        let stays = if self.term().await == Some(term) { "term stays" } else { "term changed" };
        format!("{said}, {stays}")
    }

    async fn peers(&self, group: &str) -> String {
        let question = GetPeersRequest {
            group_id: group.to_owned(),
            leader_id: Some(self.port.peer().to_owned()),
            only_alive: None,
        };
        self.ask(question, |it| {
            self.error(it.error_response).unwrap_or_else(|| {
                let mut peers: Vec<String> = it.peers.iter().map(|peer| self.normal(peer)).collect();
                peers.sort_unstable();
                peers.join(" ")
            })
        })
        .await
    }

    async fn named_leader(&self, group: &str) -> String {
        let question = GetLeaderRequest { group_id: group.to_owned(), peer_id: Some(self.port.peer().to_owned()) };
        self.ask(question, |it| {
            let leads = if it.leader_id == self.leader { "{leader}".to_owned() } else { self.normal(&it.leader_id) };
            self.error(it.error_response).unwrap_or(leads)
        })
        .await
    }

    async fn read_index(&self, server: &str) -> String {
        let question = ReadIndexRequest {
            group_id: GROUP.to_owned(),
            server_id: server.to_owned(),
            entries: vec![Vec::new()],
            peer_id: Some(self.port.peer().to_owned()),
        };
        self.ask(question, |it| self.error(it.error_response).unwrap_or_else(|| format!("success {}", it.success)))
            .await
    }

    async fn write(&self, group: &str) -> String {
        let question =
            WriteRequest { group: group.to_owned(), operation: "Write".to_owned(), ..WriteRequest::default() };
        self.ask(question, |it| format!("success {}: {}", it.success, self.normal(&it.err_msg))).await
    }

    /// What is asked in both roles.
    async fn in_any_role(&self) -> Seen {
        let (own, other) = (self.port.peer().to_owned(), self.others.first().cloned().unwrap_or_default());
        let lower = match self.term().await {
            None => "it does not say its term".to_owned(),
            Some(term) => {
                let current = |it: i64| if it == term && term > 0 { "current term" } else { "another term" };
                self.ask(self.append(term - 1), |it| {
                    let said = format!("success {}, {}", it.success, current(it.term));
                    self.error(it.error_response).unwrap_or(said)
                })
                .await
            }
        };
        let file = GetFileRequest {
            reader_id: 12345,
            filename: "__raft_snapshot_meta".to_owned(),
            count: 1024,
            offset: 0,
            read_partly: Some(true),
        };
        vec![
            ("B-01", self.named_leader(GROUP).await),
            ("B-02", self.peers(GROUP).await),
            ("B-03", self.vote(&other, &own).await),
            ("B-04", self.vote(STRANGER, &own).await),
            ("B-05", lower),
            ("B-21", self.vote(&other, STRANGER).await),
            ("B-22", self.vote("xx", &own).await),
            ("B-23", self.named_leader("nosuch").await),
            ("B-24", self.peers("nosuch").await),
            ("B-25", self.read_index(STRANGER).await),
            ("B-26", self.ask(file, |it| self.error(it.error_response).unwrap_or_else(|| "a file".to_owned())).await),
            ("B-27", self.ping().await),
            ("B-29", self.write("nosuch").await),
            ("B-30", self.ask(Unknown {}, |_| "an answer".to_owned()).await),
        ]
    }

    async fn ping(&self) -> String {
        self.ask(PingRequest { send_timestamp: 1 }, |it| {
            format!("error {} {}", it.error_code, it.error_msg.unwrap_or_default())
        })
        .await
    }

    async fn as_follower(&self) -> Seen {
        let mut seen = self.in_any_role().await;
        seen.push(("B-28", self.write(GROUP).await));
        seen
    }

    async fn as_leader(&self) -> Seen {
        let mut seen = self.in_any_role().await;
        let member = self.others.first().cloned().unwrap_or_default();
        seen.push(("B-31", self.read_index(&member).await));
        seen
    }
}

fn words(status: &Status) -> String {
    format!("{:?} {}", status.code(), status.message())
}

/// Commands that nobody obeys.
async fn operator(group: &Group, at: usize) -> Seen {
    let mut seen = Seen::new();
    for (id, name, command) in [("B-17", GROUP, "nonsense"), ("B-17g", "nosuch", "doSnapshot")] {
        let said = group.told(at, name, command, "").await;
        seen.push((id, said.unwrap_or_else(|error| format!("{error:#}"))));
    }
    seen
}

/// A read sent to the leader: answered without the log, so that the followers stay well.
async fn poison(cluster: &Cluster, group: &Group, subject: usize, real: [usize; 2]) -> Result<Result<String, String>> {
    let question = ReadRequest { group: GROUP.to_owned(), data: b"[]".to_vec(), ..ReadRequest::default() };
    let answer = match group.port(subject)?.ask(question, ASK_LIMIT).await {
        Ok(it) => format!("success {}", it.success),
        Err(status) => words(&status),
    };
    // An entry would have stopped the followers by now.
    sleep(Duration::from_secs(2)).await;
    for node in real {
        let client = NacosClient::new(cluster.node(node)?);
        if let Err(error) = client.send(&persist(&client, "raft-after-read", node)?).await {
            return Ok(Err(format!("answered {answer}; then {error}")));
        }
    }
    Ok(Ok(format!("answered {answer}; the official nodes go on")))
}

/// The subject leads and nobody follows: no write may be acknowledged.
async fn without_quorum(cluster: &mut Cluster, subject: usize, real: [usize; 2]) -> Result<Result<String, String>> {
    let client = NacosClient::new(cluster.nodes.get(subject).context("no such node")?);
    for node in real {
        cluster.pause(node).await?;
    }
    let mut said = Vec::new();
    let mut acknowledged = 0;
    for number in 0..4 {
        let service = crate::experiment::persistent::owned_by(&cluster.nodes, subject, &format!("raft-alone-{number}"));
        match client.send(&persist(&client, &service, number)?).await {
            Ok(_) => acknowledged += 1,
            Err(error) => said.push(error.to_string()),
        }
    }
    for node in real {
        cluster.resume(node).await?;
    }
    let said = said.pop().unwrap_or_default();
    Ok(match acknowledged {
        0 => Ok(format!("4 of 4 writes refused, the last with: {said}")),
        some => Err(format!("{some} of 4 writes were acknowledged without a quorum")),
    })
}

fn persist(client: &NacosClient, service: &str, number: usize) -> Result<Call> {
    let ip = format!("10.8.0.{}", number + 1);
    let instance = Instance { service: service.to_owned(), ip, port: 80, metadata: String::new() };
    Ok(Call::persist(client.context(), &instance, 1)?)
}
