//! The state machine of `naming_persistent_service`: keys and values as official members keep them, and what naming
//! makes of them (compat/spec/jraft.md §7).
//!
//! The bytes are the state: they are what snapshots hold and what other members compare with. Services, persistent
//! instances and switches of this node are worked out from them. A value that cannot be read stays as it is, is handed
//! on in snapshots, and is said in the log; naming goes on with what it had.
//!
//! # Layout
//! - [`command`]: what an entry of the log says
//! - [`record`]: values as official members write them
//! - [`project`]: from records to services, instances and switches

pub mod command;
pub mod project;
pub mod record;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

use self::command::{Command, Skipped};
use self::project::Projection;
use super::core::store::{Applied, ApplyError, StateMachine, StoreError};
use super::core::{Index, SnapshotMeta};
use super::datum::{list_key, meta_key};
use super::persisted::Persisted;
use super::snapshot::Archive;
use crate::naming::registry::Registry;
use crate::naming::service::{ServiceId, ServiceState};
use crate::naming::switches::Switches;

/// Keys and values. Keys are UTF-8 in practice; nobody checks that.
pub type KeyValues = BTreeMap<Bytes, Bytes>;

/// What the group holds on this node.
#[derive(Debug)]
pub struct NamingData {
    /// Written by the one thread that applies, together with what naming makes of it.
    held: RwLock<KeyValues>,
    projection: Projection,
}

/// What a write to a service starts from.
#[derive(Debug, Clone)]
pub struct Base {
    /// The service here, instances of both kinds; `None` when nobody knows it.
    pub here: Option<ServiceState>,
    /// Whether the group has anything of it.
    pub is_held: bool,
    /// What [`NamingData::fingerprint`] says of the values it starts from.
    pub fingerprint: String,
}

impl Base {
    /// What the group holds of it.
    pub fn persisted(&self) -> Option<Persisted> {
        self.here.as_ref().filter(|_| self.is_held).map(Persisted::of)
    }
}

impl NamingData {
    /// Nothing yet; naming's part goes into these.
    pub fn new(registry: Arc<Registry>, switches: Arc<Switches>) -> Self {
        NamingData { held: RwLock::default(), projection: Projection::new(registry, switches) }
    }

    /// The values of keys, in the order asked for, those that are there.
    pub fn get(&self, keys: &[Bytes]) -> Vec<(Bytes, Bytes)> {
        let held = self.held.read();
        keys.iter().filter_map(|key| Some((key.clone(), held.get(key)?.clone()))).collect()
    }

    /// One value.
    pub fn value(&self, key: &str) -> Option<Bytes> {
        self.held.read().get(key.as_bytes()).cloned()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.held.read().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the group has anything of a service.
    pub fn holds(&self, id: &ServiceId) -> bool {
        let held = self.held.read();
        [meta_key(id), list_key(id)].iter().any(|key| held.contains_key(key.as_bytes()))
    }

    /// What a write to a service starts from, at one moment: nothing is applied in between.
    pub fn base(&self, id: &ServiceId) -> Base {
        let held = self.held.read();
        let keys = [meta_key(id), list_key(id)];
        let here = self.projection.registry().get(id).map(|service| service.read().clone());
        let is_held = keys.iter().any(|key| held.contains_key(key.as_bytes()));
        Base { here, is_held, fingerprint: fingerprint(&held, keys.iter().map(String::as_bytes)) }
    }

    /// Tells the present values of keys from any others.
    pub fn fingerprint(&self, keys: &[impl AsRef<[u8]>]) -> String {
        fingerprint(&self.held.read(), keys.iter().map(AsRef::as_ref))
    }

    fn apply(&self, index: Index, data: &Bytes) -> Applied {
        let command = match Command::read(data) {
            Ok(command) => command,
            Err(skipped) => {
                tracing::warn!(index, %skipped, "an entry of the log changes nothing");
                return Applied { success: false, err_msg: skipped.to_string(), data: Bytes::new() };
            }
        };
        let mut held = self.held.write();
        match command {
            Command::Write(pairs) => {
                for (key, value) in pairs {
                    held.insert(key.clone(), value);
                    self.projection.written(&held, &key);
                }
            }
            Command::Delete(keys) => {
                for key in keys {
                    // Without looking whether it was there: official members tell their listeners anyway.
                    held.remove(&key);
                    self.projection.deleted(&held, &key);
                }
            }
        }
        Applied { success: true, ..Applied::default() }
    }

    /// Puts other keys and values in the place of all there are.
    fn replace(&self, with: KeyValues) {
        let mut held = self.held.write();
        let before = std::mem::replace(&mut *held, with);
        self.projection.replaced(&before, &held);
    }
}

/// MD5 over lengths and bytes: only ever compared between members of the same moment.
fn fingerprint<'a>(held: &KeyValues, keys: impl Iterator<Item = &'a [u8]>) -> String {
    use md5::{Digest, Md5};
    let mut digest = Md5::new();
    for key in keys {
        match held.get(key) {
            Some(value) => {
                digest.update((value.len() as u64).to_be_bytes());
                digest.update(value);
            }
            None => digest.update(u64::MAX.to_be_bytes()),
        }
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Applies the log to [`NamingData`], and keeps it in snapshots.
#[derive(Debug)]
pub struct NamingState {
    data: Arc<NamingData>,
    archive: Arc<Archive>,
}

impl NamingState {
    /// Into `data`, with snapshots in `archive`.
    pub fn new(data: Arc<NamingData>, archive: Arc<Archive>) -> Self {
        NamingState { data, archive }
    }
}

impl StateMachine for NamingState {
    fn apply(&mut self, index: Index, data: &Bytes) -> Result<Applied, ApplyError> {
        Ok(self.data.apply(index, data))
    }

    fn save(&mut self, meta: &SnapshotMeta) -> Result<(), StoreError> {
        // A copy of the table only; the values are shared.
        let held = self.data.held.read().clone();
        self.archive.save(meta, &held)
    }

    fn load(&mut self) -> Result<Option<SnapshotMeta>, StoreError> {
        let (meta, held) = match self.archive.load()? {
            Some((meta, held)) => (Some(meta), held),
            None => (None, KeyValues::new()),
        };
        self.data.replace(held);
        Ok(meta)
    }
}

impl From<Skipped> for Applied {
    fn from(skipped: Skipped) -> Self {
        Applied { success: false, err_msg: skipped.to_string(), data: Bytes::new() }
    }
}

#[cfg(test)]
mod tests;
