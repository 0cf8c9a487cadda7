//! What the attempts around a change of leader say: a pure function of what was written down.

use std::time::Duration;

use super::super::FSYNC_NOTE;
use super::{By, NAME};
use crate::experiment::Observation;
use crate::results::{Fault, Outcome, TimelineEvent, TimelineSample};
use crate::stats::Round;

/// Within this an official group has elected a leader after a kill and serves writes; so must a mixed one.
const KILL_LIMIT: Duration = Duration::from_secs(8);

/// The same for nodes of ours alone.
const KILL_LIMIT_TANDEM: Duration = Duration::from_millis(1500);

/// Length of an interval of the picture.
const INTERVAL: Duration = Duration::from_millis(250);

/// One write.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Attempt {
    /// The node it was sent to.
    pub node: usize,
    /// When, on the axis of the attempts.
    pub sent: Duration,
    /// When the node said yes.
    pub acknowledged: Option<Duration>,
    /// When the last of the nodes that are up showed it.
    pub shown: Option<Duration>,
    /// Why the node did not say yes.
    pub error: Option<String>,
}

impl Attempt {
    /// A write that is not answered yet.
    pub fn sent(node: usize, sent: Duration) -> Self {
        Self { node, sent, ..Self::default() }
    }

    /// Whether it was acknowledged and is there.
    pub fn counts(&self) -> bool {
        self.shown.is_some()
    }

    /// Whether it was acknowledged and is not there.
    pub fn is_lost(&self) -> bool {
        self.acknowledged.is_some() && self.shown.is_none()
    }
}

/// One change of leader.
#[derive(Debug, Clone)]
pub struct Seen {
    /// How it came about.
    pub by: By,
    /// When, on the axis of the attempts.
    pub changed: Duration,
    /// Kind of every node.
    pub kinds: Vec<String>,
    /// Who led.
    pub leader: usize,
    /// Who led next, its kind, and how long after the change that was known.
    pub followed_by: Option<(usize, String, Duration)>,
    /// Nodes that were written to.
    pub through: Vec<usize>,
    /// All writes.
    pub attempts: Vec<Attempt>,
}

impl Seen {
    fn of(&self, node: usize) -> impl Iterator<Item = &Attempt> {
        self.attempts.iter().filter(move |it| it.node == node)
    }

    /// From the change until the first write sent after it through `node` was acknowledged and shown everywhere.
    pub fn restored(&self, node: usize) -> Option<Duration> {
        let after = self.of(node).filter(|it| it.sent >= self.changed);
        after.filter_map(|it| it.shown).min().map(|it| it - self.changed)
    }

    /// The longest time in which no write through `node` came to be acknowledged and shown everywhere; one is due every
    /// 50 ms. Nothing when none did after the change.
    pub fn pause(&self, node: usize) -> Option<Duration> {
        let mut shown: Vec<Duration> = self.of(node).filter_map(|it| it.shown).collect();
        shown.sort_unstable();
        shown.last().filter(|it| **it > self.changed)?;
        // A pause that was over before the change is not about it.
        let pauses = shown.windows(2).filter_map(|it| match it {
            [from, to] if *to > self.changed => Some(*to - *from),
            _ => None,
        });
        pauses.max()
    }

    /// Writes through `node` that were acknowledged after the change began and are nowhere to be seen.
    pub fn lost(&self, node: usize) -> u64 {
        self.of(node).filter(|it| it.is_lost()).count() as u64
    }

    fn is_tandem_alone(&self) -> bool {
        self.kinds.iter().all(|it| it == "tandem")
    }

    fn by(&self) -> &'static str {
        match self.by {
            By::Transfer => "transfer",
            By::Kill => "SIGKILL",
        }
    }
}

