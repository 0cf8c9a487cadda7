//! The core thread: takes commands, steps the member, works off what it wants done.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;
use tracing::{error, info, warn};

use super::apply::{Done, Job};
use super::install;
use super::network::{Network, Readers};
use crate::raft::core::message::{
    CallId, Input, MembershipChange, NoAnswer, Output, Proposed, RaftError, Request, Response, Role, Status, Ticket,
    Token,
};
use crate::raft::core::options::Timing;
use crate::raft::core::store::{Applied, Change, Snapshots, Store};
use crate::raft::core::{Index, Member, PeerId, SnapshotMeta, Term};
use crate::raft::voter::NotDone;

/// Commands taken together, so that their changes are written together.
const COMMANDS_MAX: usize = 1_024;
/// A log that grew by so many entries since the last snapshot gets another: they are applied again at a restart, which
/// takes half a second or so.
const SNAPSHOT_ENTRIES: u64 = 10_000;
/// Such a snapshot follows the one before after so many times as long as that took, so that a large state under many
/// writes is not copied all the time.
const SNAPSHOT_PAUSE: u32 = 20;
/// Before another attempt when one could not be made.
const SNAPSHOT_RETRY: Duration = Duration::from_secs(10);
/// Between two attempts to have another lead while the log cannot be written.
const HAND_OVER_RETRY: Duration = Duration::from_secs(1);

type Answer<T> = oneshot::Sender<Result<T, RaftError>>;
type ProposalAnswer = oneshot::Sender<Result<(Index, Applied), NotDone>>;

/// What the core thread is told.
pub(super) enum Command {
    Request(Request, oneshot::Sender<Response>),
    Propose(Bytes, ProposalAnswer),
    Read(Answer<Index>),
    Transfer(Option<PeerId>, Answer<()>),
    ChangePeers(MembershipChange, Answer<()>),
    Snapshot(Answer<()>),
    AlivePeers(Answer<Vec<PeerId>>),
    Timing(Timing),
    Answered(CallId, Result<Response, NoAnswer>),
    Written(Ticket),
    /// The store refuses to write; it is tried again.
    Unwritable(String),
    Applied {
        done: Vec<Done>,
        last: Index,
    },
    Saved(Result<SnapshotMeta, String>),
    /// Fetched, and in place.
    Fetched(Result<SnapshotMeta, RaftError>),
    /// Loaded.
    Installed(Result<SnapshotMeta, RaftError>),
    Failed(String),
    Stop,
}

/// What waits for something to be durable.
enum Held {
    Reply(CallId, Response),
    Call { id: CallId, to: PeerId, request: Request, timeout_ms: u64 },
}

pub(super) struct Setup {
    pub(super) group: String,
    pub(super) me: PeerId,
    pub(super) member: Member,
    pub(super) store: Arc<dyn Store>,
    pub(super) snapshots: Arc<dyn Snapshots>,
    pub(super) network: Arc<dyn Network>,
    pub(super) readers: Arc<Readers>,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) queued: Arc<AtomicUsize>,
    pub(super) writer: mpsc::Sender<(Ticket, Vec<Change>)>,
    pub(super) applier: mpsc::Sender<Job>,
    pub(super) told_status: watch::Sender<Status>,
    pub(super) told_applied: watch::Sender<Index>,
    pub(super) told_failed: watch::Sender<Option<String>>,
    pub(super) snapshot_interval: Option<Duration>,
}

/// The core thread's state.
pub(super) struct Core {
    setup: Setup,
    started: Instant,
    durable: Ticket,
    held: VecDeque<(Ticket, Held)>,
    calls: u64,
    replies: HashMap<CallId, oneshot::Sender<Response>>,
    /// Votes asked for. What still waits for a connection when the election is over would reach its peer beside the first
    /// entries of whom it elected: an official member that follows already and has not voted stops following and votes
    /// (compat/spec/jraft.md §5), which as one of two changes of leader may stop its start (compat/spec/membership.md §8).
    votes: HashMap<CallId, AbortHandle>,
    tokens: Token,
    /// Proposals between being handed to the member and its word on them.
    offered: HashMap<Token, ProposalAnswer>,
    /// Proposals in the log.
    proposals: BTreeMap<Index, (Term, ProposalAnswer)>,
    reads: HashMap<Token, Answer<Index>>,
    changes: HashMap<Token, Answer<()>>,
    /// The last entry handed to the state machine.
    handed_out: Index,
    /// A snapshot is being made, for these.
    saving: Option<Vec<Answer<()>>>,
    saving_since: Instant,
    next_snapshot: Option<Instant>,
    /// None before this because the log is long.
    not_before: Instant,
    /// When others were last asked to lead because the log cannot be written.
    unwritable: Option<Instant>,
    stop: bool,
}

