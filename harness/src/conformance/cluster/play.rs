//! The cases of one file, played with every cast in step: each request first among the real nodes.

use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep};

use super::case::{WireFile, WireRule};
use super::cast::{Cast, Role};
use super::foreign::Foreign;
use super::request::{Sent, answer};
use crate::client::wire::{self, Limits};
use crate::conformance::answer::{Answer, kept};
use crate::conformance::case::{Case, Topology};
use crate::conformance::compare::{At, differences};
use crate::conformance::difference::{Differences, KNOWN};
use crate::conformance::group;
use crate::conformance::normal::Rules;
use crate::conformance::place::Place;
use crate::conformance::play::{described, request};
use crate::recorder::{Exchange, Message, Recorder, Sender};
use crate::results::{CaseResult, Outcome};
use crate::target::Cluster;

/// How long a read may take to show what it should.
const DEADLINE: Duration = Duration::from_secs(8);

/// Pause between two looks.
const INTERVAL: Duration = Duration::from_millis(25);

/// Time the kernel is given to say who opened a connection.
const NAMING: Duration = Duration::from_millis(500);

/// Everything the cases of a file need.
#[derive(Debug)]
pub struct Stage<'a> {
    /// The mixed cluster, recorded.
    pub cluster: &'a Cluster,
    /// Its recorder.
    pub recorder: &'a Recorder,
    /// The harness as a member.
    pub foreign: &'a Foreign,
    /// What the subject is known for; none when it is not this project's own server.
    pub differences: Option<&'a Differences>,
    /// The version cases must hold for.
    pub version: &'a str,
}

/// What one cast showed.
struct Shown {
    answer: Result<Answer, String>,
    /// Requests between members, with their answers.
    sent: Vec<(Message, Option<Message>)>,
}

