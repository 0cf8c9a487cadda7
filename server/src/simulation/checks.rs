//! What must hold whatever happens.
//!
//! While it happens:
//! - no service is emptied: a node that has shown instances of a service since its start shows some as long as the
//!   clients of that service beat and are answered; unless it was responsible for 30 s, itself or after another one from
//!   whom it took over, and neither heard any of their beats; or follows one who was, or is told by one who was, having
//!   heard none either;
//! - a node that starts and reaches the others does not begin empty;
//! - nothing panics.
//!
//! Some time after the end of all faults:
//! - all nodes hold the same records, with the same checksums;
//! - who beats is on every node, and healthy;
//! - who has left, and was told so, is nowhere, even before its record would have expired; unless
//!   - every node that knew of it was killed since;
//!   - an earlier request of its that nobody waited for any more was taken by a node just then;
//!   - clocks differ by more than the time between its last beat and its leaving: which of the two was later can then
//!     not be told;
//!   - a node took it that did not see all others or was not seen by all, or that another one still has a list to offer to,
//!     in a cluster not all of which have the stream: plain Distro has no words for a removal, and to whom another node was
//!     the owner meanwhile, its list is a copy that lacks something;
//! - who is gone in any way is nowhere, once the official window is over;
//! - nothing is left to hand over, and no queue has outgrown what there is.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;

use super::network::Host;
use super::place::elapsed_ms;
use super::plan::Plan;
use crate::distro::checksum::checksum;
use crate::naming::heard::SETTLING_MS;
use crate::naming::instance::{Instance, InstanceKey};
use crate::naming::service::ServiceId;
use crate::node::Node;
use crate::peer_http::Call;

/// Without a beat for this long, an instance is removed by whom is responsible, ms.
const DELETE_MS: u64 = 30_000;
/// Beats come every 5 s; whoever was not answered for longer may be missed.
const BEAT_GAP_MS: u64 = 12_000;
/// Looking back this far covers all that a node can know.
const MEMORY_MS: u64 = 50_000;
/// The address all clients register.
pub(super) const CLIENT_IP: &str = "10.0.0.1";
/// The port of the first client.
const FIRST_CLIENT: i32 = 1_000;

/// What was broken, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Violation(pub(super) String);

/// What is known of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not registered yet, or not sure to be.
    Unsure,
    Beating,
    /// It was told that it is deregistered. `surely`: no request of its was on its way any more.
    Left {
        surely: bool,
    },
    Dead,
}

#[derive(Debug)]
struct Client {
    state: State,
    answered_ms: u64,
    /// When it last had to do without an answer for too long.
    missed_ms: u64,
    /// When a node last took a registration or a beat of its, and a deregistration.
    created_ms: u64,
    removed_ms: u64,
    /// It cannot be told to everybody that it was deregistered.
    untold: bool,
}

#[derive(Debug, Default)]
struct Book {
    clients: Vec<Client>,
    /// Registrations and beats on their way, by client.
    open: HashMap<usize, u32>,
    /// When a responsible node last heard a client, by node.
    heard: HashMap<(usize, usize), u64>,
    /// Nodes that have shown the first service, and since when they hold themselves responsible for it.
    served: HashSet<usize>,
    responsible: HashMap<usize, u64>,
    /// Who was responsible for it, from when to when.
    were_responsible: Vec<(usize, u64, u64)>,
    /// When a node emptied it for want of beats.
    starved: HashMap<usize, u64>,
    violation: Option<Violation>,
    emptied: u64,
}

/// All that was seen so far.
pub(super) struct Checks {
    services: usize,
    skew_ms: u64,
    nodes: usize,
    all_stream: bool,
    book: Arc<Mutex<Book>>,
}

/// A client's request, until this is dropped.
pub(super) struct Open {
    book: Arc<Mutex<Book>>,
    clients: Vec<usize>,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut book = self.book.lock();
        for client in &self.clients {
            if let Some(count) = book.open.get_mut(client) {
                *count -= 1;
            }
        }
    }
}

impl Checks {
    pub(super) fn new(plan: &Plan) -> Self {
        let client = || Client {
            state: State::Unsure,
            answered_ms: 0,
            missed_ms: 0,
            created_ms: 0,
            removed_ms: 0,
            untold: false,
        };
        let book = Book { clients: (0..plan.clients).map(|_| client()).collect(), ..Book::default() };
        Checks {
            services: plan.services,
            skew_ms: plan.skew_ms(),
            nodes: plan.nodes,
            all_stream: plan.stream.iter().all(|it| *it),
            book: Arc::new(Mutex::new(book)),
        }
    }

    pub(super) fn violated(&self, what: String) {
        self.book.lock().violation.get_or_insert(Violation(format!("at {} ms: {what}", elapsed_ms())));
    }

    pub(super) fn verdict(&self) -> Result<(), Violation> {
        self.book.lock().violation.clone().map_or(Ok(()), Err)
    }

