//! Lists that moved to another Tandem node with the ring.
//!
//! Every node that has a copy offers it to the heir, not only the former owner: that one may be dead, and its last
//! writes may have reached a single survivor, which need not be the heir. The heir puts the copies together
//! ([`super::merge`]). Until the offer has arrived, the heir's own list may lack what we have, so it is merged here
//! instead of taking the place of ours. So whatever reached a survivor is at the heir before the heir can wipe it.
//!
//! Most copies are the same: their digest goes first, and the list when it differs. The former owner adds the beats it
//! heard, so that the heir need not judge by stale ones. Official nodes get nothing: they would overwrite what they have
//! taken themselves.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

use super::Distro;
use super::stream::outgoing::How;
use crate::clock::now_ms;
use crate::cluster::ring::Ring;
use crate::flaw::{Flaw, is_broken};
use crate::naming::heard::SETTLING_MS;
use crate::naming::service::ServiceId;

/// How long the ring must have stood before official peers are told lists: they take as long with every change
/// (compat/spec/distro.md §7.3).
pub(super) const RING_SETTLES: Duration = Duration::from_secs(2);

/// How long the heir's own list may be from before it had ours, once it has that: one was under way then, and while
/// everybody offers everything it takes its time.
const UNDER_WAY: Duration = Duration::from_secs(1);

/// A list that is offered to its heir.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offer {
    /// It is not known yet whether the heir's list is another one.
    is_question: bool,
    /// We were responsible for it.
    hands_over: bool,
    /// Later ones have higher numbers: the answer to what was sent before says nothing about this one.
    number: u64,
}

impl Offer {
    /// How the stream tells it.
    pub(super) fn how(self) -> How {
        match self {
            Self { is_question: true, hands_over, .. } => How::Digest { hands_over },
            Self { is_question: false, hands_over, .. } => How::Whole { hands_over },
        }
    }
}

/// By service.
pub(super) type Offers = IndexMap<ServiceId, Offer>;

/// Who was responsible before the ring last moved.
#[derive(Debug)]
pub(super) struct Former {
    pub(super) address: String,
    /// When it moved, ms since the epoch.
    pub(super) moved_at: i64,
    /// That ring had stood for a while. While members come back one after the other, it changes with each of them; who
    /// was responsible in between had no time to hear of what is here.
    pub(super) settled: bool,
}

/// What is to be handed over, and since when.
#[derive(Debug, Default)]
pub(super) struct HandOver {
    state: Mutex<State>,
    /// Told when something is to be handed over.
    added: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The ring as far as it was dealt with here, and the one before.
    ring: Option<Arc<Ring>>,
    before: Option<Arc<Ring>>,
    /// When it last moved, ms since the epoch, and whether the one before had stood for a while.
    moved_at: i64,
    settled: bool,
    /// The same moment, by a clock that never jumps.
    stands_since: Option<Instant>,
    /// The number of the latest offers.
    number: u64,
    /// By heir; what has not arrived.
    offers: HashMap<String, Offers>,
    /// By heir; when what was offered last has arrived.
    arrived: HashMap<String, HashMap<ServiceId, Instant>>,
}

impl HandOver {
    /// Who was responsible before the ring last moved.
    pub(super) fn former_owner(&self, name: &str) -> Option<Former> {
        let state = self.state.lock();
        let address = state.before.as_ref()?.owner(name)?.to_owned();
        Some(Former { address, moved_at: state.moved_at, settled: state.settled })
    }

    /// Whether the ring has stood for a while, or never was another.
    fn is_settled(&self) -> bool {
        self.state.lock().stands_since.is_none_or(|since| since.elapsed() >= RING_SETTLES)
    }

    /// Whether the heir may lack what we have; `ring` is the one by which it is the heir.
    pub(super) fn is_ahead(&self, heir: &str, id: &ServiceId, ring: &Arc<Ring>) -> bool {
        let state = self.state.lock();
        // The ring has moved a moment ago, and what that means was not worked out yet.
        let unsettled = state.ring.as_ref().is_some_and(|known| known != ring);
        let is_under_way = || {
            let arrived = state.arrived.get(heir).and_then(|arrived| arrived.get(id));
            arrived.is_some_and(|at| at.elapsed() < UNDER_WAY)
        };
        unsettled || state.offers.get(heir).is_some_and(|offers| offers.contains_key(id)) || is_under_way()
    }

    /// Keeps those offers to whom `understood` holds, and has the others looked at.
    fn keep(&self, understood: impl Fn(&str, Offer) -> bool) {
        let mut state = self.state.lock();
        for (heir, offers) in &mut state.offers {
            offers.retain(|_, offer| understood(heir, *offer));
        }
        drop(state);
        self.added.notify_waiters();
    }

    /// What is to be handed over to this peer.
    pub(super) fn offers(&self, heir: &str) -> Offers {
        self.state.lock().offers.get(heir).cloned().unwrap_or_default()
    }

