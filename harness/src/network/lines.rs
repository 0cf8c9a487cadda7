//! The switch without its devices: which packet goes where, and when. Every direction between two endpoints is a
//! [`Link`] of its own; packets that wait stand in one queue, in the order in which they are due.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::Ipv4Addr;
use std::time::Duration;

use super::rule::{Counts, Fate, Link, Rule};

/// Position of an endpoint at the switch.
pub(super) type Port = usize;

/// Most packets that wait at once, all links together: a slow link has its own, smaller bound.
const WAITING_MAX: usize = 65_536;

/// All links between the endpoints, and what is on its way.
#[derive(Debug)]
pub(super) struct Lines {
    addresses: Vec<Ipv4Addr>,
    /// By sender, then receiver.
    links: BTreeMap<(Port, Port), Link>,
    waiting: BinaryHeap<Reverse<Waiting>>,
    sequence: u64,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    due: Duration,
    /// Keeps packets that are due at once in the order in which they were sent.
    sequence: u64,
    from: Port,
    to: Port,
    packet: Vec<u8>,
}

impl Lines {
    /// Links in both directions between all `addresses`; the chance of each comes from `seed`.
    pub(super) fn new(addresses: Vec<Ipv4Addr>, seed: u64) -> Self {
        let ports = addresses.len();
        let pairs = (0..ports).flat_map(|from| (0..ports).map(move |to| (from, to))).filter(|(from, to)| from != to);
        // A source of its own for each, so that what happens on one link does not change another.
        let links = pairs.map(|(from, to)| ((from, to), Link::new(seed ^ ((from as u64) << 32 | to as u64)))).collect();
        Self { addresses, links, waiting: BinaryHeap::new(), sequence: 0 }
    }

    /// Another rule for one direction. What waits there waits no longer than the new rule has it wait.
    pub(super) fn set(&mut self, now: Duration, from: Port, to: Port, rule: Rule) {
        let Some(link) = self.links.get_mut(&(from, to)) else { return };
        link.set(now, rule);
        let latest = link.due_at_latest(now);
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting = waiting
            .into_iter()
            .map(|Reverse(mut it)| {
                if (it.from, it.to) == (from, to) {
                    it.due = it.due.min(latest);
                }
                Reverse(it)
            })
            .collect();
    }

    /// Every direction with its rule and what became of its packets.
    pub(super) fn links(&self) -> impl Iterator<Item = (Port, Port, &Rule, Counts)> {
        self.links.iter().map(|(&(from, to), link)| (from, to, link.rule(), link.counts))
    }

    /// A packet that an endpoint sends now: where it goes at once, if anywhere. What is to arrive later is kept.
    pub(super) fn send(&mut self, now: Duration, from: Port, packet: &[u8]) -> Option<Port> {
        let to = self.port_of(destination(packet)?)?;
        let link = self.links.get_mut(&(from, to))?;
        match link.send(now, packet.len()) {
            Fate::Now => Some(to),
            Fate::Gone => None,
            Fate::At(due) => {
                if self.waiting.len() < WAITING_MAX {
                    let sequence = self.sequence;
                    self.sequence += 1;
                    self.waiting.push(Reverse(Waiting { due, sequence, from, to, packet: packet.to_owned() }));
                } else {
                    link.counts.overflowed += 1;
                }
                None
            }
        }
    }

    /// The next packet whose time has come, with its sender and receiver.
    pub(super) fn next_arrival(&mut self, now: Duration) -> Option<(Port, Port, Vec<u8>)> {
        while self.waiting.peek().is_some_and(|Reverse(first)| first.due <= now) {
            let Reverse(Waiting { from, to, packet, .. }) = self.waiting.pop()?;
            if self.links.get_mut(&(from, to)).is_some_and(Link::arrive) {
                return Some((from, to, packet));
            }
        }
        None
    }

    /// When the next packet arrives.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.waiting.peek().map(|Reverse(first)| first.due)
    }

    /// The device of the receiver did not take a packet that was counted as forwarded.
    pub(super) fn failed(&mut self, from: Port, to: Port) {
        if let Some(link) = self.links.get_mut(&(from, to)) {
            link.counts.forwarded = link.counts.forwarded.saturating_sub(1);
            link.counts.failed += 1;
        }
    }

    fn port_of(&self, address: Ipv4Addr) -> Option<Port> {
        self.addresses.iter().position(|it| *it == address)
    }
}

