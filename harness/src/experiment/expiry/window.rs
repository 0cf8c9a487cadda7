//! In which time official Nacos 1.4.1 does what is measured here, and whether what was seen lies in it.
//!
//! The windows are derived from how the official server works (`compat/spec/health-and-push.md` §2 to §5), not from a
//! measurement; what the real server showed in the same run on the same machine widens them, because a busy machine
//! delays both. An instance outside both is a failure, whatever the rest looks like.

use std::time::Duration;

use super::Row;
use super::track::Sighting;
use crate::results::Outcome;

/// A service is looked at every 5 s (§2).
const CHECK_PERIOD: Duration = Duration::from_secs(5);

/// Health reaches the other nodes with the status report, every 5 s (§3).
const REPORT_PERIOD: Duration = Duration::from_secs(5);

/// Removals reach the other nodes with Distro, in at most 3 s (§2.1, checklist EX-02).
const DISTRO: Duration = Duration::from_secs(3);

/// Official nodes push one second after the change (§5.2).
const PUSH_DELAY: Duration = Duration::from_secs(1);

/// A beat makes an instance healthy on the owner within this (§2.1, checklist EX-06).
const REVIVAL: Duration = Duration::from_millis(200);

/// Shortest and longest pause between two TCP checks of an instance (§4.1).
const TCP_MIN: Duration = Duration::from_millis(1000);
const TCP_MAX: Duration = Duration::from_millis(5000);

/// A refused connect fails at once; the answer to the poll and the poller's own 250 ms come on top of the pause (§4.2).
const TCP_CONNECT: Duration = Duration::from_millis(500);

/// Three successes in a row make an instance healthy: the first comes after a pause that failures have stretched to at
/// most 5 s, and each success shortens the pause to three quarters (§4.1, §4.5).
const TCP_RECOVERY_MS: u64 = 5000 + 3750 + 2813;

/// What a run of a check and the request a node sends itself to remove an instance may take (checklist EX-01).
const SLACK: Duration = Duration::from_millis(500);

/// Clocks of server and harness tick in milliseconds of their own.
const TOLERANCE_MS: f64 = 10.0;

/// A change that cannot be placed more exactly than this says nothing about a bound it may lie across.
const BLUR_MS_MAX: f64 = 1000.0;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moment {
    /// Beats stopped: seen unhealthy.
    Unhealthy,
    /// Beats stopped: seen no more.
    Gone,
    /// A beat came again: seen healthy.
    HealthyAgain,
    /// The port of a checked instance closed: seen unhealthy.
    PortClosed,
    /// It opened again: seen healthy.
    PortOpened,
}

impl Moment {
    /// Words for the record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unhealthy => "last beat → unhealthy",
            Self::Gone => "last beat → gone",
            Self::HealthyAgain => "beat again → healthy",
            Self::PortClosed => "port closed → unhealthy",
            Self::PortOpened => "port opened → healthy",
        }
    }
}

/// Where it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Seat {
    /// At the node that is responsible for the service.
    Owner,
    /// At any other.
    Other,
}

impl Seat {
    /// Words for the record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Owner => "the owner",
            Self::Other => "another node",
        }
    }
}

/// How it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Via {
    /// By reading.
    Read,
    /// In a UDP push.
    Push,
}

impl Via {
    /// Words for the record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Push => "push",
        }
    }
}

/// Times from the origin in which something is as official nodes do it, ms; later than the first, not later than the
/// second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Not as early as this.
    pub above_ms: f64,
    /// At the latest.
    pub at_most_ms: f64,
}

/// The official window; `timeouts` are the time to unhealthy and the time to removal.
pub fn official(moment: Moment, seat: Seat, via: Via, timeouts: (Duration, Duration)) -> Window {
    let (above, at_most) = match moment {
        Moment::Unhealthy => (timeouts.0, timeouts.0 + CHECK_PERIOD),
        Moment::Gone => (timeouts.1, timeouts.1 + CHECK_PERIOD),
        Moment::HealthyAgain => (Duration::ZERO, REVIVAL),
        Moment::PortClosed => (Duration::ZERO, TCP_MIN + TCP_CONNECT),
        Moment::PortOpened => (TCP_MIN * 2, Duration::from_millis(TCP_RECOVERY_MS)),
    };
    debug_assert!(TCP_MAX.as_millis() < u128::from(TCP_RECOVERY_MS));
    let travel = match (seat, moment) {
        (Seat::Owner, _) => Duration::ZERO,
        (Seat::Other, Moment::Gone) => DISTRO,
        (Seat::Other, _) => REPORT_PERIOD,
    };
    let push = if via == Via::Push { PUSH_DELAY } else { Duration::ZERO };
    let ms = |it: Duration| it.as_secs_f64() * 1000.0;
    Window { above_ms: ms(above), at_most_ms: ms(at_most + travel + push + SLACK) }
}

