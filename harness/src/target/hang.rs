//! Real nodes whose start never ends: with embedded storage they wait to be told of the config group's leader. The four
//! threads that tell such things stop, one after the other, at whatever nobody has asked for: two changes about the group
//! of persistent data before the first about that of configuration, and nothing is told any more
//! (`compat/spec/membership.md` §8). The longer a start takes, as with much persistent data or on busy cores, the likelier
//! that is.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{LogMark, procfs};

/// From when on, and how often, real nodes that do not listen are looked at.
const FIRST: Duration = Duration::from_secs(40);
const PAUSE: Duration = Duration::from_secs(20);

/// In how many looks at a process without a break it waits until it hangs, although it could be told of a leader: one is
/// elected within seconds.
const LOOKS: u32 = 2;

/// The same for a container, of which is only known that it does not listen.
const BLIND_LOOKS: u32 = 4;

/// How many threads tell of leaders, and where they stop.
const TELLERS: usize = 4;
const STOPS_IN: &str = "ThreadUtils.objectWait";
const TELLS_IN: &str = "Observable.notifyObservers";

/// A JVM this old answers `SIGQUIT` with the stacks of its threads; one that has just begun would end.
const CAN_BE_ASKED: Duration = Duration::from_secs(10);

/// How long it may take to write them, and the pause between two looks at what it wrote.
const DUMP_LIMIT: Duration = Duration::from_secs(5);
const DUMP_PAUSE: Duration = Duration::from_millis(100);

/// Where the thread that starts a node waits for a leader.
const WAITS_IN: &str = "EmbeddedDumpService.init";

/// What the start of a real node is seen to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// It is over, or does something else than wait for a leader.
    GoesOn,
    /// Asked for its stacks, it wrote none: it is stopped or too busy, and nothing is known of it.
    Silent,
    /// It waits for a leader.
    Waits,
    /// It waits for a leader, and nothing will tell it of one.
    Wedged,
    /// It cannot be asked, and does not listen.
    Unknown,
}

/// Looks at real nodes that run and do not listen, in the course of one wait.
#[derive(Debug)]
pub(crate) struct HangWatch {
    next: Duration,
    /// In how many looks without a break each node was suspect.
    suspect: BTreeMap<usize, u32>,
}

impl Default for HangWatch {
    fn default() -> Self {
        Self { next: FIRST, suspect: BTreeMap::new() }
    }
}

impl HangWatch {
    /// Whether they must be looked at, after so long a wait.
    pub(crate) fn is_due(&mut self, waited: Duration) -> bool {
        let is_due = waited > self.next;
        if is_due {
            self.next = waited + PAUSE;
        }
        is_due
    }

    /// Notes what the start of node `i` does, and says whether it hangs; its next start is judged anew.
    pub(super) fn hangs(&mut self, i: usize, start: Start) -> bool {
        let looks = match start {
            Start::GoesOn => {
                self.suspect.remove(&i);
                return false;
            }
            Start::Silent => return false,
            Start::Wedged => 1,
            Start::Waits => LOOKS,
            Start::Unknown => BLIND_LOOKS,
        };
        let seen = self.suspect.entry(i).or_default();
        *seen += 1;
        let hangs = *seen >= looks;
        if hangs {
            self.suspect.remove(&i);
        }
        hangs
    }
}

/// What the start of a real node does now, by the stacks it writes to its output when asked.
pub(super) async fn look_at(pid: u32, output: &Path) -> Start {
    let can_be_asked = procfs::age(pid).is_some_and(|age| age >= CAN_BE_ASKED);
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw).filter(|_| can_be_asked) else {
        return Start::GoesOn;
    };
    let output = LogMark::at_end_of(output.to_owned());
    if kill_process(pid, Signal::QUIT).is_err() {
        return Start::GoesOn;
    }
    let asked = tokio::time::Instant::now();
    while asked.elapsed() < DUMP_LIMIT {
        tokio::time::sleep(DUMP_PAUSE).await;
        if let Some(start) = output.written_since().as_deref().and_then(read) {
            return start;
        }
    }
    Start::Silent
}

/// What a dump says; `None` while it is not whole. The thread that starts a node ends when the start does.
fn read(dump: &str) -> Option<Start> {
    let (_, threads) = dump.split_once("Full thread dump")?;
    let (threads, _) = threads.split_once("JNI global ref")?;
    let stacks = || threads.split("\n\n");
    let waits = stacks().any(|it| it.trim_start().starts_with("\"main\"") && it.contains(WAITS_IN));
    let stopped = stacks().filter(|it| it.contains(TELLS_IN) && it.contains(STOPS_IN)).count();
    Some(match (waits, stopped >= TELLERS) {
        (true, true) => Start::Wedged,
        (true, false) => Start::Waits,
        (false, _) => Start::GoesOn,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A dump of Nacos 1.4.1 that waited, most frames and threads left out.
    const DUMP: &str = include_str!("hang/dump.txt");

    #[test]
    fn they_are_looked_at_now_and_then() {
        let mut watch = HangWatch::default();
        let looks: Vec<u64> = (0..110).filter(|waited| watch.is_due(Duration::from_secs(*waited))).collect();
        assert_eq!(looks, [41, 62, 83, 104]);
    }

    #[test]
    fn who_waits_is_looked_at_twice_and_who_is_wedged_once() {
        let mut watch = HangWatch::default();
        assert!(!watch.hangs(0, Start::Waits), "a leader may be elected yet");
        assert!(!watch.hangs(1, Start::Waits));
        assert!(watch.hangs(0, Start::Waits));
        assert!(!watch.hangs(0, Start::Waits), "its second start");
        assert!(!watch.hangs(0, Start::GoesOn));
        assert!(!watch.hangs(0, Start::Waits), "it went on meanwhile");
        assert!(!watch.hangs(0, Start::Silent));
        assert!(watch.hangs(0, Start::Waits), "a look without an answer changes nothing");
        assert!(watch.hangs(3, Start::Wedged));
        let blind: Vec<bool> = (0..4).map(|_| watch.hangs(2, Start::Unknown)).collect();
        assert_eq!(blind, [false, false, false, true]);
    }

    #[test]
    fn who_waits_for_a_leader_is_told_by_its_stack() {
        assert_eq!(read(DUMP), Some(Start::Wedged));
        assert_eq!(read(&DUMP.replacen(TELLS_IN, "Observable.addObserver", 1)), Some(Start::Waits), "one tells");
        assert_eq!(read(&DUMP.replacen(STOPS_IN, "ThreadUtils.sleep", 1)), Some(Start::Waits), "one goes on");
        assert_eq!(read(&DUMP.replace(WAITS_IN, "EmbeddedDumpService.dumpOperate")), Some(Start::GoesOn), "it reads");
        assert_eq!(read(&DUMP.replace("\"main\"", "\"other\"")), Some(Start::GoesOn), "it has started");
        let (begun, _) = DUMP.split_once("JNI").expect("an end");
        assert_eq!(read(begun), None, "it writes yet");
        assert_eq!(read("Nacos is starting..."), None);
    }

    #[tokio::test]
    async fn who_is_young_is_not_asked() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        assert_eq!(look_at(child.id(), Path::new("/dev/null")).await, Start::GoesOn);
        assert!(child.try_wait().expect("its state").is_none(), "SIGQUIT would have ended it");
        let _ = child.kill();
        let _ = child.wait();
    }
}
