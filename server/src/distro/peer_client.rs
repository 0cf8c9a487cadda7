//! The calls a node makes to its peers, with the headers official nodes expect (compat/spec/distro.md §6).

use std::io::Read as _;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder};

use super::hand_on::HandOn;
use super::stream::Answer;
use headers::PeerHeaders;

mod headers;

pub use headers::USER_AGENT;

/// What changed, to Tandem nodes only.
pub const CHANGES: &str = "/v1/ns/distro/tandem/changes";
/// Beats in batches, to Tandem nodes only.
pub const BEATS: &str = "/v1/ns/distro/tandem/beats";
/// Header by which a Tandem node names itself to another one.
pub const TANDEM_NODE: &str = "tandem-node";
/// Header with the sender's ring, so that the receiver sees whether both agree on who is responsible.
pub const TANDEM_RING: &str = "tandem-ring";

/// Connecting to a peer; official nodes wait for the kernel (compat/spec/distro.md §9.3b).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A peer that takes longer to answer a push is treated as failed.
const PUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// What a batch of beats may take: the 2 s of an official forward (§5.3), and time to say when it was connecting.
const BEATS_TIMEOUT: Duration = Duration::from_millis(2_200);
/// The receiver answers a checksum only when its pull is done.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a whole snapshot.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for a pull or a status answer.
const PULL_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a list of consumers: a person waits for it.
const SUBSCRIBERS_TIMEOUT: Duration = Duration::from_secs(3);
/// Consumers asked for at most.
const SUBSCRIBERS_MAX: u32 = 100_000;
/// Below the 20 s after which Tomcat may close an idle connection.
const POOL_IDLE: Duration = Duration::from_secs(15);
/// The most bytes read of an answer: a snapshot is the largest.
pub(super) const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// A call to a peer that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// Nothing listens there.
    #[error("connection refused")]
    Refused,
    /// No connection in time.
    #[error("no connection in time")]
    ConnectTimeout,
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// An answer other than 2xx, with the beginning of its body.
    #[error("answered {0}: {1}")]
    Status(u16, String),
    /// Anything else on the way.
    #[error("{0}")]
    Transport(String),
}

/// The client for all calls to peers; connections are kept and shared.
#[derive(Debug)]
pub struct PeerClient {
    client: reqwest::Client,
    hand_on: HandOn,
    self_address: String,
    context_path: String,
    headers: PeerHeaders,
}