/// The verdict on one kind of change at one target.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Pass: all inside. Fail: one outside, or not seen at all. Error: nothing can be said.
    pub outcome: Outcome,
    /// Certainly outside.
    pub outside: u64,
    /// Why not a pass, in words.
    pub reasons: Vec<String>,
}

/// Judges what was seen, beside what the real server showed in the same run; a row of the real server itself is judged
/// beside nothing.
pub fn judge(window: Window, row: &Row, real: &Row) -> Judged {
    let sightings = &row.sightings;
    let bound =
        |bound: f64, choose: fn(f64, f64) -> f64| real.sightings.iter().map(|it| it.value_ms).fold(bound, choose);
    let (above, at_most) = (bound(window.above_ms, f64::min), bound(window.at_most_ms, f64::max));
    let is_early = |it: &Sighting| it.most_ms + TOLERANCE_MS <= above;
    let is_late = |it: &Sighting| it.least_ms > at_most + TOLERANCE_MS;
    let outside: Vec<&Sighting> = sightings.iter().filter(|it| is_early(it) || is_late(it)).collect();
    let is_blurred = |it: &&Sighting| {
        it.value_ms - it.least_ms > BLUR_MS_MAX && it.value_ms > at_most && !is_early(it) && !is_late(it)
    };
    let blurred = sightings.iter().filter(is_blurred).count();
    let mut reasons = Vec::new();
    let worst =
        outside.iter().map(|it| it.value_ms).max_by(|a, b| distance(*a, window).total_cmp(&distance(*b, window)));
    if let Some(worst) = worst {
        let (above, at_most) = (above / 1000.0, at_most / 1000.0);
        reasons.push(format!(
            "{} of {} outside ({above:.2} s, {at_most:.2} s], the furthest at {:.2} s",
            outside.len(),
            sightings.len(),
            worst / 1000.0
        ));
    }
    let mut excused = Vec::new();
    for (count, real, what) in [
        (row.missing, real.missing, "never seen"),
        (row.flickers, real.flickers, "gone and back before they went for good"),
    ] {
        // What happens to the real server too may be the machine's doing: no failure, and no pass either.
        match (count, real) {
            (0, _) => {}
            (_, 0) => reasons.push(format!("{count} {what}")),
            _ => excused.push(format!("{count} {what}, and {real} at the real server")),
        }
    }
    let failed = !reasons.is_empty();
    reasons.extend(excused);
    if blurred > 0 {
        reasons.push(format!("{blurred} cannot be placed: the harness did not get to look for over a second"));
    }
    if sightings.is_empty() && row.missing == 0 {
        reasons.push("nothing was seen and nothing was due".to_owned());
    }
    let outcome = match (failed, reasons.is_empty()) {
        (true, _) => Outcome::Fail,
        (false, true) => Outcome::Pass,
        (false, false) => Outcome::Error,
    };
    Judged { outcome, outside: outside.len() as u64, reasons }
}

/// How far a value lies from a window.
fn distance(value: f64, window: Window) -> f64 {
    (window.above_ms - value).max(value - window.at_most_ms)
}

