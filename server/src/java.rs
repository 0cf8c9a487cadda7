//! The few corners of the Java runtime that show on Nacos' wire: string hashes, hash-table order, number texts.

use std::borrow::Borrow;

/// `String.hashCode`: over UTF-16 code units, wrapping at 32 bits.
pub fn string_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// The order in which a Java `HashMap`/`HashSet` that was filled with `items` (and sized for them) iterates:
/// by bucket of the spread hash, ties in the order given. Observed on 95 of 95 multi-host answers
/// (compat/spec/naming-api.md §7).
///
/// `presized` is the case of a collection constructor (`new HashSet<>(list)`: capacity for `n / 0.75 + 1`, at least
/// 16); otherwise the table grew by doubling from 16 at a load of 0.75.
pub fn hash_order<T, K: Borrow<str>>(items: &mut [T], presized: bool, key: impl Fn(&T) -> K) {
    let n = items.len();
    let capacity = if presized {
        ((n as f64 / 0.75) as usize + 1).max(16).next_power_of_two()
    } else {
        let mut capacity = 16usize;
        while n * 4 > capacity * 3 {
            capacity *= 2;
        }
        capacity
    };
    items.sort_by_cached_key(|item| bucket(key(item).borrow(), capacity));
}

/// As [`hash_order`], for a table that starts with `capacity` places and doubles when three quarters are taken.
pub fn sized_hash_order<T>(items: &mut [T], mut capacity: usize, key: impl Fn(&T) -> String) {
    while items.len() * 4 > capacity * 3 {
        capacity *= 2;
    }
    items.sort_by_cached_key(|item| bucket(&key(item), capacity));
}

/// Where a Java hash table of this capacity (a power of two) keeps a text.
pub fn bucket(text: &str, capacity: usize) -> usize {
    let hash = string_hash(text) as u32;
    (hash ^ (hash >> 16)) as usize & (capacity - 1)
}

/// `Double.toString`: at least one fraction digit; plain between 10⁻³ and 10⁷, else `d.dddE±n`.
pub fn double_text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) {
        return with_fraction(format!("{value}"));
    }
    exponent_form(format!("{value:e}"))
}

/// `Float.toString`: as [`double_text`], with the digits a float needs.
pub fn float_text(value: f32) -> String {
    let magnitude = value.abs();
    if value.is_nan() || value.is_infinite() {
        return double_text(f64::from(value));
    }
    if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) {
        return with_fraction(format!("{value}"));
    }
    exponent_form(format!("{value:e}"))
}

fn with_fraction(text: String) -> String {
    if text.contains('.') { text } else { text + ".0" }
}

/// Rust's `1e7` / `1.5e-4` in Java's spelling `1.0E7` / `1.5E-4`.
fn exponent_form(text: String) -> String {
    match text.split_once('e') {
        Some((digits, exponent)) => format!("{}E{exponent}", with_fraction(digits.to_owned())),
        None => text,
    }
}

/// `String.trim`: drops everything up to U+0020 at both ends.
pub fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ')
}

/// `Character.isWhitespace`: no-break spaces are not.
pub fn is_whitespace(c: char) -> bool {
    matches!(c, '\u{1c}'..='\u{1f}')
        || (c.is_whitespace() && !matches!(c, '\u{a0}' | '\u{2007}' | '\u{202f}' | '\u{85}'))
}

/// `StringUtils.isBlank`.
pub fn is_blank(text: &str) -> bool {
    text.chars().all(is_whitespace)
}

/// `BooleanUtils.toBoolean`: everything else, `1` included, is false.
pub fn lang_bool(text: &str) -> bool {
    ["true", "yes", "on", "y", "t"].iter().any(|yes| text.eq_ignore_ascii_case(yes))
}

/// `Boolean.parseBoolean`.
pub fn parse_bool(text: &str) -> bool {
    text.eq_ignore_ascii_case("true")
}

