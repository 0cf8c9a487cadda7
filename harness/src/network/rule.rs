//! What one direction of a link does with packets: decisions from a packet's size, the time and a seeded source of
//! chance. No socket and no clock in here.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// What a link holds back while it is slower than what is sent, as the queue of a router's port would.
const QUEUE_BYTES_MAX: u64 = 512 * 1024;

/// How much longer a packet waits that is to arrive out of order. On a link without delay a whole burst overtakes it.
const REORDER_WAIT: Duration = Duration::from_millis(10);

/// What happens to packets in one direction between two endpoints. The default forwards each at once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rule {
    /// Every packet vanishes silently: nothing is refused, senders wait.
    pub cut: bool,
    /// Share of packets that vanish, 0 to 1, each by its own chance.
    pub loss: f64,
    /// Time on the way.
    pub delay: Duration,
    /// The time on the way is evenly distributed over `delay ± jitter`, never below nought. The order stays.
    pub jitter: Duration,
    /// Share of packets, 0 to 1, that arrive 10 ms later than they should, so that those behind overtake them.
    pub reorder: f64,
    /// What the link carries. What comes faster waits, up to 512 KiB; then it vanishes.
    pub bytes_per_second: Option<u64>,
}

impl Rule {
    /// A direction in which nothing arrives.
    pub fn cut() -> Self {
        Self { cut: true, ..Self::default() }
    }

    /// Whether packets pass as if there were no rule.
    pub fn is_clear(&self) -> bool {
        *self == Self::default()
    }
}

/// What became of the packets of one direction, in packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Arrived, delayed ones included.
    pub forwarded: u64,
    /// Vanished because the link was cut.
    pub cut: u64,
    /// Vanished by chance.
    pub lost: u64,
    /// Vanished because the queue of a slow link was full.
    pub overflowed: u64,
    /// Held back: by delay, jitter or a slow link.
    pub delayed: u64,
    /// Made to arrive out of order.
    pub reordered: u64,
    /// Could not be handed to the receiving side's device: a fault of the machine, not of a rule.
    pub failed: u64,
}

impl Counts {
    /// Packets that a rule touched in any way.
    pub fn disturbed(&self) -> u64 {
        self.cut + self.lost + self.overflowed + self.delayed + self.reordered
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            forwarded: self.forwarded + other.forwarded,
            cut: self.cut + other.cut,
            lost: self.lost + other.lost,
            overflowed: self.overflowed + other.overflowed,
            delayed: self.delayed + other.delayed,
            reordered: self.reordered + other.reordered,
            failed: self.failed + other.failed,
        }
    }

    /// What was added since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            forwarded: self.forwarded.saturating_sub(earlier.forwarded),
            cut: self.cut.saturating_sub(earlier.cut),
            lost: self.lost.saturating_sub(earlier.lost),
            overflowed: self.overflowed.saturating_sub(earlier.overflowed),
            delayed: self.delayed.saturating_sub(earlier.delayed),
            reordered: self.reordered.saturating_sub(earlier.reordered),
            failed: self.failed.saturating_sub(earlier.failed),
        }
    }
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It arrives at once.
    Now,
    /// It arrives then.
    At(Duration),
    /// It never arrives.
    Gone,
}

/// One direction between two endpoints. Times are since the switch was made.
#[derive(Debug)]
pub(super) struct Link {
    rule: Rule,
    random: StdRng,
    /// When a slow link has sent everything it holds.
    line_free: Duration,
    /// When the last packet arrives that keeps its place in the order.
    last_due: Duration,
    pub(super) counts: Counts,
}

