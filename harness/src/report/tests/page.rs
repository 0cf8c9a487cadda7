//! The HTML page: inert whatever the results hold, self-contained, bounded.

use std::collections::BTreeSet;

use super::fixture::{HOSTILE, TANDEM, sample};
use crate::report::html::html;
use crate::results::{Answer, Outcome, Results};

fn page(results: &Results) -> String {
    html(results, None).unwrap()
}

/// Values of every attribute called `name`.
fn attributes<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    let needle = format!(" {name}=\"");
    page.split(needle.as_str()).skip(1).map(|rest| rest.split_once('"').unwrap().0).collect()
}

#[test]
fn foreign_text_is_inert_wherever_it_stands() {
    let mut results = sample();
    // Every text field of the results, hostile.
    let mut value = serde_json::to_value(&results).unwrap();
    for (key, part) in value.as_object_mut().unwrap() {
        if key != "schema" {
            poison(part);
        }
    }
    let poisoned: Results = serde_json::from_value(value).unwrap();
    for results in [&results, &poisoned] {
        let page = page(results);
        assert!(!page.contains("<img"), "markup of a result came through");
        assert_eq!(page.matches("<script>").count(), 1);
        assert_eq!(page.matches("</script>").count(), 1);
        assert_eq!(page.matches("<style>").count(), 1);
        assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;"));
        assert!(page.contains("{{ 7*7 }}"), "a result was taken for a template");
        assert!(page.chars().all(|c| c == '\n' || c == '\t' || !c.is_control()), "a control character came through");
        assert!(!page.contains('\u{202e}'));
    }
    // A name that ends its attribute early must not add another.
    results.targets[0].target = "\" onmouseover=\"alert(1)".into();
    assert!(!page(&results).contains("\" onmouseover=\"alert"));
}

/// Appends the hostile text to every string except outcomes, units and histograms, which are of a fixed form.
fn poison(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) => text.push_str(HOSTILE),
        serde_json::Value::Array(items) => items.iter_mut().for_each(poison),
        serde_json::Value::Object(fields) => {
            for (_, field) in fields.iter_mut().filter(|(key, _)| !["outcome", "histogram"].contains(&key.as_str())) {
                poison(field);
            }
        }
        _ => {}
    }
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let page = page(&sample());
    let text_only = page.replace("http-equiv", "");
    for needle in ["http://", "https://", "url(", "@import", "src=\"", "//cdn"] {
        assert!(!text_only.contains(needle), "the page contains {needle}");
    }
    for link in attributes(&page, "href") {
        assert!(link.starts_with('#') || link == "data:,", "a link leads to {link}");
    }
}

#[test]
fn a_run_of_faults_says_how_soon_all_agreed_again_and_not_how_soon_they_had_started() {
    let mut results = sample();
    (results.faults[1].recovery_ms, results.faults[1].unrecovered_ms) = (None, Some(75_000.0));
    results.measurements.clear();
    let page = page(&results);
    assert!(page.contains("How soon again") && page.contains("agree, in 1 scenario; half within 840 ms"));
    assert!(page.contains("no agreement in 1") && page.contains("no agreement within 75"));
    assert!(!page.contains("How fast"));
}

#[test]
fn a_run_of_faults_after_which_nobody_ever_agreed_says_so() {
    let mut results = sample();
    results.measurements.clear();
    for fault in &mut results.faults {
        (fault.recovery_ms, fault.unrecovered_ms) = (None, Some(75_000.0));
    }
    let page = page(&results);
    assert!(page.contains("How soon again") && page.contains("never"));
    assert!(page.contains("agreed while they were watched, in "));
}

#[test]
fn ids_are_unique_and_every_link_has_its_place() {
    let page = page(&sample());
    let ids = attributes(&page, "id");
    let unique: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(ids.len(), unique.len());
    assert!(ids.len() > 12);
    for link in attributes(&page, "href").iter().filter_map(|it| it.strip_prefix('#')) {
        assert!(unique.contains(link), "#{link} leads nowhere");
    }
}

#[test]
fn elements_are_closed_in_order() {
    let page = page(&sample());
    let (before, rest) = page.split_once("<style>").unwrap();
    let (_, body) = rest.split_once("</style>").unwrap();
    let (body, _) = body.split_once("<script>").unwrap();
    let mut open: Vec<&str> = Vec::new();
    for tag in before.split('<').chain(body.split('<')).skip(1).filter_map(|it| Some(it.split_once('>')?.0)) {
        let name = tag.trim_start_matches('/').split([' ', '/', '\n']).next().unwrap();
        if ["!DOCTYPE", "meta", "link", "br", "input", ""].contains(&name) || tag.ends_with('/') {
            continue;
        }
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "in </{name}>");
        } else {
            open.push(name);
        }
    }
    assert_eq!(open, ["html", "body"]);
}

#[test]
fn the_page_stays_small_when_everything_fails_at_length() {
    let mut results = sample();
    let cases = &mut results.conformance.as_mut().unwrap().cases;
    let template = cases[0].clone();
    let answer =
        |fill: &str| Answer { status: 200, content_type: None, headers: Default::default(), body: fill.repeat(4096) };
    for number in 0..4000 {
        let mut case = template.clone();
        case.id = format!("Z{number}");
        case.target = TANDEM.into();
        case.outcome = Outcome::Fail;
        case.request = "r".repeat(10_000);
        case.expected = Some(answer("x"));
        case.observed = Some(answer("y"));
        cases.push(case);
    }
    let page = page(&results);
    assert!(page.len() < 8 << 20, "{} bytes", page.len());
    assert!(page.contains("more failures are shown without their answers"));
}

#[test]
fn the_first_difference_is_marked() {
    let page = page(&sample());
    assert!(page.contains("<mark class=\"exp\">.0</mark>"), "the longer side marks what the other lacks");
    assert!(page.contains("<mark class=\"obs\"></mark>"));
}

#[test]
fn the_palette_of_the_drawings_is_the_style_sheet_s() {
    let style = include_str!("../assets/report.css");
    for (index, colour) in crate::report::plot::PALETTE.iter().enumerate() {
        let value = format!("#{:02X}{:02X}{:02X}", colour.0, colour.1, colour.2);
        assert!(style.contains(&format!("[stroke=\"{value}\"] {{ stroke: var(--s{index}); }}")), "{value}");
        assert!(style.contains(&format!("--s{index}: {};", value.to_lowercase())), "{value}");
    }
}
