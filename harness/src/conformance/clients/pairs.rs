//! Which node is written to, and which one is subscribed to: another one wherever there is another.

use crate::experiment::kind_name;
use crate::target::Node;

/// Two nodes of a cluster; the same one when it has no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Position of the node written to.
    pub write: usize,
    /// Position of the node subscribed to.
    pub subscribe: usize,
    /// `""` for one node, `@cluster` for nodes of one kind, `@nacos-tandem` from an official node to a Tandem node.
    pub suffix: String,
    /// `nacos→tandem`; none when all nodes are of one kind.
    pub direction: Option<String>,
}

/// One pair for every two kinds of node that occur, in both directions; for nodes of one kind the first two.
pub fn pairs(nodes: &[Node]) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for (write, from) in nodes.iter().enumerate() {
        for (subscribe, to) in nodes.iter().enumerate() {
            if from.kind == to.kind {
                continue;
            }
            let (from, to) = (kind_name(from.kind), kind_name(to.kind));
            let suffix = format!("@{from}-{to}");
            if !pairs.iter().any(|it: &Pair| it.suffix == suffix) {
                pairs.push(Pair { write, subscribe, suffix, direction: Some(format!("{from}→{to}")) });
            }
        }
    }
    if pairs.is_empty() {
        let several = nodes.len() > 1;
        let suffix = if several { "@cluster" } else { "" }.to_owned();
        pairs.push(Pair { write: 0, subscribe: usize::from(several), suffix, direction: None });
    }
    pairs
}
