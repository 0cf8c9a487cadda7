//! Nodes that change their lists at random, over a transport that loses, doubles, delays and reorders messages.

use std::collections::HashMap;
use std::sync::Arc;

use futures::FutureExt;
use indexmap::IndexSet;
use proptest::prelude::*;

use super::super::hand_over::Offers;
use super::super::receive::Sender;
use super::super::{load, verify};
use super::Answer;
use super::fingerprint::Fingerprint;
use super::outgoing::{Message, Outcome, Outgoing};
use crate::cluster::conf::Entry;
use crate::cluster::member::Member;
use crate::naming::changes::{Change, Changes};
use crate::naming::instance::{Instance, InstanceKey};
use crate::naming::service::{ServiceId, ServiceState};
use crate::node::Node;
use crate::settings::Settings;

mod ring;

const NODES: usize = 3;
const SERVICES: usize = 4;

/// What may happen. Numbers are taken modulo what there is.
#[derive(Debug, Clone)]
enum Op {
    /// A client registers, or changes, an instance at the owner.
    Put {
        service: usize,
        port: i32,
        weight: u8,
    },
    Remove {
        service: usize,
        port: i32,
    },
    Flip {
        service: usize,
        port: i32,
    },
    /// A sender that waits for no answer sends what is pending.
    Send {
        link: usize,
    },
    /// A message arrives, the first time or once more; its answer is under way then.
    Deliver {
        message: usize,
        again: bool,
    },
    Answer {
        answer: usize,
    },
    Lose {
        message: usize,
    },
    LoseAnswer {
        answer: usize,
    },
    /// A sender gives up waiting.
    Timeout {
        link: usize,
    },
    /// An official node pushes a list of its own to anybody.
    Foreign {
        node: usize,
        service: usize,
        port: i32,
    },
    /// A node is killed and comes back with what the others hold.
    Restart {
        node: usize,
    },
}

/// What the transport does.
fn transport() -> impl Strategy<Value = Op> {
    let any = 0..64usize;
    prop_oneof![
        8 => any.clone().prop_map(|link| Op::Send { link }),
        8 => (any.clone(), proptest::bool::ANY).prop_map(|(message, again)| Op::Deliver { message, again }),
        6 => any.clone().prop_map(|answer| Op::Answer { answer }),
        1 => any.clone().prop_map(|message| Op::Lose { message }),
        1 => any.clone().prop_map(|answer| Op::LoseAnswer { answer }),
        3 => any.prop_map(|link| Op::Timeout { link }),
    ]
}

/// What owners and the transport do.
fn op() -> impl Strategy<Value = Op> {
    let (service, port) = (0..SERVICES, 1..6);
    let put = (service.clone(), port.clone(), 1..4u8);
    let one = (service, port);
    prop_oneof![
        6 => put.prop_map(|(service, port, weight)| Op::Put { service, port, weight }),
        3 => one.clone().prop_map(|(service, port)| Op::Remove { service, port }),
        2 => one.prop_map(|(service, port)| Op::Flip { service, port }),
        30 => transport(),
    ]
}

/// And official peers and crashes as well.
fn disturbed_op() -> impl Strategy<Value = Op> {
    let foreign = (0..NODES, 0..SERVICES, 1..6);
    prop_oneof![
        38 => op(),
        1 => foreign.prop_map(|(node, service, port)| Op::Foreign { node, service, port }),
        1 => (0..NODES).prop_map(|node| Op::Restart { node }),
    ]
}

/// From one node to another; the sending half of what [`super::super::sync`] keeps per peer.
struct Link {
    from: usize,
    to: usize,
    changes: Changes,
    pending: IndexSet<ServiceId>,
    outgoing: Outgoing,
    offers: Offers,
    waiting: Option<(u64, Message)>,
}

struct World {
    nodes: Vec<Arc<Node>>,
    links: Vec<Link>,
    /// Under way: link, number of the request, body. What was delivered may stay to be delivered again.
    messages: Vec<(usize, u64, Vec<u8>)>,
    answers: Vec<(usize, u64, Answer)>,
    requests: u64,
    /// Every state of every service's list at its owner, and how far each node has come in it.
    history: HashMap<ServiceId, Vec<Vec<Fingerprint>>>,
    reached: HashMap<(usize, ServiceId), usize>,
    /// Nobody but the owners writes, so that lists may be held against their history.
    undisturbed: bool,
    /// Messages with changes, as opposed to whole lists, that were applied.
    applied_changes: usize,
}

