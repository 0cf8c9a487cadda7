//! Query strings, form bodies and multipart bodies become parameters (compat/spec/naming-api.md §1, §1.1).

use std::borrow::Cow;

use super::request::Params;
use crate::java::hash_order;

/// The most bytes of a POST form that are parsed; Tomcat ignores a larger one altogether.
pub const POST_FORM_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Every name and value in the order sent, repeated names included.
#[derive(Debug, Default)]
pub struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// Adds `a=b&c=d`. A pair with a broken percent sequence is dropped.
    pub fn add_urlencoded(&mut self, text: &[u8]) {
        for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
                Some(at) => (pair.get(..at).unwrap_or_default(), pair.get(at + 1..).unwrap_or_default()),
                None => (pair, &[][..]),
            };
            if name.is_empty() {
                continue;
            }
            if let (Some(name), Some(value)) = (decode(name, true), decode(value, true)) {
                self.0.push((name, value));
            }
        }
    }

    /// Adds the text fields of a `multipart/form-data` body; files are left to whoever wants them.
    pub fn add_multipart(&mut self, content_type: &str, body: &[u8]) {
        let Some(boundary) = content_type.split(';').find_map(|part| part.trim().strip_prefix("boundary=")) else {
            return;
        };
        let delimiter = format!("--{}", boundary.trim_matches('"'));
        for part in split_on(body, delimiter.as_bytes()).skip(1) {
            let Some(end) = find(part, b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(part.get(..end).unwrap_or_default()).into_owned();
            let value = part.get(end + 4..).unwrap_or_default();
            let value = value.strip_suffix(b"\r\n").unwrap_or(value);
            if let Some(name) = disposition(&head, "name")
                && disposition(&head, "filename").is_none()
            {
                self.0.push((name, String::from_utf8_lossy(value).into_owned()));
            }
        }
    }

    /// First value sent of a name.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// One value per name. Naming takes the first in Java hash order of the distinct values (`by_hash`); everything
    /// else takes the first sent.
    pub fn into_params(self, by_hash: bool) -> Params {
        let mut params = Params::default();
        let mut repeated: Vec<String> = Vec::new();
        for (name, value) in &self.0 {
            if params.get(name).is_none() {
                params.set(name, value.clone());
            } else if !repeated.contains(name) {
                repeated.push(name.clone());
            }
        }
        for name in repeated {
            let mut values: Vec<&str> = Vec::new();
            let mut sent = 0;
            for (_, value) in self.0.iter().filter(|(known, _)| *known == name) {
                sent += 1;
                if !by_hash || !values.contains(&value.as_str()) {
                    values.push(value);
                }
            }
            if by_hash {
                order_of_set(&mut values, sent);
            }
            if let Some(first) = values.first() {
                params.set(&name, *first);
            }
            params.set_joined(&name, &values);
        }
        params
    }
}

/// The set was sized for the values sent, not for the distinct ones; that only matters beyond a dozen repeats.
fn order_of_set(values: &mut [&str], sent: usize) {
    debug_assert!(sent >= values.len());
    hash_order(values, true, |value| (*value).to_owned());
}

/// Percent decoding; `None` when a sequence is broken, U+FFFD where the bytes are not UTF-8.
pub fn decode(text: &[u8], plus_is_space: bool) -> Option<String> {
    let mut bytes: Cow<'_, [u8]> = Cow::Borrowed(text);
    if text.iter().any(|byte| *byte == b'%' || (plus_is_space && *byte == b'+')) {
        let mut decoded = Vec::with_capacity(text.len());
        let mut rest = text.iter();
        while let Some(byte) = rest.next() {
            decoded.push(match byte {
                b'%' => hex(*rest.next()?)? * 16 + hex(*rest.next()?)?,
                b'+' if plus_is_space => b' ',
                other => *other,
            });
        }
        bytes = Cow::Owned(decoded);
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn split_on<'a>(mut body: &'a [u8], delimiter: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut done = false;
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        let (part, rest) = match find(body, delimiter) {
            Some(at) => (body.get(..at)?, body.get(at + delimiter.len()..)?),
            None => {
                done = true;
                (body, &[][..])
            }
        };
        body = rest;
        Some(part)
    })
}

/// A quoted attribute of a part's `Content-Disposition`.
fn disposition(head: &str, attribute: &str) -> Option<String> {
    let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with("content-disposition:"))?;
    line.split(';').skip(1).find_map(|field| {
        let (name, value) = field.trim().split_once('=')?;
        name.eq_ignore_ascii_case(attribute).then(|| value.trim_matches('"').to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        let mut pairs = Pairs::default();
        pairs.add_urlencoded(query.as_bytes());
        pairs.into_params(true)
    }

    #[test]
    fn repeated_names_resolve_in_java_hash_order() {
        // compat/spec/naming-api.md §1.1
        assert_eq!(params("weight=5&weight=3&weight=9").get("weight"), Some("3"));
        assert_eq!(params("serviceName=c-ua&serviceName=nope").get("serviceName"), Some("nope"));
    }

    #[test]
    fn spring_joins_repeated_names() {
        let repeated = params("a=5&b=x&a=3&a=5");
        assert_eq!((repeated.get_joined("a"), repeated.get_joined("b")), (Some("3,5"), Some("x")));
        let mut pairs = Pairs::default();
        pairs.add_urlencoded(b"a=5&a=3&a=5");
        let mut outside = pairs.into_params(false);
        assert_eq!((outside.get("a"), outside.get_joined("a")), (Some("5"), Some("5,3,5")));
        outside.set("a", "1");
        assert_eq!(outside.get_joined("a"), Some("1"));
    }

    #[test]
    fn broken_sequences_drop_the_parameter() {
        assert_eq!(params("a=%2&b=1").get("a"), None);
        assert_eq!(params("a=%2&b=1").get("b"), Some("1"));
        assert_eq!(params("a=x+y%20z&c").get("a"), Some("x y z"));
        assert_eq!(params("a&&b=").get("a"), Some(""));
        assert_eq!(params("a=%E6%9C").get("a"), Some("\u{FFFD}"));
    }

    #[test]
    fn multipart_fields() {
        let body = b"--B\r\nContent-Disposition: form-data; name=\"ip\"\r\n\r\n127.1.14.5\r\n--B\r\n\
            Content-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\nzz\r\n--B--\r\n";
        let mut pairs = Pairs::default();
        pairs.add_multipart("multipart/form-data; boundary=B", body);
        assert_eq!(pairs.first("ip"), Some("127.1.14.5"));
        assert_eq!(pairs.first("f"), None);
    }
}
