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

const RULES: [Rule; 1] = [Rule { id: "C4", excuses: text_of_the_runtime }];

/// The row of `compat/DIFFERENCES.md` that excuses this difference.
pub fn known(seen: &Seen<'_>, rules: &Rules) -> Option<&'static str> {
    RULES.iter().find(|rule| (rule.excuses)(seen, rules)).map(|rule| rule.id)
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

    fn rule(status: u32, expected: &str, observed: &str) -> Option<&'static str> {
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
        known(&Seen { history: &[], expected: at(&expected), observed: at(&observed) }, &rules)
    }

    #[test]
    fn every_rule_bears_the_id_of_a_row() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../compat/DIFFERENCES.md");
        let text = std::fs::read_to_string(file).expect("the differences");
        for rule in RULES {
            assert!(text.contains(&format!("\n| {} |", rule.id)), "{} is no row of DIFFERENCES.md", rule.id);
        }
    }

    #[test]
    fn a_rule_excuses_what_it_is_about_and_nothing_else() {
        let json = "caused: errCode: 101, errMsg: Nacos deserialize failed.  ;caused: x";
        assert_eq!(rule(500, json, &json.replace('x', "y")), Some("C4"));
        assert_eq!(rule(500, json, "caused: x;"), None);
        assert_eq!(rule(500, "", "caused: Cannot invoke \"a\";"), Some("C4"));
        assert_eq!(rule(200, "", "caused: Cannot invoke \"a\";"), None);
    }
}
