//! A member at work: a thread for its core, one that writes, one that applies, and calls to its peers.
//!
//! The core thread never waits for a disk or a peer. What it gives out to be written while the writer is busy is
//! written together, with one sync; what depends on it is sent once that is done.
//!
//! # Layout
//! - [`network`]: what the driver wants of the network
//! - `run`: the core thread
//! - `write`, `apply`: the other two
//! - `install`: fetching a snapshot
//! - `consensus`: the driver as the write path sees it

mod apply;
mod consensus;
mod install;
pub mod network;
mod run;
mod write;

#[cfg(test)]
pub(in crate::raft) mod tests;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use self::network::{Network, Readers};
use self::run::{Command, Core};
use super::core::message::{MembershipChange, RaftError, Request, Response, Role, Status};
use super::core::options::{Options, Timing};
use super::core::recovery::reconcile;
use super::core::store::{Applied, Snapshots, StateMachine, Store, StoreError};
use super::core::{Configuration, Index, Member, PeerId};
use super::old_raft::Blocked;
use super::voter::NotDone;

/// Requests, proposals and reads waiting for the core.
const QUEUED_MAX: usize = 16_384;
/// A leader that stops waits this long for another to take over.
const HAND_OVER_MAX: Duration = Duration::from_secs(1);

/// Which group, and how this member takes part in it.
#[derive(Clone)]
pub struct GroupOptions {
    /// Group id.
    pub group: String,
    /// This member.
    pub me: PeerId,
    /// Who votes while log and snapshot do not say; all lines of `cluster.conf`.
    pub initial: Configuration,
    /// Times and bounds.
    pub options: Options,
    /// Between two snapshots of the own state.
    pub snapshot_interval: Option<Duration>,
    /// Whether a member is one of this program.
    pub is_tandem: Arc<dyn Fn(&PeerId) -> bool + Send + Sync>,
    /// Whether there may be other members.
    pub shared: bool,
    /// Why writes must not be taken now.
    pub blocked: Arc<dyn Fn() -> Option<Blocked> + Send + Sync>,
}

/// The parts a member stands on.
pub struct Parts {
    /// Log, term and vote.
    pub store: Arc<dyn Store>,
    /// Snapshot files.
    pub snapshots: Arc<dyn Snapshots>,
    /// What is replicated.
    pub machine: Box<dyn StateMachine>,
    /// The way to the peers.
    pub network: Arc<dyn Network>,
    /// Snapshots that peers are reading.
    pub readers: Arc<Readers>,
}

/// A member of a group at work. Dropping it stops it without waiting.
pub struct RaftGroup {
    name: String,
    me: PeerId,
    commands: mpsc::Sender<Command>,
    queued: Arc<AtomicUsize>,
    status: watch::Receiver<Status>,
    applied: watch::Receiver<Index>,
    failed: watch::Receiver<Option<String>>,
    network: Arc<dyn Network>,
    is_tandem: Arc<dyn Fn(&PeerId) -> bool + Send + Sync>,
    shared: bool,
    blocked: Arc<dyn Fn() -> Option<Blocked> + Send + Sync>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for RaftGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RaftGroup").field("name", &self.name).field("me", &self.me).finish_non_exhaustive()
    }
}

impl RaftGroup {
    /// Loads what is stored and starts. Blocks while it loads; must be called within a tokio runtime.
    ///
    /// # Errors
    /// When what is stored cannot be read or is damaged; nothing runs then.
    pub fn start(options: GroupOptions, parts: Parts) -> Result<RaftGroup, StoreError> {
        let latest = parts.snapshots.latest()?;
        reconcile(&*parts.store, latest.as_ref())?;
        let GroupOptions { group, me, initial, options, snapshot_interval, is_tandem, shared, blocked } = options;
        let seed = u64::from(rand::random::<u32>());
        let member = Member::load(me.clone(), options, initial, seed, 0, &*parts.store)?;
        let mut machine = parts.machine;
        let loaded = machine.load()?.map_or(0, |meta| meta.last_included_index);
        if loaded != member.commit_index() {
            let log = member.commit_index();
            return Err(StoreError::Damaged(format!("the log stands on a snapshot of {log}, {loaded} was loaded")));
        }
        let (commands, inbox) = mpsc::channel();
        let (told_status, status) = watch::channel(member.status());
        let (told_applied, applied) = watch::channel(loaded);
        let (told_failed, failed) = watch::channel(None);
        let queued = Arc::new(AtomicUsize::new(0));
        let writer = write::start(&group, Arc::clone(&parts.store), commands.clone());
        let applier = apply::start(&group, machine, commands.clone());
        let network = Arc::clone(&parts.network);
        let core = Core::new(run::Setup {
            group: group.clone(),
            me: me.clone(),
            member,
            store: parts.store,
            snapshots: parts.snapshots,
            network: parts.network,
            readers: parts.readers,
            runtime: tokio::runtime::Handle::current(),
            commands: commands.clone(),
            queued: Arc::clone(&queued),
            writer,
            applier,
            told_status,
            told_applied,
            told_failed,
            snapshot_interval,
        });
        let thread = spawn(format!("raft-{group}"), move || core.run(&inbox));
        let thread = Mutex::new(Some(thread));
        Ok(RaftGroup {
            name: group,
            me,
            commands,
            queued,
            status,
            applied,
            failed,
            network,
            is_tandem,
            shared,
            blocked,
            thread,
        })
    }

