//! What Tandem must answer where it differs on purpose, as data of the case.
//!
//! The expectation is the reference's own answer with the named parts changed, so that everything else is still held to
//! the reference. A difference that does not hold fails, and so does one that is gone: then its row in
//! `compat/DIFFERENCES.md` is out of date.

use indexmap::IndexMap;
use serde::Deserialize;

use super::answer::{Answer, Origin};
use super::case::Compare;
use super::compare::{At, differences};
use super::normal::{Rules, set_field};
use crate::client::wire::Framing;
use crate::results::Outcome;

/// One place where a case differs on purpose.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Id of the row in `compat/DIFFERENCES.md`.
    pub difference: String,
    /// What stands behind the `@` of the result's id: `cluster`, `tandem-asked`, …; nothing for one server.
    #[serde(default)]
    pub at: String,
    /// Why the reference itself may answer so at times; then an answer like the reference's passes.
    pub chance: Option<String>,
    /// Status instead of the reference's.
    pub status: Option<u32>,
    /// Framing instead of the reference's.
    pub framing: Option<Framed>,
    /// Headers instead of the reference's, by lower-case name; an empty text stands for none.
    #[serde(default)]
    pub headers: IndexMap<String, String>,
    /// The whole body instead of the reference's.
    pub body: Option<String>,
    /// Texts of the reference's body that are others; each must occur in it.
    #[serde(default)]
    pub replace: Vec<(String, String)>,
    /// JSON values by name of the field, everywhere in the reference's body.
    #[serde(default)]
    pub fields: IndexMap<String, String>,
    /// Further fields that are compared by presence and type.
    #[serde(default)]
    pub volatile: Vec<String>,
    /// Texts that the body must contain; nothing else of the body is compared then.
    #[serde(default)]
    pub contains: Vec<String>,
    /// Between members: every difference of what they send each other contains one of these texts, and each is found.
    #[serde(default)]
    pub between: Vec<String>,
}

/// How a body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Framed {
    /// `Content-Length`.
    Length,
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Neither.
    None,
}

impl Kept {
    /// The answer that is expected of Tandem, made of the reference's; `fill` puts values in for placeholders.
    ///
    /// # Errors
    /// A sentence when the reference's answer is not the one the difference was written for.
    pub fn expected(&self, reference: &Answer, fill: impl Fn(&str) -> String) -> Result<Answer, String> {
        let mut expected = reference.clone();
        expected.status = self.status.unwrap_or(reference.status);
        expected.framing = match self.framing {
            Some(Framed::Length) => Framing::Length,
            Some(Framed::Chunked) => Framing::Chunked,
            Some(Framed::None) => Framing::None,
            None => reference.framing,
        };
        for (name, value) in &self.headers {
            let value = Some(fill(value)).filter(|value| !value.is_empty());
            match name.as_str() {
                "content-type" => expected.content_type = value,
                "connection" => expected.connection = value,
                _ => match value {
                    Some(value) => drop(expected.headers.insert(name.clone(), vec![value])),
                    None => drop(expected.headers.remove(name)),
                },
            }
        }
        if let Some(body) = &self.body {
            expected.body = fill(body);
            expected.origin = Origin::Live;
        }
        for (from, to) in &self.replace {
            let (from, to) = (fill(from), fill(to));
            if expected.body.contains(&from) {
                expected.body = expected.body.replace(&from, &to);
            } else if expected.origin != (Origin::Recording { cut: true }) {
                return Err(format!("the reference did not answer `{from}`"));
            }
        }
        for (field, value) in &self.fields {
            expected.body = set_field(&expected.body, field, &fill(value));
        }
        Ok(expected)
    }

    /// Whether an answer is the expected one, to the rules of the case.
    ///
    /// # Errors
    /// A sentence that says what is not.
    pub fn check(
        &self,
        reference: At<'_>,
        observed: At<'_>,
        rules: &Rules,
        fill: impl Fn(&str) -> String,
    ) -> Result<(), String> {
        let expected = self.expected(reference.answer, &fill)?;
        let mut rules = rules.clone();
        self.volatile.iter().for_each(|field| rules.also_volatile(field));
        if !self.contains.is_empty() {
            rules.compare = Compare::Status;
        } else if self.body.is_some() {
            rules.compare = Compare::All;
        }
        if let Some(text) = differences(At { answer: &expected, ..reference }, observed, &rules) {
            return Err(text);
        }
        match self.lacks(observed.answer, fill) {
            Some(text) => Err(format!("the body does not contain `{text}`")),
            None => Ok(()),
        }
    }