fn id(service: usize) -> ServiceId {
    ServiceId::new("public", format!("DEFAULT_GROUP@@sim{service}"))
}

fn instance(port: i32, weight: u8) -> Instance {
    Instance { ip: "10.0.0.1".to_owned(), port, weight: f64::from(weight), ..Instance::default() }
}

fn node(index: usize) -> Arc<Node> {
    let port = |index: usize| 9001 + index as u16;
    let node = Node::new(Settings { standalone: false, ..Settings::loopback("/nowhere", port(index)) });
    let entries: Vec<_> = (0..NODES).map(|one| Entry { host: "127.0.0.1".to_owned(), port: port(one) }).collect();
    node.members.replace(&entries);
    for one in 0..NODES {
        node.members.accept_report(Member::own("127.0.0.1", port(one)).streaming(), 1);
    }
    node
}

fn list(node: &Node, id: &ServiceId) -> Vec<Fingerprint> {
    let Some(service) = node.registry.get(id) else { return Vec::new() };
    let mut list: Vec<_> = service.read().ephemeral.values().map(Fingerprint::of).collect();
    list.sort_unstable();
    list
}

impl World {
    fn new(undisturbed: bool) -> World {
        let nodes: Vec<_> = (0..NODES).map(node).collect();
        let links = (0..NODES).flat_map(|from| (0..NODES).filter(move |to| *to != from).map(move |to| (from, to)));
        let links = links.map(|(from, to)| World::link(&nodes, from, to)).collect();
        World {
            nodes,
            links,
            messages: Vec::new(),
            answers: Vec::new(),
            requests: 0,
            history: HashMap::new(),
            reached: HashMap::new(),
            undisturbed,
            applied_changes: 0,
        }
    }

    fn link(nodes: &[Arc<Node>], from: usize, to: usize) -> Link {
        let changes = nodes[from].registry.subscribe();
        Link {
            from,
            to,
            changes,
            pending: IndexSet::new(),
            outgoing: Outgoing::default(),
            offers: Offers::new(),
            waiting: None,
        }
    }

    fn owner(&self, id: &ServiceId) -> usize {
        (0..NODES).find(|node| self.nodes[*node].distro.responsible(&id.name)).unwrap()
    }

    /// A write at the owner, as a controller does it.
    fn write(&mut self, service: usize, change: impl FnOnce(&mut ServiceState) -> Change) {
        let id = id(service);
        let owner = Arc::clone(&self.nodes[self.owner(&id)]);
        owner.registry.upsert(
            &id,
            || ServiceState::new("DEFAULT_GROUP"),
            |state| {
                let change = change(state);
                state.has_datum |= change.ephemeral_local;
                ((), change)
            },
        );
        self.history.entry(id.clone()).or_insert_with(|| vec![Vec::new()]).push(list(&owner, &id));
    }

    fn run(&mut self, op: &Op) {
        let local = Change { ephemeral_local: true, ..Change::default() };
        match *op {
            Op::Put { service, port, weight } => self.write(service, |state| {
                let one = instance(port, weight);
                state.ephemeral.insert(one.key(), one);
                local
            }),
            Op::Remove { service, port } => self.write(service, |state| {
                state.ephemeral.swap_remove(&instance(port, 1).key());
                local
            }),
            Op::Flip { service, port } => self.write(service, |state| {
                let known = state.ephemeral.get_mut(&instance(port, 1).key());
                known.map_or(Change::default(), |known| {
                    known.healthy = !known.healthy;
                    Change { health: true, ..Change::default() }
                })
            }),
            Op::Send { link } => self.send(link % self.links.len()),
            Op::Deliver { message, again } => {
                if let Some(position) = message.checked_rem(self.messages.len()) {
                    self.deliver(position, again);
                }
            }
            Op::Answer { answer } => {
                if let Some(position) = answer.checked_rem(self.answers.len()) {
                    let (link, request, answer) = self.answers.swap_remove(position);
                    self.answered(link, request, answer);
                }
            }
            Op::Lose { message } => {
                if let Some(position) = message.checked_rem(self.messages.len()) {
                    self.messages.swap_remove(position);
                }
            }
            Op::LoseAnswer { answer } => {
                if let Some(position) = answer.checked_rem(self.answers.len()) {
                    self.answers.swap_remove(position);
                }
            }
            Op::Timeout { link } => {
                let position = link % self.links.len();
                let link = &mut self.links[position];
                if let Some((_, message)) = link.waiting.take() {
                    link.pending.extend(message.services().cloned());
                }
            }
            Op::Foreign { node, service, port } => self.foreign(node % NODES, service, port),
            Op::Restart { node } => self.restart(node % NODES),
        }
    }

