//! Official members that are still in the protocol before JRaft (compat/spec/raft-http.md §10).
//!
//! An official member leaves it when every member has told a version from 1.4.0 on, each by its own clock and again
//! after each start. What JRaft commits before that is applied there and stays invisible to its clients. So persistent
//! writes wait here until the official members that live have left it; while one is older than 1.4.0 none of them ever
//! does, and such writes are refused.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::cluster::member::Member;
use crate::cluster::members::Members;
use crate::distro::peer_client::{PeerClient, PeerError};

/// Between two looks at the official members; a JVM takes seconds to start, so that no restart goes unseen.
const PERIOD: Duration = Duration::from_millis(500);
const ASK_TIMEOUT: Duration = Duration::from_secs(1);
/// A raft port that is open without HTTP belongs to a node that starts; one that takes longer than this never will.
const STARTING_MAX: Duration = Duration::from_secs(60);
/// What a member says of the protocol before JRaft once it has left it.
const STOPPED: &str = "old raft protocol already stop";
/// The oldest version that has JRaft for persistent data.
const OLDEST: (u64, u64) = (1, 4);

/// Why persistent writes are not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    /// Until the member is replaced.
    #[error(
        "persistent data needs every member to run 1.4.0 or newer: {address} runs {version}, and while it is a member \
         official ones stay in the protocol before JRaft, which this node does not take part in"
    )]
    TooOld {
        /// `ip:port` of the member.
        address: String,
        /// What it runs.
        version: String,
    },
    /// For some seconds.
    #[error("{0} has not left the protocol before JRaft yet: its clients would not see what is written now")]
    NotYet(String),
}

/// What was seen of a member last.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Left,
    /// In the old protocol, and the version it runs when it said so.
    Old(Option<String>),
    /// Its raft port answers, its HTTP does not yet; since when.
    Starting(Instant),
    /// Not there, or never heard of.
    Silent,
}

/// Watches the official members.
#[derive(Debug)]
pub struct OldRaft {
    members: Arc<Members>,
    client: Arc<PeerClient>,
    seen: Mutex<HashMap<String, Seen>>,
}

impl OldRaft {
    /// Of these members.
    pub fn new(members: Arc<Members>, client: Arc<PeerClient>) -> Self {
        OldRaft { members, client, seen: Mutex::default() }
    }

    /// Why a persistent write must not be taken now. A member that has not said what it is counts as official.
    pub fn blocked(&self) -> Option<Blocked> {
        let seen = self.seen.lock();
        let of = |member: &Member| judge(&member.address, member.version(), seen.get(&member.address));
        let peers = self.members.peers();
        let blocked: Vec<Blocked> = peers.iter().filter(|peer| !peer.is_tandem()).filter_map(of).collect();
        let for_good = blocked.iter().find(|it| matches!(it, Blocked::TooOld { .. })).cloned();
        for_good.or_else(|| blocked.into_iter().next())
    }

    /// Looks until dropped, and says in the log what changes.
    pub async fn watch(self: Arc<Self>) {
        let mut told = None;
        loop {
            self.look().await;
            let blocked = self.blocked();
            if blocked != told {
                match &blocked {
                    Some(why @ Blocked::TooOld { .. }) => tracing::error!("{why}; ephemeral data is served"),
                    Some(why) => tracing::info!(%why, "persistent writes wait"),
                    None => tracing::info!("persistent writes are taken"),
                }
                told = blocked;
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    async fn look(&self) {
        let mut official = self.members.peers();
        official.retain(|peer| !peer.is_tandem());
        let looks = official.iter().map(|member| async {
            let before = self.seen.lock().get(&member.address).cloned();
            (member.address.clone(), self.ask(member, before).await)
        });
        let seen = join_all(looks).await.into_iter().collect();
        *self.seen.lock() = seen;
    }

    async fn ask(&self, member: &Member, before: Option<Seen>) -> Seen {
        match self.client.get(&member.address, "/v1/ns/raft/leader", ASK_TIMEOUT).await {
            Ok(_) => Seen::Old(self.version(&member.address).await),
            Err(PeerError::Status(_, text)) if text.contains(STOPPED) => Seen::Left,
            // A version that does not know the old protocol.
            Err(PeerError::Status(404 | 501, _)) => Seen::Left,
            Err(PeerError::Refused) if has_raft_port(member).await => match before {
                Some(starting @ Seen::Starting(_)) => starting,
                _ => Seen::Starting(Instant::now()),
            },
            Err(PeerError::Refused) => Seen::Silent,
            // Frozen or busy: still what it was.
            Err(_) => before.unwrap_or(Seen::Silent),
        }
    }

    async fn version(&self, address: &str) -> Option<String> {
        let body = self.client.get(address, "/v1/console/server/state", ASK_TIMEOUT).await.ok()?;
        let state: HashMap<String, serde_json::Value> = serde_json::from_slice(&body).ok()?;
        state.get("version")?.as_str().map(str::to_owned)
    }
}

async fn has_raft_port(member: &Member) -> bool {
    let Some(peer) = super::participation::peer_of_member(member) else { return false };
    matches!(timeout(ASK_TIMEOUT, TcpStream::connect(peer.endpoint())).await, Ok(Ok(_)))
}

fn judge(address: &str, told: Option<&str>, seen: Option<&Seen>) -> Option<Blocked> {
    let asked = match seen {
        Some(Seen::Old(version)) => version.as_deref(),
        _ => None,
    };
    if let Some(version) = told.or(asked).filter(|version| is_too_old(version)) {
        return Some(Blocked::TooOld { address: address.to_owned(), version: version.to_owned() });
    }
    let waits = match seen {
        Some(Seen::Left | Seen::Silent) => false,
        Some(Seen::Starting(since)) => since.elapsed() < STARTING_MAX,
        Some(Seen::Old(_)) | None => true,
    };
    waits.then(|| Blocked::NotYet(address.to_owned()))
}

fn is_too_old(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u64>().ok());
    match (parts.next().flatten(), parts.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) < OLDEST,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_wait_for_the_switch_and_not_for_the_dead() {
        let too_old = |version: &str| Blocked::TooOld { address: "a:1".to_owned(), version: version.to_owned() };
        let not_yet = || Some(Blocked::NotYet("a:1".to_owned()));
        let old = |version: Option<&str>| Seen::Old(version.map(str::to_owned));
        for (told, seen, expected) in [
            (None, None, not_yet()),
            (Some("1.4.1"), Some(old(Some("1.4.1"))), not_yet()),
            (Some("1.4.1"), Some(Seen::Left), None),
            (None, Some(Seen::Silent), None),
            (None, Some(Seen::Starting(Instant::now())), not_yet()),
            (Some("1.3.2"), Some(Seen::Silent), Some(too_old("1.3.2"))),
            (None, Some(old(Some("1.3.0"))), Some(too_old("1.3.0"))),
            (None, Some(old(None)), not_yet()),
            (Some("2.0.0"), Some(Seen::Left), None),
            (Some("1.10.0"), Some(Seen::Left), None),
        ] {
            assert_eq!(judge("a:1", told, seen.as_ref()), expected, "{told:?} {seen:?}");
        }
        if let Some(long_ago) = Instant::now().checked_sub(STARTING_MAX) {
            assert_eq!(judge("a:1", None, Some(&Seen::Starting(long_ago))), None);
        }
    }
}
