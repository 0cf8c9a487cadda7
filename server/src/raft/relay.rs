//! Persistent writes of a mixed cluster, taken to the leader of the official members.
//!
//! In place of taking part in the group ourselves, which replaces this module and [`super::mirror`]: then a write is
//! proposed to our own log. What an official follower does with a write is done here: read what the group holds,
//! change it, send the whole record to the leader (compat/spec/jraft.md §7, §8). Unlike an official follower it is
//! acknowledged only when the leader says that it was committed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use super::datum::{Entry, Poison, check_id};
use super::leader::{Leader, Leaders, NoLeader};
use super::mirror::install;
use super::official::{Official, Persisted, ReadError};
use super::plan::{Plan, PlanError};
use super::rpc::RaftClient;
use crate::naming::consistency::{Answer, Consistency, Group, Subject, Write};
use crate::naming::error::NamingError;
use crate::naming::registry::Registry;
use crate::naming::service::ServiceId;
use crate::naming::switch_entries;
use crate::naming::switches::{SwitchDomain, Switches};

/// A whole write, waiting for its turn and for a leader included.
const WRITE_TIMEOUT: Duration = Duration::from_secs(8);
/// The leader's answer to one entry; it gives up its own wait then, too (compat/spec/jraft.md §2).
const ENTRY_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two attempts.
const RETRY: Duration = Duration::from_millis(250);
/// Members apply a write some milliseconds after it is committed; a write is acknowledged when the leader shows it, or
/// after this long. Official members wait 2 s in all for a write they handed on.
const SHOWN_TIMEOUT: Duration = Duration::from_secs(1);
const SHOWN_POLL: Duration = Duration::from_millis(10);
/// For how long what was written last counts for more than what the leader shows, when it did not show it in time.
const UNSHOWN_FOR: Duration = Duration::from_secs(10);
/// What an official member answers that does not lead (compat/spec/jraft.md §8).
const NOT_LEADER: &str = "Could not find";
/// Turns remembered before unused ones are dropped.
const TURNS_MAX: usize = 1_000;

/// One write at a time per service; holding it also keeps the mirror away.
pub(super) type Turn = OwnedMutexGuard<()>;

/// Takes persistent writes to the official members.
#[derive(Debug)]
pub struct Relay {
    registry: Arc<Registry>,
    switches: Arc<Switches>,
    client: Arc<RaftClient>,
    pub(super) leaders: Leaders,
    pub(super) official: Official,
    turns: Mutex<HashMap<ServiceId, Arc<tokio::sync::Mutex<()>>>>,
    /// Switches are one record.
    pub(super) switch_turn: tokio::sync::Mutex<()>,
    /// The group's switches as seen last.
    seen_switches: Mutex<Option<SwitchDomain>>,
    /// Committed, but not shown by the leader when last looked.
    unshown: Mutex<HashMap<ServiceId, (Persisted, Instant)>>,
    /// Services known to be kept by the group.
    pub(super) held: Mutex<indexmap::IndexSet<ServiceId>>,
}

/// Why one attempt did not succeed.
enum Failure {
    /// Another may.
    Again { reason: String, leader: Option<String> },
    /// None will.
    Final(NamingError),
}

impl From<NamingError> for Failure {
    fn from(error: NamingError) -> Self {
        Failure::Final(error)
    }
}

impl From<Poison> for Failure {
    fn from(poison: Poison) -> Self {
        Failure::Final(refused(&poison))
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Refused(error) => error.into(),
            PlanError::Poison(poison) => poison.into(),
        }
    }
}

impl From<NoLeader> for Failure {
    fn from(error: NoLeader) -> Self {
        match error {
            // An election takes seconds.
            NoLeader::Unknown => Failure::Again { reason: error.to_string(), leader: None },
            NoLeader::NoOfficialNode | NoLeader::OldProtocol(_) => {
                Failure::Final(NamingError::Nacos(500, format!("this needs consensus among the members: {error}")))
            }
        }
    }
}

fn unreadable(leader: &Leader, error: &ReadError) -> Failure {
    Failure::Again { reason: format!("the leader {} could not be read: {error}", leader.http), leader: None }
}

fn refused(poison: &Poison) -> NamingError {
    NamingError::Nacos(500, format!("not let into the data that all members share: {poison}"))
}

impl Relay {
    /// Writes through these parts.
    pub fn new(
        registry: Arc<Registry>,
        switches: Arc<Switches>,
        client: Arc<RaftClient>,
        leaders: Leaders,
        official: Official,
    ) -> Self {
        Relay {
            registry,
            switches,
            client,
            leaders,
            official,
            turns: Mutex::default(),
            switch_turn: tokio::sync::Mutex::default(),
            seen_switches: Mutex::default(),
            unshown: Mutex::default(),
            held: Mutex::default(),
        }
    }

