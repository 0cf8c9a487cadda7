//! One attempt of a write: work it out on what the group holds, have it committed, see it applied.

use std::sync::Arc;

use parking_lot::Mutex;
use prost::Message as _;

use super::draft::{Lead, Outcome, Place};
use super::turns::Of;
use super::{CHANGED_MEANWHILE, EXPECTED, Forwarded, NotDone, Voter, refused};
use crate::naming::changes::Change;
use crate::naming::consistency::{Subject, Write};
use crate::naming::error::NamingError;
use crate::naming::instances::new_service;
use crate::naming::service::ServiceId;
use crate::naming::switch_entries;
use crate::raft::core::store::Applied;
use crate::raft::core::types::{Index, PeerId};
use crate::raft::datum::{Entry, Poison, SWITCH_KEY, batch, check_id, check_switches, list_key};
use crate::raft::naming_state::{Base, record};
use crate::raft::old_raft::Blocked;
use crate::raft::persisted::Persisted;
use crate::raft::plan::{Listing, Local, Plan, Scratch};
use crate::raft::rpc::WriteRequest;

/// What an official member answers that does not lead (compat/spec/jraft.md §8).
const NOT_LEADER: &str = "Could not find";

/// Why another attempt is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reason {
    /// Nobody is known to lead.
    NoLeader,
    /// Members would not see it.
    Blocked(Blocked),
    /// In words.
    Other(String),
}

/// Why an attempt did not succeed.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// Another may.
    Again(Reason),
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

impl Failure {
    /// For another attempt.
    pub(super) fn again(reason: impl ToString) -> Self {
        Failure::Again(Reason::Other(reason.to_string()))
    }
}

/// What an attempt before this one sent without learning what became of it.
#[derive(Debug, Default)]
pub(super) struct Wanted(Option<Option<Persisted>>);

/// Where a write goes.
enum Route {
    /// This node leads.
    Here,
    /// To the leader.
    To(PeerId),
}

impl Voter {
    /// Where a write goes now. What is here is then as new as it has to be: a leader's own is the newest there is, one
    /// of this program refuses what was worked out from something older, and for an official one it is made so.
    async fn route(&self) -> Result<Route, Failure> {
        match self.consensus.blocked() {
            None => {}
            Some(for_good @ Blocked::TooOld { .. }) => {
                return Err(NamingError::Nacos(500, for_good.to_string()).into());
            }
            Some(for_now) => return Err(Failure::Again(Reason::Blocked(for_now))),
        }
        let status = self.consensus.status();
        if self.leads(&status) {
            if *self.caught_up.lock() != status.term {
                self.read().await?;
                *self.caught_up.lock() = status.term;
            }
            return Ok(Route::Here);
        }
        let leader = status.leader.ok_or(Failure::Again(Reason::NoLeader))?;
        if !self.consensus.is_tandem(&leader) {
            self.read().await?;
        }
        Ok(Route::To(leader))
    }

    async fn read(&self) -> Result<(), Failure> {
        self.consensus.read().await.map_err(Failure::again)
    }

    pub(super) async fn attempt_service(
        &self,
        id: &ServiceId,
        subject: Subject,
        write: &Write<'_>,
        wanted: &Mutex<Wanted>,
    ) -> Result<(), Failure> {
        let earlier = wanted.lock().0.take();
        if let Some(after) = earlier {
            // Whether the earlier attempt is in the log shows after this.
            let read = self.read().await;
            if read.is_err() {
                wanted.lock().0 = Some(after);
                return read;
            }
            if is_same(self.data.base(id).persisted().as_ref(), after.as_ref()) {
                return Ok(());
            }
        }
        let (own, outcome) = match self.drafts.join(id, subject) {
            Place::Member(member) => member.run(write).await,
            Place::Lead(lead) => {
                let (own, outcome) = match self.lead(&lead, id, write).await {
                    Ok((own, outcome)) => (Some(own), outcome),
                    Err(failure) => (None, Outcome::Failed(failure)),
                };
                lead.end(outcome.clone());
                (own, outcome)
            }
        };
        match (outcome, own) {
            (Outcome::Done, Some(own)) => Ok(own?),
            (Outcome::Done, None) => Err(Failure::again("it came too late")),
            // What it says was worked out from a state that may not be.
            (Outcome::Failed(failure), _) => Err(failure),
            (Outcome::Unknown(failure, after), own) => {
                if matches!(own, Some(Ok(()))) {
                    wanted.lock().0 = Some(after.map(|after| *after));
                }
                Err(failure)
            }
        }
    }