impl Core {
    pub(super) fn new(setup: Setup) -> Self {
        let handed_out = setup.member.commit_index();
        let next_snapshot = setup.snapshot_interval.map(|interval| Instant::now() + interval);
        Core {
            setup,
            started: Instant::now(),
            durable: 0,
            held: VecDeque::new(),
            calls: 0,
            replies: HashMap::new(),
            votes: HashMap::new(),
            tokens: 0,
            offered: HashMap::new(),
            proposals: BTreeMap::new(),
            reads: HashMap::new(),
            changes: HashMap::new(),
            handed_out,
            saving: None,
            saving_since: Instant::now(),
            next_snapshot,
            not_before: Instant::now(),
            unwritable: None,
            stop: false,
        }
    }

    pub(super) fn run(mut self, inbox: &mpsc::Receiver<Command>) {
        while !self.stop {
            match inbox.recv_timeout(self.until_due()) {
                Ok(first) => self.take(std::iter::once(first).chain(inbox.try_iter().take(COMMANDS_MAX))),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
            if self.setup.member.next_tick_ms() <= self.now_ms() {
                self.step(Input::Tick);
            }
            if self.next_snapshot.is_some_and(|due| due <= Instant::now()) {
                self.next_snapshot = self.setup.snapshot_interval.map(|interval| Instant::now() + interval);
                self.save(None);
            }
            if self.log_is_long() {
                self.save(None);
            }
        }
    }

    fn log_is_long(&self) -> bool {
        let behind = self.handed_out.saturating_sub(self.setup.member.snapshot_index());
        behind >= SNAPSHOT_ENTRIES && self.saving.is_none() && self.not_before <= Instant::now()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn until_due(&self) -> Duration {
        let tick = Duration::from_millis(self.setup.member.next_tick_ms().saturating_sub(self.now_ms()).min(60_000));
        let snapshot = self.next_snapshot.map(|due| due.saturating_duration_since(Instant::now()));
        snapshot.map_or(tick, |snapshot| snapshot.min(tick))
    }

    /// Proposals that come together go into the log together.
    fn take(&mut self, commands: impl Iterator<Item = Command>) {
        let mut proposals = Vec::new();
        for command in commands {
            if let Command::Propose(data, answer) = command {
                self.setup.queued.fetch_sub(1, Ordering::Relaxed);
                self.tokens += 1;
                self.offered.insert(self.tokens, answer);
                proposals.push((self.tokens, data));
                continue;
            }
            if !proposals.is_empty() {
                self.step(Input::Propose(std::mem::take(&mut proposals)));
            }
            self.command(command);
        }
        if !proposals.is_empty() {
            self.step(Input::Propose(proposals));
        }
    }

    fn token(&mut self) -> Token {
        self.setup.queued.fetch_sub(1, Ordering::Relaxed);
        self.tokens += 1;
        self.tokens
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Propose(..) => {}
            Command::Request(request, answer) => {
                self.setup.queued.fetch_sub(1, Ordering::Relaxed);
                self.calls += 1;
                self.replies.insert(self.calls, answer);
                self.step(Input::Request(self.calls, request));
            }
            Command::Read(answer) => {
                let token = self.token();
                self.reads.insert(token, answer);
                self.step(Input::Read(token));
            }
            Command::Transfer(to, answer) => {
                let token = self.token();
                self.changes.insert(token, answer);
                self.step(Input::Transfer(token, to));
            }
            Command::ChangePeers(change, answer) => {
                let token = self.token();
                self.changes.insert(token, answer);
                self.step(Input::ChangePeers(token, change));
            }
            Command::Snapshot(answer) => {
                self.setup.queued.fetch_sub(1, Ordering::Relaxed);
                self.save(Some(answer));
            }
            Command::AlivePeers(answer) => {
                self.setup.queued.fetch_sub(1, Ordering::Relaxed);
                let _ = answer.send(Ok(self.setup.member.alive_peers()));
            }
            Command::Timing(timing) => self.step(Input::Timing(timing)),
            Command::Answered(id, answer) => self.step(Input::Answer(id, answer)),
            Command::Written(ticket) => {
                self.durable = self.durable.max(ticket);
                if self.unwritable.take().is_some() {
                    info!(group = self.setup.group, "the log can be written again");
                }
                self.release();
                self.step(Input::Persisted(ticket));
            }
            Command::Unwritable(why) => self.unwritable(why),
            Command::Applied { done, last } => self.applied(done, last),
            Command::Saved(result) => self.saved(result),
            Command::Fetched(Ok(_)) => {
                let _ = self.setup.applier.send(Job::Load);
            }
            Command::Fetched(Err(error)) => {
                warn!(group = self.setup.group, %error, "the leader's snapshot could not be fetched");
                self.step(Input::SnapshotInstalled(Err(error)));
            }
            Command::Installed(result) => {
                if let Ok(meta) = &result {
                    let index = meta.last_included_index;
                    info!(group = self.setup.group, index, "a snapshot of the leader is loaded");
                    self.handed_out = self.handed_out.max(index);
                    // What this member proposed once is part of the snapshot or not: it will not see it applied.
                    let later = self.proposals.split_off(&(index + 1));
                    for (_, (_, answer)) in std::mem::replace(&mut self.proposals, later) {
                        let _ = answer.send(Err(NotDone::Unknown("a snapshot took its place".to_owned())));
                    }
                    self.setup.told_applied.send_if_modified(|applied| {
                        let newer = *applied < index;
                        *applied = index.max(*applied);
                        newer
                    });
                }
                self.step(Input::SnapshotInstalled(result));
            }
            Command::Failed(why) => self.fail(&why),
            Command::Stop => self.stop = true,
        }
    }

    fn step(&mut self, input: Input) {
        let now_ms = self.now_ms();
        for output in self.setup.member.step(now_ms, input, &*self.setup.store) {
            self.output(output);
        }
        let member = &self.setup.member;
        self.votes.retain(|call, asked| {
            let awaited = member.awaits(*call);
            if !awaited {
                asked.abort();
            }
            awaited
        });
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Persist(ticket, changes) => {
                let _ = self.setup.writer.send((ticket, changes));
            }
            Output::Reply(call, response, after) => self.hold(after, Held::Reply(call, response)),
            Output::Call { id, to, request, after, timeout_ms } => {
                self.hold(after, Held::Call { id, to, request, timeout_ms });
            }
            Output::Apply(entries) => {
                self.handed_out = entries.last().map_or(self.handed_out, |entry| entry.index);
                let _ = self.setup.applier.send(Job::Apply(entries));
            }
            Output::Proposed(token, proposed) => {
                let Some(answer) = self.offered.remove(&token) else { return };
                match proposed {
                    Proposed::At(index, term) => {
                        self.proposals.insert(index, (term, answer));
                    }
                    Proposed::Refused(error) => {
                        let _ = answer.send(Err(NotDone::Refused(error)));
                    }
                }
            }
            Output::Abandon(commit) => {
                for (_, (_, answer)) in self.proposals.split_off(&(commit + 1)) {
                    let _ = answer.send(Err(NotDone::Unknown("the leader stepped down".to_owned())));
                }
            }
            Output::Read(token, result) => {
                if let Some(answer) = self.reads.remove(&token) {
                    let _ = answer.send(result);
                }
            }
            Output::Done(token, result) => {
                if let Some(answer) = self.changes.remove(&token) {
                    let _ = answer.send(result);
                }
            }
            Output::InstallSnapshot { meta, uri } => self.install(meta.last_included_index, uri),
            Output::Status(status) => {
                let leader = status.leader.as_ref().map(ToString::to_string);
                info!(group = self.setup.group, role = ?status.role, term = status.term, leader, "raft status");
                self.setup.told_status.send_replace(status);
            }
            Output::Fatal(why) => self.fail(&why),
        }
    }

