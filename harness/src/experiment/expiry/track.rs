//! What one observer saw of one instance, and when: pure, so that verdicts can be checked without servers.

use std::time::Duration;

/// What a node says of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Listed and healthy.
    Healthy,
    /// Listed and not healthy.
    Unhealthy,
    /// Not listed.
    Absent,
}

/// A state that an observer met for the first time after another one. Times count from the experiment's beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The new state.
    pub state: State,
    /// When the last read that showed the former state was sent: the change is not older.
    pub not_before: Duration,
    /// When the new state was in hand: the change is not younger.
    pub seen: Duration,
}

/// All changes of one instance at one observer.
#[derive(Debug, Clone, Default)]
pub struct Track {
    changes: Vec<Change>,
    /// When the last read was sent that showed the present state.
    looked: Duration,
}

impl Track {
    /// Takes what a read showed that was sent at `asked` and answered at `answered`. A read that failed is not taken:
    /// it widens the time in which the next change may have happened.
    pub fn look(&mut self, state: State, asked: Duration, answered: Duration) {
        if self.changes.last().is_none_or(|it| it.state != state) {
            self.changes.push(Change { state, not_before: self.looked, seen: answered });
        }
        self.looked = asked;
    }

    /// Takes what a packet said; there is nothing to know between packets.
    pub fn told(&mut self, state: State, at: Duration) {
        if self.changes.last().is_none_or(|it| it.state != state) {
            self.changes.push(Change { state, not_before: at, seen: at });
        }
    }

    /// The first change to `state` that was seen after `after`. What an observer met first is no change: it may have
    /// been so for ever.
    pub fn first(&self, state: State, after: Duration) -> Option<Change> {
        self.changes.iter().skip(1).copied().find(|it| it.state == state && it.seen > after)
    }

    /// When it was last seen to go for good; nothing while it is there.
    pub fn gone(&self, after: Duration) -> Option<Change> {
        self.changes.iter().skip(1).copied().next_back().filter(|it| it.state == State::Absent && it.seen > after)
    }

    /// How often it went after `after` and came back.
    pub fn flickers(&self, after: Duration) -> u64 {
        let absent = |it: &&Change| it.state == State::Absent && it.seen > after;
        let went = self.changes.iter().skip(1).filter(absent).count() as u64;
        went - u64::from(self.gone(after).is_some())
    }

    /// What the observer knew at a time.
    pub fn known_at(&self, time: Duration) -> Option<State> {
        self.changes.iter().rev().find(|it| it.seen <= time).map(|it| it.state)
    }

    /// What was seen last.
    pub fn now(&self) -> Option<State> {
        self.changes.last().map(|it| it.state)
    }
}

/// What a change counts from: the last heartbeat, or a port that closed or opened. The server's own clock for it
/// starts somewhere between the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// When the harness began with it.
    pub sent: Duration,
    /// When it was done.
    pub done: Duration,
}

/// One change as judged, ms after its origin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sighting {
    /// The figure: from the end of the origin to the change in hand.
    pub value_ms: f64,
    /// The change cannot have taken less than this.
    pub least_ms: f64,
    /// The change cannot have taken more than this.
    pub most_ms: f64,
}

impl Sighting {
    /// A change after its origin.
    pub fn of(change: Change, origin: Origin) -> Self {
        let ms = |from: Duration, to: Duration| (to.as_secs_f64() - from.as_secs_f64()) * 1000.0;
        Self {
            value_ms: ms(origin.done, change.seen).max(0.0),
            least_ms: ms(origin.done, change.not_before),
            most_ms: ms(origin.sent, change.seen),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    #[test]
    fn a_change_lies_between_the_last_read_before_it_and_the_first_after_it() {
        let mut track = Track::default();
        for (at, state) in [(0, State::Healthy), (100, State::Healthy), (200, State::Unhealthy), (300, State::Absent)] {
            track.look(state, ms(at), ms(at + 10));
        }
        let change = track.first(State::Unhealthy, ms(5)).unwrap();
        assert_eq!((change.not_before, change.seen), (ms(100), ms(210)));
        let sighting = Sighting::of(change, Origin { sent: ms(20), done: ms(50) });
        assert!((sighting.value_ms - 160.0).abs() < 1e-6);
        assert!((sighting.least_ms - 50.0).abs() < 1e-6 && (sighting.most_ms - 190.0).abs() < 1e-6);
        assert_eq!(track.first(State::Healthy, ms(0)), None, "it began so");
        assert_eq!((track.known_at(ms(209)), track.known_at(ms(210))), (Some(State::Healthy), Some(State::Unhealthy)));
        assert_eq!((track.now(), track.flickers(ms(0))), (Some(State::Absent), 0));
        track.look(State::Healthy, ms(400), ms(410));
        assert_eq!((track.gone(ms(0)), track.flickers(ms(0))), (None, 1), "it came back");
        track.look(State::Absent, ms(500), ms(510));
        assert_eq!((track.gone(ms(0)).map(|it| it.seen), track.flickers(ms(0))), (Some(ms(510)), 1));
    }

    #[test]
    fn a_packet_says_when_it_was_told_and_nothing_more() {
        let mut track = Track::default();
        track.told(State::Healthy, ms(10));
        track.told(State::Healthy, ms(20));
        track.told(State::Unhealthy, ms(500));
        let change = track.first(State::Unhealthy, ms(0)).unwrap();
        assert_eq!((change.not_before, change.seen), (ms(500), ms(500)));
    }
}