    /// Group id.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// This member.
    pub fn me(&self) -> &PeerId {
        &self.me
    }

    /// How this member stands.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Tells of every change of the status.
    pub fn watch_status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Up to where the state machine has applied.
    pub fn applied_index(&self) -> Index {
        *self.applied.borrow()
    }

    /// Why the member stopped for good, if it did.
    pub fn failure(&self) -> Option<String> {
        self.failed.borrow().clone()
    }

    fn stopped(&self) -> RaftError {
        match self.failure() {
            Some(why) => RaftError::new(RaftError::ESTATEMACHINE, why),
            None => RaftError::new(RaftError::ESHUTDOWN, "the member stops"),
        }
    }

    fn queue(&self, command: Command) -> Result<(), RaftError> {
        if self.queued.fetch_add(1, Ordering::Relaxed) >= QUEUED_MAX {
            self.queued.fetch_sub(1, Ordering::Relaxed);
            return Err(RaftError::new(RaftError::EBUSY, "Node is busy, has too many tasks."));
        }
        self.commands.send(command).map_err(|_| self.stopped())
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, RaftError>>) -> Command,
    ) -> Result<T, RaftError> {
        let (answer, answered) = oneshot::channel();
        self.queue(command(answer))?;
        answered.await.unwrap_or_else(|_| Err(self.stopped()))
    }

    /// A peer's call. The order of calls is that in which this is called, not in which it is awaited.
    pub fn request(&self, request: Request) -> impl Future<Output = Response> + Send + use<> {
        let (answer, answered) = oneshot::channel();
        let queued = self.queue(Command::Request(request, answer));
        let stopped = self.stopped();
        async move {
            match queued {
                Ok(()) => answered.await.unwrap_or(Response::Error(stopped)),
                Err(error) => Response::Error(error),
            }
        }
    }

    /// Puts a command into the log; returns when it is committed and applied here.
    ///
    /// # Errors
    /// When this member does not lead, or stopped leading before it knew.
    pub async fn propose(&self, data: Bytes) -> Result<(Index, Applied), NotDone> {
        let (answer, answered) = oneshot::channel();
        self.queue(Command::Propose(data, answer)).map_err(NotDone::Refused)?;
        answered.await.unwrap_or_else(|_| Err(NotDone::Unknown(self.stopped().message)))
    }

    /// Returns when everything that was committed when this was called is applied here.
    ///
    /// # Errors
    /// When nobody leads, or it cannot be known.
    pub async fn read(&self) -> Result<Index, RaftError> {
        let index = self.ask(Command::Read).await?;
        self.wait_applied(index).await;
        Ok(index)
    }

    /// Returns when this entry is applied here; never, when the member failed.
    pub async fn wait_applied(&self, index: Index) {
        let mut applied = self.applied.clone();
        if applied.wait_for(|applied| *applied >= index).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Has that peer lead, or the one that fits best; returns once it is under way.
    ///
    /// # Errors
    /// When this member does not lead, or cannot hand over.
    pub async fn transfer(&self, to: Option<PeerId>) -> Result<(), RaftError> {
        self.ask(|answer| Command::Transfer(to, answer)).await
    }

    /// Changes the voters; returns when that is committed.
    ///
    /// # Errors
    /// When this member does not lead, another change is under way, or a new peer does not get the log.
    pub async fn change_peers(&self, change: MembershipChange) -> Result<(), RaftError> {
        self.ask(|answer| Command::ChangePeers(change, answer)).await
    }

    /// Makes a snapshot of the own state now.
    ///
    /// # Errors
    /// When it could not be made.
    pub async fn snapshot(&self) -> Result<(), RaftError> {
        self.ask(Command::Snapshot).await
    }

    /// The voters that answered this leader lately.
    ///
    /// # Errors
    /// When the member stops.
    pub async fn alive_peers(&self) -> Result<Vec<PeerId>, RaftError> {
        self.ask(Command::AlivePeers).await
    }

    /// Other timing from now on.
    pub fn set_timing(&self, timing: Timing) {
        let _ = self.commands.send(Command::Timing(timing));
    }

    /// Stops and waits for what is being written. A leader hands over first, so that nobody has to miss it.
    pub async fn stop(&self) {
        if self.status().role == Role::Leader && self.transfer(None).await.is_ok() {
            let mut status = self.status.clone();
            let handed_over = status.wait_for(|status| !matches!(status.role, Role::Leader | Role::Transferring));
            let _ = tokio::time::timeout(HAND_OVER_MAX, handed_over).await;
        }
        let _ = self.commands.send(Command::Stop);
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Drop for RaftGroup {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::Stop);
    }
}

/// A thread that is no part of the runtime: it blocks on a disk.
fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    match std::thread::Builder::new().name(name).spawn(work) {
        Ok(thread) => thread,
        // As std::thread::spawn does it: without threads nothing of this program works.
        Err(error) => panic!("cannot start a thread: {error}"),
    }
}
