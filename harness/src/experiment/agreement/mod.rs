//! `agreement`: random operations of many clients at every node, and then: do all nodes hold the same, and is it what
//! the clients were told? How long after the last acknowledgement, and does it stay so?
//!
//! - `plan`: what the clients do, from the seed alone, and what must be true afterwards
//! - `request`, `drive`, `history`: doing it, and writing down every answer
//! - `pairs`: every kind of change along every pair of nodes
//!
//! An operation whose answer never came may or may not have been done: both are right, and the nodes must agree all the
//! same.

mod drive;
mod history;
mod pairs;
mod plan;
mod request;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::time::{Instant, sleep};

use super::{Observation, Session, keep_first};
use crate::agreement::content::NodeContent;
use crate::agreement::differ::{Difference, Expected, between, from_model};
use crate::agreement::members::{self, Member};
use crate::agreement::read::{Scope, Source};
use crate::results::{Agreement, Outcome};
use crate::stats::Round;
use crate::target::NodeKind;
use drive::Driven;
use history::History;
pub use pairs::NAME as PAIRS_NAME;

/// Name in the record.
pub const NAME: &str = "agreement-latency";

/// Nodes that do not agree this long after the last acknowledgement have failed.
pub const AGREEMENT_LIMIT: Duration = Duration::from_secs(10);

/// Official nodes take this long until the last of them knows that an instance fell ill: its timeout of one second, five
/// until the responsible one looks, seven until the others are told (`compat/spec/distro.md` D30). The plan has all of
/// it over in time; where requests were slower than planned, the limit waits for it.
const TIMED_WINDOW: Duration = Duration::from_secs(13);

/// How much longer they are looked at, to tell late from never.
const PATIENCE: Duration = Duration::from_secs(30);

/// Pause between two readings of all nodes.
const PAUSE: Duration = Duration::from_millis(100);

/// The same while agreement is only watched.
const WATCH_PAUSE: Duration = Duration::from_millis(500);

/// Differences that go into the record.
const DIFFERENCES_KEPT: usize = 40;

/// An official node first tells its peers about health a minute after it has set up its services, which is some seconds
/// before it is usable (`compat/spec/health-and-push.md` §3): until then, "unhealthy" cannot reach them.
const FIRST_STATUS_REPORT: Duration = Duration::from_secs(62);

/// How much is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgreementPlan {
    /// Random operations.
    pub operations: usize,
    /// How many of them are due per second.
    pub rate: u32,
    /// How long agreement is watched afterwards; two verify rounds take ten seconds.
    pub watch: Duration,
    /// Whether every pair of nodes is followed as well, meanwhile.
    pub pairs: bool,
}

/// What one run gave.
#[derive(Debug)]
pub struct AgreementRound {
    /// The rows.
    pub observations: Vec<Observation>,
    /// The verdict and what it rests on.
    pub agreement: Agreement,
}

/// Does it once; the history goes to `history`. Everything that was registered is deregistered again.
///
/// # Errors
/// When there is nobody to agree with, a node cannot be read at all or the history cannot be written.
pub async fn run(session: &Session<'_>, plan: AgreementPlan, history: Option<&Path>) -> Result<AgreementRound> {
    ensure!(session.clients.len() > 1, "one node has nobody to agree with");
    let history = history.map(History::create).transpose()?.unwrap_or_default();
    let sources = sources(session);
    let tag = format!("{}-agree", session.tag);
    let namespaces = ["public".to_owned(), format!("{tag}-n1"), format!("{tag}-n2")];
    let scope = Scope::Named { namespaces: namespaces.to_vec(), part: tag.clone() };
    // The first reading shows that there is something to judge by, before anything is done.
    let before = Source::read_all(&sources, &scope).await.context("the nodes cannot be read")?;
    wait_for_status_reports(session, plan.pairs).await;
    let ring = ring_of(&before);
    let lives = plan::plan(session.random(NAME), &tag, &namespaces, plan.operations, plan.rate);
    let status = format!("{} operations at {}", plan.operations, session.cluster.target);
    session.progress.status(&status);
    let pairs = async {
        match plan.pairs {
            true => pairs::run(session, &sources, &ring).await,
            false => pairs::Pairs::default(),
        }
    };
    let judging = async {
        let driven = drive::drive(session, &lives, &history).await;
        let judged = Judge { session, sources: &sources, scope: &scope, expected: &driven.expected };
        let last_ack = driven.last_ack.unwrap_or_else(Instant::now);
        let timed = driven.last_timed.map_or(Duration::ZERO, |it| (it + TIMED_WINDOW).duration_since(last_ack));
        let limit = AGREEMENT_LIMIT.max(timed);
        (judged.run(last_ack, limit, plan.watch).await, driven)
    };
    let ((verdict, driven), pairs) = tokio::join!(judging, pairs);
    let members = member_problems(&sources).await;
    clean_up(session, &driven, verdict.agreed_after.is_some() && verdict.breaks == 0).await;
    Ok(round(session, plan, driven, verdict, members, pairs))
}

