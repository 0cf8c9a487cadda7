//! Plain HTTP calls to other members, with just the headers they are given.
//!
//! An HTTP client for general use adds headers of its own; a member, and whatever logs or filters stand before it,
//! would see another request than from an official node.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{HttpConnector, capture_connection};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpStream;
use tokio::time::timeout;

#[cfg(test)]
use crate::simulation;

/// Below the 20 s after which Tomcat may close an idle connection.
const POOL_IDLE: Duration = Duration::from_secs(15);
/// How long the system goes on sending what a peer does not acknowledge. Without it, a request that was given up here is
/// delivered minutes later, when the peer is reachable again: a registration handed on to a node behind a partition would
/// come back from the dead after the client had deregistered elsewhere.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(5);
/// The most bytes read of an answer: a snapshot is the largest.
pub const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

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

/// One request to a member.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its method.
    pub method: Method,
    /// With scheme and authority.
    pub url: String,
    /// All but `Host` and, where there is a body, `Content-Length`.
    pub headers: HeaderMap,
    /// Its body; empty for none.
    pub body: Bytes,
}

/// The body of an answer, still to be [`read`].
#[derive(Debug)]
pub enum AnswerBody {
    /// As it arrives.
    Wire(Incoming),
    /// From a simulated node.
    #[cfg(test)]
    Whole(Bytes),
}

/// Sends calls to members, never through a proxy; connections are kept and shared. A simulation takes the place of the
/// network here, and nowhere else.
#[derive(Debug, Clone)]
pub struct PeerHttp {
    client: Client<HttpConnector, Full<Bytes>>,
    #[cfg(test)]
    connect_timeout: Duration,
}

impl PeerHttp {
    /// A client that gives up connecting after `connect_timeout`.
    pub fn new(connect_timeout: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(connect_timeout));
        connector.set_nodelay(true);
        #[cfg(target_os = "linux")]
        connector.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX));
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_timer(hyper_util::rt::TokioTimer::new())
            .http1_title_case_headers(true)
            .build(connector);
        PeerHttp {
            client,
            #[cfg(test)]
            connect_timeout,
        }
    }

    /// Whether a member accepts a connection within `limit`; nothing is sent.
    ///
    /// # Errors
    /// When it does not.
    pub async fn reach(&self, address: &str, limit: Duration) -> Result<(), PeerError> {
        #[cfg(test)]
        if let Some(process) = simulation::current() {
            return process.reach(address, limit).await;
        }
        match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(PeerError::Refused),
            Err(_) => Err(PeerError::ConnectTimeout),
        }
    }

    /// The head of the answer; its body is still to be [`read`].
    ///
    /// # Errors
    /// When there was no answer.
    pub async fn begin(&self, call: Call) -> Result<Response<AnswerBody>, PeerError> {
        #[cfg(test)]
        if let Some(process) = simulation::current() {
            return process.call(call, self.connect_timeout).await;
        }
        self.client.request(request(call)?).await.map(wire).map_err(of_hyper)
    }

    /// As [`Self::begin`], with `silence` between the connection and the head of the answer.
    ///
    /// # Errors
    /// When there was no answer.
    pub async fn begin_within(&self, call: Call, silence: Duration) -> Result<Response<AnswerBody>, PeerError> {
        #[cfg(test)]
        if let Some(process) = simulation::current() {
            let answer = timeout(self.connect_timeout + silence, process.call(call, self.connect_timeout)).await;
            return answer.map_err(|_| PeerError::Timeout)?;
        }
        let mut request = request(call)?;
        let mut connection = capture_connection(&mut request);
        let mut sending = std::pin::pin!(self.client.request(request));
        tokio::select! {
            answer = &mut sending => return answer.map(wire).map_err(of_hyper),
            _ = connection.wait_for_connection_metadata() => {}
        }
        timeout(silence, sending).await.map_err(|_| PeerError::Timeout)?.map(wire).map_err(of_hyper)
    }
}

fn wire(answer: Response<Incoming>) -> Response<AnswerBody> {
    answer.map(AnswerBody::Wire)
}

fn request(call: Call) -> Result<Request<Full<Bytes>>, PeerError> {
    let mut request = Request::builder()
        .method(call.method)
        .uri(call.url)
        .body(Full::new(call.body))
        .map_err(|error| PeerError::Transport(error.to_string()))?;
    *request.headers_mut() = call.headers;
    Ok(request)
}

/// The whole body of an answer.
///
/// # Errors
/// When it breaks off or is larger than [`ANSWER_BYTES_MAX`].
pub async fn read(body: AnswerBody) -> Result<Bytes, PeerError> {
    #[cfg(test)]
    if let AnswerBody::Whole(body) = body {
        return Ok(body);
    }
    #[cfg_attr(not(test), expect(irrefutable_let_patterns, reason = "only simulated answers are whole"))]
    let AnswerBody::Wire(mut body) = body else {
        return Err(PeerError::Transport("an answer without a body".to_owned()));
    };
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| PeerError::Transport(error.to_string()))?;
        let data = frame.into_data().unwrap_or_default();
        if all.len() + data.len() > ANSWER_BYTES_MAX {
            return Err(too_large());
        }
        all.extend_from_slice(&data);
    }
    Ok(all.freeze())
}

/// More than [`ANSWER_BYTES_MAX`].
pub fn too_large() -> PeerError {
    PeerError::Transport(format!("the answer is larger than {ANSWER_BYTES_MAX} bytes"))
}

fn of_hyper(error: Error) -> PeerError {
    let mut text = error.to_string();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
    while let Some(one) = cause {
        if let Some(io) = one.downcast_ref::<std::io::Error>() {
            match io.kind() {
                std::io::ErrorKind::ConnectionRefused => return PeerError::Refused,
                std::io::ErrorKind::TimedOut if error.is_connect() => return PeerError::ConnectTimeout,
                _ => {}
            }
        }
        text = one.to_string();
        cause = one.source();
    }
    PeerError::Transport(text)
}
