//! The world around simulated nodes: network, disks, clocks, clients, faults. All of it follows from one seed.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::checks::{Checks, Violation};
use super::node::{Held, Node, Process, State};
use super::plan::Plan;
use crate::raft::core::member::Flaw;
use crate::raft::core::message::{
    CallId, Input, NoAnswer, Output, Proposed, RaftError, Request, Response, Role, Token,
};
use crate::raft::core::{Configuration, Entry, Index, PeerId, SnapshotMeta, Term};

/// What happens when.
#[derive(Debug)]
pub(super) enum Event {
    Tick { node: usize, generation: u64 },
    Arrive { from: usize, caller: u64, id: CallId, to: usize, request: Request },
    Answered { to: usize, caller: u64, id: CallId, answer: Result<Response, NoAnswer> },
    Written { node: usize, generation: u64 },
    Applied { node: usize, generation: u64 },
    Installed { node: usize, generation: u64, snapshot: Option<(SnapshotMeta, State)> },
    Client,
    Fault,
    Snapshot,
    Restart { node: usize, generation: u64 },
}

#[derive(Debug)]
struct At {
    ms: u64,
    order: u64,
    event: Event,
}

impl PartialEq for At {
    fn eq(&self, other: &Self) -> bool {
        (self.ms, self.order) == (other.ms, other.order)
    }
}
impl Eq for At {}
impl PartialOrd for At {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for At {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.ms, self.order).cmp(&(other.ms, other.order))
    }
}

/// A call that arrived: who made it, in which process.
#[derive(Debug, Clone, Copy)]
struct Caller {
    node: usize,
    generation: u64,
    id: CallId,
}

/// The simulated world.
#[derive(Debug)]
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) rng: SmallRng,
    pub(super) now_ms: u64,
    order: u64,
    queue: BinaryHeap<Reverse<At>>,
    pub(super) nodes: Vec<Node>,
    initial: Configuration,
    callers: HashMap<CallId, Caller>,
    arrivals: u64,
    /// Snapshots on offer, by uri.
    offers: HashMap<String, (SnapshotMeta, State)>,
    pub(super) checks: Checks,
    pub(super) tokens: Token,
    /// Nodes that cannot talk across; empty for a whole network.
    pub(super) island: BTreeSet<usize>,
    pub(super) calm: bool,
    flaw: Option<Flaw>,
    pub(super) steps: u64,
    pub(super) elections: u64,
    pub(super) installs: u64,
    pub(super) changes: u64,
}

