//! Which node a task belongs to. Whoever asks for the time, for chance or for another node gets that node's.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::network::Network;
use crate::flaw::Flaw;
use crate::peer_http::{AnswerBody, Call, PeerError};

/// The wall time at which every world begins, ms since the epoch.
const EPOCH_MS: i64 = 1_700_000_000_000;

thread_local! {
    static CURRENT: RefCell<Option<Arc<Process>>> = const { RefCell::new(None) };
    /// When the world of this thread began.
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The process of a node, from its start to its end.
pub(crate) struct Process {
    pub(super) node: usize,
    pub(super) network: Arc<Network>,
    flaw: Option<Flaw>,
    /// Its wall clock is ahead by this much.
    clock_ahead_ms: i64,
    pub(super) died: CancellationToken,
    /// While it is paused: who is to be woken then.
    paused: Mutex<Option<Vec<Waker>>>,
}

impl Process {
    pub(super) fn new(node: usize, network: Arc<Network>, flaw: Option<Flaw>, clock_ahead_ms: i64) -> Arc<Self> {
        let (died, paused) = (CancellationToken::new(), Mutex::new(None));
        Arc::new(Process { node, network, flaw, clock_ahead_ms, died, paused })
    }

    pub(super) fn pause(&self) {
        self.paused.lock().get_or_insert_default();
    }

    pub(super) fn resume(&self) {
        for waker in self.paused.lock().take().into_iter().flatten() {
            waker.wake();
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused.lock().is_some()
    }

    /// Does something as a task of this process.
    pub(super) fn within<T>(self: &Arc<Self>, work: impl FnOnce() -> T) -> T {
        let before = CURRENT.replace(Some(Arc::clone(self)));
        let result = work();
        CURRENT.set(before);
        result
    }

    /// Sends a call to another node.
    pub(crate) async fn call(
        &self,
        call: Call,
        connect_timeout: Duration,
    ) -> Result<http::Response<AnswerBody>, PeerError> {
        self.network.call(self.node, call, connect_timeout).await
    }

    /// Connects to another node and says nothing.
    pub(crate) async fn reach(&self, address: &str, limit: Duration) -> Result<(), PeerError> {
        self.network.reach(self.node, address, limit).await
    }

    /// By how much a pause is drawn out.
    pub(crate) fn jitter(&self) -> f64 {
        self.network.random(0.8..1.2)
    }
}

/// The process whose task this is.
pub(crate) fn current() -> Option<Arc<Process>> {
    CURRENT.with_borrow(Clone::clone)
}

/// Whether a test broke this on purpose in the present process.
pub(crate) fn is_broken(flaw: Flaw) -> bool {
    CURRENT.with_borrow(|current| current.as_ref().is_some_and(|process| process.flaw == Some(flaw)))
}

/// The wall time in a world; `None` outside of one.
pub(crate) fn now_ms() -> Option<i64> {
    let began = BEGAN.get()?;
    let ahead = CURRENT.with_borrow(|current| current.as_ref().map_or(0, |process| process.clock_ahead_ms));
    Some(EPOCH_MS + began.elapsed().as_millis() as i64 + ahead)
}

/// This thread is in a world until this is dropped.
pub(super) struct Clock;

impl Clock {
    pub(super) fn start() -> Self {
        BEGAN.set(Some(Instant::now()));
        Clock
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        BEGAN.set(None);
    }
}

/// Time since the world began, ms.
pub(super) fn elapsed_ms() -> u64 {
    BEGAN.get().map_or(0, |began| began.elapsed().as_millis() as u64)
}

/// Which task is next, of those that could go on. Drawn, so that every order is tried, and from the seed: the order in
/// which tokio wakes who waits for one thing is different every time.
pub(super) struct Turns(Mutex<Waiting>);

struct Waiting {
    rng: SmallRng,
    tasks: u64,
    ready: BTreeMap<u64, Waker>,
    turn: Option<u64>,
    /// How many were put down, and how many had been when the dispatcher last looked.
    asked: u64,
    seen: u64,
    dispatcher: Option<Waker>,
}

impl Turns {
    pub(super) fn new(seed: u64) -> Self {
        let (rng, ready) = (SmallRng::seed_from_u64(!seed), BTreeMap::new());
        Turns(Mutex::new(Waiting { rng, tasks: 0, ready, turn: None, asked: 0, seen: 0, dispatcher: None }))
    }

    fn enroll(&self) -> u64 {
        let mut waiting = self.0.lock();
        waiting.tasks += 1;
        waiting.tasks
    }

    /// Whether it is this task's turn; it is put down for one if not.
    fn take(&self, task: u64, waker: &Waker) -> bool {
        let mut waiting = self.0.lock();
        if waiting.turn == Some(task) {
            return true;
        }
        if waiting.ready.insert(task, waker.clone()).is_none() {
            waiting.asked += 1;
        }
        waiting.wake_dispatcher();
        false
    }

    /// The task has had its turn, or is gone.
    fn done(&self, task: u64) {
        let mut waiting = self.0.lock();
        waiting.ready.remove(&task);
        if waiting.turn == Some(task) {
            waiting.turn = None;
        }
        waiting.wake_dispatcher();
    }

    /// Gives turns for ever.
    pub(super) async fn dispatch(&self) {
        std::future::poll_fn(|context| {
            let mut waiting = self.0.lock();
            if waiting.asked != waiting.seen {
                // More may be on their way to ask: once around the queue without anybody new, and all have.
                waiting.seen = waiting.asked;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            waiting.dispatcher = Some(context.waker().clone());
            if waiting.turn.is_none() && !waiting.ready.is_empty() {
                let count = waiting.ready.len();
                let chosen = waiting.rng.random_range(0..count);
                let task = waiting.ready.keys().nth(chosen).copied();
                if let Some((task, waker)) = task.and_then(|task| waiting.ready.remove_entry(&task)) {
                    waiting.turn = Some(task);
                    waker.wake();
                }
            }
            Poll::<()>::Pending
        })
        .await;
    }
}

impl Waiting {
    fn wake_dispatcher(&mut self) {
        if let Some(dispatcher) = self.dispatcher.take() {
            dispatcher.wake();
        }
    }
}

/// Work of a node's own, or of nobody.
pub(crate) struct Placed<F: Future> {
    place: Option<Place>,
    work: Option<Pin<Box<F>>>,
}

struct Place {
    process: Arc<Process>,
    death: Pin<Box<WaitForCancellationFutureOwned>>,
    task: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.process.network.turns.done(self.task);
    }
}

/// Work that belongs to the node whose task this is.
pub(crate) fn placed<F: Future>(work: F) -> Placed<F> {
    place(current(), work)
}

/// Work that belongs to this process.
pub(super) fn place<F: Future>(process: Option<Arc<Process>>, work: F) -> Placed<F> {
    let place = process.map(|process| Place {
        death: Box::pin(process.died.clone().cancelled_owned()),
        task: process.network.turns.enroll(),
        process,
    });
    Placed { place, work: Some(Box::pin(work)) }
}

impl<F: Future> Future for Placed<F> {
    type Output = F::Output;

    /// Never ready once its process died: what it held is dropped then.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        let Some(Place { process, death, task }) = &mut this.place else {
            return this.work.as_mut().map_or(Poll::Pending, |work| work.as_mut().poll(context));
        };
        if this.work.is_some() && death.as_mut().poll(context).is_ready() {
            process.within(|| this.work = None);
        }
        let Some(work) = &mut this.work else {
            process.network.turns.done(*task);
            return Poll::Pending;
        };
        if let Some(waiting) = process.paused.lock().as_mut() {
            waiting.push(context.waker().clone());
            process.network.turns.done(*task);
            return Poll::Pending;
        }
        if !process.network.turns.take(*task, context.waker()) {
            return Poll::Pending;
        }
        let polled = catch_unwind(AssertUnwindSafe(|| process.within(|| work.as_mut().poll(context))));
        process.network.turns.done(*task);
        polled.unwrap_or_else(|panic| {
            process.network.checks.violated(format!("a panic at node {}", process.node));
            resume_unwind(panic)
        })
    }
}