impl Stage<'_> {
    /// Plays the file; `casts` begins with the reference's.
    pub async fn play(&self, file: &WireFile, casts: &[Cast]) -> Vec<CaseResult> {
        let mut out = Vec::new();
        let Some((reference, subjects)) = casts.split_first() else { return out };
        for case in file.cases.iter().filter(|case| case.applies_to(self.version)) {
            let rules = Rules::of(case, Topology::Standalone);
            if case.wait > 0.0 {
                sleep(Duration::from_secs_f64(case.wait)).await;
            }
            let shows = case.shows.as_deref().map(|text| reference.fill(text));
            let expected = self
                .show(&reference.fill_case(case), reference, |answer| {
                    shows.as_deref().is_none_or(|text| answer.body.contains(text))
                })
                .await;
            for cast in subjects {
                let kept = self.differences.and_then(|_| case.kept_at(cast.name));
                let holds = |answer: &Answer| match (&expected.answer, kept) {
                    (Ok(expected), Some(kept)) => match kept.expected(expected, |text| reference.fill(text)) {
                        Ok(expected) => differ(&expected, reference, answer, cast, &rules).is_none(),
                        Err(_) => true,
                    },
                    (Ok(expected), None) => differ(expected, reference, answer, cast, &rules).is_none(),
                    (Err(_), _) => true,
                };
                let observed = self.show(&cast.fill_case(case), cast, holds).await;
                out.push(self.judge(case, reference, &expected, cast, &observed, &rules));
            }
        }
        out
    }

    /// Asks, and gathers what members send because of it. A read is repeated until `holds`.
    async fn show(&self, case: &Case, cast: &Cast, holds: impl Fn(&Answer) -> bool) -> Shown {
        self.foreign.script(case.foreign.clone());
        let mark = self.recorder.mark();
        let request = request(case, &place(cast));
        let begun = Instant::now();
        let deadline = case.deadline.map_or(DEADLINE, Duration::from_secs_f64);
        let answer = loop {
            let answer = match wire::exchange(cast.address(Role::Asked), &request, &Limits::default()).await {
                Ok(response) => Answer::from(response),
                Err(error) => return Shown { answer: Err(error.to_string()), sent: Vec::new() },
            };
            if !case.may_repeat(Topology::Cluster3) || holds(&answer) || begun.elapsed() > deadline {
                break answer;
            }
            sleep(INTERVAL).await;
        };
        let sent = match &case.wire {
            Some(rule) => self.gather(case, rule, cast, mark).await,
            None => Vec::new(),
        };
        Shown { answer: Ok(answer), sent }
    }

    async fn gather(&self, case: &Case, rule: &WireRule, cast: &Cast, mark: u64) -> Vec<(Message, Option<Message>)> {
        let path = rule.path.as_deref().unwrap_or(&case.path);
        let begun = Instant::now();
        let within = Duration::from_secs_f64(rule.within);
        loop {
            let (found, unnamed) = self.look(rule, cast, path, mark);
            let enough =
                rule.count > 0 && found.len() >= rule.count && found.iter().all(|(_, answer)| answer.is_some());
            let waited = begun.elapsed();
            if enough || (waited >= within && !(unnamed && waited < within + NAMING)) {
                return found;
            }
            sleep(INTERVAL.min(Duration::from_millis(5))).await;
        }
    }

    /// What fits the rule so far, and whether there is something whose sender is not known yet.
    fn look(&self, rule: &WireRule, cast: &Cast, path: &str, mark: u64) -> (Vec<(Message, Option<Message>)>, bool) {
        let fits = |request: &Message| {
            request.target().split('?').next() == Some(path)
                && rule.method.as_deref().is_none_or(|method| request.method() == method)
                && rule
                    .contains
                    .as_deref()
                    .is_none_or(|text| request.target().contains(text) || request.text().contains(text))
        };
        if rule.to == Role::Foreign {
            let received = self.foreign.received().into_iter().filter(fits).map(|request| (request, None));
            return (received.collect(), false);
        }
        let to = cast.index(rule.to);
        let candidates: Vec<Exchange> =
            self.recorder.since(mark).into_iter().filter(|it| Some(it.receiver) == to && fits(&it.request)).collect();
        let unnamed = candidates.iter().any(|it| it.sender() == Sender::Unknown);
        let from = cast.index(rule.from).map(Sender::Member);
        let address = cast.address(rule.from);
        // A connection may be gone before the kernel was asked whose it was.
        let named = |it: &Exchange| it.request.header_values("request-source").any(|source| source == address);
        let found = candidates.into_iter().filter(|it| match it.sender() {
            Sender::Unknown => named(it),
            sender => Some(sender) == from,
        });
        (found.map(|it| (it.request, it.answer)).collect(), unnamed)
    }

    fn judge(
        &self,
        case: &Case,
        reference: &Cast,
        expected: &Shown,
        cast: &Cast,
        observed: &Shown,
        rules: &Rules,
    ) -> CaseResult {
        let mut result = open_result(case, cast, &self.cluster.target);
        let (answer, other) = match (&expected.answer, &observed.answer) {
            (Err(error), _) => {
                result.reason = format!("the reference gave no answer: {error}");
                return result;
            }
            (_, Err(error)) => {
                result.reason.clone_from(error);
                return result;
            }
            (Ok(expected), Ok(observed)) => (expected, observed),
        };
        if let Some(text) = case.shows.as_deref().map(|text| reference.fill(text))
            && !answer.body.contains(&text)
        {
            result.reason = format!("the reference did not show `{text}`: {}", answer.body);
            return result;
        }
        if let Some(rule) = &case.wire
            && expected.sent.len() != rule.count
        {
            let (count, status, body) = (expected.sent.len(), answer.status, kept(&answer.body));
            result.reason = format!(
                "the real nodes sent each other {count} such requests, not {}; the answer was {status} `{body}`",
                rule.count
            );
            return result;
        }
        let own: Vec<String> = differ(answer, reference, other, cast, rules).into_iter().collect();
        let (mut between, mut notes) = (Vec::new(), Vec::new());
        if expected.sent.len() != observed.sent.len() {
            between.push(format!("requests between members {} ≠ {}", expected.sent.len(), observed.sent.len()));
        }
        let except = case.wire.as_ref().map(|rule| rule.except_headers.as_slice()).unwrap_or_default();
        for ((a, a_answer), (b, b_answer)) in expected.sent.iter().zip(&observed.sent) {
            let a = Sent::of(a, reference, rules, &place(reference), except);
            let b = Sent::of(b, cast, rules, &place(cast), except);
            between.extend(b.differences(&a).into_iter().map(|text| format!("between members: {text}")));
            notes.extend(b.notes(&a));
            if let (Some(a), Some(b)) = (a_answer, b_answer) {
                let text = differ(&self::answer(a), reference, &self::answer(b), cast, rules);
                between.extend(text.map(|text| format!("the other member's answer: {text}")));
            }
        }
        let found = [own, between.clone()].concat();
        if !found.is_empty() {
            (result.expected, result.observed) = (Some(answer.to_result()), Some(other.to_result()));
        }
        if let Some((kept, known)) = case.kept_at(cast.name).zip(self.differences) {
            let said = kept.expected(answer, |text| reference.fill(text)).and_then(|expected| {
                let unlike = differ(&expected, reference, other, cast, rules).or_else(|| kept.unlike(&between));
                unlike.map_or(Ok(()), Err)
            });
            let difference = Some(found.join("; ")).filter(|_| !found.is_empty());
            (result.outcome, result.reason) = kept.verdict(known.row(&kept.difference), difference.as_deref(), said);
            if result.outcome != Outcome::Pass {
                result.difference = Some(kept.difference.clone());
            }
            return result;
        }
        decide(result, &found, &notes, self.differences)
    }
}

