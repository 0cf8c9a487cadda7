//! `report.md`: the report condensed, for a terminal, a pull request or a wiki.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::Comparison;
use super::agreement;
use super::catalogue::Shape;
use super::clients;
use super::figures::{self, Group};
use super::format;
use super::random;
use super::score::{self, Score};
use super::verdict;
use super::window;
use crate::results::{Fault, Outcome, Results, unseen_bugs};

/// Failures that are listed; the rest are in the HTML report and in `results.json`.
const FAILURES_MAX: usize = 200;
/// Lines of any other list.
const LIST_MAX: usize = 100;
/// Characters of a reason.
const REASON_CHARS: usize = 240;

// Writing to a string does not fail, so the results of `write!` below carry nothing.

/// Renders the document.
pub(super) fn markdown(results: &Results, comparison: Option<&Comparison>) -> String {
    let groups = figures::groups(results);
    let score = Score::of(results);
    let mut out = String::new();
    head(&mut out, results, score.as_ref());
    out.push_str("## Summary\n\n");
    for verdict in verdict::verdicts(results, &groups, score.as_ref()) {
        let _ = writeln!(out, "- {}", escape(&verdict.sentence()));
    }
    out.push('\n');
    if let Some(comparison) = comparison {
        let _ = writeln!(out, "## Against the baseline\n\n{}", comparison.markdown().trim_end());
        out.push('\n');
    }
    figure_table(&mut out, results, &groups);
    ratio_table(&mut out, results);
    directions(&mut out, &groups);
    agreements(&mut out, results);
    windows(&mut out, results);
    generated(&mut out, results);
    if let Some(score) = &score {
        areas(&mut out, results, score);
    }
    clients(&mut out, results);
    failures(&mut out, results);
    faults(&mut out, results);
    if !results.skipped.is_empty() {
        let lines = results.skipped.iter().map(|it| format!("{}: {}", it.what, it.reason));
        section(&mut out, "Skipped", lines);
    }
    let _ = writeln!(out, "## Repeat\n\n```sh\n{}\n```", results.run.command.replace("```", "'''"));
    out
}

fn head(out: &mut String, results: &Results, score: Option<&Score<'_>>) {
    let run = &results.run;
    let names: Vec<String> = figures::target_names(results).iter().map(|it| escape(it)).collect();
    let _ = writeln!(out, "# Tandem: {}\n", names.join(", "));
    for warning in verdict::warnings(results, score) {
        let _ = writeln!(out, "> **Careful.** {}\n", escape(&warning));
    }
    let host = format::host(&run.host);
    let what = format!(
        "tandem {} ({}) · profile {} · seed {} · {} · {}",
        run.version,
        run.git_commit,
        run.profile,
        run.seed,
        run.started_at,
        format::seconds(run.duration_s)
    );
    let _ = writeln!(out, "{}  \n{}  \n{}\n", escape(&what), escape(&host), escape(&verdict::machine(results)));
}

fn figure_table(out: &mut String, results: &Results, groups: &[Group]) {
    if groups.is_empty() {
        return;
    }
    let targets = figures::target_names(results);
    out.push_str("## Figures\n\n");
    let header: Vec<String> = targets.iter().map(|it| escape(it)).collect();
    let _ = writeln!(out, "| | | {} |\n|---|---|{}", header.join(" | "), "--:|".repeat(targets.len()));
    for group in groups {
        // A 99th percentile of a handful of values would be their maximum under another name.
        let stats = if group.shape() == Shape::Curve { ["p50", "p99"] } else { ["p50", "max"] };
        for stat in stats {
            let cells: Vec<String> = targets
                .iter()
                .map(|target| {
                    let value = group.of(target).and_then(|it| it.stat(stat));
                    value.map_or_else(|| format::NONE.to_owned(), |it| format::value(it, &group.unit))
                })
                .collect();
            let _ = writeln!(out, "| {} | {stat} | {} |", escape(&group.title()), cells.join(" | "));
        }
    }
    out.push('\n');
}

