//! `tandem expiry`: when beats stop and when checked ports close, until every node shows it; and whether that is when
//! official nodes do.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use tokio::time::Instant;

use super::measure::{self, MeasureArgs};
use crate::client::NacosClient;
use crate::compare::in_turn;
use crate::compare::record::Record;
use crate::experiment::Session;
use crate::experiment::expiry::verdicts::{held, verdicts};
use crate::experiment::expiry::{self, ExpiryPlan};
use crate::profile::Profile;
use crate::results::WindowCheck;
use crate::target::{Cluster, NodeKind};

/// Stop the beats of instances, and close the ports of checked ones; say when every node shows it.
///
/// Every change is held to the time in which official nodes make it, or in which real Nacos made it in the same run.
/// Exits with 1 when an instance at a node that is not real was outside of that, or could not be judged. Takes about
/// a minute per target, and up to two and a half more for clusters: official nodes do not report health to each other
/// in their first minute.
#[derive(Debug, Args)]
pub(super) struct ExpiryArgs {
    /// Instances with default timeouts, and as many with their own
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=2000))]
    instances: u32,
    /// Instances whose beats come again
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=2000))]
    revived: u32,
    /// Persistent instances that the server checks over TCP
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(0..=500))]
    checked: u32,
    #[command(flatten)]
    measure: MeasureArgs,
}

pub(super) async fn run(args: ExpiryArgs) -> Result<ExitCode> {
    let plan = ExpiryPlan {
        instances: args.instances as usize,
        revived: args.revived as usize,
        checked: args.checked as usize,
    };
    let begun = measure::begin(args.measure, Profile::none("expiry"))?;
    let mut all = Vec::new();
    let work = async |cluster: &mut Cluster, record: &mut Record| -> Result<()> {
        let clients: Vec<_> = cluster.nodes.iter().map(|it| Arc::new(NacosClient::new(it))).collect();
        let session = Session {
            cluster,
            clients: &clients,
            round: 0,
            tag: format!("t{}", record.stamp()),
            resident: None,
            outlives_the_run: cluster.nodes.iter().any(|it| it.kind == NodeKind::Url),
            seed: begun.plan.seed,
            deadline: Instant::now() + Duration::from_secs(24 * 3600),
            stop: &begun.stop,
            out: Some(&begun.plan.out),
            progress: begun.progress.as_ref(),
        };
        all.push(expiry::run(&session, plan).await?);
        record.expired(&all);
        Ok(())
    };
    let (results, ending) = in_turn::run(&begun.plan, &begun.parts, &begun.stop, begun.progress.as_ref(), work).await?;
    if !begun.json {
        results.windows.iter().for_each(|it| println!("{}", line(it)));
    }
    let held = held(&all, &verdicts(&all)) && all.len() == begun.plan.targets.len();
    begun.end(&results, ending, held)
}

/// One verdict as a line.
fn line(check: &WindowCheck) -> String {
    let seconds = |range: Option<(f64, f64)>| match range {
        Some((least, most)) => format!("{:.2} to {:.2} s", least / 1000.0, most / 1000.0),
        None => "not seen".to_owned(),
    };
    let direction = check.direction.as_ref().map(|it| format!(" ({it})")).unwrap_or_default();
    let reasons = if check.reasons.is_empty() { String::new() } else { format!(": {}", check.reasons.join("; ")) };
    format!(
        "{:?} {} {}, {}, at {}{direction}, by {}: {} [official ({:.1}, {:.1}] s; real {}]{reasons}",
        check.outcome,
        check.target,
        check.change,
        check.instances,
        check.at,
        check.by,
        seconds(check.min_ms.zip(check.max_ms)),
        check.above_ms / 1000.0,
        check.at_most_ms / 1000.0,
        seconds(check.real_min_ms.zip(check.real_max_ms)),
    )
}
