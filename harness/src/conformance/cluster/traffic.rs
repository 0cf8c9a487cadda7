//! What members send without being asked: counted over a while, and compared in form and answer.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::case::WireFile;
use super::cast::{Cast, Role};
use super::play::{Stage, decide, differ, open_result, place};
use super::request::{Sent, answer};
use crate::client::wire::{self, Limits, Request};
use crate::conformance::case::{Case, Topology};
use crate::conformance::normal::Rules;
use crate::recorder::{Exchange, Sender};
use crate::results::CaseResult;

/// Real nodes send service statuses from 60 s after their start on (`compat/spec/membership.md` §6.1).
const SETTLED: Duration = Duration::from_secs(65);

/// How long is watched.
const WATCH: Duration = Duration::from_secs(30);

/// Time between two beats of the instances that keep every member's checksums going.
const BEAT: Duration = Duration::from_secs(4);

/// Watches the cluster, which was usable at `ready`; `casts` begins with the reference's.
pub async fn watch(stage: &Stage<'_>, file: &WireFile, casts: &[Cast], ready: Instant) -> Vec<CaseResult> {
    let Some((reference, subjects)) = casts.split_first() else { return Vec::new() };
    beat(file, reference).await;
    sleep_until(ready + SETTLED).await;
    let mark = stage.recorder.mark();
    let until = Instant::now() + WATCH;
    while Instant::now() < until {
        beat(file, reference).await;
        sleep(BEAT.min(until.saturating_duration_since(Instant::now()))).await;
    }
    let seen = stage.recorder.since(mark);
    let judge = |case: &Case, cast: &Cast| judge(stage, &seen, case, reference, cast);
    file.cases.iter().flat_map(|case| subjects.iter().map(move |cast| judge(case, cast))).collect()
}

/// Keeps one instance of every service alive, at its owner, so that nothing is handed on.
async fn beat(file: &WireFile, cast: &Cast) {
    for (key, rule) in &file.services {
        let name = cast.fill(&format!("{{{key}}}"));
        let target = format!("/nacos/v1/ns/instance?serviceName={name}&ip=10.3.0.1&port=80&groupName={}", rule.group);
        let request = Request { method: "POST".to_owned(), target: target.into_bytes(), ..Request::default() };
        // Whoever does not answer shows in what is counted.
        let _ = wire::exchange(cast.address(rule.owner), &request, &Limits::default()).await;
    }
}

fn judge(stage: &Stage<'_>, seen: &[Exchange], case: &Case, reference: &Cast, cast: &Cast) -> CaseResult {
    let mut result = open_result(case, cast, &stage.cluster.target);
    let rules = Rules::of(case, Topology::Standalone);
    let (expected, observed) = (between(seen, case, reference), between(seen, case, cast));
    let period = Duration::from_secs_f64(case.every.unwrap_or(1.0));
    let Some(first) = expected.first() else {
        result.reason = "the real nodes sent each other none".to_owned();
        return result;
    };
    let mut found = Vec::new();
    // Where a period begins is chance, so one more or less is the same rate.
    if expected.len().abs_diff(observed.len()) > 1 {
        found.push(format!("in {} s {} ≠ {}", WATCH.as_secs(), expected.len(), observed.len()));
    }
    if let Some(gap) = longest_gap(&observed).filter(|gap| *gap > period * 2) {
        let (every, gap) = (period.as_secs_f64(), gap.as_secs_f64());
        found.push(format!("a pause of {gap:.1} s where one is sent every {every} s"));
    }
    let mut notes = Vec::new();
    if let Some(other) = observed.first() {
        let except = case.wire.as_ref().map(|rule| rule.except_headers.as_slice()).unwrap_or_default();
        let a = Sent::of(&first.request, reference, &rules, &place(reference), except);
        let b = Sent::of(&other.request, cast, &rules, &place(cast), except);
        found.extend(b.differences(&a));
        notes.extend(b.notes(&a));
        let answers =
            |exchanges: &[&Exchange]| exchanges.iter().find_map(|exchange| exchange.answer.as_ref().map(answer));
        match (answers(&expected), answers(&observed)) {
            (Some(a), Some(b)) => {
                let text = differ(&a, reference, &b, cast, &rules);
                found.extend(text.map(|text| format!("the answer: {text}")));
            }
            (Some(_), None) => found.push("no answer".to_owned()),
            (None, _) => {}
        }
    }
    decide(result, &found, &notes, stage.differences)
}

/// What the asked one sent its peer.
fn between<'a>(seen: &'a [Exchange], case: &Case, cast: &Cast) -> Vec<&'a Exchange> {
    let from = cast.index(Role::Asked).map(Sender::Member);
    let to = cast.index(Role::Peer);
    let contains = case.wire.as_ref().and_then(|rule| rule.contains.as_deref()).unwrap_or_default();
    let fits = |exchange: &&Exchange| {
        Some(exchange.sender()) == from
            && Some(exchange.receiver) == to
            && exchange.request.method() == case.method
            && exchange.path() == case.path
            && exchange.request.text().contains(contains)
    };
    seen.iter().filter(fits).collect()
}

fn longest_gap(exchanges: &[&Exchange]) -> Option<Duration> {
    exchanges.windows(2).filter_map(|pair| Some(pair.get(1)?.request.begun - pair.first()?.request.begun)).max()
}
