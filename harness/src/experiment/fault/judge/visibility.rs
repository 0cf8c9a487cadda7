//! How long a change takes from its acknowledgement until each other node shows it.

use super::super::history::{Phase, Us};
use super::finding::{Figure, ms};
use super::looks::Seen;
use super::story::Story;

/// One change as one other node showed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visible {
    /// Number of the instance.
    pub instance: u32,
    /// Whether it came; if not, it went.
    pub is_registration: bool,
    /// Node that acknowledged it.
    pub from: usize,
    /// Node that was looked at.
    pub to: usize,
    /// When it was acknowledged.
    pub at: Us,
    /// Until the first look that showed it; absent when none did before the next change, or before the end.
    pub after: Option<Us>,
}

/// Every registration and deregistration at every node but the one that acknowledged it, by the looks. A figure is exact
/// to the time between two looks at a service of a node.
pub(super) fn visible(story: &Story<'_>) -> Vec<Visible> {
    let mut all = Vec::new();
    for (index, life) in story.lives.iter().enumerate() {
        let instance = index as u32;
        let local = instance / story.services();
        let service = (instance % story.services()) as usize;
        let came = life.owed.iter().filter_map(|it| Some((true, it.by?, it.from, it.until)));
        let went = life.departed.iter().filter_map(|it| Some((false, it.by?, it.at, it.until)));
        for (is_registration, from, at, until) in came.chain(went) {
            for (to, looks) in story.nodes.iter().enumerate().filter(|it| it.0 != from) {
                let Some(looks) = looks.services.get(service) else { continue };
                let begin = looks.partition_point(|it| it.sent < at);
                let shows = |it: &&Seen<'_>| it.present.binary_search(&local).is_ok() == is_registration;
                let first = looks.get(begin..).unwrap_or_default().iter().take_while(|it| it.sent < until).find(shows);
                let after = first.map(|it| it.done - at);
                all.push(Visible { instance, is_registration, from, to, at, after });
            }
        }
    }
    all
}

/// The same as figures by phase.
pub(super) fn figures(story: &Story<'_>) -> Vec<Figure> {
    let all = visible(story);
    let mut figures = Vec::new();
    for phase in [Phase::Before, Phase::During, Phase::After] {
        for (is_registration, what) in [(true, "registration → another node"), (false, "deregistration → another node")]
        {
            let of_it = all.iter().filter(|it| it.is_registration == is_registration && story.phase_at(it.at) == phase);
            let values: Vec<f64> = of_it.filter_map(|it| it.after).map(ms).collect();
            if !values.is_empty() {
                figures.push(Figure::new(what, "ms", values).during(phase));
            }
        }
    }
    let pauses = story.nodes.iter().flat_map(|it| &it.services).flat_map(|looks| {
        let pairs = looks.iter().zip(looks.iter().skip(1));
        pairs.map(|(one, next)| ms(next.sent - one.sent))
    });
    figures.push(Figure::new("between two looks", "ms", pauses.collect()));
    figures
}
