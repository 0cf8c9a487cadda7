//! Reference and subjects side by side: the same sequence at each, and the verdicts.
//!
//! The reference is judged against its recording, a subject against what the reference answers in the same run. The
//! reference never waits for a subject: a slow or differing subject cannot make the reference's instances expire.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use futures::future::join_all;
use tokio::sync::mpsc;

use super::answer::Answer;
use super::case::{Case, CaseSet, Topology};
use super::compare::{At, differences};
use super::difference::{Differences, KNOWN};
use super::group;
use super::kept::Kept;
use super::normal::Rules;
use super::place::{Fixture, Place};
use super::play::{Pace, Player, described};
use super::recording::Recordings;
use crate::results::{CaseResult, Conformance, Counts, Outcome};
use crate::target::{Cluster, NodeKind};

/// Tags of a step that stops the Raft group of a real cluster for good (`compat/spec/naming-api.md` §17, 15), and of
/// one that is asked of a cluster so stopped.
const DESTRUCTIVE: [&str; 2] = ["destroys-cluster", "destroyed-cluster"];

/// Called after each case with target, cases done and cases in all.
pub type Progress = Arc<dyn Fn(&str, usize, usize) + Send + Sync>;

/// How cases are run.
#[derive(Clone)]
pub struct Options {
    /// Version the targets are held to.
    pub version: String,
    /// Differences that are known, and why they are there.
    pub differences: Differences,
    /// Also ask what stops a real cluster for good; the cluster is of no use afterwards.
    pub destructive: bool,
    /// Targets that are shown and not held to anything.
    pub informative: BTreeSet<String>,
    /// Waiting, other than the topology's usual.
    pub pace: Option<Pace>,
    /// Told about each case.
    pub progress: Option<Progress>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            version: "1.4.1".to_owned(),
            differences: Differences::default(),
            destructive: false,
            informative: BTreeSet::new(),
            pace: None,
            progress: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("version", &self.version).field("destructive", &self.destructive).finish()
    }
}

/// Runs the cases against one fresh target; see [`run_all`].
pub async fn run(
    cases: &CaseSet,
    subject: &Cluster,
    reference: Option<&Cluster>,
    recordings: &Recordings,
    options: &Options,
) -> Vec<CaseResult> {
    run_all(cases, &[subject], reference, recordings, options).await
}

/// Runs the cases against fresh targets and, when there is one, a fresh reference with the same number of members.
///
/// Results name the target they belong to; those of the reference say whether it still answers as recorded. Without
/// a reference the recordings are the expectation. A target without an answer yields `error`, never `fail`.
pub async fn run_all(
    cases: &CaseSet,
    subjects: &[&Cluster],
    reference: Option<&Cluster>,
    recordings: &Recordings,
    options: &Options,
) -> Vec<CaseResult> {
    let fixture = Fixture::open().await;
    let fixture = match fixture {
        Ok(fixture) => fixture,
        Err(error) => {
            let reason = format!("the harness cannot open a port: {error}");
            return subjects.iter().flat_map(|s| refused(cases, s, options, Outcome::Error, &reason)).collect();
        }
    };
    let mut out = Vec::new();
    let mut running = Vec::new();
    let mut feeds = Vec::new();
    let reference_topology = reference.and_then(topology);
    for subject in subjects {
        let Some(topology) = topology(subject) else {
            let reason = format!("cases are for one server or a cluster of three, not for {}", subject.nodes.len());
            out.extend(refused(cases, subject, options, Outcome::Skip, &reason));
            continue;
        };
        if reference.is_some() && reference_topology != Some(topology) {
            let reason = "the reference does not have as many members as the target";
            out.extend(refused(cases, subject, options, Outcome::Error, reason));
            continue;
        }
        let asked = cases.select(&options.version, topology);
        let feed = reference.map(|_| {
            let (send, receive) = mpsc::channel(asked.len().max(1));
            feeds.push(send);
            receive
        });
        running.push(Sequence::new(subject, topology, asked, &fixture, recordings, options, feed));
    }
    if let Some((cluster, topology)) = reference.zip(reference_topology) {
        let asked = cases.select(&options.version, topology);
        let mut sequence = Sequence::new(cluster, topology, asked, &fixture, recordings, options, None);
        sequence.listeners = feeds;
        running.insert(0, sequence);
    }
    out.extend(join_all(running.into_iter().map(Sequence::play)).await.into_iter().flatten());
    out
}

/// The conformance part of `results.json`.
pub fn conformance(reference: Option<&Cluster>, recordings: &Recordings, cases: Vec<CaseResult>) -> Conformance {
    summarised(reference.map_or_else(|| recordings.name.clone(), |cluster| cluster.target.clone()), cases)
}

/// Verdicts with their counts by target and area.
pub fn summarised(reference: String, cases: Vec<CaseResult>) -> Conformance {
    let mut summary: BTreeMap<String, BTreeMap<String, Counts>> = BTreeMap::new();
    for case in &cases {
        let areas = summary.entry(case.target.clone()).or_default();
        areas.entry(case.area.clone()).or_default().add(case.outcome);
    }
    Conformance { reference, informative: Vec::new(), cases, summary }
}

