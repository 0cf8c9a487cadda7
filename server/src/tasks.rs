//! Background work of a node: started in one place, stopped together.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

/// Runs a task of a node beside the present one.
pub fn spawn<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(placed(work))
}

/// Work that is to run as a task of its own, on the node whose task this is. There is one per process; but a simulation
/// has several, and stops, pauses and kills them apart.
#[cfg(not(test))]
pub(crate) fn placed<F: Future>(work: F) -> F {
    work
}

#[cfg(test)]
pub(crate) use crate::simulation::placed;

/// The background tasks of one node. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// Runs `work` until it ends or the node stops, whichever is first. It is dropped at an await when the node
    /// stops, so it must hold nothing there that needs finishing; what does waits for [`Tasks::stopping`] itself.
    pub fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tracker.spawn(placed(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = work => debug!(task = name, "task ended"),
            }
        }));
    }

    /// As [`Tasks::spawn`], for work that looks at [`Tasks::stopping`] itself and needs time to finish.
    pub fn spawn_until_done(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(placed(work));
    }

    /// Completes once the node stops.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + 'static {
        self.stop.clone().cancelled_owned()
    }

    /// Stops everything and waits until it has, at most for `bound`.
    pub async fn stop(&self, bound: Duration) {
        self.stop.cancel();
        self.tracker.close();
        if tokio::time::timeout(bound, self.tracker.wait()).await.is_err() {
            warn!(tasks = self.tracker.len(), "tasks still running after {} ms are dropped", bound.as_millis());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stop_drops_endless_work_and_waits_for_the_rest() {
        let tasks = Tasks::default();
        let (done, mut finished) = tokio::sync::oneshot::channel();
        tasks.spawn("endless", std::future::pending());
        let stopping = tasks.stopping();
        tasks.spawn_until_done(async move {
            stopping.await;
            tokio::task::yield_now().await;
            let _ = done.send(());
        });
        tasks.stop(Duration::from_secs(5)).await;
        assert_eq!(finished.try_recv(), Ok(()));
    }
}
