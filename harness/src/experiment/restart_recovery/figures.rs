//! A judgement as rows and fault scenarios of the record.

use super::history::{Ms, Phase};
use super::judge::{Judgement, NodePart, Part, Verdict};
use super::{MISSING, NAME, UNANSWERED};
use crate::experiment::Observation;
use crate::results::{Fault, Outcome, TimelineEvent};
use crate::stats::Round;

/// Any node but the one that was killed.
const ANOTHER: &str = "another node";

/// The rows, each with the round it belongs to: every kill is one, so that kills can be resampled.
pub fn observations(judgement: &Judgement) -> Vec<(usize, Observation)> {
    let kinds = &judgement.header.nodes;
    let mixed = kinds.windows(2).any(|it| matches!(it, [a, b] if a != b));
    let mut rows = Vec::new();
    let kills = judgement.parts.iter().filter_map(|part| match part.phase {
        Phase::Restart(node) => Some((node, part)),
        _ => None,
    });
    for (round, (killed, part)) in kills.enumerate() {
        let kind = kinds.get(killed).filter(|_| mixed);
        let of_kind = |experiment, unit, values| {
            let row = Observation::new(experiment, unit, values);
            kind.map_or_else(|| row.clone(), |kind| row.clone().with("killed", kind))
        };
        let row = |values| of_kind(NAME, "ms", values);
        let missing = |values: &[Ms]| of_kind(MISSING, "ms", of(values));
        let back = part.back_ms.map(|it| it as f64);
        let agreed = part.back_ms.zip(part.agreement_ms).map(|(back, agreed)| (back + agreed) as f64);
        rows.push((round, row(Round::of(back)).with("until", "it answers")));
        let complete = part.back_ms.zip(part.complete_ms).map(|(back, it)| (back + it) as f64);
        rows.push((round, row(Round::of(complete)).with("until", "no node lacks anything")));
        let mut agreement = row(Round::of(agreed)).with("until", "all nodes agree");
        agreement.errors = u64::from(part.verdict == Verdict::Fail);
        agreement.notes = part.reasons.iter().map(|it| format!("kill {}: {it}", round + 1)).collect();
        rows.push((round, agreement));
        for (position, node) in part.nodes.iter().enumerate() {
            let place = match position == killed {
                true => "the restarted node".to_owned(),
                false if mixed => format!("{ANOTHER} ({})", kinds.get(position).map_or("", String::as_str)),
                false => ANOTHER.to_owned(),
            };
            let mut gone = missing(&node.gone_ms).with("instances", "gone again").with("at", &place);
            if node.ever_gone() + node.unhealthy > 0 {
                let (gone_ones, sick, all) = (node.ever_gone(), node.unhealthy, node.gone_ms.len());
                gone.notes.push(format!(
                    "kill {}, node {position}: {gone_ones} of {all} instances were gone at some time, {sick} unhealthy",
                    round + 1
                ));
            }
            rows.push((round, gone));
            let late = missing(&node.late_ms).with("instances", "not there yet").with("at", &place);
            rows.push((round, late));
        }
        let unanswered = |answered: u64, all: u64| (all > 0).then(|| 100.0 - 100.0 * answered as f64 / all as f64);
        let looks = part.nodes.iter().fold((0, 0), |sum, it| (sum.0 + it.looks_answered, sum.1 + it.looks));
        for (what, share) in [
            ("operations, all servers tried", unanswered(part.ops_answered, part.ops)),
            ("operations, one server tried", unanswered(part.ops_answered_at_once, part.ops)),
            ("queries at nodes that are up", unanswered(looks.0, looks.1)),
        ] {
            rows.push((round, of_kind(UNANSWERED, "%", Round::of(share)).with("of", what)));
        }
    }
    if mixed {
        let whole: Vec<_> = rows.iter().map(|(round, row)| (*round, of_all_kinds(row))).collect();
        rows.splice(0..0, whole);
    }
    rows
}

/// The row of a mixed cluster that is comparable with that of a uniform one: whatever kind was killed or asked.
fn of_all_kinds(row: &Observation) -> Observation {
    let mut row = Observation { notes: Vec::new(), ..row.clone() };
    row.variant.remove("killed");
    if let Some(at) = row.variant.get_mut("at")
        && at.starts_with(ANOTHER)
    {
        ANOTHER.clone_into(at);
    }
    row
}

/// One scenario per kill, and one for the end.
pub fn faults(judgement: &Judgement) -> Vec<Fault> {
    let of_part = |part: &Part| {
        let node_name = |node: usize| {
            let kind = judgement.header.nodes.get(node).map_or("", String::as_str);
            format!("kill -9 and restart of node {node} ({kind}) under load")
        };
        let (scenario, counts) = match part.phase {
            Phase::Restart(node) => (node_name(node), (0, 0)),
            Phase::Final => ("after all restarts".to_owned(), (judgement.lost, judgement.resurrected)),
            _ => return None,
        };
        let since_began = |at: Ms| at.saturating_sub(part.began) as f64;
        let at =
            |at: Ms, event: &str| TimelineEvent { at_ms: since_began(at), event: event.to_owned(), until_ms: None };
        let names = ["killed", "its process is started", "it answers"];
        let mut timeline: Vec<_> =
            part.fault.iter().zip(names).filter_map(|(time, name)| Some(at((*time)?, name))).collect();
        // It is away from the kill until it answers.
        if let (Some(kill), [Some(_), _, Some(back)]) = (timeline.first_mut(), part.fault) {
            kill.until_ms = Some(since_began(back));
        }
        let since = part.fault[2].unwrap_or(part.began);
        if let Some(complete) = part.complete_ms {
            timeline.push(at(since + complete, "no node lacks anything any more"));
        }
        if let Some(agreed) = part.agreement_ms {
            timeline.push(at(since + agreed, "all nodes agree"));
        }
        Some(Fault {
            target: judgement.header.target.clone(),
            scenario,
            outcome: match part.verdict {
                Verdict::Pass => Outcome::Pass,
                Verdict::Fail => Outcome::Fail,
                Verdict::Unknown => Outcome::Error,
            },
            recovery_ms: part.agreement_ms.map(|it| it as f64),
            unrecovered_ms: None,
            lost_acked: counts.0,
            resurrected: counts.1,
            violations: part.reasons.clone(),
            timeline,
            samples: Vec::new(),
            checks: Vec::new(),
            figures: Vec::new(),
            issues: Vec::new(),
            history: String::new(),
        })
    };
    judgement.parts.iter().filter_map(of_part).collect()
}

fn of(values: &[Ms]) -> Round {
    Round::of(values.iter().map(|it| *it as f64))
}

/// All that the parts with a kill say about one figure.
pub(super) fn all<'a>(
    judgement: &'a Judgement,
    values: impl Fn(&'a NodePart) -> &'a [Ms] + Copy + 'a,
) -> impl Iterator<Item = Ms> + 'a {
    let kills = judgement.parts.iter().filter(|it| matches!(it.phase, Phase::Restart(_) | Phase::Final));
    kills.flat_map(move |part| part.nodes.iter().flat_map(move |it| values(it).iter().copied()))
}
