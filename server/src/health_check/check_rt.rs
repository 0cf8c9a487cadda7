//! The interval between two checks of a cluster: it follows the response times (compat/spec/health-and-push.md §4.1).

use std::time::Duration;

use crate::naming::switches::HealthParams;

/// The official node takes any bounds for MySQL from an operator, 0 included, and would then check without pause.
const INTERVAL_MIN_MS: i64 = 100;

/// The official `checkRtNormalized` of one cluster, ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CheckRt(i64);

impl CheckRt {
    /// Before the first check: 2 s and a random part, of the TCP bounds whatever the kind.
    pub(super) fn first(tcp: &HealthParams) -> Self {
        let longest = random_below(i64::from(tcp.max));
        CheckRt(2_000 + random_below(longest))
    }

    /// Time until the next check.
    pub(super) fn interval(self) -> Duration {
        Duration::from_millis(self.millis().unsigned_abs())
    }

    /// The same in ms.
    pub(super) fn millis(self) -> i64 {
        self.0.max(INTERVAL_MIN_MS)
    }

    /// Takes in the response time of one check, ms.
    pub(super) fn feed(&mut self, rt: i64, params: &HealthParams) {
        // In the 32 bits the official node calculates with.
        let next = params.factor * self.0 as f32 + (1.0 - params.factor) * rt as f32;
        self.0 = (next as i64).min(i64::from(params.max)).max(i64::from(params.min));
    }
}

fn random_below(bound: i64) -> i64 {
    if bound > 0 { rand::random_range(0..bound) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::naming::switches::SwitchDomain;

    #[test]
    fn the_first_interval_is_2_to_7_s() {
        let params = SwitchDomain::default().tcp_health_params;
        for _ in 0..1_000 {
            assert!((2_000..7_000).contains(&CheckRt::first(&params).millis()));
        }
        assert_eq!(CheckRt::first(&HealthParams { max: 0, ..params }).millis(), 2_000);
    }

    #[test]
    fn quick_answers_shorten_and_failures_lengthen_within_the_bounds() {
        let params = SwitchDomain::default().tcp_health_params;
        let mut rt = CheckRt(4_000);
        rt.feed(0, &params);
        assert_eq!(rt.millis(), 3_000);
        for _ in 0..20 {
            rt.feed(1, &params);
        }
        assert_eq!(rt.millis(), 1_000);
        rt.feed(5_000, &params);
        assert_eq!(rt.millis(), 2_000);
        for _ in 0..50 {
            rt.feed(rt.millis() * 2, &params);
        }
        assert_eq!(rt.millis(), 5_000);
    }

    #[test]
    fn bounds_that_make_no_sense_do_not_make_a_busy_loop() {
        let mut rt = CheckRt(2_000);
        rt.feed(0, &HealthParams { min: -5, max: 0, factor: 0.5 });
        assert_eq!(rt.interval(), Duration::from_millis(100));
    }
}