/// Where every node is asked.
pub fn sources(session: &Session<'_>) -> Vec<Source> {
    let source = |it: &std::sync::Arc<crate::client::NacosClient>| Source {
        address: it.address().to_owned(),
        context: it.context().to_owned(),
    };
    session.clients.iter().map(source).collect()
}

/// The members that share the services, as the first node sees them.
fn ring_of(nodes: &[NodeContent]) -> Vec<String> {
    let members = nodes.first().map(|it| it.members.as_slice()).unwrap_or_default();
    members.iter().filter(|it| it.is_in_ring()).map(|it| it.address.clone()).collect()
}

/// Waits until official nodes tell each other of health. Nobody says when a server that was running already was started,
/// nor always what it is; where every change is timed it gets the whole minute.
async fn wait_for_status_reports(session: &Session<'_>, pairs: bool) {
    let of_others = pairs && session.cluster.nodes.iter().any(|it| it.kind == NodeKind::Url);
    let official = session.cluster.nodes.iter().filter(|it| it.kind == NodeKind::Nacos);
    let youngest = official.filter_map(|it| crate::target::age(it.pid?)).min().or(of_others.then_some(Duration::ZERO));
    let first = session.cluster.ready + FIRST_STATUS_REPORT;
    let Some(wait) = youngest.map(|it| first.saturating_sub(it)).filter(|it| !it.is_zero()) else { return };
    let seconds = wait.as_secs();
    session.progress.status(&format!("official nodes first report health a minute after their start: {seconds} s"));
    tokio::select! {
        () = sleep(wait) => {}
        () = session.stop.cancelled() => {}
    }
}

/// How agreement came and stayed.
#[derive(Debug, Default)]
struct Verdict {
    /// Later than this is too late.
    limit: Duration,
    /// After the last acknowledgement.
    agreed_after: Option<Duration>,
    /// What differed when patience ended, or at the first break.
    differences: Vec<Difference>,
    /// How often nodes that had agreed did not.
    breaks: u64,
    watched: Duration,
    /// Why it could not be judged.
    unread: Option<String>,
    stopped: bool,
}

struct Judge<'a> {
    session: &'a Session<'a>,
    sources: &'a [Source],
    scope: &'a Scope,
    expected: &'a Expected,
}

impl Judge<'_> {
    async fn run(&self, last_ack: Instant, limit: Duration, watch: Duration) -> Verdict {
        let mut verdict = Verdict { limit, ..Verdict::default() };
        self.until_agreed(last_ack, &mut verdict).await;
        if verdict.agreed_after.is_some() {
            self.watch(watch, &mut verdict).await;
        }
        verdict.stopped = self.session.stop.is_cancelled();
        verdict
    }

    async fn until_agreed(&self, last_ack: Instant, verdict: &mut Verdict) {
        // A run that is short of time still waits for the limit itself.
        let patience = (last_ack + verdict.limit + PATIENCE).min(self.session.deadline);
        let end = patience.max(last_ack + verdict.limit);
        loop {
            match self.differences().await {
                Ok(differences) if differences.is_empty() => {
                    verdict.agreed_after = Some(last_ack.elapsed());
                    verdict.differences.clear();
                    verdict.unread = None;
                    return;
                }
                Ok(differences) => (verdict.differences, verdict.unread) = (differences, None),
                Err(error) => verdict.unread = Some(format!("{error:#}")),
            }
            if Instant::now() >= end || self.session.stop.is_cancelled() {
                return;
            }
            let (differ, age) = (verdict.differences.len(), last_ack.elapsed().as_secs());
            self.session.progress.status(&format!("{differ} differences {age} s after the last operation"));
            sleep(PAUSE).await;
        }
    }

    async fn watch(&self, watch: Duration, verdict: &mut Verdict) {
        let began = Instant::now();
        let mut agreed = true;
        while began.elapsed() < watch && !self.session.stop.is_cancelled() {
            self.session.progress.status(&format!("watching that it stays: {} s", began.elapsed().as_secs()));
            match self.differences().await {
                Ok(differences) if differences.is_empty() => agreed = true,
                Ok(differences) => {
                    verdict.breaks += u64::from(agreed);
                    if verdict.differences.is_empty() {
                        verdict.differences = differences;
                    }
                    agreed = false;
                }
                Err(error) => verdict.unread = Some(format!("{error:#}")),
            }
            sleep(WATCH_PAUSE).await;
        }
        verdict.watched = began.elapsed();
    }

    async fn differences(&self) -> Result<Vec<Difference>> {
        let nodes = Source::read_all(self.sources, self.scope).await?;
        let mut all = from_model(&nodes, self.expected);
        all.extend(between(&nodes, true));
        Ok(all)
    }
}