fn ratio_table(out: &mut String, results: &Results) {
    if results.ratios.is_empty() {
        return;
    }
    out.push_str("## Ratios\n\nTarget over target within this run, with the 95 % bootstrap interval.\n\n");
    out.push_str("| Experiment | Statistic | Ratio | Value | Interval |\n|---|---|---|--:|--:|\n");
    for ratio in &results.ratios {
        let variant = figures::variant_words(&ratio.variant);
        let what =
            if variant.is_empty() { ratio.experiment.clone() } else { format!("{} · {variant}", ratio.experiment) };
        let _ = writeln!(
            out,
            "| {} | {} | {} / {} | {} | {}–{} |",
            escape(&what),
            escape(&ratio.stat),
            escape(&ratio.numerator),
            escape(&ratio.denominator),
            format::factor(ratio.value),
            format::factor(ratio.low),
            format::factor(ratio.high)
        );
    }
    out.push('\n');
}

fn directions(out: &mut String, groups: &[Group]) {
    let directed: Vec<&Group> = groups.iter().filter(|it| !it.directed.is_empty()).collect();
    if directed.is_empty() {
        return;
    }
    out.push_str("## By direction\n\n| Experiment | Target | Direction | Samples | p50 | p99 | max |\n");
    out.push_str("|---|---|---|--:|--:|--:|--:|\n");
    for group in directed {
        for series in &group.directed {
            let stat = |name: &str| {
                series.stat(name).map_or_else(|| format::NONE.to_owned(), |it| format::value(it, &group.unit))
            };
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} | {} |",
                escape(&group.title()),
                escape(&series.target),
                escape(&series.direction),
                format::count(series.samples),
                stat("p50"),
                stat("p99"),
                stat("max")
            );
        }
    }
    out.push('\n');
}

fn agreements(out: &mut String, results: &Results) {
    if results.agreements.is_empty() {
        return;
    }
    out.push_str(
        "## Agreement\n\n| Target | Verdict | Operations | Agreed after | It stayed | Changes along pairs |\n",
    );
    out.push_str("|---|---|---|--:|--:|--:|\n");
    let lines = agreement::lines(results);
    for it in &lines {
        let (target, operations) = (escape(&it.target), escape(&it.operations));
        let (outcome, after, stayed, pairs) = (it.outcome, &it.after, &it.stayed, &it.pairs);
        let _ = writeln!(out, "| {target} | {outcome} | {operations} | {after} | {stayed} | {pairs} |");
    }
    let pairs = agreement::pairs(results);
    if !pairs.is_empty() {
        out.push_str("\n| Target | Direction | Came through |\n|---|---|---|\n");
    }
    for (target, direction, changes) in pairs {
        let _ = writeln!(out, "| {} | {} | {} |", escape(&target), escape(&direction), escape(&changes));
    }
    out.push('\n');
    for it in &lines {
        list(out, &format!("Wrong at {}", escape(&it.target)), it.wrong.iter().cloned());
    }
}

fn windows(out: &mut String, results: &Results) {
    if results.windows.is_empty() {
        return;
    }
    out.push_str("## Expiry and health\n\n");
    out.push_str(
        "| Target | Verdict | Change | Seen | Instances | Came after | Official nodes | Real in this run | Apart |\n",
    );
    out.push_str("|---|---|---|---|--:|--:|--:|--:|--:|\n");
    let lines = window::lines(results);
    for it in &lines {
        let (target, change, seen) = (escape(&it.target), escape(&it.change), escape(&it.seen));
        let (outcome, samples, range) = (it.outcome, &it.samples, &it.range);
        let (official, real, apart) = (&it.official, &it.real, &it.difference);
        let _ = writeln!(
            out,
            "| {target} | {outcome} | {change} | {seen} | {samples} | {range} | {official} | {real} | {apart} |"
        );
    }
    out.push('\n');
    let wrong = lines.iter().filter(|it| !it.wrong.is_empty());
    let wrong = wrong.map(|it| format!("{}: {}, {}: {}", it.target, it.change, it.seen, it.wrong));
    list(out, "Not as official nodes do it", wrong);
}

