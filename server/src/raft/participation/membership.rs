//! Who votes follows the member list (compat/spec/jraft.md §1).
//!
//! As among official members, a node that is not among the voters asks to be let in, and who leads lets go of those who
//! left the list. A node without a log asks the others before anything else: where they have a group already it is
//! let in by that group instead of beginning another one with whoever is as new as itself.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::{MissedTickBehavior, interval};

use super::{Participation, listed, timing};
use crate::cluster::members::Members;
use crate::raft::core::message::MembershipChange;
use crate::raft::core::{Configuration, PeerId};
use crate::raft::datum::GROUP;
use crate::raft::rpc::RaftClient;
use crate::raft::transport::cli_client::{add_peer, peers};
use crate::settings::Settings;

/// Between two attempts to be let in, or to let go of who left.
const UPKEEP: Duration = Duration::from_secs(1);
/// A member that is gone from the list for so many of these is removed from the group: a list that is being written
/// can be short for a moment.
const GONE_FOR: u32 = 5;
/// Asking a member that may be down.
const ASK_TIMEOUT: Duration = Duration::from_millis(500);

/// The voters that a node without a log begins with: all members, unless they have a group without it.
pub(super) async fn begin(client: &RaftClient, me: &PeerId, members: &Members) -> Configuration {
    let listed = listed(members);
    match leader(client, me, &listed).await {
        Some(leader) => match peers(client, &leader, ASK_TIMEOUT).await {
            Ok(voters) if !voters.contains(me) => {
                tracing::info!(%leader, ?voters, "the members have a group already; this node waits to be let in");
                Configuration::default()
            }
            _ => Configuration::of(listed),
        },
        None => Configuration::of(listed),
    }
}

/// Whom the others take for the leader.
async fn leader(client: &RaftClient, me: &PeerId, listed: &[PeerId]) -> Option<PeerId> {
    let others = listed.iter().filter(|peer| *peer != me);
    let asked = join_all(others.map(|peer| client.leader(peer.endpoint(), GROUP, ASK_TIMEOUT))).await;
    let named = asked.into_iter().filter_map(|answer| PeerId::parse(&answer.ok()??));
    named.into_iter().find(|leader| leader != me)
}

impl Participation {
    /// Follows the member list until dropped; times are short only where all members are of this program.
    pub(super) async fn follow(self: Arc<Self>, settings: Settings, members: Arc<Members>) {
        let mut ticks = interval(UPKEEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut timed = None;
        let mut list = (Vec::new(), true);
        let (mut known, mut gone) = (HashSet::new(), 0);
        let mut admitted = false;
        loop {
            ticks.tick().await;
            let now = timing(&settings, &members);
            if timed.replace(now) != Some(now) {
                self.group.set_timing(now);
            }
            let (listed, is_named) = (listed(&members), members.is_named());
            if (&listed, is_named) != (&list.0, list.1) {
                // Whoever was removed and is listed again asks again.
                admitted = false;
                known.extend(listed.iter().cloned());
                list = (listed.clone(), is_named);
            }
            let voters = self.group.status().configuration.peers;
            let is_voter = voters.contains(self.group.me());
            admitted |= is_voter;
            if !admitted && is_named && listed.contains(self.group.me()) {
                self.ask_in(&listed).await;
            }
            let left: Vec<PeerId> = voters.into_iter().filter(|voter| !listed.contains(voter)).collect();
            gone = if left.is_empty() { 0 } else { gone + 1 };
            if gone >= GONE_FOR && self.leads() {
                self.let_go(&left, &known).await;
            }
        }
    }

    fn leads(&self) -> bool {
        self.group.status().leader.as_ref() == Some(self.group.me())
    }

    /// One that this node never saw in its list, and that lives, may have been let in before the list was changed here.
    async fn let_go(&self, left: &[PeerId], known: &HashSet<PeerId>) {
        let alive = self.group.alive_peers().await.unwrap_or_default();
        for peer in left.iter().filter(|peer| known.contains(*peer) || !alive.contains(peer)) {
            let removed = self.group.change_peers(MembershipChange::Remove(peer.clone())).await;
            tracing::info!(%peer, ?removed, "removed from the group: it left the member list");
        }
    }

    async fn ask_in(&self, listed: &[PeerId]) {
        let known = self.group.status().leader.filter(|leader| leader != self.group.me());
        let leader = match known {
            Some(leader) => Some(leader),
            None => leader(&self.client, self.group.me(), listed).await,
        };
        let Some(leader) = leader else { return };
        match add_peer(&self.client, &leader, self.group.me()).await {
            Ok(()) => tracing::info!(%leader, "let into the group"),
            Err(error) => tracing::warn!(%leader, error, "not let into the group yet"),
        }
    }
}
