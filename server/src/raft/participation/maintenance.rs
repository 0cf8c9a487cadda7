//! What operators ask of the group through `POST /v1/core/ops/raft` (compat/spec/jraft.md §14, B-17). As in official
//! nodes any member takes it and asks the one it concerns, itself included.

use super::Participation;
use crate::raft::core::PeerId;
use crate::raft::transport::cli_client::{change_peers, remove_peer, snapshot, transfer};

impl Participation {
    /// Does what a command says.
    ///
    /// # Errors
    /// Why not, in the words of who refused.
    pub async fn maintain(&self, command: &str, value: &str) -> Result<(), String> {
        let peer = |text: &str| PeerId::parse(text.trim()).ok_or_else(|| format!("Fail to parse peer id {text}"));
        let peers = || value.split(',').map(peer).collect::<Result<Vec<_>, _>>();
        match command {
            "transferLeader" => transfer(&self.client, &self.leader()?, &peer(value)?).await,
            "doSnapshot" => snapshot(&self.client, &peer(value)?).await,
            "removePeer" => self.remove(&[peer(value)?]).await,
            "removePeers" => self.remove(&peers()?).await,
            "changePeers" | "restRaftCluster" => change_peers(&self.client, &self.leader()?, &peers()?).await,
            other => Err(format!("Not support command : {other}")),
        }
    }

    fn leader(&self) -> Result<PeerId, String> {
        let group = super::GROUP;
        self.group.status().leader.ok_or_else(|| format!("Fail to get leader of group {group}"))
    }

    async fn remove(&self, peers: &[PeerId]) -> Result<(), String> {
        for peer in peers {
            if self.group.status().configuration.contains(peer) {
                remove_peer(&self.client, &self.leader()?, peer).await?;
            }
        }
        Ok(())
    }
}