fn generated(out: &mut String, results: &Results) {
    if results.random.is_empty() {
        return;
    }
    out.push_str("## Generated sequences\n\n| Target | Verdict | Operations | Answers compared |");
    out.push_str(" Sequences that differ | Kept on purpose | Seed |\n|---|---|---|--:|--:|---|--:|\n");
    let lines = random::lines(results);
    for it in &lines {
        let cells = [&it.operations, &it.compared, &it.differing, &it.kept, &it.seed].map(|it| escape(it)).join(" | ");
        let _ = writeln!(out, "| {} | {} | {cells} |", escape(&it.target), it.outcome);
    }
    out.push('\n');
    for it in &lines {
        list(out, &format!("Seen at {}", escape(&it.target)), it.wrong.iter().cloned());
    }
}

fn areas(out: &mut String, results: &Results, score: &Score<'_>) {
    let reference = results.conformance.as_ref().map(|it| it.reference.as_str()).unwrap_or_default();
    let _ = writeln!(
        out,
        "## API conformance\n\nCompared with {}. Passed of tried; a kept difference is
         one that `compat/DIFFERENCES.md` gives a reason for, verified here to be just what it says.\n",
        escape(reference)
    );
    let header: Vec<String> = score.targets.iter().map(|it| escape(it)).collect();
    let _ = writeln!(out, "| Area | {} |\n|---|{}", header.join(" | "), "--:|".repeat(score.targets.len()));
    let cell = |counts: &crate::results::Counts| {
        let shortfall = score::shortfall(counts);
        let passed = format!("{}/{}", counts.pass, score::tried(counts));
        if shortfall.is_empty() { passed } else { format!("{passed} ({shortfall})") }
    };
    for (area, counts) in &score.areas {
        let cells: Vec<String> = counts.iter().map(cell).collect();
        let _ = writeln!(out, "| {} | {} |", escape(area), cells.join(" | "));
    }
    let totals: Vec<String> = (0..score.targets.len()).map(|column| cell(&score.total(column))).collect();
    let _ = writeln!(out, "| **all** | {} |\n", totals.join(" | "));
}

fn clients(out: &mut String, results: &Results) {
    if results.clients.is_empty() {
        return;
    }
    out.push_str(
        "## Official clients\n\nSteps passed of those tried, and by what the subscriber was told of changes.\n\n",
    );
    out.push_str("| Client | Target | Passed | Told |\n|---|---|--:|---|\n");
    let lines = clients::lines(&results.clients);
    for it in &lines {
        let (client, target, told) = (escape(&it.client), escape(&it.target), escape(&it.told));
        let _ = writeln!(out, "| {client} | {target} | {} | {told} |", it.passed);
    }
    out.push('\n');
    for it in &lines {
        list(
            out,
            &format!("Not tried or not passed: {} at {}", escape(&it.client), escape(&it.target)),
            it.rest.iter().cloned(),
        );
    }
}

fn failures(out: &mut String, results: &Results) {
    let cases = results.conformance.iter().flat_map(|it| &it.cases);
    let failed: Vec<_> = cases.filter(|it| matches!(it.outcome, Outcome::Fail | Outcome::Error)).collect();
    if failed.is_empty() {
        return;
    }
    out.push_str("## Failures\n\n");
    for case in failed.iter().take(FAILURES_MAX) {
        let tags = if case.tags.is_empty() { String::new() } else { format!(" [{}]", case.tags.join(", ")) };
        let unjudged = if case.outcome == Outcome::Error { "could not be judged: " } else { "" };
        let reason = if case.reason.is_empty() { "no reason recorded" } else { &case.reason };
        let line = format!("{} at {}, {}{tags}: {unjudged}{reason}", case.id, case.target, case.endpoint);
        let _ = writeln!(out, "- {}", escape(&format::one_line(&line, REASON_CHARS)));
    }
    let more = failed.len().saturating_sub(FAILURES_MAX);
    if more > 0 {
        let _ = writeln!(out, "- … and {} more in results.json", format::count(more as u64));
    }
    out.push('\n');
}

