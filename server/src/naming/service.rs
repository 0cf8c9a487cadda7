//! One service: its clusters, its two instance lists and its own settings.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indexmap::IndexMap;
use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::checksum;
use super::heard::Heard;
use super::instance::{Instance, InstanceKey, Metadata};
use super::removals::Removals;
use super::view::ServiceView;

/// Identity of a service on a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceId {
    /// Namespace id, `public` by default.
    pub namespace: Arc<str>,
    /// Grouped name, `group@@service`.
    pub name: Arc<str>,
}

impl ServiceId {
    /// Identity from its two parts; `name` must already be grouped.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        ServiceId { namespace: namespace.into(), name: name.into() }
    }
}

/// Instances of one kind (ephemeral or persistent), in list order.
pub type Instances = IndexMap<InstanceKey, Instance>;

/// One service. Its lock is held for a few assignments at a time and never over an await.
#[derive(Debug)]
pub struct Service {
    id: ServiceId,
    state: RwLock<ServiceState>,
    /// Set under the state's lock when the registry forgets the service: a writer that waited for the lock must not
    /// write into what nobody will read again.
    removed: AtomicBool,
    /// What readers are shown, made when first asked for after a change. Emptied and filled under the state's lock.
    view: Mutex<Option<Arc<ServiceView>>>,
    /// The checksum that lists show while it is older than the state: official Nacos works it out when the lists or the
    /// settings change and in its reports, not when a health flag does.
    shown_checksum: Mutex<Option<String>>,
}

impl Service {
    pub(super) fn new(id: ServiceId, state: ServiceState) -> Self {
        Service {
            id,
            state: RwLock::new(state),
            removed: AtomicBool::new(false),
            view: Mutex::default(),
            shown_checksum: Mutex::default(),
        }
    }

    /// Its identity.
    pub fn id(&self) -> &ServiceId {
        &self.id
    }

    /// What it holds now. Keep the guard short.
    pub fn read(&self) -> RwLockReadGuard<'_, ServiceState> {
        self.state.read()
    }

    /// For the registry only: a change that is not announced is a change nobody replicates.
    pub(super) fn write(&self) -> RwLockWriteGuard<'_, ServiceState> {
        self.state.write()
    }

    pub(super) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }

    pub(super) fn mark_removed(&self) {
        self.removed.store(true, Ordering::Release);
    }

    /// After a change; the checksum shown stays when only health flags changed.
    pub(super) fn forget_view(&self, only_health: bool) {
        *self.view.lock() = None;
        if !only_health {
            self.refresh_checksum();
        }
    }

    /// To be called under the state's lock before a health flag changes: lists go on showing the checksum of `state`.
    pub fn keep_checksum(&self, state: &ServiceState) {
        let mut shown = self.shown_checksum.lock();
        if shown.is_none() {
            let view = self.view.lock();
            *shown = Some(view.as_ref().map_or_else(|| checksum::of(&self.id, state), |view| view.checksum.clone()));
        }
    }

    /// Lists show the checksum of the state again.
    pub fn refresh_checksum(&self) {
        *self.shown_checksum.lock() = None;
    }

    /// The checksum that lists show; `view` is this service's.
    pub fn shown_checksum(&self, view: &ServiceView) -> String {
        self.shown_checksum.lock().clone().unwrap_or_else(|| view.checksum.clone())
    }

    /// What readers are shown: instances in Nacos' order, ready to print, and the checksum.
    pub fn view(&self) -> Arc<ServiceView> {
        if let Some(view) = self.view.lock().as_ref() {
            return Arc::clone(view);
        }
        // Taken before the view's lock, as writers do; holding it keeps a writer from emptying too early.
        let state = self.state.read();
        let view = Arc::new(ServiceView::new(&self.id, &state));
        *self.view.lock() = Some(Arc::clone(&view));
        view
    }
}

