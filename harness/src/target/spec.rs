//! The target grammar: what a person writes after `--target`.
//!
//! ```text
//! target  = group { "+" group }
//! group   = [ N "x" ] kind
//! kind    = "tandem" | "nacos" [ "@" VERSION ] | "docker:" IMAGE | "rnacos" [ "@" VERSION ] | "url:" URL{","URL}
//! ```
//! A [`TargetSpec`] says only what was written; whether this machine can start it is the launcher's business.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use thiserror::Error;

use crate::spelling;

/// Most nodes of one group: more would not fit a machine, and a typing slip must not start a thousand servers.
pub const GROUP_NODES_MAX: usize = 64;

/// One cluster to measure, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetSpec {
    /// Its groups in the order written; never empty.
    pub groups: Vec<Group>,
}

/// Some equal nodes of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// How many, at least one; always one for `url:`.
    pub count: usize,
    /// What each of them is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// This project's own server.
    Tandem,
    /// Real Nacos, of a version or of whichever the launcher takes by default.
    Nacos(Option<String>),
    /// A container of an image, `name[:tag]`.
    Docker(String),
    /// The other Nacos server in Rust, of a version or the launcher's default.
    Rnacos(Option<String>),
    /// Servers that somebody else runs; together one cluster.
    Url(Vec<String>),
}

/// Why a target could not be read; every variant prints as one sentence.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SpecError {
    /// Nothing between two `+`, or nothing at all.
    #[error("target {0:?} has an empty group; write for example `3xtandem` or `2xnacos+tandem`")]
    EmptyGroup(String),
    /// Not one of the kinds of the grammar.
    #[error(
        "{0:?} is no kind of target; the kinds are tandem, nacos[@VERSION], docker:IMAGE, rnacos[@VERSION], url:URL{hint}",
        hint = nearest_kind(.0)
    )]
    UnknownKind(String),
    /// A count of nought, or too large.
    #[error("{0:?} asks for {1} nodes; a group has 1 to {GROUP_NODES_MAX}")]
    Count(String, String),
    /// A count before `url:`.
    #[error("{0:?} puts a count before a URL; list the URLs instead: url:http://a:8848,http://b:8848")]
    CountedUrl(String),
    /// `@` without a version, or one with characters that no version has.
    #[error("{0:?} names no usable version after the @; write for example nacos@1.4.1")]
    Version(String),
    /// `docker:` without an image, or one with characters that no image reference has.
    #[error("{0:?} names no usable image; write for example docker:nacos/nacos-server:1.4.1")]
    Image(String),
    /// Not an `http://host[:port][/path]`.
    #[error("{0:?} is not a URL of the form http://host:port")]
    Url(String),
}

/// The kind that was most likely meant, with whatever stood behind the wrong one.
fn nearest_kind(text: &str) -> String {
    let at = text.find(['@', ':']).unwrap_or(text.len());
    let (word, rest) = text.split_at(at);
    match spelling::nearest(word, ["tandem", "nacos", "docker", "rnacos", "url"]) {
        Some(kind) => format!("; did you mean \"{kind}{rest}\"?"),
        None => String::new(),
    }
}

impl TargetSpec {
    /// Number of nodes of the whole cluster.
    pub fn node_count(&self) -> usize {
        self.groups.iter().map(|group| group.nodes()).sum()
    }

    /// The kind of each node, in node order; the kind of every node of a `url:` group is that group's.
    pub fn node_kinds(&self) -> impl Iterator<Item = &Kind> {
        self.groups.iter().flat_map(|group| std::iter::repeat_n(&group.kind, group.nodes()))
    }

    /// Whether every node is this project's own.
    pub fn is_all_tandem(&self) -> bool {
        self.groups.iter().all(|group| group.kind == Kind::Tandem)
    }

    /// Whether every node can be started as a process of this machine.
    pub fn is_of_processes(&self) -> bool {
        self.groups.iter().all(|group| matches!(group.kind, Kind::Tandem | Kind::Nacos(_)))
    }

    /// Whether every node is real Nacos started by us as a process.
    pub fn is_all_nacos(&self) -> bool {
        self.groups.iter().all(|group| matches!(group.kind, Kind::Nacos(_)))
    }
}

impl Group {
    fn nodes(&self) -> usize {
        match &self.kind {
            Kind::Url(urls) => urls.len(),
            _ => self.count,
        }
    }
}

// === impl FromStr ===

