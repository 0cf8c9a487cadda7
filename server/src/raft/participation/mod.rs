//! This node in the group `naming_persistent_service`: what it stands on, the port others call, what follows the member
//! list.
//!
//! # Layout
//! - [`maintenance`]: what operators ask for: transfer, snapshot, other voters
//! - `membership`: who votes follows the member list

pub mod maintenance;
mod membership;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures::future::BoxFuture;
use serde_json::json;
use tokio::net::TcpListener;

use super::core::options::{Options, Timing};
use super::core::store::Snapshots as _;
use super::core::{Configuration, PeerId};
use super::datum::GROUP;
use super::driver::network::Readers;
use super::driver::{GroupOptions, Parts, RaftGroup};
use super::naming_state::{NamingData, NamingState};
use super::old_raft::{Blocked, OldRaft};
use super::rpc::{RaftClient, ReadRequest, Response, WriteRequest};
use super::snapshot::Archive;
use super::store::Journal;
use super::transport::peers::Peers;
use super::transport::server::{NacosRequests, RaftServer};
use super::voter::{Consensus as _, Voter};
use crate::cluster::member::Member;
use crate::cluster::members::Members;
use crate::cluster::status;
use crate::naming::registry::Registry;
use crate::naming::service::ServiceId;
use crate::naming::switches::Switches;
use crate::settings::Settings;
use crate::tasks::Tasks;

/// Raft ports lie this far below HTTP ports, always (compat/spec/jraft.md §1).
const PORT_OFFSET: i32 = 1000;
/// Between two looks whether the group's data is here.
const CATCH_UP: Duration = Duration::from_millis(250);
/// What a look at a write that another member took may cost the client.
const LOOK_MAX: Duration = Duration::from_millis(500);
/// As often as official members are told that they live; one that follows this program's own pace counts on it.
const HEARTBEAT_MS: u64 = 100;

/// A node alone is called by nobody.
const ANY_NAME: &str = "127.0.0.1:7848";
/// Until a node alone leads itself.
const ALONE_MS: u64 = 10;

/// This node in the group.
#[derive(Debug)]
pub struct Participation {
    group: Arc<RaftGroup>,
    /// Takes persistent writes.
    pub voter: Arc<Voter>,
    client: Arc<RaftClient>,
}

/// What it stands on.
#[derive(Debug)]
pub struct Around<'a> {
    /// What the operator said.
    pub settings: &'a Settings,
    /// The cluster; its list is loaded.
    pub members: &'a Arc<Members>,
    /// Where services go.
    pub registry: &'a Arc<Registry>,
    /// Where switches go.
    pub switches: &'a Arc<Switches>,
    /// Official members that do not take part yet.
    pub old_raft: &'a Arc<OldRaft>,
}

impl Participation {
    /// Loads what is stored and takes part from then on.
    ///
    /// # Errors
    /// One sentence, when this node cannot: its address, its port, its disk.
    pub async fn start(around: Around<'_>, tasks: &Tasks) -> anyhow::Result<Arc<Self>> {
        let Around { settings, members, registry, switches, old_raft } = around;
        let folder = settings.home.join("data/protocol/raft").join(GROUP).join("tandem");
        let opened = tokio::task::spawn_blocking(move || Opened::open(&folder)).await?;
        let Opened { store, archive, configuration } = opened.context("persistent data cannot be loaded")?;
        let client = Arc::new(RaftClient::default());
        let me = match settings.standalone {
            true => alone(settings, configuration.as_ref())?,
            false => peer_of(&settings.ip, i32::from(settings.port)).with_context(|| {
                format!("{} cannot take part in consensus: its port would be that less 1000", settings.address())
            })?,
        };
        let initial = match (settings.standalone, configuration) {
            (true, _) => Configuration::of([me.clone()]),
            (false, None) => membership::begin(&client, &me, members).await,
            (false, Some(_)) => Configuration::of(listed(members)),
        };
        let data = Arc::new(NamingData::new(Arc::clone(registry), Arc::clone(switches)));
        let readers = Arc::new(Readers::default());
        let (of_tandem, blocking) = (Arc::clone(members), Arc::clone(old_raft));
        let options = GroupOptions {
            group: GROUP.to_owned(),
            me,
            initial,
            options: Options { timing: timing(settings, members), ..Options::default() },
            snapshot_interval: Some(settings.raft.snapshot_interval).filter(|interval| !interval.is_zero()),
            is_tandem: Arc::new(move |peer| is_tandem(&of_tandem, peer)),
            shared: !settings.standalone,
            blocked: Arc::new(move || blocking.blocked()),
        };
        let listener = match settings.standalone {
            true => None,
            false => Some(listen(settings).await?),
        };
        let parts = Parts {
            store: Arc::new(store),
            snapshots: Arc::clone(&archive) as _,
            machine: Box::new(NamingState::new(Arc::clone(&data), archive)),
            network: Arc::new(Peers::new(Arc::clone(&client), settings.raft.request_timeout)),
            readers: Arc::clone(&readers),
        };
        let started = tokio::task::spawn_blocking(move || RaftGroup::start(options, parts)).await?;
        let group = Arc::new(started.context("persistent data cannot be loaded")?);
        let voter = Voter::new(Arc::clone(&group) as _, data, Arc::clone(registry), Arc::clone(switches));
        let this = Arc::new(Participation { group, voter: Arc::new(voter), client });
        if let Some(listener) = listener {
            let nacos = Arc::new(Nacos(Arc::clone(&this.voter)));
            let server = Arc::new(RaftServer::new([Arc::clone(&this.group)], readers, nacos));
            tasks.spawn_until_done(server.serve(listener, tasks.stopping()));
        }
        this.spawn_upkeep(settings, members, tasks);
        if !settings.standalone {
            tasks.spawn("members of the old protocol", Arc::clone(old_raft).watch());
        }
        Ok(this)
    }

