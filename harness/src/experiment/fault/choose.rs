//! From what nodes are to which they are, at the moment a step is due.

use anyhow::{Context as _, Result, bail};
use rand::RngExt as _;
use rand::rngs::StdRng;

use super::leader;
use super::scenario::Selector;
use crate::agreement::ring::responsible;
use crate::experiment::kind_name;
use crate::target::Cluster;

/// Positions of the selected nodes, each once, in order. `services` are the names of the load's.
///
/// # Errors
/// When a selector means nobody.
pub(super) async fn chosen(
    selectors: &[Selector],
    cluster: &Cluster,
    services: &[String],
    random: &mut StdRng,
) -> Result<Vec<usize>> {
    let mut nodes = Vec::new();
    for selector in selectors {
        nodes.extend(one(selector, cluster, services, random).await.with_context(|| format!("no node is {selector}"))?);
    }
    nodes.sort_unstable();
    nodes.dedup();
    Ok(nodes)
}

async fn one(selector: &Selector, cluster: &Cluster, services: &[String], random: &mut StdRng) -> Result<Vec<usize>> {
    let addresses: Vec<&str> = cluster.nodes.iter().map(|it| it.address.as_str()).collect();
    let by_address = |address: &str| addresses.iter().position(|it| *it == address);
    let leader = async || leader::find(cluster).await.context("no node tells of a leader of the persistent group");
    let found = match selector {
        Selector::Number(number) => (*number < addresses.len()).then_some(*number),
        Selector::All => return Ok((0..addresses.len()).collect()),
        Selector::Others => bail!("others stand on the other side of a link alone"),
        Selector::Leader => Some(leader().await?),
        Selector::Follower => {
            let leader = leader().await?;
            (0..addresses.len()).find(|it| *it != leader)
        }
        Selector::Followers => {
            let leader = leader().await?;
            return Ok((0..addresses.len()).filter(|it| *it != leader).collect());
        }
        Selector::First => addresses.iter().min().and_then(|it| by_address(it)),
        Selector::Last => addresses.iter().max().and_then(|it| by_address(it)),
        Selector::OwnerOf(service) => {
            let name = services.get(*service as usize).context("there is no such service")?;
            responsible(&format!("DEFAULT_GROUP@@{name}"), &addresses).and_then(by_address)
        }
        Selector::Any => Some(random.random_range(0..addresses.len().max(1))),
        Selector::Kind(kind) => {
            let of_kind = cluster.nodes.iter().enumerate().filter(|(_, node)| kind_name(node.kind) == kind);
            let nodes: Vec<_> = of_kind.map(|it| it.0).collect();
            if nodes.is_empty() {
                bail!("{} has none", cluster.target);
            }
            return Ok(nodes);
        }
    };
    found.map(|it| vec![it]).with_context(|| format!("{} has {} nodes", cluster.target, addresses.len()))
}
