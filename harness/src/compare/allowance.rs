//! How long a step may take so that the whole run keeps its budget.
//!
//! The time that is left is shared evenly among the rounds that are left; within a round a step may take its limit, or,
//! when the limits of what is left in the round exceed the time, its share of it. What a fast target does not use goes
//! to the steps after it.

use std::time::Duration;

use tokio::time::Instant;

/// Kept back for clean-up, stopping the clusters and rendering.
const RESERVE: Duration = Duration::from_secs(8);

/// The time of one round.
#[derive(Debug, Clone, Copy)]
pub struct RoundTime {
    end: Instant,
    /// Limits of the steps that are left, the next one included.
    limits_left: Duration,
}

impl RoundTime {
    /// A round that begins at `now`, with `rounds_left` to come (this one included) until `run_end`.
    pub fn begin(now: Instant, run_end: Instant, rounds_left: usize, limits: Duration) -> Self {
        let left = run_end.saturating_duration_since(now).saturating_sub(RESERVE);
        Self { end: now + left / rounds_left.max(1) as u32, limits_left: limits }
    }

    /// When the next step, whose limit is `limit`, must end.
    pub fn next_deadline(&mut self, now: Instant, limit: Duration) -> Instant {
        let left = self.end.saturating_duration_since(now);
        let share = if self.limits_left > left && !self.limits_left.is_zero() {
            left.mul_f64(limit.as_secs_f64() / self.limits_left.as_secs_f64())
        } else {
            limit
        };
        self.limits_left = self.limits_left.saturating_sub(limit);
        now + share.min(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(value: u64) -> Duration {
        Duration::from_secs(value)
    }

    #[test]
    fn with_time_enough_a_step_has_its_limit() {
        let now = Instant::now();
        let mut round = RoundTime::begin(now, now + s(308), 3, s(100));
        assert_eq!(round.next_deadline(now, s(40)), now + s(40));
        assert_eq!(round.next_deadline(now + s(10), s(60)), now + s(70));
    }

    #[test]
    fn scarce_time_is_shared_by_limit_and_what_is_not_used_is_passed_on() {
        let now = Instant::now();
        let mut round = RoundTime::begin(now, now + s(158), 3, s(100));
        assert_eq!(round.next_deadline(now, s(40)), now + s(20), "half of everything");
        assert_eq!(round.next_deadline(now + s(2), s(30)), now + s(26), "48 s left for limits of 60 s");
        assert_eq!(round.next_deadline(now + s(3), s(30)), now + s(33), "its limit again");
    }

    #[test]
    fn without_time_a_step_ends_at_once() {
        let now = Instant::now();
        let mut round = RoundTime::begin(now, now, 1, s(10));
        assert_eq!(round.next_deadline(now, s(10)), now);
    }
}
