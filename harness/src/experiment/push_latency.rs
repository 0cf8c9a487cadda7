//! `push-latency`: how long after the acknowledgement of a registration does a subscriber hold the UDP push that contains
//! it?
//!
//! One subscriber per node, each as an official client would be one. A packet counts when it was decoded and lists the
//! instance. The row without a variant is the last subscriber of each sample; then come the subscriber on the node that
//! was written to, and those on the others, because a change reaches the former without any replication. A mixed
//! cluster also gets a row per direction, from the kind of node that was written to to the kind of each other node
//! that has a subscriber (`experiment::directions`).

use std::time::Duration;

use anyhow::Result;
use futures::future::{join_all, try_join_all};
use rand::RngExt as _;
use tokio::time::Instant;

use super::directions::Directions;
use super::keep_first;
use super::sync_latency::PAUSE_MS_MAX;
use super::workload::PushSocket;
use super::{Observation, Session, bulk};
use crate::client::{Instance, NacosClient};
use crate::stats::Round;

/// Name in the record.
pub const NAME: &str = "push-latency";

/// A push that has not come after this long is an error. Real Nacos sends an unacknowledged packet again after ten
/// seconds, which would then be a second chance and not a latency.
const PUSH_LIMIT: Duration = Duration::from_secs(9);

/// Name of the variant that says where the subscriber is.
const SUBSCRIBER: &str = "subscriber";

/// The rows of one round.
struct Rows {
    last: Observation,
    here: Observation,
    elsewhere: Observation,
    directions: Directions,
}

impl Rows {
    fn of(session: &Session<'_>) -> Self {
        let row = || Observation::new(NAME, "ms", Round::new());
        Self {
            last: row(),
            here: row().with(SUBSCRIBER, "on the node written to"),
            elsewhere: row().with(SUBSCRIBER, "on another node"),
            directions: Directions::of(session),
        }
    }

    /// Takes one sample: when the subscriber of each node held the push.
    fn record(&mut self, writer: usize, instance: &Instance, received: &[Option<Duration>]) {
        for (node, received) in received.iter().enumerate() {
            let row = if node == writer { &mut self.here } else { &mut self.elsewhere };
            match received {
                Some(latency) => row.values.record_duration(*latency),
                None => row.errors += 1,
            }
        }
        match received.iter().copied().collect::<Option<Vec<_>>>() {
            Some(all) => self.last.values.record_duration(all.into_iter().max().unwrap_or_default()),
            None => self.last.errors += 1,
        }
        self.directions.record(writer, instance, received);
    }

    fn observations(self) -> Vec<Observation> {
        let is_used = |row: &Observation| !row.values.is_empty() || row.errors > 0;
        let split = [self.here, self.elsewhere].into_iter().filter(is_used);
        std::iter::once(self.last).chain(split).chain(self.directions.observations(NAME)).collect()
    }
}

/// Measures `samples` registrations, or as many as fit; everything registered is removed again.
///
/// # Errors
/// When there is no UDP port or the clean-up cannot connect.
pub async fn run(session: &Session<'_>, samples: usize) -> Result<Vec<Observation>> {
    let subscribers = try_join_all(session.clients.iter().map(|it| PushSocket::open(it.address()))).await?;
    let mut random = session.random(NAME);
    let mut rows = Rows::of(session);
    let mut registered = Vec::new();
    for done in 0..samples {
        if session.is_over() {
            rows.last.notes.push(session.cut_short(done, samples));
            break;
        }
        session.show(NAME, done, samples);
        let pause = Duration::from_millis(random.random_range(0..=PAUSE_MS_MAX));
        let writer = random.random_range(0..session.clients.len().max(1));
        let instance = session.instance(&format!("{}-push-{done}", session.tag), done);
        let Some(client) = session.clients.get(writer) else { break };
        tokio::time::sleep(pause).await;
        registered.push(instance.clone());
        match sample(session, &subscribers, client, &instance).await {
            Ok(received) => rows.record(writer, &instance, &received),
            Err(error) => {
                rows.last.errors += 1;
                keep_first(&mut rows.last.notes, format!("round {}: {error:#}", session.round + 1));
            }
        }
    }
    let removed = bulk::deregister(session, &registered).await?;
    if removed.failed > 0 {
        let note = format!("{} instances could not be removed again: {}", removed.failed, removed.first_error());
        rows.last.notes.push(note);
    }
    Ok(rows.observations())
}

/// One registration of a service that every subscriber has just asked for; per node when its subscriber held the push,
/// nothing where it got none.
async fn sample(
    session: &Session<'_>,
    subscribers: &[PushSocket],
    writer: &NacosClient,
    instance: &Instance,
) -> Result<Vec<Option<Duration>>> {
    let pairs = || subscribers.iter().zip(session.clients);
    try_join_all(pairs().map(|(it, client)| it.subscribe(client, &instance.service))).await?;
    // The socket must be read while the write is under way: a push may come before the answer, and its time counts
    // from the answer all the same.
    let begun = Instant::now();
    let (answer, received) = tokio::join!(
        async { (writer.register(instance).await, Instant::now()) },
        join_all(subscribers.iter().map(|it| held(it, instance, begun)))
    );
    let (answer, acknowledged) = answer;
    answer?;
    Ok(received.into_iter().map(|it| it.map(|at| at.saturating_duration_since(acknowledged))).collect())
}

/// When a subscriber held a packet that lists the instance.
async fn held(subscriber: &PushSocket, instance: &Instance, since: Instant) -> Option<Instant> {
    loop {
        let left = PUSH_LIMIT.checked_sub(since.elapsed())?;
        let pushed = subscriber.next(left).await?;
        if pushed.listing.shows(instance) {
            return Some(pushed.at);
        }
    }
}
