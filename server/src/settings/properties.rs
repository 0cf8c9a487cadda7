//! The syntax of a Java `.properties` file, as `java.util.Properties` and Spring read it: comments, `=`/`:`/blank
//! separators, continuation lines and escapes.

/// One assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// Key, escapes resolved.
    pub key: String,
    /// Value, escapes resolved, placeholders not.
    pub value: String,
    /// Line the assignment starts on, from 1.
    pub line: usize,
}

/// What cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct SyntaxError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

/// All assignments in order; a key may come more than once, the last one counts.
///
/// # Errors
/// Only a malformed `\uXXXX` is an error, as in Java.
pub fn parse(text: &str) -> Result<Vec<Property>, SyntaxError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut properties = Vec::new();
    let mut lines = natural_lines(text).into_iter().enumerate();
    while let Some((number, first)) = lines.next() {
        let first = first.trim_start_matches(is_blank);
        if first.is_empty() || first.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = first.to_owned();
        while ends_with_open_escape(&logical) {
            logical.pop();
            match lines.next() {
                Some((_, next)) => logical.push_str(next.trim_start_matches(is_blank)),
                None => break,
            }
        }
        let (key, value) = split(&logical);
        let unescape = |raw| unescape(raw).map_err(|what| SyntaxError { line: number + 1, what });
        properties.push(Property { key: unescape(key)?, value: unescape(value)?, line: number + 1 });
    }
    Ok(properties)
}

/// Lines end with `\n`, `\r` or `\r\n`.
fn natural_lines(text: &str) -> Vec<&str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r')).collect()
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

/// An odd number of backslashes at the end continues the line.
fn ends_with_open_escape(line: &str) -> bool {
    line.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1
}

/// The key ends at the first unescaped blank, `=` or `:`; blanks around one separator are dropped.
fn split(logical: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = logical
        .char_indices()
        .find(|(_, c)| {
            let ends = !escaped && (is_blank(*c) || matches!(c, '=' | ':'));
            escaped = *c == '\\' && !escaped;
            ends
        })
        .map_or(logical.len(), |(index, _)| index);
    let (key, rest) = logical.split_at(end);
    let rest = rest.trim_start_matches(is_blank);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, rest.trim_start_matches(is_blank))
}

fn unescape(raw: &str) -> Result<String, String> {
    let mut units: Vec<u16> = Vec::with_capacity(raw.len());
    let mut push = |c: char| units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
    let mut rest = raw.chars();
    let mut codes: Vec<(usize, u16)> = Vec::new();
    let mut length = 0usize;
    while let Some(c) = rest.next() {
        let plain = match c {
            '\\' => match rest.next() {
                Some('u') => {
                    let digits: String = rest.by_ref().take(4).collect();
                    let code = u16::from_str_radix(&digits, 16)
                        .ok()
                        .filter(|_| digits.len() == 4 && !digits.starts_with('+'))
                        .ok_or_else(|| format!("`\\u{digits}` is not a character: four hex digits must follow"))?;
                    codes.push((length, code));
                    push('\0');
                    length += 1;
                    continue;
                }
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some(other) => other,
                None => break,
            },
            other => other,
        };
        length += plain.len_utf16();
        push(plain);
    }
    // Surrogate halves written one by one must meet before they are text again.
    for (at, code) in codes {
        if let Some(unit) = units.get_mut(at) {
            *unit = code;
        }
    }
    Ok(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap().into_iter().map(|p| (p.key, p.value)).collect()
    }

    #[test]
    fn reads_what_java_reads() {
        for (text, key, value) in [
            ("a=b", "a", "b"),
            ("a = b ", "a", "b "),
            ("a:b", "a", "b"),
            ("a b", "a", "b"),
            ("a  =  b=c", "a", "b=c"),
            ("a : = b", "a", "= b"),
            ("a", "a", ""),
            ("  a=\tb", "a", "b"),
            ("a\\ b=c", "a b", "c"),
            ("a\\=b=c", "a=b", "c"),
            ("a\\:b:c", "a:b", "c"),
            ("a=one,\\\n   two", "a", "one,two"),
            ("a=one\\\r\n\ttwo", "a", "onetwo"),
            ("a=x\\\\", "a", "x\\"),
            ("a=x\\\\\nb", "a", "x\\"),
            ("a=\\t\\n\\q", "a", "\t\nq"),
            ("a=\\u4e2d", "a", "中"),
            ("a=x\\uD83D\\uDE00y", "a", "x😀y"),
            ("a=😀\\u0041", "a", "😀A"),
            ("\u{feff}a=b", "a", "b"),
            ("a=b\\", "a", "b"),
            ("a=${X:y}", "a", "${X:y}"),
            ("ключ=значение", "ключ", "значение"),
        ] {
            assert_eq!(pairs(text).first(), Some(&(key.to_owned(), value.to_owned())), "{text:?}");
        }
    }

    #[test]
    fn skips_comments_and_counts_lines() {
        let read = parse("# one\n\n! two\n   # three\na=1\r\nb=2\\\n 3\nc=4").unwrap();
        let seen: Vec<_> = read.iter().map(|p| (p.key.as_str(), p.value.as_str(), p.line)).collect();
        assert_eq!(seen, [("a", "1", 5), ("b", "23", 6), ("c", "4", 8)]);
    }

    #[test]
    fn comment_lines_do_not_continue() {
        assert_eq!(pairs("#a=b\\\nc=d"), [("c".to_owned(), "d".to_owned())]);
    }

    #[test]
    fn a_bad_unicode_escape_names_its_line() {
        for text in ["ok=1\na=\\u12", "ok=1\na=\\u+123", "ok=1\na=\\uzzzz"] {
            assert_eq!(parse(text).unwrap_err().line, 2, "{text}");
        }
    }
}
