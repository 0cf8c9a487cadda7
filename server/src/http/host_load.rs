//! The load of the host, for `operator/metrics`.

use std::sync::LazyLock;

use parking_lot::Mutex;

/// Busy and total processor time at the last look, in ticks.
static LAST: LazyLock<Mutex<(u64, u64)>> = LazyLock::new(|| Mutex::new((0, 0)));

/// Share of processor time used since the last look, 0 to 1; 0 where the host does not tell.
pub(super) fn cpu() -> f64 {
    let Some((busy, total)) = ticks() else { return 0.0 };
    let mut last = LAST.lock();
    let (busy_before, total_before) = std::mem::replace(&mut *last, (busy, total));
    let span = total.saturating_sub(total_before);
    if span == 0 { 0.0 } else { busy.saturating_sub(busy_before) as f64 / span as f64 }
}

fn ticks() -> Option<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    let fields: Vec<u64> =
        text.lines().next()?.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    let total: u64 = fields.iter().sum();
    // The fourth and fifth fields are idle time and time waiting for disks.
    let idle: u64 = fields.iter().skip(3).take(2).sum();
    Some((total - idle, total))
}

/// Load average of the last minute.
pub(super) fn load() -> f64 {
    std::fs::read_to_string("/proc/loadavg")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or(0.0)
}

/// Share of memory in use, 0 to 1.
pub(super) fn memory() -> f64 {
    let Ok(text) = std::fs::read_to_string("/proc/meminfo") else { return 0.0 };
    let field = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse::<f64>().ok())
    };
    match (field("MemTotal:"), field("MemAvailable:")) {
        (Some(total), Some(available)) if total > 0.0 => 1.0 - available / total,
        _ => 0.0,
    }
}