impl FromStr for TargetSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let text = text.trim();
        let groups = text
            .split('+')
            .map(|group| match group.trim() {
                "" => Err(SpecError::EmptyGroup(text.to_owned())),
                group => group.parse(),
            })
            .collect::<Result<Vec<Group>, _>>()?;
        Ok(Self { groups })
    }
}

impl FromStr for Group {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let (count, kind) = match split_count(text) {
            Some((digits, kind)) => (Some(parse_count(text, digits)?), kind),
            None => (None, text),
        };
        let kind: Kind = kind.parse()?;
        if count.is_some() && matches!(kind, Kind::Url(_)) {
            return Err(SpecError::CountedUrl(text.to_owned()));
        }
        Ok(Self { count: count.unwrap_or(1), kind })
    }
}

/// `3xnacos` → `("3", "nacos")`; nothing when the text does not begin with digits and an `x`.
fn split_count(text: &str) -> Option<(&str, &str)> {
    let (digits, kind) = text.split_once('x')?;
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some((digits, kind))
}

fn parse_count(text: &str, digits: &str) -> Result<usize, SpecError> {
    match digits.parse::<usize>() {
        Ok(count) if (1..=GROUP_NODES_MAX).contains(&count) => Ok(count),
        _ => Err(SpecError::Count(text.to_owned(), digits.to_owned())),
    }
}

impl FromStr for Kind {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        if let Some(image) = text.strip_prefix("docker:") {
            return parse_image(text, image).map(Self::Docker);
        }
        if let Some(urls) = text.strip_prefix("url:") {
            return urls.split(',').map(parse_url).collect::<Result<_, _>>().map(Self::Url);
        }
        let (name, version) = match text.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (text, None),
        };
        match (name, version) {
            ("tandem", None) => Ok(Self::Tandem),
            ("nacos", version) => parse_version(text, version).map(Self::Nacos),
            ("rnacos", version) => parse_version(text, version).map(Self::Rnacos),
            _ => Err(SpecError::UnknownKind(text.to_owned())),
        }
    }
}

fn parse_version(text: &str, version: Option<&str>) -> Result<Option<String>, SpecError> {
    match version {
        None => Ok(None),
        Some(version) if is_word(version, b".-_") => Ok(Some(version.to_owned())),
        Some(_) => Err(SpecError::Version(text.to_owned())),
    }
}

fn parse_image(text: &str, image: &str) -> Result<String, SpecError> {
    if is_word(image, b".-_/:@") { Ok(image.to_owned()) } else { Err(SpecError::Image(text.to_owned())) }
}

/// Letters, digits and the marks named, not beginning with a mark.
fn is_word(text: &str, marks: &[u8]) -> bool {
    text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || marks.contains(&byte))
}

/// Plain HTTP only: Nacos 1.x speaks nothing else.
fn parse_url(text: &str) -> Result<String, SpecError> {
    let wrong = || SpecError::Url(text.to_owned());
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let host = uri.host().unwrap_or_default();
    if uri.scheme_str() != Some("http") || host.is_empty() || uri.query().is_some() {
        return Err(wrong());
    }
    // `http::Uri` takes any digits for a port and remembers none when they do not fit.
    let named_port = uri.authority().is_some_and(|authority| authority.as_str().len() > host.len());
    if named_port && uri.port_u16().is_none_or(|port| port == 0) {
        return Err(wrong());
    }
    Ok(text.to_owned())
}

// === impl Display ===