    fn send(&mut self, position: usize) {
        let link = &mut self.links[position];
        let distro = &self.nodes[link.from].distro;
        for (id, change) in link.changes.next().now_or_never().unwrap_or_default() {
            if change.ephemeral_local || change.health && distro.responsible(&id.name) {
                link.pending.insert(id);
            }
        }
        let offers = distro.hand_over.offers(self.nodes[link.to].members.self_address());
        link.pending.extend(offers.keys().cloned());
        let how = |id: &ServiceId| distro.how_told(id, &offers);
        if link.waiting.is_some() || link.pending.is_empty() {
            return;
        }
        link.offers = offers.clone();
        let registry = &self.nodes[link.from].registry;
        let (message, settled) =
            link.outgoing.next(registry, link.pending.iter(), (3, 1_000_000), how, |id| distro.receipt(id));
        let settled: Vec<ServiceId> = link.pending.drain(..settled).collect();
        let unsent = settled.iter().filter(|id| !message.services().any(|sent| sent == *id));
        distro.hand_over.done(self.nodes[link.to].members.self_address(), &link.offers, unsent);
        if message.services().next().is_some() {
            self.requests += 1;
            self.messages.push((position, self.requests, message.body.clone()));
            link.waiting = Some((self.requests, message));
        }
    }

    fn deliver(&mut self, position: usize, again: bool) {
        let (link, request, body) = self.messages[position].clone();
        if !again {
            self.messages.swap_remove(position);
        }
        let (from, to) = (self.links[link].from, self.links[link].to);
        let ring = self.nodes[from].members.ring().addresses().join(",");
        let sender = Sender::Tandem { address: self.nodes[from].members.self_address(), ring: &ring };
        let answer = self.nodes[to].distro.receive_changes(&body, sender).unwrap();
        if answer.accepted && answer.behind.is_empty() && body.windows(8).any(|one| one == b"\"since\":") {
            self.applied_changes += 1;
        }
        self.answers.push((link, request, answer));
        if self.undisturbed {
            self.check_history(to);
        }
    }

    /// Whatever arrives, a list is one that the owner had, and no older one than before.
    fn check_history(&mut self, node: usize) {
        for (id, history) in &self.history {
            let now = list(&self.nodes[node], id);
            let reached = self.reached.entry((node, id.clone())).or_default();
            let found = history[*reached..].iter().position(|state| *state == now);
            *reached +=
                found.unwrap_or_else(|| panic!("{id:?} at node {node} is a list its owner never had, or went back"));
        }
    }

    fn answered(&mut self, position: usize, request: u64, answer: Answer) {
        let link = &mut self.links[position];
        // An answer that comes after the sender gave up reaches nobody: its connection is closed.
        if link.waiting.as_ref().is_none_or(|(waiting, _)| *waiting != request) {
            return;
        }
        let Some((_, message)) = link.waiting.take() else { return };
        let services: Vec<ServiceId> = message.services().cloned().collect();
        match link.outgoing.answered(message, answer) {
            Outcome::Applied(behind) => {
                let (hand_over, to) =
                    (&self.nodes[link.from].distro.hand_over, self.nodes[link.to].members.self_address());
                hand_over.done(to, &link.offers, services.iter().filter(|id| !behind.contains(id)));
                hand_over.differ(to, &behind);
                link.pending.extend(behind);
            }
            Outcome::Reopened => link.pending.extend(services),
        }
    }

