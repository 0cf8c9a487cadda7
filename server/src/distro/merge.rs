//! What becomes of our list of a service when a peer's arrives.
//!
//! Official nodes overwrite whatever comes (compat/spec/distro.md §8.1), so that a late or mistaken list wipes
//! registrations, or brings back what was removed. Only the list of whom we hold responsible is the truth here, but for
//! removals that it cannot have heard of. Any
//! other one was written with another view of the cluster, and each side has taken writes that the other lacks: of the
//! two records of an instance the one with the later beat stays, and what was removed here comes back only with a beat
//! after its removal ([`crate::naming::removals`]). Tandem nodes send their removals along, so that of two lists put together in
//! whatever order the same one comes out everywhere.

use crate::naming::instance::{Instance, InstanceKey};
use crate::naming::service::{Instances, ServiceState};

/// How far a received list is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// From the responsible node: it takes the place of ours.
    Owner {
        /// It tells what it removed and can be told, which takes the stream: its list brings back nothing of what is known
        /// to be removed here, because while two nodes hold themselves responsible, a removal may have reached the other
        /// one only. Of other owners' lists all is believed, and what they lack is taken for removed.
        tells: bool,
    },
    /// From an official node that cannot be responsible, or does not know yet that it is not. It takes the place of ours
    /// as on its own kind, but brings back nothing that was removed. What it lacks goes even if it beat here since: for
    /// some seconds both of us take writes, and its lists carry beats as late as ours.
    Stranger,
    /// We are responsible and the peer was until this time (ms since the epoch), and it does not tell what it removed:
    /// what it lacks is gone unless we heard of it since.
    FormerOwner {
        /// When responsibility moved.
        moved_at: i64,
    },
    /// No better than ours: what either lacks stays, unless it was removed.
    Copy,
}

/// What a merge has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Merged {
    /// The list is other than the received one.
    pub(super) corrected: bool,
    /// The list is other than it was.
    pub(super) changed: bool,
}

/// Puts a received list together with ours. `gone`: what the sender removed, with the last beat up to which that
/// reaches. Records of both lists that differ in their last beats only are the same.
pub(super) fn merge(
    state: &mut ServiceState,
    theirs: Vec<Instance>,
    gone: Vec<(InstanceKey, i64)>,
    trust: Trust,
    now: i64,
) -> Merged {
    let before = state.ephemeral.len();
    remove(state, gone, now);
    let mut done = Merged { changed: state.ephemeral.len() < before, corrected: false };
    let mut kept = Instances::with_capacity(theirs.len());
    for mut theirs in theirs {
        let key = theirs.key();
        if !matches!(trust, Trust::Owner { tells: false }) && state.removals.covers(&theirs) {
            done.corrected = true;
            continue;
        }
        match state.ephemeral.get(&key) {
            Some(known) if newer(known, &theirs, trust) => {
                done.corrected |= !same_but_beat(known, &mut theirs);
                theirs = known.clone();
            }
            Some(known) => {
                done.changed |= !same_but_beat(known, &mut theirs);
                // A copy of the beat is as old as the last change; ours may be a beat we got ourselves.
                theirs.last_beat = theirs.last_beat.max(known.last_beat);
            }
            None => done.changed = true,
        }
        kept.insert(key, theirs);
    }
    for (key, known) in &state.ephemeral {
        if kept.contains_key(key) {
            continue;
        }
        if stays(known, trust) {
            kept.insert(key.clone(), known.clone());
            done.corrected = true;
        } else {
            done.changed = true;
            if matches!(trust, Trust::Owner { tells: false } | Trust::FormerOwner { .. }) {
                state.removals.record(key.clone(), known.last_beat.max(now), now);
            }
        }
    }
    kept.keys().for_each(|key| state.removals.outdated(key));
    state.ephemeral = kept;
    done
}

/// Takes out what a peer removed, and remembers it. Records with later beats stay.
pub(super) fn remove(state: &mut ServiceState, gone: Vec<(InstanceKey, i64)>, now: i64) {
    for (key, until) in gone {
        if state.ephemeral.get(&key).is_none_or(|known| known.last_beat <= until) {
            state.ephemeral.shift_remove(&key);
            state.removals.record(key, until, now);
        }
    }
}

fn newer(known: &Instance, theirs: &Instance, trust: Trust) -> bool {
    matches!(trust, Trust::FormerOwner { .. } | Trust::Copy) && known.last_beat > theirs.last_beat
}

fn stays(known: &Instance, trust: Trust) -> bool {
    match trust {
        Trust::Owner { .. } | Trust::Stranger => false,
        Trust::FormerOwner { moved_at } => known.last_beat >= moved_at,
        Trust::Copy => true,
    }
}

