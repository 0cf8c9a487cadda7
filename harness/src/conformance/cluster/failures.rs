//! Owners that are silent or dead: what whoever hands a write on tells the client (`compat/spec/distro.md` §5.3, D20).

use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep};

use super::cast::Cast;
use super::play::{decide, differ};
use crate::client::wire::{self, Limits, Request};
use crate::conformance::answer::Answer;
use crate::conformance::case::{Case, Topology};
use crate::conformance::difference::Differences;
use crate::conformance::normal::Rules;
use crate::results::{CaseResult, Outcome};
use crate::target::{Cluster, Silent};

/// Name of the area in reports.
pub const AREA: &str = "cluster-failures";

/// Kept connections of real nodes are gone after 500 ms; what is asked then needs a new one.
const FORGOTTEN: Duration = Duration::from_millis(1500);

/// The ring is without a dead member by then: one report per peer in 4 s.
const NOTICED: Duration = Duration::from_secs(10);

/// A restarted node is usable by then.
const RESTARTED: Duration = Duration::from_secs(60);

/// Who is asked about whose service.
#[derive(Debug, Clone, Copy)]
struct Pair {
    name: &'static str,
    asked: usize,
    owner: usize,
}

/// One answer and who gave it.
type Given = (Result<Answer, String>, Cast);

/// Runs the steps; afterwards the second real node is dead.
///
/// # Errors
/// When a node cannot be paused, killed or started.
pub async fn run(
    cluster: &mut Cluster,
    real: [usize; 2],
    subject: usize,
    known: Option<&Differences>,
    names: &mut u32,
) -> Result<Vec<CaseResult>> {
    let [one, two] = real;
    let among_real = Pair { name: "", asked: one, owner: two };
    let by_subject = Pair { name: "tandem-asked", asked: subject, owner: two };
    let of_subject = Pair { name: "tandem-owner", asked: one, owner: subject };
    let third = |pair: Pair| 3_usize.saturating_sub(pair.asked + pair.owner);
    let mut ask = async |cluster: &Cluster, pair: Pair| -> Given {
        let members: Vec<String> = cluster.nodes.iter().map(|node| node.address.clone()).collect();
        let cast = Cast::bare((pair.name, [pair.asked, pair.owner, third(pair)]), &members);
        let owner = members.get(pair.owner).cloned().unwrap_or_default();
        let service = cast.name_owned_by(&owner, "DEFAULT_GROUP", names).unwrap_or_default();
        let target = format!("/nacos/v1/ns/instance?serviceName={service}&ip=10.4.0.1&port=80");
        let request = Request { method: "POST".to_owned(), target: target.into_bytes(), ..Request::default() };
        let address = members.get(pair.asked).cloned().unwrap_or_default();
        let answer = wire::exchange(&address, &request, &Limits::default()).await;
        (answer.map(Answer::from).map_err(|error| error.to_string()), cast)
    };

    // Silent: the sockets stay open and nothing answers.
    cluster.pause(subject).await?;
    let silent_subject = ask(cluster, of_subject).await;
    cluster.resume(subject).await?;
    cluster.pause(two).await?;
    let silent_real = ask(cluster, among_real).await;
    let silent_by_subject = ask(cluster, by_subject).await;
    cluster.resume(two).await?;
    sleep(FORGOTTEN).await;

    // Dead: nobody listens, and nobody has noticed yet.
    cluster.kill_node(subject).await?;
    let dead_subject = ask(cluster, of_subject).await;
    cluster.start_node(subject).await?;
    cluster.wait_ready(RESTARTED, &Silent).await?;
    sleep(FORGOTTEN).await;
    cluster.kill_node(two).await?;
    let (dead_real, dead_by_subject) = (ask(cluster, among_real).await, ask(cluster, by_subject).await);

    // Noticed: another member is responsible.
    let begun = Instant::now();
    let (mut after_real, mut after_by_subject) = (ask(cluster, among_real).await, ask(cluster, by_subject).await);
    while begun.elapsed() < NOTICED && !(works(&after_real) && works(&after_by_subject)) {
        sleep(Duration::from_millis(200)).await;
        (after_real, after_by_subject) = (ask(cluster, among_real).await, ask(cluster, by_subject).await);
    }

    let target = cluster.target.clone();
    let judge = |id: &str, expected: &Given, observed: &Given| judge(id, &target, expected, observed, known);
    Ok(vec![
        judge("WF01", &silent_real, &silent_by_subject),
        judge("WF01", &silent_real, &silent_subject),
        judge("WF02", &dead_real, &dead_by_subject),
        judge("WF02", &dead_real, &dead_subject),
        noticed(judge("WF03", &after_real, &after_by_subject), &after_by_subject),
    ])
}

fn works((answer, _): &Given) -> bool {
    answer.as_ref().is_ok_and(|answer| answer.status == 200)
}

/// Who answers depends on the new ring, and with it the type of the answer; that it works is what counts.
fn noticed(mut result: CaseResult, observed: &Given) -> CaseResult {
    if result.outcome == Outcome::Fail && works(observed) {
        result.outcome = Outcome::Pass;
        result.reason.clear();
    }
    result
}

fn judge(id: &str, target: &str, expected: &Given, observed: &Given, known: Option<&Differences>) -> CaseResult {
    let ((expected, at), (observed, here)) = (expected, observed);
    let what = match id {
        "WF01" => "the owner is silent",
        "WF02" => "the owner is dead",
        _ => "the dead owner was noticed",
    };
    let mut result = CaseResult {
        id: format!("{id}@{}", here.name),
        area: AREA.to_owned(),
        endpoint: "POST /nacos/v1/ns/instance".to_owned(),
        target: target.to_owned(),
        outcome: Outcome::Error,
        tags: vec!["ephemeral".to_owned()],
        difference: None,
        reason: String::new(),
        request: format!("POST /nacos/v1/ns/instance while {what}"),
        expected: None,
        observed: None,
    };
    let (expected, observed) = match (expected, observed) {
        (Ok(expected), Ok(observed)) => (expected, observed),
        (Err(error), _) => {
            result.reason = format!("the reference gave no answer: {error}");
            return result;
        }
        (_, Err(error)) => {
            result.reason.clone_from(error);
            return result;
        }
    };
    if (id == "WF03") != (expected.status == 200) {
        result.reason = format!("between real nodes the answer was {} `{}`", expected.status, expected.body);
        return result;
    }
    let rules = Rules::of(&Case::bare(id), Topology::Standalone);
    let found: Vec<String> = differ(expected, at, observed, here, &rules).into_iter().collect();
    if !found.is_empty() {
        (result.expected, result.observed) = (Some(expected.to_result()), Some(observed.to_result()));
    }
    decide(result, &found, &[], known)
}
