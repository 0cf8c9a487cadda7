//! One target after the other, each alone on the machine: for experiments that kill and start nodes, which would
//! disturb every other cluster.

use anyhow::{Result, bail};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::record::Record;
use super::{Ending, Parts, Plan};
use crate::results::Results;
use crate::target::{Cluster, Progress};

/// Starts every target of the plan, lets `work` do what it wants with it, and gives it back. What `work` fails at is
/// recorded as skipped with its reason.
///
/// # Errors
/// When no target could be started, when one could not and all are required, or when the results cannot be written.
pub async fn run<P: Parts>(
    plan: &Plan,
    parts: &P,
    stop: &CancellationToken,
    progress: &dyn Progress,
    mut work: impl AsyncFnMut(&mut Cluster, &mut Record) -> Result<()>,
) -> Result<(Results, Ending)> {
    let (began, mut record) = (Instant::now(), Record::begin(plan));
    let mut started = 0;
    for target in &plan.targets {
        if stop.is_cancelled() {
            break;
        }
        let launched = tokio::select! {
            launched = parts.launch(target) => launched,
            () = stop.cancelled() => break,
        };
        let mut cluster = match launched {
            Ok(cluster) => cluster,
            Err(error) if plan.require_all => return Err(error.context(format!("{target} is required"))),
            Err(error) => {
                record.skip(target, &format!("{error:#}"));
                continue;
            }
        };
        started += 1;
        progress.line(&format!("{target} is ready after {:.1} s", cluster.ready.as_secs_f64()));
        record.target(&cluster);
        if let Err(error) = work(&mut cluster, &mut record).await {
            record.skip(&format!("{} at {target}", plan.profile.name), &format!("{error:#}"));
        }
        let logs = record.went_wrong(target).then(|| plan.out.join("logs"));
        if let Err(error) = parts.shut_down(cluster, logs.as_deref()).await {
            record.skip(&format!("shutting down {target}"), &format!("{error:#}"));
        }
        parts.write(&record.results(began.elapsed()), &plan.out)?;
    }
    if stop.is_cancelled() {
        record.skip("the rest of the run", "it was interrupted");
    } else if started == 0 {
        bail!("no target could be started: {}", record.reasons());
    }
    let results = record.results(began.elapsed());
    parts.write(&results, &plan.out)?;
    parts.render(&results, &plan.out)?;
    Ok((results, if stop.is_cancelled() { Ending::Interrupted } else { Ending::Complete }))
}
