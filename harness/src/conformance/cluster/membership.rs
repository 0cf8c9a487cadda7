//! The member list edited on a running node, and a member that the harness plays: what a real node and the subject
//! make of the same (`compat/spec/membership.md` §2.1, §3).
//!
//! Both get a foreign member of their own at the same time, so that neither sees anything of the other's.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::{Instant, sleep};

use super::case::Scripted;
use super::cast::Cast;
use super::foreign::Foreign;
use super::play::{decide, open_result};
use crate::client::wire::{self, Limits, Request};
use crate::conformance::case::Case;
use crate::conformance::difference::Differences;
use crate::results::CaseResult;
use crate::target::Cluster;

/// Name of the area in reports.
pub const AREA: &str = "cluster-list";

const REPORT: &str = "/nacos/v1/core/cluster/report";

/// An edit is effective by then.
const EFFECTIVE: Duration = Duration::from_secs(1);

/// How long a list is watched that must stay.
const STAYS: Duration = Duration::from_millis(1500);

/// Every member has had two reports by then: one leaves in 2 s, to one of three others.
const TWO_ROUNDS: Duration = Duration::from_secs(14);

/// Four failures have been counted by then.
const JUDGED: Duration = Duration::from_secs(40);

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(40);

/// What was seen of one node: case and text.
type Seen = Vec<(&'static str, String)>;

/// Plays the steps at the first real node and at the subject; afterwards both have their old lists.
///
/// # Errors
/// When a list cannot be written, or a node does not show its members.
pub async fn run(
    cluster: &Cluster,
    real: [usize; 2],
    subject: usize,
    differences: Option<&Differences>,
) -> Result<Vec<CaseResult>> {
    let [one, two] = real;
    let members: Vec<String> = cluster.nodes.iter().map(|node| node.address.clone()).collect();
    let (expected, observed) = tokio::try_join!(observe(cluster, one), observe(cluster, subject))?;
    let cast = Cast::bare(("mixed", [subject, two, one]), &members);
    let judge = |((id, expected), (_, observed)): (&(&'static str, String), &(&'static str, String))| {
        let mut result = open_result(&Case::bare(id), &cast, &cluster.target);
        result.area = AREA.to_owned();
        result.endpoint = "conf/cluster.conf".to_owned();
        let found = (expected != observed).then(|| format!("`{expected}` ≠ `{observed}`"));
        // Without this, two nodes that show nothing would agree.
        if !expected.contains(documented(id)) {
            result.reason = format!("the real node did not do as documented: {expected}");
            return result;
        }
        let notes = [observed.clone()];
        decide(result, &found.into_iter().collect::<Vec<_>>(), &notes, differences)
    };
    Ok(expected.iter().zip(&observed).map(judge).collect())
}

/// What a real node must show for a case to say anything (`compat/spec/membership.md` §11: M08, M10, M11, M13–M15, M39).
fn documented(id: &str) -> &'static str {
    match id {
        "WE01" => "within 1 s: true",
        "WE02" => "comment: true, sorted: true, addresses only: true",
        "WE03" => "SUSPICIOUS, DOWN after 4",
        "WE04" => "404: DOWN",
        "WE05" => "200; then UP",
        "WE06" | "WE07" | "WE08" => "kept",
        "WE09" => "removal: false",
        _ => "removal: 0",
    }
}

/// One node, its file and the member it is told of.
struct Played {
    node: String,
    file: PathBuf,
    foreign: Foreign,
}

async fn observe(cluster: &Cluster, at: usize) -> Result<Seen> {
    let node = cluster.nodes.get(at).context("no such node")?;
    let home = node.logs.as_deref().and_then(Path::parent).context("the node's folder is not known")?;
    let played =
        Played { node: node.address.clone(), file: home.join("conf/cluster.conf"), foreign: Foreign::open().await? };
    let before = played.text()?;
    let seen = played.steps().await;
    // Whatever was seen, the next area finds the list it expects.
    played.write(&before)?;
    seen
}