    /// What was `sent` of these has arrived, or they are gone here.
    pub(super) fn done<'a>(&self, heir: &str, sent: &Offers, ids: impl Iterator<Item = &'a ServiceId>) {
        let mut state = self.state.lock();
        let State { offers, arrived, .. } = &mut *state;
        if let Some(arrived) = arrived.get_mut(heir) {
            arrived.retain(|_, at| at.elapsed() < UNDER_WAY);
        }
        let Some(offers) = offers.get_mut(heir) else { return };
        for id in ids {
            if sent.get(id).is_some_and(|sent| offers.get(id).is_some_and(|offer| offer.number == sent.number)) {
                offers.swap_remove(id);
                arrived.entry(heir.to_owned()).or_default().insert(id.clone(), Instant::now());
            }
        }
    }

    /// The heir has other lists of these.
    pub(super) fn differ(&self, heir: &str, ids: &[ServiceId]) {
        if let Some(offers) = self.state.lock().offers.get_mut(heir) {
            for id in ids {
                offers.entry(id.clone()).and_modify(|offer| offer.is_question = false);
            }
        }
    }

    /// Lists that did not reach their heir yet.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.state.lock().offers.values().map(Offers::len).sum()
    }

    /// Woken when there is more. Arm it before looking.
    pub(super) fn added(&self) -> Notified<'_> {
        self.added.notified()
    }

    /// A peer offered us a list that lacks what we have, or has what was removed: it must be sent ours, even if it is
    /// what that peer was told last.
    pub(super) fn answer(&self, peer: &str, id: ServiceId) {
        let mut state = self.state.lock();
        state.number += 1;
        let offer = Offer { is_question: false, hands_over: false, number: state.number };
        state.offers.entry(peer.to_owned()).or_default().insert(id, offer);
        drop(state);
        self.added.notify_waiters();
    }
}

impl Distro {
    /// Whether this peer may be told what is ours. An official one takes whatever it is told for the newest, so it must be
    /// in the ring, and that must have stood: while members come back one after the other, we may hold ourselves
    /// responsible for what we know nothing of since we were cut off.
    pub(super) fn may_be_told(&self, peer: &str) -> bool {
        self.members.may_be_tandem(peer) || self.members.ring().contains(peer) && self.hand_over.is_settled()
    }

    /// The ring is this one from now on; what moved with it is offered to its heirs.
    pub(super) fn ring_moved(&self, now: Arc<Ring>) {
        let own = self.members.self_address();
        let mut state = self.hand_over.state.lock();
        let Some(before) = state.ring.replace(Arc::clone(&now)).filter(|before| *before != now) else {
            drop(state);
            // Somebody may have said what it is, to whom something was offered before that was known.
            self.hand_over.keep(|heir, offer| self.understands(heir, offer));
            return;
        };
        state.number += 1;
        let number = state.number;
        // What did not arrive before the ring moved again is of no use to whom it was for.
        state.offers.retain(|heir, _| now.contains(heir));
        state.arrived.retain(|heir, _| now.contains(heir));
        for service in self.registry.services() {
            let id = service.id();
            let (former, heir) = (before.owner(&id.name), now.owner(&id.name));
            let Some(heir) = heir.filter(|heir| *heir != own && former != Some(*heir)) else { continue };
            let offer = Offer { is_question: true, hands_over: former == Some(own), number };
            let understood = self.understands(heir, offer);
            let known = {
                let list = service.read();
                !list.ephemeral.is_empty() || !list.removals.is_empty()
            };
            if understood && known && !is_broken(Flaw::KeepsToItself) {
                state.offers.entry(heir.to_owned()).or_default().insert(id.clone(), offer);
            }
        }
        let at = now_ms();
        state.before = Some(before);
        state.settled = at - state.moved_at >= SETTLING_MS;
        state.moved_at = at;
        state.stands_since = Some(Instant::now());
        drop(state);
        self.hand_over.added.notify_waiters();
    }

    /// Whether an offer can be made to this heir. One that was put on the list a moment ago may turn out to be a Tandem
    /// node yet: what it is offered waits until it has said what it is.
    fn understands(&self, heir: &str, offer: Offer) -> bool {
        !self.members.has_reported(heir)
            || if offer.is_question && !offer.hands_over {
                // Plain Distro has no way to say that a list is a mere copy.
                self.members.stream_version(heir).is_some()
            } else {
                self.members.is_tandem(heir)
            }
    }

    /// How a Tandem peer is told a service that changed or is offered to it.
    pub(super) fn how_told(&self, id: &ServiceId, offers: &Offers) -> How {
        match offers.get(id) {
            Some(offer) => offer.how(),
            None if self.responsible(&id.name) => How::Changes,
            // What is not ours to tell is merged there, and changes say nothing to a list that is to be merged. Also
            // where a third node is the heir: by way of that one it would take twice as long.
            None => How::Whole { hands_over: false },
        }
    }

    /// What is to be handed over to this peer, once it has said what it is.
    pub(super) fn offers_to(&self, heir: &str) -> Offers {
        if self.members.has_reported(heir) { self.hand_over.offers(heir) } else { Offers::new() }
    }
}
