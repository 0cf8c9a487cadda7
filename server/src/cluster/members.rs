//! The members of the cluster: the one place their list and states are kept.
//!
//! Invariants: this node is always in the list and always UP in its own eyes; the ring is rebuilt under the lock that
//! guards the list, so a reader never sees a ring older than the last change it was told of.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{RwLock, RwLockWriteGuard};
use serde_json::Value;
use tokio::sync::watch;
use tracing::{info, warn};

use super::conf::Entry;
use super::member::{LAST_REFRESH_TIME, Member, MemberState, Outcome};
use super::ring::Ring;
use crate::clock::now_ms;
use crate::settings::Settings;

/// The members of the cluster, this node included.
#[derive(Debug)]
pub struct Members {
    self_address: String,
    standalone: bool,
    fail_access_max: u32,
    list: RwLock<BTreeMap<String, Member>>,
    /// Whether the list names this node, which is in it all the same.
    is_named: AtomicBool,
    ring: watch::Sender<Arc<Ring>>,
}

impl Members {
    /// This node alone, until a lookup brings a list.
    pub fn new(settings: &Settings) -> Self {
        let own = match settings.standalone {
            true => Member::alone(&settings.ip, settings.port, now_ms()),
            false if settings.distro.peer_stream => Member::own(&settings.ip, settings.port).streaming(),
            false => Member::own(&settings.ip, settings.port),
        };
        let self_address = own.address.clone();
        let ring = Ring::new(vec![self_address.clone()]);
        Members {
            list: RwLock::new([(self_address.clone(), own)].into()),
            is_named: AtomicBool::new(true),
            self_address,
            standalone: settings.standalone,
            fail_access_max: settings.members.fail_access_count,
            ring: watch::Sender::new(Arc::new(ring)),
        }
    }

    /// `ip:port` of this node.
    pub fn self_address(&self) -> &str {
        &self.self_address
    }

    /// Whether this node is alone by order.
    pub fn is_standalone(&self) -> bool {
        self.standalone
    }

    /// This node as it reports itself.
    pub fn own(&self) -> Option<Member> {
        self.get(&self.self_address)
    }

    /// Says something of this node in its reports, under a key of `extendInfo`; unlike what members announce there by
    /// version, other parts need not hear of it.
    pub fn say(&self, key: &str, value: Value) {
        if let Some(own) = self.list.write().get_mut(&self.self_address) {
            own.extend_info.insert(key.to_owned(), value);
            own.extend_info.insert(LAST_REFRESH_TIME.to_owned(), Value::from(now_ms()));
        }
    }

    /// All members sorted by address, this node included.
    pub fn all(&self) -> Vec<Member> {
        self.list.read().values().cloned().collect()
    }

    /// All members but this node, whatever their state, sorted by address.
    pub fn peers(&self) -> Vec<Member> {
        self.list.read().values().filter(|member| member.address != self.self_address).cloned().collect()
    }

    /// One member.
    pub fn get(&self, address: &str) -> Option<Member> {
        self.list.read().get(address).cloned()
    }

    /// Whether the address is a member's.
    pub fn is_member(&self, address: &str) -> bool {
        self.list.read().contains_key(address)
    }

    /// As official nodes check it where they check it at all: any part of a member's address will do
    /// (compat/spec/membership.md §11 Q21).
    pub fn has_member(&self, text: &str) -> bool {
        self.list.read().keys().any(|address| address.contains(text))
    }

    /// Whether the member said anything of itself yet.
    pub fn has_reported(&self, address: &str) -> bool {
        self.list.read().get(address).is_some_and(Member::has_reported)
    }

    /// Whether the member said it is a Tandem node.
    pub fn is_tandem(&self, address: &str) -> bool {
        self.list.read().get(address).is_some_and(Member::is_tandem)
    }

    /// Whether the member can be a Tandem node: it said so, or has not said yet what it is.
    pub fn may_be_tandem(&self, address: &str) -> bool {
        self.list.read().get(address).is_some_and(Member::may_be_tandem)
    }

    /// The version of the peer stream to speak with this member: the older one of what both announce. `None` when one
    /// of the two announces none.
    pub fn stream_version(&self, address: &str) -> Option<u32> {
        let list = self.list.read();
        let version = |address: &str| list.get(address).and_then(Member::stream_version);
        Some(version(&self.self_address)?.min(version(address)?))
    }

    /// Whether the peer stream is spoken with every other member.
    pub fn all_stream(&self) -> bool {
        let list = self.list.read();
        list.values().all(|member| member.stream_version().is_some())
    }

