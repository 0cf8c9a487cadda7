//! What a history says. A pure function: the same history always gives the same judgement.
//!
//! Every checker has a file that begins with what exactly it judges. A check has three verdicts; each violation comes
//! with the shortest explanation and the lines of the history that prove it. The scenario holds when every check that it
//! demands does. It is unknown, whatever the checks say, when the load was not sent, when a fault had no effect, or when
//! the run did not go to its end: then something else was tried than what the scenario is about.

use super::history::{Event, Header};

mod agreement;
mod availability;
mod emptied;
mod finding;
mod lives;
mod looks;
mod lost;
mod ready;
mod resurrection;
mod story;
mod zombie;

pub use finding::{Check, Evidence, Figure, Finding, Verdict, Violation};

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
    Some(Judgement { header, unready, findings, verdict })
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
        Check::NoLostWrite | Check::LinearizableWrites | Check::LinearizableReads => None,
    };
    let missing = || {
        let mut finding = Finding::new(check);
        finding.unknown(format!("nothing in the history that {} could judge", check.name()));
        finding
    };
    let finding = found.or_else(|| is_named.then(missing))?;
    Some(Finding { is_demanded, ..finding })
}

#[cfg(test)]
mod tests;
