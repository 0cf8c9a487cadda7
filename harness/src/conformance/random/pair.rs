//! One call at both servers.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::known::{self, Seen};
use super::operation::Operation;
use crate::client::wire::{self, Limits};
use crate::conformance::answer::Answer;
use crate::conformance::case::{Case, Topology};
use crate::conformance::compare::{At, differences};
use crate::conformance::normal::Rules;
use crate::conformance::place::Place;
use crate::conformance::play::request;

/// Reference and subject.
#[derive(Debug)]
pub struct Pair {
    /// Where the reference is.
    pub reference: Place,
    /// Where the subject is.
    pub subject: Place,
}

/// How long reads may take to become equal. Real Nacos acknowledges every write some milliseconds before its own reads
/// show it.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Pause after each write.
    pub settle: Duration,
    /// Until a read that differs counts.
    pub deadline: Duration,
    /// Until a read that differs, but is excused, counts as excused.
    pub excused: Duration,
}

impl Patience {
    /// For sequences that are expected not to differ.
    pub const USUAL: Self =
        Self { settle: Duration::ZERO, deadline: Duration::from_millis(2500), excused: Duration::from_millis(120) };
    /// For a sequence that has differed: with a pause after each write no difference is one of timing.
    pub const CAREFUL: Self = Self {
        settle: Duration::from_millis(60),
        deadline: Duration::from_millis(1000),
        excused: Duration::from_millis(300),
    };
}

/// What a call showed.
#[derive(Debug)]
pub enum Shown {
    /// Nothing differs.
    Same,
    /// What differs is kept on purpose: the row of `compat/DIFFERENCES.md`.
    Kept(&'static str),
    /// The answers differ.
    Differs(Box<Difference>),
    /// The reference gave no answer, so nothing can be said.
    Unknown(String),
}

/// A difference that nothing excuses.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The call whose answers differ; the last one of the sequence, or a look at the state behind it.
    pub operation: Operation,
    /// How many calls of the sequence were made, this one included unless it is a look.
    pub made: usize,
    /// Whether the call is a look of the harness rather than one of the sequence's own.
    pub is_look: bool,
    /// What differs.
    pub text: String,
    /// The reference's answer.
    pub expected: Answer,
    /// The subject's; none when it gave none.
    pub observed: Option<Answer>,
}

impl Pair {
    /// Asks both. A read is repeated until the answers are equal or the deadline is over; a write is made once.
    /// `history` are the calls before, and this one.
    pub async fn ask(
        &self,
        operation: &Operation,
        tag: &str,
        history: &[Operation],
        is_look: bool,
        patience: &Patience,
    ) -> Shown {
        let case = operation.case("generated", tag);
        let rules = Rules::of(&case, Topology::Standalone);
        let started = Instant::now();
        let mut pause = Duration::from_millis(4);
        loop {
            let (expected, observed) = tokio::join!(exchange(&case, &self.reference), exchange(&case, &self.subject));
            let expected = match expected {
                Ok(answer) => answer,
                Err(error) => return Shown::Unknown(format!("the reference gave no answer: {error}")),
            };
            let made = history.len();
            let differs = |text, expected, observed| {
                let operation = operation.clone();
                Shown::Differs(Box::new(Difference { operation, made, is_look, text, expected, observed }))
            };
            let observed = match observed {
                Ok(answer) => answer,
                Err(error) => return differs(format!("no answer: {error}"), expected, None),
            };
            let left = At { answer: &expected, place: &self.reference };
            let right = At { answer: &observed, place: &self.subject };
            let Some(text) = differences(left, right, &rules) else { return Shown::Same };
            let kept = known::known(&Seen { history, expected: left, observed: right }, &rules);
            let limit = if kept.is_some() { patience.excused } else { patience.deadline };
            if !case.may_repeat(Topology::Standalone) || started.elapsed() + pause >= limit {
                return kept.map_or_else(|| differs(text, expected, Some(observed)), Shown::Kept);
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }
}

async fn exchange(case: &Case, place: &Place) -> Result<Answer, wire::WireError> {
    wire::exchange(place.asked(), &request(case, place), &Limits::default()).await.map(Answer::from)
}