fn faults(out: &mut String, results: &Results) {
    if results.faults.is_empty() {
        return;
    }
    out.push_str("## Faults\n\n| Scenario | Target | Verdict | Recovery | Lost | Resurrected |\n");
    out.push_str("|---|---|---|--:|--:|--:|\n");
    for fault in &results.faults {
        let recovery = match (fault.recovery_ms, fault.unrecovered_ms) {
            (Some(ms), _) => format::value(ms, "ms"),
            (None, Some(ms)) => format!("more than {}", format::value(ms, "ms")),
            (None, None) => format::NONE.to_owned(),
        };
        let (scenario, target) = (escape(&fault.scenario), escape(&fault.target));
        let word = score::word(fault.outcome);
        let _ = writeln!(
            out,
            "| {scenario} | {target} | {word} | {recovery} | {} | {} |",
            fault.lost_acked, fault.resurrected
        );
    }
    out.push('\n');
    let names: BTreeSet<&str> = results.faults.iter().map(|it| it.scenario.as_str()).collect();
    let unseen = names.iter().filter_map(|it| Some((it, unseen_bugs(&results.faults, it)?)));
    let unseen: Vec<_> = unseen.map(|(name, says)| format!("{name}: {says}")).collect();
    if !unseen.is_empty() {
        bullets(out, unseen.into_iter());
    }
    for fault in &results.faults {
        fault_checks(out, fault);
    }
}

/// What each check says, and the evidence of its first violation.
fn fault_checks(out: &mut String, fault: &Fault) {
    if fault.checks.is_empty() {
        return;
    }
    let checks = fault.checks.iter().map(|it| {
        let demanded = if it.is_demanded { "" } else { " (not demanded)" };
        format!("{} {}{demanded}", it.check, score::word(it.outcome))
    });
    let checks: Vec<_> = checks.collect();
    let _ =
        writeln!(out, "**{} at {}**: {}\n", escape(&fault.scenario), escape(&fault.target), escape(&checks.join(", ")));
    let mut lines = Vec::new();
    for check in fault.checks.iter().filter(|it| it.is_demanded && it.outcome != Outcome::Pass) {
        match check.violations.first() {
            Some(violation) => {
                lines.push(format!("{}: {}", check.check, violation.says));
                let evidence = violation.evidence.iter();
                lines.extend(
                    evidence.map(|it| format!("line {}, {}: {}", it.line, format::value(it.at_ms, "ms"), it.what)),
                );
            }
            None => lines.extend(check.unknown.first().map(|it| format!("{}: {it}", check.check))),
        }
    }
    if !lines.is_empty() {
        bullets(out, lines.into_iter());
    }
}

fn section(out: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let _ = writeln!(out, "## {title}\n");
    bullets(out, lines);
}

/// A list under a bold heading; nothing when it is empty.
pub(super) fn list(out: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        let _ = writeln!(out, "**{title}**\n");
        bullets(out, lines);
    }
}

fn bullets(out: &mut String, lines: impl Iterator<Item = String>) {
    let mut more = 0u64;
    for (index, line) in lines.enumerate() {
        if index < LIST_MAX {
            let _ = writeln!(out, "- {}", escape(&format::one_line(&line, REASON_CHARS)));
        } else {
            more += 1;
        }
    }
    if more > 0 {
        let _ = writeln!(out, "- … and {} more", format::count(more));
    }
    out.push('\n');
}

/// Foreign text inside Markdown: no markup of its own, no end of a table cell.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in format::one_line(text, usize::MAX).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '|' | '`' | '*' | '[' | ']' | '\\' | '~' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}
