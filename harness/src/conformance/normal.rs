//! Puts what must differ between two servers into a common form: own addresses, and the values a case names as
//! volatile. Everything else of a body stays byte for byte, the order of keys included.

use regex::Regex;

use super::case::{Case, Compare, Topology};
use super::place::Place;

/// How the answers of one case are compared.
#[derive(Debug, Clone)]
pub struct Rules {
    /// What is compared.
    pub compare: Compare,
    volatile: Vec<String>,
    patterns: Vec<Regex>,
    unordered: Option<String>,
    unordered_keys: Vec<String>,
    own_ports: bool,
}

impl Rules {
    /// The rules of a case in a topology.
    pub fn of(case: &Case, topology: Topology) -> Self {
        let rule = case.cluster.clone().filter(|_| topology == Topology::Cluster3).unwrap_or_default();
        let patterns = case.patterns.iter().chain(&rule.patterns);
        Self {
            compare: case.compare_in(topology),
            volatile: case.volatile.iter().chain(&rule.volatile).cloned().collect(),
            // Patterns are checked when the case is read.
            patterns: patterns.filter_map(|p| Regex::new(p).ok()).collect(),
            unordered: rule.unordered.or_else(|| case.unordered.clone()),
            unordered_keys: case.unordered_keys.clone(),
            own_ports: case.own_ports,
        }
    }

    /// Makes one more field volatile.
    pub fn also_volatile(&mut self, field: &str) {
        self.volatile.push(field.to_owned());
    }

    /// The common form of a body or header of a server at this place.
    pub fn normal(&self, text: &str, place: &Place) -> String {
        let mut text = text.to_owned();
        for pattern in &self.patterns {
            text = pattern.replace_all(&text, regex::NoExpand(&format!("<{pattern}>"))).into_owned();
        }
        for field in &self.volatile {
            text = rewrite(&text, field, kind);
        }
        for (index, member) in place.members.iter().enumerate() {
            let name = if index == 0 { "{self}".to_owned() } else { format!("{{member{index}}}") };
            text = replace_number(&text, member, &name);
            let port = member.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
            if let Some(port) = port.filter(|_| self.own_ports) {
                text = replace_number(&text, &port.to_string(), &format!("{{port{index}}}"));
                // Every server offers its Raft port 1000 below the HTTP port.
                let raft = port.saturating_sub(1000).to_string();
                text = replace_number(&text, &raft, &format!("{{raft-port{index}}}"));
            }
        }
        text = replace_number(&text, &place.open_port.to_string(), "{open_port}");
        text = replace_number(&text, &place.closed_port.to_string(), "{closed_port}");
        if place.context_path != "/nacos" {
            text = text.replace(&format!("{}/v1", place.context_path), "/nacos/v1");
        }
        // Elements are sorted by their text, so their keys must have their places by then.
        if !self.unordered_keys.is_empty() {
            text = sort_keys(&text, &self.unordered_keys);
        }
        match &self.unordered {
            Some(field) => rewrite(&text, field, sorted),
            None => text,
        }
    }
}

