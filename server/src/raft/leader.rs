//! Who leads the group of the official members, and whether they take writes to it yet.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;

use super::datum::GROUP;
use super::official::Official;
use super::rpc::RaftClient;
use crate::cluster::member::Member;
use crate::cluster::members::Members;

/// A member asked for the leader.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);
/// A member that left the old protocol comes back to it by a restart only, and a JVM takes longer than this to start.
const SWITCHED_FOR: Duration = Duration::from_secs(3);
/// Raft ports of official members lie this far below their HTTP ports, always (compat/spec/jraft.md §1).
const RAFT_PORT_OFFSET: i32 = 1000;

/// The leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leader {
    /// `ip:port` of its HTTP.
    pub http: String,
    /// `ip:raftPort`.
    pub raft: String,
}

/// Why there is nobody to write to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoLeader {
    /// No member is an official one, or none of these is up.
    #[error("no official node is among the members that are up")]
    NoOfficialNode,
    /// A member still is in the protocol before JRaft.
    #[error("{0} has not switched to JRaft yet")]
    OldProtocol(String),
    /// They have not elected one, or nobody answers.
    #[error("the official nodes name no leader of {GROUP}")]
    Unknown,
}

/// Finds the leader among the official members.
#[derive(Debug)]
pub struct Leaders {
    members: Arc<Members>,
    client: Arc<RaftClient>,
    official: Official,
    /// When members were last seen to have left the old protocol.
    switched: Mutex<HashMap<String, Instant>>,
}

impl Leaders {
    /// Asks these members.
    pub fn new(members: Arc<Members>, client: Arc<RaftClient>, official: Official) -> Self {
        Leaders { members, client, official, switched: Mutex::default() }
    }

    /// The official members that are not known to be down, in order of address. One that has not said what it is
    /// counts as official.
    pub fn official_members(&self) -> Vec<Member> {
        let mut peers = self.members.peers();
        peers.retain(|peer| !peer.is_tandem() && peer.state.is_healthy());
        peers
    }

    /// Whether any member is an official one, in whatever state.
    pub fn has_official_members(&self) -> bool {
        self.members.peers().iter().any(|peer| !peer.is_tandem())
    }

    /// The leader as the official members name it now; `avoid` (`ip:raftPort`) has just refused and is believed only
    /// when nobody names another one.
    pub async fn find(&self, avoid: Option<&str>) -> Option<Leader> {
        let members = self.official_members();
        let mut asked: FuturesUnordered<_> = members
            .iter()
            .map(|member| async {
                let raft = raft_address(member);
                let named = self.client.leader(&raft, GROUP, ASK_TIMEOUT).await.ok().flatten();
                named.map(|named| (raft, named))
            })
            .collect();
        let mut answers = Vec::new();
        while let Some(answer) = asked.next().await {
            let Some((raft, named)) = answer else { continue };
            let is_sure = raft == named && avoid != Some(named.as_str());
            answers.push((raft, named));
            if is_sure {
                break;
            }
        }
        let raft = choose(&answers, avoid)?;
        let http = members.iter().find(|member| raft_address(member) == raft)?.address.clone();
        Some(Leader { http, raft })
    }

    /// The leader, when every official member that answers takes writes to the group.
    ///
    /// # Errors
    /// Why there is nobody to write to.
    pub async fn find_writable(&self, avoid: Option<&str>) -> Result<Leader, NoLeader> {
        let members = self.official_members();
        if members.is_empty() {
            return Err(NoLeader::NoOfficialNode);
        }
        let leader = self.find(avoid).await.ok_or(NoLeader::Unknown)?;
        let mut asked: FuturesUnordered<_> = members
            .into_iter()
            .filter(|member| !self.has_switched(&member.address))
            .map(|member| async move {
                let answer = self.official.has_left_old_raft(&member.address).await;
                (member.address, answer)
            })
            .collect();
        while let Some((address, answer)) = asked.next().await {
            match answer {
                Ok(true) => {
                    self.switched.lock().insert(address, Instant::now());
                }
                Ok(false) => return Err(NoLeader::OldProtocol(address)),
                Err(error) if address == leader.http => {
                    tracing::debug!(leader = address, %error, "the leader does not answer");
                    return Err(NoLeader::Unknown);
                }
                // Not reachable: what it was, the others know.
                Err(_) => {}
            }
        }
        Ok(leader)
    }

    fn has_switched(&self, address: &str) -> bool {
        let mut switched = self.switched.lock();
        switched.retain(|_, seen| seen.elapsed() < SWITCHED_FOR);
        switched.contains_key(address)
    }
}

fn raft_address(member: &Member) -> String {
    format!("{}:{}", member.ip, member.port - RAFT_PORT_OFFSET)
}

/// The leader out of `(who said so, whom it named)`: one that names itself, else the one named most often. A leader
/// that was cut off goes on naming itself, so several of these are settled by the others' voices.
fn choose(answers: &[(String, String)], avoid: Option<&str>) -> Option<String> {
    let voices = |named: &str| answers.iter().filter(|(_, other)| other == named).count();
    let claims_itself = |named: &str| answers.iter().any(|(from, other)| from == other && other == named);
    answers
        .iter()
        .map(|(_, named)| named)
        .max_by_key(|named| (avoid != Some(named.as_str()), voices(named), claims_itself(named)))
        .cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leader_is_who_most_name() {
        let answers = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(from, named)| ((*from).to_owned(), (*named).to_owned())).collect::<Vec<_>>()
        };
        let chosen = |pairs: &[(&str, &str)], avoid| choose(&answers(pairs), avoid);
        assert_eq!(chosen(&[], None), None);
        assert_eq!(chosen(&[("a", "b")], None).as_deref(), Some("b"));
        assert_eq!(chosen(&[("a", "b"), ("b", "b")], None).as_deref(), Some("b"));
        // One behind the times, one that leads.
        assert_eq!(chosen(&[("a", "c"), ("b", "b")], None).as_deref(), Some("b"));
        // A former leader that does not know yet.
        assert_eq!(chosen(&[("a", "a"), ("b", "b"), ("c", "b")], None).as_deref(), Some("b"));
        assert_eq!(chosen(&[("a", "a"), ("b", "a"), ("c", "c")], Some("a")).as_deref(), Some("c"));
        assert_eq!(chosen(&[("a", "a")], Some("a")).as_deref(), Some("a"));
    }
}
