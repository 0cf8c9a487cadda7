//! Real nodes whose start never ends: they wait for ever for a leader that was elected before they looked
//! (`compat/spec/membership.md` §8).

use std::time::Duration;

use super::procfs;

/// Until when a real node listens on most machines if it ever does, also where six JVMs start on two cores.
const LIMIT: Duration = Duration::from_secs(75);

/// Pause between two looks at who does not listen.
const PAUSE: Duration = Duration::from_secs(45);

/// How long a process is watched, and the processor time of one that is still starting, s.
const WATCHED: Duration = Duration::from_secs(2);
const AT_WORK: f64 = 0.2;

/// How long a start may take. A node that hangs may be at work all the same: the others of its group talk to it.
const START_MAX: Duration = Duration::from_secs(150);

/// How long before a wait begins those are started that it is for. Older ones have been there before: they are busy.
const STARTED_BEFORE: Duration = Duration::from_secs(20);

/// When nodes that run and do not listen are looked at.
#[derive(Debug)]
pub(crate) struct HangWatch(Duration);

impl Default for HangWatch {
    fn default() -> Self {
        Self(LIMIT)
    }
}

impl HangWatch {
    /// Whether they must be looked at, after so long a wait.
    pub(crate) fn is_due(&mut self, waited: Duration) -> bool {
        let is_due = waited > self.0;
        if is_due {
            self.0 = waited + PAUSE;
        }
        is_due
    }
}

/// Whether this process, which has been waited for so long, may listen yet: a node on a slow machine is at work, one that
/// hangs waits, for ever.
pub(super) async fn may_be_starting(pid: u32, waited: Duration) -> bool {
    let is_overdue = procfs::age(pid).is_some_and(|age| takes_too_long(age, waited));
    !is_overdue && is_at_work(pid).await
}

fn takes_too_long(age: Duration, waited: Duration) -> bool {
    age >= START_MAX && age <= waited + STARTED_BEFORE
}

async fn is_at_work(pid: u32) -> bool {
    let Some(before) = procfs::cpu_seconds(pid) else { return false };
    tokio::time::sleep(WATCHED).await;
    procfs::cpu_seconds(pid).is_some_and(|after| after - before > AT_WORK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_looked_at_now_and_then() {
        let mut watch = HangWatch::default();
        let looks: Vec<u64> = (0..200).filter(|waited| watch.is_due(Duration::from_secs(*waited))).collect();
        assert_eq!(looks, [76, 122, 168]);
    }

    #[test]
    fn only_a_start_can_take_too_long() {
        let seconds = Duration::from_secs;
        assert!(takes_too_long(seconds(165), seconds(160)));
        assert!(!takes_too_long(seconds(120), seconds(120)), "six JVMs on two cores");
        assert!(!takes_too_long(seconds(900), seconds(165)), "it ran before and is busy");
        assert!(!takes_too_long(seconds(45), seconds(210)), "its second start");
    }

    #[tokio::test]
    async fn who_waits_is_told_from_who_works() {
        let spawn = |script: &str| std::process::Command::new("sh").args(["-c", script]).spawn().expect("a shell");
        for (script, works) in [("exec sleep 60", false), ("while :; do :; done", true)] {
            let mut child = spawn(script);
            let is_at_work = is_at_work(child.id()).await;
            let _ = child.kill();
            let _ = child.wait();
            assert_eq!(is_at_work, works, "{script}");
        }
    }
}
