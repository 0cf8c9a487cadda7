//! `junit.xml`: the cases for continuous integration, one suite per target and area.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::format;
use super::score;
use crate::results::{Answer, CaseResult, Counts, Fault, Outcome, Results, WindowCheck};

/// Characters of one answer that are written.
const ANSWER_CHARS: usize = 2000;

/// Renders the document. Fault scenarios are suites of their own.
pub(super) fn junit(results: &Results) -> String {
    let mut suites: BTreeMap<(&str, &str), Vec<&CaseResult>> = BTreeMap::new();
    for case in results.conformance.iter().flat_map(|it| &it.cases) {
        suites.entry((&case.target, &case.area)).or_default().push(case);
    }
    let mut faults: BTreeMap<&str, Vec<&Fault>> = BTreeMap::new();
    for fault in &results.faults {
        faults.entry(&fault.target).or_default().push(fault);
    }
    let mut body = String::new();
    let mut total = Counts::default();
    for ((target, area), cases) in suites {
        let is_informative = results.conformance.iter().any(|it| it.informative.iter().any(|name| name == target));
        // Another version of Nacos that answers otherwise breaks no build.
        let told = |it: Outcome| if is_informative && it != Outcome::Pass { Outcome::Skip } else { it };
        let counts = tally(cases.iter().map(|it| told(it.outcome)), &mut total);
        open_suite(&mut body, results, target, area, &counts);
        cases.iter().for_each(|case| write_case(&mut body, case, told(case.outcome)));
        body.push_str("  </testsuite>\n");
    }
    let mut windows: BTreeMap<&str, Vec<&WindowCheck>> = BTreeMap::new();
    for window in &results.windows {
        windows.entry(&window.target).or_default().push(window);
    }
    // The real server is what the others are held to; that a busy machine delays it breaks no build.
    let told = |it: &WindowCheck| if it.is_real && it.outcome != Outcome::Pass { Outcome::Skip } else { it.outcome };
    for (target, windows) in windows {
        let counts = tally(windows.iter().map(|it| told(it)), &mut total);
        open_suite(&mut body, results, target, "expiry", &counts);
        windows.iter().for_each(|window| write_window(&mut body, window, told(window)));
        body.push_str("  </testsuite>\n");
    }
    for (target, faults) in faults {
        let counts = tally(faults.iter().map(|it| it.outcome), &mut total);
        open_suite(&mut body, results, target, "faults", &counts);
        faults.iter().for_each(|fault| write_fault(&mut body, fault));
        body.push_str("  </testsuite>\n");
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name={} {} time=\"{:.3}\">\n{body}</testsuites>\n",
        attribute(&format!("tandem {}", results.run.id)),
        numbers(&total),
        finite(results.run.duration_s),
    )
}

fn tally(outcomes: impl Iterator<Item = Outcome>, total: &mut Counts) -> Counts {
    let mut counts = Counts::default();
    for outcome in outcomes {
        counts.add(outcome);
        total.add(outcome);
    }
    counts
}

fn numbers(counts: &Counts) -> String {
    format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\"",
        score::all(counts),
        counts.fail,
        counts.error,
        counts.skip
    )
}

fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}

// Writing to a string does not fail, so the results of `write!` below carry nothing.

fn open_suite(out: &mut String, results: &Results, target: &str, area: &str, counts: &Counts) {
    let run = &results.run;
    let name = attribute(&format!("{target} {area}"));
    let at = attribute(&run.started_at);
    let _ = writeln!(out, "  <testsuite name={name} {} timestamp={at}>", numbers(counts));
    out.push_str("    <properties>\n");
    let versions = results.targets.iter().filter(|it| it.target == target).flat_map(|it| &it.nodes);
    let mut versions: Vec<String> = versions.map(|it| format!("{} {}", it.kind, it.version)).collect();
    versions.dedup();
    let reference = results.conformance.as_ref().map(|it| it.reference.clone()).unwrap_or_default();
    for (name, value) in [
        ("target", target.to_owned()),
        ("kept differences", counts.kept.to_string()),
        ("nodes", versions.join(", ")),
        ("reference", reference),
        ("commit", run.git_commit.clone()),
        ("profile", run.profile.clone()),
        ("seed", run.seed.to_string()),
        ("command", run.command.clone()),
    ] {
        let _ = writeln!(out, "      <property name=\"{name}\" value={}/>", attribute(&value));
    }
    out.push_str("    </properties>\n");
}