    /// The first text that the body must contain and does not.
    fn lacks(&self, observed: &Answer, fill: impl Fn(&str) -> String) -> Option<String> {
        self.contains.iter().map(|text| fill(text)).find(|text| !observed.body.contains(text.as_str()))
    }

    /// What of the differences between members is not as said; none when all is.
    pub fn unlike(&self, between: &[String]) -> Option<String> {
        let unsaid = between.iter().find(|found| !self.between.iter().any(|text| found.contains(text.as_str())));
        if let Some(found) = unsaid {
            return Some(found.clone());
        }
        let gone = self.between.iter().find(|text| !between.iter().any(|found| found.contains(text.as_str())))?;
        Some(format!("between members nothing differs as `{gone}`"))
    }

    /// Whether anything but the row is said.
    pub fn says_something(&self) -> bool {
        let Self { difference, at, chance, .. } = self.clone();
        *self != Self { difference, at, chance, ..Self::default() }
    }

    /// The verdict: `row` says what the difference is, `found` what differs from the reference, and `said` whether that
    /// is as the case says.
    pub fn verdict(&self, row: &str, found: Option<&str>, said: Result<(), String>) -> (Outcome, String) {
        match (found, said) {
            (None, _) if self.chance.is_some() => (Outcome::Pass, String::new()),
            (None, _) => {
                (Outcome::Fail, format!("the answer is the reference's, so this difference is out of date: {row}"))
            }
            (Some(found), Ok(())) => (Outcome::Kept, format!("{row} ({found})")),
            (Some(_), Err(text)) => (Outcome::Fail, format!("differs otherwise than said: {text} – said is {row}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> Answer {
        Answer {
            status: 500,
            reason_phrase: false,
            content_type: Some("text/plain".to_owned()),
            connection: Some("close".to_owned()),
            framing: Framing::Length,
            headers: std::collections::BTreeMap::new(),
            body: body.to_owned(),
            origin: Origin::Live,
        }
    }

    fn kept(toml: &str) -> Kept {
        toml::from_str(&format!("difference = \"D1\"\n{toml}")).expect("kept")
    }

    #[test]
    fn what_is_not_named_is_the_reference_s() {
        let said = kept("status = 200\nheaders = { connection = \"\" }\nreplace = [[\"a{x}\", \"b\"]]");
        let expected = said.expected(&answer("1 a2 3"), |text| text.replace("{x}", "2")).expect("an expectation");
        assert_eq!((expected.status, expected.connection.as_deref(), expected.body.as_str()), (200, None, "1 b 3"));
        assert_eq!(expected.content_type.as_deref(), Some("text/plain"));
        let said = kept("fields = { checksum = '\"c\"' }\nframing = \"chunked\"");
        let expected = said.expected(&answer("{\"checksum\":\"x\",\"y\":1}"), str::to_owned).expect("an expectation");
        assert_eq!((expected.body.as_str(), expected.framing), ("{\"checksum\":\"c\",\"y\":1}", Framing::Chunked));
    }

    #[test]
    fn a_reference_that_changed_is_told() {
        let said = kept("replace = [[\"old\", \"new\"]]");
        assert_eq!(said.expected(&answer("x"), str::to_owned), Err("the reference did not answer `old`".to_owned()));
    }

    #[test]
    fn differences_between_members_are_all_said_and_all_there() {
        let said = kept("between = [\"body\", \"parameters `x`\"]");
        let found = |texts: &[&str]| said.unlike(&texts.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
        assert_eq!(found(&["body `` ≠ `y`", "parameters `x` ≠ ``"]), None);
        assert_eq!(found(&["body `` ≠ `y`", "line"]), Some("line".to_owned()));
        assert_eq!(found(&["body `` ≠ `y`"]), Some("between members nothing differs as `parameters `x``".to_owned()));
        assert!(said.says_something() && !kept("at = \"cluster\"").says_something());
    }
}
