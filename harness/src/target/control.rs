//! What is asked of the nodes of a running cluster, and told to them, while faults are done to it.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::Value;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use super::seat::write_members;
use super::{Cluster, Node, Slot};

impl Cluster {
    /// Whether the node at a position was started by this harness, so that it can be stopped.
    pub(crate) fn is_ours(&self, i: usize) -> bool {
        matches!(self.slots.get(i), Some(Slot::Process { .. } | Slot::Container(Some(_))))
    }

    /// Every member's `host:port`, as the nodes' lists have it now.
    pub(crate) fn members(&self) -> &BTreeSet<String> {
        &self.members
    }

    /// Writes another list of members for every node, also for those that do not run; the nodes see it by themselves.
    pub(crate) async fn set_members(&mut self, members: BTreeSet<String>) -> anyhow::Result<()> {
        for (slot, node) in self.slots.iter().zip(&self.nodes) {
            match (slot, node.logs.as_deref().and_then(Path::parent)) {
                (Slot::Container(Some(container)), _) => container.write_members(&members).await?,
                (Slot::Process { .. }, Some(home)) => write_members(home, &members)?,
                _ => bail!("{} was not started by this harness, so its list of members is not ours", node.address),
            }
        }
        self.members = members;
        Ok(())
    }

    /// What a node answers to a `GET`, as JSON.
    pub(crate) async fn ask(&self, node: &Node, path: &str) -> Result<Value, String> {
        self.prober.get_json(node, path).await
    }

    /// Sends JSON to a node that answers with a code of its own; fails unless that is 200.
    pub(crate) async fn post_json(&self, node: &Node, path: &str, body: &Value) -> anyhow::Result<()> {
        let answer = self.prober.post_json(node, path, body).await?;
        if answer["code"] != 200 {
            bail!("{} answers {answer} to {body}", node.address);
        }
        Ok(())
    }

    /// How far the clock of a node is ahead of this machine's, by the time in its answers, ms.
    pub(crate) async fn clock_ahead_ms(&self, node: &Node) -> Result<i64, String> {
        let time = self.prober.time(node).await?;
        let theirs = read_time(&time).ok_or_else(|| format!("{time:?} is no time"))?;
        let ahead = (theirs - OffsetDateTime::now_utc()).whole_milliseconds();
        i64::try_from(ahead).context("a date beyond all bounds").map_err(|error| error.to_string())
    }
}

/// From `2026-11-28T10:23:18.123+0000`, as Spring writes it, always in UTC.
fn read_time(text: &str) -> Option<OffsetDateTime> {
    let (time, _) = text.split_once('+')?;
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond]");
    Some(PrimitiveDateTime::parse(time, &format).ok()?.assume_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_both_spellings_of_the_zone_are_read() {
        let read = read_time("2026-11-28T10:23:18.123+0000").unwrap();
        assert_eq!(read_time("2026-11-28T10:23:18.123+00:00"), Some(read));
        assert_eq!(read.unix_timestamp_nanos(), 1_795_861_398_123_000_000);
        assert_eq!(read_time("Sat, 28 Nov 2026 10:23:18 GMT"), None);
    }
}
