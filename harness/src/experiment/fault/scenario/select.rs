//! Nodes by what they are.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::spelling;

/// Which nodes a step is about. Resolved when the step is due, so `leader` is whoever leads then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// By position, from 0.
    Number(usize),
    /// Every node.
    All,
    /// Every node that no other selector of the step names; in `from` alone.
    Others,
    /// The leader of the group of persistent data.
    Leader,
    /// The first node, by position, that does not lead.
    Follower,
    /// Every node that does not lead.
    Followers,
    /// The one whose address sorts first.
    First,
    /// The one whose address sorts last.
    Last,
    /// The node that is responsible for this service of the load, counted from 0, while all are well.
    OwnerOf(u32),
    /// Any one, by the seed.
    Any,
    /// All of a kind: `tandem`, `nacos`, `docker`, `url`.
    Kind(String),
}

const WORDS: [&str; 8] = ["all", "others", "leader", "follower", "followers", "first", "last", "any"];
const KINDS: [&str; 4] = ["tandem", "nacos", "docker", "url"];

impl FromStr for Selector {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Some(service) = text.strip_prefix("owner-of:") {
            return match service.parse() {
                Ok(service) => Ok(Self::OwnerOf(service)),
                Err(_) => bail!("{text:?} names no service: write owner-of:0 for the first one of the load"),
            };
        }
        if let Some(kind) = text.strip_prefix("kind:") {
            if !KINDS.contains(&kind) {
                bail!("{text:?} is no kind of node{}", spelling::hint(kind, KINDS));
            }
            return Ok(Self::Kind(kind.to_owned()));
        }
        if let Ok(number) = text.parse() {
            return Ok(Self::Number(number));
        }
        Ok(match text {
            "all" => Self::All,
            "others" => Self::Others,
            "leader" => Self::Leader,
            "follower" => Self::Follower,
            "followers" => Self::Followers,
            "first" => Self::First,
            "last" => Self::Last,
            "any" => Self::Any,
            _ => bail!(
                "{text:?} selects no node{}",
                spelling::hint(text, WORDS.into_iter().chain(["owner-of:0", "kind:tandem"]))
            ),
        })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::All => f.write_str("all"),
            Self::Others => f.write_str("others"),
            Self::Leader => f.write_str("leader"),
            Self::Follower => f.write_str("follower"),
            Self::Followers => f.write_str("followers"),
            Self::First => f.write_str("first"),
            Self::Last => f.write_str("last"),
            Self::OwnerOf(service) => write!(f, "owner-of:{service}"),
            Self::Any => f.write_str("any"),
            Self::Kind(kind) => write!(f, "kind:{kind}"),
        }
    }
}

/// A number or a word.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(usize),
    Word(String),
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)
            .map_err(|_| D::Error::custom("a node is a number from 0 on, or a word in quotes such as \"leader\""))?;
        match written {
            Written::Number(number) => Ok(Self::Number(number)),
            Written::Word(word) => word.parse().map_err(D::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_reads_back() {
        for text in [
            "0",
            "12",
            "all",
            "others",
            "leader",
            "follower",
            "followers",
            "first",
            "last",
            "any",
            "owner-of:3",
            "kind:nacos",
        ] {
            assert_eq!(text.parse::<Selector>().unwrap().to_string(), text);
        }
        for (wrong, told) in [
            ("leadr", "\"leadr\" selects no node; did you mean \"leader\"?"),
            ("kind:tandm", "\"kind:tandm\" is no kind of node; did you mean \"tandem\"?"),
            ("owner-of:x", "\"owner-of:x\" names no service: write owner-of:0 for the first one of the load"),
        ] {
            assert_eq!(wrong.parse::<Selector>().unwrap_err().to_string(), told);
        }
    }
}
