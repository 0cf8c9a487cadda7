//! The differences between two answers, short and exact.

use super::answer::{Answer, Origin, kept};
use super::case::Compare;
use super::normal::Rules;
use super::place::Place;

/// An answer and where it was given.
#[derive(Debug, Clone, Copy)]
pub struct At<'a> {
    /// The answer.
    pub answer: &'a Answer,
    /// Addresses and ports of the server.
    pub place: &'a Place,
}

/// What differs, as `status 500 ≠ 501; body byte 17: …`, expected before observed; `None` when nothing does.
pub fn differences(expected: At<'_>, observed: At<'_>, rules: &Rules) -> Option<String> {
    let mut rules = rules.clone();
    let different_ports = expected.place.open_port != observed.place.open_port;
    if different_ports && expected.answer.body.contains(&expected.place.open_port.to_string()) {
        // The port of the listening instance enters the checksum of its service.
        rules.also_volatile("checksum");
    }
    let (a, b) = (expected.answer, observed.answer);
    let mut found = Vec::new();
    if a.status != b.status {
        found.push(format!("status {} ≠ {}", a.status, b.status));
    }
    if a.reason_phrase != b.reason_phrase {
        let word = |present| if present { "present" } else { "absent" };
        found.push(format!("reason phrase {} ≠ {}", word(a.reason_phrase), word(b.reason_phrase)));
    }
    let mut header = |name: &str, a: Option<String>, b: Option<String>| {
        if a != b {
            let word = |v: Option<String>| v.map_or_else(|| "absent".to_owned(), |v| format!("`{v}`"));
            found.push(format!("{name} {} ≠ {}", word(a), word(b)));
        }
    };
    header("Content-Type", a.content_type.clone(), b.content_type.clone());
    header("Connection", a.connection.clone(), b.connection.clone());
    // A recording keeps only the last line of a repeated header.
    let last_only = a.origin != Origin::Live || b.origin != Origin::Live;
    let lines = |at: At<'_>, name: &str| {
        let lines = at.answer.headers.get(name)?;
        let text = if last_only { lines.last().cloned()? } else { lines.join(", ") };
        Some(rules.normal(&text, at.place))
    };
    let names: std::collections::BTreeSet<_> = a.headers.keys().chain(b.headers.keys()).collect();
    for name in names {
        header(name, lines(expected, name), lines(observed, name));
    }
    if a.framing != b.framing {
        found.push(format!("framing {:?} ≠ {:?}", a.framing, b.framing));
    }
    if rules.compare == Compare::All {
        found.extend(body(expected, observed, &rules));
    }
    (!found.is_empty()).then(|| found.join("; "))
}

fn body(expected: At<'_>, observed: At<'_>, rules: &Rules) -> Option<String> {
    let cut = [expected, observed].iter().any(|at| at.answer.origin == Origin::Recording { cut: true });
    let text = |at: At<'_>| {
        let body = &at.answer.body;
        rules.normal(if cut { kept(body) } else { body }, at.place)
    };
    let (mut a, mut b) = (text(expected), text(observed));
    if cut {
        // Masked values may have had other lengths, so the two texts end at different places of the same body.
        let shorter = a.chars().count().min(b.chars().count());
        a = a.chars().take(shorter).collect();
        b = b.chars().take(shorter).collect();
    }
    if a == b {
        return None;
    }
    let at = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    Some(format!("body byte {at}: `{}` ≠ `{}`", excerpt(&a, at), excerpt(&b, at)))
}