    fn spawn_upkeep(self: &Arc<Self>, settings: &Settings, members: &Arc<Members>, tasks: &Tasks) {
        let (group, stopping) = (Arc::clone(&self.group), tasks.stopping());
        tasks.spawn_until_done(async move {
            stopping.await;
            group.stop().await;
        });
        if settings.standalone {
            return;
        }
        tasks.spawn("raft metadata", tell(Arc::clone(&self.group), Arc::clone(members)));
        tasks.spawn("raft membership", Arc::clone(self).follow(settings.clone(), Arc::clone(members)));
    }

    /// Waits until everything that was committed before is applied here, then lets clients in; official nodes wait
    /// for a leader, too (compat/spec/membership.md §7.3).
    pub async fn catch_up(self: Arc<Self>, status: Arc<status::Status>) {
        loop {
            match self.group.read().await {
                Ok(_) => break status.consensus_is_ready(),
                Err(error) => tracing::debug!(%error, "the group's data is not here yet"),
            }
            if matches!(self.group.blocked(), Some(Blocked::TooOld { .. })) {
                // There may never be a leader. What needs none is served.
                status.consensus_is_ready();
                return;
            }
            if let Some(why) = self.group.failure() {
                tracing::error!(why, "this node left the group; persistent data is not served");
                return;
            }
            tokio::time::sleep(CATCH_UP).await;
        }
        let at = self.group.applied_index();
        tracing::info!(leader = ?self.group.status().leader, applied = at, "persistent data is here");
    }

    /// Waits a little until what other members committed is applied here.
    pub async fn look(&self) {
        if tokio::time::timeout(LOOK_MAX, self.group.read()).await.is_err() {
            tracing::debug!("what another member wrote is not here yet");
        }
    }

    /// Whether the group has anything of a service.
    pub fn holds(&self, id: &ServiceId) -> bool {
        self.voter.holds(id)
    }
}

/// What is on disk.
struct Opened {
    store: Journal,
    archive: Arc<Archive>,
    /// Who votes, unless nothing is there yet.
    configuration: Option<Configuration>,
}

impl Opened {
    /// Log and snapshots in a folder; a node whose log is gone and whose snapshots are not has lost its vote.
    fn open(folder: &Path) -> anyhow::Result<Self> {
        let (log, snapshots): (PathBuf, PathBuf) = (folder.join("log"), folder.join("snapshot"));
        let archive = Archive::open(&snapshots)?;
        if !Journal::is_in(&log) && archive.latest()?.is_some() {
            anyhow::bail!(
                "{} has snapshots and no log, so term and vote are lost: bring the log back, or remove all of {} while \
                 the other members have the data",
                folder.display(),
                folder.display()
            );
        }
        let store = Journal::open(&log)?;
        let configuration = store.configuration()?;
        Ok(Opened { store, archive: Arc::new(archive), configuration })
    }
}

