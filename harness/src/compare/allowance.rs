//! How long a step may take so that the whole run keeps its budget.
//!
//! The time that is left is shared evenly among the rounds that are left. Within a round, steps of a fixed size (load,
//! bursts) come first: their limits are set aside. What remains is shared among the steps that can be cut (experiments
//! that take one sample after the other) in proportion to their limits. What a fast target does not use goes to the
//! steps after it.

use std::ops::Add;
use std::time::Duration;

use tokio::time::Instant;

/// Kept back for clean-up, stopping the clusters and rendering.
const RESERVE: Duration = Duration::from_secs(8);

/// A step that can be cut keeps this part of its limit even when time has run out: enough for all samples of a target
/// that answers in milliseconds, and for some of any other.
const FLOOR: u32 = 8;

/// Limits of steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Of steps that can be cut.
    pub elastic: Duration,
    /// Of steps that cannot.
    pub fixed: Duration,
}

impl Limits {
    /// One step that can be cut.
    pub fn elastic(limit: Duration) -> Self {
        Self { elastic: limit, ..Self::default() }
    }

    /// One step that cannot.
    pub fn fixed(limit: Duration) -> Self {
        Self { fixed: limit, ..Self::default() }
    }
}

impl Add for Limits {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { elastic: self.elastic + other.elastic, fixed: self.fixed + other.fixed }
    }
}

/// The time of one round.
#[derive(Debug, Clone, Copy)]
pub struct RoundTime {
    end: Instant,
    /// Limits of the steps that are left, the next one included.
    left: Limits,
}

impl RoundTime {
    /// A round that begins at `now`, with `rounds_left` to come (this one included) until `run_end`.
    pub fn begin(now: Instant, run_end: Instant, rounds_left: usize, limits: Limits) -> Self {
        let left = run_end.saturating_duration_since(now).saturating_sub(RESERVE);
        Self { end: now + left / rounds_left.max(1) as u32, left: limits }
    }

    /// When the next step must end; `step` is its own limit.
    pub fn next_deadline(&mut self, now: Instant, step: Limits) -> Instant {
        let time = self.end.saturating_duration_since(now);
        let mut allowed = step.fixed.min(time);
        if !step.elastic.is_zero() {
            let elastic = time.saturating_sub(self.left.fixed);
            let share = step.elastic.as_secs_f64() / self.left.elastic.max(step.elastic).as_secs_f64();
            allowed = elastic.mul_f64(share).clamp(step.elastic / FLOOR, step.elastic);
        }
        self.left.elastic = self.left.elastic.saturating_sub(step.elastic);
        self.left.fixed = self.left.fixed.saturating_sub(step.fixed);
        now + allowed
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
        let limits = Limits { elastic: s(40), fixed: s(60) };
        let mut round = RoundTime::begin(now, now + s(308), 3, limits);
        assert_eq!(round.next_deadline(now, Limits::elastic(s(40))), now + s(40));
        assert_eq!(round.next_deadline(now + s(10), Limits::fixed(s(60))), now + s(70));
    }

    #[test]
    fn scarce_time_cuts_what_can_be_cut_and_what_is_not_used_is_passed_on() {
        let now = Instant::now();
        // 50 s for 30 s of load and 40 s + 40 s of samples.
        let limits = Limits { elastic: s(80), fixed: s(30) };
        let mut round = RoundTime::begin(now, now + s(158), 3, limits);
        assert_eq!(round.next_deadline(now, Limits::elastic(s(40))), now + s(10), "half of what load leaves");
        assert_eq!(round.next_deadline(now + s(2), Limits::fixed(s(30))), now + s(32), "its limit");
        assert_eq!(round.next_deadline(now + s(12), Limits::elastic(s(40))), now + s(50), "all that is left");
    }

    #[test]
    fn without_time_only_the_floor_is_left() {
        let now = Instant::now();
        let mut round = RoundTime::begin(now, now, 1, Limits::elastic(s(16)));
        assert_eq!(round.next_deadline(now, Limits::elastic(s(16))), now + s(2));
        assert_eq!(round.next_deadline(now, Limits::fixed(s(10))), now);
    }
}
