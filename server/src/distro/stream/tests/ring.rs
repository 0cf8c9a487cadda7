//! Nodes that are killed, return and lose sight of each other, so that responsibility moves, each at its own time.

use super::*;
use crate::cluster::member;

/// What may happen besides what the transport does.
#[derive(Debug, Clone)]
enum Event {
    Transport(Op),
    /// A client's write, sent to any node, which hands it on to whom it holds responsible.
    Client {
        via: usize,
        service: usize,
        port: i32,
        present: bool,
    },
    /// Two at a time are not dead, and none dies before the last change of the ring has been dealt with.
    Kill {
        node: usize,
    },
    /// A killed node comes back, with what this peer holds.
    Return {
        node: usize,
        from: usize,
    },
    /// A node sees whether another one lives.
    Notice {
        node: usize,
        other: usize,
    },
    /// A node takes a living one for dead.
    Misjudge {
        node: usize,
        other: usize,
    },
}

fn event() -> impl Strategy<Value = Event> {
    let node = 0..NODES;
    let pair = (node.clone(), node.clone());
    let client = (node.clone(), 0..SERVICES, 1..4, proptest::bool::weighted(0.6));
    prop_oneof![
        30 => transport().prop_map(Event::Transport),
        12 => client.prop_map(|(via, service, port, present)| Event::Client { via, service, port, present }),
        3 => node.prop_map(|node| Event::Kill { node }),
        3 => pair.clone().prop_map(|(node, from)| Event::Return { node, from }),
        8 => pair.clone().prop_map(|(node, other)| Event::Notice { node, other }),
        1 => pair.prop_map(|(node, other)| Event::Misjudge { node, other }),
    ]
}

/// The last acknowledged write to an instance.
#[derive(Debug, Clone, Copy)]
struct Fact {
    present: bool,
    at: i64,
}

struct Life {
    world: World,
    alive: [bool; NODES],
    clock: i64,
    /// Without those that died with the only node that knew of them.
    facts: HashMap<(usize, i32), Fact>,
    /// Requests made when the last change of the ring had been dealt with.
    calm_since: Option<u64>,
}

impl Life {
    fn new() -> Life {
        let world = World::new(false);
        let life = Life { world, alive: [true; NODES], clock: 1_000, facts: HashMap::new(), calm_since: Some(0) };
        (0..NODES).for_each(|node| life.deal_with_ring(node));
        life
    }

    /// What [`super::super::super::sync`] does when the ring has moved.
    fn deal_with_ring(&self, node: usize) {
        let node = &self.world.nodes[node];
        node.distro.ring_moved(node.members.ring());
    }

    fn address(&self, node: usize) -> String {
        self.world.nodes[node].members.self_address().to_owned()
    }

