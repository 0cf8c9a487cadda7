//! What the HTTP library decides without asking any code of ours, put right on the connection.
//!
//! - A request it cannot parse it answers with a bare 400; Tomcat sends its page (compat/spec/naming-api.md §1).
//! - A raw `#` in the target it takes for the beginning of a fragment and drops; Tomcat refuses the request.
//! - It never says of an answer to `HEAD` that the body would be chunked; Tomcat does.
//!
//! Neither side of the connection is copied: reading looks at request lines alone, writing at the first bytes of a
//! piece.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::request::Parts;
use parking_lot::Mutex;
use time::OffsetDateTime;
use time::macros::format_description;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::error_page;

/// The longest request line that is looked at; a longer one is refused anyway.
const LINE_BYTES_MAX: usize = 16 * 1024;
/// How an answer of the library's own begins; those of ours have no reason phrase.
const REFUSALS: [&[u8]; 3] = [b"HTTP/1.1 400 B", b"HTTP/1.1 414 U", b"HTTP/1.1 431 R"];

/// Stands for the header that the library does not send.
pub(super) const CHUNKED: &str = "x-chunked";
/// How it is written.
const CHUNKED_WRITTEN: &[u8] = b"X-Chunked: 1\r\n";

/// What is known about the request that is being answered; shared by the connection and whoever answers.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen(Arc<About>);

#[derive(Debug, Default)]
struct About {
    /// A request line with a raw `#`.
    fragment: Mutex<Option<Bytes>>,
    /// The next answer has [`CHUNKED`].
    chunked: AtomicBool,
}

impl Seen {
    /// Whether this request had a raw `#` in its target. The line is compared, because a client that sends requests
    /// without waiting for answers is not looked at any further.
    pub(super) fn fragment(&self, parts: &Parts) -> bool {
        let Some(line) = self.0.fragment.lock().take() else { return false };
        let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
        let begins = format!("{} {target}#", parts.method);
        line.starts_with(begins.as_bytes())
    }

