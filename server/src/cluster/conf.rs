//! The grammar of `cluster.conf`, of `nacos.member.list` and of an address server's list
//! (compat/spec/membership.md §2.1).

use std::net::Ipv4Addr;

use time::OffsetDateTime;
use time::macros::format_description;

/// Port of an entry that names none; this node's own port plays no part.
pub const DEFAULT_PORT: u16 = 8848;

/// One entry of a member list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Address or host name as written; an IPv6 address with its brackets.
    pub host: String,
    /// HTTP port.
    pub port: u16,
}

/// What is wrong with a list. One bad entry rejects all of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages, which are the official ones, say it")]
pub enum ConfError {
    #[error("ip and port string cannot be empty!")]
    Blank,
    #[error("The IPv6 address(\"{0}\") is incorrect.")]
    Ipv6(String),
    #[error("The IPv4 address(\"{0}\") is incorrect.")]
    Ipv4(String),
    #[error("The IP address(\"{0}\") is incorrect. If it is an IPv6 address, please use [] to enclose the IP part!")]
    Colons(String),
    #[error("For input string: \"{0}\"")]
    Port(String),
}

/// Entries of a whole text, in order.
///
/// # Errors
/// The first bad entry.
pub fn parse(text: &str) -> Result<Vec<Entry>, ConfError> {
    let mut entries = Vec::new();
    for raw in text.lines() {
        let mut line = raw.trim();
        // Official nodes skip a line that is truly empty and stumble over one of blanks.
        if raw.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some((before, _)) = line.split_once('#') {
            line = before.trim();
        }
        match line.find(',') {
            Some(index) if index > 0 => {
                // Java's split drops empty parts at the end.
                for part in line.trim_end_matches(',').split(',') {
                    entries.push(parse_entry(part)?);
                }
            }
            _ => entries.push(parse_entry(line)?),
        }
    }
    Ok(entries)
}

/// Entries of `nacos.member.list`: comma-separated, trimmed.
///
/// # Errors
/// The first bad entry.
pub fn parse_list(list: &str) -> Result<Vec<Entry>, ConfError> {
    list.trim_end_matches(',').split(',').map(|item| parse_entry(item.trim())).collect()
}

/// `host[:port]`.
///
/// # Errors
/// What is wrong with it. A host name is not looked up here; see [`unresolved`].
pub fn parse_entry(text: &str) -> Result<Entry, ConfError> {
    if text.trim().is_empty() {
        return Err(ConfError::Blank);
    }
    if text.starts_with('[')
        && let Some(end) = text.find(']')
    {
        let (host, rest) = text.split_at(end + 1);
        let inner = host.trim_start_matches('[').trim_end_matches(']');
        if inner.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(ConfError::Ipv6(host.to_owned()));
        }
        // Whatever stands between bracket and port is skipped unseen, as long as it is one character.
        let port = match rest.char_indices().nth(1) {
            _ if rest.is_empty() => DEFAULT_PORT,
            Some((index, _)) => parse_port(rest.get(index..).unwrap_or_default())?,
            None => parse_port("")?,
        };
        return Ok(Entry { host: host.to_owned(), port });
    }
    let parts: Vec<_> = text.trim_end_matches(':').split(':').collect();
    match parts.as_slice() {
        ["", ..] => Err(ConfError::Ipv4(String::new())),
        [host] => Ok(Entry { host: (*host).to_owned(), port: DEFAULT_PORT }),
        [host, port] => Ok(Entry { host: (*host).to_owned(), port: parse_port(port)? }),
        _ => Err(ConfError::Colons(text.to_owned())),
    }
}

/// Java takes any int; beyond 65535 nothing could be reached, so that is an error here.
fn parse_port(text: &str) -> Result<u16, ConfError> {
    text.parse().map_err(|_| ConfError::Port(text.to_owned()))
}

