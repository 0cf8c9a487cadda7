//! What the kernel says about a process: start time, processor time, resident memory, environment.

use std::path::PathBuf;

/// Clock ticks per second of `/proc/PID/stat`; the kernel shows user space 100 on every architecture Linux runs on
/// today (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Name of the variable that marks every process of a run, so that none can be lost between its birth and its entry
/// in the guard's list.
pub(crate) const RUN_VARIABLE: &str = "TANDEM_RUN";

fn stat_fields(pid: u32) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the command in brackets and may itself hold spaces and brackets: read on from the last one.
    let rest = stat.rsplit_once(')')?.1;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

/// Field `number` of `/proc/PID/stat`, counted from one as in proc(5); only those after the command.
fn stat_field(pid: u32, number: usize) -> Option<u64> {
    stat_fields(pid)?.get(number.checked_sub(3)?)?.parse().ok()
}

/// Start time in ticks since boot: together with the pid it names one process for ever.
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    stat_field(pid, 22)
}

/// How long ago a process of this machine was started.
pub(crate) fn age(pid: u32) -> Option<std::time::Duration> {
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let uptime: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    let seconds = uptime - start_time(pid)? as f64 / TICKS_PER_SECOND;
    Some(std::time::Duration::from_secs_f64(seconds.max(0.0)))
}

/// Whether a process of this pid and start time exists and is not a zombie.
pub(crate) fn is_alive(pid: u32, started: u64) -> bool {
    let Some(fields) = stat_fields(pid) else { return false };
    let state = fields.first().map(String::as_str);
    let start: Option<u64> = fields.get(19).and_then(|field| field.parse().ok());
    start == Some(started) && !matches!(state, Some("Z" | "X"))
}

/// What a process does, in the kernel's letter: `T` for one that a signal has stopped.
pub(crate) fn state(pid: u32) -> Option<String> {
    stat_fields(pid)?.into_iter().next()
}

/// User and system time used so far, seconds.
pub(crate) fn cpu_seconds(pid: u32) -> Option<f64> {
    let ticks = stat_field(pid, 14)? + stat_field(pid, 15)?;
    Some(ticks as f64 / TICKS_PER_SECOND)
}

/// Resident memory (`VmRSS`), bytes.
pub(crate) fn rss_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// Every live process whose environment marks it as part of a run.
pub(crate) fn processes_of_run(run: &str) -> Vec<u32> {
    let mark = format!("{RUN_VARIABLE}={run}");
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| {
            let environ = std::fs::read(PathBuf::from(format!("/proc/{pid}/environ"))).unwrap_or_default();
            environ.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_this_very_process() {
        let pid = std::process::id();
        let started = start_time(pid).unwrap();
        assert!(is_alive(pid, started));
        assert!(!is_alive(pid, started + 1));
        assert!(age(pid).unwrap().as_secs() < 3600);
        assert!(rss_bytes(pid).unwrap() > 1024 * 1024);
        assert!(cpu_seconds(pid).unwrap() >= 0.0);
    }

    #[test]
    fn a_process_that_is_not_there_answers_nothing() {
        let gone = u32::MAX;
        assert_eq!((start_time(gone), rss_bytes(gone), cpu_seconds(gone)), (None, None, None));
    }
}
