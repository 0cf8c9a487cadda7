//! Carrying out the plan: one life after its own clock, many at once, and what the answers allow to be true.

use futures::future::join_all;
use rand::RngExt as _;
use rand::rngs::StdRng;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};

use super::history::{Entry, History};
use super::plan::{Life, Operation};
use super::request::{Action, Answer, Outcome, Subject, send};
use crate::agreement::differ::{Expected, Wanted};
use crate::experiment::{Session, keep_first};

/// Requests under way at once; more than real nodes on two cores answer would only wait in their queues.
const AT_ONCE: usize = 12;

/// How often one request is tried, each time at another node, as official clients do.
const ATTEMPTS: usize = 3;

/// Pause before another attempt, times the number of attempts so far. An official node applies a write to what it
/// serves some milliseconds after it acknowledged it, and a change that needs to see it must wait that long.
const RETRY_PAUSE: Duration = Duration::from_millis(300);

/// What became of all operations.
#[derive(Debug, Default)]
pub(super) struct Driven {
    /// What may be there now.
    pub(super) expected: Expected,
    /// Everything that may still be there, for the clean-up.
    pub(super) subjects: Vec<Subject>,
    /// Operations that were acknowledged.
    pub(super) acknowledged: u64,
    /// Requests that had to be repeated before they were.
    pub(super) retried: u64,
    /// Operations that ended without a clear answer: their instance may be either.
    pub(super) indefinite: u64,
    /// Operations that the servers surely did not do.
    pub(super) refused: u64,
    /// Operations left out because an earlier one of their instance failed.
    pub(super) left_out: u64,
    /// Deletions of services that were refused; a server may do so, and nothing is there either way.
    pub(super) deletions_refused: u64,
    /// When the last acknowledgement came.
    pub(super) last_ack: Option<Instant>,
    /// When the last change was acknowledged whose effect comes by itself some seconds later.
    pub(super) last_timed: Option<Instant>,
    /// The first failures.
    pub(super) notes: Vec<String>,
}

/// Carries out all lives.
pub(super) async fn drive(session: &Session<'_>, lives: &[Life], history: &History) -> Driven {
    let began = Instant::now();
    let places = Semaphore::new(AT_ONCE);
    let driver = Driver { session, history, places, began };
    let ends = join_all(lives.iter().enumerate().map(|(number, life)| {
        let random = session.random(&format!("agreement nodes {number}"));
        driver.live(life, random)
    }));
    let mut all = Driven::default();
    for (life, end) in lives.iter().zip(ends.await) {
        all.take(life, end);
    }
    history.flush();
    all
}

/// The end of one life.
struct End {
    /// What the instance may be, the latest last.
    accepted: Vec<Option<Wanted>>,
    done: Driven,
}

impl Driven {
    fn take(&mut self, life: &Life, end: End) {
        let service = self.expected.entry(life.subject.service.clone()).or_default();
        service.insert(life.subject.instance.clone(), end.accepted);
        self.subjects.push(life.subject.clone());
        let Driven { acknowledged, retried, indefinite, refused, left_out, deletions_refused, .. } = end.done;
        self.acknowledged += acknowledged;
        self.retried += retried;
        self.indefinite += indefinite;
        self.refused += refused;
        self.left_out += left_out;
        self.deletions_refused += deletions_refused;
        self.last_ack = self.last_ack.max(end.done.last_ack);
        self.last_timed = self.last_timed.max(end.done.last_timed);
        end.done.notes.into_iter().for_each(|it| keep_first(&mut self.notes, it));
    }

    fn count(&mut self, answer: &Answer, what: &str) {
        match answer.outcome {
            Outcome::Done => self.acknowledged += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::Indefinite => self.indefinite += 1,
        }
        if answer.outcome != Outcome::Done {
            let status = answer.status.map_or_else(|| "no answer".to_owned(), |it| it.to_string());
            keep_first(&mut self.notes, format!("{what}: {status}: {}", answer.said));
        }
    }
}

