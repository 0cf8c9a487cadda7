//! The connection level: accepts, reads a request in full, frames the answer as Tomcat does, stops gracefully.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::ext::ReasonPhrase;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tracing::{debug, warn};

use super::response::Response;
use super::routes::{self, Router};
use super::wire::{Seen, Wire};
use super::{error_page, pipeline, wire};
use crate::accept;
use crate::node::Node;

/// Connections served at a time; Tomcat's default. Further ones wait in the backlog.
const CONNECTIONS_MAX: usize = 8192;
/// The largest body read; a peer's full Distro answer is the largest there is.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long a body may take to arrive.
const BODY_READ_MAX: Duration = Duration::from_secs(60);
/// How long a connection may idle between requests; Tomcat's default.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// How Tomcat tells that.
const KEEP_ALIVE: &str = "timeout=60";
/// How long connections may finish what they serve when the node stops.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Serves until `shutdown` completes, then lets open requests finish for a bounded time.
pub async fn serve(listener: TcpListener, node: Arc<Node>, shutdown: impl Future<Output = ()>) -> std::io::Result<()> {
    let router = Arc::new(Router::new(routes::all()));
    let connection = |stream, peer| connection(stream, peer, Arc::clone(&node), Arc::clone(&router));
    if !accept::serve(listener, CONNECTIONS_MAX, DRAIN_MAX, shutdown, connection).await {
        warn!("requests still open after {} s are dropped", DRAIN_MAX.as_secs());
    }
    Ok(())
}

fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    node: Arc<Node>,
    router: Arc<Router>,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%peer, %error, "cannot switch off Nagle's algorithm");
    }
    let (stream, seen) = Wire::new(stream);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (node, router, seen) = (Arc::clone(&node), Arc::clone(&router), seen.clone());
        async move { Ok::<_, Infallible>(answer(&node, &router, request, peer, &seen).await) }
    });
    http1::Builder::new()
        .title_case_headers(true)
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_MAX)
        .serve_connection(TokioIo::new(stream), service)
}

async fn answer(
    node: &Arc<Node>,
    router: &Router,
    request: hyper::Request<Incoming>,
    peer: SocketAddr,
    seen: &Seen,
) -> hyper::Response<Payload> {
    let (parts, incoming) = request.into_parts();
    if seen.fragment(&parts) {
        return framed(error_page::tomcat(400));
    }
    let keep_alive = asks_to_keep(&parts.headers);
    let head = parts.method == http::Method::HEAD;
    match read_body(incoming).await {
        Ok(body) => {
            let response = pipeline::handle(node, router, parts, body, peer).await;
            let unframed = head && response.chunked;
            let mut answer = framed(response);
            if unframed {
                answer.headers_mut().insert(wire::CHUNKED, http::HeaderValue::from_static("1"));
                seen.marked();
            }
            if keep_alive && !answer.headers().contains_key(http::header::CONNECTION) {
                answer.headers_mut().insert("keep-alive", http::HeaderValue::from_static(KEEP_ALIVE));
                answer.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("keep-alive"));
            }
            answer
        }
        Err(error) => {
            debug!(%peer, %error, "cannot read a body");
            framed(error_page::tomcat(400))
        }
    }
}

/// Whether the client says what HTTP/1.1 does anyway; Tomcat then answers the same, as the clients of official nodes do.
fn asks_to_keep(headers: &http::HeaderMap) -> bool {
    let lines = headers.get_all(http::header::CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|token| token.trim().eq_ignore_ascii_case("keep-alive"))
}

async fn read_body(incoming: Incoming) -> anyhow::Result<Bytes> {
    if incoming.is_end_stream() {
        return Ok(Bytes::new());
    }
    let body = Limited::new(incoming, BODY_BYTES_MAX).collect();
    match tokio::time::timeout(BODY_READ_MAX, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(anyhow::anyhow!(error)),
        Err(_) => anyhow::bail!("not complete after {} s", BODY_READ_MAX.as_secs()),
    }
}

/// Status line without a phrase; 400, 500, 501 and 503 close the connection (compat/spec/naming-api.md §1.3).
fn framed(response: Response) -> hyper::Response<Payload> {
    let mut built = hyper::Response::new(Payload { data: Some(response.body), chunked: response.chunked });
    *built.status_mut() =
        http::StatusCode::from_u16(response.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    built.extensions_mut().insert(ReasonPhrase::from_static(b""));
    let headers = built.headers_mut();
    for (name, value) in response.headers {
        if let Ok(value) = http::HeaderValue::from_str(&value) {
            headers.append(http::HeaderName::from_static(name), value);
        }
    }
    if let Some(content_type) = response.content_type
        && let Ok(value) = http::HeaderValue::from_str(&content_type)
    {
        headers.insert(http::header::CONTENT_TYPE, value);
    }
    if matches!(response.status, 400 | 500 | 501 | 503) {
        headers.insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
    }
    built
}

/// A body sent in one piece, with its length or as a chunk.
struct Payload {
    data: Option<Bytes>,
    chunked: bool,
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.data.take().filter(|data| !data.is_empty()).map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        !self.chunked && self.data.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        if self.chunked {
            return SizeHint::default();
        }
        SizeHint::with_exact(self.data.as_ref().map_or(0, |data| data.len() as u64))
    }
}
