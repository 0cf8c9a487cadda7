//! Differences that are kept on purpose (`compat/DIFFERENCES.md`), as rules: each says what it excuses and no more,
//! bears the id of its row, and is counted wherever it is used. Most rows need no rule, because the generator leaves
//! out what they are about.

use super::operation::Operation;
use crate::conformance::case::Compare;
use crate::conformance::compare::{At, differences};
use crate::conformance::normal::Rules;

/// What was asked before an answer, and the answers.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The calls before, and the one that was answered.
    pub history: &'a [Operation],
    /// The reference's answer.
    pub expected: At<'a>,
    /// The subject's.
    pub observed: At<'a>,
}

struct Rule {
    id: &'static str,
    excuses: fn(&Seen<'_>, &Rules) -> bool,
}

const RULES: [Rule; 4] = [
    Rule { id: "B2", excuses: stale_checksum },
    Rule { id: "C3", excuses: head_without_framing },
    Rule { id: "C4", excuses: text_of_the_runtime },
    Rule { id: "C5", excuses: order_after_a_batch },
];

/// The row of `compat/DIFFERENCES.md` that excuses this difference.
pub fn known(seen: &Seen<'_>, rules: &Rules) -> Option<&'static str> {
    RULES.iter().find(|rule| (rule.excuses)(seen, rules)).map(|rule| rule.id)
}

/// The real server goes on showing the checksum from before a change of health until something else makes it
/// calculate again.
fn stale_checksum(seen: &Seen<'_>, rules: &Rules) -> bool {
    let flips = |it: &Operation| {
        it.path.contains("/health") || it.path.ends_with("eat") || it.param("healthy").is_some() && it.method == "PATCH"
    };
    if !seen.history.iter().any(flips) {
        return false;
    }
    let mut rules = rules.clone();
    rules.also_volatile("checksum");
    differences(seen.expected, seen.observed, &rules).is_none()
}

/// An answer to `HEAD` has no body, and need not say how it would be framed.
fn head_without_framing(seen: &Seen<'_>, rules: &Rules) -> bool {
    if seen.history.last().is_none_or(|it| it.method != "HEAD") {
        return false;
    }
    let mut expected = seen.expected.answer.clone();
    expected.framing = seen.observed.answer.framing;
    differences(At { answer: &expected, ..seen.expected }, seen.observed, rules).is_none()
}

/// Metadata that a batch has added to is listed in another order.
fn order_after_a_batch(seen: &Seen<'_>, rules: &Rules) -> bool {
    if !seen.history.iter().any(|it| it.path.ends_with("metadata/batch")) {
        return false;
    }
    let (mut expected, mut observed) = (seen.expected.answer.clone(), seen.observed.answer.clone());
    for answer in [&mut expected, &mut observed] {
        answer.body = sorted_metadata(&answer.body);
    }
    let (left, right) = (At { answer: &expected, ..seen.expected }, At { answer: &observed, ..seen.observed });
    differences(left, right, rules).is_none()
}

/// The body with the members of every metadata in the order of their text. Only such metadata is touched as the
/// generator makes: members without commas or braces in them.
fn sorted_metadata(body: &str) -> String {
    let key = "\"metadata\":{";
    let mut parts = body.split(key);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(key);
        let (inner, rest) = part.split_at(part.find('}').unwrap_or(0));
        let mut members: Vec<_> = inner.split(',').collect();
        members.sort_unstable();
        out.push_str(&members.join(","));
        out.push_str(rest);
    }
    out
}

/// Sentences of the Java runtime and of Jackson: Nacos' own words before them are compared. A null pointer's message
/// comes and goes with the compiler of the JVM (`compat/spec/naming-api.md` §1.3).
fn text_of_the_runtime(seen: &Seen<'_>, rules: &Rules) -> bool {
    let mut rules = rules.clone();
    rules.compare = Compare::Status;
    if differences(seen.expected, seen.observed, &rules).is_some() {
        return false;
    }
    let (expected, observed) = (&seen.expected.answer.body, &seen.observed.answer.body);
    let own = |body: &str| {
        let is_jackson = body.starts_with("caused: errCode: 101, errMsg: Nacos deserialize");
        is_jackson.then(|| body.split("  ;").next().unwrap_or_default().to_owned())
    };
    if let (Some(expected), Some(observed)) = (own(expected), own(observed)) {
        return expected == observed;
    }
    let is_runtime = |body: &str| body.is_empty() || body.starts_with("caused: Cannot invoke ");
    seen.expected.answer.status == 500 && is_runtime(expected) && is_runtime(observed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::wire::Framing;
    use crate::conformance::answer::{Answer, Origin};
    use crate::conformance::case::{Case, Topology};
    use crate::conformance::place::Place;

    fn rule(history: &[Operation], status: u32, expected: &str, observed: &str) -> Option<&'static str> {
        let place = Place {
            members: vec!["127.0.0.1:1000".to_owned()],
            open_port: 1,
            closed_port: 2,
            udp_port: 3,
            context_path: "/nacos".to_owned(),
        };
        let answer = |body: &str| Answer {
            status,
            reason_phrase: false,
            content_type: None,
            connection: None,
            framing: Framing::Length,
            headers: std::collections::BTreeMap::new(),
            body: body.to_owned(),
            origin: Origin::Live,
        };
        let (expected, observed) = (answer(expected), answer(observed));
        let at = |answer| At { answer, place: &place };
        let rules = Rules::of(&Case::bare("x"), Topology::Standalone);
        known(&Seen { history, expected: at(&expected), observed: at(&observed) }, &rules)
    }

    #[test]
    fn a_rule_excuses_what_it_is_about_and_nothing_else() {
        let beat = Operation { path: "/nacos/v1/ns/instance/beat".to_owned(), ..Operation::default() };
        let (old, new) = (r#"{"checksum":"a","n":1}"#, r#"{"checksum":"b","n":1}"#);
        assert_eq!(rule(std::slice::from_ref(&beat), 200, old, new), Some("B2"));
        assert_eq!(rule(&[], 200, old, new), None);
        assert_eq!(rule(&[beat], 200, old, r#"{"checksum":"b","n":2}"#), None);
        let json = "caused: errCode: 101, errMsg: Nacos deserialize failed.  ;caused: x";
        assert_eq!(rule(&[], 500, json, &json.replace('x', "y")), Some("C4"));
        assert_eq!(rule(&[], 500, json, "caused: x;"), None);
        assert_eq!(rule(&[], 500, "", "caused: Cannot invoke \"a\";"), Some("C4"));
        assert_eq!(rule(&[], 200, "", "caused: Cannot invoke \"a\";"), None);
        let batch = Operation { path: "/nacos/v1/ns/instance/metadata/batch".to_owned(), ..Operation::default() };
        let (one, two) = (r#"[{"metadata":{"a":"1","b":"2"}}]"#, r#"[{"metadata":{"b":"2","a":"1"}}]"#);
        assert_eq!(rule(std::slice::from_ref(&batch), 200, one, two), Some("C5"));
        assert_eq!(rule(&[], 200, one, two), None);
        assert_eq!(rule(&[batch], 200, one, &two.replace('2', "3")), None);
    }
}