    /// Sees a draft through: what the lead's own write says, and how the whole ended.
    async fn lead(
        &self,
        lead: &Lead,
        id: &ServiceId,
        write: &Write<'_>,
    ) -> Result<(Result<(), NamingError>, Outcome), Failure> {
        let _turn = self.turns.of(Of::Service(id.namespace.clone(), id.name.clone())).await;
        let route = self.route().await?;
        let base = self.data.base(id);
        let scratch = Arc::new(Scratch::new(id, base.here.clone(), base.persisted()));
        let (own, subject) = lead.run(&scratch, write).await;
        let plan = scratch.plan(subject)?;
        let removed = removal(&plan, &base, id, |key| self.data.value(key).is_some());
        let request = match removed {
            Some(request) => request,
            None if plan.entries.is_empty() => {
                // Refused or needless: only by what is certainly still so.
                self.still(id, &base).await?;
                self.apply_local(id, plan.local);
                // Members that write what they have already show its checksum as of then.
                if own.is_ok()
                    && let Some(service) = self.registry.get(id)
                {
                    service.refresh_checksum();
                }
                return Ok((own, Outcome::Done));
            }
            None => batch(&plan.entries),
        };
        if self.consensus.is_shared() {
            check_id(id)?;
        }
        let outcome = match self.send(route, request, base.fingerprint).await {
            Ok(()) => {
                self.apply_local(id, plan.local);
                Outcome::Done
            }
            Err(unknown @ Sent::Unknown(_)) => Outcome::Unknown(unknown.into(), plan.after.map(Box::new)),
            Err(sent) => Outcome::Failed(sent.into()),
        };
        Ok((own, outcome))
    }

    /// Sees to it that a write was worked out from what is the newest there is.
    async fn still(&self, id: &ServiceId, base: &Base) -> Result<(), Failure> {
        self.read().await?;
        if self.data.base(id).fingerprint == base.fingerprint { Ok(()) } else { Err(Failure::again(CHANGED_MEANWHILE)) }
    }

    /// What a write changes that no consensus keeps: ephemeral instances, clusters that were only named.
    fn apply_local(&self, id: &ServiceId, local: Local) {
        let only_listing = local.ephemeral.is_empty() && local.clusters.is_empty() && local.health.is_empty();
        if local.is_empty() || only_listing && self.registry.get(id).is_none() {
            return;
        }
        self.registry.upsert(
            id,
            || new_service(id),
            |state| {
                let ephemeral_local = !local.ephemeral.is_empty();
                for name in &local.clusters {
                    state.ensure_cluster(name);
                }
                if let Some(Listing { linked_clusters, held, recorded_clusters }) = local.listing {
                    state.linked_clusters = linked_clusters;
                    state.held[0] = held;
                    state.recorded_clusters = recorded_clusters;
                }
                for (key, healthy) in local.health {
                    if let Some(instance) = state.persistent.get_mut(&key) {
                        instance.healthy = healthy;
                    }
                }
                for (key, instance) in local.ephemeral {
                    match instance {
                        Some(instance) => drop(state.ephemeral.insert(key, instance)),
                        None => drop(state.ephemeral.swap_remove(&key)),
                    }
                }
                ((), Change { ephemeral_local, persistent: true, ..Change::default() })
            },
        );
    }

    pub(super) async fn attempt_switch(&self, entry: &str, value: &str) -> Result<(), Failure> {
        let _turn = self.turns.of(Of::Switches).await;
        let route = self.route().await?;
        let fingerprint = self.data.fingerprint(&[SWITCH_KEY]);
        let held = self.data.value(SWITCH_KEY).and_then(|value| record::switches(&value).ok());
        let mut changed = held.unwrap_or_else(|| (*self.switches.get()).clone());
        switch_entries::apply(&mut changed, entry, value)?;
        if self.consensus.is_shared() {
            check_switches(&changed)?;
        }
        let request = batch(&[Entry::switches(&changed)]);
        // Whole records can be sent again.
        self.send(route, request, fingerprint).await.map_err(Failure::from)
    }

