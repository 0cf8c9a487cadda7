//! Persistent writes: whatever was acknowledged survives SIGKILL at any moment.

// A test that cannot go on panics, in its helpers as well.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use tandem::experiment::persistent::kills::{self, KillPlan, judge::judge};
use tandem::experiment::restart_recovery::Context;
use tandem::results::Outcome;
use tandem::target::{LaunchOptions, Silent, TargetSpec, launch};
use tokio_util::sync::CancellationToken;

async fn killed(target: &str, kills: u32) {
    let spec: TargetSpec = target.parse().unwrap();
    let options =
        LaunchOptions { guard_program: Some(PathBuf::from(env!("CARGO_BIN_EXE_tandem"))), ..LaunchOptions::default() };
    let mut cluster = launch(&spec, &options).await.unwrap();
    let stop = CancellationToken::new();
    let context = Context { tag: "kills".to_owned(), seed: 1, stop: &stop, progress: &Silent };
    let events = kills::run(&mut cluster, KillPlan::of(kills), &context).await.unwrap();
    cluster.shutdown().await.unwrap();
    let judgement = judge(&events).unwrap();
    let said = (&judgement.violations, &judgement.unknown);
    assert_eq!(judgement.outcome(), Outcome::Pass, "{}: {said:?}", judgement.summary());
    assert_eq!(judgement.kills.len(), kills as usize);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_its_own_keeps_every_acknowledged_write_over_ten_kills() {
    killed("tandem", 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_three_keep_every_acknowledged_write_over_four_kills() {
    killed("3xtandem", 4).await;
}