    /// The registry that is kept equal to the group.
    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Takes the group's switches when they are others than those seen there last: a switch set for this node alone
    /// stays until then.
    pub(super) fn adopt_switches(&self, of_group: SwitchDomain) {
        let mut seen = self.seen_switches.lock();
        if seen.as_ref() != Some(&of_group) {
            self.switches.change(|switches| switches.clone_from(&of_group));
            *seen = Some(of_group);
        }
    }

    /// The lock of a service.
    pub(super) fn turn(&self, id: &ServiceId) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock();
        if turns.len() > TURNS_MAX {
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        Arc::clone(turns.entry(id.clone()).or_default())
    }

    /// Whether what the leader shows of a service is older than what was written last.
    pub(super) fn is_behind(&self, id: &ServiceId, shown: Option<&Persisted>) -> bool {
        self.unshown(id).is_some_and(|written| !shown.is_some_and(|shown| shown.shows(&written)))
    }

    fn unshown(&self, id: &ServiceId) -> Option<Persisted> {
        let mut unshown = self.unshown.lock();
        unshown.retain(|_, (_, at)| at.elapsed() < UNSHOWN_FOR);
        unshown.get(id).map(|(written, _)| written.clone())
    }

    async fn write_service(&self, id: &ServiceId, subject: Subject, write: &Write<'_>) -> Result<(), NamingError> {
        check_id(id).map_err(|poison| refused(&poison))?;
        let deadline = Instant::now() + WRITE_TIMEOUT;
        let turn = tokio::time::timeout_at(deadline.into(), self.turn(id).lock_owned());
        let _turn: Turn = turn.await.map_err(|_| not_committed("earlier writes to the service take too long"))?;
        let wanted = Mutex::new(None);
        until_done(deadline, |avoid| self.attempt(id, subject, write, avoid, &wanted)).await
    }

    /// Reads, changes, sends; then the same here. `wanted` is what an attempt before this one sent without learning
    /// what became of it.
    async fn attempt(
        &self,
        id: &ServiceId,
        subject: Subject,
        write: &Write<'_>,
        avoid: Option<String>,
        wanted: &Mutex<Option<Plan>>,
    ) -> Result<(), Failure> {
        let leader = self.leaders.find_writable(avoid.as_deref()).await?;
        let shown = self.read(&leader, id).await?;
        let earlier = wanted.lock().take();
        if let Some(plan) = earlier
            && plan.is_shown(shown.as_ref())
        {
            // A member shows what was committed only.
            self.apply(id, write, plan.after.as_ref());
            return Ok(());
        }
        let before = self.unshown(id).or(shown);
        let here = self.registry.get(id).map(|service| service.read().clone());
        let plan = Plan::of(id, subject, write, here, before)?;
        if plan.entries.is_empty() {
            // Nothing that the members keep together; what is left of it is this node's alone.
            write(&self.registry, &Consistency::permitting())?;
            return Ok(());
        }
        *wanted.lock() = Some(plan.clone());
        for entry in &plan.entries {
            self.send(&leader, entry.clone()).await?;
        }
        self.wait_shown(&leader, id, &plan).await;
        self.apply(id, write, plan.after.as_ref());
        Ok(())
    }

    /// Here as there: first the ephemeral part of the write, then exactly what was committed.
    fn apply(&self, id: &ServiceId, write: &Write<'_>, after: Option<&Persisted>) {
        if let Err(error) = write(&self.registry, &Consistency::permitting()) {
            tracing::debug!(service = %id.name, %error, "the views of the cluster differ");
        }
        match after {
            Some(after) => {
                install(&self.registry, id, after);
                self.held.lock().insert(id.clone());
            }
            None => {
                self.registry.remove(id);
                self.held.lock().shift_remove(id);
            }
        }
    }

    async fn read(&self, leader: &Leader, id: &ServiceId) -> Result<Option<Persisted>, Failure> {
        match self.official.service(&leader.http, id).await {
            Ok(shown) => Ok(shown.map(|shown| shown.data)),
            Err(error) => Err(unreadable(leader, &error)),
        }
    }

    async fn send(&self, leader: &Leader, entry: Entry) -> Result<(), Failure> {
        let again = |reason: String| Failure::Again {
            reason: format!("{}: {reason}", leader.raft),
            leader: Some(leader.raft.clone()),
        };
        match self.client.write(&leader.raft, entry.into_request(), ENTRY_TIMEOUT).await {
            Ok(answer) if answer.success => Ok(()),
            Ok(answer) if answer.err_msg.starts_with(NOT_LEADER) => Err(again(answer.err_msg)),
            // A leader that steps down gives no reason. It may be committed later.
            Ok(answer) if answer.err_msg.is_empty() => Err(again("it gave up the write".to_owned())),
            Ok(answer) => {
                let message = format!("the leader {} did not take the write: {}", leader.raft, answer.err_msg);
                Err(Failure::Final(NamingError::Nacos(500, message)))
            }
            // It may have been committed. Whole records can be sent again.
            Err(status) => Err(again(status.message().to_owned())),
        }
    }