struct Driver<'a> {
    session: &'a Session<'a>,
    history: &'a History,
    places: Semaphore,
    began: Instant,
}

impl Driver<'_> {
    async fn live(&self, life: &Life, mut random: StdRng) -> End {
        let mut end = End { accepted: vec![None], done: Driven::default() };
        for (position, operation) in life.operations.iter().enumerate() {
            // Drawn first, so that every target meets the same choices.
            let node = random.random_range(0..self.session.clients.len().max(1));
            sleep_until(self.began + operation.due).await;
            if self.session.stop.is_cancelled() {
                return end;
            }
            let left = (life.operations.len() - position - 1) as u64;
            match self.operate(life, operation, node, &mut end.done).await {
                Outcome::Done => {
                    end.accepted = vec![operation.after.clone()];
                    end.done.last_timed = end.done.last_ack.filter(|_| operation.is_timed()).or(end.done.last_timed);
                }
                // What comes next is planned on what did not happen: better to know this instance's state.
                Outcome::Refused => {
                    end.done.left_out += left;
                    return end;
                }
                Outcome::Indefinite => {
                    end.accepted.push(operation.after.clone());
                    // Part of it may have been done: deregistered, but not registered again.
                    end.accepted.push(None);
                    end.done.left_out += left;
                    return end;
                }
            }
        }
        end
    }

    /// All actions of one operation; the outcome is that of the first that was not done.
    async fn operate(&self, life: &Life, operation: &Operation, node: usize, done: &mut Driven) -> Outcome {
        let mut acted = false;
        for action in &operation.actions {
            if let Action::Pause(time) = action {
                sleep(*time).await;
                continue;
            }
            let answer = self.request(&life.subject, operation.number, action, node, done).await;
            if *action == Action::DeleteService {
                done.deletions_refused += u64::from(answer.outcome != Outcome::Done);
                done.acknowledged += u64::from(answer.outcome == Outcome::Done);
                return Outcome::Done;
            }
            if answer.outcome != Outcome::Done {
                done.count(&answer, &format!("{} of {}", action.name(), life.subject.service));
                return if acted { Outcome::Indefinite } else { answer.outcome };
            }
            acted = true;
            done.last_ack = Some(Instant::now());
        }
        done.acknowledged += 1;
        Outcome::Done
    }

    async fn request(
        &self,
        subject: &Subject,
        operation: usize,
        action: &Action,
        node: usize,
        done: &mut Driven,
    ) -> Answer {
        let clients = self.session.clients;
        let mut worst = Outcome::Refused;
        let mut attempt = 0;
        loop {
            let Some(client) = clients.get((node + attempt) % clients.len().max(1)) else {
                return Answer { outcome: Outcome::Refused, status: None, said: "no node".to_owned() };
            };
            let place = self.places.acquire().await;
            let sent = self.began.elapsed();
            let answer = send(client.address(), client.context(), subject, action).await;
            drop(place);
            let (method, target) = action.request(client.context(), subject);
            self.history.append(&Entry {
                operation,
                sent_ms: sent.as_secs_f64() * 1000.0,
                answered_ms: self.began.elapsed().as_secs_f64() * 1000.0,
                node: client.address(),
                action: action.name(),
                namespace: &subject.service.namespace,
                service: &subject.service.name,
                instance: subject.instance.to_string(),
                request: format!("{method} {target}"),
                outcome: answer.outcome.name(),
                status: answer.status,
                answer: &answer.said,
            });
            attempt += 1;
            match answer.outcome {
                Outcome::Done => return answer,
                Outcome::Indefinite => worst = Outcome::Indefinite,
                Outcome::Refused => {}
            }
            // A service is deleted once or not at all: a second attempt would only be told that it is gone.
            if attempt == ATTEMPTS || *action == Action::DeleteService {
                return Answer { outcome: worst, ..answer };
            }
            done.retried += 1;
            sleep(RETRY_PAUSE * attempt as u32).await;
        }
    }
}