    fn hold(&mut self, after: Ticket, held: Held) {
        if after <= self.durable {
            self.send(held);
        } else {
            self.held.push_back((after, held));
        }
    }

    fn release(&mut self) {
        let (ready, waits) = self.held.drain(..).partition(|(after, _)| *after <= self.durable);
        self.held = waits;
        let ready: VecDeque<(Ticket, Held)> = ready;
        for (_, held) in ready {
            self.send(held);
        }
    }

    fn send(&mut self, held: Held) {
        match held {
            Held::Reply(call, response) => {
                if let Some(reply) = self.replies.remove(&call) {
                    let _ = reply.send(response);
                }
            }
            Held::Call { id, to, request, timeout_ms } if self.setup.member.awaits(id) => {
                self.call(id, &to, request, timeout_ms);
            }
            Held::Call { .. } => {}
        }
    }

    fn call(&mut self, id: CallId, to: &PeerId, request: Request, timeout_ms: u64) {
        let commands = self.setup.commands.clone();
        let is_vote = matches!(request, Request::Vote(_));
        let (request, reader) = match self.offer(request) {
            Ok(offered) => offered,
            Err(why) => {
                warn!(group = self.setup.group, why, "there is no snapshot to offer");
                let _ = commands.send(Command::Answered(id, Err(NoAnswer)));
                return;
            }
        };
        let timeout = Duration::from_millis(timeout_ms);
        let answer = self.setup.network.call(&self.setup.group, to, request, timeout);
        let readers = Arc::clone(&self.setup.readers);
        let made = self.setup.runtime.spawn(async move {
            let answer = answer.await;
            if let Some(reader) = reader {
                readers.close(reader);
            }
            let _ = commands.send(Command::Answered(id, answer));
        });
        if is_vote {
            self.votes.insert(id, made.abort_handle());
        }
    }

