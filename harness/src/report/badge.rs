//! Badges: a small drawing of a label and a value, and the same as JSON for services that draw badges themselves.

use serde::Serialize;

use super::format;
use super::html::site;
use super::score;
use crate::results::Results;

/// What a badge says of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// Nothing to worry about.
    Good,
    /// Look at it.
    Fair,
    /// Do not rely on it.
    Poor,
    /// A figure without a judgement.
    Plain,
}

/// One badge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Badge {
    /// File name without its ending.
    pub(super) name: String,
    /// Left half.
    pub(super) label: String,
    /// Right half.
    pub(super) value: String,
    /// Its colour.
    pub(super) level: Level,
}

/// The form that badge services read (`schemaVersion` 1).
#[derive(Serialize)]
struct Endpoint<'a> {
    #[serde(rename = "schemaVersion")]
    schema_version: u8,
    label: &'a str,
    message: &'a str,
    color: &'a str,
}

/// Badges of the newest runs, each name once.
pub(super) fn badges(runs: &[Results]) -> Vec<Badge> {
    let mut badges: Vec<Badge> = Vec::new();
    for results in site::newest_judged(runs) {
        let Some(version) = site::version(results) else { continue };
        for (target, counts) in site::shares(results) {
            badges.push(Badge {
                name: format!("{}-nacos-{}-api", name_of(&target), slug(&version)),
                label: format!("Nacos {version} API"),
                value: format::percent(u64::from(counts.pass), score::tried(&counts)),
                level: level(u64::from(counts.pass), score::tried(&counts)),
            });
        }
    }
    if let Some((results, (label, value))) = runs.iter().find_map(|it| Some((it, site::leading_ratio(it)?))) {
        let target = results.targets.first().map(|it| name_of(&it.target)).unwrap_or_default();
        badges.push(Badge { name: format!("{target}-{}", slug(&label)), label, value, level: Level::Plain });
    }
    let mut seen = std::collections::BTreeSet::new();
    badges.retain(|it| seen.insert(it.name.clone()));
    badges
}

fn level(pass: u64, tried: u64) -> Level {
    match pass.saturating_mul(100).checked_div(tried) {
        None => Level::Plain,
        Some(95..) => Level::Good,
        Some(80..) => Level::Fair,
        Some(_) => Level::Poor,
    }
}

/// What a target is called in a file name. A running server is just `server`: its address is nobody's business, and
/// would give the badge another name on the next machine. An image keeps its own name, without registry and tag.
fn name_of(target: &str) -> String {
    match target.split_once(':') {
        Some(("url", _)) => "server".to_owned(),
        Some((kind, image)) if kind.ends_with("docker") => {
            let last = image.rsplit('/').next().unwrap_or(image);
            slug(last.split([':', '@']).next().unwrap_or(last))
        }
        _ => slug(target),
    }
}

/// Lower-case letters, digits, dots and hyphens: a file name everywhere.
fn slug(text: &str) -> String {
    let kept = text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' });
    let joined: String = kept.take(80).collect();
    joined.split('-').filter(|it| !it.is_empty()).collect::<Vec<_>>().join("-")
}

impl Badge {
    /// The drawing. The width of the text is fixed in it, so that it fits whatever font draws it.
    pub(super) fn svg(&self) -> String {
        let (left, right) = (width(&self.label) + 12, width(&self.value) + 12);
        let (total, middle_left, middle_right) = (left + right, left as f64 / 2.0, left as f64 + right as f64 / 2.0);
        let (label, value) = (escape(&self.label), escape(&self.value));
        let (left_text, right_text) = (left - 12, right - 12);
        let colour = self.level.colour();
        format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" width="{total}" height="20" viewBox="0 0 {total} 20" role="img" aria-label="{label}: {value}"><title>{label}: {value}</title><clipPath id="c"><rect width="{total}" height="20" rx="4"/></clipPath><g clip-path="url(#c)"><rect width="{left}" height="20" fill="#3a414d"/><rect x="{left}" width="{right}" height="20" fill="{colour}"/></g><g fill="#fff" text-anchor="middle" font-family="system-ui,Verdana,DejaVu Sans,sans-serif" font-size="11"><text x="{middle_left}" y="14" textLength="{left_text}">{label}</text><text x="{middle_right}" y="14" textLength="{right_text}" font-weight="600">{value}</text></g></svg>"##
        )
    }

    /// The badge as JSON.
    pub(super) fn json(&self) -> serde_json::Result<String> {
        let colour = self.level.colour().trim_start_matches('#');
        let endpoint = Endpoint { schema_version: 1, label: &self.label, message: &self.value, color: colour };
        Ok(serde_json::to_string(&endpoint)? + "\n")
    }
}

impl Level {
    fn colour(self) -> &'static str {
        match self {
            Level::Good => "#12713f",
            Level::Fair => "#8a5a00",
            Level::Poor => "#b3261e",
            Level::Plain => "#0b62b5",
        }
    }
}

/// About the width of the text in pixels at 11 px.
fn width(text: &str) -> usize {
    let tenths: usize = text
        .chars()
        .map(|c| match c {
            'i' | 'j' | 'l' | '.' | ',' | ':' | '\'' | '|' | '!' => 34,
            'f' | 't' | 'r' | ' ' | '-' | '(' | ')' => 45,
            'm' | 'w' | 'M' | 'W' | '%' | '@' => 100,
            c if c.is_ascii_uppercase() => 76,
            c if c.is_ascii() => 67,
            _ => 90,
        })
        .sum();
    tenths.div_ceil(10)
}

fn escape(text: &str) -> String {
    let text = format::one_line(text, 120);
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_badge_is_inert_and_named_like_a_file() {
        let badge = Badge {
            name: slug("url:http://h:1/<x>&\"y"),
            label: "a<b>\"&".into(),
            value: "96.5 %".into(),
            level: level(965, 1000),
        };
        assert_eq!(badge.name, "url-http-h-1-x-y");
        assert_eq!(name_of("url:http://10.0.0.1:8848,http://10.0.0.2:8848"), "server");
        assert_eq!(name_of("3xdocker:registry.example:5000/team/my-nacos:1.2"), "my-nacos");
        assert_eq!(name_of("2xnacos+tandem"), "2xnacos-tandem");
        let svg = badge.svg();
        assert!(svg.contains("a&lt;b&gt;&quot;&amp;: 96.5 %") && !svg.contains("<b>"), "{svg}");
        assert!(svg.contains("#12713f"));
        assert_eq!(
            badge.json().unwrap(),
            "{\"schemaVersion\":1,\"label\":\"a<b>\\\"&\",\"message\":\"96.5 %\",\"color\":\"12713f\"}\n"
        );
    }

    #[test]
    fn nothing_tried_is_not_judged() {
        assert_eq!(level(0, 0), Level::Plain);
        assert_eq!(level(799, 1000), Level::Poor);
        assert_eq!(level(800, 1000), Level::Fair);
    }
}