    /// The members that are UP or SUSPICIOUS.
    pub fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.ring.borrow())
    }

    /// Marked changed at every change of the list, of a state or of a member's basic facts, even when the ring comes
    /// out equal: look at [`Members::peers`] then.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Ring>> {
        self.ring.subscribe()
    }

    /// Address of the member responsible for a grouped service name; `None` when nobody is healthy.
    pub fn owner(&self, grouped: &str) -> Option<String> {
        self.ring.borrow().owner(grouped).map(str::to_owned)
    }

    /// Whether this node is responsible for a grouped service name (compat/spec/distro.md §4). `distro_enabled` is the
    /// switch `distroEnabled`.
    pub fn responsible(&self, grouped: &str, distro_enabled: bool) -> bool {
        if !distro_enabled || self.standalone {
            return true;
        }
        let ring = self.ring.borrow();
        match ring.owner(grouped) {
            None => false,
            Some(owner) => owner == self.self_address || !ring.contains(&self.self_address),
        }
    }

    /// Whether the list that was read last names this node. It keeps itself in its own list, whatever was read.
    pub fn is_named(&self) -> bool {
        self.is_named.load(Ordering::Relaxed)
    }

    /// Puts another list in the place of this one. As in official nodes every member of a changed list starts as UP;
    /// unlike there, what it said about itself is kept. An empty list changes nothing. True when the list changed:
    /// it is then worth writing back.
    pub(crate) fn replace(&self, entries: &[Entry]) -> bool {
        if entries.is_empty() {
            return false;
        }
        let mut list = self.list.write();
        let mut next: BTreeMap<String, Member> = entries
            .iter()
            .map(|entry| Member::listed(&entry.host, entry.port))
            .map(|member| (member.address.clone(), member))
            .collect();
        let is_named = next.contains_key(&self.self_address);
        self.is_named.store(is_named, Ordering::Relaxed);
        if !is_named {
            warn!(address = self.self_address, "this node is not in the member list and adds itself");
        }
        if let Some(own) = list.get(&self.self_address) {
            next.insert(self.self_address.clone(), own.clone());
        }
        if next.keys().eq(list.keys()) {
            return false;
        }
        for (address, member) in &mut next {
            if let Some(known) = list.get(address) {
                member.extend_info.clone_from(&known.extend_info);
            }
        }
        *list = next;
        info!(members = ?list.keys().collect::<Vec<_>>(), "members changed");
        self.announce(&list);
        true
    }

    /// Takes members off the list, this node excepted. True when the list changed.
    pub fn leave(&self, addresses: &[String]) -> bool {
        let mut list = self.list.write();
        let before = list.len();
        list.retain(|address, _| *address == self.self_address || !addresses.contains(address));
        let changed = list.len() != before;
        if changed {
            info!(members = ?list.keys().collect::<Vec<_>>(), "members left");
            self.announce(&list);
        }
        changed
    }

    /// A report a member sent about itself; false when it is none of ours.
    pub fn accept_report(&self, report: Member, now_ms: i64) -> bool {
        let mut list = self.list.write();
        let Some(member) = list.get_mut(&report.address) else { return false };
        if report.address == self.self_address {
            warn!(address = self.self_address, "another node reports under this node's address");
            return true;
        }
        let before = member.state;
        if member.accept(report, now_ms) {
            log_state(member, before);
            self.announce(&list);
        }
        true
    }

    /// How a report sent to a member ended.
    pub fn judge(&self, address: &str, outcome: Outcome) {
        let mut list = self.list.write();
        let Some(member) = list.get_mut(address) else { return };
        let before = member.state;
        if member.judge(outcome, self.fail_access_max) {
            log_state(member, before);
            self.announce(&list);
        }
    }

    fn announce(&self, list: &RwLockWriteGuard<'_, BTreeMap<String, Member>>) {
        let healthy = list.values().filter(|member| member.state.is_healthy());
        self.ring.send_replace(Arc::new(Ring::new(healthy.map(|member| member.address.clone()).collect())));
    }
}

