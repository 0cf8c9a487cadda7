//! From when silence counts.
//!
//! A copy of a beat is as old as the last change of the list, so a node that becomes responsible cannot take it for the
//! last one. What it goes by instead: nothing is taken to be older than the takeover, unless the node responsible
//! before hands its list over with the beats it got itself; from then on its word counts as if it were ours.

/// After a takeover nothing is counted for this long, ms: lists that are handed over are on their way, and who beats is
/// heard.
pub const SETTLING_MS: i64 = 5_000;

/// From when the silence of a service's instances counts at this node.
#[derive(Debug, Clone, Copy, Default)]
pub struct Heard {
    /// When this node took over, or first heard of the service, ms since the epoch.
    taken_at: i64,
    /// Beats are taken to be no older, ms since the epoch.
    since: i64,
    /// What the node responsible before said of the same, and when it did.
    told: Option<(i64, i64)>,
}

impl Heard {
    /// This node is responsible from now on (ms since the epoch). The list may have been handed over a moment ago: rings
    /// do not move everywhere at once.
    pub fn taken_over(&mut self, now: i64) {
        let told = self.told.take().filter(|(_, at)| now - at <= SETTLING_MS);
        (self.taken_at, self.since) = (now, told.map_or(now, |(since, _)| since.min(now)));
    }

    /// The node responsible before has handed over its list, with the beats it got since then.
    pub fn told(&mut self, since: i64, now: i64) {
        self.told = Some((since, now));
        self.since = self.since.min(since);
    }

    /// Beats are taken to be no older than this; all ms since the epoch.
    pub fn since(&self, now: i64) -> i64 {
        if now - self.taken_at >= SETTLING_MS { self.since } else { self.taken_at }
    }

    /// The same of an instance that had been silent for so long (ms) when this node took over.
    pub fn since_if_silent(&self, silent: i64, now: i64) -> i64 {
        self.since(now).min(self.taken_at.saturating_sub(silent))
    }

    /// What to tell the next one that is responsible.
    pub fn to_tell(&self) -> i64 {
        self.since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_takeover_counts_from_itself() {
        let mut heard = Heard::default();
        heard.taken_over(100_000);
        assert_eq!((heard.since(100_001), heard.since(150_000), heard.to_tell()), (100_000, 100_000, 100_000));
        assert_eq!((heard.since_if_silent(15_000, 100_001), heard.since_if_silent(15_000, 150_000)), (85_000, 85_000));
    }

    #[test]
    fn what_was_handed_over_counts_as_if_heard_here_once_all_is_settled() {
        // Before and after this node has found out that it is responsible.
        for before in [true, false] {
            let mut heard = Heard::default();
            if before {
                heard.told(70_000, 99_000);
            }
            heard.taken_over(100_000);
            if !before {
                heard.told(70_000, 100_500);
            }
            assert_eq!(heard.since(104_999), 100_000);
            assert_eq!((heard.since(105_000), heard.to_tell()), (70_000, 70_000), "{before}");
        }
    }

    #[test]
    fn what_was_handed_over_long_ago_or_for_an_earlier_takeover_says_nothing() {
        let mut heard = Heard::default();
        heard.told(70_000, 90_000);
        heard.taken_over(100_000);
        assert_eq!(heard.since(120_000), 100_000);
        heard.told(70_000, 101_000);
        heard.taken_over(102_000);
        heard.taken_over(103_000);
        assert_eq!(heard.since(120_000), 103_000);
    }
}
