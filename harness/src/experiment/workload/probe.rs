//! How long single changes take from one node to others, measured all along: an instance is registered at the first
//! node, in a service that this node is responsible for, and every other is asked until it shows it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Recorder;
use super::ring::Server;
use crate::client::Instance;
use crate::experiment::fault::history::{Change, Event, Us};
use crate::experiment::{KEEP, loopback};

/// Time between two changes: a 99th percentile takes hundreds of them, and phases last some 15 s.
const EVERY: Duration = Duration::from_millis(50);

/// Time between two questions: fine beside the milliseconds that a change takes.
const LOOK: Duration = Duration::from_millis(1);

/// How long a change is waited for.
const SHOWN_LIMIT: Duration = Duration::from_secs(20);

/// Changes under way at once, at most: more than there can be.
const UNDER_WAY_MAX: usize = 1_000;

/// The probe of one run.
pub(crate) struct Probe {
    pub(crate) from: Server,
    pub(crate) to: Vec<Server>,
    /// A service that `from` is responsible for.
    pub(crate) service: String,
    pub(crate) recorder: Arc<Recorder>,
}

/// A change that a node is to show.
struct Awaited {
    instance: Instance,
    until: Instant,
    /// Told when it was shown, or that it was not in time.
    shown: oneshot::Sender<Option<Us>>,
}

/// One node that is asked, and where changes are given in.
type Looked = (usize, mpsc::UnboundedSender<Awaited>);

impl Probe {
    /// Changes and looks until told to stop.
    pub(crate) async fn run(self: Arc<Self>, over: CancellationToken) {
        let (began, mut lookers, mut changes) = (Instant::now(), JoinSet::new(), JoinSet::new());
        let mut to: Vec<Looked> = Vec::new();
        for server in &self.to {
            let (give, awaited) = mpsc::unbounded_channel();
            to.push((server.0, give));
            lookers.spawn(self.clone().look(server.clone(), awaited));
        }
        for number in 0..u32::MAX {
            let due = began + EVERY * number;
            tokio::select! {
                () = sleep_until(due) => {}
                () = over.cancelled() => break,
            }
            while changes.try_join_next().is_some() {}
            if changes.len() >= UNDER_WAY_MAX {
                self.recorder.add(Event::Unsent { due: self.recorder.at(due) });
                continue;
            }
            changes.spawn(self.clone().change(number, to.clone()));
        }
        changes.shutdown().await;
    }

    /// Makes one change, and waits until everybody shows it.
    async fn change(self: Arc<Self>, number: u32, to: Vec<Looked>) {
        let instance = Instance::kept(&self.service, loopback(number as usize), 9000, KEEP);
        let sent = self.recorder.now();
        let is_made = self.from.1.register(&instance).await.is_ok();
        let (done, until) = (self.recorder.now(), Instant::now() + SHOWN_LIMIT);
        let looks = to.iter().map(async |(node, give)| {
            let (shown, seen) = oneshot::channel();
            let is_given = is_made && give.send(Awaited { instance: instance.clone(), until, shown }).is_ok();
            let shown = if is_given { seen.await.ok().flatten() } else { None };
            self.recorder.add(Event::Change(Change { from: self.from.0, to: *node, sent, done, is_made, shown }));
        });
        futures::future::join_all(looks).await;
        // Whether it goes matters to nobody; the service must only not grow.
        let _ = self.from.1.deregister(&instance).await;
    }

    /// Asks one node again and again, for all changes that it is to show.
    async fn look(self: Arc<Self>, (_, client): Server, mut awaited: mpsc::UnboundedReceiver<Awaited>) {
        let mut open: Vec<Awaited> = Vec::new();
        loop {
            if open.is_empty() {
                let Some(one) = awaited.recv().await else { return };
                open.push(one);
            }
            while let Ok(one) = awaited.try_recv() {
                open.push(one);
            }
            let list = client.list(&self.service).await.ok();
            let (seen_at, now) = (self.recorder.now(), Instant::now());
            for one in std::mem::take(&mut open) {
                if list.as_ref().is_some_and(|it| it.shows(&one.instance)) {
                    let _ = one.shown.send(Some(seen_at));
                } else if now > one.until {
                    let _ = one.shown.send(None);
                } else {
                    open.push(one);
                }
            }
            sleep(LOOK).await;
        }
    }
}