/// The first entry whose host does not resolve to an IPv4 address right now.
pub async fn unresolved(entries: &[Entry]) -> Option<ConfError> {
    for entry in entries {
        if entry.host.starts_with('[') || entry.host.parse::<Ipv4Addr>().is_ok() {
            continue;
        }
        let found = tokio::net::lookup_host((entry.host.as_str(), entry.port)).await;
        if !found.is_ok_and(|mut addresses| addresses.any(|address| address.is_ipv4())) {
            return Some(ConfError::Ipv4(entry.host.clone()));
        }
    }
    None
}

/// The text official nodes write back: the time as a comment, then the sorted addresses.
pub fn render(addresses: &[String], now: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:9]");
    let mut text = format!("#{}\n", now.format(format).unwrap_or_default());
    for address in addresses {
        text.push_str(address);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, String> {
        let entries = parse(text).map_err(|error| error.to_string())?;
        Ok(entries.into_iter().map(|entry| format!("{}:{}", entry.host, entry.port)).collect())
    }

    #[test]
    fn grammar() {
        // compat/spec/membership.md §2.1, M14
        for (text, expected) in [
            ("127.0.0.1:9201\n127.0.0.1:9202\n", vec!["127.0.0.1:9201", "127.0.0.1:9202"]),
            ("# comment\n#127.0.0.1:1\n127.0.0.1:2\r\n", vec!["127.0.0.1:2"]),
            ("127.0.0.1:1 # inline\n\n  127.0.0.1:2  ", vec!["127.0.0.1:1", "127.0.0.1:2"]),
            ("127.0.0.1:1,127.0.0.1:2,localhost:3", vec!["127.0.0.1:1", "127.0.0.1:2", "localhost:3"]),
            ("127.0.0.1", vec!["127.0.0.1:8848"]),
            ("[::1]\n[fe80::1]:9", vec!["[::1]:8848", "[fe80::1]:9"]),
            // A comma at the very beginning separates nothing; the name then does not resolve.
            (",127.0.0.1:1", vec![",127.0.0.1:1"]),
            ("", vec![]),
            ("\n\n", vec![]),
            ("#2026-11-21T01:29:32.054178952\n127.0.0.1:1\n", vec!["127.0.0.1:1"]),
        ] {
            assert_eq!(read(text).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn one_bad_entry_rejects_the_list() {
        for (text, error) in [
            ("127.0.0.1:1\n   \n", "ip and port string cannot be empty!"),
            ("127.0.0.1:1\n::1", "The IPv4 address(\"\") is incorrect."),
            (
                "1:2:3",
                "The IP address(\"1:2:3\") is incorrect. If it is an IPv6 address, please use [] to enclose the IP part!",
            ),
            ("127.0.0.1:x", "For input string: \"x\""),
            ("127.0.0.1:70000", "For input string: \"70000\""),
            ("127.0.0.1:1, 127.0.0.1:2,,x", "ip and port string cannot be empty!"),
            ("192.168.16.101:8847?raft_port=8807", "For input string: \"8847?raft_port=8807\""),
            ("[::zz]:1", "The IPv6 address(\"[::zz]\") is incorrect."),
        ] {
            let found = read(text).unwrap_err();
            assert!(found.contains(error), "{text:?}: {found}");
        }
    }

    #[tokio::test]
    async fn names_must_resolve() {
        assert_eq!(unresolved(&parse("localhost:1\n127.0.0.1:2\n[::1]:3").unwrap()).await, None);
        let bad = unresolved(&parse("nohost-xyz.invalid:1").unwrap()).await;
        assert_eq!(bad.unwrap().to_string(), "The IPv4 address(\"nohost-xyz.invalid\") is incorrect.");
    }

    #[test]
    fn written_back_like_the_official_node() {
        let at = time::macros::datetime!(2026-11-21 01:29:32.054178952 UTC);
        let text = render(&["127.0.0.1:9201".to_owned(), "127.0.0.1:9202".to_owned()], at);
        assert_eq!(text, "#2026-11-21T01:29:32.054178952\n127.0.0.1:9201\n127.0.0.1:9202\n");
    }
}
