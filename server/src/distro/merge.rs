//! What becomes of our list of a service when a peer's arrives.
//!
//! Official nodes overwrite whatever comes (compat/spec/distro.md §8.1), so that a late or mistaken list wipes
//! registrations. Towards official peers that is kept: their lists are the truth. Between Tandem nodes the list of
//! whom we hold responsible is the truth as well; any other one is merged, because then the views of the cluster
//! differ, and each side has taken writes that the other lacks.

use crate::naming::instance::Instance;
use crate::naming::service::Instances;

/// How far a received list is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// It takes the place of ours.
    Whole,
    /// We are responsible, and the peer may have been until this time (ms since the epoch): what it lacks is gone
    /// unless we heard of it since.
    FormerOwner {
        /// When responsibility last moved.
        moved_at: i64,
    },
    /// Neither is responsible: what it lacks stays, the responsible node will tell.
    Bystander,
}

/// The list to keep, and whether it is other than the received one.
pub(super) fn merged(ours: &Instances, theirs: Vec<Instance>, trust: Trust) -> (Instances, bool) {
    let mut differs = false;
    let mut kept: Instances = theirs
        .into_iter()
        .map(|mut theirs| {
            let key = theirs.key();
            if let Some(known) = ours.get(&key) {
                if trust != Trust::Whole && known.last_beat > theirs.last_beat {
                    differs |= !same_but_beat(known, &theirs);
                    theirs = known.clone();
                } else {
                    // A copy of the beat is as old as the last change; ours may be a beat we got ourselves.
                    theirs.last_beat = theirs.last_beat.max(known.last_beat);
                }
            }
            (key, theirs)
        })
        .collect();
    for (key, known) in ours {
        let stays = match trust {
            Trust::Whole => false,
            Trust::FormerOwner { moved_at } => known.last_beat >= moved_at,
            Trust::Bystander => true,
        };
        if stays && !kept.contains_key(key) {
            kept.insert(key.clone(), known.clone());
            differs = true;
        }
    }
    (kept, differs)
}

fn same_but_beat(one: &Instance, other: &Instance) -> bool {
    let mut one = one.clone();
    one.last_beat = other.last_beat;
    one == *other
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(port: i32, last_beat: i64) -> Instance {
        Instance { ip: "10.0.0.1".to_owned(), port, last_beat, ..Instance::default() }
    }

    fn list(instances: &[(i32, i64)]) -> Instances {
        instances.iter().map(|(port, beat)| instance(*port, *beat)).map(|one| (one.key(), one)).collect()
    }

    fn merge(ours: &[(i32, i64)], theirs: &[(i32, i64)], trust: Trust) -> (Vec<(i32, i64)>, bool) {
        let theirs = theirs.iter().map(|(port, beat)| instance(*port, *beat)).collect();
        let (kept, differs) = merged(&list(ours), theirs, trust);
        (kept.values().map(|one| (one.port, one.last_beat)).collect(), differs)
    }

    #[test]
    fn a_trusted_list_replaces_ours_but_never_turns_a_beat_back() {
        assert_eq!(merge(&[(1, 50), (2, 50)], &[(1, 10), (3, 10)], Trust::Whole), (vec![(1, 50), (3, 10)], false));
    }

    #[test]
    fn a_former_owner_cannot_remove_what_we_heard_of_since() {
        let trust = Trust::FormerOwner { moved_at: 100 };
        let (kept, differs) = merge(&[(1, 150), (2, 50), (3, 160)], &[(3, 90), (4, 90)], trust);
        assert_eq!((kept, differs), (vec![(3, 160), (4, 90), (1, 150)], true));
        assert_eq!(merge(&[(1, 50)], &[(1, 90)], trust), (vec![(1, 90)], false));
    }

    #[test]
    fn a_bystander_removes_nothing() {
        assert_eq!(merge(&[(1, 1), (2, 1)], &[(1, 9), (3, 9)], Trust::Bystander), (vec![(1, 9), (3, 9), (2, 1)], true));
    }

    #[test]
    fn our_newer_record_wins_between_former_owners() {
        let mut theirs = instance(1, 10);
        theirs.weight = 5.0;
        let (kept, differs) = merged(&list(&[(1, 20)]), vec![theirs], Trust::FormerOwner { moved_at: 0 });
        assert_eq!((kept[0].weight, differs), (1.0, true));
    }
}
