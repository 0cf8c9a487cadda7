//! What one case must be answered with at one target, and what is said about the answer.

use super::answer::Answer;
use super::case::{Case, Topology};
use super::compare::{At, differences};
use super::difference::{Differences, KNOWN};
use super::group;
use super::kept::Kept;
use super::normal::Rules;
use super::place::Place;
use super::play::described;
use super::recording::Recordings;
use crate::results::{CaseResult, Outcome};

/// An answer, or why there is none.
pub(super) type Given = Result<Answer, String>;

/// What a case must be answered with.
pub(super) struct Expected {
    /// The answer of the reference or of its recording, and where it was given.
    answer: Option<(Given, Place)>,
    /// What one server answers, where that counts as well.
    standalone: Option<(Given, Place)>,
    /// Whether the reference, asked in this run, answered something else than what is recorded of it.
    is_unrecorded: bool,
    rules: Rules,
}

impl Expected {
    /// `live` is what the reference answered in this run; without one the recordings are the measure.
    pub(super) fn of(
        case: &Case,
        topology: Topology,
        recordings: &Recordings,
        live: Option<Option<(Given, Place)>>,
    ) -> Self {
        let rules = Rules::of(case, topology);
        let of_record = recorded(recordings, case, topology);
        let is_late = case.late(topology).is_some();
        let is_unrecorded = match (&of_record, &live) {
            (Some((Ok(answer), place)), Some(Some((Ok(given), at)))) if !is_late => {
                differences(At { answer, place }, At { answer: given, place: at }, &rules).is_some()
            }
            _ => false,
        };
        let answer = match live {
            // A member of the reference that is late is no measure for others.
            Some(live) if is_late => of_record.or(live),
            Some(live) => live,
            None => of_record,
        };
        let standalone = case.or_standalone(topology).and_then(|_| recorded(recordings, case, Topology::Standalone));
        Self { answer, standalone, is_unrecorded, rules }
    }

    /// Whether the answer is that of one server, in a case in which that counts as well.
    fn is_as_standalone(&self, observed: At<'_>) -> bool {
        match &self.standalone {
            Some((Ok(answer), at)) => differences(At { answer, place: at }, observed, &self.rules).is_none(),
            _ => false,
        }
    }

    /// The result with both answers, for whoever asks what the difference is.
    fn shown(&self, mut result: CaseResult, expected: At<'_>, observed: At<'_>) -> CaseResult {
        result.expected = Some(expected.answer.to_result());
        result.observed = Some(observed.answer.to_result());
        if result.outcome == Outcome::Fail && self.is_unrecorded {
            result.reason.push_str("; the reference itself did not answer as recorded");
        }
        result
    }
}

/// The recorded answer of a case.
fn recorded(recordings: &Recordings, case: &Case, topology: Topology) -> Option<(Given, Place)> {
    let found = recordings.get(&case.id, topology)?;
    Some((Ok(found.answer.clone()), found.place.clone()))
}

/// What is said about one case at one target.
pub(super) struct Verdict<'a> {
    pub case: &'a Case,
    pub topology: Topology,
    pub target: &'a str,
    /// The differences this target is known for, when it is this project's own server.
    pub known: Option<&'a Differences>,
}

impl Verdict<'_> {
    /// Whether this answer is what is expected, so that the case need not be asked again.
    pub(super) fn is_settled(&self, expected: &Expected, observed: &Answer, place: &Place) -> bool {
        let rules = &expected.rules;
        let observed = At { answer: observed, place };
        // A step nobody judges is asked once, and so is one that there is no measure for.
        let Some((Ok(answer), at)) = expected.answer.as_ref().filter(|_| self.case.judged(self.topology)) else {
            return true;
        };
        let wanted = At { answer, place: at };
        let is_same = || differences(wanted, observed, rules).is_none();
        expected.is_as_standalone(observed)
            || match self.kept() {
                Some(kept) => {
                    kept.check(wanted, observed, rules, |text| at.fill(text)).is_ok()
                        || (kept.chance.is_some() && is_same())
                }
                None => is_same(),
            }
    }

    /// `older` is what this target answered to the same request earlier in the sequence.
    pub(super) fn judge(
        &self,
        expected: &Expected,
        observed: &Given,
        older: &[Answer],
        place: &Place,
    ) -> Option<CaseResult> {
        let rules = &expected.rules;
        if let (Ok(answer), Some(reason)) = (observed, self.case.or_standalone(self.topology))
            && expected.is_as_standalone(At { answer, place })
        {
            return self.result(Outcome::Pass, &format!("as one server answers: {reason}"));
        }
        let (wanted, at) = match &expected.answer {
            Some((Ok(answer), at)) => (answer, at),
            Some((Err(error), _)) => {
                return self.result(Outcome::Error, &format!("the reference gave no answer: {error}"));
            }
            None => return self.result(Outcome::Skip, "there is no recording and no reference"),
        };
        let observed = match observed {
            Ok(answer) => answer,
            Err(error) => return self.result(Outcome::Error, error),
        };
        let (left, right) = (At { answer: wanted, place: at }, At { answer: observed, place });
        let difference = differences(left, right, rules);
        if let Some((kept, known)) = self.kept().zip(self.known) {
            let said = kept.check(left, right, rules, |text| at.fill(text));
            let (outcome, reason) = kept.verdict(known.row(&kept.difference), difference.as_deref(), said);
            let mut result = self.result(outcome, &reason)?;
            if outcome == Outcome::Pass {
                return Some(result);
            }
            result.difference = Some(kept.difference.clone());
            return Some(expected.shown(result, left, right));
        }
        let Some(difference) = difference else {
            return self.result(Outcome::Pass, "");
        };
        // Tandem's own members are held to the recorded answer: they are never so late.
        if let Some(reason) = self.case.late(self.topology).filter(|_| self.known.is_none()) {
            let is_late = |answer| differences(At { answer, place }, right, rules).is_none();
            if older.iter().any(is_late) {
                return self.result(Outcome::Pass, &format!("answered as before: {reason}"));
            }
        }
        let mut result = self.result(Outcome::Fail, &difference)?;
        if let Some(known) = self.known.and_then(|known| known.known(&result.id)) {
            result.tags.push(KNOWN.to_owned());
            result.difference = Some(known.row.clone());
            result.reason = format!("{} ({difference})", known.reason);
        }
        Some(expected.shown(result, left, right))
    }

    /// What this target must answer, where it differs on purpose.
    fn kept(&self) -> Option<&Kept> {
        self.known.and_then(|_| self.case.kept_at(self.topology.suffix()))
    }

    /// A result; none for a step that is not judged in this topology.
    pub(super) fn result(&self, outcome: Outcome, reason: &str) -> Option<CaseResult> {
        self.case.judged(self.topology).then(|| CaseResult {
            id: self.case.result_id(self.topology),
            area: self.case.area.clone(),
            endpoint: group::endpoint(self.case),
            group: group::group(self.case).to_owned(),
            target: self.target.to_owned(),
            outcome,
            tags: self.case.tags.clone(),
            difference: None,
            reason: reason.to_owned(),
            request: described(self.case),
            expected: None,
            observed: None,
        })
    }
}