/// What a service holds.
#[derive(Debug, Clone)]
pub struct ServiceState {
    /// Group as recorded at creation; shown in details.
    pub group_name: String,
    /// Share of healthy instances at or below which all are shown as healthy.
    pub protect_threshold: f32,
    /// Service metadata.
    pub metadata: Metadata,
    /// Selector as it was given.
    pub selector: Selector,
    /// False only through a replicated record: listing then fails.
    pub enabled: bool,
    /// Clusters in order of creation; Nacos shows them in Java hash order, unless `linked_clusters`.
    pub clusters: IndexMap<String, Cluster>,
    /// The service was created through the service API: Nacos reads it back from its record, in a table that keeps the
    /// order of creation.
    pub linked_clusters: bool,
    /// How many of the clusters were there when a record of the service was last written: their default port stays what
    /// it was then, whatever port is checked later.
    pub recorded_clusters: usize,
    /// Instances kept by beats.
    pub ephemeral: Instances,
    /// What was taken out of that list, for lists of other nodes that do not know it yet.
    pub removals: Removals,
    /// From when the silence of those instances counts here.
    pub heard: Heard,
    /// Instances kept by consensus.
    pub persistent: Instances,
    /// How many persistent and ephemeral instances the last write of this node's own had in hand, the one it took out
    /// included: their order in official lists depends on it.
    pub held: [usize; 2],
    /// True once an ephemeral list was written, even an empty one: only then does a Distro datum exist.
    pub has_datum: bool,
    /// Was created through the service API (or consensus) rather than by a registration.
    pub declared: bool,
    /// Last change, ms since the epoch.
    pub last_modified: i64,
}

impl ServiceState {
    /// An empty service with the defaults Nacos gives it.
    pub fn new(group_name: impl Into<String>) -> Self {
        ServiceState {
            group_name: group_name.into(),
            protect_threshold: 0.0,
            metadata: Metadata::new(),
            selector: Selector::None,
            enabled: true,
            clusters: IndexMap::new(),
            linked_clusters: false,
            recorded_clusters: 0,
            ephemeral: Instances::new(),
            removals: Removals::default(),
            heard: Heard::default(),
            persistent: Instances::new(),
            held: [0; 2],
            has_datum: false,
            declared: false,
            last_modified: 0,
        }
    }

    /// Instances of one kind.
    pub fn instances(&self, ephemeral: bool) -> &Instances {
        if ephemeral { &self.ephemeral } else { &self.persistent }
    }

    /// Instances of one kind, to be changed.
    pub fn instances_mut(&mut self, ephemeral: bool) -> &mut Instances {
        if ephemeral { &mut self.ephemeral } else { &mut self.persistent }
    }

    /// Every instance: persistent ones first, as Nacos lists them.
    pub fn all(&self) -> impl Iterator<Item = &Instance> {
        self.persistent.values().chain(self.ephemeral.values())
    }

    /// Creates the cluster with default settings unless it is there.
    pub fn ensure_cluster(&mut self, name: &str) {
        if !self.clusters.contains_key(name) {
            self.clusters.insert(name.to_owned(), Cluster::default());
        }
    }
}

/// A cluster's own settings; its instances live in the service's lists.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// How persistent instances are checked.
    pub health_checker: HealthChecker,
    /// Port checked when `use_instance_port` is false.
    pub check_port: i32,
    /// Default port of the cluster's instances.
    pub default_port: i32,
    /// Check each instance at its own port.
    pub use_instance_port: bool,
    /// Cluster metadata.
    pub metadata: Metadata,
}

impl Default for Cluster {
    fn default() -> Self {
        Cluster {
            health_checker: HealthChecker::Tcp,
            check_port: 80,
            default_port: 80,
            use_instance_port: true,
            metadata: Metadata::new(),
        }
    }
}

/// How persistent instances of a cluster are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are the official JSON keys")]
pub enum HealthChecker {
    /// Connect.
    Tcp,
    /// GET, 200 means alive.
    Http { path: String, headers: String, expected_response_code: i32 },
    /// Run a query.
    Mysql { user: Option<String>, pwd: Option<String>, cmd: Option<String> },
    /// Only manual updates.
    None,
}

/// Which instances a consumer is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// All.
    None,
    /// Those whose CMDB labels equal the consumer's; without a CMDB all.
    Label {
        /// The expression as given.
        expression: String,
        /// The labels it names, in order.
        labels: Vec<String>,
    },
}
