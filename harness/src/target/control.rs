//! What is asked of the nodes of a running cluster, and told to them, while faults are done to it.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

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

    /// How far the clock of a node is ahead of this machine's, by the date in its answers, ms; exact to a second.
    pub(crate) async fn clock_ahead_ms(&self, node: &Node) -> Result<i64, String> {
        let date = self.prober.date(node).await?;
        let theirs = OffsetDateTime::parse(&date, &Rfc2822).map_err(|error| format!("{date:?}: {error}"))?;
        let ahead = (theirs - OffsetDateTime::now_utc()).whole_milliseconds();
        i64::try_from(ahead).context("a date beyond all bounds").map_err(|error| error.to_string())
    }
}
