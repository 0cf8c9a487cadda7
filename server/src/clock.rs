//! The clock that stamps what travels: beats, changes, reports.
//!
//! It is the machine's, and a jump of that does not reach it at once: stamps of beats are held against each other, so one
//! taken in the hour that a wrong clock was ahead would keep a dead instance for an hour, at every member. In between it
//! goes on by the clock that cannot be set. What passes within a minute was never there. A jump ahead that stays
//! is believed then, and nobody's silence is counted from before it; one back is not until the next start, for time that
//! goes back would be worse than time that is ahead.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often it is held against the machine's.
const LOOK: Duration = Duration::from_secs(1);
/// What differs by no more is followed: clocks are adjusted all the time.
const FOLLOWED_MS: i64 = 500;
/// How long a jump ahead must stay.
const BELIEVED_AFTER: Duration = Duration::from_secs(60);

/// When this process first asked, by both clocks.
static BEGIN: LazyLock<(Instant, i64)> = LazyLock::new(|| (Instant::now(), machine_ms()));
/// What was followed and believed since, ms.
static ADJUSTED: AtomicI64 = AtomicI64::new(0);
/// The last jump that was believed, ms since the epoch.
static JUMPED_AT: AtomicI64 = AtomicI64::new(0);

/// Now, ms since the epoch.
pub fn now_ms() -> i64 {
    #[cfg(test)]
    if let Some(now) = crate::simulation::now_ms() {
        return now;
    }
    let since = i64::try_from(BEGIN.0.elapsed().as_millis()).unwrap_or(i64::MAX);
    BEGIN.1.saturating_add(since).saturating_add(ADJUSTED.load(Ordering::Relaxed))
}

/// Silence counts from here on, ms since the epoch: what is older was stamped before the clock jumped. 0 when it never did.
pub fn jumped_at() -> i64 {
    JUMPED_AT.load(Ordering::Relaxed)
}

/// Holds this clock against the machine's, for ever.
pub async fn watch() {
    #[cfg(test)]
    if crate::simulation::now_ms().is_some() {
        return;
    }
    let mut jump = None;
    let mut look = tokio::time::interval(LOOK);
    loop {
        look.tick().await;
        let ahead_ms = machine_ms() - now_ms();
        let (step, next) = judge(ahead_ms, jump, Instant::now());
        ADJUSTED.fetch_add(step, Ordering::Relaxed);
        if step.abs() > FOLLOWED_MS {
            JUMPED_AT.store(now_ms(), Ordering::Relaxed);
            tracing::warn!(by_ms = step, "the machine's clock was set; followed, and silence counts from now on");
        } else if jump.is_none() && next.is_some() {
            tracing::warn!(by_ms = ahead_ms, "the machine's clock jumped; stamps go on as before");
        }
        jump = next;
    }
}

/// How far to follow a clock that is so much ahead, ms, and since when it has been off.
fn judge(ahead_ms: i64, off_since: Option<Instant>, now: Instant) -> (i64, Option<Instant>) {
    let off_since_or_now = off_since.unwrap_or(now);
    let is_believed = ahead_ms > 0 && now.duration_since(off_since_or_now) >= BELIEVED_AFTER;
    if ahead_ms.abs() <= FOLLOWED_MS || is_believed { (ahead_ms, None) } else { (0, Some(off_since_or_now)) }
}

fn machine_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adjustments_are_followed_and_jumps_only_when_they_stay() {
        const HOUR_MS: i64 = 3_600_000;
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(judge(3, None, begin), (3, None));
        assert_eq!(judge(-400, None, begin), (-400, None));
        // An hour ahead: remembered, forgotten when it is over, believed when it is not.
        assert_eq!(judge(HOUR_MS, None, begin), (0, Some(begin)));
        assert_eq!(judge(1, Some(begin), after(15)), (1, None));
        assert_eq!(judge(HOUR_MS, Some(begin), after(59)), (0, Some(begin)));
        assert_eq!(judge(HOUR_MS, Some(begin), after(60)), (HOUR_MS, None));
        // An hour behind: never.
        assert_eq!(judge(-HOUR_MS, Some(begin), after(3_600)), (0, Some(begin)));
    }
}
