//! `memory`: resident set of every node, in bytes. Read once when the cluster is idle and empty, and
//! again at the end of every round, after whatever the round did.

use super::Observation;
use crate::stats::Round;
use crate::target::Cluster;

/// Name in the record.
pub const NAME: &str = "memory";

/// One value per node; nothing where it cannot be read.
pub fn observe(cluster: &Cluster, state: &str) -> Option<Observation> {
    // A stopped node has no memory to speak of; it would only flatter the others.
    let bytes: Vec<_> = cluster.rss_bytes().into_iter().filter(|it| *it > 0).collect();
    if bytes.is_empty() {
        return None;
    }
    let values = Round::of(bytes.iter().map(|it| *it as f64));
    Some(Observation::new(NAME, "bytes", values).with("state", state))
}
