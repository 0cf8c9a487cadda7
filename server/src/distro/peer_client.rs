//! The calls a node makes to its peers, with the headers official nodes expect (compat/spec/distro.md §6).

use std::io::Read as _;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response};
use tokio::time::timeout;

use super::hand_on;
use super::stream::Answer;
use crate::peer_http::{self, ANSWER_BYTES_MAX, AnswerBody, Call, PeerHttp, too_large};
use headers::PeerHeaders;

mod headers;

pub use crate::peer_http::PeerError;
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

/// The client for all calls to peers; connections are kept and shared.
#[derive(Debug)]
pub struct PeerClient {
    http: PeerHttp,
    self_address: String,
    context_path: String,
    headers: PeerHeaders,
}

impl PeerClient {
    /// A client for this node. `identity` is the header and value of `nacos.core.auth.server.identity.*`.
    pub fn new(self_address: &str, context_path: &str, identity: Option<&(String, String)>) -> Self {
        let identity = identity.and_then(|(name, value)| {
            Some((HeaderName::try_from(name.as_str()).ok()?, HeaderValue::try_from(value.as_str()).ok()?))
        });
        PeerClient {
            http: PeerHttp::new(CONNECT_TIMEOUT),
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
        let headers = self.as_tandem(&self.headers.push, ring);
        let call = self.call(Method::PUT, peer, "/v1/ns/distro/datum", headers, body.into());
        self.finish(call, PUSH_TIMEOUT).await.map(drop)
    }

    /// Sends the checksums of owned lists, `PUT /distro/checksum` (§6.2).
    ///
    /// # Errors
    /// When the peer did not take them.
    pub async fn verify(&self, peer: &str, body: Bytes, ring: Option<&str>) -> Result<(), PeerError> {
        let path = format!("/v1/ns/distro/checksum?source={}", self.self_address);
        let call = self.call(Method::PUT, peer, &path, self.as_tandem(&self.headers.verify, ring), body);
        self.finish(call, VERIFY_TIMEOUT).await.map(drop)
    }

    /// Pulls lists, `GET /distro/datum` with a body (§6.3).
    ///
    /// # Errors
    /// When the peer did not answer them.
    pub async fn datum(&self, peer: &str, keys: &[String]) -> Result<Bytes, PeerError> {
        let body = serde_json::json!({ "keys": keys.join(",") }).to_string();
        let call = self.call(Method::GET, peer, "/v1/ns/distro/datum", self.headers.pull.clone(), body.into());
        self.finish(call, PULL_TIMEOUT).await
    }

    /// Pulls everything, `GET /distro/datums` (§6.4); the answer must begin within `head_max`.
    ///
    /// # Errors
    /// When the peer did not answer it.
    pub async fn datums(&self, peer: &str, head_max: Duration) -> Result<Bytes, PeerError> {
        let path = "/v1/ns/distro/datums?encoding=UTF-8&nofix=1";
        let call = self.call(Method::GET, peer, path, self.headers.get.clone(), Bytes::new());
        let whole = async {
            let answer = timeout(head_max, self.http.begin(call)).await.map_err(|_| PeerError::Timeout)?;
            body_of(answer?).await
        };
        timeout(SNAPSHOT_TIMEOUT, whole).await.map_err(|_| PeerError::Timeout)?
    }

    /// Whether a peer accepts a connection within `limit`.
    ///
    /// # Errors
    /// When it does not.
    pub async fn reach(&self, peer: &str, limit: Duration) -> Result<(), PeerError> {
        self.http.reach(peer, limit).await
    }

    /// Reports service checksums, `POST /service/status` (compat/spec/membership.md §6.1).
    ///
    /// # Errors
    /// When the peer did not take them.
    pub async fn status(&self, peer: &str, body: String) -> Result<(), PeerError> {
        let headers = self.headers.status.clone();
        let call = self.call(Method::POST, peer, "/v1/ns/service/status", headers, body.into());
        self.finish(call, PULL_TIMEOUT).await.map(drop)
    }

    /// Pulls the health flags of a service, `GET /instance/statuses` (compat/spec/membership.md §6.1).
    ///
    /// # Errors
    /// When the peer did not answer them.
    pub async fn statuses(&self, peer: &str, namespace: &str, name: &str) -> Result<Bytes, PeerError> {
        let key = encode(&format!("{namespace}##{name}"));
        let path = format!("/v1/ns/instance/statuses?key={key}&encoding=UTF-8&nofix=1");
        let call = self.call(Method::GET, peer, &path, self.headers.statuses.clone(), Bytes::new());
        self.finish(call, PULL_TIMEOUT).await
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
        limit: Duration,
    ) -> Result<T, PeerError> {
        let headers = self.as_tandem(&self.headers.verify, Some(ring));
        let answer = self.finish(self.call(Method::POST, peer, path, headers, body.into()), limit).await?;
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
        self.get(peer, &path, SUBSCRIBERS_TIMEOUT).await
    }

    /// Reads what a peer shows to everybody; `path_and_query` without the context path.
    ///
    /// # Errors
    /// When the peer did not answer it with success.
    pub async fn get(&self, peer: &str, path_and_query: &str, limit: Duration) -> Result<Bytes, PeerError> {
        let call = self.call(Method::GET, peer, path_and_query, self.headers.get.clone(), Bytes::new());
        self.finish(call, limit).await
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
        let url = format!("http://{peer}{path_and_query}");
        hand_on::send(&self.http, method, url, headers, &self.headers.forward, body).await
    }

    fn call(&self, method: Method, peer: &str, path: &str, headers: HeaderMap, body: Bytes) -> Call {
        Call { method, url: format!("http://{peer}{}{path}", self.context_path), headers, body }
    }

    /// The body of a good answer that is whole within `limit`.
    async fn finish(&self, call: Call, limit: Duration) -> Result<Bytes, PeerError> {
        let whole = async { body_of(self.http.begin(call).await?).await };
        timeout(limit, whole).await.map_err(|_| PeerError::Timeout)?
    }

    fn as_tandem(&self, headers: &HeaderMap, ring: Option<&str>) -> HeaderMap {
        let mut headers = headers.clone();
        if let Some(ring) = ring {
            for (name, value) in [(TANDEM_NODE, self.self_address.as_str()), (TANDEM_RING, ring)] {
                if let Ok(value) = HeaderValue::try_from(value) {
                    headers.insert(name, value);
                }
            }
        }
        headers
    }
}

/// Percent-encodes everything but letters, digits and `-_.~`.
pub fn encode(text: &str) -> String {
    const KEPT: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    percent_encoding::utf8_percent_encode(text, KEPT).to_string()
}

async fn body_of(answer: Response<AnswerBody>) -> Result<Bytes, PeerError> {
    let status = answer.status();
    let body = read(answer).await?;
    // 304 counts as success for official senders.
    if status.is_success() || status.as_u16() == 304 {
        return Ok(body);
    }
    let text = String::from_utf8_lossy(body.get(..body.len().min(200)).unwrap_or_default()).into_owned();
    Err(PeerError::Status(status.as_u16(), text))
}

async fn read(answer: Response<AnswerBody>) -> Result<Bytes, PeerError> {
    let gzip = answer.headers().get("content-encoding").is_some_and(|encoding| encoding == "gzip");
    let body = peer_http::read(answer.into_body()).await?;
    if gzip { unzip(&body) } else { Ok(body) }
}

/// Official nodes accept gzip and so do we; a stock node compresses nothing, but an operator may have it do so.
fn unzip(body: &[u8]) -> Result<Bytes, PeerError> {
    let mut whole = Vec::new();
    let mut decoder = flate2::read::GzDecoder::new(body).take(ANSWER_BYTES_MAX as u64 + 1);
    decoder.read_to_end(&mut whole).map_err(|error| PeerError::Transport(error.to_string()))?;
    if whole.len() > ANSWER_BYTES_MAX { Err(too_large()) } else { Ok(whole.into()) }
}
