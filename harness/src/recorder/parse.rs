//! HTTP/1.1 read from a copy of the bytes that pass by: nothing is decoded, checked or refused.
//!
//! `Content-Encoding` is ignored on purpose: real Nacos puts `gzip` on plain bodies (`compat/spec/distro.md` §6.1), so
//! a body is kept as it came. What is not HTTP ends the reading of that direction, never the passing on.

use tokio::time::Instant;

/// Longest head that is read, bytes; real Nacos refuses 8 KiB, the launcher of its distribution 512 KiB.
const HEAD_MAX: usize = 1024 * 1024;

/// Bytes of a body that are kept; all of it passes.
pub(super) const BODY_KEPT: usize = 8 * 1024 * 1024;

/// One request or answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Request line or status line, bytes above 127 read as Latin-1.
    pub start: String,
    /// Header lines in order, names as sent.
    pub headers: Vec<(String, String)>,
    /// The body without its framing, at most 8 MiB of it.
    pub body: Vec<u8>,
    /// Length of the whole body, bytes.
    pub body_bytes: usize,
    /// Head as it came, the empty line included.
    pub raw_head: Vec<u8>,
    /// When its first byte passed.
    pub begun: Instant,
    /// When its last byte passed.
    pub ended: Instant,
}

impl Message {
    /// Values of all lines of one header, in order.
    pub fn header_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Method of a request.
    pub fn method(&self) -> &str {
        self.start.split(' ').next().unwrap_or_default()
    }

    /// Target of a request: path and query as sent.
    pub fn target(&self) -> &str {
        self.start.split_once(' ').map_or("", |(_, rest)| rest.rsplit_once(' ').map_or(rest, |(target, _)| target))
    }

    /// Status of an answer, 0 for what is none.
    pub fn status(&self) -> u32 {
        self.start.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Whose messages are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Requests,
    Answers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Lines up to the empty one.
    Head,
    /// This many bytes of body to come.
    Length(usize),
    ChunkSize,
    Chunk(usize),
    ChunkEnd,
    Trailer,
    /// A body that ends with the connection.
    UntilClose,
    /// Not HTTP, or another protocol from here on.
    Blind,
}

/// One direction of one connection.
#[derive(Debug)]
pub(super) struct Parser {
    side: Side,
    state: State,
    /// Bytes of a line that is not complete.
    line: Vec<u8>,
    head: Vec<u8>,
    message: Option<Message>,
    begun: Option<Instant>,
}

impl Parser {
    pub(super) fn new(side: Side) -> Self {
        Self { side, state: State::Head, line: Vec::new(), head: Vec::new(), message: None, begun: None }
    }

