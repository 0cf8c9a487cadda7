//! The gRPC port: HTTP port − 1000 (compat/spec/jraft.md §1, §3).
//!
//! A leader sends appends on one connection and counts on them being taken in the order in which it opened the
//! streams. So each connection has a line: a call joins it when its stream opens, and its message is handed on when the
//! one before it was. Answers come whenever they are there.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::Response;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tracing::debug;

use super::frame::{self, Answer, Code, Failure};
use super::{CLI, MESSAGE_BYTES_MAX, METHOD, NACOS, RAFT};
use crate::accept;
use crate::raft::driver::RaftGroup;
use crate::raft::driver::network::Readers;
use crate::raft::rpc::{ReadRequest, Response as NacosResponse, WriteRequest};

/// Connections served at a time; a member has one or two from each other.
const CONNECTIONS_MAX: usize = 256;
/// Calls of one connection at a time; a leader sends up to 256 appends.
const STREAMS_MAX: u32 = 1_024;
/// How long a message may take to arrive; the line behind it waits.
const BODY_READ_MAX: Duration = Duration::from_secs(10);
const DRAIN_MAX: Duration = Duration::from_secs(2);
/// A connection whose other end is gone is noticed after these two.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// As large as an append may be, so that none waits for the sender to be told of more room.
const WINDOW_BYTES: u32 = 1024 * 1024;

/// What Nacos' own requests are answered with.
pub trait NacosRequests: Send + Sync {
    /// A write that another member sends to this one as the leader.
    fn write(&self, request: WriteRequest) -> BoxFuture<'_, NacosResponse>;

    /// A read; it is never written into the log (compat/spec/jraft.md §9).
    fn read(&self, request: ReadRequest) -> BoxFuture<'_, NacosResponse>;
}

/// What the port serves.
pub struct RaftServer {
    pub(super) groups: HashMap<String, Arc<RaftGroup>>,
    pub(super) readers: Arc<Readers>,
    nacos: Arc<dyn NacosRequests>,
}

impl RaftServer {
    /// For these groups. `readers` is that of their drivers.
    pub fn new(
        groups: impl IntoIterator<Item = Arc<RaftGroup>>,
        readers: Arc<Readers>,
        nacos: Arc<dyn NacosRequests>,
    ) -> Self {
        let groups = groups.into_iter().map(|group| (group.name().to_owned(), group)).collect();
        RaftServer { groups, readers, nacos }
    }

    /// Serves until `shutdown` completes.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let connection = |stream, _| connection(Arc::clone(&self), stream);
        accept::serve(listener, CONNECTIONS_MAX, DRAIN_MAX, shutdown, connection).await;
    }

    /// Hands a message on; what it returns is awaited out of line.
    fn dispatch(self: &Arc<Self>, path: &str, message: Bytes) -> BoxFuture<'static, Result<Response<Answer>, Failure>> {
        let method = path.strip_suffix(METHOD);
        let of = |prefix| method.and_then(|method| method.strip_prefix(prefix));
        let called = match (of(RAFT), of(CLI), of(NACOS)) {
            (Some(name), _, _) => self.core_call(name, message),
            (_, Some(name), _) => self.cli_call(name, message),
            (_, _, Some(name)) => self.nacos_call(name, message),
            _ => None,
        };
        called.unwrap_or_else(|| {
            let text = format!("Method not found: {}", path.trim_start_matches('/'));
            Box::pin(std::future::ready(Err(Failure(Code::Unimplemented, text))))
        })
    }

    fn nacos_call(&self, name: &str, message: Bytes) -> Option<Called> {
        let nacos = Arc::clone(&self.nacos);
        // 1.4.0 and before call them otherwise; fields and numbers are the same.
        Some(match name {
            "WriteRequest" | "Log" => later(message, async move |request| nacos.write(request).await),
            "ReadRequest" | "GetRequest" => later(message, async move |request| nacos.read(request).await),
            _ => return None,
        })
    }
}

/// An answer to come.
pub(super) type Called = BoxFuture<'static, Result<Response<Answer>, Failure>>;

/// Reads a message; one that is not what its path says is the caller's fault.
pub(super) fn decode<Q: prost::Message + Default>(message: Bytes) -> Result<Q, Failure> {
    Q::decode(message).map_err(|error| Failure(Code::InvalidArgument, error.to_string()))
}

/// Works on a message when its turn came; nothing of it happens before.
pub(super) fn later<Q, A, F>(message: Bytes, work: impl FnOnce(Q) -> F) -> Called
where
    Q: prost::Message + Default,
    A: prost::Message,
    F: Future<Output = A> + Send + 'static,
{
    match decode(message) {
        Ok(request) => {
            let work = work(request);
            Box::pin(async move { Ok(frame::answer(&work.await)) })
        }
        Err(failure) => Box::pin(std::future::ready(Err(failure))),
    }
}

/// The line of a connection: who comes waits for the one before.
#[derive(Default)]
struct Line {
    last: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Line {
    /// Joins; the sender is dropped to let the next one go.
    fn join(&self) -> (Option<oneshot::Receiver<()>>, oneshot::Sender<()>) {
        let (done, next) = oneshot::channel();
        (self.last.lock().replace(next), done)
    }
}

fn connection(
    server: Arc<RaftServer>,
    stream: TcpStream,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "cannot switch off Nagle's algorithm");
    }
    let line = Line::default();
    let service = service_fn(move |request: http::Request<Incoming>| {
        // Called in the order in which the streams were opened.
        let (before, done) = line.join();
        let server = Arc::clone(&server);
        async move {
            let answered = serve(&server, request, before, done).await;
            Ok::<_, Infallible>(answered.unwrap_or_else(|failure| frame::failure(&failure)))
        }
    });
    http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES * 4)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
}

async fn serve(
    server: &Arc<RaftServer>,
    request: http::Request<Incoming>,
    before: Option<oneshot::Receiver<()>>,
    done: oneshot::Sender<()>,
) -> Result<Response<Answer>, Failure> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, MESSAGE_BYTES_MAX + 64).collect();
    let body = match tokio::time::timeout(BODY_READ_MAX, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) => return Err(Failure(Code::ResourceExhausted, error.to_string())),
        Err(_) => return Err(Failure(Code::Internal, "the message took too long".to_owned())),
    };
    let message = frame::message(&body)?;
    if let Some(before) = before {
        // It fails when the one before is through.
        let _ = before.await;
    }
    let called = server.dispatch(parts.uri.path(), message);
    drop(done);
    called.await
}