/// The rows of one change.
pub fn observations(seen: &Seen) -> Vec<Observation> {
    let ms = |it: Option<Duration>| Round::of(it.map(|it| it.as_secs_f64() * 1000.0));
    let mut rows = Vec::new();
    for node in &seen.through {
        let through = if *node == seen.leader { "the old leader" } else { "another node" };
        let row = |values, of: &str| {
            let row = Observation::new(NAME, "ms", values).with("by", seen.by());
            row.with("through", through).with("of", of)
        };
        let mut restored = row(ms(seen.restored(*node)), "the first write that counts");
        restored.errors = seen.lost(*node);
        restored.notes.push(FSYNC_NOTE.to_owned());
        if restored.errors > 0 {
            restored.notes.push("errors are writes that were acknowledged and lost".to_owned());
        }
        rows.extend([restored, row(ms(seen.pause(*node)), "the longest pause")]);
    }
    rows
}

/// The verdict on one change.
pub fn fault(target: &str, number: usize, seen: &Seen) -> Fault {
    let kind = |node: usize| seen.kinds.get(node).map_or("", String::as_str);
    let mut violations = Vec::new();
    let before: Vec<&Attempt> = seen.attempts.iter().filter(|it| it.sent + INTERVAL < seen.changed).collect();
    let sound = !before.is_empty() && before.iter().all(|it| it.counts());
    for node in &seen.through {
        let address = format!("node {node} ({})", kind(*node));
        match (seen.pause(*node), seen.by) {
            (None, _) => violations.push(format!("no write through {address} counted after the change")),
            (Some(pause), By::Kill) if pause > limit(seen) => {
                let (pause, limit) = (pause.as_millis(), limit(seen).as_millis());
                violations.push(format!("no write through {address} counted for {pause} ms; {limit} are allowed"));
            }
            _ => {}
        }
        let lost = seen.lost(*node);
        if lost > 0 {
            violations.push(format!("{lost} writes through {address} were acknowledged and lost"));
        }
    }
    let outcome = match (violations.is_empty(), sound && seen.followed_by.is_some()) {
        (false, _) => Outcome::Fail,
        (true, true) => Outcome::Pass,
        (true, false) => Outcome::Error,
    };
    if !sound {
        violations.push("not every write before the change counted, so the figures say little".to_owned());
    }
    if seen.followed_by.is_none() {
        violations.push("no other leader was seen".to_owned());
    }
    let worst = seen.through.iter().map(|it| seen.pause(*it)).collect::<Option<Vec<_>>>();
    let next = seen.followed_by.as_ref().map_or("nobody", |(_, kind, _)| kind);
    Fault {
        target: target.to_owned(),
        scenario: format!("{NAME} by {} {number}: {} to {next}", seen.by(), kind(seen.leader)),
        outcome,
        recovery_ms: worst.and_then(|it| it.into_iter().max()).map(|it| it.as_secs_f64() * 1000.0),
        unrecovered_ms: None,
        lost_acked: seen.through.iter().map(|it| seen.lost(*it)).sum(),
        resurrected: 0,
        violations,
        timeline: timeline(seen, next),
        samples: samples(seen),
        checks: Vec::new(),
        figures: Vec::new(),
        issues: Vec::new(),
        history: String::new(),
    }
}

fn limit(seen: &Seen) -> Duration {
    if seen.is_tandem_alone() { KILL_LIMIT_TANDEM } else { KILL_LIMIT }
}

fn timeline(seen: &Seen, next: &str) -> Vec<TimelineEvent> {
    let event = |at: Duration, event: String| TimelineEvent { at_ms: at.as_secs_f64() * 1000.0, event, until_ms: None };
    let what = match seen.by {
        By::Transfer => "the leader is told to hand over",
        By::Kill => "the leader is killed",
    };
    let mut all = vec![event(seen.changed, what.to_owned())];
    if let Some((node, _, after)) = &seen.followed_by {
        all.push(event(seen.changed + *after, format!("node {node} ({next}) leads")));
    }
    for node in &seen.through {
        if let Some(after) = seen.restored(*node) {
            all.push(event(seen.changed + after, format!("a write through node {node} counts")));
        }
    }
    all.sort_by(|one, two| one.at_ms.total_cmp(&two.at_ms));
    all
}