    pub(super) async fn attempt_clean(&self, id: &ServiceId) -> Result<(), Failure> {
        let _turn = self.turns.of(Of::Service(id.namespace.clone(), id.name.clone())).await;
        let route = self.route().await?;
        let base = self.data.base(id);
        let list = self.data.value(&list_key(id)).and_then(|value| record::list(&value).ok()).unwrap_or_default();
        // Used again meanwhile, or it has instances that are not shown here.
        if !base.is_held || base.here.is_some_and(|here| here.all().next().is_some()) || !list.is_empty() {
            return Ok(());
        }
        let request = delete(id, |key| self.data.value(key).is_some());
        self.send(route, request, base.fingerprint).await.map_err(Failure::from)
    }

    /// Has a write committed and sees it applied here.
    async fn send(&self, route: Route, mut request: WriteRequest, expected: String) -> Result<(), Sent> {
        match route {
            // Nobody else changes the records while the turn is held.
            Route::Here => self.propose(&request).await.map(drop),
            Route::To(leader) => {
                request.extend_info.insert(EXPECTED.to_owned(), expected);
                self.forward(&leader, request).await
            }
        }
    }

    pub(super) async fn propose(&self, request: &WriteRequest) -> Result<Index, Sent> {
        match self.consensus.propose(request.encode_to_vec().into()).await {
            Ok((index, Applied { success: true, .. })) => Ok(index),
            Ok((_, applied)) => Err(Sent::Refused(applied.err_msg)),
            Err(NotDone::Refused(error)) => Err(Sent::Not(error.to_string())),
            Err(NotDone::Unknown(reason)) => Err(Sent::Unknown(reason)),
        }
    }

    async fn forward(&self, leader: &PeerId, request: WriteRequest) -> Result<(), Sent> {
        let answer = match self.consensus.forward(leader, request).await {
            Forwarded::Answered(answer) => answer,
            Forwarded::NotSent(reason) => return Err(Sent::Not(format!("{leader}: {reason}"))),
            Forwarded::Unknown(reason) => return Err(Sent::Unknown(format!("{leader}: {reason}"))),
        };
        let index = std::str::from_utf8(&answer.data).ok().and_then(|text| text.parse::<Index>().ok());
        match (answer.success, answer.err_msg.as_str()) {
            (true, _) => match index {
                Some(index) => self.consensus.applied(index).await,
                // Committed. Whoever wrote it must see it here, too.
                None => self.consensus.read().await.map_err(|error| Sent::Unknown(error.to_string()))?,
            },
            (false, CHANGED_MEANWHILE) => {
                if let Some(index) = index {
                    self.consensus.applied(index).await;
                }
                return Err(Sent::Not(CHANGED_MEANWHILE.to_owned()));
            }
            (false, text) if text.starts_with(NOT_LEADER) => return Err(Sent::Not(text.to_owned())),
            // A leader that steps down gives no reason. It may be committed later.
            (false, "") => return Err(Sent::Unknown(format!("{leader} gave up the write"))),
            (false, text) => return Err(Sent::Refused(format!("the leader {leader} did not take the write: {text}"))),
        }
        Ok(())
    }
}

/// Why a write was not seen through.
#[derive(Debug)]
pub(super) enum Sent {
    /// It is not in the log.
    Not(String),
    /// It may be.
    Unknown(String),
    /// It will not be taken.
    Refused(String),
}

impl From<Sent> for Failure {
    fn from(sent: Sent) -> Self {
        match sent {
            Sent::Not(reason) | Sent::Unknown(reason) => Failure::again(reason),
            Sent::Refused(reason) => Failure::Final(NamingError::Nacos(500, reason)),
        }
    }
}

fn is_same(one: Option<&Persisted>, other: Option<&Persisted>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.shows(other),
        (None, None) => true,
        _ => false,
    }
}

/// The request that takes a service away, when that is what a plan comes to.
fn removal(plan: &Plan, base: &Base, id: &ServiceId, is_there: impl Fn(&str) -> bool) -> Option<WriteRequest> {
    (plan.after.is_none() && plan.removes && (base.is_held || base.here.is_some())).then(|| delete(id, is_there))
}

/// Takes a service away, with its instances: official members each send a request for these when they have applied
/// the first, which may come too late (compat/spec/jraft.md §7).
fn delete(id: &ServiceId, is_there: impl Fn(&str) -> bool) -> WriteRequest {
    let mut entries = vec![Entry::remove(id)];
    if is_there(&list_key(id)) {
        entries.push(Entry::remove_list(id));
    }
    batch(&entries)
}
