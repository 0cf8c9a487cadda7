//! The clock that stamps what travels: beats, changes, reports.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, ms since the epoch.
pub fn now_ms() -> i64 {
    #[cfg(test)]
    if let Some(now) = crate::simulation::now_ms() {
        return now;
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
