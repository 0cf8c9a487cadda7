//! Every kind of change from every node to every other, with every kind of node responsible for the service: is it
//! right at the other end in time?
//!
//! Each pair has instances of its own in a namespace of its own, so all are watched at once with one question per node
//! and look. The clock of `unhealthy` and `expired` starts at the last acknowledged heartbeat.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{join_all, join3};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::plan::kept;
use super::request::{Action, Outcome, Subject, send};
use crate::agreement::content::{Metadata, Registered, Served, ServiceKey};
use crate::agreement::differ::Wanted;
use crate::agreement::read::Source;
use crate::agreement::ring;
use crate::experiment::{Observation, Session, is_mixed, kind_name, loopback};
use crate::results::PairCheck;
use crate::stats::Round;

/// Name of the measurement.
pub const NAME: &str = "change-latency";

/// Pause between two looks at one node: the resolution of the times.
const LOOK: Duration = Duration::from_millis(25);

/// For what travels by push, or by verify when the push is lost (`compat/spec/distro.md` §7.7, D25): twice the five
/// seconds of a verify round.
const SYNC_LIMIT: Duration = Duration::from_secs(10);

/// For what waits for the end of a timeout: the timeout, five seconds until the responsible node looks, and seven until
/// the others know (`compat/spec/distro.md` D30, D31), each with some room for a busy machine.
const TIMED_LIMIT: Duration = Duration::from_secs(25);

/// Heartbeats of an instance that is to fall ill: interval and number.
const BEATS: (Duration, usize) = (Duration::from_millis(700), 3);

/// Between the beginnings of two pairs.
const STAGGER: Duration = Duration::from_millis(150);

/// How long a heartbeat counts.
const BEAT_TIMEOUT_MS: u64 = 2000;

/// How long an instance that is to expire lives without one.
const DELETE_TIMEOUT_MS: u64 = 3000;

/// The changes, in the order they are reported.
const CHANGES: [&str; 5] = ["registered", "updated", "unhealthy", "deregistered", "expired"];

/// What the pairs gave.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    pub(super) checks: Vec<PairCheck>,
    pub(super) observations: Vec<Observation>,
}

type View = Arc<BTreeMap<ServiceKey, Registered>>;

/// One change that was followed.
struct Followed {
    change: &'static str,
    direction: String,
    result: Result<Duration, String>,
}

/// Follows every change along every pair, at most as long as [`TIMED_LIMIT`] and a little more.
pub(super) async fn run(session: &Session<'_>, sources: &[Source], members: &[String]) -> Pairs {
    let namespace = format!("{}-pairs", session.tag);
    let channels: Vec<_> = sources.iter().map(|_| watch::channel(View::default())).collect();
    let looking = join_all(sources.iter().zip(&channels).map(|(it, (sender, _))| look(it, &namespace, sender)));
    let pairs: Vec<_> = pairs(session, sources.len(), members, &namespace);
    let following = join_all(pairs.iter().map(|pair| {
        let view = channels.get(pair.to).map(|(_, receiver)| receiver.clone());
        async move {
            match view {
                Some(view) => pair.follow(session, view).await,
                None => Vec::new(),
            }
        }
    }));
    let followed = tokio::select! {
        _ = looking => Vec::new(),
        followed = following => followed.into_iter().flatten().collect(),
    };
    summary(followed, is_mixed(&session.cluster.nodes))
}

async fn look(source: &Source, namespace: &str, sender: &watch::Sender<View>) {
    loop {
        // A look that fails shows nothing; the next may.
        if let Ok(view) = source.registry(namespace, "").await {
            sender.send_replace(Arc::new(view));
        }
        sleep(LOOK).await;
    }
}

/// One way: writes at `from`, looks at `to`; each of the three instances has a service with a certain responsible node.
struct Pair {
    number: usize,
    from: usize,
    to: usize,
    direction: String,
    subjects: [Subject; 3],
}

