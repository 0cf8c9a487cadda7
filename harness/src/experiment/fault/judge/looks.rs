//! Looks at each node beside what was owed at that moment.

use super::super::history::{Event, Header, Us};
use super::lives::{Life, SETTLED};
use super::story::Line;

/// All looks at one node.
#[derive(Debug, Default)]
pub(super) struct Looks<'a> {
    /// Answered ones by service, in order of time.
    pub(super) services: Vec<Vec<Seen<'a>>>,
    /// When the others were sent, with their lines, in order of time.
    pub(super) unanswered: Vec<(Us, Line)>,
}

impl Looks<'_> {
    /// Every answered look, service by service.
    pub(super) fn answered(&self) -> impl Iterator<Item = (usize, &Seen<'_>)> {
        self.services.iter().enumerate().flat_map(|(service, looks)| looks.iter().map(move |it| (service, it)))
    }
}

/// One answered look.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    /// Its line.
    pub(super) line: Line,
    /// When it was asked for.
    pub(super) sent: Us,
    /// When the answer was there.
    pub(super) done: Us,
    /// What it showed.
    pub(super) present: &'a [u32],
    /// What of it did not count as healthy.
    pub(super) unhealthy: &'a [u32],
    /// What was owed from before the look to after it, and is not shown: number within the service, and since when.
    pub(super) missing: Vec<(u32, Us)>,
    /// What is shown and was not owed all the time of the look.
    pub(super) extra: Vec<u32>,
}

impl Seen<'_> {
    /// What is missing and was acknowledged long enough ago.
    pub(super) fn short(&self) -> impl Iterator<Item = u32> {
        self.missing.iter().filter(|it| it.1 + SETTLED <= self.sent).map(|it| it.0)
    }
}

pub(super) fn looks<'a>(events: &'a [Event], header: &Header, lives: &[Life]) -> Vec<Looks<'a>> {
    let services = header.services.len().max(1);
    let empty = || Looks { services: (0..services).map(|_| Vec::new()).collect(), unanswered: Vec::new() };
    let mut nodes: Vec<Looks<'a>> = header.nodes.iter().map(|_| empty()).collect();
    for (position, event) in events.iter().enumerate() {
        let Event::Look(look) = event else { continue };
        let Some(node) = nodes.get_mut(look.node) else { continue };
        let line = position + 1;
        match (&look.present, node.services.get_mut(look.service as usize)) {
            (Some(present), Some(looks)) => looks.push(Seen {
                line,
                sent: look.sent,
                done: look.done,
                present,
                unhealthy: &look.unhealthy,
                missing: Vec::new(),
                extra: Vec::new(),
            }),
            (None, _) => node.unanswered.push((look.sent, line)),
            _ => {}
        }
    }
    let mut owed: Vec<Vec<Debt>> = (0..services).map(|_| Vec::new()).collect();
    for (index, life) in lives.iter().enumerate() {
        let local = (index / services) as u32;
        let debts = life.owed.iter().map(|it| Debt { local, from: it.from, until: it.until });
        if let Some(of_service) = owed.get_mut(index % services) {
            of_service.extend(debts);
        }
    }
    owed.iter_mut().for_each(|it| it.sort_by_key(|it| it.from));
    for node in &mut nodes {
        node.unanswered.sort_unstable();
        for (looks, owed) in node.services.iter_mut().zip(&owed) {
            looks.sort_by_key(|it| it.sent);
            compare(looks, owed);
        }
    }
    nodes
}

#[derive(Clone, Copy)]
struct Debt {
    local: u32,
    from: Us,
    until: Us,
}

/// Goes through the looks in order of time, with what is owed meanwhile in order of its number.
fn compare(looks: &mut [Seen<'_>], owed: &[Debt]) {
    let mut coming = owed.iter().peekable();
    let mut now: Vec<Debt> = Vec::new();
    for look in looks {
        while let Some(debt) = coming.next_if(|it| it.from <= look.sent) {
            let position = now.partition_point(|it| it.local < debt.local);
            now.insert(position, *debt);
        }
        now.retain(|it| it.until > look.sent);
        let mut shown = look.present.iter().copied().peekable();
        for debt in now.iter().filter(|it| it.until > look.done) {
            while let Some(extra) = shown.next_if(|it| *it < debt.local) {
                look.extra.push(extra);
            }
            if shown.next_if_eq(&debt.local).is_none() {
                look.missing.push((debt.local, debt.from));
            }
        }
        look.extra.extend(shown);
    }
}