    fn foreign(&mut self, node: usize, service: usize, port: i32) {
        let id = id(service);
        let key = super::super::datum::key(&id);
        let body = format!(
            r#"{{"{key}":{{"key":"{key}","value":{{"instanceList":[{{"ip":"10.0.0.9","port":{port}}}]}},"timestamp":1}}}}"#
        );
        self.nodes[node].distro.receive(body.as_bytes(), Sender::Official).unwrap();
    }

    fn restart(&mut self, index: usize) {
        let fresh = node(index);
        for other in (0..NODES).filter(|other| *other != index) {
            load::apply(&fresh.distro, &self.nodes[other].distro.all_datums()).unwrap();
        }
        self.nodes[index] = fresh;
        for position in 0..self.links.len() {
            let (from, to) = (self.links[position].from, self.links[position].to);
            if from == index {
                self.links[position] = World::link(&self.nodes, from, to);
            }
        }
    }

    /// Messages and answers get through again until nobody has anything to tell; how many it took.
    fn settle(&mut self) -> usize {
        for position in 0..self.links.len() {
            self.run(&Op::Timeout { link: position });
        }
        for round in 0..100 {
            let mut idle = true;
            for position in 0..self.links.len() {
                self.send(position);
                let Some((request, _)) = &self.links[position].waiting else { continue };
                idle = false;
                let request = *request;
                let message = self.messages.iter().position(|(_, one, _)| *one == request).unwrap();
                // It stays, to come again when all is settled.
                self.deliver(message, true);
                let answer = self.answers.iter().position(|(_, one, _)| *one == request).unwrap();
                let (link, request, answer) = self.answers.swap_remove(answer);
                self.answered(link, request, answer);
            }
            if idle {
                return round;
            }
        }
        panic!("does not settle");
    }

    /// Every message ever sent and not lost arrives once more.
    fn deliver_the_late(&mut self) {
        for position in 0..self.messages.len() {
            self.deliver(position, true);
        }
    }

    fn verify(&mut self) {
        for source in 0..NODES {
            let Some(body) = verify::body(&self.nodes[source].distro) else { continue };
            let checksums: indexmap::IndexMap<String, String> = serde_json::from_slice(&body).unwrap();
            let ring = self.nodes[source].members.ring().addresses().join(",");
            let address = self.nodes[source].members.self_address();
            let sender = Sender::Tandem { address, ring: &ring };
            for peer in (0..NODES).filter(|peer| *peer != source) {
                let distro = &self.nodes[peer].distro;
                let (keys, _) = distro.compare(address, &checksums, sender).unwrap();
                let before = distro.receipts_of(&keys);
                let answer = self.nodes[source].distro.datums_of(keys.iter().map(String::as_str));
                distro.take_pulled(&answer, &before, sender).unwrap();
            }
        }
    }