fn pairs(session: &Session<'_>, nodes: usize, members: &[String], namespace: &str) -> Vec<Pair> {
    let kind = |at: usize| session.cluster.nodes.get(at).map_or("?", |it| kind_name(it.kind));
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    let mut pairs = Vec::new();
    for (from, to) in (0..nodes).flat_map(|from| (0..nodes).map(move |to| (from, to))).filter(|(a, b)| a != b) {
        // The writer, the reader, and one of the others.
        let third = (0..nodes).find(|it| *it != from && *it != to);
        for owner in [Some(from), Some(to), third].into_iter().flatten() {
            let number = pairs.len();
            let subject = |part: usize| {
                let name = |salt: usize| format!("{}-p{number}-{part}-{salt}", session.tag);
                let address = session.clients.get(owner).map(|it| it.address());
                let hits = |it: &String| ring::responsible(&format!("DEFAULT_GROUP@@{it}"), &members) == address;
                // Where the ring is not known, any node may be responsible.
                let name = (0..200).map(name).find(hits).unwrap_or_else(|| name(0));
                Subject::new(namespace, "DEFAULT_GROUP", &name, loopback(2_000_000 + number * 3 + part), 80, "DEFAULT")
            };
            let direction = format!("{}→{}", kind(from), kind(to));
            pairs.push(Pair { number, from, to, direction, subjects: [subject(0), subject(1), subject(2)] });
        }
    }
    pairs
}

impl Pair {
    async fn follow(&self, session: &Session<'_>, view: watch::Receiver<View>) -> Vec<Followed> {
        // Not all new services at once: that would measure a burst, and not the way from one node to another.
        sleep(STAGGER * self.number as u32).await;
        let [kept, ill, expiring] = &self.subjects;
        let (a, b, c) = join3(
            self.changes(session, kept, view.clone()),
            self.stops_beating(session, ill, "unhealthy", view.clone()),
            self.stops_beating(session, expiring, "expired", view),
        )
        .await;
        a.into_iter().chain([b, c]).collect()
    }

    /// Registered, updated, deregistered.
    async fn changes(
        &self,
        session: &Session<'_>,
        subject: &Subject,
        mut view: watch::Receiver<View>,
    ) -> Vec<Followed> {
        let first = kept(1.0, true, Metadata::from([("v".into(), "1".into())]));
        let second = kept(7.5, false, Metadata::from([("v".into(), "2".into())]));
        let steps = [
            ("registered", Action::Register(first.clone()), Some(first)),
            ("updated", Action::Register(second.clone()), Some(second)),
            ("deregistered", Action::Deregister, None),
        ];
        let mut followed = Vec::new();
        for (change, action, wanted) in steps {
            let before = served(&view, subject).is_some();
            let result = match self.send(session, subject, &action).await {
                // What was never there cannot be seen to go.
                Ok(_) if wanted.is_none() && !before => Err("never seen there".to_owned()),
                Ok(since) => {
                    let right = |it: Option<&Served>| match (&wanted, it) {
                        (Some(wanted), Some(it)) => shows(wanted, it),
                        (None, it) => it.is_none(),
                        _ => false,
                    };
                    self.wait(&mut view, subject, since, SYNC_LIMIT, right).await
                }
                Err(problem) => Err(problem),
            };
            followed.push(self.followed(change, result));
        }
        followed
    }

    /// Beats for a while at the writer, is seen healthy at the reader, and stops.
    async fn stops_beating(
        &self,
        session: &Session<'_>,
        subject: &Subject,
        change: &'static str,
        mut view: watch::Receiver<View>,
    ) -> Followed {
        let mut it = kept(1.0, true, Metadata::new());
        it.metadata.insert("preserved.heart.beat.timeout".into(), BEAT_TIMEOUT_MS.to_string());
        if change == "expired" {
            it.metadata.insert("preserved.ip.delete.timeout".into(), DELETE_TIMEOUT_MS.to_string());
        }
        let result = async {
            let mut last = self.send(session, subject, &Action::Register(it.clone())).await?;
            let mut seen = false;
            let mut beats = 0;
            // Until the reader has seen it alive: what was never there cannot be seen to go.
            while beats < BEATS.1 || !seen {
                sleep(BEATS.0).await;
                let beat = if beats % 2 == 0 { Action::BeatLight } else { Action::BeatFull(it.clone()) };
                last = self.send(session, subject, &beat).await?;
                beats += 1;
                seen = seen || served(&view, subject).is_some_and(|it| it.healthy);
                if beats > 20 {
                    return Err("never seen alive there".to_owned());
                }
            }
            let right = |it: Option<&Served>| match change {
                "expired" => it.is_none(),
                _ => it.is_some_and(|it| !it.healthy),
            };
            self.wait(&mut view, subject, last, TIMED_LIMIT, right).await
        };
        let result = result.await;
        // Whatever became of it, nothing is left.
        let _ = self.send(session, subject, &Action::Deregister).await;
        self.followed(change, result)
    }

