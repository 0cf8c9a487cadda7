//! Numbers and foreign text as people read them.

use crate::results::Host;

/// Stands for a figure that is not there.
pub(super) const NONE: &str = "–";

/// A value in its unit, three significant digits: `3.1 ms`, `2.05 s`, `412 MiB`, `12,300 /s`.
pub(super) fn value(value: f64, unit: &str) -> String {
    if !value.is_finite() {
        return NONE.to_owned();
    }
    match unit {
        "ms" => milliseconds(value),
        "bytes" => bytes(value),
        "1/s" => format!("{} /s", number(value)),
        "" => number(value),
        other => format!("{} {other}", number(value)),
    }
}

fn milliseconds(ms: f64) -> String {
    if ms.abs() >= 120_000.0 {
        format!("{} min", number(ms / 60_000.0))
    } else if ms.abs() >= 1_000.0 {
        format!("{} s", number(ms / 1_000.0))
    } else {
        format!("{} ms", number(ms))
    }
}

fn bytes(bytes: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut scaled = bytes;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if scaled.abs() < 1024.0 {
            break;
        }
        scaled /= 1024.0;
        unit = next;
    }
    format!("{} {unit}", number(scaled))
}

/// Three significant digits below a thousand, whole numbers with separators above.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() {
        return NONE.to_owned();
    }
    let size = value.abs();
    if size >= 999.5 {
        return grouped(value.round());
    }
    let decimals = if size >= 99.95 {
        0
    } else if size >= 9.995 {
        1
    } else if size >= 0.9995 {
        2
    } else {
        3
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A whole number with thousands separators.
pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn grouped(value: f64) -> String {
    let sign = if value < 0.0 { "-" } else { "" };
    // Figures beyond u64 do not occur; the cast saturates.
    format!("{sign}{}", count(value.abs() as u64))
}

/// A factor for prose and tables: two digits below ten, whole numbers above.
pub(super) fn factor(value: f64) -> String {
    if !value.is_finite() {
        return NONE.to_owned();
    }
    match value {
        v if v >= 99.5 => grouped(three_digits(v)),
        v if v >= 9.95 => format!("{v:.0}"),
        v if v >= 0.1 => format!("{v:.2}").trim_end_matches('0').trim_end_matches('.').to_owned(),
        v if v >= 1e-6 => {
            let decimals = (2.0 - v.log10().floor()) as usize;
            format!("{v:.decimals$}").trim_end_matches('0').to_owned()
        }
        v => format!("{v:.2e}"),
    }
}

/// Rounds to three significant digits, so that a factor does not claim more than its interval.
fn three_digits(value: f64) -> f64 {
    let scale = 10f64.powf(value.abs().log10().floor() - 2.0).max(1.0);
    (value / scale).round() * scale
}

/// A share of one as a percentage. Anything short of everything is never rounded up to `100 %`.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return NONE.to_owned();
    }
    let tenths = part.saturating_mul(1000) / whole;
    if tenths.is_multiple_of(10) { format!("{} %", tenths / 10) } else { format!("{}.{} %", tenths / 10, tenths % 10) }
}

/// Seconds as `48 s` or `7 min 3 s`.
pub(super) fn seconds(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return NONE.to_owned();
    }
    let whole = seconds.round() as u64;
    if whole < 120 { format!("{whole} s") } else { format!("{} min {} s", whole / 60, whole % 60) }
}

/// `2026-01-02 03:04 UTC` from `2026-01-02T03:04:05.678Z`; whatever has another form stays as it is.
pub(super) fn moment(rfc3339: &str) -> String {
    let shape = |at: usize, c: char| match at {
        4 | 7 => c == '-',
        10 => c == 'T',
        13 | 16 => c == ':',
        _ => c.is_ascii_digit(),
    };
    let usual = rfc3339.is_ascii() && rfc3339.ends_with('Z') && rfc3339.len() >= 20;
    match (rfc3339.get(..10), rfc3339.get(11..16)) {
        (Some(day), Some(minute)) if usual && rfc3339.chars().take(17).enumerate().all(|(at, c)| shape(at, c)) => {
            format!("{day} {minute} UTC")
        }
        _ => one_line(rfc3339, 60),
    }
}

/// `one case`, `3 cases`.
pub(super) fn plural(number: u64, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{} {many}", count(number)) }
}

/// Cuts after `limit` characters and says how much is missing.
pub(super) fn cut(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some((at, _)) => {
            let missing = text.get(at..).map_or(0, |rest| rest.chars().count());
            format!("{}… ({} more characters)", text.get(..at).unwrap_or_default(), count(missing as u64))
        }
    }
}

/// Makes control characters visible (`␀`, `␛`) and disarms those that reorder or hide text. Line breaks and tabs stay.
pub(super) fn visible(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}'),
            '\u{7f}' => '\u{2421}',
            '\u{80}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => '\u{fffd}',
            _ => c,
        })
        .collect()
}

/// `visible` on one line: what stands in a table cell or a list item.
pub fn one_line(text: &str, limit: usize) -> String {
    visible(&cut(text, limit)).replace(['\n', '\t'], " ")
}

/// The machine of a run in one line.
pub(super) fn host(host: &Host) -> String {
    format!(
        "{}, {}, {}, Linux {}",
        host.cpu,
        plural(host.cores as u64, "processor", "processors"),
        value(host.memory_bytes as f64, "bytes"),
        host.kernel
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_three_digits_and_a_fitting_unit() {
        assert_eq!(value(3.104, "ms"), "3.1 ms");
        assert_eq!(value(0.31, "ms"), "0.31 ms");
        assert_eq!(value(2050.0, "ms"), "2.05 s");
        assert_eq!(value(180_000.0, "ms"), "3 min");
        assert_eq!(value(432.0 * 1024.0 * 1024.0, "bytes"), "432 MiB");
        assert_eq!(value(12_300.4, "1/s"), "12,300 /s");
        assert_eq!(value(f64::NAN, "ms"), NONE);
        assert_eq!(value(0.0, "ms"), "0 ms");
    }

    #[test]
    fn moments_are_short_where_their_form_is_known() {
        assert_eq!(moment("2026-11-21T05:05:03.056189741Z"), "2026-11-21 05:05 UTC");
        assert_eq!(moment("yesterday\nor so"), "yesterday or so");
        assert_eq!(moment("2026-11-21T05:05:03+02:00"), "2026-11-21T05:05:03+02:00");
    }

    #[test]
    fn shares_never_round_up_to_everything() {
        assert_eq!(percent(1206, 1207), "99.9 %");
        assert_eq!(percent(9999, 10_000), "99.9 %");
        assert_eq!(percent(7, 7), "100 %");
        assert_eq!(percent(0, 0), NONE);
    }

    #[test]
    fn factors_claim_no_more_than_three_digits() {
        assert_eq!(factor(651.7), "652");
        assert_eq!(factor(12_345.0), "12,300");
        assert_eq!(factor(1.5), "1.5");
        assert_eq!(factor(0.001_54), "0.00154");
        assert_eq!(factor(0.0247), "0.0247");
        assert_eq!(factor(1e-9), "1.00e-9");
    }

    #[test]
    fn foreign_text_is_made_visible_and_bounded() {
        assert_eq!(visible("a\u{0}b\u{1b}[31m\u{202e}x"), "a␀b␛[31m\u{fffd}x");
        assert_eq!(cut("日本語テキスト", 3), "日本語… (4 more characters)");
        assert_eq!(one_line("a\nb", 10), "a b");
    }
}