/// Largest difference between the two cumulative distributions (Kolmogorov and Smirnov), 0 to 1; nothing without
/// values on both sides.
pub fn difference(one: &[f64], other: &[f64]) -> Option<f64> {
    if one.is_empty() || other.is_empty() {
        return None;
    }
    let share = |values: &[f64], at: f64| values.iter().filter(|it| **it <= at).count() as f64 / values.len() as f64;
    let at = one.iter().chain(other).copied();
    at.map(|at| (share(one, at) - share(other, at)).abs()).max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(30));

    fn at(ms: f64) -> Sighting {
        Sighting { value_ms: ms, least_ms: ms - 50.0, most_ms: ms + 20.0 }
    }

    fn unhealthy() -> Window {
        official(Moment::Unhealthy, Seat::Owner, Via::Read, DEFAULTS)
    }

    /// The verdict on changes to unhealthy at the owner, beside real ones.
    fn judged(sightings: &[Sighting], missing: u64, real: &[f64]) -> Judged {
        let row = Row { sightings: sightings.to_vec(), missing, flickers: 0 };
        let real = Row { sightings: real.iter().map(|it| at(*it)).collect(), ..Row::default() };
        judge(unhealthy(), &row, &real)
    }

    #[test]
    fn the_windows_are_those_of_the_checklist() {
        let of = |moment, seat, via| {
            let window = official(moment, seat, via, DEFAULTS);
            (window.above_ms, window.at_most_ms)
        };
        assert_eq!(of(Moment::Unhealthy, Seat::Owner, Via::Read), (15_000.0, 20_500.0));
        assert_eq!(of(Moment::Gone, Seat::Owner, Via::Read), (30_000.0, 35_500.0));
        assert_eq!(of(Moment::Unhealthy, Seat::Other, Via::Read), (15_000.0, 25_500.0));
        assert_eq!(of(Moment::Gone, Seat::Other, Via::Push), (30_000.0, 39_500.0));
        assert_eq!(of(Moment::PortClosed, Seat::Owner, Via::Read), (0.0, 2_000.0));
        assert_eq!(of(Moment::PortOpened, Seat::Other, Via::Read), (2_000.0, 17_063.0));
    }

    #[test]
    fn one_instance_outside_fails_all_of_them() {
        let inside: Vec<Sighting> = (0..50).map(|it| at(15_100.0 + f64::from(it) * 100.0)).collect();
        assert_eq!(judged(&inside, 0, &[]).outcome, Outcome::Pass);
        for planted in [14_900.0, 20_700.0] {
            let mut values = inside.clone();
            values.push(at(planted));
            let found = judged(&values, 0, &[]);
            assert_eq!((found.outcome, found.outside), (Outcome::Fail, 1), "{planted}");
            assert!(found.reasons[0].contains("1 of 51 outside"), "{:?}", found.reasons);
        }
        assert_eq!(judged(&inside, 1, &[]).outcome, Outcome::Fail, "one that never came");
    }

    #[test]
    fn what_the_real_server_showed_widens_the_window_and_nothing_more() {
        let values = [at(20_900.0)];
        assert_eq!(judged(&values, 0, &[]).outcome, Outcome::Fail);
        assert_eq!(judged(&values, 0, &[15_200.0, 21_000.0]).outcome, Outcome::Pass);
        assert_eq!(judged(&values, 0, &[15_200.0, 20_600.0]).outcome, Outcome::Fail);
        assert_eq!(judged(&[at(15_100.0)], 0, &[16_000.0, 17_000.0]).outcome, Outcome::Pass);
    }

    #[test]
    fn what_cannot_be_placed_is_unknown_and_nothing_is_not_a_pass() {
        let blurred = Sighting { value_ms: 22_000.0, least_ms: 19_000.0, most_ms: 22_010.0 };
        assert_eq!(judged(&[at(16_000.0), blurred], 0, &[]).outcome, Outcome::Error);
        assert_eq!(judged(&[], 0, &[]).outcome, Outcome::Error);
        let early = Sighting { value_ms: 14_000.0, least_ms: 10_000.0, most_ms: 14_100.0 };
        assert_eq!(judged(&[early], 0, &[]).outcome, Outcome::Fail, "early is early, however blurred");
    }

    #[test]
    fn what_the_real_server_loses_too_is_neither_a_failure_nor_a_pass() {
        let row = |missing, flickers| Row { sightings: vec![at(16_000.0)], missing, flickers };
        assert_eq!(judge(unhealthy(), &row(1, 0), &row(0, 5)).outcome, Outcome::Fail);
        assert_eq!(judge(unhealthy(), &row(0, 1), &Row::default()).outcome, Outcome::Fail);
        assert_eq!(judge(unhealthy(), &row(1, 1), &row(2, 1)).outcome, Outcome::Error);
        assert_eq!(judge(unhealthy(), &row(0, 0), &row(2, 1)).outcome, Outcome::Pass);
    }

    #[test]
    fn distributions_are_told_apart() {
        assert_eq!(difference(&[1.0, 2.0], &[1.0, 2.0]), Some(0.0));
        assert_eq!(difference(&[1.0, 2.0], &[5.0, 6.0]), Some(1.0));
        assert_eq!(difference(&[], &[1.0]), None);
    }
}
