//! Beats for services another Tandem node is responsible for, handed on in batches.
//!
//! A client waits for the owner's own answer either way. The first beat for a peer leaves at once; those that come
//! while a batch is under way make up the next one. So a batch costs nobody any time, and a node that is busy sends
//! few and large ones.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::Distro;
use super::peer_client::PeerError;
use crate::telemetry::metrics;

/// Beats in a batch.
const BATCH_MAX: usize = 500;
/// Beats waiting for one peer; further ones go their own way.
const WAITING_MAX: usize = 10_000;

/// A client's request, as far as a beat needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// Its parameters.
    pub params: Vec<(String, String)>,
    /// Its `Accept` header: errors are written in what it takes.
    pub accept: String,
}

/// Status and body of the owner's answer.
pub type Answered = (u16, String);

struct Waiting {
    beat: Beat,
    answer: oneshot::Sender<Result<Answered, PeerError>>,
}

/// Beats waiting, by peer; there is an entry as long as a batch is under way.
#[derive(Default)]
pub(super) struct Lanes(Mutex<HashMap<String, Vec<Waiting>>>);

impl Distro {
    /// The owner's answer to a beat; `None` when it must be handed on by itself: the owner does not take batches, or
    /// too many are waiting.
    ///
    /// # Errors
    /// In the inner result, when there was no answer.
    pub async fn hand_on_beat(self: &Arc<Self>, owner: &str, beat: Beat) -> Option<Result<Answered, PeerError>> {
        self.members.stream_version(owner)?;
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { beat, answer };
        let idle = match self.beats.0.lock().entry(owner.to_owned()) {
            Entry::Occupied(lane) if lane.get().len() >= WAITING_MAX => return None,
            Entry::Occupied(mut lane) => {
                lane.get_mut().push(waiting);
                false
            }
            Entry::Vacant(lane) => {
                lane.insert(vec![waiting]);
                true
            }
        };
        if idle {
            crate::tasks::spawn(send_all(Arc::clone(self), owner.to_owned()));
        }
        match answered.await {
            Ok(Err(PeerError::Status(..))) => None,
            Ok(result) => Some(result),
            Err(_) => Some(Err(PeerError::Transport("the node stops".to_owned()))),
        }
    }

    /// The next batch for a peer; the lane is closed when none waits.
    fn next_batch(&self, owner: &str) -> Vec<Waiting> {
        let mut lanes = self.beats.0.lock();
        let Some(lane) = lanes.get_mut(owner) else { return Vec::new() };
        let batch: Vec<_> = lane.drain(..lane.len().min(BATCH_MAX)).collect();
        if batch.is_empty() {
            lanes.remove(owner);
        }
        batch
    }
}

/// Sends batches to one peer, one after the other, until none waits.
async fn send_all(distro: Arc<Distro>, owner: String) {
    loop {
        let batch = distro.next_batch(&owner);
        if batch.is_empty() {
            return;
        }
        let (beats, answers): (Vec<_>, Vec<_>) = batch.into_iter().map(|one| (one.beat, one.answer)).unzip();
        metrics::beats_handed_on(&owner, beats.len());
        match send(&distro, &owner, &beats).await {
            // Who hung up meanwhile does not want its answer; here and below.
            Ok(answered) => answers.into_iter().zip(answered).for_each(|(answer, one)| drop(answer.send(Ok(one)))),
            Err(error) => {
                // Those that wait would have met the same: they must not wait as long again.
                let waiting = distro.beats.0.lock().get_mut(&owner).map(std::mem::take).unwrap_or_default();
                let failed = answers.into_iter().chain(waiting.into_iter().map(|one| one.answer));
                let failed = failed.map(|answer| drop(answer.send(Err(error.clone())))).count();
                tracing::debug!(owner, failed, %error, "beats could not be handed on");
            }
        }
    }
}

async fn send(distro: &Distro, owner: &str, beats: &[Beat]) -> Result<Vec<Answered>, PeerError> {
    let body = serde_json::to_vec(beats).map_err(|error| PeerError::Transport(error.to_string()))?;
    let answered = distro.client.beats(owner, body).await?;
    if answered.len() == beats.len() {
        Ok(answered)
    } else {
        Err(PeerError::Transport("as many answers as beats were expected".to_owned()))
    }
}