/// Replaces `needle` where it is not part of a longer number or address.
fn replace_number(text: &str, needle: &str, with: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(needle) {
        let (before, after) = (rest.get(..at).unwrap_or_default(), rest.get(at + needle.len()..).unwrap_or_default());
        let inside = |c: char| c.is_ascii_digit() || c == '.';
        let free = !before.ends_with(inside) && !after.starts_with(|c: char| c.is_ascii_digit());
        out.push_str(before);
        out.push_str(if free { with } else { needle });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// A body with another JSON value in every member of this name.
pub(super) fn set_field(text: &str, field: &str, value: &str) -> String {
    rewrite(text, field, |_| value.to_owned())
}

/// Replaces the value of every member `"field":value`.
fn rewrite(text: &str, field: &str, change: impl Fn(&str) -> String) -> String {
    let key = format!("\"{field}\":");
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(&key) {
        let start = at + key.len();
        let end = start + value_length(rest.get(start..).unwrap_or_default());
        out.push_str(rest.get(..start).unwrap_or_default());
        out.push_str(&change(rest.get(start..end).unwrap_or_default()));
        rest = rest.get(end..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// The type of a JSON value, in place of the value.
fn kind(value: &str) -> String {
    let kind = match value.chars().next() {
        Some('"') => "string",
        Some('{') => "object",
        Some('[') => "array",
        Some('t' | 'f') => "boolean",
        Some('n') => "null",
        Some(_) => "number",
        None => "nothing",
    };
    format!("<{kind}>")
}

/// A JSON array with its elements in the order of their text.
fn sorted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('[').and_then(|v| v.strip_suffix(']')) else {
        return value.to_owned();
    };
    let mut elements = Vec::new();
    let mut rest = inner;
    while !rest.is_empty() {
        let (element, after) = rest.split_at(value_length(rest).min(rest.len()));
        elements.push(element);
        rest = after.strip_prefix(',').unwrap_or_default();
    }
    elements.sort_unstable();
    format!("[{}]", elements.join(","))
}

/// Sorts neighbouring members whose keys are named.
fn sort_keys(text: &str, keys: &[String]) -> String {
    let member = |text: &str| -> Option<usize> {
        let key = keys.iter().map(|k| format!("\"{k}\":")).find(|k| text.starts_with(k))?;
        Some(key.len() + value_length(text.get(key.len()..).unwrap_or_default()))
    };
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('"') {
        out.push_str(rest.get(..at).unwrap_or_default());
        rest = rest.get(at..).unwrap_or_default();
        let mut run = Vec::new();
        while let Some(length) = member(rest) {
            let (taken, after) = rest.split_at(length);
            run.push(taken);
            rest = after;
            match rest.strip_prefix(',').filter(|next| member(next).is_some()) {
                Some(next) => rest = next,
                None => break,
            }
        }
        if run.is_empty() {
            out.push('"');
            rest = rest.get(1..).unwrap_or_default();
        } else {
            run.sort_unstable();
            out.push_str(&run.join(","));
        }
    }
    out.push_str(rest);
    out
}

/// Length of the JSON value a text begins with; the whole text when it is cut inside the value.
fn value_length(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    in_string = false;
                    if depth == 0 {
                        return at + 1;
                    }
                }
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' | b',' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place {
            members: vec!["127.0.0.1:16000".to_owned(), "127.0.0.1:16010".to_owned()],
            open_port: 9499,
            closed_port: 9498,
            udp_port: 9497,
            context_path: "/nacos".to_owned(),
        }
    }

    fn rules(toml: &str) -> Rules {
        let text = format!("id = \"X\"\nmethod = \"GET\"\npath = \"/\"\n{toml}");
        Rules::of(&toml::from_str(&text).expect("case"), Topology::Standalone)
    }

    #[test]
    fn volatile_values_keep_their_type_and_place() {
        let rules = rules("volatile = [\"t\", \"o\"]");
        let masked = rules.normal(r#"{"t":12,"a":"t","x":{"t":"1,}\"2"},"o":{"b":[1]},"t":nu"#, &place());
        assert_eq!(masked, r#"{"t":<number>,"a":"t","x":{"t":<string>},"o":<object>,"t":<null>"#);
        assert_ne!(rules.normal("{\"t\":1}", &place()), rules.normal("{\"t\":\"1\"}", &place()));
        assert_ne!(rules.normal("{\"t\":1}", &place()), rules.normal("{}", &place()));
    }

    #[test]
    fn own_addresses_get_names_and_other_numbers_stay() {
        let text = r#"127.0.0.1:16000 127.0.0.1:16010 127.0.0.1:160001 16000 "15010" 9499 19499"#;
        let plain = rules("").normal(text, &place());
        assert_eq!(plain, r#"{self} {member1} 127.0.0.1:160001 16000 "15010" {open_port} 19499"#);
        let ports = rules("own_ports = true").normal(text, &place());
        assert_eq!(ports, r#"{self} {member1} 127.0.0.1:160001 {port0} "{raft-port1}" {open_port} 19499"#);
    }

    #[test]
    fn named_arrays_and_keys_may_change_order_and_nothing_else() {
        let arrays = rules("unordered = \"h\"\nreason = \"r\"");
        let one = arrays.normal(r#"{"h":[{"b":1},{"a":[2,1]}],"k":[2,1]}"#, &place());
        assert_eq!(one, r#"{"h":[{"a":[2,1]},{"b":1}],"k":[2,1]}"#);
        let keys = rules("unordered_keys = [\"p\", \"q\"]");
        assert_eq!(keys.normal(r#"{"z":1,"q":"x","p":2,"a":3}"#, &place()), r#"{"z":1,"p":2,"q":"x","a":3}"#);
        assert_eq!(keys.normal(r#"{"q":1,"a":0,"p":2}"#, &place()), r#"{"q":1,"a":0,"p":2}"#);
    }

    #[test]
    fn patterns_replace_what_they_match() {
        let rules = rules("patterns = ['raft \\d+']");
        assert_eq!(rules.normal("total raft 12, x 12", &place()), "total <raft \\d+>, x 12");
        assert_eq!(rules.normal("total raft x", &place()), "total raft x");
    }
}
