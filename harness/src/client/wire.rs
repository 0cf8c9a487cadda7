//! A raw HTTP/1.1 client: sends the bytes it is given and shows the answer as it came.
//!
//! Ordinary clients repair what they send (`[`, `{`, `|`, `#`, broken percent sequences) and refuse what real Nacos
//! answers (`HTTP/1.1 40301`, status lines without a reason phrase; `compat/spec/naming-api.md` §1.3). Conformance
//! needs both. Every request has a connection of its own, so that nothing one case leaves behind on a connection can
//! reach the next.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// What to send. Nothing is escaped, added or checked, except that `Host` comes first and a body brings its length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Method, any token.
    pub method: String,
    /// Request target, byte for byte.
    pub target: Vec<u8>,
    /// Header lines in order; `Host` and `Content-Length` are added unless named here.
    pub headers: Vec<(String, String)>,
    /// Body; `None` sends `Content-Length: 0` for POST, PUT and PATCH, and no length for the others.
    pub body: Option<Vec<u8>>,
}

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// `Content-Length`.
    Length,
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Neither: the connection was closed, or the answer cannot have a body.
    None,
}

/// An answer as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Any decimal number; real Nacos sends some that are not HTTP statuses.
    pub status: u32,
    /// The reason phrase; `None` when the status line ends behind the code.
    pub reason: Option<String>,
    /// Header lines in order, names as sent, bytes above 127 read as Latin-1.
    pub headers: Vec<(String, String)>,
    /// How the body was framed.
    pub framing: Framing,
    /// The body without its framing.
    pub body: Vec<u8>,
}

