//! Values from several sources under the official keys: later sources win, placeholders are resolved on reading, and
//! every value remembers where it came from so that an error can say so.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A built-in default.
    Default,
    /// A line of a file.
    File(Arc<str>, usize),
    /// An environment variable.
    Environment(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("the built-in default"),
            Origin::File(path, line) => write!(f, "{path} line {line}"),
            Origin::Environment(name) => write!(f, "the environment variable {name}"),
            Origin::Flag(flag) => write!(f, "the flag {flag}"),
        }
    }
}

/// A setting that stops the start; one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(pub String);

impl SettingsError {
    /// The usual sentence: key, value, origin and what would be right.
    pub fn wrong(key: &str, found: &Found, right: &str) -> Self {
        SettingsError(format!("{key} is \"{}\" (from {}), but it must be {right}", found.value, found.origin))
    }
}

/// A value with its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Text, placeholders resolved.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// Placeholders may hold placeholders; a chain longer than this is a loop.
const PLACEHOLDER_DEPTH_MAX: usize = 32;

/// All values, by canonical key.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    values: IndexMap<String, (String, Found)>,
    environment: BTreeMap<String, String>,
}

impl Layers {
    /// No values yet; the environment serves placeholders.
    pub fn new(environment: BTreeMap<String, String>) -> Self {
        Layers { values: IndexMap::new(), environment }
    }

    /// Sets a key over whatever earlier sources said.
    pub fn set(&mut self, key: &str, value: impl Into<String>, origin: Origin) {
        self.values.insert(canonical(key), (key.to_owned(), Found { value: value.into(), origin }));
    }

    /// Keys in order of first appearance, as they were written, with their origins.
    pub fn keys(&self) -> impl Iterator<Item = (&str, &Origin)> {
        self.values.values().map(|(key, found)| (key.as_str(), &found.origin))
    }

    /// An environment variable, unless blank.
    pub fn environment(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|value| !value.trim().is_empty())
    }

    /// Names of all environment variables.
    pub fn environment_set(&self) -> impl Iterator<Item = &str> {
        self.environment.keys().map(String::as_str)
    }

    /// The value of a key, trimmed, placeholders resolved; `None` when absent or blank.
    ///
    /// # Errors
    /// A placeholder without a value and without a default.
    pub fn get(&self, key: &str) -> Result<Option<Found>, SettingsError> {
        let Some((_, raw)) = self.values.get(&canonical(key)) else { return Ok(None) };
        let value = self.resolve(&raw.value, 0).map_err(|name| {
            SettingsError::wrong(key, raw, &format!("text whose placeholder ${{{name}}} has a value"))
        })?;
        let value = value.trim();
        if value.is_empty() {
            return Ok(None);
        }
        Ok(Some(Found { value: value.to_owned(), origin: raw.origin.clone() }))
    }

    /// A value parsed by `parse`, or the default when absent.
    ///
    /// # Errors
    /// The sentence of [`SettingsError::wrong`] when `parse` gives nothing.
    pub fn parsed<T>(
        &self,
        key: &str,
        default: T,
        right: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, SettingsError> {
        match self.get(key)? {
            None => Ok(default),
            Some(found) => parse(&found.value).ok_or_else(|| SettingsError::wrong(key, &found, right)),
        }
    }

    /// A switch, in all spellings Spring takes.
    ///
    /// # Errors
    /// As [`Layers::parsed`].
    pub fn switch(&self, key: &str, default: bool) -> Result<bool, SettingsError> {
        self.parsed(key, default, "true or false", switch)
    }

    /// A text, or `None`.
    ///
    /// # Errors
    /// As [`Layers::get`].
    pub fn text(&self, key: &str) -> Result<Option<String>, SettingsError> {
        Ok(self.get(key)?.map(|found| found.value))
    }

    /// Elements of a list: `key[0]`, `key[1]`, … or one comma-separated value.
    ///
    /// # Errors
    /// As [`Layers::get`].
    pub fn list(&self, key: &str) -> Result<Vec<String>, SettingsError> {
        let mut items = Vec::new();
        while let Some(found) = self.get(&format!("{key}[{}]", items.len()))? {
            items.push(found.value);
        }
        if items.is_empty() {
            let joined = self.text(key)?.unwrap_or_default();
            items = joined.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect();
        }
        Ok(items)
    }

    /// Replaces `${name}` and `${name:default}`; `Err` holds the name without a value.
    fn resolve(&self, text: &str, depth: usize) -> Result<String, String> {
        let Some(start) = text.find("${") else { return Ok(text.to_owned()) };
        let (before, body) = text.split_at(start);
        let body = body.get(2..).unwrap_or_default();
        let Some(end) = closing_brace(body) else { return Ok(text.to_owned()) };
        let (inner, after) = body.split_at(end);
        let after = after.get(1..).unwrap_or_default();
        if depth > PLACEHOLDER_DEPTH_MAX {
            return Err(inner.to_owned());
        }
        let inner = self.resolve(inner, depth + 1)?;
        let (name, default) = match inner.split_once(':') {
            Some((name, default)) => (name, Some(default)),
            None => (inner.as_str(), None),
        };
        let value = match (self.lookup(name), default) {
            (Some(value), _) => self.resolve(&value, depth + 1)?,
            (None, Some(default)) => default.to_owned(),
            (None, None) => return Err(name.to_owned()),
        };
        Ok(format!("{before}{value}{}", self.resolve(after, depth)?))
    }

    fn lookup(&self, name: &str) -> Option<String> {
        let known = self.values.get(&canonical(name)).map(|(_, found)| found.value.clone());
        known.or_else(|| environment_names(name).into_iter().find_map(|name| self.environment.get(&name).cloned()))
    }
}

