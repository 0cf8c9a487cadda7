//! Where a write that needs consensus goes: the one place that decides.
//!
//! To the [`Group`] that the members keep such data with, which works the write out, has it committed and applies it
//! here. A node alone is a group of one. Until the node has joined its group such writes are refused.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::error::NamingError;
use super::registry::Registry;
use super::service::ServiceId;

/// What a group answers, later.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<(), NamingError>> + Send + 'a>>;

/// A write: changes the registry it is given, asking the consistency it is given for leave.
pub type Write<'a> = dyn Fn(&Registry, &Consistency) -> Result<(), NamingError> + Send + Sync + 'a;

/// What a write is to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Instances of a service; the service is created when unknown.
    Instances,
    /// The service itself: its settings, its clusters, or that it exists.
    Service,
}

/// The members that keep persistent data together.
pub trait Group: std::fmt::Debug + Send + Sync {
    /// Has a write committed. It may be run more than once, against registries of the group's choice, and against this
    /// node's own one when it is committed; then it returns.
    fn write<'a>(&'a self, id: &'a ServiceId, subject: Subject, write: &'a Write<'a>) -> Answer<'a>;

    /// Has a switch set for all members.
    fn switch<'a>(&'a self, entry: &'a str, value: &'a str) -> Answer<'a>;
}

/// Where persistent instances, services, clusters and switches are kept.
#[derive(Debug, Default)]
pub struct Consistency {
    /// The write is committed, or only being worked out.
    permits: bool,
    group: OnceLock<Arc<dyn Group>>,
}

impl Consistency {
    /// For a write that is committed, or is only being worked out: lets everything pass.
    pub fn permitting() -> Self {
        Consistency { permits: true, group: OnceLock::new() }
    }

    /// Gives such writes to a group from now on. Only the first one counts.
    pub fn join(&self, group: Arc<dyn Group>) {
        if self.group.set(group).is_err() {
            tracing::error!("this node takes part in a group already");
        }
    }

    /// Lets a write pass, or tells that it needs the group: no member may keep to itself what all should have. `what`
    /// names the write in messages, e.g. "a persistent instance".
    pub fn admit(&self, what: &'static str) -> Result<(), NamingError> {
        if self.permits { Ok(()) } else { Err(NamingError::NeedsConsensus(what)) }
    }

    /// Runs a write that needs consensus by its kind: with a group its members' state decides what it comes to, not
    /// what is known here.
    ///
    /// # Errors
    /// As [`Consistency::write`].
    pub async fn write_persistent<R: Send>(
        &self,
        registry: &Registry,
        id: &ServiceId,
        subject: Subject,
        write: impl Fn(&Registry, &Consistency) -> Result<R, NamingError> + Send + Sync,
    ) -> Result<R, NamingError> {
        match self.group.get() {
            Some(group) => commit(group, id, subject, write).await,
            None => write(registry, self),
        }
    }

    /// Runs a write here and, when it asks for consensus, has it committed instead. A write that is refused changes
    /// nothing.
    ///
    /// # Errors
    /// What the write says, [`NamingError::NeedsConsensus`] without a group, or why it could not be committed.
    pub async fn write<R: Send>(
        &self,
        registry: &Registry,
        id: &ServiceId,
        subject: Subject,
        write: impl Fn(&Registry, &Consistency) -> Result<R, NamingError> + Send + Sync,
    ) -> Result<R, NamingError> {
        let asked = match write(registry, self) {
            Err(asked @ NamingError::NeedsConsensus(_)) => asked,
            done => return done,
        };
        match self.group.get() {
            Some(group) => commit(group, id, subject, write).await,
            None => Err(asked),
        }
    }

    /// Has a switch set for all members.
    ///
    /// # Errors
    /// As [`Consistency::write`].
    pub async fn switch(&self, entry: &str, value: &str) -> Result<(), NamingError> {
        let group = self.group.get().ok_or(NamingError::NeedsConsensus("a switch"))?;
        group.switch(entry, value).await
    }
}

async fn commit<R: Send>(
    group: &Arc<dyn Group>,
    id: &ServiceId,
    subject: Subject,
    write: impl Fn(&Registry, &Consistency) -> Result<R, NamingError> + Send + Sync,
) -> Result<R, NamingError> {
    let result = Mutex::new(None);
    let kept = |registry: &Registry, consistency: &Consistency| {
        *result.lock() = Some(write(registry, consistency)?);
        Ok(())
    };
    group.write(id, subject, &kept).await?;
    result.into_inner().ok_or_else(|| NamingError::internal("the group did not run the write"))
}
