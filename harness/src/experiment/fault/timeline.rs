//! The steps of a scenario, one after the other, each when it is due; and the end of every fault, whatever happens.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use tokio::time::{Instant, sleep};

use super::choose::chosen;
use super::history::{Event, Fault, Us};
use super::inject::{self, Begun};
use super::run::Context;
use super::scenario::{Action, READY_WITHIN, Selector, Step};
use crate::experiment::workload::{Observer, Recorder};
use crate::nemesis::{Action as Deed, Applied};
use crate::target::{Cluster, HangWatch};

/// How finely ends are kept.
const TICK: Duration = Duration::from_millis(10);

/// How long a node may take until it answers again. The slowest start seen took 110 s
/// (`compat/spec/reference-targets.md` §6); one that hangs in its first is started a second time after 75 to
/// 165 s.
const ANSWER_LIMIT: Duration = Duration::from_secs(300);

/// A fault in force.
#[derive(Debug)]
struct Active {
    number: usize,
    /// When it ends by itself; with the timeline when there is no such time.
    until: Option<Instant>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// It holds: what was done, and what ends it.
    Holds { done: Vec<Applied>, undo: Vec<Deed> },
    /// It was undone; it is over when these nodes answer what they were asked since.
    Answering { nodes: Vec<usize>, since: Us, began: Instant, hung: HangWatch },
}

impl State {
    fn answering(nodes: Vec<usize>, since: Us) -> Self {
        Self::Answering { nodes, since, began: Instant::now(), hung: HangWatch::default() }
    }
}

/// The timeline of one run.
pub(super) struct Timeline<'a> {
    cluster: &'a mut Cluster,
    context: &'a Context<'a>,
    recorder: Arc<Recorder>,
    observers: Vec<Arc<Observer>>,
    services: Vec<String>,
    random: StdRng,
    active: Vec<Active>,
    faults: usize,
}

impl<'a> Timeline<'a> {
    pub(super) fn new(
        cluster: &'a mut Cluster,
        context: &'a Context<'a>,
        recorder: Arc<Recorder>,
        observers: Vec<Arc<Observer>>,
        services: &[String],
        random: StdRng,
    ) -> Self {
        let services = services.to_vec();
        Self { cluster, context, recorder, observers, services, random, active: Vec::new(), faults: 0 }
    }

    pub(super) fn target(&self) -> &str {
        &self.cluster.target
    }

    /// Does all steps, and returns when every fault is over.
    pub(super) async fn run(&mut self, steps: &[Step]) -> Result<()> {
        let began = Instant::now();
        let mut done = began;
        for step in steps {
            let due = match (step.at, step.after) {
                (Some(at), _) => began + at.get(),
                (None, Some(after)) => done + after.get(),
                (None, None) => done,
            };
            self.pass_until(due).await?;
            self.step(step).await.with_context(|| format!("the step {}", step.action))?;
            done = Instant::now();
        }
        // What ends by itself does so at its time.
        while let Some(end) = self.active.iter().filter_map(|it| it.until).max() {
            self.pass_until(end).await?;
        }
        self.end(|_| true).await?;
        self.all_over().await
    }

    async fn step(&mut self, step: &Step) -> Result<()> {
        match step.action {
            Action::Heal => {
                self.end(|_| true).await?;
                self.all_over().await
            }
            Action::WaitReady => self.ready(step).await,
            Action::Random => self.random(step).await,
            action => {
                let nodes = self.chosen(&step.nodes).await?;
                if !step.one_by_one {
                    return self.begin(step, action, nodes).await;
                }
                for node in nodes {
                    self.begin(step, action, vec![node]).await?;
                    self.pass(step.lasts.unwrap_or_default().get()).await?;
                    self.all_over().await?;
                    self.ready(step).await?;
                    self.pass(step.after.unwrap_or_default().get()).await?;
                }
                Ok(())
            }
        }
    }

    async fn chosen(&mut self, selectors: &[Selector]) -> Result<Vec<usize>> {
        chosen(selectors, self.cluster, &self.services, &mut self.random).await
    }

    /// The other side of a link: all that are not on this one when nothing is said.
    async fn other_side(&mut self, step: &Step, nodes: &[usize]) -> Result<Vec<usize>> {
        if step.from.is_empty() || step.from.contains(&Selector::Others) {
            return Ok((0..self.cluster.nodes.len()).filter(|it| !nodes.contains(it)).collect());
        }
        self.chosen(&step.from).await
    }

    async fn begin(&mut self, step: &Step, action: Action, nodes: Vec<usize>) -> Result<()> {
        let from = self.other_side(step, &nodes).await?;
        let begun = inject::begin(self.cluster, self.context, action, step, &nodes, &from).await?;
        // What happens to a link happens to both ends of it.
        let about = if Step::is_about_links(action) { [nodes, from].concat() } else { nodes };
        self.in_force(action, about, begun, step.lasts.map(|it| it.get()));
        Ok(())
    }

    fn in_force(&mut self, action: Action, nodes: Vec<usize>, begun: Begun, lasts: Option<Duration>) {
        let number = self.faults;
        let at = begun.done.first().map_or_else(|| self.recorder.now(), |it| self.recorder.at(it.at.into()));
        self.faults += 1;
        self.context.progress.line(&format!("{}: {}", self.cluster.target, begun.what));
        self.recorder.add(Event::Fault(Fault { at, fault: number, kind: action.to_string(), nodes, what: begun.what }));
        if let Some((bit, what)) = begun.proof {
            self.recorder.add(Event::Proof { at: self.recorder.now(), fault: number, bit, what });
        }
        let state = if !begun.undo.is_empty() {
            State::Holds { done: begun.done, undo: begun.undo }
        } else if begun.restarted.is_empty() {
            self.recorder.add(Event::Healed { at: self.recorder.now(), fault: number });
            return;
        } else {
            State::answering(begun.restarted, self.recorder.now())
        };
        let until = lasts.filter(|_| matches!(state, State::Holds { .. })).map(|it| Instant::now() + it);
        self.active.push(Active { number, until, state });
    }

