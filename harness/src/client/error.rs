//! What can go wrong with one call, sorted by what the caller may conclude from it.

use std::time::Duration;

use thiserror::Error;

/// A call that did not end in the expected answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No connection: the server certainly did not see the request.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// `host:port`.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// No answer in time: the server may or may not have acted.
    #[error("{address} did not answer {target} within {} ms", waited.as_millis())]
    Timeout {
        /// `host:port`.
        address: String,
        /// Path and query of the request.
        target: String,
        /// How long was waited.
        waited: Duration,
    },
    /// The connection broke after the request was on its way: the server may or may not have acted.
    #[error("the connection to {address} broke while it answered {target}: {reason}")]
    Broken {
        /// `host:port`.
        address: String,
        /// Path and query of the request.
        target: String,
        /// What broke.
        reason: String,
    },
    /// An answer other than the expected one.
    #[error("{address} answered {status} to {target}: {body}")]
    Refused {
        /// `host:port`.
        address: String,
        /// Path and query of the request.
        target: String,
        /// Status code.
        status: u16,
        /// The start of the body.
        body: String,
    },
    /// The call cannot be written as HTTP.
    #[error("{what} cannot be sent: {reason}")]
    Unsendable {
        /// What was to be sent.
        what: String,
        /// Why not.
        reason: String,
    },
}

impl ClientError {
    /// Whether the server may have acted although no success was seen: a timeout is not a failure. A 5xx counts too,
    /// because a node answers 500 when it forwarded a write and did not hear back in time
    /// (`compat/spec/naming-api.md` §13).
    pub fn is_indefinite(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Broken { .. } => true,
            Self::Refused { status, .. } => *status >= 500,
            Self::Connect { .. } | Self::Unsendable { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16) -> ClientError {
        ClientError::Refused { address: "a:1".into(), target: "/x".into(), status, body: String::new() }
    }

    #[test]
    fn only_what_surely_did_not_happen_is_definite() {
        assert!(refused(500).is_indefinite());
        assert!(!refused(400).is_indefinite());
        assert!(!ClientError::Connect { address: "a:1".into(), reason: "refused".into() }.is_indefinite());
        let waited = Duration::from_secs(1);
        assert!(ClientError::Timeout { address: "a:1".into(), target: "/x".into(), waited }.is_indefinite());
    }
}