/// `true`, `on`, `yes`, `1` and their opposites.
fn switch(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Some(true),
        "false" | "off" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// Spring binds `server.*` and `management.*` loosely: case and dashes do not matter, so `contextPath` is
/// `context-path`. Nacos' own keys are exact.
fn canonical(key: &str) -> String {
    if key.starts_with("server.") || key.starts_with("management.") {
        key.replace('-', "").to_ascii_lowercase()
    } else {
        key.to_owned()
    }
}

/// The variables Spring looks at for a property, in its order.
pub fn environment_names(key: &str) -> Vec<String> {
    let dotless = key.replace('.', "_");
    let plain = key.replace(['.', '-', '[', ']'], "_").trim_end_matches('_').to_owned();
    let mut names = vec![key.to_owned(), dotless.clone(), plain.clone(), dotless.to_uppercase(), plain.to_uppercase()];
    names.dedup();
    names
}

/// Whether two spellings mean the same key, as `contextPath` and `context-path`.
pub fn is_same_key(one: &str, other: &str) -> bool {
    canonical(one) == canonical(other)
}

/// Index of the `}` that closes the placeholder whose body starts here.
fn closing_brace(body: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut previous = ' ';
    for (index, c) in body.char_indices() {
        match c {
            '{' if previous == '$' => depth += 1,
            '}' if depth == 0 => return Some(index),
            '}' => depth -= 1,
            _ => {}
        }
        previous = c;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(values: &[(&str, &str)], environment: &[(&str, &str)]) -> Layers {
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let mut layers = Layers::new(environment);
        for (line, (key, value)) in values.iter().enumerate() {
            layers.set(key, *value, Origin::File("f".into(), line + 1));
        }
        layers
    }

    #[test]
    fn placeholders() {
        let layers = layers(
            &[
                ("plain", " x "),
                ("default", "${NOPE:8848}"),
                ("env", "a${PORT}b${PORT:1}"),
                ("nested", "${NOPE:${ALSO_NOT:deep}}"),
                ("key", "${plain}/${env}"),
                ("inner", "${N${WHICH}:y}"),
                ("relaxed", "${nacos.some-thing}"),
                ("empty", "${NOPE:}"),
                ("url", "${NOPE:http://h:1/p}"),
                ("open", "${oops"),
                ("loop", "${loop}"),
            ],
            &[("PORT", "9"), ("WHICH", "UM"), ("NUM", "7"), ("NACOS_SOME_THING", "r")],
        );
        for (key, value) in [
            ("plain", Some("x")),
            ("default", Some("8848")),
            ("env", Some("a9b9")),
            ("nested", Some("deep")),
            ("key", Some("x /a9b9")),
            ("inner", Some("7")),
            ("relaxed", Some("r")),
            ("empty", None),
            ("url", Some("http://h:1/p")),
            ("open", Some("${oops")),
            ("absent", None),
        ] {
            assert_eq!(layers.text(key).unwrap().as_deref(), value, "{key}");
        }
        let error = layers.text("loop").unwrap_err().to_string();
        assert!(error.contains("${loop}") && error.contains("f line 11"), "{error}");
    }

    #[test]
    fn server_keys_bind_loosely_and_nacos_keys_exactly() {
        let layers = layers(&[("server.servlet.contextPath", "/a"), ("nacos.x-y", "1"), ("SERVER.port", "no")], &[]);
        assert_eq!(layers.text("server.servlet.context-path").unwrap().as_deref(), Some("/a"));
        assert_eq!(layers.text("nacos.xy").unwrap(), None);
        assert_eq!(layers.text("server.port").unwrap(), None);
    }

    #[test]
    fn lists_are_indexed_or_joined() {
        let layers = layers(&[("a[0]", "x"), ("a[1]", "y,z"), ("b", "p, q,")], &[]);
        assert_eq!(layers.list("a").unwrap(), ["x", "y,z"]);
        assert_eq!(layers.list("b").unwrap(), ["p", "q"]);
        assert!(layers.list("c").unwrap().is_empty());
    }

    #[test]
    fn a_wrong_value_is_one_sentence() {
        let layers = layers(&[("k", "maybe")], &[]);
        assert_eq!(
            layers.switch("k", true).unwrap_err().to_string(),
            "k is \"maybe\" (from f line 1), but it must be true or false"
        );
    }
}
