//! What content type an answer gets, as Spring negotiates it (compat/spec/naming-api.md §1.3).

use super::response::{JSON, TEXT};

/// What the client says it takes.
#[derive(Debug, PartialEq, Eq)]
pub enum Accept<'a> {
    /// Anything: no header, or `*/*` first.
    Any,
    /// These, best first.
    Ranges(Vec<&'a str>),
    /// Not a media type: 406.
    Malformed,
}

/// Reads the header.
pub fn parse(header: &str) -> Accept<'_> {
    if header.is_empty() || header == "*/*" {
        return Accept::Any;
    }
    let mut ranges: Vec<(&str, u32)> = Vec::new();
    for item in header.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let mut fields = item.split(';').map(str::trim);
        // The JDK's own HTTP client sends a lone star.
        let range = match fields.next().unwrap_or_default() {
            "*" => "*/*",
            range => range,
        };
        match range.split_once('/') {
            Some((main, sub)) if !main.is_empty() && !sub.is_empty() && (main != "*" || sub == "*") => {}
            _ => return Accept::Malformed,
        }
        let quality = fields
            .find_map(|field| field.strip_prefix("q="))
            .and_then(|q| q.trim().parse::<f32>().ok())
            .map_or(1000, |q| (q.clamp(0.0, 1.0) * 1000.0) as u32);
        ranges.push((range, quality));
    }
    ranges.sort_by_key(|(_, quality)| std::cmp::Reverse(*quality));
    match ranges.first() {
        None | Some(("*/*", _)) => Accept::Any,
        Some(_) => Accept::Ranges(ranges.into_iter().map(|(range, _)| range).collect()),
    }
}

impl Accept<'_> {
    /// The content type of a bare string; whatever is asked for is claimed. `None` is 406.
    pub fn of_text(&self) -> Option<String> {
        match self {
            Accept::Any => Some(TEXT.to_owned()),
            Accept::Malformed => None,
            Accept::Ranges(ranges) => Some(match ranges.first().copied().unwrap_or("*/*") {
                "*/*" | "text/*" | "text/plain" => TEXT.to_owned(),
                "application/*" => JSON.to_owned(),
                range if range.ends_with("/*") => TEXT.to_owned(),
                range => format!("{range};charset=UTF-8"),
            }),
        }
    }

    /// Whether a JSON object may be sent.
    pub fn takes_json(&self) -> bool {
        match self {
            Accept::Any => true,
            Accept::Malformed => false,
            Accept::Ranges(ranges) => {
                ranges.iter().any(|range| matches!(*range, "*/*" | "application/*" | "application/json"))
            }
        }
    }

    /// Whether an error goes out as a page.
    pub fn prefers_html(&self) -> bool {
        match self {
            Accept::Ranges(ranges) => {
                ranges.iter().find_map(|range| match *range {
                    "text/html" | "text/*" => Some(true),
                    "application/json" | "application/*" | "*/*" => Some(false),
                    _ => None,
                }) == Some(true)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negotiation() {
        assert_eq!(parse("text/html").of_text().as_deref(), Some("text/html;charset=UTF-8"));
        assert!(!parse("text/html").takes_json());
        assert_eq!(parse("bad"), Accept::Malformed);
        assert!(parse("application/json;q=0.1, text/plain").takes_json());
        let jdk = parse("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2");
        assert!(jdk.takes_json() && jdk.prefers_html());
    }
}
