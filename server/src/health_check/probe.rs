//! One check of any kind: what it is about, what it found, and the connection it leaves for the next one.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::status::Verdict;
use super::{http, mysql, tcp};
use crate::naming::service::HealthChecker;
use crate::naming::switches::{HealthParams, SwitchDomain};

/// No check takes longer. The official node bounds single reads only, so that a trickle holds it for ever.
const CHECK_MAX: Duration = Duration::from_secs(5);

/// Kinds of checks; the words are those of the official metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Tcp,
    Http,
    Mysql,
}

impl Kind {
    /// The kind of a checker; `None` for the one that checks nothing.
    pub(super) fn of(checker: &HealthChecker) -> Option<Kind> {
        match checker {
            HealthChecker::Tcp => Some(Kind::Tcp),
            HealthChecker::Http { .. } => Some(Kind::Http),
            HealthChecker::Mysql { .. } => Some(Kind::Mysql),
            HealthChecker::None => None,
        }
    }

    /// Its official gauge.
    pub(super) fn monitor(self) -> &'static str {
        match self {
            Kind::Tcp => "tcpHealthCheck",
            Kind::Http => "httpHealthCheck",
            Kind::Mysql => "mysqlhealthCheck",
        }
    }

    /// Bounds of its interval.
    pub(super) fn params(self, switches: &SwitchDomain) -> &HealthParams {
        match self {
            Kind::Tcp => &switches.tcp_health_params,
            Kind::Http => &switches.http_health_params,
            Kind::Mysql => &switches.mysql_health_params,
        }
    }
}

/// The response time that goes into the interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Feedback {
    /// From the moment the cluster was last looked at.
    SinceScheduled,
    /// The check's own time.
    Measured,
    /// Twice the present interval.
    Twice,
    /// The longest interval of the kind.
    Longest,
    /// The longest interval of HTTP, whatever the kind: what a failed MySQL check feeds back upstream.
    LongestOfHttp,
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) verdict: Verdict,
    pub(super) feedback: Feedback,
}

impl Outcome {
    pub(super) fn new(verdict: Verdict, feedback: Feedback) -> Self {
        Outcome { verdict, feedback }
    }
}

/// What a check leaves behind for the next one of the same instance.
#[derive(Debug)]
pub(super) enum Connection {
    Tcp(tcp::Open),
    Http(http::Connection),
    Mysql(Box<mysql::Connection>),
}

/// A connection kept open, and its place among those that may be.
#[derive(Debug)]
pub(super) struct Kept {
    connection: Connection,
    _place: OwnedSemaphorePermit,
}

/// What is checked.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) address: Arc<str>,
    /// The instance's own or that of its cluster; MySQL always takes the instance's.
    pub(super) port: i32,
    pub(super) checker: Arc<HealthChecker>,
}

/// A finished check.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
    pub(super) kept: Option<Kept>,
}

/// Checks once. The connection is kept when `places` has room, else closed at once.
pub(super) async fn run(target: Target, kept: Option<Kept>, places: Arc<Semaphore>) -> Finished {
    let started = Instant::now();
    let checked = AssertUnwindSafe(timeout(CHECK_MAX, check(&target, kept))).catch_unwind().await;
    let (outcome, connection) = match checked {
        Ok(Ok(checked)) => checked,
        Ok(Err(_)) => (Outcome::new(Verdict::Fail, Feedback::Twice), None),
        Err(_) => {
            tracing::error!(address = %target.address, port = target.port, "a health check failed in itself");
            (Outcome::new(Verdict::Fail, Feedback::Longest), None)
        }
    };
    let kept = connection
        .and_then(|connection| places.try_acquire_owned().ok().map(|place| Kept { connection, _place: place }));
    Finished { outcome, took: started.elapsed(), kept }
}

async fn check(target: &Target, kept: Option<Kept>) -> (Outcome, Option<Connection>) {
    let Target { address, port, checker } = target;
    let kept = kept.map(|kept| kept.connection);
    match checker.as_ref() {
        HealthChecker::Tcp => {
            // Closed before the next is opened, as by the official node.
            if let Some(Connection::Tcp(open)) = kept {
                drop(open);
            }
            let (outcome, open) = tcp::check(address, *port).await;
            (outcome, open.map(Connection::Tcp))
        }
        HealthChecker::Http { path, headers, .. } => {
            let (outcome, connection) = http::check(address, *port, path, headers, kept).await;
            (outcome, connection.map(Connection::Http))
        }
        HealthChecker::Mysql { user, pwd, cmd } => {
            let access = mysql::Access { address, port: *port, user: user.as_deref(), password: pwd.as_deref() };
            let (outcome, connection) = mysql::check(access, cmd.as_deref(), kept).await;
            (outcome, connection.map(|connection| Connection::Mysql(Box::new(connection))))
        }
        HealthChecker::None => (Outcome::new(Verdict::Ok, Feedback::Twice), None),
    }
}