    fn assert_equal(&self, when: &str) {
        for id in (0..SERVICES).map(id) {
            let owner = &self.nodes[self.owner(&id)];
            // Of what its owner does not have at all, no checksum tells: it is offered to the owner some seconds later.
            if !self.undisturbed && owner.registry.get(&id).is_none_or(|service| !service.read().has_datum) {
                continue;
            }
            let owner = list(owner, &id);
            for node in 0..NODES {
                assert_eq!(list(&self.nodes[node], &id), owner, "{when}: {id:?} at node {node}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_loss_doubling_and_order_leaves_the_owners_lists(ops in proptest::collection::vec(op(), 1..160)) {
        let mut world = World::new(true);
        for op in &ops {
            world.run(op);
        }
        world.settle();
        world.assert_equal("settled");
        world.deliver_the_late();
        world.assert_equal("late messages came");
    }

    #[test]
    fn one_round_of_checksums_repairs_what_others_did(ops in proptest::collection::vec(disturbed_op(), 1..160)) {
        let mut world = World::new(false);
        for op in &ops {
            world.run(op);
        }
        world.settle();
        world.deliver_the_late();
        world.verify();
        world.assert_equal("verified");
    }
}

/// What the random runs are worth: they do send changes, not whole lists only.
#[test]
fn changes_are_told_as_changes() {
    let mut world = World::new(true);
    for port in 1..=50 {
        world.run(&Op::Put { service: 0, port, weight: 1 });
        world.settle();
    }
    // Two peers; the first list goes whole.
    assert_eq!(world.applied_changes, 2 * 49);
    let largest = world.messages.iter().map(|(_, _, body)| body.len()).max().unwrap();
    assert!(largest < 1000, "{largest}");
    world.assert_equal("settled");
}

#[test]
fn nothing_is_sent_when_nothing_but_a_beat_changed() {
    let mut world = World::new(true);
    world.run(&Op::Put { service: 0, port: 1, weight: 1 });
    world.settle();
    let before = world.requests;
    world.run(&Op::Put { service: 0, port: 1, weight: 1 });
    assert_eq!((world.settle(), world.requests), (0, before));
}

#[test]
fn a_peer_that_lost_everything_is_sent_the_whole_list() {
    let mut world = World::new(false);
    for port in 1..=5 {
        world.run(&Op::Put { service: 0, port, weight: 1 });
    }
    world.settle();
    let owner = world.owner(&id(0));
    let peer = (owner + 1) % NODES;
    // Not even the others gave it anything: it starts empty.
    world.nodes[peer] = node(peer);
    world.run(&Op::Remove { service: 0, port: 1 });
    world.settle();
    world.assert_equal("settled");
}

/// A list that went there and back: content alone would not tell a late message from a new one.
#[test]
fn a_late_message_whose_base_is_right_again_is_refused() {
    let mut world = World::new(true);
    for port in [1, 2] {
        world.run(&Op::Put { service: 0, port, weight: 1 });
    }
    world.settle();
    let seen = world.messages.len();
    world.run(&Op::Put { service: 0, port: 3, weight: 1 });
    world.settle();
    world.run(&Op::Remove { service: 0, port: 3 });
    world.settle();
    // The addition of 3 fits the list of 1 and 2 exactly.
    assert!(world.messages.len() > seen);
    world.deliver_the_late();
    world.assert_equal("the addition came once more");
}

/// The message whose answer never came may arrive when the list has long been back to what it was.
#[test]
fn a_list_that_is_back_to_what_was_told_outdates_a_message_under_way() {
    let mut world = World::new(true);
    world.run(&Op::Put { service: 0, port: 1, weight: 1 });
    world.settle();
    world.messages.clear();
    world.run(&Op::Put { service: 0, port: 1, weight: 2 });
    for link in 0..world.links.len() {
        world.run(&Op::Send { link });
    }
    assert_eq!(world.messages.len(), 2);
    world.run(&Op::Put { service: 0, port: 1, weight: 1 });
    world.settle();
    world.deliver_the_late();
    world.assert_equal("late messages came");
}

#[test]
fn a_record_beside_the_kept_one_of_the_same_instance_is_refused() {
    let mut world = World::new(false);
    for port in [1, 2] {
        world.run(&Op::Put { service: 0, port, weight: 1 });
    }
    world.settle();
    let id = id(0);
    let owner = world.owner(&id);
    let peer = (owner + 1) % NODES;
    let link = world.links.iter().position(|link| (link.from, link.to) == (owner, peer)).unwrap();
    world.run(&Op::Put { service: 0, port: 1, weight: 2 });
    world.send(link);
    let (_, request, body) = world.messages.pop().unwrap();
    let text = String::from_utf8(body).unwrap();
    let (head, rest) = text.split_once("\"removed\":[").unwrap();
    let (_, tail) = rest.split_once(']').unwrap();
    world.messages.push((link, request, format!("{head}\"removed\":[]{tail}").into_bytes()));
    world.deliver(world.messages.len() - 1, false);
    assert_eq!(world.answers.last().unwrap().2.behind, [0]);
    let key = InstanceKey { ip: "10.0.0.1".to_owned(), port: 1, cluster: "DEFAULT".to_owned() };
    assert_eq!(world.nodes[peer].registry.get(&id).unwrap().read().ephemeral[&key].weight, 1.0);
}
