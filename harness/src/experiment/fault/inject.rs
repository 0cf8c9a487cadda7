//! A step as what the nemesis can do: how it begins, and how it ends.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::leader;
use super::run::Context;
use super::scenario::{Action, Direction, Step};
use crate::experiment::kind_name;
use crate::nemesis::{self, Action as Deed, Applied};
use crate::network::{Endpoint, Rule};
use crate::target::Cluster;

/// How long the effect of what happens once is waited for.
const EFFECT_LIMIT: Duration = Duration::from_secs(12);

/// A fault that is in force, or that has happened.
#[derive(Debug)]
pub(super) struct Begun {
    /// In words.
    pub(super) what: String,
    /// What was done, in order; the first of it was in force first.
    pub(super) done: Vec<Applied>,
    /// What ends it; nothing for what happens once.
    pub(super) undo: Vec<Deed>,
    /// For what happens once: nodes that were started by it, so that it is over when they answer.
    pub(super) restarted: Vec<usize>,
    /// Whether it had effect, with what shows it, where that can be said at once.
    pub(super) proof: Option<(bool, String)>,
}

/// Why a step cannot be done at this cluster, if it cannot: one sentence, with what would make it possible.
pub(super) fn impossible(cluster: &Cluster, step: &Step) -> Option<String> {
    let actions = if step.of.is_empty() { std::slice::from_ref(&step.action) } else { &step.of };
    let others: Vec<usize> = (1..cluster.nodes.len()).collect();
    // Which node it will be is not known yet; all of one cluster were launched alike.
    let deeds = actions.iter().flat_map(|action| deeds(*action, step, &[0], &others).0);
    deeds.into_iter().find_map(|deed| nemesis::capability(&deed, cluster).err())
}

/// Does `action` to `nodes`; `from` is the other side of a link.
///
/// # Errors
/// When it cannot be done here.
pub(super) async fn begin(
    cluster: &mut Cluster,
    context: &Context<'_>,
    action: Action,
    step: &Step,
    nodes: &[usize],
    from: &[usize],
) -> Result<Begun> {
    let mut begun = Begun {
        what: words(cluster, action, step, nodes, from),
        done: Vec::new(),
        undo: Vec::new(),
        restarted: Vec::new(),
        proof: None,
    };
    match action {
        Action::Become => {
            let kind = step.kind.as_deref().context("nothing is to take the seat")?.parse()?;
            for &node in nodes {
                cluster.replace_node(node, &kind, context.options).await?;
            }
            let now: Vec<_> = nodes.iter().filter_map(|it| Some(kind_name(cluster.nodes.get(*it)?.kind))).collect();
            (begun.restarted, begun.proof) = (nodes.to_vec(), Some((true, format!("now {}", now.join(", ")))));
        }
        Action::TouchMembers => {
            for &node in nodes {
                cluster.touch_members(node).await?;
            }
            begun.proof = Some((true, format!("{} lists written", nodes.len())));
        }
        Action::TransferLeader => {
            let old = leader::find(cluster).await.context("no node tells of a leader of the persistent group")?;
            let mut candidates = nodes.iter().copied().chain(0..cluster.nodes.len());
            let to = candidates.find(|it| *it != old).context("there is nobody to hand over to")?;
            begun.what = format!("{} is told to hand over to {}", names(cluster, &[old]), names(cluster, &[to]));
            let applied = nemesis::apply(cluster, &Deed::TransferLeader { to }).await?;
            let proof = nemesis::proof_within(cluster, &applied, EFFECT_LIMIT).await;
            (begun.done, begun.proof) = (vec![applied], Some((proof.bit, proof.what)));
        }
        _ => {
            let (deeds, undo) = deeds(action, step, nodes, from);
            if deeds.is_empty() {
                bail!("{action} is no fault");
            }
            // What was begun is ended even when the rest of it fails.
            for deed in deeds {
                match nemesis::apply(cluster, &deed).await {
                    Ok(applied) => begun.done.push(applied),
                    Err(error) => {
                        for deed in &undo {
                            let _ = nemesis::apply(cluster, deed).await;
                        }
                        return Err(error);
                    }
                }
            }
            begun.undo = undo;
        }
    }
    Ok(begun)
}