    /// Takes what passed; `done` is called with every message that is complete. For an answer, `method` says which
    /// method the request had that comes next without an answer.
    pub(super) fn push(&mut self, bytes: &[u8], method: &mut dyn FnMut() -> String, done: &mut dyn FnMut(Message)) {
        let now = Instant::now();
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = match self.state {
                State::Blind => return,
                State::Head | State::ChunkSize | State::ChunkEnd | State::Trailer => {
                    self.begun.get_or_insert(now);
                    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                        self.line.extend_from_slice(rest);
                        if self.line.len() + self.head.len() > HEAD_MAX {
                            self.state = State::Blind;
                        }
                        return;
                    };
                    let (line, after) = rest.split_at(end + 1);
                    self.line.extend_from_slice(line);
                    self.line_ended(now, method, done);
                    after
                }
                State::Length(left) => {
                    let (body, after) = rest.split_at(left.min(rest.len()));
                    self.keep(body);
                    self.state = State::Length(left - body.len());
                    if left == body.len() {
                        self.finish(now, done);
                    }
                    after
                }
                State::Chunk(left) => {
                    let (body, after) = rest.split_at(left.min(rest.len()));
                    self.keep(body);
                    self.state = if left == body.len() { State::ChunkEnd } else { State::Chunk(left - body.len()) };
                    after
                }
                State::UntilClose => {
                    self.keep(rest);
                    return;
                }
            };
        }
    }

    /// The connection ended in this direction.
    pub(super) fn close(&mut self, done: &mut dyn FnMut(Message)) {
        if self.state == State::UntilClose {
            self.finish(Instant::now(), done);
        }
    }

    fn line_ended(&mut self, now: Instant, method: &mut dyn FnMut() -> String, done: &mut dyn FnMut(Message)) {
        let raw = std::mem::take(&mut self.line);
        let text: String = raw.iter().map(|byte| char::from(*byte)).collect();
        let text = text.trim_end_matches(['\r', '\n']);
        match self.state {
            State::Head if text.is_empty() && self.head.is_empty() => self.begun = None,
            State::Head => {
                self.head.extend_from_slice(&raw);
                if text.is_empty() {
                    self.head_ended(now, method, done);
                } else if self.head.len() > HEAD_MAX {
                    self.state = State::Blind;
                }
            }
            State::ChunkSize => {
                let digits = text.split(';').next().unwrap_or_default().trim();
                self.state = match usize::from_str_radix(digits, 16) {
                    Ok(0) => State::Trailer,
                    Ok(size) => State::Chunk(size),
                    Err(_) => State::Blind,
                };
            }
            State::ChunkEnd => self.state = State::ChunkSize,
            State::Trailer if text.is_empty() => self.finish(now, done),
            _ => {}
        }
    }

    fn head_ended(&mut self, now: Instant, method: &mut dyn FnMut() -> String, done: &mut dyn FnMut(Message)) {
        let raw_head = std::mem::take(&mut self.head);
        let text: String = raw_head.iter().map(|byte| char::from(*byte)).collect();
        let mut lines = text.lines();
        let start = lines.next().unwrap_or_default().to_owned();
        let pairs = lines.filter_map(|line| line.split_once(':'));
        let headers = pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        let begun = self.begun.unwrap_or(now);
        let message = Message { start, headers, body: Vec::new(), body_bytes: 0, raw_head, begun, ended: now };
        let looks_right = match self.side {
            Side::Requests => message.start.contains(" HTTP/1."),
            Side::Answers => message.start.starts_with("HTTP/1."),
        };
        if !looks_right {
            self.state = State::Blind;
            return;
        }
        if self.side == Side::Answers && (100..200).contains(&message.status()) {
            // An interim answer; after 101 the connection is no longer HTTP.
            self.state = if message.status() == 101 { State::Blind } else { State::Head };
            self.begun = None;
            return;
        }
        self.state = self.framing(&message, method);
        self.message = Some(message);
        if self.state == State::Length(0) {
            self.finish(now, done);
        }
    }

    fn framing(&self, message: &Message, method: &mut dyn FnMut() -> String) -> State {
        let chunked = message.header_values("transfer-encoding").any(|v| v.to_ascii_lowercase().contains("chunked"));
        let length = message.header_values("content-length").next().and_then(|text| text.trim().parse().ok());
        if self.side == Side::Answers && (method() == "HEAD" || matches!(message.status(), 204 | 304)) {
            return State::Length(0);
        }
        match (chunked, length) {
            (true, _) => State::ChunkSize,
            (false, Some(length)) => State::Length(length),
            (false, None) if self.side == Side::Requests => State::Length(0),
            (false, None) => State::UntilClose,
        }
    }

    fn keep(&mut self, body: &[u8]) {
        if let Some(message) = &mut self.message {
            message.body_bytes += body.len();
            let room = BODY_KEPT.saturating_sub(message.body.len()).min(body.len());
            message.body.extend_from_slice(body.get(..room).unwrap_or_default());
        }
    }

    fn finish(&mut self, now: Instant, done: &mut dyn FnMut(Message)) {
        self.state = State::Head;
        self.begun = None;
        if let Some(mut message) = self.message.take() {
            message.ended = now;
            done(message);
        }
    }
}