    /// The answer that is sent next has [`CHUNKED`].
    pub(super) fn marked(&self) {
        self.0.chunked.store(true, Ordering::Release);
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Wire<S> {
    stream: S,
    seen: Seen,
    /// The beginning of a request line; none between a line and the next answer.
    line: Option<BytesMut>,
    /// What is sent instead of the library's own answer.
    instead: Bytes,
}

impl<S> Wire<S> {
    pub(super) fn new(stream: S) -> (Self, Seen) {
        let seen = Seen::default();
        (Wire { stream, seen: seen.clone(), line: Some(BytesMut::new()), instead: Bytes::new() }, seen)
    }

    fn look(&mut self, read: &[u8]) {
        let Some(line) = &mut self.line else { return };
        // A client may send empty lines before a request.
        let read = if line.is_empty() { read.trim_ascii_start() } else { read };
        let end = read.iter().position(|byte| *byte == b'\n');
        let piece = read.get(..end.unwrap_or(read.len())).unwrap_or_default();
        if end.is_none() || !line.is_empty() {
            line.extend_from_slice(piece);
        }
        if end.is_some() || line.len() > LINE_BYTES_MAX {
            let whole = if line.is_empty() { Bytes::copy_from_slice(piece) } else { line.split().freeze() };
            if whole.contains(&b'#') {
                *self.seen.0.fragment.lock() = Some(whole);
            }
            self.line = None;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        if self.line.is_some() {
            let read = into.filled().get(before..).unwrap_or_default();
            self.look(read);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    /// What is sent in the place of a piece, if anything.
    fn instead_of(&self, data: &[u8]) -> Option<Bytes> {
        if is_refusal(data) {
            return Some(refusal());
        }
        if !self.seen.0.chunked.load(Ordering::Acquire) {
            return None;
        }
        let at = data.windows(CHUNKED_WRITTEN.len()).position(|window| window == CHUNKED_WRITTEN)?;
        self.seen.0.chunked.store(false, Ordering::Release);
        let (before, rest) = data.split_at(at);
        let after = rest.get(CHUNKED_WRITTEN.len()..).unwrap_or_default();
        Some([before, b"Transfer-Encoding: chunked\r\n", after].concat().into())
    }

    fn poll_instead(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.instead.is_empty() {
            let Self { stream, instead, .. } = self;
            let written = ready!(Pin::new(stream).poll_write(context, instead))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.instead.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_instead(context))?;
        if let Some(instead) = self.instead_of(data) {
            self.instead = instead;
            self.line.get_or_insert_default();
            return Poll::Ready(Ok(data.len()));
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, data))?;
        // What is read after an answer begins with the next request's line.
        self.line.get_or_insert_default();
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = pieces.first().map(|piece| &**piece).unwrap_or_default();
        if !self.instead.is_empty() || self.seen.0.chunked.load(Ordering::Acquire) || is_refusal(first) {
            return self.poll_write(context, first);
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, pieces))?;
        self.line.get_or_insert_default();
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

fn is_refusal(data: &[u8]) -> bool {
    REFUSALS.iter().any(|begins| data.starts_with(begins))
}

/// Tomcat's page for a request that cannot be parsed.
fn refusal() -> Bytes {
    let page = error_page::tomcat(400);
    let date = OffsetDateTime::now_utc()
        .format(format_description!(
            "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
        ))
        .unwrap_or_default();
    let content_type = page.content_type.unwrap_or_default();
    let head = format!(
        "HTTP/1.1 400 \r\nContent-Type: {content_type}\r\nContent-Language: en\r\nContent-Length: {}\r\n\
         Date: {date}\r\nConnection: close\r\n\r\n",
        page.body.len()
    );
    [head.as_bytes(), &page.body].concat().into()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn parts(target: &str) -> Parts {
        http::Request::builder().uri(target).body(()).unwrap().into_parts().0
    }

    #[tokio::test]
    async fn a_fragment_is_seen_however_the_line_arrives() {
        for pieces in [vec!["\r\nGET /a#b HTTP/1.1\r\nHost: x\r\n\r\n"], vec!["GET /", "a#", "b HTTP/1.1\r\n"]] {
            let (mut client, server) = tokio::io::duplex(1024);
            let (mut wire, seen) = Wire::new(server);
            for piece in pieces {
                client.write_all(piece.as_bytes()).await.unwrap();
                wire.read(&mut [0; 1024]).await.unwrap();
            }
            assert!(seen.fragment(&parts("/a")) && !seen.fragment(&parts("/a")), "once");
        }
    }

    #[tokio::test]
    async fn bodies_and_other_requests_are_not_taken_for_it() {
        let (mut client, server) = tokio::io::duplex(1024);
        let (mut wire, seen) = Wire::new(server);
        let mut ask = async |text: &str| {
            client.write_all(text.as_bytes()).await.unwrap();
            wire.read(&mut [0; 1024]).await.unwrap();
            let found = seen.fragment(&parts("/a"));
            wire.write_all(b"HTTP/1.1 200 \r\n\r\n").await.unwrap();
            found
        };
        assert!(!ask("GET /a HTTP/1.1\r\nX: #\r\n\r\n#").await);
        assert!(!ask("GET /b#c HTTP/1.1\r\n\r\n").await);
        assert!(ask("GET /a#c HTTP/1.1\r\n\r\n").await);
    }

    #[tokio::test]
    async fn a_marked_answer_says_chunked_and_no_other() {
        let (mut client, server) = tokio::io::duplex(4096);
        let (mut wire, seen) = Wire::new(server);
        seen.marked();
        wire.write_all(b"HTTP/1.1 200 \r\nX-Chunked: 1\r\nA: b\r\n\r\n").await.unwrap();
        wire.write_all(b"X-Chunked: 1\r\n").await.unwrap();
        wire.flush().await.unwrap();
        drop(wire);
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\nX-Chunked: 1\r\n");
    }

    #[tokio::test]
    async fn the_library_s_refusals_become_the_page() {
        let (mut client, server) = tokio::io::duplex(4096);
        let (mut wire, _) = Wire::new(server);
        wire.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        wire.flush().await.unwrap();
        drop(wire);
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 400 \r\nContent-Type: text/html;charset=utf-8\r\n"), "{text}");
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())) && head.ends_with("Connection: close"));
        assert!(body.ends_with("</body></html>"));
    }
}
