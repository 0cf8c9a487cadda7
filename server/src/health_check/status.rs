//! How many answers in a row make a flip (compat/spec/health-and-push.md §4.1).

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It lives.
    Ok,
    /// It may be down: `checkTimes` of these in a row say so.
    Fail,
    /// It is down.
    FailNow,
}

/// The counters of one instance.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct HealthCheckStatus {
    ok: i32,
    fail: i32,
    /// The official `mockValid`: checks have seen it live since it was registered. Until then answers are counted
    /// even while the flag already says what they say.
    mock_valid: bool,
}

impl HealthCheckStatus {
    /// Counts a verdict on an instance whose flag is `healthy`; tells the flag to be set, if it is to be flipped.
    /// `acting` is false when this node may not judge (any more).
    pub(super) fn count(&mut self, verdict: Verdict, healthy: bool, check_times: i32, acting: bool) -> Option<bool> {
        let flip = match verdict {
            Verdict::Ok => self.ok(healthy, check_times, acting),
            Verdict::Fail => self.fail(healthy, check_times, acting),
            Verdict::FailNow => self.fail_now(healthy, acting),
        };
        match verdict {
            Verdict::Ok => self.fail = 0,
            Verdict::Fail | Verdict::FailNow => self.ok = 0,
        }
        flip
    }

    fn ok(&mut self, healthy: bool, check_times: i32, acting: bool) -> Option<bool> {
        if healthy && self.mock_valid {
            return None;
        }
        self.ok = self.ok.saturating_add(1);
        if self.ok < check_times {
            return None;
        }
        self.mock_valid = true;
        (acting && !healthy).then_some(true)
    }

    fn fail(&mut self, healthy: bool, check_times: i32, acting: bool) -> Option<bool> {
        if !healthy && !self.mock_valid {
            return None;
        }
        self.fail = self.fail.saturating_add(1);
        if self.fail < check_times || !acting {
            return None;
        }
        self.mock_valid = false;
        healthy.then_some(false)
    }

    fn fail_now(&mut self, healthy: bool, acting: bool) -> Option<bool> {
        self.mock_valid = false;
        (acting && healthy).then_some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Fail, FailNow, Ok};

    /// Runs verdicts and tells the flag after each.
    fn run(mut healthy: bool, verdicts: &[Verdict]) -> Vec<bool> {
        let mut status = HealthCheckStatus::default();
        verdicts
            .iter()
            .map(|&verdict| {
                healthy = status.count(verdict, healthy, 3, true).unwrap_or(healthy);
                healthy
            })
            .collect()
    }

    #[test]
    fn three_in_a_row_flip() {
        assert_eq!(run(true, &[Fail, Fail, Fail, Fail]), [true, true, false, false]);
        assert_eq!(run(false, &[Ok, Ok, Ok, Ok]), [false, false, true, true]);
    }

    #[test]
    fn another_answer_starts_the_count_again() {
        assert_eq!(run(true, &[Fail, Fail, Ok, Fail, Fail]), [true; 5]);
        assert_eq!(run(false, &[Ok, Ok, Fail, Ok, Ok, FailNow, Ok, Ok]), [false; 8]);
    }

    #[test]
    fn a_refusal_needs_one() {
        assert_eq!(run(true, &[Ok, Ok, Ok, FailNow, Ok, Ok, Ok]), [true, true, true, false, false, false, true]);
    }

    #[test]
    fn who_may_not_judge_flips_nothing() {
        let mut status = HealthCheckStatus::default();
        for verdict in [FailNow, Fail, Fail, Fail, Fail] {
            assert_eq!(status.count(verdict, true, 3, false), None);
        }
        assert_eq!(status.count(Fail, true, 3, true), Some(false));
        for _ in 0..4 {
            assert_eq!(status.count(Ok, false, 3, false), None);
        }
    }
}