    /// Sends to the writer until it acknowledges; the first registration of a service may be refused by an official
    /// node whose consensus group has no quorum, and clients repeat it (`compat/spec/membership.md` M31).
    async fn send(&self, session: &Session<'_>, subject: &Subject, action: &Action) -> Result<Instant, String> {
        let Some(client) = session.clients.get(self.from) else { return Err("no such node".to_owned()) };
        let mut problem = String::new();
        for attempt in 1..=3u32 {
            let answer = send(client.address(), client.context(), subject, action).await;
            if answer.outcome == Outcome::Done {
                return Ok(Instant::now());
            }
            let status = answer.status.map_or_else(|| "no answer".to_owned(), |it| it.to_string());
            problem = format!("{} was not acknowledged: {status}: {}", action.name(), answer.said);
            sleep(Duration::from_millis(300) * attempt).await;
        }
        Err(problem)
    }

    async fn wait(
        &self,
        view: &mut watch::Receiver<View>,
        subject: &Subject,
        since: Instant,
        limit: Duration,
        right: impl Fn(Option<&Served>) -> bool,
    ) -> Result<Duration, String> {
        loop {
            if right(served(view, subject).as_ref()) {
                return Ok(since.elapsed());
            }
            if !matches!(timeout_at(since + limit, view.changed()).await, Ok(Ok(()))) {
                let shown = served(view, subject).map_or_else(|| "absent".to_owned(), |it| format!("{it:?}"));
                return Err(format!("{} not right after {} s: {shown}", subject.service, limit.as_secs()));
            }
        }
    }

    fn followed(&self, change: &'static str, result: Result<Duration, String>) -> Followed {
        Followed { change, direction: self.direction.clone(), result }
    }
}

fn shows(wanted: &Wanted, it: &Served) -> bool {
    wanted.weight == it.weight && wanted.enabled == it.enabled && it.healthy && wanted.metadata == it.metadata
}

/// What the latest look showed of an instance.
fn served(view: &watch::Receiver<View>, subject: &Subject) -> Option<Served> {
    view.borrow().get(&subject.service)?.instances.get(&subject.instance).cloned()
}

/// A row per change, and in a mixed cluster per change and direction; a check per change and direction always.
fn summary(followed: Vec<Followed>, mixed: bool) -> Pairs {
    let mut all = Pairs::default();
    for change in CHANGES {
        let mut by_direction: BTreeMap<&str, (Round, PairCheck)> = BTreeMap::new();
        for it in followed.iter().filter(|it| it.change == change) {
            let (values, check) = by_direction.entry(&it.direction).or_insert_with(|| {
                let check =
                    PairCheck { change: change.to_owned(), direction: it.direction.clone(), ..PairCheck::default() };
                (Round::new(), check)
            });
            match &it.result {
                Ok(time) => {
                    values.record_duration(*time);
                    check.held += 1;
                }
                Err(problem) => {
                    check.failed += 1;
                    check.failures.push(problem.clone());
                }
            }
        }
        let mut whole = Observation::new(NAME, "ms", Round::new()).with("change", change);
        for (direction, (values, check)) in by_direction {
            whole.values.merge(&values);
            whole.errors += check.failed;
            if mixed {
                let mut row = Observation::new(NAME, "ms", values).with("change", change).with("direction", direction);
                row.errors = check.failed;
                all.observations.push(row);
            }
            all.checks.push(check);
        }
        all.observations.push(whole);
    }
    all
}