/// What is wrong with the member lists; what is wrong for a moment only is not counted.
async fn member_problems(sources: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for _ in 0..5 {
        let lists = futures::future::try_join_all(sources.iter().map(Source::members)).await;
        problems = match &lists {
            Ok(lists) => {
                let lists: Vec<(&str, &[Member])> =
                    sources.iter().map(|it| it.address.as_str()).zip(lists.iter().map(Vec::as_slice)).collect();
                members::problems(&lists)
            }
            Err(error) => vec![error.to_string()],
        };
        if problems.is_empty() {
            break;
        }
        sleep(Duration::from_secs(1)).await;
    }
    problems
}

/// Deregisters everything; at every node where the nodes did not agree, because then one node's word is not all's.
async fn clean_up(session: &Session<'_>, driven: &Driven, agreed: bool) {
    let places = tokio::sync::Semaphore::new(8);
    let remove = |(number, subject): (usize, &request::Subject)| {
        let nodes = session.clients.len();
        let asked: Vec<_> = match agreed {
            true => session.clients.get(number % nodes.max(1)).into_iter().cloned().collect(),
            false => session.clients.to_vec(),
        };
        let (places, subject) = (&places, subject.clone());
        async move {
            for client in asked {
                let _place = places.acquire().await;
                let _ = request::send(client.address(), client.context(), &subject, &request::Action::Deregister).await;
            }
        }
    };
    futures::future::join_all(driven.subjects.iter().enumerate().map(remove)).await;
}

fn round(
    session: &Session<'_>,
    plan: AgreementPlan,
    driven: Driven,
    verdict: Verdict,
    members: Vec<String>,
    pairs: pairs::Pairs,
) -> AgreementRound {
    let in_time = verdict.agreed_after.is_some_and(|it| it <= verdict.limit);
    let stays = verdict.breaks == 0;
    let pairs_hold = pairs.checks.iter().all(|it| it.failed == 0);
    let outcome = match &verdict {
        it if it.unread.is_some() || it.stopped => Outcome::Error,
        _ if in_time && stays && members.is_empty() && pairs_hold => Outcome::Pass,
        _ => Outcome::Fail,
    };
    let ms = |it: Duration| it.as_secs_f64() * 1000.0;
    let mut notes = driven.notes;
    for it in verdict.unread.iter() {
        keep_first(&mut notes, it.clone());
    }
    let mut latency = Observation::new(NAME, "ms", Round::new());
    // Late is a figure; never, or not for good, is none.
    match verdict.agreed_after.filter(|_| stays && verdict.unread.is_none()) {
        Some(it) => latency.values.record_duration(it),
        None => latency.errors = 1,
    }
    latency.notes.extend(verdict.differences.first().map(ToString::to_string));
    let differing = verdict.differences.len() as u64;
    let differences = verdict.differences.iter().take(DIFFERENCES_KEPT).map(ToString::to_string).collect();
    let services = driven.expected.len() as u64;
    let there = |it: &Vec<Option<_>>| it.iter().any(Option::is_some);
    let instances = driven.expected.values().flat_map(|it| it.values()).filter(|it| there(it)).count() as u64;
    let agreement = Agreement {
        target: session.cluster.target.clone(),
        outcome,
        seed: session.seed,
        planned: plan.operations as u64,
        acknowledged: driven.acknowledged,
        retried: driven.retried,
        indefinite: driven.indefinite,
        refused: driven.refused,
        left_out: driven.left_out,
        deletions_refused: driven.deletions_refused,
        services,
        instances,
        agreed_after_ms: verdict.agreed_after.map(ms),
        limit_ms: ms(verdict.limit),
        watched_ms: ms(verdict.watched),
        breaks: verdict.breaks,
        differing,
        differences,
        members,
        pairs: pairs.checks,
        notes,
    };
    let mut observations = vec![latency];
    observations.extend(pairs.observations);
    AgreementRound { observations, agreement }
}