fn log_state(member: &Member, before: MemberState) {
    if member.state != before {
        info!(member = member.address, from = ?before, to = ?member.state, "member state changed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::member::STREAM_VERSION;

    fn three() -> Members {
        let members = Members::new(&Settings { standalone: false, ..Settings::loopback("/nowhere", 9201) });
        members.replace(&entries(&[9201, 9202, 9203]));
        members
    }

    fn entries(ports: &[u16]) -> Vec<Entry> {
        ports.iter().map(|port| Entry { host: "127.0.0.1".to_owned(), port: *port }).collect()
    }

    fn report(port: u16) -> Member {
        Member::own("127.0.0.1", port)
    }

    #[test]
    fn who_is_struck_off_the_list_stays_in_its_own_and_knows() {
        let members = three();
        assert!(members.is_named());
        members.replace(&entries(&[9202, 9203]));
        assert_eq!((members.is_named(), members.all().len()), (false, 3));
        members.replace(&entries(&[9201, 9202, 9203]));
        assert!(members.is_named(), "also when its own list is the same as before");
    }

    #[test]
    fn responsibility_follows_the_ring() {
        // compat/spec/membership.md §3.3, compat/spec/distro.md §4
        let members = three();
        let service = "DEFAULT_GROUP@@h2d2";
        assert_eq!(members.owner(service).as_deref(), Some("127.0.0.1:9202"));
        assert!(!members.responsible(service, true) && members.responsible(service, false));
        members.judge("127.0.0.1:9202", Outcome::Failed);
        assert!(members.ring().contains("127.0.0.1:9202"), "SUSPICIOUS stays");
        members.judge("127.0.0.1:9202", Outcome::Refused);
        assert_eq!(members.ring().addresses(), ["127.0.0.1:9201", "127.0.0.1:9203"]);
        assert!(members.accept_report(report(9202), 1));
        assert_eq!(members.ring().addresses().len(), 3);
        assert!(Members::new(&Settings::loopback("/nowhere", 1)).responsible(service, true));
    }

    #[test]
    fn subscribers_hear_of_states_versions_and_lists_only() {
        let members = three();
        let mut changes = members.subscribe();
        members.judge("127.0.0.1:9202", Outcome::Accepted);
        assert!(!members.accept_report(report(9299), 1));
        assert!(!members.replace(&entries(&[9203, 9202, 9201])) && !members.replace(&[]));
        assert!(!changes.has_changed().unwrap());
        assert!(members.accept_report(report(9202), 1));
        assert!(changes.has_changed().unwrap() && members.is_tandem("127.0.0.1:9202"));
        changes.mark_unchanged();
        assert!(members.accept_report(report(9202), 2));
        assert!(!changes.has_changed().unwrap());
        assert!(members.replace(&entries(&[9202, 9201])));
        assert!(changes.has_changed().unwrap());
    }

    #[test]
    fn the_older_version_of_the_stream_is_spoken() {
        let members = three();
        let peer = "127.0.0.1:9202";
        assert_eq!(members.stream_version(peer), None, "not heard of yet");
        members.accept_report(report(9202), 1);
        assert_eq!(members.stream_version(peer), None, "switched off there");
        let mut newer = report(9202).streaming();
        newer.extend_info.insert("tandemStream".to_owned(), (STREAM_VERSION + 5).to_string().into());
        let changes = members.subscribe();
        members.accept_report(newer, 2);
        assert!(changes.has_changed().unwrap());
        assert_eq!(members.stream_version(peer), Some(STREAM_VERSION));
        let mut settings = Settings { standalone: false, ..Settings::loopback("/nowhere", 9201) };
        settings.distro.peer_stream = false;
        let silent = Members::new(&settings);
        silent.replace(&entries(&[9201, 9202]));
        silent.accept_report(report(9202).streaming(), 1);
        assert_eq!(silent.stream_version(peer), None, "switched off here");
    }

    #[test]
    fn a_new_list_lifts_everybody_and_keeps_what_they_said() {
        // compat/spec/membership.md §11 Q5
        let members = three();
        members.accept_report(report(9202), 1);
        members.judge("127.0.0.1:9202", Outcome::Refused);
        assert!(members.replace(&entries(&[9202, 9203, 9204])));
        let all = members.all();
        assert_eq!(all.iter().map(|m| m.port).collect::<Vec<_>>(), [9201, 9202, 9203, 9204], "itself included (M17)");
        assert!(all.iter().all(|member| member.state == MemberState::Up));
        assert!(members.is_tandem("127.0.0.1:9202") && members.is_tandem("127.0.0.1:9201"));
        assert!(!members.is_tandem("127.0.0.1:9204"));
    }

    #[test]
    fn leave_removes_others_but_never_this_node() {
        let members = three();
        let gone = ["127.0.0.1:9201", "127.0.0.1:9203", "127.0.0.1:9999"].map(str::to_owned);
        assert!(members.leave(&gone));
        assert!(!members.leave(&gone));
        assert_eq!(members.all().len(), 2);
        assert_eq!(members.peers().len(), 1);
        assert!(members.has_member("127.0.0.1") && members.has_member("9202") && !members.has_member("9203"));
        assert!(members.is_member("127.0.0.1:9202") && !members.is_member("127.0.0.1"));
    }
}