impl Response {
    /// Values of all lines of one header, in order.
    pub fn header_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

/// Bounds of one exchange.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connect, send and receive together.
    pub time: Duration,
    /// Largest header section, bytes.
    pub head: usize,
    /// Largest body, bytes.
    pub body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { time: Duration::from_secs(10), head: 64 * 1024, body: 4 * 1024 * 1024 }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// No connection.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// `host:port`.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The time of [`Limits`] ran out.
    #[error("no complete answer from {address} within {} ms", .after.as_millis())]
    Timeout {
        /// `host:port`.
        address: String,
        /// The limit.
        after: Duration,
    },
    /// The connection broke before the answer was complete.
    #[error("connection to {address} broke: {source}")]
    Broken {
        /// `host:port`.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// What came is not HTTP/1.x, or exceeds a limit.
    #[error("answer of {address} is not understood: {what}")]
    Protocol {
        /// `host:port`.
        address: String,
        /// What is wrong with it.
        what: String,
    },
}

/// Sends one request over a fresh connection and reads the whole answer.
///
/// # Errors
/// See [`WireError`]. An error status is an answer, not an error.
pub async fn exchange(address: &str, request: &Request, limits: &Limits) -> Result<Response, WireError> {
    let deadline = Instant::now() + limits.time;
    let late = || WireError::Timeout { address: address.to_owned(), after: limits.time };
    let connect = timeout_at(deadline, TcpStream::connect(address)).await.map_err(|_| late())?;
    let stream = connect.map_err(|source| WireError::Connect { address: address.to_owned(), source })?;
    let _ = stream.set_nodelay(true);
    let (mut read, mut write) = stream.into_split();
    let bytes = encode(address, request);
    // A server may answer before it has taken the whole request (a form that is too large), so a write that fails is
    // not the end: the answer may already lie in the receive buffer.
    let sending = tokio::spawn(async move {
        let sent = write.write_all(&bytes).await;
        (write, sent)
    });
    let mut reader = Reader { address, source: &mut read, buffer: Vec::new(), at: 0 };
    let answer = timeout_at(deadline, reader.answer(&request.method, limits)).await;
    sending.abort();
    answer.map_err(|_| late())?
}

fn encode(address: &str, request: &Request) -> Vec<u8> {
    let named = |name: &str| request.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
    let mut out = Vec::with_capacity(256 + request.target.len() + request.body.as_ref().map_or(0, Vec::len));
    out.extend_from_slice(request.method.as_bytes());
    out.push(b' ');
    out.extend_from_slice(&request.target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if !named("host") {
        out.extend_from_slice(format!("Host: {address}\r\n").as_bytes());
    }
    for (name, value) in &request.headers {
        out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    let empty = matches!(request.method.as_str(), "POST" | "PUT" | "PATCH").then_some(0);
    if let Some(length) = request.body.as_ref().map(Vec::len).or(empty)
        && !named("content-length")
    {
        out.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(request.body.as_deref().unwrap_or_default());
    out
}

/// Reads one answer; `buffer[at..]` is what was received and not yet used.
struct Reader<'a, S> {
    address: &'a str,
    source: &'a mut S,
    buffer: Vec<u8>,
    at: usize,
}

impl<S: AsyncReadExt + Unpin> Reader<'_, S> {
    async fn answer(&mut self, method: &str, limits: &Limits) -> Result<Response, WireError> {
        let (status, reason, headers) = loop {
            let head = self.head(limits).await?;
            if !(100..200).contains(&head.0) {
                break head;
            }
        };
        let mut response = Response { status, reason, headers, framing: Framing::None, body: Vec::new() };
        if response.header_values("transfer-encoding").any(|v| v.to_ascii_lowercase().contains("chunked")) {
            response.framing = Framing::Chunked;
        } else if response.header_values("content-length").next().is_some() {
            response.framing = Framing::Length;
        }
        if method == "HEAD" || status == 204 || status == 304 {
            return Ok(response);
        }
        response.body = match response.framing {
            Framing::Chunked => self.chunks(limits).await?,
            Framing::Length => {
                let text = response.header_values("content-length").next().unwrap_or_default().trim().to_owned();
                let length = text.parse().map_err(|_| self.protocol(format!("Content-Length `{text}`")))?;
                self.check(length, limits)?;
                self.exactly(length).await?
            }
            Framing::None => self.rest(limits).await?,
        };
        Ok(response)
    }

    async fn head(&mut self, limits: &Limits) -> Result<Head, WireError> {
        let line = self.line(limits.head).await?;
        let (status, reason) = status_line(&line).ok_or_else(|| self.protocol(format!("status line `{line}`")))?;
        let mut headers = Vec::new();
        let mut size = line.len();
        loop {
            let line = self.line(limits.head).await?;
            size += line.len();
            if size > limits.head {
                return Err(self.protocol(format!("more than {} bytes of headers", limits.head)));
            }
            if line.is_empty() {
                return Ok((status, reason, headers));
            }
            let (name, value) = line.split_once(':').ok_or_else(|| self.protocol(format!("header line `{line}`")))?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    async fn chunks(&mut self, limits: &Limits) -> Result<Vec<u8>, WireError> {
        let mut body = Vec::new();
        loop {
            let line = self.line(1024).await?;
            let digits = line.split(';').next().unwrap_or_default().trim().to_owned();
            let size = usize::from_str_radix(&digits, 16).map_err(|_| self.protocol(format!("chunk size `{line}`")))?;
            self.check(body.len().saturating_add(size), limits)?;
            if size == 0 {
                while !self.line(limits.head).await?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.exactly(size).await?);
            if !self.line(2).await?.is_empty() {
                return Err(self.protocol("chunk without its line end".to_owned()));
            }
        }
    }

    async fn rest(&mut self, limits: &Limits) -> Result<Vec<u8>, WireError> {
        while self.fill().await? {
            self.check(self.buffer.len() - self.at, limits)?;
        }
        Ok(self.buffer.split_off(self.at))
    }

    async fn exactly(&mut self, length: usize) -> Result<Vec<u8>, WireError> {
        while self.buffer.len() - self.at < length {
            self.fill_or_break().await?;
        }
        let taken = self.buffer.get(self.at..self.at + length).unwrap_or_default().to_vec();
        self.at += length;
        Ok(taken)
    }

    /// One line without its end, at most `limit` bytes long.
    async fn line(&mut self, limit: usize) -> Result<String, WireError> {
        let mut from = self.at;
        loop {
            let unread = self.buffer.get(from..).unwrap_or_default();
            if let Some(end) = unread.iter().position(|b| *b == b'\n').map(|i| from + i) {
                let line = self.buffer.get(self.at..end).unwrap_or_default();
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                let text = line.iter().map(|b| char::from(*b)).collect();
                self.at = end + 1;
                return Ok(text);
            }
            from = self.buffer.len();
            if from - self.at > limit {
                return Err(self.protocol(format!("a line of more than {limit} bytes")));
            }
            self.fill_or_break().await?;
        }
    }

    async fn fill_or_break(&mut self) -> Result<(), WireError> {
        if self.fill().await? {
            return Ok(());
        }
        let source = io::Error::new(io::ErrorKind::UnexpectedEof, "closed before the answer was complete");
        Err(WireError::Broken { address: self.address.to_owned(), source })
    }

    /// Receives more; false at the end of the stream.
    async fn fill(&mut self) -> Result<bool, WireError> {
        let mut piece = [0; 8192];
        let count = self
            .source
            .read(&mut piece)
            .await
            .map_err(|source| WireError::Broken { address: self.address.to_owned(), source })?;
        self.buffer.extend_from_slice(piece.get(..count).unwrap_or_default());
        Ok(count > 0)
    }

    fn check(&self, length: usize, limits: &Limits) -> Result<(), WireError> {
        if length <= limits.body {
            return Ok(());
        }
        Err(self.protocol(format!("a body of more than {} bytes", limits.body)))
    }

    fn protocol(&self, what: String) -> WireError {
        WireError::Protocol { address: self.address.to_owned(), what }
    }
}

/// Status, reason phrase, header lines.
type Head = (u32, Option<String>, Vec<(String, String)>);

fn status_line(line: &str) -> Option<(u32, Option<String>)> {
    let rest = line.strip_prefix("HTTP/1.")?.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = rest.strip_prefix(' ')?;
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    Some((code.parse().ok()?, (!reason.is_empty()).then(|| reason.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// Answers one connection with fixed bytes, closes it, and returns what was received.
    async fn served(request: Request, answer: &'static [u8], limits: Limits) -> (Result<Response, WireError>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address").to_string();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("accept");
            let mut got = Vec::new();
            let mut piece = [0; 1024];
            while !got.windows(4).any(|w| w == b"\r\n\r\n") {
                let count = stream.read(&mut piece).await.expect("read");
                got.extend_from_slice(&piece[..count]);
            }
            stream.write_all(answer).await.expect("write");
            got
        });
        let result = exchange(&address, &request, &limits).await;
        (result, server.await.expect("server"))
    }

    fn get(target: &str) -> Request {
        Request { method: "GET".to_owned(), target: target.as_bytes().to_vec(), ..Request::default() }
    }

    #[tokio::test]
    async fn target_and_headers_go_out_raw() {
        let mut request = get("/a b?x=[1]&y={\"a\"|#%2");
        request.headers.push(("User-Agent".to_owned(), "Nacos-Java-Client:v1.4.1".to_owned()));
        let (answer, got) = served(request, b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", Limits::default()).await;
        assert!(got.starts_with(b"GET /a b?x=[1]&y={\"a\"|#%2 HTTP/1.1\r\nHost: 127.0.0.1:"));
        assert!(String::from_utf8_lossy(&got).ends_with("\r\nUser-Agent: Nacos-Java-Client:v1.4.1\r\n\r\n"));
        let answer = answer.expect("answer");
        assert_eq!((answer.status, answer.reason, answer.framing), (200, None, Framing::Length));
        assert_eq!(answer.body, b"ok");
    }

    #[tokio::test]
    async fn illegal_status_and_reason_phrase_are_shown() {
        let (answer, _) = served(get("/"), b"HTTP/1.1 40301\r\nContent-Length: 0\r\n\r\n", Limits::default()).await;
        let answer = answer.expect("answer");
        assert_eq!((answer.status, answer.reason), (40301, None));
        let (answer, _) = served(get("/"), b"HTTP/1.0 404 Not Found\r\n\r\nrest", Limits::default()).await;
        let answer = answer.expect("answer");
        assert_eq!((answer.status, answer.reason.as_deref()), (404, Some("Not Found")));
        assert_eq!((answer.framing, answer.body.as_slice()), (Framing::None, b"rest".as_slice()));
    }

    #[tokio::test]
    async fn chunks_are_joined_and_head_has_no_body() {
        let bytes = b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\nVary: a\r\nvary: b\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        let (answer, _) = served(get("/"), bytes, Limits::default()).await;
        let answer = answer.expect("answer");
        assert_eq!(answer.body, b"abcde");
        assert_eq!(answer.header_values("Vary").collect::<Vec<_>>(), ["a", "b"]);
        let head = Request { method: "HEAD".to_owned(), ..get("/") };
        let (answer, _) = served(head, b"HTTP/1.1 501 \r\nTransfer-Encoding: chunked\r\n\r\n", Limits::default()).await;
        assert_eq!(answer.expect("answer").framing, Framing::Chunked);
    }

    #[tokio::test]
    async fn bodies_get_their_length() {
        let request = Request { method: "PUT".to_owned(), body: Some(b"a=b".to_vec()), ..get("/") };
        let (_, got) = served(request, b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", Limits::default()).await;
        assert!(String::from_utf8_lossy(&got).contains("\r\nContent-Length: 3\r\n\r\n"));
        let request = Request { method: "POST".to_owned(), ..get("/") };
        let (_, got) = served(request, b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", Limits::default()).await;
        assert!(String::from_utf8_lossy(&got).ends_with("\r\nContent-Length: 0\r\n\r\n"));
    }

    #[tokio::test]
    async fn failures_are_told_apart() {
        let (broken, _) = served(get("/"), b"HTTP/1.1 200\r\nContent-Length: 9\r\n\r\nabc", Limits::default()).await;
        assert!(matches!(broken, Err(WireError::Broken { .. })));
        let (protocol, _) = served(get("/"), b"NOPE\r\n\r\n", Limits::default()).await;
        assert!(matches!(protocol, Err(WireError::Protocol { .. })));
        let small = Limits { body: 2, ..Limits::default() };
        let (protocol, _) = served(get("/"), b"HTTP/1.1 200\r\nContent-Length: 3\r\n\r\nabc", small).await;
        assert!(matches!(protocol, Err(WireError::Protocol { .. })));
        let silent = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = silent.local_addr().expect("address").to_string();
        let short = Limits { time: Duration::from_millis(50), ..Limits::default() };
        let late = exchange(&address, &get("/"), &short).await;
        assert!(matches!(late, Err(WireError::Timeout { .. })));
        drop(silent);
        let refused = exchange(&address, &get("/"), &short).await;
        assert!(matches!(refused, Err(WireError::Connect { .. })));
    }
}