impl Played {
    async fn steps(&self) -> Result<Seen> {
        let foreign = self.foreign.address.as_str();
        let before = self.members().await?;
        let own = before.iter().map(|(address, _)| format!("{address}\n")).collect::<String>();
        let with = format!("{own}{foreign}\n");
        let mut seen = Seen::new();

        self.answer(200, r#"{"code":200,"message":null,"data":"ok"}"#);
        self.write(&format!("{own} {foreign} # the harness\n"))?;
        seen.push(("WE01", format!("listed within 1 s: {}", self.becomes(true).await?)));
        seen.push(("WE02", self.shape()?));

        self.answer(500, "broken");
        seen.push(("WE03", self.states_until_down().await?));
        self.answer(404, "no such api");
        sleep(TWO_ROUNDS).await;
        seen.push(("WE04", format!("after two answers 404: {}", self.state().await?)));
        self.answer(200, r#"{"code":200,"message":null,"data":"ok"}"#);
        let status = self.report().await?;
        sleep(Duration::from_millis(300)).await;
        seen.push(("WE05", format!("its report: {status}; then {}", self.state().await?)));

        self.write(&format!("{own}a:b:c\n"))?;
        seen.push(("WE06", format!("a bad line: {}", self.kept().await?)));
        self.write("")?;
        seen.push(("WE07", format!("an empty file: {}", self.kept().await?)));
        self.write(&with)?;
        seen.push(("WE08", format!("written again: {}", self.kept().await?)));

        self.write(&own)?;
        seen.push(("WE09", format!("listed after its removal: {}", !self.becomes(false).await?)));
        // A report under way may still arrive.
        sleep(Duration::from_millis(500)).await;
        self.answer(200, "{}");
        sleep(TWO_ROUNDS).await;
        seen.push(("WE10", format!("reports after its removal: {}", self.reports())));
        Ok(seen)
    }

    fn text(&self) -> Result<String> {
        std::fs::read_to_string(&self.file).with_context(|| format!("cannot read {}", self.file.display()))
    }

    /// In place, as editors and official nodes do.
    fn write(&self, text: &str) -> Result<()> {
        std::fs::write(&self.file, text).with_context(|| format!("cannot write {}", self.file.display()))
    }

    fn answer(&self, status: u16, body: &str) {
        let content_type = "application/json;charset=UTF-8".to_owned();
        self.foreign.script(vec![Scripted { path: REPORT.to_owned(), status, content_type, body: body.to_owned() }]);
    }

    fn reports(&self) -> usize {
        self.foreign.received().iter().filter(|it| it.target().split('?').next() == Some(REPORT)).count()
    }

    /// Addresses and states, as the node lists them.
    async fn members(&self) -> Result<Vec<(String, String)>> {
        let target = b"/nacos/v1/core/cluster/nodes".to_vec();
        let request = Request { method: "GET".to_owned(), target, ..Request::default() };
        let answer = wire::exchange(&self.node, &request, &Limits::default()).await?;
        let list: serde_json::Value =
            serde_json::from_slice(&answer.body).with_context(|| format!("{} does not list its members", self.node))?;
        let members = list.get("data").and_then(|data| data.as_array()).context("no list of members")?;
        let text = |member: &serde_json::Value, key: &str| {
            member.get(key).and_then(|it| it.as_str()).unwrap_or_default().to_owned()
        };
        Ok(members.iter().map(|member| (text(member, "address"), text(member, "state"))).collect())
    }

    async fn state(&self) -> Result<String> {
        let found = self.members().await?.into_iter().find(|(address, _)| *address == self.foreign.address);
        Ok(found.map_or("absent".to_owned(), |(_, state)| state))
    }

    /// Whether the foreign member is listed, or no longer, in time.
    async fn becomes(&self, listed: bool) -> Result<bool> {
        let begun = Instant::now();
        while begun.elapsed() < EFFECTIVE {
            if (self.state().await? != "absent") == listed {
                return Ok(true);
            }
            sleep(LOOK).await;
        }
        Ok(false)
    }

    /// Whether the foreign member is listed all the time.
    async fn kept(&self) -> Result<String> {
        let begun = Instant::now();
        while begun.elapsed() < STAYS {
            if self.state().await? == "absent" {
                return Ok("evicted".to_owned());
            }
            sleep(LOOK).await;
        }
        Ok("kept".to_owned())
    }

    /// The states one after the other, and how many reports it took.
    async fn states_until_down(&self) -> Result<String> {
        let mut states: Vec<String> = Vec::new();
        let begun = Instant::now();
        while begun.elapsed() < JUDGED && states.last().is_none_or(|state| state != "DOWN") {
            let state = self.state().await?;
            if states.last() != Some(&state) {
                states.push(state);
            }
            sleep(LOOK).await;
        }
        Ok(format!("{} after {} answers 500", states.join(", "), self.reports()))
    }

    /// The foreign member's own report; the status of the answer.
    async fn report(&self) -> Result<u32> {
        let address = &self.foreign.address;
        let (ip, port) = address.rsplit_once(':').context("an address without a port")?;
        let body = format!(
            r#"{{"ip":"{ip}","port":{port},"address":"{address}","state":"UP","extendInfo":{{"version":"1.4.1"}}}}"#
        );
        let request = Request {
            method: "POST".to_owned(),
            target: REPORT.as_bytes().to_vec(),
            headers: vec![("Content-Type".to_owned(), "application/json;charset=UTF-8".to_owned())],
            body: Some(body.into_bytes()),
        };
        Ok(wire::exchange(&self.node, &request, &Limits::default()).await?.status)
    }

    /// What the file looks like now.
    fn shape(&self) -> Result<String> {
        let text = self.text()?;
        let (comments, lines): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with('#'));
        let dated = comments.first().is_some_and(|line| line.starts_with("#20") && line.contains('T'));
        let plain = lines.iter().all(|line| !line.contains([' ', '#']));
        Ok(format!("time in a comment: {dated}, sorted: {}, addresses only: {plain}", lines.is_sorted()))
    }
}