    fn living(&self) -> impl Iterator<Item = usize> + '_ {
        (0..NODES).filter(|node| self.alive[*node])
    }

    fn run(&mut self, event: &Event) {
        match *event {
            Event::Transport(Op::Deliver { message, again }) => {
                if let Some(position) = message.checked_rem(self.world.messages.len()) {
                    self.deliver(position, again);
                }
            }
            Event::Transport(Op::Send { link }) => {
                let link = link % self.world.links.len();
                if self.alive[self.world.links[link].from] {
                    self.world.send(link);
                }
            }
            Event::Transport(ref op) => self.world.run(op),
            Event::Client { via, service, port, present } => self.client(via, service, port, present),
            Event::Kill { node } => self.kill(node),
            Event::Return { node, from } => self.come_back(node, from),
            Event::Notice { node, other } => self.notice(node, other),
            Event::Misjudge { node, other } => {
                if node != other && self.alive[node] && self.alive[other] {
                    self.calm_since = None;
                    self.world.nodes[node].members.judge(&self.address(other), member::Outcome::Refused);
                    self.deal_with_ring(node);
                }
            }
        }
        if self.calm_since.is_none() && self.is_calm() {
            self.calm_since = Some(self.world.requests);
        }
    }

    fn deliver(&mut self, position: usize, again: bool) {
        let to = self.world.links[self.world.messages[position].0].to;
        if self.alive[to] {
            self.world.deliver(position, again);
        } else {
            self.world.messages.swap_remove(position);
        }
    }

    fn client(&mut self, via: usize, service: usize, port: i32, present: bool) {
        let id = id(service);
        let owner = self.alive[via].then(|| self.world.nodes[via].members.owner(&id.name)).flatten();
        let Some(owner) = self.living().find(|node| owner.as_ref() == Some(&self.address(*node))) else { return };
        let owner = Arc::clone(&self.world.nodes[owner]);
        if !owner.distro.responsible(&id.name) {
            return;
        }
        self.clock += 1;
        let at = self.clock;
        owner.registry.upsert(
            &id,
            || ServiceState::new("DEFAULT_GROUP"),
            |state| {
                let mut one = Instance { last_beat: at, ..instance(port, 1) };
                if present {
                    state.removals.returned(&mut one);
                    state.ephemeral.insert(one.key(), one);
                } else {
                    state.ephemeral.swap_remove(&one.key());
                    state.removals.record(one.key(), at, at);
                }
                state.has_datum = true;
                ((), Change { ephemeral_local: true, ..Change::default() })
            },
        );
        self.facts.insert((service, port), Fact { present, at });
    }

    fn knows(&self, node: usize, (service, port): (usize, i32), fact: Fact) -> bool {
        let Some(service) = self.world.nodes[node].registry.get(&id(service)) else { return false };
        let state = service.read();
        let one = Instance { last_beat: fact.at, ..instance(port, 1) };
        match fact.present {
            true => state.ephemeral.get(&one.key()).is_some_and(|known| known.last_beat >= fact.at),
            false => state.removals.covers(&one),
        }
    }

    fn is_calm(&self) -> bool {
        self.living().all(|node| {
            let here = &self.world.nodes[node];
            let ring = here.members.ring();
            (0..NODES).all(|other| ring.contains(&self.address(other)) == self.alive[other])
                && self.living().all(|heir| here.distro.hand_over.offers(&self.address(heir)).is_empty())
        })
    }

    fn kill(&mut self, node: usize) {
        let Some(calm) = self.calm_since.filter(|_| self.alive.iter().all(|alive| *alive)) else { return };
        if self.world.links.iter().any(|link| link.waiting.as_ref().is_some_and(|(request, _)| *request <= calm)) {
            return;
        }
        self.world.messages.retain(|(_, request, _)| *request > calm);
        for (key, fact) in &self.facts {
            assert!(self.living().any(|one| self.knows(one, *key, *fact)), "{key:?} {fact:?} is known nowhere");
        }
        self.alive[node] = false;
        self.calm_since = None;
        let mut facts = std::mem::take(&mut self.facts);
        facts.retain(|key, fact| self.living().any(|one| self.knows(one, *key, *fact)));
        self.facts = facts;
        for link in self.world.links.iter_mut().filter(|link| link.from == node) {
            link.waiting = None;
        }
    }

    fn come_back(&mut self, index: usize, from: usize) {
        // A killed process breaks the connections of its peers, which see it before a new one can begin.
        let noticed = self.living().all(|node| !self.world.nodes[node].members.ring().contains(&self.address(index)));
        if self.alive[index] || !self.alive[from] || !noticed {
            return;
        }
        let fresh = node(index);
        load::apply(&fresh.distro, &self.world.nodes[from].distro.all_datums()).unwrap();
        self.world.nodes[index] = fresh;
        self.alive[index] = true;
        self.calm_since = None;
        self.deal_with_ring(index);
        for position in 0..self.world.links.len() {
            let (from, to) = (self.world.links[position].from, self.world.links[position].to);
            if from == index {
                self.world.links[position] = World::link(&self.world.nodes, from, to);
            }
        }
    }

    fn notice(&mut self, node: usize, other: usize) {
        if node == other || !self.alive[node] {
            return;
        }
        let members = &self.world.nodes[node].members;
        let ring = members.ring();
        if self.alive[other] {
            members.accept_report(Member::own("127.0.0.1", 9001 + other as u16).streaming(), 2);
        } else {
            members.judge(&self.address(other), member::Outcome::Refused);
        }
        if ring != members.ring() {
            self.calm_since = None;
            self.deal_with_ring(node);
        }
    }

    /// Everybody sees who lives, and messages get through until nobody has anything to tell.
    fn settle(&mut self) {
        for (node, other) in (0..NODES).flat_map(|node| (0..NODES).map(move |other| (node, other))) {
            self.notice(node, other);
        }
        for link in 0..self.world.links.len() {
            self.world.run(&Op::Timeout { link });
        }
        for _ in 0..100 {
            let mut idle = true;
            for position in 0..self.world.links.len() {
                let link = &self.world.links[position];
                if !self.alive[link.from] || !self.alive[link.to] {
                    continue;
                }
                self.world.send(position);
                let Some(request) = self.world.links[position].waiting.as_ref().map(|(request, _)| *request) else {
                    continue;
                };
                idle = false;
                let message = self.world.messages.iter().position(|(_, one, _)| *one == request).unwrap();
                self.deliver(message, true);
                let answer = self.world.answers.iter().position(|(_, one, _)| *one == request).unwrap();
                let (link, request, answer) = self.world.answers.swap_remove(answer);
                self.world.answered(link, request, answer);
            }
            if idle {
                return;
            }
        }
        panic!("does not settle");
    }

    fn verify(&mut self) {
        for (source, peer) in self.living().flat_map(|one| self.living().map(move |other| (one, other))) {
            let Some(body) = verify::body(&self.world.nodes[source].distro).filter(|_| source != peer) else {
                continue;
            };
            let checksums: indexmap::IndexMap<String, String> = serde_json::from_slice(&body).unwrap();
            let ring = self.world.nodes[source].members.ring().addresses().join(",");
            let address = self.address(source);
            let sender = Sender::Tandem { address: &address, ring: &ring };
            let distro = &self.world.nodes[peer].distro;
            let (keys, _) = distro.compare(&address, &checksums, sender).unwrap();
            let before = distro.receipts_of(&keys);
            let answer = self.world.nodes[source].distro.datums_of(keys.iter().map(String::as_str));
            distro.take_pulled(&answer, &before, sender).unwrap();
        }
    }

    /// Whether the owners list what they should, and with `all` the others as well.
    fn check(&self, when: &str, all: bool) {
        for (&(service, port), fact) in &self.facts {
            let key = instance(port, 1).key();
            let owner = self.world.nodes[self.living().next().unwrap()].members.owner(&id(service).name).unwrap();
            let looked_at: Vec<usize> = self.living().filter(|node| all || self.address(*node) == owner).collect();
            let at: Vec<usize> = looked_at
                .iter()
                .copied()
                .filter(|node| {
                    let service = self.world.nodes[*node].registry.get(&id(service));
                    service.is_some_and(|service| service.read().ephemeral.contains_key(&key))
                })
                .collect();
            let expected: Vec<usize> = if fact.present { looked_at } else { Vec::new() };
            assert_eq!(at, expected, "{when}: where {port} of service {service} is listed, {fact:?}");
        }
        for service in (0..SERVICES).map(id).filter(|_| all) {
            let owner = self.living().find(|node| self.world.nodes[*node].distro.responsible(&service.name)).unwrap();
            // Of what its owner does not have at all, no checksum tells: it is offered to the owner some seconds later.
            let known = self.world.nodes[owner].registry.get(&service);
            if known.is_none_or(|service| !service.read().has_datum) {
                continue;
            }
            let lists: Vec<_> = self.living().map(|node| list(&self.world.nodes[node], &service)).collect();
            assert!(lists.iter().all(|list| *list == lists[0]), "{when}: {service:?} differs: {lists:?}");
        }
    }

    fn finish(&mut self) {
        self.settle();
        self.check("settled", false);
        for message in (0..self.world.messages.len()).rev() {
            self.deliver(message, true);
        }
        self.settle();
        self.verify();
        self.settle();
        self.check("late messages came and checksums were compared", true);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, failure_persistence: None, ..ProptestConfig::default() })]

    /// What was removed does not come back, and what a survivor knew is not lost, whoever dies or is taken for dead.
    #[test]
    fn acknowledged_writes_outlive_changes_of_the_ring(events in proptest::collection::vec(event(), 1..240)) {
        let mut life = Life::new();
        for event in &events {
            life.run(event);
        }
        life.finish();
    }
}