    /// One fault after the other until the time is over, each on whoever it hits.
    async fn random(&mut self, step: &Step) -> Result<()> {
        let end = Instant::now() + step.lasts.unwrap_or_default().get();
        let every = step.every.unwrap_or_default().get();
        while Instant::now() < end {
            let began = Instant::now();
            let action = *step.of.choose(&mut self.random).context("nothing may happen")?;
            let node = self.random.random_range(0..self.cluster.nodes.len().max(1));
            let lasts = every.mul_f64(self.random.random_range(0.3..0.7));
            let gap = every.mul_f64(self.random.random_range(0.8..1.2));
            let one = Step::at_random(action, lasts);
            // With nobody in the lead there is nobody to hand over.
            if let Err(error) = self.begin(&one, action, vec![node]).await {
                self.context.progress.line(&format!("{}: not done: {error:#}", self.cluster.target));
            }
            self.pass(lasts).await?;
            self.all_over().await?;
            self.pass_until(began + gap).await?;
        }
        Ok(())
    }

    /// Waits until every node is usable.
    async fn ready(&mut self, step: &Step) -> Result<()> {
        let limit = step.within.unwrap_or(READY_WITHIN).get();
        tokio::select! {
            ready = self.cluster.wait_ready(limit, self.context.progress) => ready.map(drop),
            () = self.context.stop.cancelled() => bail!("the run was interrupted"),
        }
    }

    // === time, and what ends in it ===

    pub(super) async fn pass(&mut self, time: Duration) -> Result<()> {
        self.pass_until(Instant::now() + time).await
    }

    /// Lets time pass; faults that are due to end do.
    async fn pass_until(&mut self, end: Instant) -> Result<()> {
        loop {
            let now = Instant::now();
            self.end(|it| it.until.is_some_and(|until| until <= now)).await?;
            self.look_for_answers()?;
            self.start_hung_again().await?;
            if now >= end {
                return Ok(());
            }
            tokio::select! {
                () = sleep(TICK.min(end - now)) => {}
                () = self.context.stop.cancelled() => bail!("the run was interrupted"),
            }
        }
    }

    /// Waits until no fault is left.
    async fn all_over(&mut self) -> Result<()> {
        while self.active.iter().any(|it| matches!(it.state, State::Answering { .. }) || it.until.is_some()) {
            self.pass(TICK).await?;
        }
        Ok(())
    }

    /// Undoes those of the faults in force that are meant. Whether they had effect is asked before.
    async fn end(&mut self, meant: impl Fn(&Active) -> bool) -> Result<()> {
        let (ending, others) = std::mem::take(&mut self.active)
            .into_iter()
            .partition(|it| matches!(it.state, State::Holds { .. }) && meant(it));
        self.active = others;
        let mut failure = Ok(());
        for Active { number, state, .. } in ending {
            let State::Holds { done, undo } = state else { continue };
            let (bit, what) = inject::proof(self.cluster, &done).await;
            self.recorder.add(Event::Proof { at: self.recorder.now(), fault: number, bit, what });
            let since = self.recorder.now();
            match inject::undo(self.cluster, &undo).await {
                Ok(nodes) if nodes.is_empty() => {
                    self.recorder.add(Event::Healed { at: self.recorder.now(), fault: number });
                }
                Ok(nodes) => {
                    let state = State::answering(nodes, since);
                    self.active.push(Active { number, until: None, state });
                }
                Err(error) => failure = failure.and(Err(error)),
            }
        }
        failure
    }

    /// Real nodes that are to answer and hang in their start are started once more.
    async fn start_hung_again(&mut self) -> Result<()> {
        for it in &mut self.active {
            if let State::Answering { nodes, began, hung, .. } = &mut it.state
                && hung.is_due(began.elapsed())
            {
                self.cluster.start_hung_again(nodes, hung, self.context.progress).await?;
            }
        }
        Ok(())
    }

    fn look_for_answers(&mut self) -> Result<()> {
        let observers = &self.observers;
        let answer = |node: &usize, since| observers.get(*node).is_some_and(|it| it.has_answered_since(since));
        let recorder = &self.recorder;
        let mut late = None;
        self.active.retain(|it| {
            let State::Answering { nodes, since, began, .. } = &it.state else { return true };
            if nodes.iter().all(|node| answer(node, *since)) {
                recorder.add(Event::Healed { at: recorder.now(), fault: it.number });
                return false;
            }
            if began.elapsed() > ANSWER_LIMIT {
                late = Some(nodes.clone());
            }
            true
        });
        match late {
            Some(nodes) => bail!("node {nodes:?} did not answer within {} s of its start", ANSWER_LIMIT.as_secs()),
            None => Ok(()),
        }
    }

    /// Ends everything that is in force, although something went wrong.
    pub(super) async fn heal_all(&mut self) {
        if let Err(error) = self.end(|_| true).await {
            self.context.progress.line(&format!("{}: a fault could not be ended: {error:#}", self.cluster.target));
        }
    }
}
