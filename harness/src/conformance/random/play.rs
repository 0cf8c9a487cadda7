//! One sequence at both servers: every answer compared, and after each write the state behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::operation::{Operation, Service, TAG};
use super::pair::{Difference, Pair, Patience, Shown};
use crate::client::wire::{self, Limits};
use crate::conformance::play::request;

/// A sequence that has not ended by then is cut short: subscribers leave 10 s after their last query
/// (`compat/spec/health-and-push.md`), and what depends on that is not compared.
const TIME_MAX: Duration = Duration::from_secs(8);

/// What became of a sequence.
#[derive(Debug, Default)]
pub struct Played {
    /// Calls of the sequence that were made.
    pub operations: u64,
    /// Answers that were compared, looks at the state included.
    pub compared: u64,
    /// Answers that differ and are excused, by row of `compat/DIFFERENCES.md`.
    pub kept: BTreeMap<&'static str, u64>,
    /// How it ended.
    pub end: End,
}

/// How a sequence ended.
#[derive(Debug, Default)]
pub enum End {
    /// Every call was made and nothing differs.
    #[default]
    Whole,
    /// Time was up before the last call.
    CutShort,
    /// Something differs; the sequence ended there.
    Differs(Box<Difference>),
    /// It could not be judged.
    Unknown(String),
}

/// Plays a sequence under names of its own, and removes them again.
pub async fn play(pair: &Pair, operations: &[Operation], tag: &str, patience: &Patience) -> Played {
    let mut played = Played::default();
    let mut services = BTreeSet::new();
    played.end = through(pair, operations, tag, patience, &mut played, &mut services).await.unwrap_or_else(|end| end);
    clear(pair, &services, tag).await;
    played
}

async fn through(
    pair: &Pair,
    operations: &[Operation],
    tag: &str,
    patience: &Patience,
    played: &mut Played,
    services: &mut BTreeSet<Service>,
) -> Result<End, End> {
    // With pauses a sequence takes longer and is no less comparable: it is one that differed within the time.
    let time = TIME_MAX + patience.settle * u32::try_from(operations.len()).unwrap_or(u32::MAX);
    let started = Instant::now();
    for (index, operation) in operations.iter().enumerate() {
        if started.elapsed() > time {
            return Err(End::CutShort);
        }
        let history = operations.get(..=index).unwrap_or_default();
        played.operations += 1;
        count(pair.ask(operation, tag, history, false, patience).await, played)?;
        if operation.only_reads() {
            continue;
        }
        sleep(patience.settle).await;
        let service = operation.service();
        for look in looks(operation, service.as_ref()) {
            count(pair.ask(&look, tag, history, true, patience).await, played)?;
        }
        services.extend(service);
    }
    for look in listings() {
        count(pair.ask(&look, tag, operations, true, patience).await, played)?;
    }
    Ok(End::Whole)
}

fn count(shown: Shown, played: &mut Played) -> Result<(), End> {
    played.compared += 1;
    match shown {
        Shown::Same => {}
        Shown::Kept(id) => *played.kept.entry(id).or_default() += 1,
        Shown::Differs(difference) => return Err(End::Differs(difference)),
        Shown::Unknown(why) => return Err(End::Unknown(why)),
    }
    Ok(())
}

/// What shows whether a write has had the same effect on both.
fn looks(operation: &Operation, service: Option<&Service>) -> Vec<Operation> {
    if operation.is_global() {
        return vec![Operation::read("/nacos/v1/ns/operator/switches", &[])];
    }
    service.map(Service::looks).unwrap_or_default()
}

/// The sequence's own namespaces, at its end.
fn listings() -> Vec<Operation> {
    ["a", "b"]
        .into_iter()
        .map(|it| {
            let namespace = format!("{TAG}{it}");
            let params = [("pageNo", "1"), ("pageSize", "100"), ("namespaceId", namespace.as_str())];
            Operation::read("/nacos/v1/ns/catalog/services", &params)
        })
        .collect()
}

/// Removes the services of a run from both servers, so that thousands of sequences do not pile up; nothing of it is
/// compared.
async fn clear(pair: &Pair, services: &BTreeSet<Service>, tag: &str) {
    let names: BTreeSet<_> = services.iter().map(|it| (&it.namespace, &it.grouped)).collect();
    for (namespace, grouped) in names {
        let params = [("serviceName", grouped.as_str()), ("namespaceId", namespace.as_str())];
        let mut operation = Operation::read("/nacos/v1/ns/service", &params);
        operation.method = "DELETE".to_owned();
        let case = operation.case("clear", tag);
        for place in [&pair.reference, &pair.subject] {
            // What cannot be removed only takes memory.
            let _ = wire::exchange(place.asked(), &request(&case, place), &Limits::default()).await;
        }
    }
}