/// Some text around a byte, on character boundaries.
fn excerpt(text: &str, at: usize) -> String {
    let from = (0..=at.saturating_sub(12)).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    let rest = text.get(from..).unwrap_or_default();
    let shown: String = rest.chars().take(48).collect();
    let (before, after) = (if from > 0 { "…" } else { "" }, if shown.len() < rest.len() { "…" } else { "" });
    format!("{before}{shown}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::wire::Framing;
    use crate::conformance::case::Topology;

    fn answer(status: u32, body: &str) -> Answer {
        Answer {
            status,
            reason_phrase: false,
            content_type: Some("text/plain".to_owned()),
            connection: None,
            framing: Framing::Length,
            headers: std::collections::BTreeMap::new(),
            body: body.to_owned(),
            origin: Origin::Live,
        }
    }

    fn place(address: &str, open_port: u16) -> Place {
        let context_path = "/nacos".to_owned();
        Place { members: vec![address.to_owned()], open_port, closed_port: 1, udp_port: 2, context_path }
    }

    fn rules(toml: &str) -> Rules {
        let text = format!("id = \"X\"\nmethod = \"GET\"\npath = \"/\"\n{toml}");
        Rules::of(&toml::from_str(&text).expect("case"), Topology::Standalone)
    }

    fn diff(a: &Answer, b: &Answer, rules: &Rules) -> Option<String> {
        let (p, q) = (place("127.0.0.1:1000", 9499), place("127.0.0.1:2000", 9499));
        differences(At { answer: a, place: &p }, At { answer: b, place: &q }, rules)
    }

    #[test]
    fn equal_answers_of_two_addresses_do_not_differ() {
        let (a, b) = (answer(200, "at 127.0.0.1:1000 {\"t\":1}"), answer(200, "at 127.0.0.1:2000 {\"t\":22}"));
        assert_eq!(diff(&a, &b, &rules("volatile = [\"t\"]")), None);
        assert!(diff(&a, &b, &rules("")).is_some());
    }

    #[test]
    fn every_part_is_named() {
        let a = answer(500, "caused: x;");
        let mut b = answer(501, "caused: y;");
        b.reason_phrase = true;
        b.content_type = None;
        b.connection = Some("close".to_owned());
        b.framing = Framing::Chunked;
        b.headers.insert("allow".to_owned(), vec!["GET".to_owned()]);
        let text = diff(&a, &b, &rules("")).expect("differs");
        for part in [
            "status 500 ≠ 501",
            "reason phrase absent ≠ present",
            "Content-Type `text/plain` ≠ absent",
            "Connection absent ≠ `close`",
            "allow absent ≠ `GET`",
            "framing Length ≠ Chunked",
            "body byte 8: `caused: x;` ≠ `caused: y;`",
        ] {
            assert!(text.contains(part), "{part} not in {text}");
        }
    }

    #[test]
    fn status_only_cases_still_compare_headers() {
        let rules = rules("compare = \"status\"\nreason = \"r\"");
        assert_eq!(diff(&answer(500, "a"), &answer(500, "b"), &rules), None);
        let mut other = answer(500, "b");
        other.connection = Some("close".to_owned());
        assert!(diff(&answer(500, "a"), &other, &rules).is_some());
    }

    #[test]
    fn recordings_are_compared_as_far_as_they_go() {
        let long = "x".repeat(5000);
        let mut recorded = answer(200, &long[..4096]);
        recorded.origin = Origin::Recording { cut: true };
        recorded.headers.insert("vary".to_owned(), vec!["c".to_owned()]);
        let mut live = answer(200, &long);
        live.headers.insert("vary".to_owned(), vec!["a".to_owned(), "c".to_owned()]);
        assert_eq!(diff(&recorded, &live, &rules("")), None);
        recorded.origin = Origin::Recording { cut: false };
        assert!(diff(&recorded, &live, &rules("")).is_some());
    }

    #[test]
    fn another_listening_port_excuses_the_checksum_only() {
        let (p, q) = (place("127.0.0.1:1", 9499), place("127.0.0.1:1", 40000));
        let (a, b) =
            (answer(200, "{\"port\":9499,\"checksum\":\"a\"}"), answer(200, "{\"port\":40000,\"checksum\":\"b\"}"));
        assert_eq!(differences(At { answer: &a, place: &p }, At { answer: &b, place: &q }, &rules("")), None);
        let c = answer(200, "{\"port\":40001,\"checksum\":\"b\"}");
        assert!(differences(At { answer: &a, place: &p }, At { answer: &c, place: &q }, &rules("")).is_some());
    }
}