/// A digit of any script, as `Character.digit` in radix 10 knows them: the decimal blocks start at multiples this
/// list names.
fn digit(c: char) -> Option<u32> {
    const ZEROS: [u32; 20] = [
        0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xe50, 0xed0, 0xf20,
        0x1040, 0x17e0, 0x1810, 0xff10,
    ];
    let code = c as u32;
    ZEROS.iter().find(|zero| (**zero..**zero + 10).contains(&code)).map(|zero| code - zero)
}

fn parse_whole(text: &str, min: i64, max: i64) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value = 0i64;
    for c in digits.chars() {
        value = value.checked_mul(10)?.checked_sub(i64::from(digit(c)?))?;
    }
    let value = if negative { value } else { value.checked_neg()? };
    (min..=max).contains(&value).then_some(value)
}

/// `Integer.parseInt`; the error is Java's message.
pub fn parse_int(text: &str) -> Result<i32, String> {
    parse_whole(text, i64::from(i32::MIN), i64::from(i32::MAX))
        .and_then(|value| i32::try_from(value).ok())
        .ok_or_else(|| format!("For input string: \"{text}\""))
}

/// `Long.parseLong`; the error is Java's message.
pub fn parse_long(text: &str) -> Result<i64, String> {
    parse_whole(text, i64::MIN, i64::MAX).ok_or_else(|| format!("For input string: \"{text}\""))
}

/// `Integer.decode`: also hexadecimal and octal.
pub fn decode_int(text: &str) -> Option<i32> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let hexadecimal = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")).or(digits.strip_prefix('#'));
    let value = match hexadecimal {
        Some(hex) => i64::from_str_radix(hex, 16).ok().filter(|_| !hex.starts_with(['+', '-']))?,
        None if digits.len() > 1 && digits.starts_with('0') => {
            i64::from_str_radix(digits, 8).ok().filter(|value| *value >= 0)?
        }
        None => parse_whole(digits, 0, i64::from(i32::MAX) + 1).filter(|_| !digits.starts_with(['+', '-']))?,
    };
    i32::try_from(if negative { -value } else { value }).ok()
}

/// `Double.parseDouble`: blanks around, `1d`, `0x1p3`, `NaN`, `Infinity`; the error is Java's message.
pub fn parse_double(text: &str) -> Result<f64, String> {
    let trimmed = trim(text);
    if trimmed.is_empty() {
        return Err("empty String".to_owned());
    }
    let error = || format!("For input string: \"{text}\"");
    let (sign, body) = match trimmed.as_bytes().first() {
        Some(b'-') => (-1.0, trimmed.get(1..).unwrap_or_default()),
        Some(b'+') => (1.0, trimmed.get(1..).unwrap_or_default()),
        _ => (1.0, trimmed),
    };
    match body {
        "NaN" => return Ok(f64::NAN),
        "Infinity" => return Ok(sign * f64::INFINITY),
        _ => {}
    }
    let body = body.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(body);
    if let Some(hex) = text_of_hex_float(body) {
        return hex.map(|value| sign * value).ok_or_else(error);
    }
    let plain =
        !body.is_empty() && body.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    if !plain || body.starts_with(['+', '-']) {
        return Err(error());
    }
    body.parse::<f64>().map(|value| sign * value).map_err(|_| error())
}

/// `Float.parseFloat`.
pub fn parse_float(text: &str) -> Result<f32, String> {
    parse_double(text).map(|value| value as f32)
}

/// `None` when it is no hexadecimal float, `Some(None)` when it is a malformed one.
fn text_of_hex_float(body: &str) -> Option<Option<f64>> {
    let rest = body.strip_prefix("0x").or_else(|| body.strip_prefix("0X"))?;
    Some((|| {
        let (digits, exponent) = rest.split_once(['p', 'P'])?;
        let exponent: i32 = exponent.parse().ok()?;
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let mut value = 0f64;
        for c in whole.chars().chain(fraction.chars()) {
            value = value * 16.0 + f64::from(c.to_digit(16)?);
        }
        let shift = exponent.checked_sub(4 * i32::try_from(fraction.len()).ok()?)?;
        Some(value * 2f64.powi(shift))
    })())
}

