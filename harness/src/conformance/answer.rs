//! One answer, reduced to what is compared.

use std::collections::BTreeMap;

use crate::client::wire::{Framing, Response};
use crate::results;

/// Headers that are compared besides `Content-Type`, `Connection` and the framing; the recordings hold the same ones.
const SELECTED: [&str; 8] = [
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "allow",
    "content-language",
    "location",
    "vary",
];

/// Longest body that recordings and results keep, characters.
pub const KEPT_BODY: usize = 4096;

/// One answer, reduced to what is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status as sent.
    pub status: u32,
    /// Whether the status line had a reason phrase; real Nacos sends none (`compat/spec/naming-api.md` §1.3).
    pub reason_phrase: bool,
    /// `Content-Type` header.
    pub content_type: Option<String>,
    /// `Connection` header.
    pub connection: Option<String>,
    /// How the body was framed.
    pub framing: Framing,
    /// The selected headers, lower-case names, all lines of each in order.
    pub headers: BTreeMap<String, Vec<String>>,
    /// The body; bytes that are no UTF-8 become U+FFFD.
    pub body: String,
    /// Where the answer came from.
    pub origin: Origin,
}

/// Where an answer came from, which limits what it can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A server that was asked now.
    Live,
    /// A recording: the body may be cut at [`KEPT_BODY`] characters, of a repeated header only the last line is kept.
    Recording {
        /// Whether the body is cut.
        cut: bool,
    },
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        let lines = |name: &str| response.header_values(name).map(str::to_owned).collect::<Vec<_>>();
        let joined = |name: &str| Some(lines(name)).filter(|l| !l.is_empty()).map(|l| l.join(", "));
        let selected = SELECTED.iter().map(|name| ((*name).to_owned(), lines(name)));
        Self {
            status: response.status,
            reason_phrase: response.reason.is_some(),
            content_type: joined("content-type"),
            connection: joined("connection"),
            framing: response.framing,
            headers: selected.filter(|(_, lines)| !lines.is_empty()).collect(),
            body: String::from_utf8_lossy(&response.body).into_owned(),
            origin: Origin::Live,
        }
    }
}

impl Answer {
    /// As it stands in `results.json`.
    pub fn to_result(&self) -> results::Answer {
        let mut headers: BTreeMap<_, _> =
            self.headers.iter().map(|(name, lines)| (name.clone(), lines.join(", "))).collect();
        if let Some(connection) = &self.connection {
            headers.insert("connection".to_owned(), connection.clone());
        }
        match self.framing {
            Framing::Chunked => {
                headers.insert("transfer-encoding".to_owned(), "chunked".to_owned());
            }
            Framing::Length if self.origin == Origin::Live => {
                headers.insert("content-length".to_owned(), self.body.len().to_string());
            }
            Framing::Length | Framing::None => {}
        }
        results::Answer {
            status: self.status,
            content_type: self.content_type.clone(),
            headers,
            body: kept(&self.body).to_owned(),
        }
    }
}

/// The part of a body that recordings and results keep.
pub fn kept(body: &str) -> &str {
    body.char_indices().nth(KEPT_BODY).and_then(|(end, _)| body.get(..end)).unwrap_or(body)
}