/// A life in which the owner of service 0 has told everybody of its instances 1 and 2, with its owner, the heir and the
/// third node.
fn with_heir() -> (Life, [usize; 3]) {
    let mut life = Life::new();
    let owner = life.world.owner(&id(0));
    for port in [1, 2] {
        life.client(owner, 0, port, true);
    }
    life.settle();
    let rest = (0..NODES).filter(|node| *node != owner).map(|node| life.address(node)).collect();
    let ring = crate::cluster::ring::Ring::new(rest);
    let heir = (0..NODES).find(|node| ring.owner(&id(0).name) == Some(&life.address(*node))).unwrap();
    (life, [owner, heir, NODES - owner - heir])
}

impl Life {
    /// What is pending there gets to one node, and then the sender dies.
    fn tell_and_die(&mut self, from: usize, to: usize) {
        let link = self.world.links.iter().position(|link| (link.from, link.to) == (from, to)).unwrap();
        self.world.send(link);
        self.deliver(self.world.messages.len() - 1, false);
        self.kill(from);
        assert!(!self.alive[from]);
    }
}

#[test]
fn what_reached_one_survivor_only_reaches_the_heir() {
    let (mut life, [owner, heir, third]) = with_heir();
    life.client(owner, 0, 3, true);
    life.tell_and_die(owner, third);
    assert!(life.facts.contains_key(&(0, 3)));
    // The heir speaks as the owner before it has heard of it.
    life.notice(heir, owner);
    life.notice(third, owner);
    life.client(heir, 0, 1, false);
    let link = life.world.links.iter().position(|link| (link.from, link.to) == (heir, third)).unwrap();
    life.world.send(link);
    life.finish();
}