impl PeerClient {
    /// A client for this node. `identity` is the header and value of `nacos.core.auth.server.identity.*`.
    pub fn new(self_address: &str, context_path: &str, identity: Option<&(String, String)>) -> Self {
        let client = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE)
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .http1_title_case_headers()
            .build()
            // Fails for want of TLS or a resolver only, and neither is configured.
            .unwrap_or_default();
        let identity = identity.and_then(|(name, value)| {
            Some((HeaderName::try_from(name.as_str()).ok()?, HeaderValue::try_from(value.as_str()).ok()?))
        });
        PeerClient {
            client,
            hand_on: HandOn::new(),
            headers: PeerHeaders::new(self_address, identity),
            self_address: self_address.to_owned(),
            context_path: context_path.to_owned(),
        }
    }

    /// Pushes changed lists, `PUT /distro/datum` (§6.1). `ring` is given to Tandem nodes only.
    ///
    /// # Errors
    /// When the peer did not take them.
    pub async fn push(&self, peer: &str, body: Vec<u8>, ring: Option<&str>) -> Result<(), PeerError> {
        let request = self.request(Method::PUT, peer, "/v1/ns/distro/datum", &self.headers.push);
        finish(self.as_tandem(request.timeout(PUSH_TIMEOUT), ring).body(body)).await.map(drop)
    }

    /// Sends the checksums of owned lists, `PUT /distro/checksum` (§6.2).
    ///
    /// # Errors
    /// When the peer did not take them.
    pub async fn verify(&self, peer: &str, body: Bytes, ring: Option<&str>) -> Result<(), PeerError> {
        let path = format!("/v1/ns/distro/checksum?source={}", self.self_address);
        let request = self.request(Method::PUT, peer, &path, &self.headers.verify);
        finish(self.as_tandem(request.timeout(VERIFY_TIMEOUT), ring).body(body)).await.map(drop)
    }

    /// Pulls lists, `GET /distro/datum` with a body (§6.3).
    ///
    /// # Errors
    /// When the peer did not answer them.
    pub async fn datum(&self, peer: &str, keys: &[String]) -> Result<Bytes, PeerError> {
        let body = serde_json::json!({ "keys": keys.join(",") }).to_string();
        let request = self.request(Method::GET, peer, "/v1/ns/distro/datum", &self.headers.pull);
        finish(request.timeout(PULL_TIMEOUT).body(body)).await
    }

    /// Pulls everything, `GET /distro/datums` (§6.4); the answer must begin within `head_max`.
    ///
    /// # Errors
    /// When the peer did not answer it.
    pub async fn datums(&self, peer: &str, head_max: Duration) -> Result<Bytes, PeerError> {
        let path = "/v1/ns/distro/datums?encoding=UTF-8&nofix=1";
        let request = self.request(Method::GET, peer, path, &self.headers.get).timeout(SNAPSHOT_TIMEOUT);
        let answer = tokio::time::timeout(head_max, request.send()).await.map_err(|_| PeerError::Timeout)?;
        body_of(answer.map_err(of_reqwest)?).await
    }

    /// Reports service checksums, `POST /service/status` (compat/spec/membership.md §6.1).
    ///
    /// # Errors
    /// When the peer did not take them.
    pub async fn status(&self, peer: &str, body: String) -> Result<(), PeerError> {
        let request = self.request(Method::POST, peer, "/v1/ns/service/status", &self.headers.status);
        finish(request.timeout(PULL_TIMEOUT).body(body)).await.map(drop)
    }

    /// Pulls the health flags of a service, `GET /instance/statuses` (compat/spec/membership.md §6.1).
    ///
    /// # Errors
    /// When the peer did not answer them.
    pub async fn statuses(&self, peer: &str, namespace: &str, name: &str) -> Result<Bytes, PeerError> {
        let key = encode(&format!("{namespace}##{name}"));
        let path = format!("/v1/ns/instance/statuses?key={key}&encoding=UTF-8&nofix=1");
        finish(self.request(Method::GET, peer, &path, &self.headers.statuses).timeout(PULL_TIMEOUT)).await
    }

    /// Tells a Tandem node what changed ([`super::stream`]).
    ///
    /// # Errors
    /// When the peer did not take it.
    pub(super) async fn changes(&self, peer: &str, body: Vec<u8>, ring: &str) -> Result<Answer, PeerError> {
        self.tell_tandem(peer, CHANGES, body, ring, PUSH_TIMEOUT).await
    }

    /// Hands a batch of beats on to a Tandem node ([`super::beats`]).
    ///
    /// # Errors
    /// When the peer did not answer it.
    pub(super) async fn beats(&self, peer: &str, body: Vec<u8>) -> Result<Vec<(u16, String)>, PeerError> {
        let tell = || self.tell_tandem(peer, BEATS, body.clone(), "", BEATS_TIMEOUT);
        match tell().await {
            // A kept connection that the peer closed meanwhile; beats may be repeated.
            Err(PeerError::Transport(_)) => tell().await,
            other => other,
        }
    }

    async fn tell_tandem<T: serde::de::DeserializeOwned>(
        &self,
        peer: &str,
        path: &str,
        body: Vec<u8>,
        ring: &str,
        timeout: Duration,
    ) -> Result<T, PeerError> {
        let request = self.request(Method::POST, peer, path, &self.headers.verify).timeout(timeout);
        let answer = finish(self.as_tandem(request, Some(ring)).body(body)).await?;
        serde_json::from_slice(&answer).map_err(|error| PeerError::Transport(format!("unreadable answer: {error}")))
    }

    /// The consumers a peer knows, `GET /service/subscribers?aggregation=false`. Official nodes ask without the page,
    /// which they demand themselves, so that they never learn of each other's consumers.
    ///
    /// # Errors
    /// When the peer did not answer them.
    pub async fn subscribers(&self, peer: &str, namespace: &str, name: &str) -> Result<Bytes, PeerError> {
        let path = format!(
            "/v1/ns/service/subscribers?aggregation=false&pageNo=1&pageSize={SUBSCRIBERS_MAX}&serviceName={}\
             &namespaceId={}&encoding=UTF-8&nofix=1",
            encode(name),
            encode(namespace)
        );
        finish(self.request(Method::GET, peer, &path, &self.headers.get).timeout(SUBSCRIBERS_TIMEOUT)).await
    }

    /// Reads what a peer shows to everybody; `path_and_query` without the context path.
    ///
    /// # Errors
    /// When the peer did not answer it with success.
    pub async fn get(&self, peer: &str, path_and_query: &str, timeout: Duration) -> Result<Bytes, PeerError> {
        finish(self.request(Method::GET, peer, path_and_query, &self.headers.get).timeout(timeout)).await
    }

    /// Hands a client's request on; `path_and_query` as it came, context path included. Returns status and body of
    /// whatever the peer answered.
    ///
    /// # Errors
    /// When there was no answer.
    pub async fn forward(
        &self,
        method: Method,
        peer: &str,
        path_and_query: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<(u16, Bytes), PeerError> {
        self.hand_on.send(method, peer, path_and_query, headers, &self.headers.forward, body).await
    }

    fn request(&self, method: Method, peer: &str, path: &str, headers: &HeaderMap) -> RequestBuilder {
        self.client.request(method, format!("http://{peer}{}{path}", self.context_path)).headers(headers.clone())
    }

    fn as_tandem(&self, request: RequestBuilder, ring: Option<&str>) -> RequestBuilder {
        match ring {
            Some(ring) => request.header(TANDEM_NODE, &self.self_address).header(TANDEM_RING, ring),
            None => request,
        }
    }
}