/// The name of a node alone: the one it has in its log, whatever its address is now.
fn alone(settings: &Settings, stored: Option<&Configuration>) -> anyhow::Result<PeerId> {
    match stored.map(|configuration| configuration.voters().cloned().collect::<Vec<_>>()).as_deref() {
        None | Some([]) => peer_of(&settings.ip, i32::from(settings.port))
            .or_else(|| PeerId::parse(ANY_NAME))
            .context("a node alone needs a name"),
        Some([me]) => Ok(me.clone()),
        Some(voters) => anyhow::bail!(
            "the persistent data in {} is that of a cluster of {}: start this node as a member of it, or remove \
             data/protocol/raft there",
            settings.home.display(),
            voters.iter().map(PeerId::as_str).collect::<Vec<_>>().join(", ")
        ),
    }
}

fn peer_of(ip: &str, http_port: i32) -> Option<PeerId> {
    PeerId::parse(&format!("{ip}:{}", http_port - PORT_OFFSET))
}

/// The raft peer of a member; `None` when its port leaves no room for one.
pub fn peer_of_member(member: &Member) -> Option<PeerId> {
    peer_of(&member.ip, member.port)
}

fn listed(members: &Members) -> Vec<PeerId> {
    members.all().iter().filter_map(peer_of_member).collect()
}

fn is_tandem(members: &Members, peer: &PeerId) -> bool {
    members.all().iter().any(|member| peer_of_member(member).as_ref() == Some(peer) && member.is_tandem())
}

/// Short times need all members to keep them. One that has not said what it is counts as official.
fn timing(settings: &Settings, members: &Members) -> Timing {
    let asked = settings.raft.election_timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
    let official = Timing { heartbeat_ms: HEARTBEAT_MS, ..Timing::OFFICIAL };
    if settings.standalone {
        // Nobody to wait for.
        return Timing { election_ms: ALONE_MS, election_spread_ms: 1, ..Timing::FAST };
    }
    let election = if members.peers().iter().all(Member::is_tandem) {
        asked.unwrap_or(Timing::FAST.election_ms)
    } else {
        asked.unwrap_or(official.election_ms).max(official.election_ms)
    };
    match election {
        ms if ms == Timing::FAST.election_ms => Timing { heartbeat_ms: HEARTBEAT_MS, ..Timing::FAST },
        ms if ms == official.election_ms => official,
        ms => Timing {
            election_ms: ms,
            election_spread_ms: (ms / 5).max(100),
            heartbeat_ms: HEARTBEAT_MS.min(ms / 5),
            lease_ms: ms * 9 / 10,
            heartbeat_timeout_ms: (ms / 2).max(100),
            call_timeout_ms: ms.clamp(1_000, official.call_timeout_ms),
        },
    }
}

async fn listen(settings: &Settings) -> anyhow::Result<TcpListener> {
    let port = settings.port.saturating_sub(PORT_OFFSET as u16);
    let address = settings.listen.unwrap_or(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
    let bound = TcpListener::bind((address, port)).await;
    bound
        .with_context(|| format!("cannot listen on port {port}, where members call each other (server.port less 1000)"))
}

/// Says in this node's reports how the group stands, as official ones do (compat/spec/jraft.md §1).
async fn tell(group: Arc<RaftGroup>, members: Arc<Members>) {
    let mut statuses = group.watch_status();
    loop {
        let status = statuses.borrow_and_update().clone();
        let voters: Vec<&str> = status.configuration.peers.iter().map(PeerId::as_str).collect();
        let mut of_group = json!({"leader": status.leader.as_ref().map(PeerId::as_str), "raftGroupMember": voters, "term": status.term});
        if let (Some(why), Some(fields)) = (group.failure(), of_group.as_object_mut()) {
            fields.insert("errMsg".to_owned(), why.into());
        }
        members.say("raftMetaData", json!({"metaDataMap": {(GROUP): of_group}}));
        if statuses.changed().await.is_err() {
            return;
        }
    }
}

struct Nacos(Arc<Voter>);

impl NacosRequests for Nacos {
    fn write(&self, request: WriteRequest) -> BoxFuture<'_, Response> {
        Box::pin(self.0.on_write(request))
    }

    fn read(&self, request: ReadRequest) -> BoxFuture<'_, Response> {
        Box::pin(self.0.on_read(request))
    }
}