/// Whether everything that was done has had effect by now.
pub(super) async fn proof(cluster: &Cluster, done: &[Applied]) -> (bool, String) {
    let (mut bit, mut said) = (true, Vec::new());
    for applied in done {
        let proof = nemesis::proof(cluster, applied).await;
        bit &= proof.bit;
        said.push(proof.what);
    }
    (bit, said.join("; "))
}

/// Ends a fault; the nodes that it is not over for before they answer.
///
/// # Errors
/// When something of it cannot be ended; the rest is ended all the same.
pub(super) async fn undo(cluster: &mut Cluster, undo: &[Deed]) -> Result<Vec<usize>> {
    let (mut answering, mut failure) = (Vec::new(), Ok(()));
    for deed in undo {
        match nemesis::apply(cluster, deed).await {
            Ok(_) => {
                if let Deed::Start { nodes } | Deed::Resume { nodes } = deed {
                    answering.extend(nodes);
                }
            }
            Err(error) => failure = failure.and(Err(error)),
        }
    }
    failure.map(|()| answering)
}

/// What an action is made of, and what ends it.
fn deeds(action: Action, step: &Step, nodes: &[usize], from: &[usize]) -> (Vec<Deed>, Vec<Deed>) {
    let nodes = nodes.to_vec();
    match action {
        Action::Kill => (vec![Deed::Kill { nodes: nodes.clone() }], vec![Deed::Start { nodes }]),
        Action::Stop => (vec![Deed::Stop { nodes: nodes.clone() }], vec![Deed::Start { nodes }]),
        Action::Empty => (
            vec![Deed::Kill { nodes: nodes.clone() }, Deed::Wipe { nodes: nodes.clone() }],
            vec![Deed::Start { nodes }],
        ),
        Action::Pause => (vec![Deed::Pause { nodes: nodes.clone() }], vec![Deed::Resume { nodes }]),
        Action::Partition => {
            let (ours, theirs) = (endpoints(&nodes), endpoints(from));
            let heal = clear(&ours, &theirs);
            let (groups, one_way) = match step.direction.unwrap_or_default() {
                Direction::Both => (vec![ours, theirs], false),
                Direction::Outbound => (vec![ours, theirs], true),
                Direction::Inbound => (vec![theirs, ours], true),
            };
            (vec![Deed::Partition { groups, one_way }], heal)
        }
        Action::BlackHole => {
            let ours = endpoints(&nodes);
            let mut theirs = endpoints(from);
            theirs.push(Endpoint::Clients);
            let heal = clear(&ours, &theirs);
            (vec![Deed::Partition { groups: vec![ours, theirs], one_way: false }], heal)
        }
        Action::Delay | Action::Loss | Action::Reorder | Action::SlowLink => {
            let (ours, theirs, rule) = (endpoints(&nodes), endpoints(from), rule(action, step));
            let way = |from: &[Endpoint], to: &[Endpoint]| Deed::Links {
                from: from.to_vec(),
                to: to.to_vec(),
                rule: rule.clone(),
            };
            (vec![way(&ours, &theirs), way(&theirs, &ours)], clear(&ours, &theirs))
        }
        Action::FullDisk => (vec![Deed::DiskFull { nodes: nodes.clone() }], vec![Deed::DiskHeal { nodes }]),
        Action::ReadOnly => (vec![Deed::DiskReadOnly { nodes: nodes.clone() }], vec![Deed::DiskHeal { nodes }]),
        Action::Clock => {
            let by_ms = (step.by.unwrap_or_default() * 1000.0) as i64;
            (vec![Deed::ClockJump { nodes: nodes.clone(), by_ms }], vec![Deed::ClockJump { nodes, by_ms: 0 }])
        }
        Action::RemoveMember => {
            let remove = nodes.iter().map(|&member| Deed::RemoveMember { member }).collect();
            (remove, nodes.iter().map(|&member| Deed::AddMember { member }).collect())
        }
        Action::TransferLeader => (nodes.into_iter().map(|to| Deed::TransferLeader { to }).collect(), Vec::new()),
        // To take a seat the one who sits there must be ours to stop.
        Action::Become => (vec![Deed::Stop { nodes }], Vec::new()),
        Action::TouchMembers | Action::Heal | Action::WaitReady | Action::Random => (Vec::new(), Vec::new()),
    }
}