impl Link {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rule: Rule::default(),
            random: StdRng::seed_from_u64(seed),
            line_free: Duration::ZERO,
            last_due: Duration::ZERO,
            counts: Counts::default(),
        }
    }

    pub(super) fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Another rule from now on. What waits keeps its order and waits no longer than the new rule has it wait
    /// ([`Self::due_at_latest`]).
    pub(super) fn set(&mut self, now: Duration, rule: Rule) {
        self.rule = rule;
        self.line_free = now;
        self.last_due = self.last_due.min(self.due_at_latest(now));
    }

    /// When a packet that is on its way as the rule changes arrives at the latest.
    pub(super) fn due_at_latest(&self, now: Duration) -> Duration {
        now + self.rule.delay + self.rule.jitter
    }

    /// Decides on a packet that is sent now.
    pub(super) fn send(&mut self, now: Duration, bytes: usize) -> Fate {
        if self.rule.cut {
            self.counts.cut += 1;
            return Fate::Gone;
        }
        if self.by_chance(self.rule.loss) {
            self.counts.lost += 1;
            return Fate::Gone;
        }
        let Some(sent) = self.through_the_line(now, bytes) else {
            self.counts.overflowed += 1;
            return Fate::Gone;
        };
        let mut due = sent + self.time_on_the_way();
        if self.by_chance(self.rule.reorder) {
            self.counts.reordered += 1;
            due += REORDER_WAIT;
        } else {
            due = due.max(self.last_due);
            self.last_due = due;
        }
        if due > now {
            self.counts.delayed += 1;
            Fate::At(due)
        } else {
            self.counts.forwarded += 1;
            Fate::Now
        }
    }

    /// Whether a packet that waited and is due now arrives: not through a link that was cut meanwhile.
    pub(super) fn arrive(&mut self) -> bool {
        if self.rule.cut {
            self.counts.cut += 1;
        } else {
            self.counts.forwarded += 1;
        }
        !self.rule.cut
    }

    fn by_chance(&mut self, share: f64) -> bool {
        share > 0.0 && self.random.random::<f64>() < share
    }

    /// When the last byte has left the sender; nothing when the queue has no room for the packet.
    fn through_the_line(&mut self, now: Duration, bytes: usize) -> Option<Duration> {
        let Some(rate) = self.rule.bytes_per_second else { return Some(now) };
        let rate = rate.max(1) as f64;
        let queued = self.line_free.saturating_sub(now).as_secs_f64() * rate;
        if queued + bytes as f64 > QUEUE_BYTES_MAX as f64 {
            return None;
        }
        self.line_free = self.line_free.max(now) + Duration::from_secs_f64(bytes as f64 / rate);
        Some(self.line_free)
    }

    fn time_on_the_way(&mut self) -> Duration {
        let Rule { delay, jitter, .. } = self.rule;
        if jitter.is_zero() {
            return delay;
        }
        (delay + 2 * jitter.mul_f64(self.random.random::<f64>())).saturating_sub(jitter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn link(rule: Rule) -> Link {
        let mut link = Link::new(7);
        link.set(Duration::ZERO, rule);
        link
    }

    /// Fates of `count` packets of 1000 bytes, one each millisecond.
    fn fates(rule: Rule, count: u32) -> (Vec<Fate>, Counts) {
        let mut link = link(rule);
        let fates = (0..count).map(|i| link.send(i * MS, 1000)).collect();
        (fates, link.counts)
    }

    #[test]
    fn without_a_rule_everything_arrives_at_once() {
        let (fates, counts) = fates(Rule::default(), 100);
        assert!(fates.iter().all(|fate| *fate == Fate::Now));
        assert_eq!(counts, Counts { forwarded: 100, ..Counts::default() });
        assert_eq!(counts.disturbed(), 0);
    }

    #[test]
    fn a_cut_link_swallows_everything_also_what_was_on_its_way() {
        let (all, counts) = fates(Rule::cut(), 100);
        assert!(all.iter().all(|fate| *fate == Fate::Gone));
        assert_eq!(counts.cut, 100);

        let mut slow = link(Rule { delay: 5 * MS, ..Rule::default() });
        assert_eq!(slow.send(MS, 100), Fate::At(6 * MS));
        slow.set(2 * MS, Rule::cut());
        assert!(!slow.arrive());
        assert_eq!((slow.counts.cut, slow.counts.forwarded), (1, 0));
    }

    #[test]
    fn loss_takes_its_share_and_the_same_packets_for_the_same_seed() {
        let rule = Rule { loss: 0.2, ..Rule::default() };
        let (first, counts) = fates(rule.clone(), 10_000);
        assert!((1_800..2_200).contains(&counts.lost), "{counts:?}");
        assert_eq!(counts.lost + counts.forwarded, 10_000);
        assert_eq!(first, fates(rule, 10_000).0);
    }

    #[test]
    fn delay_with_jitter_stays_in_its_range_and_keeps_the_order() {
        let (fates, counts) = fates(Rule { delay: 20 * MS, jitter: 8 * MS, ..Rule::default() }, 5_000);
        let mut last = Duration::ZERO;
        let mut ways = Vec::new();
        for (i, fate) in (0_u32..).zip(fates) {
            let Fate::At(due) = fate else { panic!("{fate:?}") };
            assert!(due >= last, "packet {i} overtakes");
            last = due;
            ways.push(due - i * MS);
        }
        assert!(ways.iter().all(|way| (12 * MS..=28 * MS).contains(way)));
        // Even the order kept, both ends of the range are seen.
        assert!(ways.iter().any(|way| *way > 27 * MS) && ways.iter().any(|way| *way < 20 * MS));
        assert_eq!(counts.delayed, 5_000);
    }

    #[test]
    fn a_reordered_packet_is_overtaken() {
        let (fates, counts) = fates(Rule { reorder: 0.1, ..Rule::default() }, 1_000);
        let late = fates.iter().filter(|fate| matches!(fate, Fate::At(_))).count() as u64;
        assert_eq!((late, counts.reordered), (counts.reordered, late));
        assert!((60..140).contains(&late), "{late}");
        for (i, fate) in (0_u32..).zip(fates) {
            assert!(matches!(fate, Fate::Now) || fate == Fate::At(i * MS + REORDER_WAIT));
        }
    }

    #[test]
    fn a_slow_link_queues_then_overflows() {
        // 1000 bytes take 10 ms, and one comes each millisecond.
        let rate = 100_000;
        let (fates, counts) = fates(Rule { bytes_per_second: Some(rate), ..Rule::default() }, 2_000);
        assert_eq!(fates[0], Fate::At(10 * MS));
        assert_eq!(fates[1], Fate::At(20 * MS));
        assert!(counts.overflowed > 0 && counts.delayed > 0, "{counts:?}");
        let sent_bytes = counts.delayed * 1000;
        assert!(
            sent_bytes <= QUEUE_BYTES_MAX + 2 * rate,
            "more than the queue and two seconds of the line: {sent_bytes}"
        );
    }

    #[test]
    fn a_healed_link_lets_go_of_what_it_held_in_order() {
        let mut link = link(Rule { delay: Duration::from_secs(9), ..Rule::default() });
        assert!(matches!(link.send(MS, 10), Fate::At(_)));
        link.set(2 * MS, Rule::default());
        assert_eq!(link.due_at_latest(2 * MS), 2 * MS);
        assert_eq!(link.send(3 * MS, 10), Fate::Now);
    }
}