/// `theirs` is as it was when this returns.
fn same_but_beat(known: &Instance, theirs: &mut Instance) -> bool {
    let beat = std::mem::replace(&mut theirs.last_beat, known.last_beat);
    let same = known == theirs;
    theirs.last_beat = beat;
    same
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Trust = Trust::Owner { tells: true };
    const DEAF_OWNER: Trust = Trust::Owner { tells: false };
    const NOW: i64 = 200;

    fn instance(port: i32, last_beat: i64) -> Instance {
        Instance { ip: "10.0.0.1".to_owned(), port, last_beat, ..Instance::default() }
    }

    fn state(instances: &[(i32, i64)], gone: &[(i32, i64)]) -> ServiceState {
        let mut state = ServiceState::new("g");
        state.ephemeral =
            instances.iter().map(|(port, beat)| instance(*port, *beat)).map(|one| (one.key(), one)).collect();
        remove(&mut state, keys(gone), NOW);
        state
    }

    fn keys(gone: &[(i32, i64)]) -> Vec<(InstanceKey, i64)> {
        gone.iter().map(|(port, until)| (instance(*port, 0).key(), *until)).collect()
    }

    fn take(state: &mut ServiceState, theirs: &[(i32, i64)], gone: &[(i32, i64)], trust: Trust) -> Merged {
        let theirs = theirs.iter().map(|(port, beat)| instance(*port, *beat)).collect();
        merge(state, theirs, keys(gone), trust, NOW)
    }

    fn list(state: &ServiceState) -> Vec<(i32, i64)> {
        state.ephemeral.values().map(|one| (one.port, one.last_beat)).collect()
    }

    fn merged(ours: &[(i32, i64)], theirs: &[(i32, i64)], trust: Trust) -> (Vec<(i32, i64)>, bool) {
        let mut state = state(ours, &[]);
        let done = take(&mut state, theirs, &[], trust);
        (list(&state), done.corrected)
    }

    #[test]
    fn the_owners_list_replaces_ours_but_never_turns_a_beat_back() {
        assert_eq!(merged(&[(1, 50), (2, 50)], &[(1, 10), (3, 10)], OWNER), (vec![(1, 50), (3, 10)], false));
    }

    #[test]
    fn a_former_owner_cannot_remove_what_we_heard_of_since() {
        let trust = Trust::FormerOwner { moved_at: 100 };
        let (kept, corrected) = merged(&[(1, 150), (2, 50), (3, 160)], &[(3, 90), (4, 90)], trust);
        assert_eq!((kept, corrected), (vec![(3, 160), (4, 90), (1, 150)], true));
        assert_eq!(merged(&[(1, 50)], &[(1, 90)], trust), (vec![(1, 90)], false));
    }

    #[test]
    fn a_copy_removes_nothing() {
        let kept = vec![(1, 9), (3, 9), (2, 1)];
        assert_eq!(merged(&[(1, 1), (2, 1)], &[(1, 9), (3, 9)], Trust::Copy), (kept, true));
    }

    #[test]
    fn our_newer_record_wins_between_former_owners() {
        let mut theirs = instance(1, 10);
        theirs.weight = 5.0;
        let mut state = state(&[(1, 20)], &[]);
        let done = merge(&mut state, vec![theirs], Vec::new(), Trust::FormerOwner { moved_at: 0 }, NOW);
        assert_eq!((state.ephemeral[0].weight, done), (1.0, Merged { corrected: true, changed: false }));
    }

    #[test]
    fn what_was_removed_comes_back_with_a_later_beat_only() {
        for trust in [OWNER, Trust::Copy, Trust::Stranger, Trust::FormerOwner { moved_at: 90 }] {
            let mut state = state(&[], &[(1, 100)]);
            let done = take(&mut state, &[(1, 80)], &[], trust);
            assert_eq!((list(&state), done), (vec![], Merged { corrected: true, changed: false }), "{trust:?}");
            take(&mut state, &[(1, 101)], &[], trust);
            assert_eq!(list(&state), [(1, 101)], "{trust:?}");
            assert!(state.removals.is_empty(), "{trust:?}");
        }
    }

    #[test]
    fn an_owner_that_cannot_be_told_decides() {
        let mut state = state(&[], &[(1, 100)]);
        take(&mut state, &[(1, 80)], &[], DEAF_OWNER);
        assert_eq!((list(&state), state.removals.is_empty()), (vec![(1, 80)], true));
    }

    #[test]
    fn what_an_owner_lacks_that_does_not_tell_was_removed() {
        for (tells, after) in [(false, vec![]), (true, vec![(1, 90)])] {
            let mut state = state(&[(1, 80)], &[]);
            take(&mut state, &[], &[], Trust::Owner { tells });
            take(&mut state, &[(1, 90)], &[], Trust::Copy);
            assert_eq!(list(&state), after, "{tells}");
        }
    }

    #[test]
    fn copies_with_removals_come_to_the_same_in_any_order() {
        let copies = [
            (vec![(1, 10), (2, 30), (3, 10)], vec![]),
            (vec![(3, 40)], vec![(1, 20), (2, 20)]),
            (vec![(1, 15), (4, 1)], vec![(3, 30), (4, 0)]),
        ];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut state = state(&[], &[]);
            for copy in order {
                take(&mut state, &copies[copy].0, &copies[copy].1, Trust::Copy);
            }
            let mut list = list(&state);
            list.sort_unstable();
            assert_eq!(list, [(2, 30), (3, 40), (4, 1)], "{order:?}");
        }
    }
}