/// Writes due in each interval, and those that counted.
fn samples(seen: &Seen) -> Vec<TimelineSample> {
    let mut samples: Vec<TimelineSample> = Vec::new();
    for attempt in &seen.attempts {
        let slot = (attempt.sent.as_millis() / INTERVAL.as_millis()) as usize;
        while samples.len() <= slot {
            let at_ms = (INTERVAL * samples.len() as u32).as_secs_f64() * 1000.0;
            samples.push(TimelineSample { at_ms, ..TimelineSample::default() });
        }
        if let Some(it) = samples.get_mut(slot) {
            it.requests += 1;
            it.answered += u64::from(attempt.counts());
        }
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Writes every 50 ms through node 1, for two seconds; the change is after one.
    fn seen(by: By, kinds: [&str; 3], made: impl Fn(u32, &mut Attempt)) -> Seen {
        let attempts = (0..40).map(|number| {
            let sent = MS * (50 * number);
            let mut it =
                Attempt { acknowledged: Some(sent + 5 * MS), shown: Some(sent + 10 * MS), ..Attempt::sent(1, sent) };
            made(number, &mut it);
            it
        });
        Seen {
            by,
            changed: 1000 * MS,
            kinds: kinds.map(str::to_owned).to_vec(),
            leader: 0,
            followed_by: Some((2, "tandem".to_owned(), 30 * MS)),
            through: vec![1],
            attempts: attempts.collect(),
        }
    }

    const TANDEM: [&str; 3] = ["tandem"; 3];

    fn outcome(seen: &Seen) -> Outcome {
        fault("t", 1, seen).outcome
    }

    #[test]
    fn nothing_lost_and_served_in_time_passes() {
        let seen = seen(By::Transfer, TANDEM, |_, _| {});
        assert_eq!((seen.restored(1), seen.pause(1)), (Some(10 * MS), Some(50 * MS)));
        assert_eq!(outcome(&seen), Outcome::Pass);
    }

    #[test]
    fn what_was_acknowledged_and_is_not_there_fails() {
        let seen = seen(By::Transfer, TANDEM, |number, it| it.shown = it.shown.filter(|_| number != 22));
        assert_eq!((fault("t", 1, &seen).lost_acked, outcome(&seen)), (1, Outcome::Fail));
        assert_eq!(observations(&seen)[0].errors, 1);
    }

    #[test]
    fn a_refused_write_is_no_loss_but_a_pause() {
        let refused = |number: u32, it: &mut Attempt| {
            if (20..30).contains(&number) {
                (it.acknowledged, it.shown) = (None, None);
            }
        };
        let seen = seen(By::Kill, TANDEM, refused);
        assert_eq!((seen.restored(1), seen.pause(1)), (Some(510 * MS), Some(550 * MS)));
        assert_eq!((fault("t", 1, &seen).lost_acked, outcome(&seen)), (0, Outcome::Pass));
    }

    #[test]
    fn a_killed_leader_is_followed_in_time() {
        let late = |number: u32, it: &mut Attempt| {
            if number >= 20 {
                it.shown = Some(Duration::from_secs(4) + MS * number);
            }
        };
        assert_eq!(outcome(&seen(By::Kill, TANDEM, late)), Outcome::Fail);
        assert_eq!(outcome(&seen(By::Kill, ["tandem", "nacos", "nacos"], late)), Outcome::Pass);
        let never = |number: u32, it: &mut Attempt| {
            if number >= 20 {
                (it.acknowledged, it.shown) = (None, None);
            }
        };
        assert_eq!(outcome(&seen(By::Kill, ["tandem", "nacos", "nacos"], never)), Outcome::Fail);
    }

    #[test]
    fn without_sound_writes_before_or_a_new_leader_nothing_is_known() {
        let broken = seen(By::Transfer, TANDEM, |number, it| {
            if number == 3 {
                (it.acknowledged, it.shown) = (None, None);
            }
        });
        assert_eq!(outcome(&broken), Outcome::Error);
        let mut same = seen(By::Transfer, TANDEM, |_, _| {});
        same.followed_by = None;
        assert_eq!(outcome(&same), Outcome::Error);
    }
}
