//! `memory`: resident set of every node, in bytes, from `/proc`. Read once when the cluster is idle and empty, and
//! again at the end of every round, after it has carried load.

use super::Observation;
use crate::stats::Round;
use crate::target::Cluster;

/// Name in the record.
pub const NAME: &str = "memory";

/// Resident memory of each node, bytes, in node order; empty unless it can be read for all of them.
pub fn resident_bytes(cluster: &Cluster) -> Vec<u64> {
    let all: Option<Vec<u64>> = cluster.nodes.iter().map(|it| resident(it.pid?)).collect();
    all.unwrap_or_default()
}

fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// One value per node; nothing where it cannot be read.
pub fn observe(cluster: &Cluster, state: &str) -> Option<Observation> {
    let bytes = resident_bytes(cluster);
    if bytes.is_empty() {
        return None;
    }
    let values = Round::of(bytes.iter().map(|it| *it as f64));
    Some(Observation::new(NAME, "bytes", values).with("state", state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_this_process_can_be_read() {
        assert!(resident(std::process::id()).is_some_and(|it| it > 1 << 20));
        assert_eq!(resident(u32::MAX), None);
    }
}
