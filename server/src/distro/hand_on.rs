//! A client's request on its way to the responsible node, header by header as an official node sends it
//! (compat/spec/distro.md §5.3).

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{
    ACCEPT_CHARSET, ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderMap, HeaderName,
    HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

use crate::peer_http::{Call, PeerError, PeerHttp, read};

/// Time for everything: official nodes allow 2 s to connect and 2 s of silence. The little more than
/// the client's own limit for connecting lets a connection that never comes be told from an answer that never comes.
const TIMEOUT: Duration = Duration::from_millis(2050);
/// What official nodes send before their agent.
const CLIENT_VERSION: &str = "client-version";
/// What the body's framing is told by anew, or what the one hop asked for.
const NOT_HANDED_ON: [HeaderName; 6] = [CONTENT_LENGTH, TRANSFER_ENCODING, TE, TRAILER, UPGRADE, EXPECT];

/// Sends the client's `headers` with `own` over them. Status and body of the answer.
pub(super) async fn send(
    http: &PeerHttp,
    method: Method,
    url: String,
    headers: &HeaderMap,
    own: &HeaderMap,
    body: Bytes,
) -> Result<(u16, Bytes), PeerError> {
    let headers = head(&method, headers, own, body.len());
    let call = Call { method, url, headers, body };
    let exchange = async {
        let answer = match http.begin(call.clone()).await {
            // A kept connection that the peer closed meanwhile. All of these requests may be repeated: they set state.
            Err(PeerError::Transport(_)) => http.begin(call).await?,
            other => other?,
        };
        Ok((answer.status().as_u16(), read(answer.into_body()).await?))
    };
    tokio::time::timeout(TIMEOUT, exchange).await.unwrap_or(Err(PeerError::Timeout))
}

/// In the order in which official nodes send them: three of their own, the client's, the rest of their own.
fn head(method: &Method, client: &HeaderMap, own: &HeaderMap, body_bytes: usize) -> HeaderMap {
    let of_client = |name: &HeaderName, otherwise: &'static str| {
        client.get(name).cloned().unwrap_or(HeaderValue::from_static(otherwise))
    };
    let mut headers = HeaderMap::with_capacity(client.len() + own.len() + 4);
    headers.insert(CONTENT_TYPE, of_client(&CONTENT_TYPE, "application/x-www-form-urlencoded;charset=UTF-8"));
    headers.insert(ACCEPT_CHARSET, of_client(&ACCEPT_CHARSET, "UTF-8"));
    headers.insert(ACCEPT_ENCODING, of_client(&ACCEPT_ENCODING, "gzip"));
    for name in client.keys().filter(|name| !NOT_HANDED_ON.contains(*name)) {
        // Of a repeated header the first line counts.
        if !headers.contains_key(name)
            && let Some(value) = own.get(name).or_else(|| client.get(name))
        {
            headers.insert(name.clone(), value.clone());
        }
    }
    let (versions, others): (Vec<_>, Vec<_>) = own.iter().partition(|(name, _)| *name == CLIENT_VERSION);
    for (name, value) in versions.into_iter().chain(others).filter(|(name, _)| **name != ACCEPT_CHARSET) {
        headers.insert(name.clone(), value.clone());
    }
    if !headers.contains_key(CONNECTION) {
        headers.insert(CONNECTION, HeaderValue::from_static("Keep-Alive"));
    }
    let has_entity = [Method::POST, Method::PUT, Method::PATCH].contains(method);
    if body_bytes > 0 || has_entity || client.contains_key(CONTENT_LENGTH) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body_bytes));
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn headers_are_those_of_an_official_node_in_its_order() {
        let client = map(&[
            ("host", "h:1"),
            ("user-agent", "curl"),
            ("accept", "*/*"),
            ("content-length", "7"),
            ("transfer-encoding", "chunked"),
            ("accept-charset", "GBK"),
        ]);
        let own = map(&[("user-agent", "Nacos-Server:1.4.1"), ("client-version", "1.4.1"), ("request-source", "s:1")]);
        let sent = head(&Method::POST, &client, &own, 0);
        let lines: Vec<_> = sent.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        assert_eq!(
            lines,
            [
                "content-type: application/x-www-form-urlencoded;charset=UTF-8",
                "accept-charset: GBK",
                "accept-encoding: gzip",
                "host: h:1",
                "user-agent: Nacos-Server:1.4.1",
                "accept: */*",
                "client-version: 1.4.1",
                "request-source: s:1",
                "connection: Keep-Alive",
                "content-length: 0",
            ]
        );
        assert!(!head(&Method::DELETE, &map(&[]), &own, 0).contains_key(CONTENT_LENGTH));
        let sent = head(&Method::POST, &map(&[]), &own, 0);
        let names: Vec<_> = sent.keys().skip(3).take(2).collect();
        assert_eq!(names, ["client-version", "user-agent"]);
        assert_eq!(head(&Method::GET, &map(&[("connection", "close")]), &own, 0)[CONNECTION], "close");
    }
}