    /// How often the first service was emptied for a good reason.
    pub(super) fn emptied(&self) -> u64 {
        self.book.lock().emptied
    }

    // === requests ===

    pub(super) fn begins(&self, call: &Call) -> Open {
        let creates = call.method != http::Method::DELETE && call.method != http::Method::GET;
        let clients = if creates { clients_of(call) } else { Vec::new() };
        let mut book = self.book.lock();
        for client in &clients {
            *book.open.entry(*client).or_default() += 1;
        }
        Open { book: Arc::clone(&self.book), clients }
    }

    /// A request was answered by this node.
    ///
    /// `others`: the other nodes that run.
    pub(super) fn ended(&self, call: &Call, open: &Open, (to, node): (usize, &Node), status: u16, others: &[Host]) {
        let mut book = self.book.lock();
        if status != 200 {
            return;
        }
        if call.method == http::Method::DELETE {
            for client in clients_of(call) {
                let id = service_of(client, self.services);
                let is_ahead = |other: &Host| other.node.distro.is_to_offer(node.members.self_address(), &id);
                let client = &mut book.clients[client];
                client.removed_ms = elapsed_ms();
                let sees_all = node.members.ring().addresses().len() == self.nodes;
                let all_see_it =
                    others.iter().all(|other| other.node.members.ring().contains(node.members.self_address()));
                client.untold |= !self.all_stream && (!sees_all || !all_see_it || others.iter().any(is_ahead));
            }
        }
        for client in &open.clients {
            book.clients[*client].created_ms = elapsed_ms();
            let id = service_of(*client, self.services);
            // A beat for what it does not have keeps nothing alive: the client is told so.
            let has =
                node.registry.get(&id).is_some_and(|service| service.read().ephemeral.contains_key(&key(*client)));
            if has && node.distro.responsible(&id.name) {
                book.heard.insert((to, *client), elapsed_ms());
            }
        }
    }

    // === clients ===

    pub(super) fn beats(&self, client: usize) {
        let mut book = self.book.lock();
        let client = &mut book.clients[client];
        let now = elapsed_ms();
        if client.state != State::Beating || now - client.answered_ms > BEAT_GAP_MS {
            client.missed_ms = now;
        }
        (client.state, client.answered_ms) = (State::Beating, now);
    }

    /// Nothing is expected of it from now on.
    pub(super) fn is_unsure(&self, client: usize) {
        let client = &mut self.book.lock().clients[client];
        (client.state, client.untold, client.removed_ms) = (State::Unsure, false, 0);
    }

    pub(super) fn left(&self, client: usize) {
        let mut book = self.book.lock();
        let none_on_its_way = book.open.get(&client).is_none_or(|count| *count == 0);
        let known = &book.clients[client];
        let surely = none_on_its_way && !known.untold && known.created_ms + self.skew_ms < known.removed_ms;
        book.clients[client].state = State::Left { surely };
    }

    pub(super) fn died(&self, client: usize) {
        self.book.lock().clients[client].state = State::Dead;
    }

    // === nodes ===

    /// These go on.
    pub(super) fn stopped(&self, node: usize, others: &[(usize, Host)]) {
        let mut book = self.book.lock();
        book.served.remove(&node);
        book.responsible.remove(&node);
        book.heard.retain(|(heard_by, _), _| *heard_by != node);
        // What it alone knew is lost with it.
        for (number, client) in book.clients.iter_mut().enumerate() {
            let (id, key) = (service_of(number, self.services), key(number));
            let known = || others.iter().any(|(_, host)| host.node.registry.remembers_removal(&id, &key));
            match &mut client.state {
                State::Left { surely } => *surely &= known(),
                // The answer is on its way.
                State::Unsure if client.removed_ms > 0 => client.untold |= !known(),
                _ => {}
            }
        }
    }

    pub(super) fn responsibility(&self, at: usize, node: &Node) {
        let mut book = self.book.lock();
        if node.distro.responsible(&service(0).name) {
            book.responsible.entry(at).or_insert_with(elapsed_ms);
        } else if let Some(since) = book.responsible.remove(&at) {
            book.were_responsible.push((at, since, elapsed_ms()));
        }
    }

