//! What a history says. A pure function: the same history always gives the same judgement.
//!
//! Every checker has a file that begins with what exactly it judges. A check has three verdicts; each violation comes
//! with the shortest explanation and the lines of the history that prove it. The scenario holds when every check that it
//! demands does. It is unknown, whatever the checks say, when the load was not sent, when a fault had no effect, or when
//! the run did not go to its end: then something else was tried than what the scenario is about.

use super::history::{Event, Header};
use crate::results::{TimelineEvent, TimelineSample};

mod agreement;
mod availability;
mod curves;
mod emptied;
mod finding;
mod linear;
mod lives;
mod looks;
mod lost;
mod lost_write;
mod reads;
mod ready;
mod record;
mod registers;
mod resurrection;
mod story;
mod sync;
mod visibility;
mod write_order;
mod zombie;

pub use finding::{Check, Evidence, Figure, Finding, Verdict, Violation};
pub use visibility::Visible;

use story::Story;

/// What a history says.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// What was run.
    pub header: Header,
    /// Why the scenario is unknown, whatever was found; most important first. Empty when it can be judged.
    pub unready: Vec<String>,
    /// What each check says that the history has anything for.
    pub findings: Vec<Finding>,
    /// What was measured besides: how long changes took to other nodes, by the looks.
    pub figures: Vec<Figure>,
    /// Faults as bands, and the phases.
    pub timeline: Vec<TimelineEvent>,
    /// What was served meanwhile.
    pub samples: Vec<TimelineSample>,
    /// The verdict on the scenario.
    pub verdict: Verdict,
}

impl Judgement {
    /// What one check says.
    pub fn finding(&self, check: Check) -> Option<&Finding> {
        self.findings.iter().find(|it| it.check == check)
    }
}

/// Works out what a history says; nothing when it has no beginning.
pub fn judge(events: &[Event]) -> Option<Judgement> {
    let story = Story::new(events)?;
    let header = story.header.clone();
    let unready = ready::reasons(&story);
    let findings: Vec<_> = Check::ALL.into_iter().filter_map(|it| finding(&story, it)).collect();
    let demanded = findings.iter().filter(|it| it.is_demanded);
    let verdict = match demanded.map(|it| it.verdict).max() {
        _ if !unready.is_empty() => Verdict::Unknown,
        // Nothing was judged.
        None => Verdict::Unknown,
        Some(worst) => worst,
    };
    Some(Judgement {
        header,
        unready,
        findings,
        figures: visibility::figures(&story),
        timeline: curves::timeline(&story),
        samples: curves::samples(&story),
        verdict,
    })
}

/// How long every change took until each node but the one that acknowledged it showed it, by the looks; nothing when the
/// history has no beginning.
pub fn visible(events: &[Event]) -> Vec<Visible> {
    Story::new(events).map(|it| visibility::visible(&it)).unwrap_or_default()
}

fn finding(story: &Story<'_>, check: Check) -> Option<Finding> {
    let checks = &story.header.checks;
    let is_named = checks.iter().any(|it| it == check.name());
    let is_demanded = is_named || (checks.is_empty() && check.is_default());
    let found = match check {
        Check::Agreement => agreement::check(story),
        Check::NoLostInstance => lost::check(story),
        Check::NoResurrection => resurrection::check(story),
        Check::NoZombie => zombie::check(story),
        Check::NoEmptiedService => emptied::check(story),
        Check::Availability => availability::check(story),
        Check::SyncLatency => sync::check(story),
        Check::NoLostWrite => lost_write::check(story),
        Check::LinearizableWrites => write_order::check(story),
        Check::LinearizableReads => reads::check(story),
    };
    let missing = || {
        let mut finding = Finding::new(check);
        finding.unknown(format!("nothing in the history that {} could judge", check.name()));
        finding
    };
    let finding = found.or_else(|| is_named.then(missing))?;
    // Without a bound there is nothing to hold availability to.
    let is_bounded = check != Check::Availability || story.header.answered_min.is_some();
    Some(Finding { is_demanded: is_demanded && is_bounded, ..finding })
}

#[cfg(test)]
mod tests;
