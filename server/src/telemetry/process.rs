//! Figures of the process, read from `/proc` when somebody asks.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use metrics::{counter, gauge};

/// Ticks per second in `/proc/self/stat`: fixed at 100 in the kernel's interface on every platform we run on.
const USER_HZ: f64 = 100.0;

static START: OnceLock<(Instant, SystemTime)> = OnceLock::new();

/// Time since the first call.
pub(super) fn uptime() -> Duration {
    START.get_or_init(|| (Instant::now(), SystemTime::now())).0.elapsed()
}

/// Sets the gauges; a figure that cannot be read is left out.
pub(super) fn publish() {
    gauge!("process_uptime_seconds").set(uptime());
    if let Some((_, at)) = START.get() {
        gauge!("process_start_time_seconds").set(at.duration_since(UNIX_EPOCH).unwrap_or_default());
    }
    if let Ok(cores) = std::thread::available_parallelism() {
        gauge!("system_cpu_count").set(cores.get() as f64);
    }
    if let Some(load) = read("/proc/loadavg").split(' ').next().and_then(|text| text.parse::<f64>().ok()) {
        gauge!("system_load_average_1m").set(load);
    }
    if let Some(bytes) = resident_bytes(&read("/proc/self/status")) {
        gauge!("process_resident_memory_bytes").set(bytes as f64);
    }
    if let Some(seconds) = cpu_seconds(&read("/proc/self/stat")) {
        // A counter of whole units: hundredths would be lost in seconds.
        counter!("process_cpu_milliseconds_total").absolute((seconds * 1000.0) as u64);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        gauge!("process_files_open_files").set(open.count() as f64);
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// `VmRSS` of `/proc/self/status`.
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// User and system time of `/proc/self/stat`; the fields are counted from the `)` that ends the program's name.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut ticks = rest.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    Some((ticks.next()?.ok()? + ticks.next()?.ok()?) as f64 / USER_HZ)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_proc() {
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t    8636 kB\n"), Some(8636 * 1024));
        let stat = "12 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!((resident_bytes(""), cpu_seconds("")), (None, None));
    }
}
