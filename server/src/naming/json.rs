//! JSON straight into a buffer, spelled as Jackson spells it (compat/spec/naming-api.md §1.3).

use serde_json::Value;

use super::error::NamingError;
use super::instance::Metadata;
use crate::java;

/// What official Nacos says of a text that is no JSON.
pub const UNREADABLE: &str = "errCode: 101, errMsg: Nacos deserialize failed.  ";

/// Reads a parameter that is JSON.
///
/// # Errors
/// Two causes, as official Nacos gives them: [`UNREADABLE`], and what Jackson says of the text.
pub fn parse(text: &str) -> Result<Value, NamingError> {
    serde_json::from_str(text).map_err(|_| NamingError::Internal(vec![UNREADABLE.to_owned(), jackson_message(text)]))
}

/// A JSON text under construction.
#[derive(Debug, Default)]
pub struct JsonBuffer(Vec<u8>);

impl JsonBuffer {
    /// An empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty buffer with room.
    pub fn with_capacity(bytes: usize) -> Self {
        JsonBuffer(Vec::with_capacity(bytes))
    }

    /// Text that is JSON already.
    pub fn raw(&mut self, json: &str) -> &mut Self {
        self.0.extend_from_slice(json.as_bytes());
        self
    }

    /// Bytes that are JSON already.
    pub fn raw_bytes(&mut self, json: &[u8]) -> &mut Self {
        self.0.extend_from_slice(json);
        self
    }

    /// A quoted string. Characters outside the basic plane go out as escaped surrogates.
    pub fn string(&mut self, text: &str) -> &mut Self {
        self.0.push(b'"');
        let plain = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\' && *byte < 0xf0;
        if text.as_bytes().iter().all(plain) {
            self.0.extend_from_slice(text.as_bytes());
        } else {
            text.chars().for_each(|c| self.escaped(c));
        }
        self.0.push(b'"');
        self
    }

    fn escaped(&mut self, c: char) {
        match c {
            '"' => self.raw("\\\""),
            '\\' => self.raw("\\\\"),
            '\n' => self.raw("\\n"),
            '\r' => self.raw("\\r"),
            '\t' => self.raw("\\t"),
            '\u{8}' => self.raw("\\b"),
            '\u{c}' => self.raw("\\f"),
            c if c < ' ' || c as u32 > 0xffff => {
                let mut units = [0u16; 2];
                for unit in c.encode_utf16(&mut units) {
                    self.0.extend_from_slice(format!("\\u{unit:04X}").as_bytes());
                }
                self
            }
            c => {
                let mut bytes = [0u8; 4];
                self.raw(c.encode_utf8(&mut bytes))
            }
        };
    }

    /// A string, or `null`.
    pub fn string_or_null(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.string(text),
            None => self.raw("null"),
        }
    }

    /// A whole number.
    pub fn int(&mut self, value: i64) -> &mut Self {
        let mut digits = [0u8; 20];
        let mut at = digits.len();
        let mut rest = value.unsigned_abs();
        loop {
            at -= 1;
            if let Some(digit) = digits.get_mut(at) {
                *digit = b'0' + (rest % 10) as u8;
            }
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if value < 0 {
            self.0.push(b'-');
        }
        self.0.extend_from_slice(digits.get(at..).unwrap_or_default());
        self
    }

    /// A double in Java's spelling; what JSON has no number for is quoted.
    pub fn double(&mut self, value: f64) -> &mut Self {
        if value == 1.0 {
            return self.raw("1.0");
        }
        let text = java::double_text(value);
        if value.is_finite() { self.raw(&text) } else { self.string(&text) }
    }

    /// A float in Java's spelling.
    pub fn float(&mut self, value: f32) -> &mut Self {
        let text = java::float_text(value);
        if value.is_finite() { self.raw(&text) } else { self.string(&text) }
    }

    /// `true` or `false`.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.raw(if value { "true" } else { "false" })
    }

    /// An object of strings.
    pub fn metadata(&mut self, metadata: &Metadata) -> &mut Self {
        self.raw("{");
        for (at, (name, value)) in metadata.iter().enumerate() {
            if at > 0 {
                self.raw(",");
            }
            self.string(name).raw(":").string(value);
        }
        self.raw("}")
    }

    /// An object of strings, or `null`.
    pub fn metadata_or_null(&mut self, metadata: Option<&Metadata>) -> &mut Self {
        match metadata {
            Some(metadata) => self.metadata(metadata),
            None => self.raw("null"),
        }
    }

    /// Items with commas between, in brackets.
    pub fn array<T>(&mut self, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Self, T)) -> &mut Self {
        self.raw("[");
        for (at, item) in items.into_iter().enumerate() {
            if at > 0 {
                self.raw(",");
            }
            write(self, item);
        }
        self.raw("]")
    }

    /// The finished text.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// What Jackson says of a text it cannot read, for the two commonest mistakes; otherwise a sentence of our own, since
/// those texts follow the version of Jackson and not Nacos.
pub fn jackson_message(text: &str) -> String {
    let at = |column: usize| format!("\n at [Source: (String)\"{text}\"; line: 1, column: {column}]");
    let token: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == '$').collect();
    if token.chars().next().is_some_and(char::is_alphabetic) {
        let column = token.chars().count() + 1;
        return format!(
            "Unrecognized token '{token}': was expecting (JSON String, Number, Array, Object or token 'null', 'true' \
             or 'false'){}",
            at(column)
        );
    }
    match text.strip_prefix('{').and_then(|rest| rest.chars().next()) {
        Some(c) if c != '"' && c != '}' && !c.is_whitespace() => format!(
            "Unexpected character ('{c}' (code {})): was expecting double-quote to start field name{}",
            c as u32,
            at(3)
        ),
        _ => "not a JSON text of the expected form".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        let mut json = JsonBuffer::new();
        json.string("a/\"\\\n\u{1}键😀").raw(",").int(i64::MIN).raw(",").double(f64::NAN).raw(",").double(10000.0);
        json.raw(",").float(0.7);
        assert_eq!(
            String::from_utf8(json.into_bytes()).unwrap(),
            "\"a/\\\"\\\\\\n\\u0001键\\uD83D\\uDE00\",-9223372036854775808,\"NaN\",10000.0,0.7"
        );
    }
}
