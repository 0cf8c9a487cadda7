//! How long single changes take from one node to others, measured all along: an instance is registered at the first
//! node, in a service that this node is responsible for, and every other is asked until it shows it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Recorder;
use super::ring::Server;
use crate::client::Instance;
use crate::experiment::fault::history::{Change, Event};
use crate::experiment::{KEEP, loopback};

/// Time between two changes.
const EVERY: Duration = Duration::from_millis(250);

/// Time between two questions: fine beside the milliseconds that a change takes.
const LOOK: Duration = Duration::from_millis(1);

/// How long a change is waited for.
const SHOWN_LIMIT: Duration = Duration::from_secs(20);

/// Changes under way at once, at most.
const UNDER_WAY_MAX: usize = 100;

/// The probe of one run.
pub(crate) struct Probe {
    pub(crate) from: Server,
    pub(crate) to: Vec<Server>,
    /// A service that `from` is responsible for.
    pub(crate) service: String,
    pub(crate) recorder: Arc<Recorder>,
}

impl Probe {
    /// Changes and looks until told to stop.
    pub(crate) async fn run(self: Arc<Self>, over: CancellationToken) {
        let (began, mut changes) = (Instant::now(), JoinSet::new());
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
            let this = self.clone();
            changes.spawn(async move { this.change(number).await });
        }
        changes.shutdown().await;
    }

    async fn change(&self, number: u32) {
        let instance = Instance::kept(&self.service, loopback(number as usize), 9000, KEEP);
        let sent = self.recorder.now();
        let is_made = self.from.1.register(&instance).await.is_ok();
        let done = self.recorder.now();
        let looks = self.to.iter().map(|(node, client)| {
            let instance = &instance;
            async move {
                let began = Instant::now();
                let shown = loop {
                    if client.list(&self.service).await.is_ok_and(|it| it.shows(instance)) {
                        break Some(self.recorder.now());
                    }
                    if !is_made || began.elapsed() > SHOWN_LIMIT {
                        break None;
                    }
                    sleep(LOOK).await;
                };
                self.recorder.add(Event::Change(Change { from: self.from.0, to: *node, sent, done, is_made, shown }));
            }
        });
        futures::future::join_all(looks).await;
        // Whether it goes matters to nobody; the service must only not grow.
        let _ = self.from.1.deregister(&instance).await;
    }
}
