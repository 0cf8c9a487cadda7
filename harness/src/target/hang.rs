//! Real nodes whose start never ends: with embedded storage they wait for the config group's next leader, for ever when
//! that one was elected before they began to (`compat/spec/membership.md` §8). The longer a start takes, as with much
//! persistent data or on busy cores, the likelier that is.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{LogMark, procfs};

/// From when on, and how often, real nodes that do not listen are looked at.
const FIRST: Duration = Duration::from_secs(40);
const PAUSE: Duration = Duration::from_secs(20);

/// In how many looks at a process without a break it waits until it hangs: a leader is elected within seconds.
const LOOKS: u32 = 2;

/// The same for a container, of which is only known that it does not listen.
const BLIND_LOOKS: u32 = 4;

/// A JVM this old answers `SIGQUIT` with the stacks of its threads; one that has just begun would end.
const CAN_BE_ASKED: Duration = Duration::from_secs(10);

/// How long it may take to write them, and the pause between two looks at what it wrote.
const DUMP_LIMIT: Duration = Duration::from_secs(5);
const DUMP_PAUSE: Duration = Duration::from_millis(100);

/// Where the thread that starts a node waits for a leader.
const WAITS_IN: &str = "EmbeddedDumpService.init";

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

    /// Notes that node `i` can wait for a leader, as far as that can be told, and says whether it hangs.
    pub(super) fn suspects(&mut self, i: usize, can_be_asked: bool) -> bool {
        let seen = self.suspect.entry(i).or_default();
        *seen += 1;
        *seen >= if can_be_asked { LOOKS } else { BLIND_LOOKS }
    }

    /// Node `i` listens, does something else or is started again.
    pub(super) fn clears(&mut self, i: usize) {
        self.suspect.remove(&i);
    }
}

/// Whether the start of a real node waits for a leader now, by the stacks it writes to its output when asked. What does not
/// answer does not wait: it is stopped or too busy.
pub(super) async fn awaits_leader(pid: u32, output: &Path) -> bool {
    let can_be_asked = procfs::age(pid).is_some_and(|age| age >= CAN_BE_ASKED);
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw).filter(|_| can_be_asked) else { return false };
    let output = LogMark::at_end_of(output.to_owned());
    if kill_process(pid, Signal::QUIT).is_err() {
        return false;
    }
    let asked = tokio::time::Instant::now();
    while asked.elapsed() < DUMP_LIMIT {
        tokio::time::sleep(DUMP_PAUSE).await;
        if let Some(waits) = output.written_since().as_deref().and_then(starter_waits) {
            return waits;
        }
    }
    false
}

/// Whether the thread that starts the node waits for a leader; `None` while the dump is not whole. The thread ends when the
/// start does.
fn starter_waits(dump: &str) -> Option<bool> {
    let (_, threads) = dump.split_once("Full thread dump")?;
    let (threads, _) = threads.split_once("JNI global ref")?;
    let starter = threads.split("\n\n").find(|it| it.trim_start().starts_with("\"main\""));
    Some(starter.is_some_and(|stack| stack.contains(WAITS_IN)))
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
    fn one_look_is_not_enough() {
        let mut watch = HangWatch::default();
        assert!(!watch.suspects(0, true), "a leader may be elected yet");
        assert!(!watch.suspects(1, true));
        assert!(watch.suspects(0, true));
        watch.clears(0);
        assert!(!watch.suspects(0, true), "its second start");
        let blind: Vec<bool> = (0..4).map(|_| watch.suspects(2, false)).collect();
        assert_eq!(blind, [false, false, false, true]);
    }

    #[test]
    fn who_waits_for_a_leader_is_told_by_its_stack() {
        assert_eq!(starter_waits(DUMP), Some(true));
        assert_eq!(starter_waits(&DUMP.replace(WAITS_IN, "EmbeddedDumpService.dumpOperate")), Some(false), "it reads");
        assert_eq!(starter_waits(&DUMP.replace("\"main\"", "\"other\"")), Some(false), "it has started");
        let (begun, _) = DUMP.split_once("JNI").expect("an end");
        assert_eq!(starter_waits(begun), None, "it writes yet");
        assert_eq!(starter_waits("Nacos is starting..."), None);
    }

    #[tokio::test]
    async fn who_is_young_is_not_asked() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        assert!(!awaits_leader(child.id(), Path::new("/dev/null")).await);
        assert!(child.try_wait().expect("its state").is_none(), "SIGQUIT would have ended it");
        let _ = child.kill();
        let _ = child.wait();
    }
}