#[test]
fn what_was_removed_is_not_brought_back_by_who_has_not_heard_of_it() {
    let (mut life, [owner, heir, _]) = with_heir();
    life.client(owner, 0, 1, false);
    life.tell_and_die(owner, heir);
    assert!(life.facts.contains_key(&(0, 1)));
    life.finish();
    assert_eq!(list(&life.world.nodes[heir], &id(0)).len(), 1);
}

/// Equal copies cost a digest each, not their lists.
#[test]
fn equal_copies_are_not_sent() {
    let (mut life, [owner, ..]) = with_heir();
    life.kill(owner);
    life.world.messages.clear();
    life.finish();
    let lists = life.world.messages.iter().filter(|(_, _, body)| body.windows(5).any(|one| one == b"\"ip\":")).count();
    assert_eq!((lists, life.world.messages.is_empty()), (0, false));
}

/// Who takes over from a node that lives counts silence from when that one did, once it has its list.
#[test]
fn what_is_handed_over_goes_on_counting() {
    let (mut life, [owner, heir, third]) = with_heir();
    let take_over = |life: &Life, node: usize, at: i64| {
        let registry = &life.world.nodes[node].registry;
        let service = registry.get(&id(0)).unwrap();
        registry.update(&service, |state| (state.heard.taken_over(at), Change::default()));
    };
    let counts_since =
        |life: &Life, node: usize| life.world.nodes[node].registry.get(&id(0)).unwrap().read().heard.to_tell();
    life.kill(owner);
    life.settle();
    take_over(&life, heir, 5_000);
    life.come_back(owner, third);
    take_over(&life, owner, 9_000);
    assert_eq!(counts_since(&life, owner), 9_000);
    life.settle();
    assert_eq!(counts_since(&life, owner), 5_000);
    // The third one offers what it has as well, but never was responsible.
    assert_ne!(counts_since(&life, third), 5_000);
}