/// Destination in an IPv4 header; nothing for other protocols, which members do not speak.
fn destination(packet: &[u8]) -> Option<Ipv4Addr> {
    match packet.first()? >> 4 {
        4 => {
            let bytes: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
            Some(bytes.into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn lines() -> Lines {
        Lines::new((1..=3).map(|last| Ipv4Addr::new(10, 77, 0, last)).collect(), 1)
    }

    fn packet(to: u8, mark: u8) -> Vec<u8> {
        let mut packet = vec![0; 21];
        packet[0] = 0x45;
        packet[16..20].copy_from_slice(&[10, 77, 0, to]);
        packet[20] = mark;
        packet
    }

    fn counts(lines: &Lines, from: Port, to: Port) -> Counts {
        lines.links().find(|(f, t, ..)| (*f, *t) == (from, to)).unwrap().3
    }

    #[test]
    fn packets_go_where_they_are_addressed_and_nowhere_else() {
        let mut lines = lines();
        assert_eq!(lines.send(MS, 0, &packet(2, 0)), Some(1));
        assert_eq!(lines.send(MS, 0, &packet(3, 0)), Some(2));
        for strange in [packet(9, 0), packet(1, 0), vec![0x60; 40], vec![0x45; 3], Vec::new()] {
            assert_eq!(lines.send(MS, 0, &strange), None, "{strange:?}");
        }
        assert_eq!(counts(&lines, 0, 1).forwarded, 1);
        assert_eq!(counts(&lines, 1, 0), Counts::default());
    }

    #[test]
    fn a_direction_can_be_cut_alone() {
        let mut lines = lines();
        lines.set(MS, 0, 1, Rule::cut());
        assert_eq!(lines.send(MS, 0, &packet(2, 0)), None);
        assert_eq!(lines.send(MS, 1, &packet(1, 0)), Some(0));
        assert_eq!((counts(&lines, 0, 1).cut, counts(&lines, 1, 0).cut), (1, 0));
    }

    #[test]
    fn what_waits_arrives_when_it_is_due_and_in_order() {
        let mut lines = lines();
        lines.set(Duration::ZERO, 0, 1, Rule { delay: 5 * MS, ..Rule::default() });
        for mark in 0..3 {
            assert_eq!(lines.send(u32::from(mark) * MS, 0, &packet(2, mark)), None);
        }
        assert_eq!(lines.next_due(), Some(5 * MS));
        assert_eq!(lines.next_arrival(4 * MS), None);
        let marks: Vec<u8> =
            std::iter::from_fn(|| lines.next_arrival(6 * MS)).map(|(_, _, packet)| packet[20]).collect();
        assert_eq!(marks, [0, 1]);
        assert_eq!(lines.next_due(), Some(7 * MS));
    }

    #[test]
    fn healing_lets_go_of_what_waits_before_what_comes_after() {
        let mut lines = lines();
        lines.set(Duration::ZERO, 0, 1, Rule { delay: Duration::from_secs(60), ..Rule::default() });
        for mark in 0..3 {
            lines.send(MS, 0, &packet(2, mark));
        }
        lines.set(2 * MS, 0, 1, Rule::default());
        let marks: Vec<u8> =
            std::iter::from_fn(|| lines.next_arrival(2 * MS)).map(|(_, _, packet)| packet[20]).collect();
        assert_eq!(marks, [0, 1, 2]);
        assert_eq!(lines.send(3 * MS, 0, &packet(2, 3)), Some(1));
    }

    #[test]
    fn links_have_chances_of_their_own() {
        let mut lines = lines();
        for to in [1, 2] {
            lines.set(Duration::ZERO, 0, to, Rule { loss: 0.5, ..Rule::default() });
        }
        let fates = |lines: &mut Lines, to: u8| -> Vec<bool> {
            (0..64).map(|_| lines.send(MS, 0, &packet(to, 0)).is_some()).collect()
        };
        assert_ne!(fates(&mut lines, 2), fates(&mut lines, 3));
    }
}
