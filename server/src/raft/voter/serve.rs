//! Writes and reads that other members send to this one because it leads (compat/spec/jraft.md §3, §8, §9).

use super::attempt::Sent;
use super::turns::Of;
use super::{CHANGED_MEANWHILE, EXPECTED, Voter};
use crate::raft::datum::GROUP;
use crate::raft::naming_state::command::{Command, read_answer, read_keys};
use crate::raft::naming_state::record::{self, Subject};
use crate::raft::rpc::{ReadRequest, Response, WriteRequest};

fn failed(err_msg: impl Into<String>) -> Response {
    Response { err_msg: err_msg.into(), ..Response::default() }
}

fn no_leader() -> Response {
    failed(format!("Could not find leader : {GROUP}"))
}

impl Voter {
    /// A write of another member. `success` is answered only when it is committed and applied.
    pub async fn on_write(&self, mut request: WriteRequest) -> Response {
        if request.group != GROUP {
            return failed(format!("Could not find the corresponding Raft Group : {}", request.group));
        }
        // Who does not lead looks at nothing else.
        if !self.leads(&self.consensus.status()) {
            return no_leader();
        }
        let command = match Command::of(&request) {
            Ok(command) => command,
            // In the log it would stop official members for good.
            Err(skipped) => return failed(skipped.to_string()),
        };
        if let Some(reason) = harm(&command) {
            return failed(reason);
        }
        let expected = request.extend_info.remove(EXPECTED);
        let subjects = command.keys().into_iter().map(|key| match Subject::of(key) {
            Subject::Meta(id) | Subject::List(id) => Of::Service(id.namespace, id.name),
            Subject::Switches => Of::Switches,
            Subject::Other => Of::Other,
        });
        let _turns = self.turns.all(subjects.collect()).await;
        let status = self.consensus.status();
        if !self.leads(&status) {
            return no_leader();
        }
        if expected.is_some() && *self.caught_up.lock() != status.term {
            if self.consensus.read().await.is_err() {
                return no_leader();
            }
            *self.caught_up.lock() = status.term;
        }
        if let Some(expected) = &expected
            && !self.is_expected(&command, expected)
        {
            return failed(CHANGED_MEANWHILE);
        }
        match self.propose(&request).await {
            Ok(index) => {
                // Official members do not read it, and get what an official leader answers.
                let data = expected.map(|_| index.to_string().into_bytes()).unwrap_or_default();
                Response { success: true, data, ..Response::default() }
            }
            Err(Sent::Not(_)) => no_leader(),
            // As an official leader that steps down.
            Err(Sent::Unknown(_)) => failed(""),
            Err(Sent::Refused(reason)) => failed(reason),
        }
    }

    /// The records a write was worked out from: both of a service, or the switches.
    fn is_expected(&self, command: &Command, expected: &str) -> bool {
        let id = command.keys().into_iter().find_map(|key| match Subject::of(key) {
            Subject::Meta(id) | Subject::List(id) => Some(id),
            Subject::Switches | Subject::Other => None,
        });
        match id {
            Some(id) => self.data.base(&id).fingerprint == expected,
            None => self.data.fingerprint(&command.keys()) == expected,
        }
    }

    /// A read of another member, answered without putting it into the log, where it would stop official followers.
    pub async fn on_read(&self, request: ReadRequest) -> Response {
        if request.group != GROUP {
            return failed(format!("Could not find the corresponding Raft Group : {}", request.group));
        }
        if !self.leads(&self.consensus.status()) {
            return no_leader();
        }
        let keys = match read_keys(&request.data) {
            Ok(keys) => keys,
            Err(skipped) => return failed(skipped.to_string()),
        };
        match self.consensus.read().await {
            Ok(()) => Response { success: true, data: read_answer(&self.data.get(&keys)), ..Response::default() },
            Err(error) => {
                let message = "The conformance protocol is temporarily unavailable for reading, ";
                failed(format!("{message}{error}"))
            }
        }
    }
}

/// What a write would do to members for good, when it is known to.
fn harm(command: &Command) -> Option<String> {
    let Command::Write(pairs) = command else { return None };
    pairs.iter().find_map(|(key, value)| {
        let Subject::Meta(_) = Subject::of(key) else { return None };
        match record::meta(value) {
            Ok(meta) if meta.clusters.values().any(|cluster| cluster.check_port == 0) => {
                Some("a cluster has port 0, which no member can read back".to_owned())
            }
            Ok(_) => None,
            Err(error) => Some(format!("no member could read it back: {error}")),
        }
    })
}