/// Percent-encodes everything but letters, digits and `-_.~`.
pub fn encode(text: &str) -> String {
    const KEPT: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    percent_encoding::utf8_percent_encode(text, KEPT).to_string()
}

async fn finish(request: RequestBuilder) -> Result<Bytes, PeerError> {
    body_of(request.send().await.map_err(of_reqwest)?).await
}

async fn body_of(answer: reqwest::Response) -> Result<Bytes, PeerError> {
    let status = answer.status();
    let body = read(answer).await?;
    // 304 counts as success for official senders.
    if status.is_success() || status.as_u16() == 304 {
        return Ok(body);
    }
    let text = String::from_utf8_lossy(body.get(..body.len().min(200)).unwrap_or_default()).into_owned();
    Err(PeerError::Status(status.as_u16(), text))
}

async fn read(mut answer: reqwest::Response) -> Result<Bytes, PeerError> {
    let gzip = answer.headers().get("content-encoding").is_some_and(|encoding| encoding == "gzip");
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.chunk().await.map_err(of_reqwest)? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    if gzip { unzip(&body) } else { Ok(body.freeze()) }
}

/// Official nodes accept gzip and so do we; a stock node compresses nothing, but an operator may have it do so.
fn unzip(body: &[u8]) -> Result<Bytes, PeerError> {
    let mut whole = Vec::new();
    let mut decoder = flate2::read::GzDecoder::new(body).take(ANSWER_BYTES_MAX as u64 + 1);
    decoder.read_to_end(&mut whole).map_err(|error| PeerError::Transport(error.to_string()))?;
    if whole.len() > ANSWER_BYTES_MAX { Err(too_large()) } else { Ok(whole.into()) }
}

fn too_large() -> PeerError {
    PeerError::Transport(format!("the answer is larger than {ANSWER_BYTES_MAX} bytes"))
}

fn of_reqwest(error: reqwest::Error) -> PeerError {
    let mut text = String::new();
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(one) = cause {
        if let Some(io) = one.downcast_ref::<std::io::Error>()
            && io.kind() == std::io::ErrorKind::ConnectionRefused
        {
            return PeerError::Refused;
        }
        text = one.to_string();
        cause = one.source();
    }
    match (error.is_connect(), error.is_timeout()) {
        (true, true) => PeerError::ConnectTimeout,
        (false, true) => PeerError::Timeout,
        _ => PeerError::Transport(text),
    }
}
