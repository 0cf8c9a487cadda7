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
    /// It waits for a leader, and nothing will tell it of one.
    Wedged,
    /// It waits for a leader.
    Waits,
    /// It is not known what it does, but it does not listen.
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

    /// Notes what the start of node `i` does, and says whether it hangs.
    pub(super) fn suspects(&mut self, i: usize, start: Start) -> bool {
        let seen = self.suspect.entry(i).or_default();
        *seen += 1;
        match start {
            Start::Wedged => true,
            Start::Waits => *seen >= LOOKS,
            Start::Unknown => *seen >= BLIND_LOOKS,
        }
    }

    /// Node `i` listens, does something else or is started again.
    pub(super) fn clears(&mut self, i: usize) {
        self.suspect.remove(&i);
    }
}

/// Whether and how the start of a real node waits for a leader now, by the stacks it writes to its output when asked.
///
/// # Errors
/// When it does not answer, as one that is stopped or too busy: nothing is known of it then.
pub(super) async fn waits(pid: u32, output: &Path) -> Result<Option<Start>, NoAnswer> {
    let can_be_asked = procfs::age(pid).is_some_and(|age| age >= CAN_BE_ASKED);
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw).filter(|_| can_be_asked) else { return Ok(None) };
    let output = LogMark::at_end_of(output.to_owned());
    if kill_process(pid, Signal::QUIT).is_err() {
        return Ok(None);
    }
    let asked = tokio::time::Instant::now();
    while asked.elapsed() < DUMP_LIMIT {
        tokio::time::sleep(DUMP_PAUSE).await;
        if let Some(dump) = output.written_since()
            && let Some(threads) = threads(&dump)
        {
            return Ok(start(threads));
        }
    }
    Err(NoAnswer)
}

/// Asked for its stacks, a node wrote none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoAnswer;

/// The threads of a dump; `None` while it is not whole.
fn threads(dump: &str) -> Option<&str> {
    let (_, threads) = dump.split_once("Full thread dump")?;
    Some(threads.split_once("JNI global ref")?.0)
}

/// Whether and how the thread that starts the node waits for a leader. That thread ends when the start does.
fn start(threads: &str) -> Option<Start> {
    let starter = threads.split("\n\n").find(|it| it.trim_start().starts_with("\"main\""))?;
    let stopped = threads.split("\n\n").filter(|it| it.contains(TELLS_IN) && it.contains(STOPS_IN)).count();
    match (starter.contains(WAITS_IN), stopped >= TELLERS) {
        (true, true) => Some(Start::Wedged),
        (true, false) => Some(Start::Waits),
        (false, _) => None,
    }
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
        assert!(!watch.suspects(0, Start::Waits), "a leader may be elected yet");
        assert!(!watch.suspects(1, Start::Waits));
        assert!(watch.suspects(0, Start::Waits));
        watch.clears(0);
        assert!(!watch.suspects(0, Start::Waits), "its second start");
        assert!(watch.suspects(3, Start::Wedged));
        let blind: Vec<bool> = (0..4).map(|_| watch.suspects(2, Start::Unknown)).collect();
        assert_eq!(blind, [false, false, false, true]);
    }

    #[test]
    fn who_waits_for_a_leader_is_told_by_its_stack() {
        let start = |dump: &str| threads(dump).map(start);
        assert_eq!(start(DUMP), Some(Some(Start::Wedged)));
        assert_eq!(start(&DUMP.replacen(TELLS_IN, "Observable.addObserver", 1)), Some(Some(Start::Waits)), "one tells");
        assert_eq!(start(&DUMP.replacen(STOPS_IN, "ThreadUtils.sleep", 1)), Some(Some(Start::Waits)), "one goes on");
        assert_eq!(start(&DUMP.replace(WAITS_IN, "EmbeddedDumpService.dumpOperate")), Some(None), "it reads");
        assert_eq!(start(&DUMP.replace("\"main\"", "\"other\"")), Some(None), "it has started");
        let (begun, _) = DUMP.split_once("JNI").expect("an end");
        assert_eq!(start(begun), None, "it writes yet");
        assert_eq!(start("Nacos is starting..."), None);
    }

    #[tokio::test]
    async fn who_is_young_is_not_asked() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        assert_eq!(waits(child.id(), Path::new("/dev/null")).await, Ok(None));
        assert!(child.try_wait().expect("its state").is_none(), "SIGQUIT would have ended it");
        let _ = child.kill();
        let _ = child.wait();
    }
}
