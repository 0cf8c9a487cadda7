//! Generated sequences at running servers: a planted difference is found and shrunk, equal servers do not differ, and
//! Tandem does not differ from real Nacos.

// A test that cannot go on panics, in its helpers as well.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::time::Duration;

use tandem::conformance::case::CaseSet;
use tandem::conformance::random::session::{Options, run};
use tandem::doctor::{doctor, is_reference_required};
use tandem::target::{Cluster, LaunchOptions, Mode, TargetSpec, launch};

/// Generous, for a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(120);

async fn started(spec: &str) -> Cluster {
    let options = LaunchOptions {
        guard_program: Some(PathBuf::from(env!("CARGO_BIN_EXE_tandem"))),
        ready_timeout: PATIENCE,
        single_mode: Mode::Standalone,
        heap_mb: Some(384),
        ..LaunchOptions::default()
    };
    let spec: TargetSpec = spec.parse().unwrap();
    launch(&spec, &options).await.unwrap()
}

fn options(operations: u64) -> Options {
    Options { seed: 11, operations, sequences: None, out: None, progress: None }
}

async fn switch(cluster: &Cluster, entry: &str, value: &str) {
    let url = format!("{}/v1/ns/operator/switches?entry={entry}&value={value}", cluster.node(0).unwrap().base_url());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    assert!(client.put(url).send().await.unwrap().status().is_success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_set_differently_is_found_out_in_one_call() {
    let (one, other) = (started("tandem").await, started("tandem").await);
    let same = run(&one, &other, &options(400)).await.unwrap();
    assert_eq!((same.differing, same.errors.as_slice(), same.unrepeated.as_slice()), (0, &[][..], &[][..]));
    assert_eq!((same.sequences, same.operations), (10, 400));
    assert!(same.compared > 800, "{same:?}");

    switch(&other, "clientBeatInterval", "7000").await;
    let out = tempfile::tempdir().unwrap();
    let options = Options { out: Some(out.path().to_owned()), ..options(400) };
    let planted = run(&one, &other, &options).await.unwrap();
    assert!(planted.differing > 0 && !planted.differences.is_empty(), "{planted:?}");
    for found in &planted.differences {
        let observed = found.observed.as_ref().unwrap();
        assert!(found.expected.body.contains("\"clientBeatInterval\":5000"), "{found:?}");
        assert!(observed.body.contains("\"clientBeatInterval\":7000"), "{found:?}");
        assert_eq!(found.steps.len(), 1, "{found:?}");
    }
    let file = planted.differences[0].case_file.as_ref().unwrap();
    let alone = tempfile::tempdir().unwrap();
    std::fs::copy(file, alone.path().join("case.toml")).unwrap();
    assert_eq!(CaseSet::load(alone.path()).unwrap().cases.len(), 1);

    one.shutdown().await.unwrap();
    other.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tandem_answers_generated_calls_as_real_nacos_does() {
    let machine = doctor(None).await;
    machine.require().unwrap();
    if !machine.reference().is_real() {
        assert!(!is_reference_required());
        println!("skipped: no JDK and Maven, Docker or distribution to take real Nacos from");
        return;
    }
    let (real, tandem) = (started("nacos@1.4.1").await, started("tandem").await);
    real.wait_consensus_switch(Duration::from_secs(30)).await.unwrap();
    let judged = run(&real, &tandem, &options(200)).await.unwrap();
    assert_eq!((judged.differing, judged.errors.len(), judged.sequences), (0, 0, 5), "{judged:#?}");
    assert!(judged.compared > 400, "{judged:?}");
    tandem.shutdown().await.unwrap();
    real.shutdown().await.unwrap();
}
