//! The machine of a run, how busy it was, and which commit the harness was built from.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::results::{Host, MachineLoad};

/// What this machine is; what cannot be read is `unknown` or zero.
pub fn describe() -> Host {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|it| it.strip_prefix("model name")?.split_once(':'));
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = meminfo.lines().find_map(|it| {
        let kib: u64 = it.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    });
    Host {
        cpu: model.map_or("unknown", |(_, name)| name.trim()).to_owned(),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        memory_bytes: memory.unwrap_or(0),
        kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")
            .map_or_else(|_| "unknown".to_owned(), |it| it.trim().to_owned()),
    }
}

/// Watches the whole machine from its creation on.
#[derive(Debug)]
pub struct LoadWatch {
    before: Option<Ticks>,
    load_average_before: f64,
}

impl LoadWatch {
    /// Begins to watch.
    pub fn begin() -> Self {
        Self { before: Ticks::read(), load_average_before: load_average() }
    }

    /// What the machine did since; the generator's part is left for the caller.
    pub fn so_far(&self) -> MachineLoad {
        let (busy, steal) = match (self.before, Ticks::read()) {
            (Some(before), Some(now)) => now.shares_since(before),
            _ => (0.0, 0.0),
        };
        MachineLoad {
            load_average_before: self.load_average_before,
            load_average_after: load_average(),
            cpu_busy_share: busy,
            cpu_steal_share: steal,
            generator_lag_p99_ms: None,
            generator_kept_up: true,
        }
    }
}

/// Processor time of all processors since boot, in clock ticks, from the first line of `/proc/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticks {
    total: u64,
    idle: u64,
    steal: u64,
}

impl Ticks {
    fn read() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/stat").ok()?)
    }

    /// Fields: user nice system idle iowait irq softirq steal guest guest_nice; the guests are already in user.
    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().find_map(|it| it.strip_prefix("cpu "))?;
        let fields: Vec<u64> = line.split_whitespace().take(8).map(|it| it.parse().ok()).collect::<Option<_>>()?;
        let [_, _, _, idle, iowait, _, _, steal] = fields.as_slice() else { return None };
        Some(Self { total: fields.iter().sum(), idle: idle + iowait, steal: *steal })
    }

    /// Busy and stolen share of the time since `before`, 0 to 1; stolen time is not busy time.
    fn shares_since(self, before: Self) -> (f64, f64) {
        let total = self.total.saturating_sub(before.total);
        if total == 0 {
            return (0.0, 0.0);
        }
        let (idle, steal) = (self.idle.saturating_sub(before.idle), self.steal.saturating_sub(before.steal));
        let busy = total.saturating_sub(idle).saturating_sub(steal);
        (busy as f64 / total as f64, steal as f64 / total as f64)
    }
}

fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|it| it.parse().ok()).unwrap_or(0.0)
}

/// Commit of the checkout this program was built from, with `-dirty` when tracked files differ from it; `unknown` for a
/// program that was installed elsewhere.
pub fn git_commit() -> String {
    // Cargo says where the checkout is, which need not be where it puts programs.
    let checkout = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let beside = std::env::current_exe().ok().and_then(|program| program.parent().map(Path::to_owned));
    [checkout, beside].into_iter().flatten().find_map(|it| commit_of(&it)).unwrap_or_else(|| "unknown".to_owned())
}

fn commit_of(directory: &Path) -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(directory).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "HEAD"])?;
    let changes = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changes.is_empty() { commit } else { format!("{commit}-dirty") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_come_from_the_difference_of_two_readings() {
        let before = Ticks::parse("cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 1 1\n").unwrap();
        let after = Ticks::parse("cpu  150 0 120 720 100 0 0 10 0 0\n").unwrap();
        assert_eq!(after.shares_since(before), (0.7, 0.1));
        assert_eq!(after.shares_since(after), (0.0, 0.0));
    }

    #[test]
    fn an_unreadable_line_is_no_reading() {
        assert_eq!(Ticks::parse("cpu  1 2 3\n"), None);
        assert_eq!(Ticks::parse("intr 1 2 3\n"), None);
    }

    #[test]
    fn this_machine_can_be_described() {
        let host = describe();
        assert!(host.cores > 0 && host.memory_bytes > 1 << 20 && host.kernel != "unknown");
        assert!(LoadWatch::begin().so_far().generator_kept_up);
    }
}
