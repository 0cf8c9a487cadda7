//! The MySQL check: run the operator's command, and take a read-only server for a replica
//! (compat/spec/health-and-push.md §4.2).
//!
//! Whatever a Java driver reports as an `SQLException` fails at once: no connection, no access, a refused command, and
//! the driver's own timeouts too.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, Row};
use tokio::time::timeout;

use super::probe::{self, Feedback, Outcome};
use super::status::Verdict;

/// What the driver allows for each answer.
const READ_TIMEOUT: Duration = Duration::from_millis(500);
/// A handshake is a connect and a few answers.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_millis(1_500);
/// The command that tells a primary from a replica; only this exact text has that meaning.
const CHECK_PRIMARY: &str = "show global variables where variable_name='read_only'";
/// Commands that begin like this a Java driver refuses to run as a query, without asking the server.
const WRITES: [&str; 8] = ["INSERT", "UPDATE", "DELETE", "DROP", "CREATE", "ALTER", "TRUNCATE", "RENAME"];
/// Packets of an answer to a health check; more is an error.
const PACKET_MAX_BYTES: usize = 1 << 20;

/// Whom to ask, as whom.
#[derive(Clone, Copy)]
pub(super) struct Access<'a> {
    pub(super) address: &'a str,
    pub(super) port: i32,
    pub(super) user: Option<&'a str>,
    pub(super) password: Option<&'a str>,
}

/// A connection kept between two checks.
#[derive(Debug)]
pub(super) struct Connection(Conn);

/// One check. A kept connection is that of the same instance and checker.
pub(super) async fn check(
    access: Access<'_>,
    command: Option<&str>,
    kept: Option<probe::Connection>,
) -> (Outcome, Option<Connection>) {
    let failed_now = (Outcome::new(Verdict::FailNow, Feedback::LongestOfHttp), None);
    let mut connection = match kept {
        Some(probe::Connection::Mysql(kept)) => *kept,
        _ => match connect(access).await {
            Some(connection) => connection,
            None => return failed_now,
        },
    };
    let Some(command) = command.filter(|command| may_run(command)) else {
        return (failed_now.0, Some(connection));
    };
    let answer = match first_row(&mut connection.0, command).await {
        Ok(answer) => answer,
        // The server said no over a connection that still works.
        Err(Some(mysql_async::Error::Server(_))) => return (failed_now.0, Some(connection)),
        Err(_) => return failed_now,
    };
    if command != CHECK_PRIMARY {
        return (Outcome::new(Verdict::Ok, Feedback::Measured), Some(connection));
    }
    let read_only = answer.as_ref().and_then(|row| row.get_opt::<String, _>(1)).and_then(Result::ok);
    let outcome = match read_only.as_deref() {
        Some("ON") => Outcome::new(Verdict::Fail, Feedback::Longest),
        Some(_) => Outcome::new(Verdict::Ok, Feedback::Measured),
        None => failed_now.0,
    };
    (outcome, Some(connection))
}

async fn connect(access: Access<'_>) -> Option<Connection> {
    let port = u16::try_from(access.port).ok()?;
    let host = access.address.trim_start_matches('[').trim_end_matches(']');
    let options = OptsBuilder::default()
        .ip_or_hostname(host)
        .tcp_port(port)
        .user(access.user)
        .pass(access.password)
        // The settings below spare the questions the client would ask for them.
        .max_allowed_packet(Some(PACKET_MAX_BYTES))
        .wait_timeout(Some(28_800))
        .prefer_socket(false)
        .stmt_cache_size(0);
    match timeout(HANDSHAKE_TIMEOUT, Conn::new(options)).await {
        Ok(Ok(connection)) => Some(Connection(connection)),
        Ok(Err(_)) | Err(_) => None,
    }
}

/// Runs the command as a prepared statement, which unlike a plain query can hold only one. `Err(None)` is a timeout.
async fn first_row(connection: &mut Conn, command: &str) -> Result<Option<Row>, Option<mysql_async::Error>> {
    let statement = timeout(READ_TIMEOUT, connection.prep(command)).await.map_err(|_| None)??;
    let asked = async {
        let mut result = connection.exec_iter(&statement, ()).await?;
        let row = result.next().await?;
        result.drop_result().await?;
        connection.close(statement).await?;
        Ok::<_, mysql_async::Error>(row)
    };
    Ok(timeout(READ_TIMEOUT, asked).await.map_err(|_| None)??)
}

fn may_run(command: &str) -> bool {
    let command = command.trim_start();
    !command.is_empty()
        && !WRITES.iter().any(|word| command.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_not_run() {
        assert!(may_run("select 1") && may_run(CHECK_PRIMARY) && may_run("shöw"));
        assert!(!may_run(" Delete from t") && !may_run("insert into t values (1)") && !may_run("  "));
    }
}
