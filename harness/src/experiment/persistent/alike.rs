//! Whether all nodes hold the same persistent instances and services. Health is left out: each node checks the
//! instances it is responsible for and tells the others in its own time, and none of it is persistent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;
use futures::future::try_join_all;
use tokio::time::{Instant, sleep};

use crate::agreement::content::{InstanceKey, Metadata, ServiceKey, metadata_text};
use crate::agreement::read::Source;
use crate::target::Node;

/// Time between two comparisons.
const LOOK: Duration = Duration::from_millis(200);

/// Differences that are named.
const NAMED_MAX: usize = 5;

/// The namespace everything of the harness is in.
const NAMESPACE: &str = "public";

/// What one node holds, health left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Held {
    /// Metadata of each service.
    pub services: BTreeMap<ServiceKey, Metadata>,
    /// Weight, whether enabled, metadata of each instance.
    pub instances: BTreeMap<(ServiceKey, InstanceKey), (f64, bool, Metadata)>,
}

/// Reads what each node holds of the services whose name contains `part`.
///
/// # Errors
/// When one cannot be read.
pub async fn read(nodes: &[Node], part: &str) -> Result<Vec<Held>> {
    let one = |node: &Node| {
        let source = Source { address: node.address.clone(), context: node.context_path.clone() };
        async move { source.registry(NAMESPACE, part).await }
    };
    let all = try_join_all(nodes.iter().map(one)).await?;
    Ok(all
        .into_iter()
        .map(|registry| {
            let mut held = Held::default();
            for (service, registered) in registry {
                for (key, it) in registered.instances {
                    held.instances.insert((service.clone(), key), (it.weight, it.enabled, it.metadata));
                }
                held.services.insert(service, registered.metadata);
            }
            held
        })
        .collect())
}

/// What differs between the nodes, in words: how much, and the first few. Empty when nothing does.
pub fn differences(nodes: &[Node], held: &[Held]) -> Vec<String> {
    let Some((first, rest)) = held.split_first() else { return Vec::new() };
    let address = |at: usize| nodes.get(at).map_or("?", |it| it.address.as_str());
    let mut all = Vec::new();
    for (at, other) in rest.iter().enumerate() {
        let services: BTreeSet<_> = first.services.keys().chain(other.services.keys()).collect();
        for key in services {
            let (one, two) = (first.services.get(key), other.services.get(key));
            if one != two {
                let text = |it: Option<&Metadata>| it.map_or_else(|| "absent".to_owned(), metadata_text);
                all.push(format!("{key}: {} at {}, {} at {}", text(one), address(0), text(two), address(at + 1)));
            }
        }
        let instances: BTreeSet<_> = first.instances.keys().chain(other.instances.keys()).collect();
        for key in instances {
            let (one, two) = (first.instances.get(key), other.instances.get(key));
            if one != two {
                let text = |it: Option<&(f64, bool, Metadata)>| {
                    it.map_or_else(
                        || "absent".to_owned(),
                        |(weight, enabled, metadata)| {
                            format!("weight {weight}, enabled {enabled}, {}", metadata_text(metadata))
                        },
                    )
                };
                let (service, instance) = key;
                let (one, two) = (text(one), text(two));
                all.push(format!("{instance} of {service}: {one} at {}, {two} at {}", address(0), address(at + 1)));
            }
        }
    }
    let more = all.len().saturating_sub(NAMED_MAX);
    all.truncate(NAMED_MAX);
    if more > 0 {
        all.push(format!("and {more} more"));
    }
    all
}

/// Waits until all nodes hold the same and the first of them satisfies `right`; returns how long that took, or what was
/// not so when the time was over.
pub async fn wait(
    nodes: &[Node],
    part: &str,
    limit: Duration,
    right: impl Fn(&Held) -> Result<(), String>,
) -> Result<Duration, Vec<String>> {
    let begun = Instant::now();
    loop {
        let wrong = match read(nodes, part).await {
            Ok(held) => match (differences(nodes, &held), held.first().map_or(Ok(()), &right)) {
                (differing, Ok(())) if differing.is_empty() => return Ok(begun.elapsed()),
                (differing, Ok(())) => differing,
                (mut differing, Err(what)) => {
                    differing.insert(0, what);
                    differing
                }
            },
            Err(error) => vec![format!("{error:#}")],
        };
        if begun.elapsed() > limit {
            return Err(wrong);
        }
        sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(weight: f64, service: Option<&str>) -> Held {
        let key = |name: &str| ServiceKey { namespace: NAMESPACE.to_owned(), name: name.to_owned() };
        let instance = InstanceKey { ip: "10.0.0.1".to_owned(), port: 80, cluster: "DEFAULT".to_owned() };
        Held {
            services: service.into_iter().map(|it| (key(it), Metadata::new())).collect(),
            instances: BTreeMap::from([((key("a"), instance), (weight, true, Metadata::new()))]),
        }
    }

    #[test]
    fn whatever_is_not_the_same_at_every_node_is_named() {
        assert!(differences(&[], &[held(1.0, None), held(1.0, None), held(1.0, None)]).is_empty());
        let changed = differences(&[], &[held(1.0, None), held(1.0, None), held(2.0, None)]);
        assert!(
            changed.len() == 1 && changed[0].contains("weight 1") && changed[0].contains("weight 2"),
            "{changed:?}"
        );
        let lacking = differences(&[], &[held(1.0, Some("s")), held(1.0, None)]);
        assert!(lacking.len() == 1 && lacking[0].contains("absent"), "{lacking:?}");
        assert!(!differences(&[], &[held(1.0, None), Held::default()]).is_empty());
    }
}