/// `String.split` on a literal: trailing empty parts are dropped; a text without the separator is itself one part.
pub fn split<'a>(text: &'a str, separator: &str) -> Vec<&'a str> {
    if text.is_empty() {
        return vec![text];
    }
    let mut parts: Vec<&str> = text.split(separator).collect();
    while parts.last().is_some_and(|part| part.is_empty()) {
        parts.pop();
    }
    parts
}

/// `URLEncoder.encode` in UTF-8: a blank becomes `+`, and of all signs only `.-*_` stay.
pub fn url_encode(text: &str) -> String {
    const CHANGED: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b' ');
    percent_encoding::utf8_percent_encode(text, CHANGED).to_string().replace(' ', "+")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn string_hash_equals_the_jvm() {
        // compat/spec/distro.md §4
        for (text, hash) in [
            ("DEFAULT_GROUP@@h1-a", -1251926434),
            ("DEFAULT_GROUP@@nacos.test.1", -301437168),
            ("DEFAULT_GROUP@@order-service", 490904149),
            ("g@@x", 3132081),
            ("polygenelubricants", i32::MIN),
            ("", 0),
            ("DEFAULT_GROUP@@服务", 1863218037),
            ("DEFAULT_GROUP@@😀", 1864151972),
        ] {
            assert_eq!(string_hash(text), hash, "{text}");
        }
    }

    #[test]
    fn doubles_print_like_java() {
        for (value, text) in [
            (1.0, "1.0"),
            (0.01, "0.01"),
            (100.25, "100.25"),
            (10000.0, "10000.0"),
            (1.0 / 3.0, "0.3333333333333333"),
            (5.0e-4, "5.0E-4"),
            (1.0e7, "1.0E7"),
            (-1.0, "-1.0"),
            (f64::NAN, "NaN"),
            (0.0, "0.0"),
        ] {
            assert_eq!(double_text(value), text);
        }
        assert_eq!(float_text(0.1), "0.1");
        assert_eq!(float_text(0.7), "0.7");
    }

    #[test]
    fn numbers_parse_like_java() {
        assert_eq!(parse_int("+80"), Ok(80));
        assert_eq!(parse_int("٨٠"), Ok(80));
        assert_eq!(parse_int("-2147483648"), Ok(i32::MIN));
        assert_eq!(parse_int("2147483648"), Err("For input string: \"2147483648\"".to_owned()));
        assert!(parse_int("").is_err() && parse_int("-").is_err() && parse_int("8 0").is_err());
        assert_eq!(parse_long("9223372036854775807"), Ok(i64::MAX));
        for (text, value) in [("1e3", 1000.0), ("1d", 1.0), ("0x1p3", 8.0), (" .5 ", 0.5), ("5.", 5.0), ("-1", -1.0)] {
            assert_eq!(parse_double(text), Ok(value), "{text}");
        }
        assert!(parse_double("NaN").is_ok_and(f64::is_nan));
        assert!(parse_double("inf").is_err() && parse_double("nan").is_err() && parse_double("1,5").is_err());
        assert_eq!(parse_double(" "), Err("empty String".to_owned()));
        assert_eq!(
            (decode_int("010"), decode_int("0x1F"), decode_int("-5"), decode_int("--5")),
            (Some(8), Some(31), Some(-5), None)
        );
    }

    #[test]
    fn split_drops_trailing_empties() {
        assert_eq!(split("g@@", "@@"), ["g"]);
        assert_eq!(split("@@x", "@@"), ["", "x"]);
        assert!(split("@@", "@@").is_empty());
        assert_eq!(split("", "@@"), [""]);
    }

    #[test]
    fn urls_are_encoded_as_java_does() {
        assert_eq!(url_encode("a b+c*~-_.é"), "a+b%2Bc*%7E-_.%C3%A9");
    }
}