fn write_case(out: &mut String, case: &CaseResult, outcome: Outcome) {
    let head = format!(
        "    <testcase classname={} name={}",
        attribute(&format!("{}.{}", case.target, case.area)),
        attribute(&format!("{} {}", case.id, case.endpoint))
    );
    let mut detail = format!("request: {}\n", format::cut(&case.request, ANSWER_CHARS));
    if !case.tags.is_empty() {
        let _ = writeln!(detail, "tags: {}", case.tags.join(" "));
    }
    for (side, answer) in [("expected", &case.expected), ("observed", &case.observed)] {
        if let Some(answer) = answer {
            let _ = writeln!(detail, "{side}: {}", answer_text(answer));
        }
    }
    if outcome == Outcome::Kept {
        // JUnit knows no such verdict: the call was judged and must stay as it is, so it is no failure, and what is
        // kept is told.
        detail.insert_str(0, &format!("kept difference: {}\n", case.reason));
    }
    write_outcome(out, &head, outcome, &case.reason, &detail);
}

fn write_window(out: &mut String, window: &WindowCheck, outcome: Outcome) {
    let direction = window.direction.as_deref().map(|it| format!(", {it}")).unwrap_or_default();
    let name = format!("{}, {}, {} at {}{direction}", window.change, window.instances, window.by, window.at);
    let head = format!(
        "    <testcase classname={} name={}",
        attribute(&format!("{}.expiry", window.target)),
        attribute(&name)
    );
    let detail = format!("official nodes: after {} to {} ms", window.above_ms, window.at_most_ms);
    write_outcome(out, &head, outcome, &window.reasons.join("; "), &detail);
}

fn write_fault(out: &mut String, fault: &Fault) {
    let head = format!(
        "    <testcase classname={} name={}",
        attribute(&format!("{}.faults", fault.target)),
        attribute(&fault.scenario)
    );
    let mut detail = fault.violations.join("\n");
    for check in fault.checks.iter().filter(|it| it.is_demanded) {
        let _ = write!(detail, "\n{}: {}", check.check, score::word(check.outcome));
        for it in check.violations.first().into_iter().flat_map(|it| &it.evidence) {
            let _ = write!(detail, "\n  line {}, {:.0} ms: {}", it.line, it.at_ms, it.what);
        }
    }
    for event in &fault.timeline {
        let _ = write!(detail, "\n{:.0} ms {}", event.at_ms, event.event);
    }
    let reason = fault.violations.first().cloned().unwrap_or_default();
    write_outcome(out, &head, fault.outcome, &reason, &detail);
}

fn write_outcome(out: &mut String, head: &str, outcome: Outcome, reason: &str, detail: &str) {
    let message = attribute(&format::one_line(reason, 300));
    let _ = match outcome {
        Outcome::Pass => writeln!(out, "{head}/>"),
        Outcome::Kept => {
            writeln!(out, "{head}>\n      <system-out>{}</system-out>\n    </testcase>", escape(detail))
        }
        Outcome::Skip => writeln!(out, "{head}>\n      <skipped message={message}/>\n    </testcase>"),
        Outcome::Fail | Outcome::Error => {
            let (tag, kind) = if outcome == Outcome::Fail { ("failure", "differs") } else { ("error", "unjudged") };
            let detail = escape(detail);
            writeln!(out, "{head}>\n      <{tag} type=\"{kind}\" message={message}>{detail}</{tag}>\n    </testcase>")
        }
    };
}

fn answer_text(answer: &Answer) -> String {
    let kind = answer.content_type.as_deref().unwrap_or("no content type");
    format!("{} · {kind}\n{}", answer.status, format::cut(&answer.body, ANSWER_CHARS))
}

fn attribute(text: &str) -> String {
    format!("\"{}\"", escape(text).replace('\n', "&#10;").replace('\t', "&#9;"))
}

/// Escapes for XML 1.0. Control characters are illegal there even when escaped; they become visible signs.
fn escape(text: &str) -> String {
    format::visible(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
