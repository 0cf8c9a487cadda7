//! The nouns of the group: indices, terms, peers, entries (compat/spec/jraft.md §1, §4).

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// Place of an entry in the log; the first one is 1, 0 means "before the first".
pub type Index = u64;

/// Number of an election; 0 means "none yet".
pub type Term = u64;

/// A peer of a group: `ip:raftPort[:idx]`, in the one spelling that official peers give it (compat/spec/jraft.md §1).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(Arc<str>);

impl PeerId {
    /// Reads `ip:port[:idx[:priority]]`. The priority is no part of a peer's identity, and idx 0 is not written.
    pub fn parse(text: &str) -> Option<PeerId> {
        // An IPv6 address has colons of its own and stands in brackets.
        let after_host = text.rfind(']').map_or(0, |end| end + 1);
        let (host, rest) = text.split_at(after_host + text.get(after_host..)?.find(':')?);
        let mut parts = rest.get(1..)?.split(':');
        let port: u16 = parts.next()?.parse().ok()?;
        let idx: u32 = parts.next().map_or(Some(0), |idx| idx.parse().ok())?;
        let priority = parts.next().map_or(Some(-1), |priority| priority.parse::<i32>().ok());
        if host.is_empty() || port == 0 || priority.is_none() || parts.next().is_some() {
            return None;
        }
        let text = if idx == 0 { format!("{host}:{port}") } else { format!("{host}:{port}:{idx}") };
        Some(PeerId(text.into()))
    }

    /// As official peers write it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `ip:port`, what can be connected to.
    pub fn endpoint(&self) -> &str {
        let after_host = self.0.rfind(']').map_or(0, |end| end + 1);
        let mut colons = self.0.match_indices(':').map(|(at, _)| at).filter(|at| *at >= after_host);
        colons.nth(1).and_then(|at| self.0.get(..at)).unwrap_or(&self.0)
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who votes. While `old_peers` is not empty the group is between two configurations and needs a majority of each.
///
/// Learners are carried along and otherwise ignored: Nacos has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    /// Voters, in the order of the peer that wrote the entry; the order means nothing.
    pub peers: Vec<PeerId>,
    /// Voters before the change under way; empty when there is none.
    pub old_peers: Vec<PeerId>,
    /// Peers that get the log and do not vote.
    pub learners: Vec<PeerId>,
    /// Learners before the change under way.
    pub old_learners: Vec<PeerId>,
}

impl Configuration {
    /// These voters, no change under way.
    pub fn of(peers: impl IntoIterator<Item = PeerId>) -> Self {
        Configuration { peers: peers.into_iter().collect(), ..Configuration::default() }
    }

    /// Whether a change is under way.
    pub fn is_joint(&self) -> bool {
        !self.old_peers.is_empty()
    }

    /// Whether `peer` votes in this configuration.
    pub fn contains(&self, peer: &PeerId) -> bool {
        self.peers.contains(peer) || self.old_peers.contains(peer)
    }

    /// Every voter once.
    pub fn voters(&self) -> impl Iterator<Item = &PeerId> {
        self.peers.iter().chain(self.old_peers.iter().filter(|peer| !self.peers.contains(peer)))
    }

    /// Whether those for whom `has` holds are a majority (of both, between two configurations). Nobody is no majority
    /// of an empty group.
    pub fn is_majority(&self, has: impl Fn(&PeerId) -> bool) -> bool {
        let majority = |peers: &[PeerId]| peers.iter().filter(|peer| has(peer)).count() > peers.len() / 2;
        majority(&self.peers) && (self.old_peers.is_empty() || majority(&self.old_peers))
    }

    /// The same voters, in whatever order.
    pub fn has_peers(&self, peers: &[PeerId]) -> bool {
        self.peers.len() == peers.len() && peers.iter().all(|peer| self.peers.contains(peer))
    }
}

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub index: Index,
    /// The term of the leader that made it.
    pub term: Term,
    /// What it says.
    pub payload: Payload,
}

impl Entry {
    /// Bytes of data it carries.
    pub fn data_len(&self) -> usize {
        match &self.payload {
            Payload::Data(data) => data.len(),
            Payload::NoOp | Payload::Configuration(_) => 0,
        }
    }
}

/// What an entry says (compat/spec/jraft.md §4, `EntryType`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// Nothing. Official leaders start a term with a configuration instead, but the type exists.
    NoOp,
    /// A command of the state machine; for naming a serialised `WriteRequest`.
    Data(Bytes),
    /// Who votes from here on, whether or not it is committed.
    Configuration(Configuration),
}

/// What a peer must never forget, log apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HardState {
    /// The newest term seen.
    pub term: Term,
    /// Whom this peer voted for in it.
    pub voted_for: Option<PeerId>,
    /// It began without a log and was not given one yet. It may have had another before, and have promised entries that
    /// are gone with it: until a leader has given it all that counts, it votes for nobody who has a log.
    pub newcomer: bool,
}

/// Up to where a snapshot stands for the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnapshotMeta {
    /// The last entry that is in it; 0 for none.
    pub last_included_index: Index,
    /// The term of that entry.
    pub last_included_term: Term,
    /// Who voted as of that entry.
    pub configuration: Configuration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_have_one_spelling() {
        // compat/spec/jraft.md §1: idx 0 and the priority are left out.
        for text in ["127.0.0.1:7848", "127.0.0.1:7848:0", "127.0.0.1:7848:0:100"] {
            assert_eq!(PeerId::parse(text).unwrap().as_str(), "127.0.0.1:7848");
        }
        let second = PeerId::parse("h:7848:2:-1").unwrap();
        assert_eq!((second.as_str(), second.endpoint()), ("h:7848:2", "h:7848"));
        let v6 = PeerId::parse("[::1]:7848").unwrap();
        assert_eq!((v6.as_str(), v6.endpoint()), ("[::1]:7848", "[::1]:7848"));
        for text in ["", "xx", ":1", "a:", "a:0", "a:65536", "a:1:x", "a:1:0:x", "a:1:0:1:1", "a:-1", "]", "[::1]"] {
            assert_eq!(PeerId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_change_needs_both_majorities() {
        let peer = |n: u16| PeerId::parse(&format!("h:{n}")).unwrap();
        let joint = Configuration {
            peers: vec![peer(1), peer(2), peer(3), peer(4)],
            old_peers: vec![peer(1), peer(2), peer(3)],
            ..Configuration::default()
        };
        let has = |set: &[u16]| joint.is_majority(|p| set.iter().any(|n| peer(*n) == *p));
        assert!(has(&[1, 2, 4]));
        assert!(!has(&[1, 4]) && !has(&[1, 2]) && !has(&[2, 3]));
        assert!(!Configuration::default().is_majority(|_| true));
        assert_eq!(joint.voters().count(), 4);
    }
}
