//! The shortest sequence that still differs at the same endpoint: what follows the difference goes first, then ever
//! smaller runs of calls, then proptest makes each remaining call simpler. Every try is a run under fresh names.

use std::time::Duration;

use tokio::time::Instant;

use super::generator::Tree;
use super::operation::Operation;
use super::pair::Difference;

/// Tries of one shrinking.
const TRIES_MAX: usize = 250;
/// Time of one shrinking.
const TIME_MAX: Duration = Duration::from_secs(60);

/// Asks whether a sequence differs, and how.
pub trait Try {
    /// The difference, when there is one.
    fn differs(&mut self, operations: &[Operation]) -> impl Future<Output = Option<Difference>>;
}

/// A sequence and its difference.
#[derive(Debug, Clone)]
pub struct Shrunk {
    /// The calls.
    pub operations: Vec<Operation>,
    /// How they differ.
    pub difference: Difference,
    /// Tries that were made.
    pub tries: usize,
}

struct Shrinker<'a, T> {
    attempt: &'a mut T,
    endpoint: String,
    tries: usize,
    until: Instant,
    best: Shrunk,
}

/// Shrinks a sequence that differs; none when it does not differ when tried again.
pub async fn shrink<T: Try>(mut trees: Vec<Tree>, first: &Difference, attempt: &mut T) -> Option<Shrunk> {
    trees.truncate(first.made);
    let operations: Vec<Operation> = trees.iter().map(|it| it.current()).collect();
    let difference = attempt.differs(&operations).await?;
    trees.truncate(difference.made);
    let operations = operations.get(..difference.made).unwrap_or(&operations).to_vec();
    let mut shrinker = Shrinker {
        endpoint: difference.operation.endpoint(),
        attempt,
        tries: 1,
        until: Instant::now() + TIME_MAX,
        best: Shrunk { operations, difference, tries: 0 },
    };
    shrinker.fewer(&mut trees).await;
    shrinker.simpler(&mut trees).await;
    // A simpler call may have made another superfluous.
    shrinker.fewer(&mut trees).await;
    Some(Shrunk { tries: shrinker.tries, ..shrinker.best })
}

impl<T: Try> Shrinker<'_, T> {
    /// Whether a candidate differs in the same way; if so it is the best from now on.
    async fn holds(&mut self, candidate: Vec<Operation>) -> bool {
        if self.exhausted() {
            return false;
        }
        self.tries += 1;
        match self.attempt.differs(&candidate).await {
            Some(difference) if difference.operation.endpoint() == self.endpoint => {
                self.best = Shrunk { operations: candidate, difference, tries: 0 };
                true
            }
            _ => false,
        }
    }

    fn exhausted(&self) -> bool {
        self.tries >= TRIES_MAX || Instant::now() >= self.until
    }

    /// Leaves out runs of calls, from half of all down to single ones.
    async fn fewer(&mut self, trees: &mut Vec<Tree>) {
        let mut run = (trees.len() / 2).max(1);
        loop {
            let mut at = 0;
            while at < trees.len() && trees.len() > 1 {
                let end = (at + run).min(trees.len());
                let rest = trees.iter().enumerate().filter(|(index, _)| !(at..end).contains(index));
                let candidate: Vec<_> = rest.map(|(_, tree)| tree.current()).collect();
                if !candidate.is_empty() && self.holds(candidate).await {
                    trees.drain(at..end);
                } else {
                    at = end;
                }
            }
            if run == 1 {
                return;
            }
            run /= 2;
        }
    }

    /// Makes each call simpler for as long as the difference stays.
    async fn simpler(&mut self, trees: &mut [Tree]) {
        for index in 0..trees.len() {
            loop {
                let before = trees[index].current();
                if self.exhausted() || !trees[index].simplify() {
                    break;
                }
                loop {
                    let same = trees[index].current() == before;
                    let candidate: Vec<_> = trees.iter().map(|tree| tree.current()).collect();
                    if same || self.holds(candidate).await || self.exhausted() || !trees[index].complicate() {
                        break;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::wire::Framing;
    use crate::conformance::answer::{Answer, Origin};
    use crate::conformance::random::generator::Sequence;

    /// Differs as soon as a registration has been followed by a list of the same service with a `healthyOnly`.
    struct Planted {
        tried: usize,
    }

    impl Try for Planted {
        async fn differs(&mut self, operations: &[Operation]) -> Option<Difference> {
            self.tried += 1;
            let mut registered = Vec::new();
            for (index, operation) in operations.iter().enumerate() {
                let service = operation.service().map(|it| it.grouped);
                match operation.endpoint().as_str() {
                    "POST /nacos/v1/ns/instance" => registered.extend(service),
                    "GET /nacos/v1/ns/instance/list"
                        if operation.param("healthyOnly").is_some()
                            && service.is_some_and(|it| registered.contains(&it)) =>
                    {
                        return Some(difference(operation, index + 1));
                    }
                    _ => {}
                }
            }
            None
        }
    }

    fn difference(operation: &Operation, made: usize) -> Difference {
        let expected = Answer {
            status: 200,
            reason_phrase: false,
            content_type: None,
            connection: None,
            framing: Framing::Length,
            headers: std::collections::BTreeMap::new(),
            body: String::new(),
            origin: Origin::Live,
        };
        let (operation, text) = (operation.clone(), "planted".to_owned());
        Difference { operation, made, is_look: false, text, expected, observed: None }
    }

    #[tokio::test]
    async fn a_difference_is_shrunk_to_the_calls_it_needs() {
        let mut found = 0;
        for number in 0..20 {
            let sequence = Sequence::generate(5, number, 60);
            let mut planted = Planted { tried: 0 };
            let Some(first) = planted.differs(&sequence.operations()).await else { continue };
            let shrunk = shrink(sequence.trees, &first, &mut planted).await.expect("it differs again");
            found += 1;
            let endpoints: Vec<_> = shrunk.operations.iter().map(Operation::endpoint).collect();
            assert_eq!(endpoints, ["POST /nacos/v1/ns/instance", "GET /nacos/v1/ns/instance/list"]);
            let list = shrunk.operations.last().expect("two");
            assert!(list.headers.is_empty() && list.param("clusters").is_none(), "{list:?}");
            assert_eq!(list.param("healthyOnly"), Some("true"));
            assert!(planted.tried < TRIES_MAX);
        }
        assert!(found > 3, "the plant comes up");
    }

    struct Never;

    impl Try for Never {
        async fn differs(&mut self, _: &[Operation]) -> Option<Difference> {
            None
        }
    }

    #[tokio::test]
    async fn what_does_not_differ_again_is_not_shrunk() {
        let sequence = Sequence::generate(5, 0, 5);
        let first = difference(&sequence.operations()[0], 1);
        assert!(shrink(sequence.trees, &first, &mut Never).await.is_none());
    }
}