    async fn wait_shown(&self, leader: &Leader, id: &ServiceId, plan: &Plan) {
        let deadline = Instant::now() + SHOWN_TIMEOUT;
        while Instant::now() < deadline {
            if let Ok(shown) = self.read(leader, id).await
                && plan.is_shown(shown.as_ref())
            {
                self.unshown.lock().remove(id);
                return;
            }
            tokio::time::sleep(SHOWN_POLL).await;
        }
        tracing::warn!(service = %id.name, leader = leader.http, "a committed write is not shown by the leader yet");
        if let Some(after) = &plan.after {
            self.unshown.lock().insert(id.clone(), (after.clone(), Instant::now()));
        }
    }

    async fn write_switch(&self, entry: &str, value: &str) -> Result<(), NamingError> {
        let deadline = Instant::now() + WRITE_TIMEOUT;
        let turn = tokio::time::timeout_at(deadline.into(), self.switch_turn.lock());
        let _turn = turn.await.map_err(|_| not_committed("earlier writes of switches take too long"))?;
        until_done(deadline, |avoid| async move {
            let leader = self.leaders.find_writable(avoid.as_deref()).await?;
            let read = self.official.switches(&leader.http).await;
            let mut changed = read.map_err(|error| unreadable(&leader, &error))?;
            switch_entries::apply(&mut changed, entry, value)?;
            self.send(&leader, Entry::switches(&changed)?).await?;
            let deadline = Instant::now() + SHOWN_TIMEOUT;
            while Instant::now() < deadline {
                if self.official.switches(&leader.http).await.is_ok_and(|shown| shown == changed) {
                    break;
                }
                tokio::time::sleep(SHOWN_POLL).await;
            }
            self.adopt_switches(changed);
            Ok(())
        })
        .await
    }

    /// Whether the group is known to keep something of a service.
    pub fn holds(&self, id: &ServiceId) -> bool {
        self.held.lock().contains(id)
    }

    /// Tells the group that a service was removed here because it stayed empty: official members leave that to the
    /// responsible one (compat/spec/naming-api.md §16). One that is not empty there stays.
    pub async fn cleaned(&self, id: &ServiceId) {
        let Ok(leader) = self.leaders.find_writable(None).await else { return };
        let _turn: Turn = self.turn(id).lock_owned().await;
        let Ok(Some(known)) = self.official.service(&leader.http, id).await else { return };
        if known.ephemeral > 0 || !known.data.instances.is_empty() || self.registry.get(id).is_some() {
            return;
        }
        let plan = Plan::removal(id);
        match self.send(&leader, Entry::remove(id)).await {
            Ok(()) => {
                self.held.lock().shift_remove(id);
                self.wait_shown(&leader, id, &plan).await;
            }
            Err(_) => tracing::warn!(service = %id.name, "an empty service could not be removed at the other members"),
        }
    }
}

fn not_committed(reason: &str) -> NamingError {
    let seconds = WRITE_TIMEOUT.as_secs();
    NamingError::Nacos(500, format!("not known to be committed by the members after {seconds} s: {reason}"))
}

/// Attempts until one ends the write or time is over.
async fn until_done<F: Future<Output = Result<(), Failure>>>(
    deadline: Instant,
    attempt: impl Fn(Option<String>) -> F,
) -> Result<(), NamingError> {
    let mut last = NoLeader::Unknown.to_string();
    let attempts = async {
        let mut avoid = None;
        loop {
            match attempt(avoid.take()).await {
                Ok(()) => return Ok(()),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Again { reason, leader }) => {
                    tracing::debug!(reason, "a persistent write is tried again");
                    last = reason;
                    avoid = leader;
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    match tokio::time::timeout_at(deadline.into(), attempts).await {
        Ok(result) => result,
        Err(_) => Err(not_committed(&last)),
    }
}

impl Group for Relay {
    fn exists(&self) -> bool {
        self.leaders.has_official_members()
    }

    fn write<'a>(&'a self, id: &'a ServiceId, subject: Subject, write: &'a Write<'a>) -> Answer<'a> {
        Box::pin(self.write_service(id, subject, write))
    }

    fn switch<'a>(&'a self, entry: &'a str, value: &'a str) -> Answer<'a> {
        Box::pin(self.write_switch(entry, value))
    }
}