impl World {
    pub(super) fn new(seed: u64, flaw: Option<Flaw>, forgets_votes: bool) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let plan = Plan::draw(&mut rng);
        let peers: Vec<PeerId> = (0..plan.nodes).map(|n| PeerId::parse(&format!("n:{}", n + 1)).unwrap()).collect();
        let initial = Configuration::of(peers.iter().take(plan.voters).cloned());
        let drift = plan.clock_drift;
        let nodes = peers.into_iter().map(|peer| Node {
            peer,
            store: std::sync::Arc::default(),
            snapshot: None,
            process: None,
            generation: 0,
            clock_rate: rng.random_range(1000 - drift..=1000 + drift),
            clock_offset: rng.random_range(0..10_000),
            forgets_votes,
        });
        let nodes: Vec<Node> = nodes.collect();
        let mut world = World {
            plan,
            rng,
            now_ms: 0,
            order: 0,
            queue: BinaryHeap::new(),
            nodes,
            initial,
            callers: HashMap::new(),
            arrivals: 0,
            offers: HashMap::new(),
            checks: Checks::default(),
            tokens: 0,
            island: BTreeSet::new(),
            calm: false,
            flaw,
            steps: 0,
            elections: 0,
            installs: 0,
            changes: 0,
        };
        for node in 0..world.nodes.len() {
            world.start(node);
        }
        world.plan_event(0, Event::Client);
        world.plan_event(0, Event::Fault);
        world.plan_event(0, Event::Snapshot);
        world
    }

    pub(super) fn plan_event(&mut self, in_ms: u64, event: Event) {
        self.order += 1;
        self.queue.push(Reverse(At { ms: self.now_ms + in_ms, order: self.order, event }));
    }

    pub(super) fn chance(&mut self, per_mille: u32) -> bool {
        self.rng.random_range(0..1000) < per_mille
    }

    pub(super) fn start(&mut self, node: usize) {
        let (options, initial) = (self.plan.options.clone(), self.initial.clone());
        self.nodes[node].start(&options, &initial, self.now_ms, self.flaw);
        self.plan_tick(node);
    }

    /// Loses what was not durable: of the batches being written the first few may have made it.
    pub(super) fn crash(&mut self, node: usize) {
        let Some(process) = &self.nodes[node].process else { return };
        let writing = process.writing.len();
        let made_it = self.rng.random_range(0..=writing);
        self.nodes[node].write(made_it);
        self.nodes[node].process = None;
    }

    fn plan_tick(&mut self, node: usize) {
        let Some(process) = &mut self.nodes[node].process else { return };
        let due = process.member.next_tick_ms();
        if due == process.tick_ms {
            return;
        }
        process.tick_ms = due;
        let generation = self.nodes[node].generation;
        let at = self.nodes[node].true_time(due).max(self.now_ms);
        self.plan_event(at - self.now_ms, Event::Tick { node, generation });
    }

    fn process(&mut self, node: usize, generation: u64) -> Option<&mut Process> {
        let node = &mut self.nodes[node];
        node.process.as_mut().filter(|_| node.generation == generation)
    }

    /// Runs until `ms`.
    pub(super) fn run_until(&mut self, ms: u64) -> Result<(), Violation> {
        while self.queue.peek().is_some_and(|Reverse(at)| at.ms <= ms) {
            let Some(Reverse(at)) = self.queue.pop() else { break };
            self.now_ms = at.ms;
            self.happen(at.event)?;
        }
        self.now_ms = ms;
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Tick { node, generation } => {
                let Some(process) = self.process(node, generation) else { return Ok(()) };
                process.tick_ms = u64::MAX;
                self.input(node, Input::Tick)
            }
            Event::Arrive { from, caller, id, to, request } => {
                if self.nodes[to].process.is_none() || self.is_cut(from, to) {
                    return Ok(());
                }
                self.arrivals += 1;
                let call = self.arrivals;
                self.callers.insert(call, Caller { node: from, generation: caller, id });
                self.input(to, Input::Request(call, request))
            }
            Event::Answered { to, caller, id, answer } => {
                if self.process(to, caller).is_none() {
                    return Ok(());
                }
                self.input(to, Input::Answer(id, answer))
            }
            Event::Written { node, generation } => {
                let Some(process) = self.process(node, generation) else { return Ok(()) };
                // All that waits is written with one sync.
                let count = process.writing.len();
                if count == 0 {
                    return Ok(());
                }
                self.nodes[node].write(count);
                let Some(process) = self.process(node, generation) else { return Ok(()) };
                let durable = process.durable;
                self.release(node);
                self.input(node, Input::Persisted(durable))
            }
            Event::Applied { node, generation } => self.apply(node, generation),
            Event::Installed { node, generation, snapshot } => self.installed(node, generation, snapshot),
            Event::Client => self.client(),
            Event::Fault => self.fault(),
            Event::Restart { node, generation } => {
                if !self.calm && self.process(node, generation).is_some() {
                    self.crash(node);
                    self.start(node);
                }
                Ok(())
            }
            Event::Snapshot => {
                let pause = self.rng.random_range(0..=self.plan.snapshot_pause_ms_max);
                self.plan_event(pause, Event::Snapshot);
                let node = self.rng.random_range(0..self.nodes.len());
                if self.calm { Ok(()) } else { self.save_snapshot(node) }
            }
        }
    }

    pub(super) fn input(&mut self, node: usize, input: Input) -> Result<(), Violation> {
        self.steps += 1;
        let clock = self.nodes[node].clock(self.now_ms);
        let store = std::sync::Arc::clone(&self.nodes[node].store);
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        let out = process.member.step(clock, input, &*store);
        for output in out {
            self.output(node, output)?;
        }
        self.plan_tick(node);
        Ok(())
    }

    fn output(&mut self, node: usize, output: Output) -> Result<(), Violation> {
        let generation = self.nodes[node].generation;
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        match output {
            Output::Persist(ticket, changes) => {
                process.writing.push_back((ticket, changes));
                self.check_log(node)?;
                let ms = self.rng.random_range(0..=self.plan.sync_ms_max);
                self.plan_event(ms, Event::Written { node, generation });
            }
            Output::Reply(call, response, after) => {
                process.held.push_back((after, Held::Reply(call, response)));
                self.release(node);
            }
            Output::Call { id, to, request, after, timeout_ms } => {
                process.held.push_back((after, Held::Call { id, to, request, timeout_ms }));
                self.release(node);
            }
            Output::Apply(entries) => {
                process.applying.extend(entries);
                let ms = self.rng.random_range(0..=self.plan.apply_ms_max);
                self.plan_event(ms, Event::Applied { node, generation });
            }
            Output::Proposed(token, Proposed::At(index, term)) => {
                process.proposals.insert(index, (token, term));
            }
            Output::Abandon(commit) => {
                process.proposals.retain(|index, _| *index <= commit);
            }
            Output::Read(token, Ok(index)) => {
                process.reads.push((token, index));
                self.serve_reads(node)?;
            }
            Output::InstallSnapshot { uri, .. } => {
                let snapshot = self.offers.get(&uri).cloned();
                let failed = self.chance(self.plan.install_fails);
                let snapshot = snapshot.filter(|_| !failed);
                let ms = self.rng.random_range(1..=50);
                self.plan_event(ms, Event::Installed { node, generation, snapshot });
            }
            Output::Status(status) => {
                if status.role == Role::Leader {
                    self.elections += 1;
                    let (first, log) = self.nodes[node].whole_log();
                    let peer = self.nodes[node].peer.clone();
                    self.checks.leads(status.term, &peer, first, &log)?;
                }
            }
            Output::Done(_, Ok(())) => self.changes += 1,
            Output::Proposed(_, Proposed::Refused(_)) | Output::Read(_, Err(_)) | Output::Done(_, Err(_)) => {}
            Output::Fatal(why) => return Err(Violation(format!("{} gave up: {why}", self.nodes[node].peer))),
        }
        Ok(())
    }

    /// The entries given out last, against what is known of their place.
    fn check_log(&mut self, node: usize) -> Result<(), Violation> {
        use crate::raft::core::store::Change;
        let Some(process) = &self.nodes[node].process else { return Ok(()) };
        let Some((_, changes)) = process.writing.back() else { return Ok(()) };
        let mut before: Option<(Index, Term)> = None;
        for entry in changes.iter().filter_map(|change| match change {
            Change::Append(entries) => Some(entries),
            _ => None,
        }) {
            for entry in entry {
                let term = match before {
                    Some((index, term)) if index + 1 == entry.index => Some(term),
                    _ => self.term_before(node, entry),
                };
                if let Some(term) = term {
                    self.checks.appended(entry, term)?;
                }
                before = Some((entry.index, entry.term));
            }
        }
        Ok(())
    }

    fn term_before(&self, node: usize, entry: &Entry) -> Option<Term> {
        let process = self.nodes[node].process.as_ref()?;
        process.member.snapshot_meta(entry.index - 1).map(|meta| meta.last_included_term)
    }

    /// Sends what waited for what is durable now.
    fn release(&mut self, node: usize) {
        let generation = self.nodes[node].generation;
        while let Some(process) = &mut self.nodes[node].process {
            let durable = process.durable;
            let Some(at) = process.held.iter().position(|(after, _)| *after <= durable) else { break };
            let Some((_, held)) = process.held.remove(at) else { break };
            match held {
                Held::Reply(call, response) => {
                    let Some(caller) = self.callers.remove(&call) else { continue };
                    let Caller { node: to, generation: caller, id } = caller;
                    if matches!(response, Response::Vote { granted: true, .. })
                        && self.chance(self.plan.restart_after_vote)
                    {
                        self.plan_event(0, Event::Restart { node, generation });
                    }
                    for ms in self.deliveries(node, to) {
                        let answer = Ok(response.clone());
                        self.plan_event(ms, Event::Answered { to, caller, id, answer });
                    }
                }
                Held::Call { id, to, request, timeout_ms } => {
                    self.plan_event(
                        timeout_ms,
                        Event::Answered { to: node, caller: generation, id, answer: Err(NoAnswer) },
                    );
                    let Some(to) = self.nodes.iter().position(|it| it.peer == to) else { continue };
                    let Some(request) = self.fill_in(node, id, request) else { continue };
                    for ms in self.deliveries(node, to) {
                        let request = request.clone();
                        self.plan_event(ms, Event::Arrive { from: node, caller: generation, id, to, request });
                    }
                }
            }
        }
    }

    /// As the driver does: says where the snapshot's files are.
    fn fill_in(&mut self, node: usize, id: CallId, request: Request) -> Option<Request> {
        let Request::InstallSnapshot { from, term, .. } = request else { return Some(request) };
        let (meta, state) = self.nodes[node].snapshot.clone()?;
        let uri = format!("remote://{from}/{id}");
        self.offers.insert(uri.clone(), (meta.clone(), state));
        Some(Request::InstallSnapshot { from, term, meta, uri })
    }

    /// After how many ms a message arrives: none, once or twice.
    fn deliveries(&mut self, from: usize, to: usize) -> Vec<u64> {
        if self.is_cut(from, to) || (!self.calm && self.chance(self.plan.lost)) {
            return Vec::new();
        }
        let (delay_max, slow, doubled) = (self.plan.delay_ms_max, self.plan.slow, self.plan.doubled);
        let mut delays = vec![self.rng.random_range(0..=delay_max)];
        if !self.calm && self.chance(doubled) {
            delays.push(self.rng.random_range(0..=delay_max * 4));
        }
        if !self.calm && self.chance(slow) {
            delays[0] += self.rng.random_range(0..1500);
        }
        delays
    }

    fn is_cut(&self, from: usize, to: usize) -> bool {
        self.island.contains(&from) != self.island.contains(&to)
    }

    fn apply(&mut self, node: usize, generation: u64) -> Result<(), Violation> {
        let Some(process) = self.process(node, generation) else { return Ok(()) };
        let entries: Vec<Entry> = process.applying.drain(..).collect();
        let Some(last) = entries.last().map(|entry| entry.index) else { return Ok(()) };
        let peer = self.nodes[node].peer.clone();
        for entry in entries {
            let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
            if entry.index != process.state.index + 1 {
                return Err(Violation(format!("{peer} applies {} after {}", entry.index, process.state.index)));
            }
            process.state.apply(&entry);
            let (state, proposal) = (process.state.clone(), process.proposals.remove(&entry.index));
            self.checks.applies(&peer, &entry, &state)?;
            if let Some((token, term)) = proposal
                && term == entry.term
            {
                self.checks.write_answered(token, entry.index)?;
            }
        }
        self.serve_reads(node)?;
        self.input(node, Input::Applied(last))
    }

    fn serve_reads(&mut self, node: usize) -> Result<(), Violation> {
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        let applied = process.state.index;
        let mut ready: Vec<Token> = Vec::new();
        process.reads.retain(|(token, index)| {
            let waits = *index > applied;
            if !waits {
                ready.push(*token);
            }
            waits
        });
        for token in ready {
            self.checks.read_answered(token, applied)?;
        }
        Ok(())
    }

    fn installed(
        &mut self,
        node: usize,
        generation: u64,
        snapshot: Option<(SnapshotMeta, State)>,
    ) -> Result<(), Violation> {
        if self.process(node, generation).is_none() {
            return Ok(());
        }
        let Some((meta, state)) = snapshot else {
            let error = RaftError::new(RaftError::EIO, "could not be fetched");
            return self.input(node, Input::SnapshotInstalled(Err(error)));
        };
        // Entries handed out before are applied before.
        self.apply(node, generation)?;
        self.installs += 1;
        self.nodes[node].snapshot = Some((meta.clone(), state.clone()));
        if self.chance(self.plan.crash_between) && !self.calm {
            self.crash(node);
            return Ok(());
        }
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        process.state = state;
        self.input(node, Input::SnapshotInstalled(Ok(meta)))?;
        self.serve_reads(node)
    }

    /// Whether a leader has committed all it has.
    pub(super) fn is_idle(&self, leader: usize) -> bool {
        let process = self.nodes[leader].process.as_ref();
        process.is_some_and(|process| process.member.commit_index() == process.member.log_range().1)
    }

    /// How all stand, for a reader of a failure.
    pub(super) fn describe(&self) -> String {
        let lines = self.nodes.iter().map(|node| {
            let Some(process) = &node.process else { return format!("{} is down", node.peer) };
            let status = process.member.status();
            let (commit, log) = (process.member.commit_index(), process.member.log_range());
            let (peer, state) = (&node.peer, process.state.index);
            format!("{peer}: {status:?}, committed {commit}, applied {state}, log {log:?}")
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}
