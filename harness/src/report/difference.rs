//! Where two answers part: the fields that differ, each with its differing stretch apart from what is alike.

use serde::Serialize;

use super::format;
use crate::results::Answer;

/// Characters of agreement shown before the differing stretch.
const BEFORE_CHARS: usize = 160;
/// Characters of the differing stretch that are shown.
const MARK_CHARS: usize = 600;
/// Characters of agreement shown after it.
const AFTER_CHARS: usize = 80;

/// A text, cut into what is alike and the stretch that is not. Control characters are visible in all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Marked {
    /// Alike, possibly shortened at its front.
    pub(super) before: String,
    /// Differs; empty when one text is the other with something taken out.
    pub(super) mark: String,
    /// Alike again, possibly shortened at its end.
    pub(super) after: String,
}

/// One field of an answer on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Part {
    /// `status`, `content-type`, a header's name or `body`.
    pub(super) field: String,
    /// What the reference answered.
    pub(super) expected: Marked,
    /// What the target answered.
    pub(super) observed: Marked,
}

/// Every field in which the answers differ, in the order status, content type, headers, body. Empty when they agree.
pub(super) fn parts(expected: &Answer, observed: &Answer) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut push = |field: &str, expected: &str, observed: &str| {
        if expected != observed {
            // Half a status code says nothing; only texts are marked in part.
            let (expected, observed) =
                if field == "status" { (whole(expected), whole(observed)) } else { mark(expected, observed) };
            parts.push(Part { field: field.to_owned(), expected, observed });
        }
    };
    push("status", &expected.status.to_string(), &observed.status.to_string());
    let absent = "(none)";
    push(
        "content-type",
        expected.content_type.as_deref().unwrap_or(absent),
        observed.content_type.as_deref().unwrap_or(absent),
    );
    let mut names: Vec<&String> = expected.headers.keys().chain(observed.headers.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let value = |answer: &Answer| answer.headers.get(name).cloned().unwrap_or_else(|| absent.to_owned());
        push(name, &value(expected), &value(observed));
    }
    push("body", &expected.body, &observed.body);
    parts
}

/// One answer with nothing to compare it with.
pub(super) fn plain(answer: &Answer) -> String {
    let kind = answer.content_type.as_deref().unwrap_or("no content type");
    format::visible(&format::cut(&format!("{} · {kind}\n{}", answer.status, answer.body), MARK_CHARS))
}

/// Cuts both texts at the first and the last character in which they differ.
pub(super) fn mark(expected: &str, observed: &str) -> (Marked, Marked) {
    let left: Vec<char> = expected.chars().collect();
    let right: Vec<char> = observed.chars().collect();
    let start = left.iter().zip(&right).take_while(|(a, b)| a == b).count();
    let rest = left.len().min(right.len()) - start;
    let end = left.iter().rev().zip(right.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    (marked(&left, start, end), marked(&right, start, end))
}

fn whole(text: &str) -> Marked {
    Marked { before: String::new(), mark: text.to_owned(), after: String::new() }
}

fn marked(text: &[char], start: usize, end: usize) -> Marked {
    let (before, rest) = text.split_at(start.min(text.len()));
    let (mark, after) = rest.split_at(rest.len().saturating_sub(end));
    let skipped = before.len().saturating_sub(BEFORE_CHARS);
    let mut front: String = before.iter().skip(skipped).collect();
    if skipped > 0 {
        front = format!("({} characters alike) …{front}", format::count(skipped as u64));
    }
    let mark: String = mark.iter().collect();
    let after: String = after.iter().collect();
    Marked {
        before: format::visible(&front),
        mark: format::visible(&format::cut(&mark, MARK_CHARS)),
        after: format::visible(&format::cut(&after, AFTER_CHARS)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u32, body: &str) -> Answer {
        Answer { status, content_type: None, headers: Default::default(), body: body.to_owned() }
    }

    #[test]
    fn only_the_differing_stretch_is_marked() {
        let parts = parts(&answer(200, r#"{"ip":"1.2.3.4","port":80}"#), &answer(200, r#"{"ip":"1.2.9.4","port":80}"#));
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].field, "body");
        assert_eq!(parts[0].expected.mark, "3");
        assert_eq!(parts[0].observed.mark, "9");
        assert_eq!(parts[0].observed.after, r#".4","port":80}"#);
    }

    #[test]
    fn an_insertion_between_repeats_does_not_overlap() {
        let (expected, observed) = mark("aa", "aaa");
        assert_eq!((expected.mark.as_str(), observed.mark.as_str()), ("", "a"));
        let (expected, observed) = mark("", "x");
        assert_eq!((expected.mark.as_str(), observed.mark.as_str()), ("", "x"));
    }

    #[test]
    fn long_texts_are_cut_around_the_difference() {
        let long = "é".repeat(50_000);
        let parts = parts(&answer(200, &format!("{long}A{long}")), &answer(500, &format!("{long}B{long}")));
        assert_eq!(parts.iter().map(|it| it.field.as_str()).collect::<Vec<_>>(), ["status", "body"]);
        let body = &parts[1].observed;
        assert_eq!(body.mark, "B");
        assert!(body.before.starts_with("(49,840 characters alike)") && body.before.chars().count() < 200);
        assert!(body.after.contains("(49,920 more characters)"));
    }

    #[test]
    fn equal_answers_have_no_parts() {
        assert!(parts(&answer(200, "ok"), &answer(200, "ok")).is_empty());
    }
}
