//! The calls a node makes to its peers, with the headers official nodes expect (compat/spec/distro.md §6).

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder};

use super::hand_on::HandOn;

/// What official nodes call themselves; a node that is not UP lets only these in.
pub const USER_AGENT: &str = "Nacos-Server:1.4.1";
/// Header by which a Tandem node names itself to another one.
pub const TANDEM_NODE: &str = "tandem-node";
/// Header with the sender's ring, so that the receiver sees whether both agree on who is responsible.
pub const TANDEM_RING: &str = "tandem-ring";

/// Connecting to a peer; official nodes wait for the kernel (compat/spec/distro.md §9.3b).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A peer that takes longer to answer a push is treated as failed.
const PUSH_TIMEOUT: Duration = Duration::from_secs(5);
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
    identity: Option<(HeaderName, HeaderValue)>,
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
            .build()
            // Fails for want of TLS or a resolver only, and neither is configured.
            .unwrap_or_default();
        let identity = identity.and_then(|(name, value)| {
            Some((HeaderName::try_from(name.as_str()).ok()?, HeaderValue::try_from(value.as_str()).ok()?))
        });
        let hand_on = HandOn::new();
        PeerClient {
            client,
            hand_on,
            self_address: self_address.to_owned(),
            context_path: context_path.to_owned(),
            identity,
        }
    }

    /// Pushes changed lists, `PUT /distro/datum` (§6.1). `ring` is given to Tandem nodes only. Official senders
    /// claim `Content-Encoding: gzip` on plain JSON; nobody needs that lie, so it is not repeated.
    ///
    /// # Errors
    /// When the peer did not take them.
    pub async fn push(&self, peer: &str, body: Vec<u8>, ring: Option<&str>) -> Result<(), PeerError> {
        let request = self.request(Method::PUT, peer, "/v1/ns/distro/datum").timeout(PUSH_TIMEOUT);
        finish(self.as_tandem(json(request), ring).body(body)).await.map(drop)
    }

    /// Sends the checksums of owned lists, `PUT /distro/checksum` (§6.2).
    ///
    /// # Errors
    /// When the peer did not take them.
    pub async fn verify(&self, peer: &str, body: Bytes, ring: Option<&str>) -> Result<(), PeerError> {
        let path = format!("/v1/ns/distro/checksum?source={}", self.self_address);
        let request = self.request(Method::PUT, peer, &path).timeout(VERIFY_TIMEOUT);
        finish(self.as_tandem(json(request), ring).body(body)).await.map(drop)
    }

    /// Pulls lists, `GET /distro/datum` with a body (§6.3).
    ///
    /// # Errors
    /// When the peer did not answer them.
    pub async fn datum(&self, peer: &str, keys: &[String]) -> Result<Bytes, PeerError> {
        let body = serde_json::json!({ "keys": keys.join(",") }).to_string();
        let request = self.request(Method::GET, peer, "/v1/ns/distro/datum").timeout(PULL_TIMEOUT);
        finish(json(request).body(body)).await
    }

    /// Pulls everything, `GET /distro/datums` (§6.4); the answer must begin within `head_max`.
    ///
    /// # Errors
    /// When the peer did not answer it.
    pub async fn datums(&self, peer: &str, head_max: Duration) -> Result<Bytes, PeerError> {
        let path = "/v1/ns/distro/datums?encoding=UTF-8&nofix=1";
        let request = self.request(Method::GET, peer, path).timeout(SNAPSHOT_TIMEOUT);
        let answer = tokio::time::timeout(head_max, request.send()).await.map_err(|_| PeerError::Timeout)?;
        body_of(answer.map_err(of_reqwest)?).await
    }

    /// Reports service checksums, `POST /service/status` (compat/spec/membership.md §6.1).
    ///
    /// # Errors
    /// When the peer did not take them.
    pub async fn status(&self, peer: &str, body: String) -> Result<(), PeerError> {
        let request = self.request(Method::POST, peer, "/v1/ns/service/status").timeout(PULL_TIMEOUT);
        finish(json(request).body(body)).await.map(drop)
    }

    /// Pulls the health flags of a service, `GET /instance/statuses` (compat/spec/membership.md §6.1).
    ///
    /// # Errors
    /// When the peer did not answer them.
    pub async fn statuses(&self, peer: &str, namespace: &str, name: &str) -> Result<Bytes, PeerError> {
        let key = encode(&format!("{namespace}##{name}"));
        let path = format!("/v1/ns/instance/statuses?key={key}&encoding=UTF-8&nofix=1");
        finish(self.request(Method::GET, peer, &path).timeout(PULL_TIMEOUT)).await
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
        finish(self.request(Method::GET, peer, &path).timeout(SUBSCRIBERS_TIMEOUT)).await
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
        self.hand_on.send(method, peer, path_and_query, headers, &self.common(), body).await
    }

    fn request(&self, method: Method, peer: &str, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{peer}{}{path}", self.context_path)).headers(self.common())
    }

    fn common(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("user-agent", HeaderValue::from_static(USER_AGENT));
        headers.insert("client-version", HeaderValue::from_static("1.4.1"));
        headers.insert("accept-charset", HeaderValue::from_static("UTF-8"));
        if let Ok(address) = HeaderValue::try_from(self.self_address.as_str()) {
            headers.insert("request-source", address);
        }
        if let Some((name, value)) = &self.identity {
            headers.insert(name.clone(), value.clone());
        }
        headers
    }

    fn as_tandem(&self, request: RequestBuilder, ring: Option<&str>) -> RequestBuilder {
        match ring {
            Some(ring) => request.header(TANDEM_NODE, &self.self_address).header(TANDEM_RING, ring),
            None => request,
        }
    }
}

fn json(request: RequestBuilder) -> RequestBuilder {
    request.header("content-type", "application/json;charset=UTF-8")
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
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.chunk().await.map_err(of_reqwest)? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(PeerError::Transport(format!("the answer is larger than {ANSWER_BYTES_MAX} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
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
