//! Reference and subjects side by side: the same sequence at each.
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
use super::difference::Differences;
use super::place::{Fixture, Place};
use super::play::{Pace, Player, described};
use super::recording::Recordings;
use super::verdict::{Expected, Given, Verdict};
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
            let live = match &mut feed {
                Some(feed) => Some(feed.recv().await),
                None => None,
            };
            let expected = Expected::of(case, topology, recordings, live);
            let hopeless = known.is_some_and(|known| known.known(&case.result_id(topology)).is_some());
            let settled = |answer: &Answer| verdict.is_settled(&expected, answer, &place);
            let observed = player.ask(case, topology, hopeless, settled).await;
            for listener in &listeners {
                // A listener that is gone needs nothing.
                let _ = listener.try_send((observed.clone(), place.clone()));
            }
            let older = before.entry(described(case)).or_default();
            out.extend(verdict.judge(&expected, &observed, older, &place));
            older.extend(observed.ok());
            if let Some(progress) = &options.progress {
                progress(target, index + 1, asked.len());
            }
        }
        out
    }
}

fn is_destructive(case: &Case) -> bool {
    case.tags.iter().any(|tag| DESTRUCTIVE.contains(&tag.as_str()))
}

/// The same verdict for every case of a target that cannot be asked.
fn refused(cases: &CaseSet, subject: &Cluster, options: &Options, outcome: Outcome, reason: &str) -> Vec<CaseResult> {
    let topology = topology(subject).unwrap_or(Topology::Cluster3);
    let asked = cases.select(&options.version, topology);
    let verdict = |case| Verdict { case, topology, target: &subject.target, known: None }.result(outcome, reason);
    asked.into_iter().filter_map(verdict).collect()
}
