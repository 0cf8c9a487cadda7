//! One call round a list of servers, as the official client makes it: from a random one on, each once, until one says
//! yes; whatever is not a yes moves on (`compat/spec/health-and-push.md` §6.1).

use std::sync::Arc;

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::Recorder;
use crate::client::connection::Reply;
use crate::client::{Call, ClientError, NacosClient};
use crate::experiment::fault::history::Try;

/// A server of a list: its position in the cluster, and how to ask it.
pub(crate) type Server = (usize, Arc<NacosClient>);

/// What came of one call.
pub(crate) struct Round {
    pub(crate) tries: Vec<Try>,
    /// The answer of the last server tried, when it was a yes.
    pub(crate) reply: Option<Reply>,
    /// Whether a server that did not say yes may have acted.
    pub(crate) indefinite: bool,
}

/// Sends a call round `servers`.
pub(crate) async fn round(servers: &[Server], random: &mut StdRng, recorder: &Recorder, call: &Call) -> Round {
    let mut outcome = Round { tries: Vec::new(), reply: None, indefinite: false };
    let first = random.random_range(0..servers.len().max(1));
    for (node, client) in servers.iter().cycle().skip(first).take(servers.len()) {
        let began = recorder.now();
        let answer = client.send(call).await;
        let took = recorder.now() - began;
        let status = match &answer {
            Ok(reply) => Some(reply.status),
            Err(ClientError::Refused { status, .. }) => Some(*status),
            Err(_) => None,
        };
        let unreached = matches!(answer, Err(ClientError::Connect { .. }));
        outcome.tries.push(Try { node: *node, took, status, unreached });
        match answer {
            Ok(reply) => {
                outcome.reply = Some(reply);
                break;
            }
            Err(error) => outcome.indefinite |= error.is_indefinite(),
        }
    }
    outcome
}
