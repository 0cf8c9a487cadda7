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
    let mask = capacity - 1;
    items.sort_by_cached_key(|item| {
        let hash = string_hash(key(item).borrow()) as u32;
        (hash ^ (hash >> 16)) as usize & mask
    });
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
}
