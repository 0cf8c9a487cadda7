//! A request as controllers see it: decoded path, merged parameters, body.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method};

/// One request, read in full.
#[derive(Debug, Clone)]
pub struct Request {
    /// Effective method (a POST may carry `_method`).
    pub method: Method,
    /// Path as sent, undecoded, without the query: what error bodies echo.
    pub raw_path: String,
    /// Decoded path, without the context path: what routes are matched with.
    pub path: String,
    /// Query as sent, if any.
    pub raw_query: Option<String>,
    /// Headers.
    pub headers: HeaderMap,
    /// Query and form parameters merged by Nacos' rules, one value per name, in order of first appearance.
    pub params: Params,
    /// Body as sent (already consumed into `params` when it was a form).
    pub body: Bytes,
    /// Where the connection came from.
    pub peer: SocketAddr,
}

impl Request {
    /// A header as text, empty when absent or not text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Who asks: `User-Agent`, and `Client-Version` when that is empty (compat/spec/naming-api.md §7).
    pub fn agent(&self) -> &str {
        match self.header("user-agent") {
            "" => self.header("client-version"),
            agent => agent,
        }
    }
}

/// Parameters of one request: a handful, so a list is faster than a table.
#[derive(Debug, Clone, Default)]
pub struct Params {
    values: Vec<(String, String)>,
    /// Names that came with several values, these joined by commas.
    joined: Vec<(String, String)>,
}

impl Params {
    /// The raw value, untrimmed; empty values are present.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// As [`Params::get`], but several values of one name are joined by commas: how Spring binds them to a text.
    pub fn get_joined(&self, name: &str) -> Option<&str> {
        self.joined.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()).or_else(|| self.get(name))
    }

    /// Says what several values of one name are together.
    pub(super) fn set_joined(&mut self, name: &str, values: &[&str]) {
        self.joined.push((name.to_owned(), values.join(",")));
    }

    /// Sets a value; the service name is rewritten this way before controllers see it.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.joined.retain(|(known, _)| known != name);
        match self.values.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value.into(),
            None => self.values.push((name.to_owned(), value.into())),
        }
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}