/// The topology of a cluster; none for a number of members nothing was recorded for.
pub(super) fn topology(cluster: &Cluster) -> Option<Topology> {
    match cluster.nodes.len() {
        1 => Some(Topology::Standalone),
        3 => Some(Topology::Cluster3),
        _ => None,
    }
}

/// The place of a cluster.
pub(super) fn place(cluster: &Cluster, fixture: &Fixture) -> Place {
    let members = cluster.nodes.iter().map(|node| node.address.clone()).collect();
    let context = cluster.nodes.first().map_or("/nacos", |node| node.context_path.as_str());
    fixture.place(members, context)
}

/// What the reference answered, or why it did not.
type Given = Result<Answer, String>;

/// One target going through the cases.
struct Sequence<'a> {
    target: &'a str,
    /// The differences this target is known for: they are those of this project's own server.
    known: Option<&'a Differences>,
    topology: Topology,
    asked: Vec<&'a Case>,
    place: Place,
    pace: Pace,
    recordings: &'a Recordings,
    options: &'a Options,
    /// The reference's answers, when this target is judged by them, and where the reference is.
    feed: Option<mpsc::Receiver<(Given, Place)>>,
    /// Who is told this target's answers.
    listeners: Vec<mpsc::Sender<(Given, Place)>>,
}

impl<'a> Sequence<'a> {
    fn new(
        cluster: &'a Cluster,
        topology: Topology,
        asked: Vec<&'a Case>,
        fixture: &Fixture,
        recordings: &'a Recordings,
        options: &'a Options,
        feed: Option<mpsc::Receiver<(Given, Place)>>,
    ) -> Self {
        let usual = match topology {
            Topology::Standalone => Pace::standalone(),
            Topology::Cluster3 => Pace::cluster(),
        };
        let is_informative = options.informative.contains(&cluster.target);
        let usual = if is_informative { usual.of_another_version() } else { usual };
        Self {
            target: &cluster.target,
            known: cluster.nodes.iter().any(|node| node.kind == NodeKind::Tandem).then_some(&options.differences),
            topology,
            asked,
            place: place(cluster, fixture),
            pace: options.pace.clone().unwrap_or(usual),
            recordings,
            options,
            feed,
            listeners: Vec::new(),
        }
    }

    async fn play(self) -> Vec<CaseResult> {
        let Self { target, known, topology, asked, place, pace, recordings, options, mut feed, listeners } = self;
        let mut player = Player::new(&place, &pace);
        let mut before: HashMap<String, Vec<Answer>> = HashMap::new();
        let mut out = Vec::with_capacity(asked.len());
        for (index, case) in asked.iter().enumerate() {
            let verdict = Verdict { case, topology, target, known };
            if topology == Topology::Cluster3 && !options.destructive && is_destructive(case) {
                let reason = "stops the Raft group of a real cluster for good; asked only of clusters started for it";
                out.extend(verdict.result(Outcome::Skip, reason));
                continue;
            }
            let rules = Rules::of(case, topology);
            let expected = match &mut feed {
                Some(feed) => feed.recv().await,
                None => recorded(recordings, case, topology),
            };
            // A member of the reference that is late is no measure for others.
            let expected = match case.late(topology) {
                Some(_) => recorded(recordings, case, topology).or(expected),
                None => expected,
            };
            let judged = case.judged(topology);
            let alone = case.or_standalone(topology).and_then(|_| recorded(recordings, case, Topology::Standalone));
            let counts_as_well = |observed: &Answer| match &alone {
                Some((Ok(answer), at)) => {
                    differences(At { answer, place: at }, At { answer: observed, place: &place }, &rules).is_none()
                }
                _ => false,
            };
            let holds = |observed: &Answer| match &expected {
                // A step nobody judges is asked once.
                _ if !judged || counts_as_well(observed) => true,
                Some((Ok(answer), at)) => {
                    let (expected, observed) = (At { answer, place: at }, At { answer: observed, place: &place });
                    match verdict.kept() {
                        Some(kept) => {
                            kept.check(expected, observed, &rules, |text| at.fill(text)).is_ok()
                                || (kept.chance.is_some() && differences(expected, observed, &rules).is_none())
                        }
                        None => differences(expected, observed, &rules).is_none(),
                    }
                }
                _ => true,
            };
            let hopeless = known.is_some_and(|known| known.known(&case.result_id(topology)).is_some());
            let observed = player.ask(case, topology, hopeless, holds).await;
            for listener in &listeners {
                // A listener that is gone needs nothing.
                let _ = listener.try_send((observed.clone(), place.clone()));
            }
            let older = before.entry(described(case)).or_default();
            let mut result = match case.or_standalone(topology) {
                Some(reason) if observed.as_ref().is_ok_and(counts_as_well) => {
                    verdict.result(Outcome::Pass, &format!("as one server answers: {reason}"))
                }
                _ => verdict.judge(expected.as_ref(), &observed, older, &place, &rules),
            };
            older.extend(observed.ok());
            if let Some(failed) = result.as_mut().filter(|r| feed.is_some() && r.outcome == Outcome::Fail)
                && !as_recorded(expected.as_ref(), recorded(recordings, case, topology).as_ref(), &rules)
            {
                failed.reason.push_str("; the reference itself did not answer as recorded");
            }
            out.extend(result);
            if let Some(progress) = &options.progress {
                progress(target, index + 1, asked.len());
            }
        }
        out
    }
}

