//! Metadata as clients write it: a JSON object, or `a=1,b=2` (compat/spec/naming-api.md §2.1).

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::NamingError;
use super::instance::Metadata;
use crate::java;

/// Reads metadata; the text `null` is a null map.
pub fn parse(text: &str) -> Result<Option<Metadata>, NamingError> {
    if java::is_blank(text) {
        return Ok(Some(Metadata::new()));
    }
    match from_json(text) {
        Some(metadata) => Ok(metadata),
        None => {
            from_pairs(text).map(Some).ok_or_else(|| NamingError::invalid(format!("metadata format incorrect:{text}")))
        }
    }
}

/// Whether the text ends up in a hash table in official Nacos, which has an order of its own: all but JSON does.
pub fn is_hashed(text: &str) -> bool {
    java::is_blank(text) || from_json(text).is_none()
}

/// Brings keys into the order of a Java hash table that they were put into one by one.
pub fn hash_order(metadata: &mut Metadata) {
    let mut ordered: Vec<(String, String)> = std::mem::take(metadata).into_iter().collect();
    java::hash_order(&mut ordered, false, |(name, _)| name.clone());
    metadata.extend(ordered);
}

/// A JSON object of scalars. What follows the object is ignored, as Jackson does.
fn from_json(text: &str) -> Option<Option<Metadata>> {
    if !text.trim_start().starts_with(['{', 'n']) {
        return None;
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let object = Option::<IndexMap<String, Box<RawValue>>>::deserialize(&mut reader).ok()?;
    let Some(object) = object else { return Some(None) };
    let mut metadata = Metadata::with_capacity(object.len());
    for (name, raw) in object {
        match raw.get().as_bytes().first()? {
            b'{' | b'[' => return None,
            b'"' => {
                metadata.insert(name, serde_json::from_str(raw.get()).ok()?);
            }
            // A null value is kept by Nacos and never printed.
            b'n' => {}
            _ => {
                metadata.insert(name, raw.get().to_owned());
            }
        }
    }
    Some(Some(metadata))
}

fn from_pairs(text: &str) -> Option<Metadata> {
    let mut pairs = Metadata::new();
    for pair in java::split(text, ",") {
        match java::split(pair, "=").as_slice() {
            [name, value] => {
                pairs.insert((*name).to_owned(), (*value).to_owned());
            }
            _ => return None,
        }
    }
    hash_order(&mut pairs);
    Some(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let show = |text: &str| {
            parse(text)
                .map(|map| map.map(|map| map.iter().map(|(k, v)| format!("{k}:{v}")).collect::<Vec<_>>().join(" ")))
        };
        for (text, shown) in [
            (r#"{"a":"1"}"#, "a:1"),
            (r#"{"a":"1"}trailing"#, "a:1"),
            (r#"{"z":1.50,"b":true,"n":null}"#, "z:1.50 b:true"),
            (r#"{"a":"1","a":"2"}"#, "a:2"),
            ("b=2,a=1", "a:1 b:2"),
            ("=b", ":b"),
            (",", ""),
            ("  ", ""),
        ] {
            assert_eq!(show(text), Ok(Some(shown.to_owned())), "{text}");
        }
        assert_eq!(parse("null"), Ok(None));
        for bad in ["a", "a=", "a=b=c", "a=1,,b=2", "123", "[]", "{bad json", r#"{"a":{"b":1}}"#, "true", r#""x""#] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
