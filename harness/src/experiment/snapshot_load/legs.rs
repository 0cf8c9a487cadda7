//! Who joins, whom it must load from, and who must be silent meanwhile.
//!
//! A Tandem node asks all members at once, so members of another kind than the one it is to load from are stopped. An
//! official node asks one after the other in address order and takes the first answer (`compat/spec/distro.md` §8.5),
//! and with embedded storage it does not finish its start without a JRaft majority
//! (`compat/spec/reference-targets.md` §5): the other official nodes must be alive, so it loads from Tandem only where
//! Tandem comes first in address order, which is node order.

/// Kind of official nodes.
const OFFICIAL: &str = "nacos";

/// One node that joins, and where it loads from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// Position of the node that joins.
    pub joiner: usize,
    /// Its kind.
    pub joiner_kind: String,
    /// Positions of the nodes it may load from, all of one kind.
    pub givers: Vec<usize>,
    /// Their kind.
    pub giver_kind: String,
    /// Positions of the nodes that are stopped for the whole leg.
    pub silent: Vec<usize>,
}

impl Leg {
    /// What happens, in words.
    pub fn name(&self) -> String {
        name(self.joiner, &self.joiner_kind, &self.giver_kind)
    }

    /// Whether a node is up before the join.
    pub fn is_filled(&self, node: usize) -> bool {
        node != self.joiner && !self.silent.contains(&node)
    }
}

fn name(joiner: usize, joiner_kind: &str, giver_kind: &str) -> String {
    format!("node {joiner} ({joiner_kind}) joins and loads from {giver_kind}")
}

/// The legs of a cluster of these kinds, in node order, and what is not possible with the reason. With one kind, its
/// last node joins; with several, the last node of each kind loads from every other kind.
pub fn plan(kinds: &[String]) -> (Vec<Leg>, Vec<(String, String)>) {
    let mut distinct: Vec<&String> = Vec::new();
    for kind in kinds {
        if !distinct.contains(&kind) {
            distinct.push(kind);
        }
    }
    let (mut legs, mut impossible) = (Vec::new(), Vec::new());
    for joiner_kind in &distinct {
        let Some(joiner) = kinds.iter().rposition(|it| it == *joiner_kind) else { continue };
        let others: Vec<(usize, &String)> = kinds.iter().enumerate().filter(|it| it.0 != joiner).collect();
        for giver_kind in distinct.iter().filter(|it| distinct.len() == 1 || *it != joiner_kind) {
            let of_kind = others.iter().filter(|it| it.1 == *giver_kind).map(|it| it.0);
            let rest = others.iter().filter(|it| it.1 != *giver_kind).map(|it| it.0);
            let (givers, silent): (Vec<usize>, Vec<usize>) = match joiner_kind.as_str() {
                OFFICIAL => (
                    of_kind.take(1).filter(|it| others.first().is_some_and(|first| first.0 == *it)).collect(),
                    Vec::new(),
                ),
                _ => (of_kind.collect(), rest.collect()),
            };
            if givers.is_empty() {
                if joiner_kind.as_str() == OFFICIAL && !others.is_empty() {
                    let reason = format!(
                        "an official node loads from the first member in address order; put {giver_kind} first in the \
                         target"
                    );
                    impossible.push((name(joiner, joiner_kind, giver_kind), reason));
                }
                continue;
            }
            legs.push(Leg {
                joiner,
                joiner_kind: (*joiner_kind).clone(),
                givers,
                giver_kind: (*giver_kind).clone(),
                silent,
            });
        }
    }
    (legs, impossible)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Planned = (Vec<(usize, Vec<usize>, Vec<usize>)>, usize);

    fn planned(kinds: &[&str]) -> Planned {
        let kinds: Vec<_> = kinds.iter().map(|it| (*it).to_owned()).collect();
        let (legs, impossible) = plan(&kinds);
        (legs.into_iter().map(|it| (it.joiner, it.givers, it.silent)).collect(), impossible.len())
    }

    #[test]
    fn one_kind_has_one_leg() {
        assert_eq!(planned(&["tandem"; 3]), (vec![(2, vec![0, 1], vec![])], 0));
        assert_eq!(planned(&["nacos"; 3]), (vec![(2, vec![0], vec![])], 0));
        assert_eq!(planned(&["tandem"]), (vec![], 0));
    }

    #[test]
    fn two_kinds_have_one_leg_each_way_where_the_official_order_allows_it() {
        assert_eq!(planned(&["tandem", "nacos", "nacos"]), (vec![(0, vec![1, 2], vec![]), (2, vec![0], vec![])], 0));
        assert_eq!(planned(&["nacos", "nacos", "tandem"]), (vec![(2, vec![0, 1], vec![])], 1));
        assert_eq!(planned(&["nacos", "tandem", "tandem"]), (vec![(0, vec![1], vec![]), (2, vec![0], vec![1])], 0));
    }
}
