//! What the operator said: properties, environment, flags, in the official node's own names.
//!
//! # Layout
//! - [`properties`]: the file syntax
//! - [`layers`]: values from several sources, placeholders, origins
//! - [`keys`], [`environment`], [`flags`]: the tables of what is honoured and what is accepted without effect
//! - `read`: values become [`Settings`], or a sentence that says what is wrong
//! - `self_ip`: which address this node goes by when nobody says
//! - `reference`: the test that writes `docs/configuration.md` from the tables, or holds it to them
//!
//! [`Settings`] is read once, at start; the parts are given what they need of it.

pub mod environment;
pub mod flags;
pub mod keys;
pub mod layers;
pub mod properties;
mod read;
mod self_ip;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use flags::Flags;
use layers::{Layers, Origin, SettingsError};

/// Settings of one node.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `nacos.home`: holds `conf/` and `data/`.
    pub home: PathBuf,
    /// `nacos.server.ip`: this node's address as its peers write it.
    pub ip: String,
    /// `server.port`: HTTP port.
    pub port: u16,
    /// `server.address`: where to listen; all addresses when `None`.
    pub listen: Option<IpAddr>,
    /// `server.servlet.contextPath`, normally `/nacos`; empty for the root, never ending in `/`.
    pub context_path: String,
    /// `nacos.standalone`.
    pub standalone: bool,
    /// `nacos.functionMode`: `Some("naming")` when only naming is to be served; shown by `/v1/console/server/state`.
    pub function_mode: Option<String>,
    /// Who the members are, and how they are watched.
    pub members: MemberSettings,
    /// Naming.
    pub naming: NamingSettings,
    /// Replication between members.
    pub distro: DistroSettings,
    /// Consensus on persistent data.
    pub raft: RaftSettings,
    /// `nacos.core.auth.server.identity.*`: header and value sent with naming calls to peers.
    pub identity: Option<(String, String)>,
    /// Whether `/actuator/prometheus` is open (`management.endpoints.web.exposure.*`); official nodes keep it shut.
    pub prometheus: bool,
    /// The log.
    pub log: LogSettings,
    /// What the log should say about the settings once there is a log.
    pub notes: Vec<Note>,
}

/// Who the members are, and how they are watched.
#[derive(Debug, Clone)]
pub struct MemberSettings {
    /// Where the list comes from.
    pub lookup: LookupKind,
    /// `nacos.member.list`: used while `conf/cluster.conf` does not exist.
    pub list: Option<String>,
    /// `NACOS_SERVERS` of the official image: written to `conf/cluster.conf` at start.
    pub servers: Vec<String>,
    /// `nacos.core.member.fail-access-cnt`: failures after which a member is DOWN.
    pub fail_access_count: u32,
    /// `nacos.http.timeout`: connect timeout between members; an answer gets half of it.
    pub timeout: Duration,
    /// The address server.
    pub address_server: AddressServer,
}

/// Where the member list comes from (compat/spec/membership.md §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookupKind {
    /// This node alone.
    Standalone,
    /// `conf/cluster.conf` or `nacos.member.list`.
    File,
    /// Polled from an address server.
    AddressServer,
}

/// The address server (compat/spec/membership.md §2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressServer {
    /// `http://domain:port/path`.
    pub url: String,
    /// Attempts at start.
    pub attempts: u32,
    /// Failed polls after which it counts as unhealthy.
    pub fail_count_max: u32,
}

/// Naming.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamingSettings {
    /// `nacos.naming.expireInstance`: instances without beats are removed.
    pub expire_instance: bool,
    /// `nacos.naming.empty-service.auto-clean`.
    pub empty_service_auto_clean: bool,
    /// `nacos.naming.empty-service.clean.initial-delay-ms`.
    pub empty_service_initial_delay: Duration,
    /// `nacos.naming.empty-service.clean.period-time-ms`.
    pub empty_service_period: Duration,
    /// `nacos.naming.data.warmup`: serve only after a peer's data was loaded.
    pub data_warmup: bool,
}

impl Default for NamingSettings {
    /// The values of the official packaged `application.properties`.
    fn default() -> Self {
        NamingSettings {
            expire_instance: true,
            empty_service_auto_clean: true,
            empty_service_initial_delay: Duration::from_millis(50_000),
            empty_service_period: Duration::from_millis(30_000),
            data_warmup: false,
        }
    }
}

