//! One request between members, reduced to what is compared: everything but the order of parameters and headers and
//! the spelling of header names, which HTTP leaves open and which are noted.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use super::cast::Cast;
use crate::client::wire::{Framing, Response};
use crate::conformance::answer::Answer;
use crate::conformance::normal::Rules;
use crate::conformance::place::Place;
use crate::recorder::Message;

/// Characters of a text that are shown.
const SHOWN_MAX: usize = 400;

/// A request with names in place of addresses and services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    line: String,
    /// Names and values, decoded and sorted.
    params: Vec<(String, String)>,
    raw_query: String,
    /// By lower-case name.
    headers: BTreeMap<String, Vec<String>>,
    /// As they were spelled, in order.
    names: Vec<String>,
    body: String,
}

impl Sent {
    /// The common form of a request.
    pub fn of(message: &Message, cast: &Cast, rules: &Rules, place: &Place, except: &[String]) -> Self {
        let normal = |text: &str| cast.normal(&rules.normal(text, place));
        let (path, query) = message.target().split_once('?').unwrap_or((message.target(), ""));
        let mut params: Vec<_> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decoded(name), normal(&decoded(value)))
            })
            .collect();
        params.sort();
        let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut names = Vec::new();
        for (name, value) in &message.headers {
            let lower = name.to_ascii_lowercase();
            if !except.iter().any(|it| it.eq_ignore_ascii_case(name)) {
                headers.entry(lower).or_default().push(normal(value));
                names.push(name.clone());
            }
        }
        Self {
            line: normal(&format!("{} {path}", message.method())),
            params,
            raw_query: normal(query),
            headers,
            names,
            body: normal(&message.text()),
        }
    }

    /// What of it is not as expected, expected before observed.
    pub fn differences(&self, expected: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let mut say = |what: &str, expected: &str, observed: &str| {
            if expected != observed {
                found.push(format!("{what} `{}` ≠ `{}`", cut(expected), cut(observed)));
            }
        };
        say("request", &expected.line, &self.line);
        let shown = |params: &[(String, String)]| {
            params.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
        };
        say("parameters", &shown(&expected.params), &shown(&self.params));
        for name in expected.headers.keys().chain(self.headers.keys().filter(|it| !expected.headers.contains_key(*it)))
        {
            let text = |sent: &Self| sent.headers.get(name).map_or("absent".to_owned(), |values| values.join(" | "));
            say(name, &text(expected), &text(self));
        }
        say("body", &expected.body, &self.body);
        found
    }

    /// What is otherwise though HTTP does not mind.
    pub fn notes(&self, expected: &Self) -> Vec<String> {
        let mut notes = Vec::new();
        let lower = |names: &[String]| names.iter().map(|name| name.to_ascii_lowercase()).collect::<Vec<_>>();
        if self.names != expected.names {
            let what = if lower(&self.names) == lower(&expected.names) { "spelling" } else { "order" };
            notes.push(format!("{what} of headers: {} ≠ {}", expected.names.join(", "), self.names.join(", ")));
        }
        let pieces = |query: &str| {
            let mut pieces: Vec<_> = query.split('&').map(str::to_owned).collect();
            pieces.sort();
            pieces
        };
        if pieces(&self.raw_query) != pieces(&expected.raw_query) {
            notes.push(format!("encoding of parameters: {} ≠ {}", expected.raw_query, self.raw_query));
        }
        notes
    }
}

/// The beginning of a long text.
fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}… ({} bytes)", text.get(..end).unwrap_or_default(), text.len()),
        None => text.to_owned(),
    }
}

/// A value as a server reads it.
fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// An answer between members in the form in which answers are compared.
pub fn answer(message: &Message) -> Answer {
    let chunked = message.header_values("transfer-encoding").next().is_some();
    let length = message.header_values("content-length").next().is_some();
    let reason = message.start.splitn(3, ' ').nth(2).filter(|text| !text.is_empty()).map(str::to_owned);
    Answer::from(Response {
        status: message.status(),
        reason,
        headers: message.headers.clone(),
        framing: match (chunked, length) {
            (true, _) => Framing::Chunked,
            (false, true) => Framing::Length,
            (false, false) => Framing::None,
        },
        body: message.body.clone(),
    })
}
