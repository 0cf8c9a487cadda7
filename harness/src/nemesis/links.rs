//! Rules of the network between the nodes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Proof, own_network};
use crate::network::{Counts, Endpoint, Rule};
use crate::target::Cluster;

/// From whom to whom.
pub(super) type Direction = (Endpoint, Endpoint);

/// What became of packets so far, by direction.
pub(super) type Tally = BTreeMap<Direction, Counts>;

/// Every direction between endpoints of different groups, or only those from an earlier group to a later.
pub(super) fn between(groups: &[Vec<Endpoint>], one_way: bool) -> Vec<Direction> {
    let mut directions = Vec::new();
    for (i, from) in groups.iter().enumerate() {
        for (j, to) in groups.iter().enumerate() {
            if i < j || (i > j && !one_way) {
                directions.extend(from_to(from, to));
            }
        }
    }
    directions
}

/// Every direction from one of `from` to another of `to`.
pub(super) fn from_to(from: &[Endpoint], to: &[Endpoint]) -> Vec<Direction> {
    from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to))).filter(|(from, to)| from != to).collect()
}

/// Puts a rule in force; returns what had become of packets there until then.
pub(super) fn set(cluster: &Cluster, directions: Vec<Direction>, rule: &Rule) -> anyhow::Result<Tally> {
    let fabric = own_network(cluster)?;
    for (from, to) in &directions {
        fabric.set(*from, *to, rule.clone());
    }
    let counts = fabric.counts();
    Ok(directions.into_iter().filter_map(|direction| Some((direction, *counts.get(&direction)?))).collect())
}

/// Clears all rules; returns what had become of packets where there was one.
pub(super) fn heal(cluster: &Cluster) -> anyhow::Result<Tally> {
    let fabric = own_network(cluster)?;
    let disturbed = fabric.disturbed();
    fabric.heal();
    let counts = fabric.counts();
    Ok(disturbed.into_iter().filter_map(|direction| Some((direction, *counts.get(&direction)?))).collect())
}

/// What became of packets since `before`, by direction.
fn since(cluster: &Cluster, before: &Tally) -> Tally {
    let now = cluster.fabric().map(|fabric| fabric.counts()).unwrap_or_default();
    before
        .iter()
        .map(|(direction, before)| (*direction, now.get(direction).copied().unwrap_or_default().since(*before)))
        .collect()
}

/// The rule met packets.
pub(super) fn disturbed(cluster: &Cluster, before: &Tally) -> Proof {
    let since = since(cluster, before);
    let all = since.values().fold(Counts::default(), |all, counts| all.plus(*counts));
    let mut what = [
        (all.cut, "cut"),
        (all.lost, "lost"),
        (all.overflowed, "overflowed"),
        (all.delayed, "delayed"),
        (all.reordered, "reordered"),
    ]
    .iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, name)| format!("{count} packets {name}"))
    .collect::<Vec<_>>()
    .join(", ");
    if what.is_empty() {
        return Proof::new(false, "no packet met the rule");
    }
    let mut hit: Vec<_> = since.iter().filter(|(_, counts)| counts.disturbed() > 0).collect();
    hit.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.disturbed()));
    if let Some(((from, to), counts)) = hit.first() {
        let _ = write!(what, " in {} directions, most from {from} to {to} ({})", hit.len(), counts.disturbed());
    }
    Proof::new(true, what)
}

/// Packets pass where the rules were.
pub(super) fn passing(cluster: &Cluster, before: &Tally) -> Proof {
    let all = since(cluster, before).values().fold(Counts::default(), |all, counts| all.plus(*counts));
    if before.is_empty() {
        return Proof::new(true, "no link had a rule");
    }
    Proof::new(all.forwarded > 0, format!("{} packets passed in {} healed directions", all.forwarded, before.len()))
}

#[cfg(test)]
mod tests {
    use super::Endpoint::{Clients, Node};
    use super::*;

    #[test]
    fn a_partition_cuts_both_ways_or_one_and_nothing_within_a_group() {
        let groups = [vec![Node(0)], vec![Node(1), Node(2)]];
        let all = between(&groups, false);
        assert_eq!(all, [(Node(0), Node(1)), (Node(0), Node(2)), (Node(1), Node(0)), (Node(2), Node(0))]);
        assert_eq!(between(&groups, true), [(Node(0), Node(1)), (Node(0), Node(2))]);
    }

    #[test]
    fn nobody_has_a_link_to_itself() {
        let all = from_to(&[Node(0), Node(1), Clients], &[Node(1)]);
        assert_eq!(all, [(Node(0), Node(1)), (Clients, Node(1))]);
    }
}
