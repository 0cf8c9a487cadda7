//! `tandem conform --clients`: the official clients at targets of any shape.

use std::process::ExitCode;

use anyhow::{Result, bail};

use super::{Conform, Kept, finish};
use crate::conformance::clients::sdk::Sdk;
use crate::conformance::clients::session::ClientSession;
use crate::doctor::is_reference_required;
use crate::target::interrupted;

pub(super) async fn run(args: &Conform, sdks: &[Sdk]) -> Result<ExitCode> {
    let mut sdks = sdks.to_vec();
    sdks.sort_unstable();
    sdks.dedup();
    let kept = Kept::begin(args);
    let session = ClientSession {
        sdks,
        targets: args.targets.clone(),
        stamp: kept.record.stamp().to_owned(),
        launch: args.launch.options(),
    };
    let verdicts = tokio::select! {
        done = session.run() => done?,
        signal = interrupted() => bail!("{signal}: stopped before the verdicts were in"),
    };
    if is_reference_required()
        && let Some(skipped) = verdicts.skipped.first()
    {
        bail!("real Nacos is required; {}: {}", skipped.what, skipped.reason);
    }
    let is_whole = verdicts.skipped.is_empty();
    let code = finish(args, &verdicts, kept)?;
    // A target that could not be started was asked for and not judged.
    Ok(if is_whole { code } else { ExitCode::from(1) })
}