fn endpoints(nodes: &[usize]) -> Vec<Endpoint> {
    nodes.iter().copied().map(Endpoint::Node).collect()
}

/// Whatever is between two sides forwards at once again.
fn clear(ours: &[Endpoint], theirs: &[Endpoint]) -> Vec<Deed> {
    let way = |from: &[Endpoint], to: &[Endpoint]| Deed::Links {
        from: from.to_vec(),
        to: to.to_vec(),
        rule: Rule::default(),
    };
    vec![way(ours, theirs), way(theirs, ours)]
}

fn rule(action: Action, step: &Step) -> Rule {
    let share = step.percent.unwrap_or_default() / 100.0;
    match action {
        Action::Loss => Rule { loss: share, ..Rule::default() },
        Action::Reorder => Rule { reorder: share, ..Rule::default() },
        Action::SlowLink => Rule { bytes_per_second: step.rate.map(|it| u64::from(it) * 1000), ..Rule::default() },
        _ => Rule {
            delay: step.delay.unwrap_or_default().get(),
            jitter: step.jitter.unwrap_or_default().get(),
            ..Rule::default()
        },
    }
}

/// A fault in words, for the picture and the report.
fn words(cluster: &Cluster, action: Action, step: &Step, nodes: &[usize], from: &[usize]) -> String {
    let (one, other) = (names(cluster, nodes), names(cluster, from));
    let are = if nodes.len() == 1 { "is" } else { "are" };
    let percent = step.percent.unwrap_or_default();
    match action {
        Action::Kill => format!("{one} {are} killed (SIGKILL)"),
        Action::Stop => format!("{one} {are} stopped (SIGTERM)"),
        Action::Empty => format!("{one} {are} replaced by an empty one"),
        Action::Pause => format!("{one} {are} paused (SIGSTOP)"),
        Action::Partition => match step.direction.unwrap_or_default() {
            Direction::Both => format!("{one} and {other} do not reach each other"),
            Direction::Outbound => format!("what {one} sends to {other} is lost"),
            Direction::Inbound => format!("what {other} sends to {one} is lost"),
        },
        Action::BlackHole => format!("{one} {are} black-holed"),
        Action::Delay => format!(
            "what passes between {one} and {other} is {} late, give or take {}",
            step.delay.unwrap_or_default(),
            step.jitter.unwrap_or_default()
        ),
        Action::Loss => format!("of what passes between {one} and {other}, {percent} % is lost"),
        Action::Reorder => format!("of what passes between {one} and {other}, {percent} % arrives out of order"),
        Action::SlowLink => format!("{} kB/s pass between {one} and {other}", step.rate.unwrap_or_default()),
        Action::FullDisk => format!("the disk of {one} is full"),
        Action::ReadOnly => format!("the data of {one} cannot be written"),
        Action::Clock => format!("the clock of {one} jumps by {} s", step.by.unwrap_or_default()),
        Action::RemoveMember => format!("{one} {are} struck off the member lists"),
        Action::TouchMembers => format!("the member lists of {one} are written again"),
        Action::Become => format!("{} takes the seat of {one}", step.kind.as_deref().unwrap_or_default()),
        Action::TransferLeader => format!("the leader hands over to {one}"),
        Action::Heal | Action::WaitReady | Action::Random => action.to_string(),
    }
}

/// `node 0 (tandem)`, `nodes 0 (nacos) and 2 (tandem)`.
fn names(cluster: &Cluster, nodes: &[usize]) -> String {
    let name = |node: &usize| format!("{node} ({})", cluster.nodes.get(*node).map_or("", |it| kind_name(it.kind)));
    let all: Vec<_> = nodes.iter().map(name).collect();
    match all.as_slice() {
        [] => "no node".to_owned(),
        [one] => format!("node {one}"),
        [rest @ .., last] => format!("nodes {} and {last}", rest.join(", ")),
    }
}
