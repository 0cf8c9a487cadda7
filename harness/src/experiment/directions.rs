//! One change in a mixed cluster, direction by direction: from the kind of node that was written to to the kind of each
//! other node.
//!
//! A write that reaches a node which is not responsible for the service is handed on, and replicated by the responsible
//! node at its own pace. What a kind of node is like as a sender shows only where it was responsible itself, so those
//! samples have a row of their own, `responsible: writer`, beside the row of all.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Observation, Session, is_mixed, kind_name};
use crate::agreement::ring::responsible;
use crate::client::Instance;
use crate::stats::Round;

/// The group of a service whose name has none.
const DEFAULT_GROUP: &str = "DEFAULT_GROUP";

/// The rows per direction of a mixed cluster; none otherwise.
pub(super) struct Directions {
    nodes: Vec<(&'static str, String)>,
    /// By direction, and whether the node written to was responsible.
    rows: BTreeMap<(String, bool), (Round, u64)>,
}

impl Directions {
    /// For the nodes of a session.
    pub(super) fn of(session: &Session<'_>) -> Self {
        let nodes = &session.cluster.nodes;
        let named = || nodes.iter().map(|it| (kind_name(it.kind), it.address.clone())).collect();
        Self { nodes: if is_mixed(nodes) { named() } else { Vec::new() }, rows: BTreeMap::new() }
    }

    /// Takes one sample: when each node showed a change of `instance` that was written at node `writer`.
    pub(super) fn record(&mut self, writer: usize, instance: &Instance, seen: &[Option<Duration>]) {
        let Some((from, address)) = self.nodes.get(writer) else { return };
        let addresses: Vec<&str> = self.nodes.iter().map(|(_, address)| address.as_str()).collect();
        let is_owner = responsible(&grouped(&instance.service), &addresses) == Some(address.as_str());
        for (reader, ((to, _), seen)) in self.nodes.iter().zip(seen).enumerate() {
            if reader == writer {
                continue;
            }
            for owner in [Some(false), is_owner.then_some(true)].into_iter().flatten() {
                let (values, errors) = self.rows.entry((format!("{from}→{to}"), owner)).or_default();
                match seen {
                    Some(latency) => values.record_duration(*latency),
                    None => *errors += 1,
                }
            }
        }
    }

    /// The rows that occurred, those of all samples first.
    pub(super) fn observations(self, experiment: &'static str) -> Vec<Observation> {
        let (of_owners, of_all): (Vec<_>, Vec<_>) = self.rows.into_iter().partition(|((_, owner), _)| *owner);
        let row = |((direction, owner), (values, errors)): ((String, bool), (Round, u64))| {
            let mut row = Observation::new(experiment, "ms", values).with("direction", direction);
            if owner {
                row = row.with("responsible", "writer");
            }
            row.errors = errors;
            row
        };
        of_all.into_iter().chain(of_owners).map(row).collect()
    }
}

/// `GROUP@@NAME`, which is what responsibility goes by.
fn grouped(service: &str) -> String {
    if service.contains("@@") { service.to_owned() } else { format!("{DEFAULT_GROUP}@@{service}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::KEEP;

    #[test]
    fn a_sample_counts_for_its_direction_and_for_the_writer_that_is_responsible() {
        let nodes = [("nacos", "a"), ("tandem", "b"), ("nacos", "c")];
        let nodes = nodes.map(|(kind, address)| (kind, address.to_owned())).to_vec();
        let mut directions = Directions { nodes, rows: BTreeMap::new() };
        // The vectors of compat/spec/distro.md §4: b is responsible for the first, a for the second.
        let seen = [Some(Duration::from_millis(7)), Some(Duration::ZERO), None];
        for service in ["h1-a", "h1-b"] {
            let instance = Instance::kept(service, "127.0.0.1".to_owned(), 80, KEEP);
            directions.record(1, &instance, &seen);
        }
        let rows: Vec<_> =
            directions.observations("x").into_iter().map(|row| (row.variant, row.values.len(), row.errors)).collect();
        let variant = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<crate::stats::Variant>()
        };
        let all = variant(&[("direction", "tandem→nacos")]);
        let own = variant(&[("direction", "tandem→nacos"), ("responsible", "writer")]);
        assert_eq!(rows, [(all, 2, 2), (own, 1, 1)]);
    }
}