impl fmt::Display for TargetSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, group) in self.groups.iter().enumerate() {
            if i > 0 {
                f.write_str("+")?;
            }
            group.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count > 1 {
            write!(f, "{}x", self.count)?;
        }
        self.kind.fmt(f)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tandem => f.write_str("tandem"),
            Self::Nacos(None) => f.write_str("nacos"),
            Self::Nacos(Some(version)) => write!(f, "nacos@{version}"),
            Self::Docker(image) => write!(f, "docker:{image}"),
            Self::Rnacos(None) => f.write_str("rnacos"),
            Self::Rnacos(Some(version)) => write!(f, "rnacos@{version}"),
            Self::Url(urls) => write!(f, "url:{}", urls.join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<TargetSpec, SpecError> {
        text.parse()
    }

    #[test]
    fn a_slip_in_the_kind_names_the_nearest() {
        for (wrong, right) in [("tandm", "tandem"), ("3xnacoss@1.4.1", "nacos@1.4.1"), ("dokcer:a/b:1", "docker:a/b:1")]
        {
            let error = wrong.parse::<TargetSpec>().unwrap_err().to_string();
            assert!(error.ends_with(&format!("; did you mean \"{right}\"?")), "{error}");
        }
        assert!(!"eureka".parse::<TargetSpec>().unwrap_err().to_string().contains("did you mean"));
    }

    #[test]
    fn reads_the_examples_of_the_design() {
        for (text, nodes) in [
            ("tandem", 1),
            ("3xtandem", 3),
            ("3xnacos@1.4.1", 3),
            ("2xnacos+tandem", 3),
            ("docker:nacos/nacos-server:1.4.1", 1),
            ("3xdocker:localhost:5000/nacos/nacos-server:v1.4.3", 3),
            ("rnacos@0.6.1", 1),
            ("url:http://10.0.0.1:8848", 1),
            ("url:http://10.0.0.1:8848/nacos,http://10.0.0.2:8848/nacos", 2),
        ] {
            let spec = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(spec.node_count(), nodes, "{text}");
            assert_eq!(spec.to_string(), text);
        }
        let mixed = parse("2xnacos@1.4.1+tandem").unwrap();
        let kinds: Vec<_> = mixed.node_kinds().cloned().collect();
        let nacos = Kind::Nacos(Some("1.4.1".into()));
        assert_eq!(kinds, [nacos.clone(), nacos, Kind::Tandem]);
        assert!(!mixed.is_all_tandem() && !mixed.is_all_nacos());
    }

    #[test]
    fn an_error_names_what_was_wrong() {
        for (text, expected) in [
            ("", SpecError::EmptyGroup(String::new())),
            ("tandem+", SpecError::EmptyGroup("tandem+".into())),
            ("eureka", SpecError::UnknownKind("eureka".into())),
            ("tandem@1", SpecError::UnknownKind("tandem@1".into())),
            ("0xtandem", SpecError::Count("0xtandem".into(), "0".into())),
            ("65xtandem", SpecError::Count("65xtandem".into(), "65".into())),
            ("99999999999999999999xnacos", {
                SpecError::Count("99999999999999999999xnacos".into(), "99999999999999999999".into())
            }),
            ("nacos@", SpecError::Version("nacos@".into())),
            ("nacos@../x", SpecError::Version("nacos@../x".into())),
            ("docker:", SpecError::Image("docker:".into())),
            ("docker:a b", SpecError::Image("docker:a b".into())),
            ("url:", SpecError::Url(String::new())),
            ("url:https://a:1", SpecError::Url("https://a:1".into())),
            ("url:http://a:99999", SpecError::Url("http://a:99999".into())),
            ("2xurl:http://a:1", SpecError::CountedUrl("2xurl:http://a:1".into())),
        ] {
            assert_eq!(parse(text), Err(expected.clone()), "{text}");
            assert!(!expected.to_string().contains('\n'));
        }
    }

    fn any_kind() -> impl Strategy<Value = Kind> {
        let version = || proptest::option::of("[0-9]{1,2}(\\.[0-9]{1,2}){0,3}(-[a-z]{1,5})?");
        prop_oneof![
            Just(Kind::Tandem),
            version().prop_map(Kind::Nacos),
            version().prop_map(Kind::Rnacos),
            "[a-z][a-z0-9]{0,8}(/[a-z][a-z0-9-]{0,8}){0,2}(:v?[0-9.]{1,6})?".prop_map(Kind::Docker),
            proptest::collection::vec("http://[a-z][a-z0-9.]{0,8}(:[1-9][0-9]{0,3})?(/[a-z]{1,6})?", 1..4)
                .prop_map(Kind::Url),
        ]
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(groups in proptest::collection::vec((1..=GROUP_NODES_MAX, any_kind()), 1..5)) {
            let groups = groups
                .into_iter()
                .map(|(count, kind)| Group { count: if matches!(kind, Kind::Url(_)) { 1 } else { count }, kind })
                .collect();
            let spec = TargetSpec { groups };
            prop_assert_eq!(parse(&spec.to_string()), Ok(spec));
        }

        #[test]
        fn no_text_panics_and_what_reads_prints_back(text in "([0-9]{0,3}x?)?(tandem|nacos|docker:|url:|http://)?\\PC{0,20}") {
            if let Ok(spec) = parse(&text) {
                prop_assert_eq!(parse(&spec.to_string()), Ok(spec));
            }
        }
    }
}