/// Requests out of the bytes that one connection received, for whoever answers them.
#[derive(Debug)]
pub struct Requests(Parser);

impl Default for Requests {
    fn default() -> Self {
        Self(Parser::new(Side::Requests))
    }
}

impl Requests {
    /// Takes what came and returns the requests that are complete with it.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Message> {
        let mut complete = Vec::new();
        self.0.push(bytes, &mut String::new, &mut |message| complete.push(message));
        complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the text in pieces of every given size; the outcome must not depend on where the pieces end.
    fn read(side: Side, text: &[u8], methods: &[&str]) -> Vec<Message> {
        let mut all: Vec<Vec<Message>> = Vec::new();
        for size in [1, 2, 7, text.len()] {
            let (mut out, mut next) = (Vec::new(), methods.iter());
            let mut parser = Parser::new(side);
            for piece in text.chunks(size) {
                let mut method = || next.next().copied().unwrap_or("GET").to_owned();
                parser.push(piece, &mut method, &mut |message| out.push(message));
            }
            parser.close(&mut |message| out.push(message));
            all.push(out);
        }
        let bare = |messages: &[Message]| -> Vec<_> {
            messages.iter().map(|m| (m.start.clone(), m.headers.clone(), m.body.clone(), m.raw_head.clone())).collect()
        };
        assert!(all.iter().all(|other| bare(other) == bare(&all[0])));
        all.remove(0)
    }

    #[test]
    fn requests_one_behind_the_other_are_told_apart() {
        let text = b"PUT /a?x=%20 HTTP/1.1\r\nhost: h\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}\
            GET /b HTTP/1.1\r\nContent-Length: 4\r\n\r\nbodyDELETE /c HTTP/1.1\r\n\r\n";
        let found = read(Side::Requests, text, &[]);
        let lines: Vec<_> = found.iter().map(|m| (m.method(), m.target(), m.text())).collect();
        assert_eq!(
            lines,
            [("PUT", "/a?x=%20", "{}".into()), ("GET", "/b", "body".into()), ("DELETE", "/c", "".into())]
        );
        assert_eq!(found[0].headers[1], ("Content-Encoding".to_owned(), "gzip".to_owned()));
        assert!(found[0].raw_head.starts_with(b"PUT /a?x=%20 HTTP/1.1\r\nhost: h\r\n"));
    }

    #[test]
    fn chunks_trailers_and_answers_without_a_body_are_told_apart() {
        let text = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n\
            2\r\n\r\n\r\n0\r\nT: v\r\n\r\nHTTP/1.1 40301\r\nContent-Length: 9\r\n\r\nHTTP/1.1 204 \r\n\r\n\
            HTTP/1.1 500 x\r\n\r\nto the end";
        let found = read(Side::Answers, text, &["POST", "HEAD", "PUT", "GET"]);
        let seen: Vec<_> = found.iter().map(|m| (m.status(), m.text())).collect();
        assert_eq!(
            seen,
            [(200, "abc\r\n".into()), (40301, String::new()), (204, String::new()), (500, "to the end".into())]
        );
    }

    #[test]
    fn large_bodies_are_counted_whole_and_kept_in_part() {
        let mut text = format!("PUT / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", BODY_KEPT + 10).into_bytes();
        text.resize(text.len() + BODY_KEPT + 10, b'x');
        let mut found = Vec::new();
        let mut parser = Parser::new(Side::Requests);
        for piece in text.chunks(65_536) {
            parser.push(piece, &mut String::new, &mut |message| found.push(message));
        }
        assert_eq!((found[0].body_bytes, found[0].body.len()), (BODY_KEPT + 10, BODY_KEPT));
    }

    #[test]
    fn what_is_not_http_is_left_alone() {
        assert!(read(Side::Requests, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET / HTTP/1.1\r\n\r\n", &[]).is_empty());
        assert!(read(Side::Answers, b"nonsense\r\n\r\nHTTP/1.1 200 \r\n\r\n", &["GET"]).is_empty());
    }
}