    /// Says where a snapshot's files are: the latest there is, whatever was the latest when the core decided.
    fn offer(&self, request: Request) -> Result<(Request, Option<i64>), String> {
        let Request::InstallSnapshot { from, term, .. } = request else { return Ok((request, None)) };
        let latest = self.setup.snapshots.latest().map_err(|error| error.to_string())?;
        let meta = latest.ok_or("none was made yet")?;
        let reader = self.setup.readers.open(Arc::clone(&self.setup.snapshots), meta.last_included_index);
        let uri = format!("remote://{}/{reader}", self.setup.me.endpoint());
        Ok((Request::InstallSnapshot { from, term, meta, uri }, Some(reader)))
    }

    fn install(&self, at_least: Index, uri: String) {
        let (network, snapshots) = (Arc::clone(&self.setup.network), Arc::clone(&self.setup.snapshots));
        let (commands, runtime) = (self.setup.commands.clone(), self.setup.runtime.clone());
        info!(group = self.setup.group, index = at_least, uri, "a snapshot of the leader is fetched");
        // Its own thread: it writes files.
        super::spawn(format!("raft-fetch-{}", self.setup.group), move || {
            let result = runtime.block_on(install::fetch(network, snapshots, &uri, at_least));
            let _ = commands.send(Command::Fetched(result));
        });
    }

    fn applied(&mut self, done: Vec<Done>, last: Index) {
        // Whoever waits for the answer sees the state after it.
        self.setup.told_applied.send_replace(last);
        for Done { index, term, applied } in done {
            if let Some((proposed, answer)) = self.proposals.remove(&index) {
                let result = if proposed == term {
                    Ok((index, applied))
                } else {
                    Err(NotDone::Unknown("another leader's entry took its place".to_owned()))
                };
                let _ = answer.send(result);
            }
        }
        self.step(Input::Applied(last));
    }

    fn save(&mut self, answer: Option<Answer<()>>) {
        if let Some(waiting) = &mut self.saving {
            waiting.extend(answer);
            return;
        }
        // Jobs are done in order: the state machine will stand exactly there.
        match self.setup.member.snapshot_meta(self.handed_out) {
            Some(meta) if self.handed_out > self.setup.member.snapshot_index() => {
                self.saving = Some(answer.into_iter().collect());
                self.saving_since = Instant::now();
                let _ = self.setup.applier.send(Job::Save(meta));
            }
            _ => {
                if let Some(answer) = answer {
                    let _ = answer.send(Ok(()));
                }
            }
        }
    }

    fn saved(&mut self, result: Result<SnapshotMeta, String>) {
        let answers = self.saving.take().unwrap_or_default();
        let pause = self.saving_since.elapsed() * SNAPSHOT_PAUSE;
        self.not_before = Instant::now() + if result.is_ok() { pause } else { SNAPSHOT_RETRY };
        let result = match result {
            Ok(meta) => {
                info!(group = self.setup.group, index = meta.last_included_index, "snapshot made");
                self.step(Input::SnapshotSaved(meta));
                Ok(())
            }
            Err(why) => {
                warn!(group = self.setup.group, why, "no snapshot could be made");
                Err(RaftError::new(RaftError::EIO, why))
            }
        };
        for answer in answers {
            let _ = answer.send(result.clone());
        }
    }

    /// Who cannot write follows until it can: its own copy of an entry counts for nothing, and nothing is applied.
    fn unwritable(&mut self, why: String) {
        if self.unwritable.is_some_and(|asked| asked.elapsed() < HAND_OVER_RETRY) {
            return;
        }
        if self.unwritable.replace(Instant::now()).is_none() {
            error!(group = self.setup.group, why, "the log cannot be written: nothing is acknowledged until it can");
        }
        // Who asked has given up on most of what waits for the log.
        let replies = &self.replies;
        self.held.retain(|(_, held)| match held {
            Held::Reply(call, _) => replies.get(call).is_some_and(|reply| !reply.is_closed()),
            Held::Call { .. } => true,
        });
        self.replies.retain(|_, reply| !reply.is_closed());
        if self.setup.member.status().role == Role::Leader {
            self.tokens += 1;
            self.step(Input::Transfer(self.tokens, None));
        }
    }

    fn fail(&mut self, why: &str) {
        error!(group = self.setup.group, why, "the member leaves the group");
        self.setup.told_failed.send_replace(Some(why.to_owned()));
        self.setup.told_status.send_modify(|status| {
            status.role = Role::Follower;
            status.leader = None;
        });
        self.stop = true;
    }
}