/// Replication between members (compat/spec/distro.md §7.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistroSettings {
    /// `nacos.naming.distro.batchSyncKeyCount`: services per message.
    pub batch_sync_key_count: usize,
    /// `nacos.naming.distro.syncRetryDelay`: the longest wait before a failed push is tried again.
    pub sync_retry_delay: Duration,
    /// `nacos.core.protocol.distro.data.verify_interval_ms`: time between checksums to each peer.
    pub verify_interval: Duration,
    /// `nacos.naming.distro.loadDataRetryDelayMillis`: wait before loading from a peer is tried again.
    pub load_data_retry_delay: Duration,
    /// `tandem.peer.stream`: Tandem nodes send each other what changed instead of whole lists, and beats in batches.
    pub peer_stream: bool,
}

impl Default for DistroSettings {
    fn default() -> Self {
        DistroSettings {
            batch_sync_key_count: 1000,
            sync_retry_delay: Duration::from_millis(5_000),
            verify_interval: Duration::from_millis(5_000),
            load_data_retry_delay: Duration::from_millis(30_000),
            peer_stream: true,
        }
    }
}

/// Consensus on persistent data (compat/spec/jraft.md §2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaftSettings {
    /// `nacos.core.protocol.raft.data.election_timeout_ms`, when it is set. Between Tandem nodes less than the official
    /// 5 s is possible.
    pub election_timeout: Option<Duration>,
    /// `nacos.core.protocol.raft.data.rpc_request_timeout_ms`: wait for the leader's answer to a write.
    pub request_timeout: Duration,
    /// `nacos.core.protocol.raft.data.snapshot_interval_secs`; zero for none.
    pub snapshot_interval: Duration,
}

impl Default for RaftSettings {
    fn default() -> Self {
        RaftSettings {
            election_timeout: None,
            request_timeout: Duration::from_millis(5_000),
            snapshot_interval: Duration::from_secs(1_800),
        }
    }
}

/// The log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// JSON lines rather than text.
    pub json: bool,
    /// Levels: one for all, or per module, as `tracing_subscriber` reads its targets.
    pub level: String,
}

/// Something about the settings an operator should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A `nacos.*` or `tandem.*` key nobody knows, or a slip in an honoured key.
    Unknown(String, Origin),
    /// An environment variable that nothing reads, and the one that was most likely meant.
    Misspelt(String, String),
    /// A key or variable without effect here, and why.
    Ignored(String, &'static str),
}

impl Settings {
    /// Reads everything: files below the home directory, the environment, the flags.
    ///
    /// # Errors
    /// One sentence naming the key, its value, where it came from and what would be right.
    pub fn load(flags: &Flags, environment: BTreeMap<String, String>) -> Result<Self, SettingsError> {
        let home = read::home(flags, &environment)?;
        let mut layers = Layers::new(environment);
        for file in ["conf/application.properties", "conf/custom.properties", "init.d/custom.properties"] {
            read::file(&mut layers, &home.join(file))?;
        }
        environment::apply(&mut layers)?;
        flags.apply(&mut layers)?;
        read::settings(home, &layers)
    }

    /// A standalone node on loopback with every default; for tests and tools.
    pub fn loopback(home: impl Into<PathBuf>, port: u16) -> Self {
        Settings {
            home: home.into(),
            ip: "127.0.0.1".to_owned(),
            port,
            listen: Some(IpAddr::from([127, 0, 0, 1])),
            context_path: "/nacos".to_owned(),
            standalone: true,
            function_mode: None,
            members: MemberSettings {
                lookup: LookupKind::Standalone,
                list: None,
                servers: Vec::new(),
                fail_access_count: 3,
                timeout: Duration::from_millis(5_000),
                address_server: AddressServer { url: String::new(), attempts: 5, fail_count_max: 12 },
            },
            naming: NamingSettings::default(),
            distro: DistroSettings::default(),
            raft: RaftSettings::default(),
            identity: None,
            prometheus: true,
            log: LogSettings { json: false, level: "info".to_owned() },
            notes: Vec::new(),
        }
    }

    /// The same as a member of a cluster of these addresses.
    pub fn with_members(mut self, list: &[String]) -> Self {
        self.standalone = false;
        self.members.lookup = LookupKind::File;
        self.members.list = Some(list.join(","));
        self
    }

    /// `ip:port`, compared by peers as a string.
    pub fn address(&self) -> String {
        format!("{}:{}", self.ip, self.port)
    }

    /// `conf/cluster.conf` below the home directory.
    pub fn cluster_conf(&self) -> PathBuf {
        self.home.join("conf").join("cluster.conf")
    }
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
