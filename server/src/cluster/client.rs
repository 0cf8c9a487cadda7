//! The HTTP client for calls to other members.

use std::time::Duration;

use crate::settings::Settings;

/// How official nodes name themselves in calls to each other; it opens their naming filters to us
/// (compat/spec/membership.md §7).
pub const USER_AGENT: &str = "Nacos-Server:1.4.1";
/// Idle connections are dropped well before a Tomcat does it at 60 s: a reused dead one costs a failed call.
const POOL_IDLE_MAX: Duration = Duration::from_secs(30);

/// A client with the timeouts members allow each other: `nacos.http.timeout` to connect, half of it for each read.
/// Calls between members never go through a proxy.
pub fn new(settings: &Settings) -> reqwest::Client {
    let timeout = settings.members.timeout;
    reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(timeout)
        .read_timeout(timeout / 2)
        .pool_idle_timeout(POOL_IDLE_MAX)
        .http1_title_case_headers()
        .build()
        // Fails only for TLS, which is not compiled in.
        .unwrap_or_default()
}
