//! Counting what a node shows: are all the instances that were acknowledged in its lists?

use std::time::Duration;

use futures::StreamExt as _;
use indexmap::IndexMap;
use tokio::time::Instant;

use super::visibility::pause;
use super::{Session, visibility};
use crate::client::{Instance, NacosClient};

/// Lists that are read from one node at the same time.
const READS_AT_ONCE: usize = 4;

/// Instances by service, in the order the services are to be checked.
pub type Population = IndexMap<String, Vec<Instance>>;

/// Groups instances by service, services in the order they first occur.
pub fn by_service(instances: &[Instance]) -> Population {
    let mut population = Population::new();
    for instance in instances {
        population.entry(instance.service.clone()).or_default().push(instance.clone());
    }
    population
}

/// The services of `population` that the node does not show in full, with the time each of the others was first seen
/// complete; one pass.
pub async fn incomplete(
    client: &NacosClient,
    population: &Population,
    seen: &mut IndexMap<String, Instant>,
) -> Vec<String> {
    let pending = population.iter().filter(|(service, _)| !seen.contains_key(*service));
    let checks: Vec<_> = pending.map(|(service, instances)| is_complete(client, service, instances)).collect();
    let results: Vec<_> = futures::stream::iter(checks).buffered(READS_AT_ONCE).collect().await;
    let mut late = Vec::new();
    for (service, complete) in results {
        match complete {
            Some(at) => drop(seen.insert(service, at)),
            None => late.push(service),
        }
    }
    late
}

async fn is_complete(client: &NacosClient, service: &str, instances: &[Instance]) -> (String, Option<Instant>) {
    let listing = client.list(service).await.ok();
    let shown = |listing: crate::client::nacos::Listing| {
        let hosts: std::collections::HashSet<_> = listing.hosts.into_iter().map(|it| (it.ip, it.port)).collect();
        instances.iter().all(|it| hosts.contains(&(it.ip.clone(), it.port)))
    };
    let complete = listing.is_some_and(shown).then(Instant::now);
    (service.to_owned(), complete)
}

/// Waits until the node shows all of `population`; returns the services it still does not show in full after
/// [`visibility::VISIBLE_LIMIT`].
pub async fn wait_complete(session: &Session<'_>, client: &NacosClient, population: &Population) -> Vec<String> {
    let (began, mut seen) = (Instant::now(), IndexMap::new());
    loop {
        let late = incomplete(client, population, &mut seen).await;
        let age = began.elapsed();
        if late.is_empty() || age >= visibility::VISIBLE_LIMIT || session.stop.is_cancelled() {
            return late;
        }
        tokio::time::sleep(pause(age)).await;
    }
}

/// Waits until every node counts exactly `expected` instances, or, when that is not known, until all count the same for
/// a moment; returns the number, or nothing when it does not happen within `limit` or the nodes do not count.
///
/// Agreement alone is a weak sign: right after a mass removal each node has dropped its own share, and the shares may
/// be of one size.
pub async fn settled(session: &Session<'_>, expected: Option<u64>, limit: Duration) -> Option<u64> {
    const CALM: Duration = Duration::from_millis(500);
    let began = Instant::now();
    let mut agreed: Option<(u64, Instant)> = None;
    loop {
        let counts = futures::future::join_all(session.clients.iter().map(|it| it.metrics())).await;
        let counts: Vec<_> = counts.into_iter().map(|it| it.ok().map(|it| it.instance_count)).collect();
        let same = counts.windows(2).all(|it| matches!(it, [a, b] if a == b));
        match (counts.first().copied().flatten(), agreed) {
            (Some(count), _) if same && expected == Some(count) => return Some(count),
            (Some(count), Some((before, since))) if same && count == before && expected.is_none() => {
                if since.elapsed() >= CALM {
                    return Some(count);
                }
            }
            (Some(count), _) if same => agreed = Some((count, Instant::now())),
            _ => agreed = None,
        }
        if began.elapsed() >= limit || session.stop.is_cancelled() {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the node counts at least `count` instances, from `since` on; nothing when it does not within `limit`.
pub async fn counted(
    session: &Session<'_>,
    client: &NacosClient,
    count: u64,
    since: Instant,
    limit: Duration,
) -> Option<Instant> {
    loop {
        let shown = client.metrics().await.ok().map(|it| it.instance_count);
        let now = Instant::now();
        if shown.is_some_and(|it| it >= count) {
            return Some(now);
        }
        let age = now.duration_since(since);
        if age >= limit || session.stop.is_cancelled() {
            return None;
        }
        tokio::time::sleep(pause(age)).await;
    }
}
