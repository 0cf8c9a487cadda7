//! The HTTP check: 200 means alive, whatever `expectedResponseCode` says (compat/spec/health-and-push.md §4.2).

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_CHARSET, ACCEPT_ENCODING, CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::{error::Elapsed, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::probe::{self, Feedback, Outcome};
use super::status::Verdict;
use super::tcp::{self, NotConnected};
use crate::java;

/// How long the head of an answer, and each part of its body, may take.
const READ_TIMEOUT: Duration = Duration::from_millis(500);
/// Bodies are read so that the connection can be used again; beyond this it is dropped instead.
const BODY_MAX_BYTES: usize = 64 * 1024;

/// A connection kept alive between two checks.
#[derive(Debug)]
pub(super) struct Connection {
    /// `host:port` it leads to.
    authority: String,
    sender: SendRequest<Empty<Bytes>>,
    _driver: AbortOnDropHandle<()>,
}

/// Why there is no status.
enum Failed {
    Refused,
    TimedOut,
    Other,
}

impl From<NotConnected> for Failed {
    fn from(why: NotConnected) -> Self {
        match why {
            NotConnected::Refused => Failed::Refused,
            NotConnected::TimedOut => Failed::TimedOut,
            NotConnected::Other => Failed::Other,
        }
    }
}

impl From<Elapsed> for Failed {
    fn from(_: Elapsed) -> Self {
        Failed::TimedOut
    }
}

/// What is asked for, and where.
#[derive(Debug)]
struct Question {
    host: String,
    port: u16,
    path: Uri,
    headers: HeaderMap,
}

/// One check.
pub(super) async fn check(
    address: &str,
    port: i32,
    path: &str,
    headers: &str,
    kept: Option<probe::Connection>,
) -> (Outcome, Option<Connection>) {
    let Some(question) = question(address, port, path, headers) else {
        return (Outcome::new(Verdict::Fail, Feedback::Longest), None);
    };
    match ask(&question, kept).await {
        Ok((status, connection)) => (judge(status), connection),
        Err(Failed::Refused) => (Outcome::new(Verdict::FailNow, Feedback::Longest), None),
        Err(Failed::TimedOut) => (Outcome::new(Verdict::Fail, Feedback::Twice), None),
        Err(Failed::Other) => (Outcome::new(Verdict::Fail, Feedback::Longest), None),
    }
}

fn judge(status: StatusCode) -> Outcome {
    match status {
        StatusCode::OK => Outcome::new(Verdict::Ok, Feedback::Measured),
        // Busy: another look decides.
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::FOUND => Outcome::new(Verdict::Fail, Feedback::Twice),
        // Answers that can have no body break the official reader, so its verdict is that of a broken answer.
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED => {
            Outcome::new(Verdict::Fail, Feedback::Longest)
        }
        _ => Outcome::new(Verdict::FailNow, Feedback::Longest),
    }
}

/// The path is taken relative to the instance, so an absolute URL leads elsewhere, as upstream.
fn question(address: &str, port: i32, path: &str, headers: &str) -> Option<Question> {
    let port = u16::try_from(port).ok()?;
    let url = reqwest::Url::parse(&format!("http://{address}:{port}")).ok()?.join(path).ok()?;
    if url.scheme() != "http" {
        return None;
    }
    let (host, port) = (url.host_str()?.to_owned(), url.port_or_known_default()?);
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let headers = all_headers(&format!("{host}:{port}"), headers)?;
    Some(Question { host, port, path: path.parse().ok()?, headers })
}

/// What official checks carry, and the operator's own on top.
fn all_headers(authority: &str, custom: &str) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json;charset=UTF-8"));
    headers.insert(ACCEPT_CHARSET, HeaderValue::from_static("UTF-8"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    headers.insert(HOST, authority.parse().ok()?);
    headers.insert(CONNECTION, HeaderValue::from_static("Keep-Alive"));
    headers.insert(USER_AGENT, HeaderValue::from_static("VIPServer"));
    for each in java::split(custom, "|") {
        // `K:V` and nothing else: a value with a colon cannot be given.
        if let [name, value] = java::split(each, ":").as_slice()
            && let Ok(name) = HeaderName::from_bytes(java::trim(name).as_bytes())
            && let Ok(value) = HeaderValue::from_str(java::trim(value))
        {
            headers.insert(name, value);
        }
    }
    Some(headers)
}

async fn ask(question: &Question, kept: Option<probe::Connection>) -> Result<(StatusCode, Option<Connection>), Failed> {
    let authority = format!("{}:{}", question.host, question.port);
    if let Some(probe::Connection::Http(mut kept)) = kept
        && kept.authority == authority
        && !kept.sender.is_closed()
    {
        match exchange(&mut kept, question).await {
            Ok((status, reusable)) => return Ok((status, reusable.then_some(kept))),
            Err(Failed::TimedOut) => return Err(Failed::TimedOut),
            // Closed by the other side while idle, maybe; a new connection tells.
            Err(_) => {}
        }
    }
    let mut connection = open(question, authority).await?;
    let (status, reusable) = exchange(&mut connection, question).await?;
    Ok((status, reusable.then_some(connection)))
}

async fn open(question: &Question, authority: String) -> Result<Connection, Failed> {
    let stream = tcp::connect(&question.host, i32::from(question.port)).await?;
    let (sender, connection) = http1::Builder::new()
        .title_case_headers(true)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| Failed::Other)?;
    let driver = tokio::spawn(async move {
        // What goes wrong is told to the sender's side.
        let _ = connection.await;
    });
    Ok(Connection { authority, sender, _driver: AbortOnDropHandle::new(driver) })
}

/// The status, and whether the connection may be used again.
async fn exchange(connection: &mut Connection, question: &Question) -> Result<(StatusCode, bool), Failed> {
    let mut request = Request::new(Empty::new());
    request.uri_mut().clone_from(&question.path);
    request.headers_mut().clone_from(&question.headers);
    let sender = &mut connection.sender;
    let asked = async {
        sender.ready().await?;
        sender.send_request(request).await
    };
    let response = timeout(READ_TIMEOUT, asked).await?.map_err(|_| Failed::Other)?;
    let status = response.status();
    let drained = drain(response.into_body()).await?;
    Ok((status, drained && !connection.sender.is_closed()))
}

/// Reads a body to its end; false when it was too long for that.
async fn drain(mut body: Incoming) -> Result<bool, Failed> {
    let mut read = 0;
    while let Some(frame) = timeout(READ_TIMEOUT, body.frame()).await? {
        let frame = frame.map_err(|_| Failed::Other)?;
        read += frame.data_ref().map_or(0, Bytes::len);
        if read > BODY_MAX_BYTES {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(given: &str) -> String {
        question("10.0.0.1", 8080, given, "").unwrap().path.to_string()
    }

    #[test]
    fn the_path_is_relative_to_the_instance() {
        assert_eq!(path(""), "/");
        assert_eq!(path("/x?y=1"), "/x?y=1");
        assert_eq!(path("x"), "/x");
        let elsewhere = question("10.0.0.1", 8080, "http://10.0.0.2:81/z", "").unwrap();
        assert_eq!((elsewhere.host.as_str(), elsewhere.port), ("10.0.0.2", 81));
        assert!(question("10.0.0.1", 70_000, "/", "").is_none());
        assert!(question("a b", 80, "/", "").is_none());
        assert!(question("10.0.0.1", 80, "https://10.0.0.2/", "").is_none());
    }

    #[test]
    fn custom_headers() {
        let headers = all_headers("h:80", "A: 1 |B:2:3|nothing|Host:other|user-agent:me|:x").unwrap();
        assert_eq!(headers.get("a").unwrap(), "1");
        assert!(headers.get("b").is_none());
        assert_eq!(headers.get(HOST).unwrap(), "other");
        assert_eq!(headers.get(USER_AGENT).unwrap(), "me");
        assert_eq!(headers.len(), 7);
    }

    #[test]
    fn only_200_is_alive() {
        let verdict = |code: u16| judge(StatusCode::from_u16(code).unwrap()).verdict;
        assert_eq!(verdict(200), Verdict::Ok);
        assert_eq!([302, 503, 204, 205, 304].map(verdict), [Verdict::Fail; 5]);
        assert_eq!([201, 301, 404, 500].map(verdict), [Verdict::FailNow; 4]);
    }
}