    /// Looks at the first service, whose clients stay.
    pub(super) fn look(&self, at: usize, node: &Node) {
        if !shown(node, &service(0)).is_empty() {
            self.book.lock().served.insert(at);
            return;
        }
        let owner = node.members.owner(&service(0).name);
        let mut book = self.book.lock();
        if !book.served.remove(&at) {
            return;
        }
        book.emptied += 1;
        let now = elapsed_ms();
        let ours = |client: &usize| client.is_multiple_of(self.services);
        let well = |client: &Client| {
            client.state == State::Beating
                && now - client.answered_ms <= BEAT_GAP_MS
                && (client.missed_ms + MEMORY_MS < now || client.missed_ms < 6_000)
        };
        let all_well = (0..book.clients.len()).filter(ours).all(|client| well(&book.clients[client]));
        if !all_well {
            return;
        }
        let heard_none = |node: usize| {
            let silent = |client: usize| book.heard.get(&(node, client)).is_none_or(|heard| heard + DELETE_MS <= now);
            (0..book.clients.len()).filter(ours).all(silent)
        };
        let deaf = heard_none(at);
        let long_responsible = book.responsible.get(&at).is_some_and(|since| {
            let from = |(node, began, ended): &(usize, u64, u64)| {
                // Rings do not move everywhere at once.
                began + DELETE_MS <= now && ended + SETTLING_MS as u64 >= *since && heard_none(*node)
            };
            since + DELETE_MS <= now || book.were_responsible.iter().any(from)
        });
        if long_responsible && deaf {
            book.starved.insert(at, now);
            return;
        }
        let follows = owner.and_then(|owner| super::network::index(&owner));
        let starves = |(node, at): (&usize, &u64)| at + MEMORY_MS > now && (follows == Some(*node) || deaf);
        if book.starved.iter().any(starves) {
            return;
        }
        drop(book);
        self.violated(format!("node {at} shows nothing of a service whose clients beat"));
    }

    // === the end ===

    /// Whether all hold the same at this moment.
    pub(super) fn agree(&self, hosts: &[(usize, Host)]) -> bool {
        (0..self.services).map(service).all(|id| {
            let mut lists = hosts.iter().map(|(_, host)| shown(&host.node, &id));
            let first = lists.next();
            lists.all(|list| Some(list) == first)
        })
    }

    /// `over`: long enough after the last fault that whoever is gone must be nowhere.
    pub(super) fn final_state(&self, hosts: &[(usize, Host)], over: bool) {
        for number in 0..self.services {
            let id = service(number);
            let lists: Vec<(usize, Vec<Instance>)> =
                hosts.iter().map(|(at, host)| (*at, shown(&host.node, &id))).collect();
            let Some((first, expected)) = lists.first() else { return };
            for (at, list) in &lists {
                if list != expected || checksum(list) != checksum(expected) {
                    let text = |list: &[Instance]| {
                        let one = |one: &Instance| format!("{}{}", one.port, if one.healthy { "" } else { "!" });
                        list.iter().map(one).collect::<Vec<_>>().join(",")
                    };
                    self.violated(format!(
                        "{id:?}: node {first} has [{}], node {at} has [{}]",
                        text(expected),
                        text(list)
                    ));
                }
                self.members_of(number, *at, list, over);
            }
        }
        for (at, host) in hosts {
            for what in host.node.distro.left_over() {
                self.violated(format!("node {at}: {what}"));
            }
        }
    }

    fn members_of(&self, number: usize, at: usize, list: &[Instance], over: bool) {
        let states: Vec<State> = self.book.lock().clients.iter().map(|client| client.state).collect();
        for (client, state) in states.into_iter().enumerate().filter(|(client, _)| client % self.services == number) {
            let found = list.iter().find(|one| one.port == port(client));
            let wrong = match (state, found) {
                (State::Beating, None) => "beats and is missing",
                (State::Beating, Some(one)) if !one.healthy => "beats and is shown as unhealthy",
                (State::Left { surely: true }, Some(_)) => "has left and is shown",
                (State::Left { .. } | State::Dead, Some(_)) if over => "is gone and is shown",
                _ => continue,
            };
            self.violated(format!("client {client} {wrong} at node {at}"));
        }
    }
}

/// A service by its number.
pub(super) fn service(number: usize) -> ServiceId {
    ServiceId::new("public", format!("DEFAULT_GROUP@@service{number}"))
}

/// The service of a client.
pub(super) fn service_of(client: usize, services: usize) -> ServiceId {
    service(client % services)
}

/// The port a client registers.
pub(super) fn port(client: usize) -> i32 {
    FIRST_CLIENT + client as i32
}

fn key(client: usize) -> InstanceKey {
    Instance { ip: CLIENT_IP.to_owned(), port: port(client), ..Instance::default() }.key()
}

/// What a node holds of a service, by port; without the beats, which differ.
pub(super) fn shown(node: &Node, id: &ServiceId) -> Vec<Instance> {
    let Some(service) = node.registry.get(id) else { return Vec::new() };
    let without_beat = |one: &Instance| Instance { last_beat: 0, ..one.clone() };
    let mut list: Vec<Instance> = service.read().ephemeral.values().map(without_beat).collect();
    list.sort_by_key(|one| one.port);
    list
}

/// The clients a request speaks for; a batch of beats for several.
fn clients_of(call: &Call) -> Vec<usize> {
    let text = match call.url.ends_with(crate::distro::peer_client::BEATS) {
        true => String::from_utf8_lossy(&call.body).replace("[\"port\",\"", "&port="),
        false => call.url.clone(),
    };
    let number = |rest: &str| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        // Others are no clients.
        usize::try_from(digits.parse::<i32>().ok()? - FIRST_CLIENT).ok()
    };
    text.split("&port=").skip(1).filter_map(number).collect()
}
