//! Metadata as clients write it: a JSON object, or `a=1,b=2` (compat/spec/naming-api.md §2.1).

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::NamingError;
use super::instance::{Hashed, Metadata};
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

/// Where official Nacos keeps what the text says: JSON in its order, the rest in a hash table.
pub fn table_of(text: &str) -> Hashed {
    if java::is_blank(text) {
        return Hashed(1);
    }
    match from_json(text) {
        Some(_) => Hashed(0),
        None => Hashed(grown(16, from_pairs(text).map_or(0, |pairs| pairs.len()))),
    }
}

/// The table after `given` keys were put into it at once and it holds `held` keys: one that was never used is made for
/// what comes, others double when three quarters are taken, also by what is yet to come.
pub fn table_after(table: Hashed, given: usize, held: usize) -> Hashed {
    let made = match table.0 {
        0 => return table,
        1 if given == 0 => return table,
        1 => u32::try_from(given * 4 / 3 + 1).unwrap_or(u32::MAX / 2).next_power_of_two(),
        places => grown(places, given),
    };
    Hashed(grown(made, held))
}

fn grown(mut places: u32, held: usize) -> u32 {
    while held > places as usize * 3 / 4 && places < 1 << 30 {
        places *= 2;
    }
    places
}

/// Brings keys into the order of their hash table.
pub fn hash_order(metadata: &mut Metadata, table: Hashed) {
    if table.0 > 1 {
        metadata.sort_by_cached_key(|name, _| java::bucket(name, table.0 as usize));
    }
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
    let table = Hashed(grown(16, pairs.len()));
    hash_order(&mut pairs, table);
    Some(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_was_never_used_is_made_for_what_comes() {
        let order = |table: Hashed, given: usize| {
            let mut metadata = Metadata::from([("k".to_owned(), "w".to_owned()), ("m".to_owned(), "2".to_owned())]);
            hash_order(&mut metadata, table_after(table, given, 2));
            metadata.keys().cloned().collect::<String>()
        };
        assert_eq!((order(table_of(""), 2), order(table_of("a=1"), 2)), ("mk".to_owned(), "km".to_owned()));
        assert_eq!(table_of(r#"{"a":"1"}"#).0, 0);
        assert_eq!(table_after(Hashed(1), 1, 1).0, 2);
        assert_eq!(table_after(Hashed(2), 1, 2).0, 4);
    }

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
