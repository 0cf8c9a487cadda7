//! The TCP check, default of every cluster: connect, send nothing (compat/spec/health-and-push.md §4.2).

use std::io::{Error, ErrorKind};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::probe::{Feedback, Outcome};
use super::status::Verdict;

/// How long a connect may take, for every kind of check.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// What a listener said unasked is read before its connection is closed, up to this: closing with unread data would
/// reach it as a reset.
const GREETING_MAX_BYTES: usize = 16 * 1024;

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum NotConnected {
    /// Nobody listens.
    Refused,
    /// Not within [`CONNECT_TIMEOUT`].
    TimedOut,
    /// Anything else, an impossible address included.
    Other,
}

/// A connection as the official node sets it up.
pub(super) async fn connect(address: &str, port: i32) -> Result<TcpStream, NotConnected> {
    let port = u16::try_from(port).map_err(|_| NotConnected::Other)?;
    let host = address.trim_start_matches('[').trim_end_matches(']');
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect((host, port)))
        .await
        .map_err(|_| NotConnected::TimedOut)?
        .map_err(|error| not_connected(&error))?;
    // Neither is worth failing a check for.
    let _ = stream.set_nodelay(true);
    let _ = rustix::net::sockopt::set_socket_keepalive(&stream, true);
    Ok(stream)
}

fn not_connected(error: &Error) -> NotConnected {
    match error.kind() {
        // Java has one exception for both, and only that one counts as a refusal.
        ErrorKind::ConnectionRefused | ErrorKind::TimedOut => NotConnected::Refused,
        _ => NotConnected::Other,
    }
}

/// One check. The connection is kept until the next one, as by the official node.
pub(super) async fn check(address: &str, port: i32) -> (Outcome, Option<Open>) {
    match connect(address, port).await {
        Ok(stream) => (Outcome::new(Verdict::Ok, Feedback::SinceScheduled), Some(Open(stream))),
        Err(NotConnected::Refused) => (Outcome::new(Verdict::FailNow, Feedback::Longest), None),
        Err(NotConnected::TimedOut) => (Outcome::new(Verdict::Fail, Feedback::Twice), None),
        Err(NotConnected::Other) => (Outcome::new(Verdict::Fail, Feedback::Longest), None),
    }
}

/// A connection kept until the next check.
#[derive(Debug)]
pub(super) struct Open(TcpStream);

impl Drop for Open {
    /// Ends in peace: see [`GREETING_MAX_BYTES`].
    fn drop(&mut self) {
        let mut greeting = [0; 1024];
        let mut left = GREETING_MAX_BYTES;
        while let Ok(read @ 1..) = self.0.try_read(&mut greeting) {
            left = left.saturating_sub(read);
            if left == 0 {
                return;
            }
        }
    }
}