/// The recorded answer of a case.
fn recorded(recordings: &Recordings, case: &Case, topology: Topology) -> Option<(Given, Place)> {
    let found = recordings.get(&case.id, topology)?;
    Some((Ok(found.answer.clone()), found.place.clone()))
}

/// Whether a reference's answer is the recorded one.
fn as_recorded(given: Option<&(Given, Place)>, recorded: Option<&(Given, Place)>, rules: &Rules) -> bool {
    match (given, recorded) {
        (Some((Ok(given), at)), Some((Ok(recorded), then))) => {
            let (recorded, given) = (At { answer: recorded, place: then }, At { answer: given, place: at });
            differences(recorded, given, rules).is_none()
        }
        _ => true,
    }
}

fn is_destructive(case: &Case) -> bool {
    case.tags.iter().any(|tag| DESTRUCTIVE.contains(&tag.as_str()))
}

/// What is said about one case at one target.
struct Verdict<'a> {
    case: &'a Case,
    topology: Topology,
    target: &'a str,
    known: Option<&'a Differences>,
}

impl Verdict<'_> {
    /// `older` is what this target answered to the same request earlier in the sequence.
    fn judge(
        &self,
        expected: Option<&(Given, Place)>,
        observed: &Given,
        older: &[Answer],
        place: &Place,
        rules: &Rules,
    ) -> Option<CaseResult> {
        let (expected, at) = match expected {
            Some((Ok(answer), at)) => (answer, at),
            Some((Err(error), _)) => {
                return self.result(Outcome::Error, &format!("the reference gave no answer: {error}"));
            }
            None => return self.result(Outcome::Skip, "there is no recording and no reference"),
        };
        let observed = match observed {
            Ok(answer) => answer,
            Err(error) => return self.result(Outcome::Error, error),
        };
        let (left, right) = (At { answer: expected, place: at }, At { answer: observed, place });
        let difference = differences(left, right, rules);
        if let Some((kept, known)) = self.kept().zip(self.known) {
            let said = kept.check(left, right, rules, |text| at.fill(text));
            let (outcome, reason) = kept.verdict(known.row(&kept.difference), difference.as_deref(), said);
            let mut result = self.result(outcome, &reason)?;
            if outcome == Outcome::Pass {
                return Some(result);
            }
            result.difference = Some(kept.difference.clone());
            result.expected = Some(expected.to_result());
            result.observed = Some(observed.to_result());
            return Some(result);
        }
        let Some(difference) = difference else {
            return self.result(Outcome::Pass, "");
        };
        // Tandem's own members are held to the recorded answer: they are never so late.
        if let Some(reason) = self.case.late(self.topology).filter(|_| self.known.is_none()) {
            let is_late = |answer| differences(At { answer, place }, right, rules).is_none();
            if older.iter().any(is_late) {
                return self.result(Outcome::Pass, &format!("answered as before: {reason}"));
            }
        }
        let mut result = self.result(Outcome::Fail, &difference)?;
        if let Some(known) = self.known.and_then(|known| known.known(&result.id)) {
            result.tags.push(KNOWN.to_owned());
            result.difference = Some(known.row.clone());
            result.reason = format!("{} ({difference})", known.reason);
        }
        result.expected = Some(expected.to_result());
        result.observed = Some(observed.to_result());
        Some(result)
    }

    /// What this target must answer, where it differs on purpose.
    fn kept(&self) -> Option<&Kept> {
        self.known.and_then(|_| self.case.kept_at(self.topology.suffix()))
    }

    /// A result; none for a step that is not judged in this topology.
    fn result(&self, outcome: Outcome, reason: &str) -> Option<CaseResult> {
        self.case.judged(self.topology).then(|| CaseResult {
            id: self.case.result_id(self.topology),
            area: self.case.area.clone(),
            endpoint: group::endpoint(self.case),
            group: group::group(self.case).to_owned(),
            target: self.target.to_owned(),
            outcome,
            tags: self.case.tags.clone(),
            difference: None,
            reason: reason.to_owned(),
            request: described(self.case),
            expected: None,
            observed: None,
        })
    }
}

/// The same verdict for every case of a target that cannot be asked.
fn refused(cases: &CaseSet, subject: &Cluster, options: &Options, outcome: Outcome, reason: &str) -> Vec<CaseResult> {
    let topology = topology(subject).unwrap_or(Topology::Cluster3);
    let asked = cases.select(&options.version, topology);
    let verdict = |case| Verdict { case, topology, target: &subject.target, known: None }.result(outcome, reason);
    asked.into_iter().filter_map(verdict).collect()
}
