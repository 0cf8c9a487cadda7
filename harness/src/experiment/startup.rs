//! `startup`: from the start of the first process until the cluster was usable on every node, and the processor time
//! each node had used by then. The launcher measured both; processor time is the figure that travels between machines.

use super::Observation;
use crate::stats::Round;
use crate::target::Cluster;

/// Name in the record.
pub const NAME: &str = "startup";

/// One value for the start of `cluster`, and one per node for its processor time; nothing for a cluster that somebody
/// else started.
pub fn observe(cluster: &Cluster) -> Vec<Observation> {
    if cluster.ready.is_zero() {
        return Vec::new();
    }
    let mut wall = Round::new();
    wall.record_duration(cluster.ready);
    let mut observations = vec![Observation::new(NAME, "ms", wall).with("clock", "wall")];
    if !cluster.cpu_seconds.is_empty() {
        let values = Round::of(cluster.cpu_seconds.iter().map(|it| it * 1000.0));
        let mut row = Observation::new(NAME, "ms", values).with("clock", "processor, per node");
        row.notes.push("the system counts processor time in steps of 10 ms".to_owned());
        observations.push(row);
    }
    observations
}