/// A result before anything is known.
pub(super) fn open_result(case: &Case, cast: &Cast, target: &str) -> CaseResult {
    CaseResult {
        id: format!("{}@{}", case.id, cast.name),
        area: case.area.clone(),
        endpoint: group::endpoint(case),
        group: group::group(case).to_owned(),
        target: target.to_owned(),
        outcome: Outcome::Error,
        tags: case.tags.clone(),
        difference: None,
        reason: String::new(),
        request: described(case),
        expected: None,
        observed: None,
    }
}

/// The verdict by what was found to differ.
pub(super) fn decide(
    mut result: CaseResult,
    found: &[String],
    notes: &[String],
    known: Option<&Differences>,
) -> CaseResult {
    result.reason = found.join("; ");
    if found.is_empty() {
        result.outcome = Outcome::Pass;
        result.reason = notes.join("; ");
        return result;
    }
    result.outcome = Outcome::Fail;
    if let Some(known) = known.and_then(|known| known.known(&result.id)) {
        result.tags.push(KNOWN.to_owned());
        result.difference = Some(known.row.clone());
        result.reason = format!("{} ({})", known.reason, result.reason);
    }
    result
}

/// The members in the order of the roles, so that their addresses get the same names everywhere.
pub(super) fn place(cast: &Cast) -> Place {
    // No case names the ports, so theirs are numbers that nothing else is.
    let (open_port, closed_port, udp_port) = (65_535, 65_534, 65_533);
    Place { members: cast.addresses(), open_port, closed_port, udp_port, context_path: "/nacos".to_owned() }
}

/// The difference between two answers with the casts' names put in their place.
pub(super) fn differ(expected: &Answer, at: &Cast, observed: &Answer, here: &Cast, rules: &Rules) -> Option<String> {
    let normal = |answer: &Answer, cast: &Cast| Answer { body: cast.normal(&answer.body), ..answer.clone() };
    let (a, b) = (normal(expected, at), normal(observed, here));
    let (left, right) = (place(at), place(here));
    differences(At { answer: &a, place: &left }, At { answer: &b, place: &right }, rules)
}
