//! The address server: a list in cluster.conf grammar inside a RestResult, polled (compat/spec/membership.md §2.2).

use std::time::Duration;

use serde::Deserialize;
use tokio::time::sleep;
use tracing::{error, warn};

use super::Target;
use crate::cluster::conf;
use crate::settings::AddressServer;

/// Time from the end of a poll to the next.
const PERIOD: Duration = Duration::from_secs(5);
/// Pause between attempts at start; official nodes make none and so give a server that is just starting no chance.
const RETRY: Duration = Duration::from_millis(200);
/// What one poll may take.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Polls of one address server.
#[derive(Debug)]
pub(super) struct Poll {
    target: Target,
    server: AddressServer,
    client: reqwest::Client,
    failures: u32,
}

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    code: i64,
    data: Option<String>,
}

/// What an answer comes to.
#[derive(Debug, PartialEq, Eq)]
enum Read {
    List(String),
    /// An orderly refusal: no list, but no failure of the call either.
    NoList(u16),
    /// Not what an address server says.
    Garbled(String),
}

impl Read {
    fn of(status: u16, body: &[u8]) -> Self {
        if status != 200 {
            return Read::NoList(status);
        }
        match serde_json::from_slice::<Answer>(body) {
            Ok(Answer { code: 0 | 200, data: Some(list) }) => Read::List(list),
            Ok(Answer { code: 0 | 200, data: None }) => Read::Garbled("it holds no data".to_owned()),
            Ok(Answer { code, .. }) => Read::NoList(u16::try_from(code).unwrap_or(u16::MAX)),
            Err(error) => Read::Garbled(format!("it is not {{\"code\":200,\"data\":\"LIST\"}}: {error}")),
        }
    }
}

impl Poll {
    pub(super) fn new(target: Target, server: AddressServer, client: reqwest::Client) -> Self {
        Poll { target, server, client, failures: 0 }
    }

    /// The first list.
    ///
    /// # Errors
    /// No usable answer in the configured number of attempts.
    pub(super) async fn start(&mut self) -> anyhow::Result<()> {
        let mut last = String::new();
        for attempt in 0..self.server.attempts {
            if attempt > 0 {
                sleep(RETRY).await;
            }
            match self.once().await {
                Ok(()) => return Ok(()),
                Err(error) => last = error,
            }
        }
        anyhow::bail!(
            "the address server {} gave no member list in {} attempts: {last}",
            self.server.url,
            self.server.attempts
        )
    }

    /// Polls for ever.
    pub(super) async fn run(mut self) {
        loop {
            sleep(PERIOD).await;
            if let Err(error) = self.once().await {
                self.count_failure();
                error!(url = self.server.url, "no member list: {error}");
            }
        }
    }

    async fn once(&mut self) -> Result<(), String> {
        let call = async {
            let answer = self
                .client
                .get(&self.server.url)
                .header("Content-Type", "application/json;charset=UTF-8")
                .timeout(TIMEOUT)
                .send()
                .await?;
            let status = answer.status().as_u16();
            Ok::<_, reqwest::Error>((status, answer.bytes().await?))
        };
        let (status, body) = call.await.map_err(|error| error.to_string())?;
        match Read::of(status, &body) {
            Read::List(list) => {
                self.failures = 0;
                let taken = match conf::parse(&list) {
                    Ok(entries) => self.target.take(&entries).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = taken {
                    error!(url = self.server.url, "the member list is not usable and the present one stays: {error}");
                }
                Ok(())
            }
            Read::NoList(code) => {
                self.count_failure();
                warn!(url = self.server.url, code, "no member list; the present one stays");
                Ok(())
            }
            Read::Garbled(what) => Err(what),
        }
    }

    fn count_failure(&mut self) {
        self.failures = self.failures.saturating_add(1);
        if self.failures == self.server.fail_count_max {
            error!(url = self.server.url, failures = self.failures, "the address server is unhealthy");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_rest_result_is_a_list() {
        // M16
        let list = br#"{"code":200,"message":null,"data":"127.0.0.1:1\n127.0.0.1:2\n"}"#;
        assert_eq!(Read::of(200, list), Read::List("127.0.0.1:1\n127.0.0.1:2\n".to_owned()));
        assert_eq!(Read::of(200, br#"{"data":"a"}"#), Read::List("a".to_owned()));
        assert_eq!(Read::of(500, list), Read::NoList(500));
        assert_eq!(Read::of(200, br#"{"code":500,"data":"a"}"#), Read::NoList(500));
        for body in ["127.0.0.1:1\n127.0.0.1:2\n", "", "[]", r#"{"code":200,"data":null}"#] {
            assert!(matches!(Read::of(200, body.as_bytes()), Read::Garbled(_)), "{body}");
        }
    }
}
