//! One HTTP/1.1 keep-alive connection to one node.
//!
//! A connection carries one request at a time and is opened when first needed. It is thrown away whenever its state
//! is not certain (timeout, broken answer, `Connection: close`), so no answer is ever taken for that of another
//! request.

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Request};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustix::net::sockopt::set_socket_linger;
use tokio::net::TcpStream;

use super::call::Call;
use super::error::ClientError;

/// The agent of the official Java client of that version: it decides which names a list answer carries and whether a
/// subscriber is pushed to (`compat/spec/naming-api.md` §7).
const AGENT: HeaderValue = HeaderValue::from_static("Nacos-Java-Client:v1.4.1");

/// Largest body that is read; a longer one is an error. The list of a service with 10,000 instances has about 5 MB.
const BODY_BYTES_MAX: usize = 32 << 20;

/// How much of a refusing body goes into an error.
const BODY_EXCERPT_CHARS: usize = 200;

/// One answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// The whole body.
    pub body: Bytes,
}

/// One keep-alive connection.
#[derive(Debug)]
pub struct Connection {
    address: String,
    host: HeaderValue,
    /// Absent until first needed, while a request is under way, and after anything went wrong.
    sender: Option<SendRequest<Empty<Bytes>>>,
    /// The socket behind it, to give up what is under way.
    socket: Option<OwnedFd>,
}

impl Connection {
    /// A connection to `host:port`; nothing is opened yet.
    pub fn new(address: &str) -> Result<Self, ClientError> {
        let host = HeaderValue::from_str(address)
            .map_err(|error| ClientError::Unsendable { what: address.to_owned(), reason: error.to_string() })?;
        Ok(Self { address: address.to_owned(), host, sender: None, socket: None })
    }

    /// Opens the connection now, so that the first request does not pay for it.
    pub async fn open(&mut self) -> Result<(), ClientError> {
        let refused = |reason: String| ClientError::Connect { address: self.address.clone(), reason };
        let stream = TcpStream::connect(&self.address).await.map_err(|error| refused(error.to_string()))?;
        stream.set_nodelay(true).map_err(|error| refused(error.to_string()))?;
        let socket = stream.as_fd().try_clone_to_owned().map_err(|error| refused(error.to_string()))?;
        let (sender, driver) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| refused(error.to_string()))?;
        // Ends by itself when the sender is dropped or the peer closes; its error reaches us through the sender.
        tokio::spawn(driver);
        (self.sender, self.socket) = (Some(sender), Some(socket));
        Ok(())
    }

    /// Gives up what is under way: whatever arrives later must not be read as the answer to something else, and what the
    /// server has not got it must not get. On a plain close the kernel goes on sending for minutes, and a request that
    /// arrives long after its client has moved on undoes what it did since.
    fn abort(&mut self) {
        self.sender = None;
        if let Some(socket) = self.socket.take() {
            // A socket that is broken already has nothing to give up.
            let _ = set_socket_linger(&socket, Some(Duration::ZERO));
        }
    }

    /// Sends `call` and reads the whole answer.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when the answer is not the expected one; see [`ClientError`] for the others.
    pub async fn send(&mut self, call: &Call, limit: Duration) -> Result<Reply, ClientError> {
        let reply = match tokio::time::timeout(limit, self.exchange(call)).await {
            Ok(result) => result?,
            Err(_) => {
                self.abort();
                return Err(ClientError::Timeout {
                    address: self.address.clone(),
                    target: call.target.to_string(),
                    waited: limit,
                });
            }
        };
        if call.expect.holds(reply.status, &reply.body) {
            return Ok(reply);
        }
        let body = String::from_utf8_lossy(&reply.body).chars().take(BODY_EXCERPT_CHARS).collect();
        Err(ClientError::Refused {
            address: self.address.clone(),
            target: call.target.to_string(),
            status: reply.status,
            body,
        })
    }

    async fn exchange(&mut self, call: &Call) -> Result<Reply, ClientError> {
        // A kept connection may have been closed by the server since. Hyper says so before anything was sent
        // (`is_canceled`), and only then is it safe to send again.
        let kept = self.sender.is_some();
        match self.exchange_once(call).await {
            Err(Exchange::NotSent(_)) if kept => self.exchange_once(call).await.map_err(|it| self.name(it, call)),
            other => other.map_err(|it| self.name(it, call)),
        }
    }

    async fn exchange_once(&mut self, call: &Call) -> Result<Reply, Exchange> {
        if self.sender.as_ref().is_none_or(SendRequest::is_closed) {
            (self.sender, self.socket) = (None, None);
            self.open().await.map_err(Exchange::Open)?;
        }
        let Some(mut sender) = self.sender.take() else {
            return Err(Exchange::NotSent("no connection".into()));
        };
        let mut request = Request::new(Empty::new());
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = call.target.clone();
        request.headers_mut().insert(HOST, self.host.clone());
        request.headers_mut().insert(USER_AGENT, AGENT);
        sender.ready().await.map_err(|error| Exchange::NotSent(error.to_string()))?;
        let response = sender.send_request(request).await.map_err(|error| {
            if error.is_canceled() { Exchange::NotSent(error.to_string()) } else { Exchange::Broken(error.to_string()) }
        })?;
        let status = response.status().as_u16();
        let body = read(response.into_body()).await?;
        self.sender = Some(sender);
        Ok(Reply { status, body })
    }

    fn name(&self, problem: Exchange, call: &Call) -> ClientError {
        let (address, target) = (self.address.clone(), call.target.to_string());
        match problem {
            Exchange::Open(error) => error,
            Exchange::NotSent(reason) => ClientError::Connect { address, reason },
            Exchange::Broken(reason) => ClientError::Broken { address, target, reason },
        }
    }
}

/// Why one exchange failed.
enum Exchange {
    Open(ClientError),
    NotSent(String),
    Broken(String),
}

/// Reads a body to its end; one frame, the usual case, is not copied.
async fn read(mut body: Incoming) -> Result<Bytes, Exchange> {
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Exchange::Broken(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        match &first {
            None => first = Some(data),
            Some(start) => {
                if rest.is_empty() {
                    rest.extend_from_slice(start);
                }
                rest.extend_from_slice(&data);
            }
        }
        if rest.len() > BODY_BYTES_MAX {
            return Err(Exchange::Broken(format!("a body of more than {BODY_BYTES_MAX} bytes")));
        }
    }
    Ok(if rest.is_empty() { first.unwrap_or_default() } else { rest.freeze() })
}
