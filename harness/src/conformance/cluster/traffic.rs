//! What members send without being asked.

use anyhow::Result;

use crate::conformance::difference::Differences;
use crate::results::CaseResult;
use crate::target::Cluster;

/// Name of the area in reports.
pub const AREA: &str = "cluster-traffic";

/// Watches.
pub async fn run(_: &Cluster, _: [usize; 2], _: usize, _: &Differences) -> Result<Vec<CaseResult>> {
    Ok(Vec::new())
}
