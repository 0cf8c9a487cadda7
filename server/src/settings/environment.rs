//! The environment variables of the official image (compat/spec/reference-targets.md §8), as property values.

use std::collections::BTreeSet;

use super::layers::{Layers, Origin, SettingsError, environment_names};
use super::{flags, keys};

/// Property name under which `NACOS_SERVERS` is kept; it exists as a variable only.
pub const SERVERS: &str = "NACOS_SERVERS";

enum Effect {
    /// Value of this key as it is.
    Key(&'static str),
    /// One of these words, each standing for a value of the key.
    Words(&'static str, &'static [(&'static str, &'static str)]),
    /// Handled by its own code.
    Own,
    /// Accepted without effect.
    Ignored(&'static str),
}

use Effect::{Ignored, Key, Own, Words};

const STORAGE: &str = "the configuration service is not offered yet";
const JVM: &str = "concerns the Java runtime";

const VARIABLES: &[(&str, Effect, &str)] = &[
    ("MODE", Words("nacos.standalone", &[("standalone", "true"), ("cluster", "false")]), "standalone or cluster"),
    (SERVERS, Own, "members, space-separated: written to conf/cluster.conf in cluster mode"),
    ("MEMBER_LIST", Key("nacos.member.list"), "members, comma-separated"),
    ("NACOS_SERVER_IP", Key("nacos.server.ip"), "this node's address"),
    (
        "PREFER_HOST_MODE",
        Words("nacos.preferHostnameOverIp", &[("hostname", "true"), ("ip", "false")]),
        "hostname or ip",
    ),
    ("NACOS_APPLICATION_PORT", Key("server.port"), "HTTP port"),
    ("SERVER_SERVLET_CONTEXTPATH", Key("server.servlet.context-path"), "context path"),
    ("FUNCTION_MODE", Key("nacos.functionMode"), "all or naming"),
    ("USE_ONLY_SITE_INTERFACES", Key("nacos.inetutils.use-only-site-local-interfaces"), "only private addresses"),
    ("PREFERRED_NETWORKS", Key("nacos.inetutils.preferred-networks"), "addresses to choose from"),
    ("IGNORED_INTERFACES", Key("nacos.inetutils.ignored-interfaces"), "interfaces to leave out"),
    ("NACOS_AUTH_ENABLE", Key("nacos.core.auth.enabled"), "true is refused: authentication is not offered yet"),
    ("NACOS_AUTH_SYSTEM_TYPE", Key("nacos.core.auth.system.type"), ""),
    ("NACOS_AUTH_TOKEN_EXPIRE_SECONDS", Key("nacos.core.auth.default.token.expire.seconds"), ""),
    ("NACOS_AUTH_TOKEN", Key("nacos.core.auth.default.token.secret.key"), ""),
    ("NACOS_AUTH_CACHE_ENABLE", Key("nacos.core.auth.caching.enabled"), ""),
    ("NACOS_AUTH_USER_AGENT_AUTH_WHITE_ENABLE", Key("nacos.core.auth.enable.userAgentAuthWhite"), ""),
    ("NACOS_AUTH_IDENTITY_KEY", Key("nacos.core.auth.server.identity.key"), "header that marks members' requests"),
    ("NACOS_AUTH_IDENTITY_VALUE", Key("nacos.core.auth.server.identity.value"), "its value"),
    ("address_server_domain", Key("address.server.domain"), "address server, host"),
    ("address_server_port", Key("address.server.port"), "address server, port"),
    ("address_server_url", Key("address.server.url"), "address server, path"),
    ("BASE_DIR", Key("nacos.home"), "directory with conf/ and data/"),
    ("JAVA_OPT_EXT", Own, "its --key=value and -Dkey=value words are honoured, the rest is ignored"),
    ("EMBEDDED_STORAGE", Ignored(STORAGE), ""),
    ("SPRING_DATASOURCE_PLATFORM", Ignored(STORAGE), ""),
    ("MYSQL_SERVICE_HOST", Ignored(STORAGE), ""),
    ("MYSQL_SERVICE_PORT", Ignored(STORAGE), ""),
    ("MYSQL_SERVICE_DB_NAME", Ignored(STORAGE), ""),
    ("MYSQL_SERVICE_USER", Ignored(STORAGE), ""),
    ("MYSQL_SERVICE_PASSWORD", Ignored(STORAGE), ""),
    ("MYSQL_SERVICE_DB_PARAM", Ignored(STORAGE), ""),
    ("MYSQL_DATABASE_NUM", Ignored(STORAGE), ""),
    ("JVM_XMS", Ignored(JVM), ""),
    ("JVM_XMX", Ignored(JVM), ""),
    ("JVM_XMN", Ignored(JVM), ""),
    ("JVM_MS", Ignored(JVM), ""),
    ("JVM_MMS", Ignored(JVM), ""),
    ("NACOS_DEBUG", Ignored(JVM), ""),
    ("TOMCAT_ACCESSLOG_ENABLED", Ignored("there is no access log"), ""),
];

/// Puts the variables over what the files said: first the image's own, then Spring's spelling of every honoured key
/// (`server.port` as `SERVER_PORT`).
///
/// # Errors
/// A variable that takes words and has another one.
pub fn apply(layers: &mut Layers) -> Result<(), SettingsError> {
    for (name, effect, _) in VARIABLES {
        let Some(value) = layers.environment(name).map(|value| value.trim().to_owned()) else { continue };
        let origin = Origin::Environment((*name).to_owned());
        match effect {
            Key(key) => layers.set(key, value, origin),
            Words(key, words) => match words.iter().find(|(word, _)| word.eq_ignore_ascii_case(&value)) {
                Some((_, meaning)) => layers.set(key, *meaning, origin),
                None => {
                    let right: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                    let right = right.join(" or ");
                    return Err(SettingsError(format!(
                        "the environment variable {name} is \"{value}\", but it must be {right}"
                    )));
                }
            },
            Own if *name == SERVERS => layers.set(SERVERS, value, origin),
            Own => {
                for (key, value) in value.split_whitespace().filter_map(extra_option) {
                    layers.set(key, value, origin.clone());
                }
            }
            Ignored(_) => {}
        }
    }
    for (key, usage) in keys::KEYS {
        if !matches!(usage, keys::Use::Honoured(_)) || key.ends_with('[') {
            continue;
        }
        // The dotted spelling is for placeholders; as a variable only the shell's spellings exist.
        for name in environment_names(key).into_iter().filter(|name| name.contains('_') && !name.contains('.')) {
            if let Some(value) = layers.environment(&name).map(str::to_owned) {
                layers.set(key, value, Origin::Environment(name));
            }
        }
    }
    Ok(())
}

/// A word of `JAVA_OPT_EXT`. The official image appends them behind its jar, where Spring reads those with two dashes.
fn extra_option(word: &str) -> Option<(&str, &str)> {
    flags::definition(word.strip_prefix("-D").or_else(|| word.strip_prefix("--"))?)
}

/// Variables that are set and have no effect here, with the reason.
pub fn ignored(layers: &Layers) -> Vec<(&'static str, &'static str)> {
    let of = |(name, effect, _): &(&'static str, Effect, &str)| match effect {
        Ignored(why) if layers.environment(name).is_some() => Some((*name, *why)),
        _ => None,
    };
    VARIABLES.iter().filter_map(of).collect()
}

/// Variables that nothing reads and that look like one of those that are read, with that one. An environment holds
/// much that concerns nobody here, so only near misses are told: two slips, or two letters swapped in a short name.
pub fn misspelt(layers: &Layers) -> Vec<(String, String)> {
    /// Shorter names have neighbours that mean something else: `MODE` and `NODE`.
    const LENGTH_FOR_SLIPS: usize = 8;
    const OWN_PREFIX: &str = "TANDEM_";
    let of_keys = keys::KEYS
        .iter()
        .filter(|(key, usage)| matches!(usage, keys::Use::Honoured(_)) && !key.ends_with('[') && key.contains('.'))
        .flat_map(|(key, _)| environment_names(key))
        .filter(|name| !name.contains('.'));
    let known: BTreeSet<String> = VARIABLES.iter().map(|(name, ..)| (*name).to_owned()).chain(of_keys).collect();
    let letters = |name: &str| {
        let mut letters: Vec<char> = name.chars().collect();
        letters.sort_unstable();
        letters
    };
    // Names of our own are also told when only their beginning was written: `TANDEM_LGO` for `TANDEM_LOG_FORMAT`.
    let slips = |name: &str, right: &str| {
        let parts = if name.starts_with(OWN_PREFIX) { name.split('_').count() } else { usize::MAX };
        let end = right.match_indices('_').nth(parts - 1).map_or(right.len(), |(at, _)| at);
        strsim::damerau_levenshtein(name, &right[..end]).min(strsim::damerau_levenshtein(name, right))
    };
    let meant = |name: &str| {
        let near = known.iter().map(|right| (slips(name, right), right));
        let (slips, right) = near.min_by_key(|(slips, _)| *slips)?;
        let is_near = match name.chars().count() {
            ..LENGTH_FOR_SLIPS => slips == 1 && letters(name) == letters(right),
            _ => slips <= 2,
        };
        is_near.then(|| right.clone())
    };
    let unknown = layers.environment_set().filter(|name| !known.contains(*name));
    unknown.filter_map(|name| Some((name.to_owned(), meant(name)?))).collect()
}

/// One variable as the reference shows it.
#[cfg(test)]
pub(super) struct Variable {
    pub(super) name: &'static str,
    /// The key it stands for, if just one.
    pub(super) key: Option<&'static str>,
    pub(super) help: &'static str,
    /// Why it has no effect.
    pub(super) ignored: Option<&'static str>,
}

/// The table for `docs/configuration.md`.
#[cfg(test)]
pub(super) fn table() -> impl Iterator<Item = Variable> {
    VARIABLES.iter().map(|(name, effect, help)| {
        let (key, ignored) = match effect {
            Key(key) | Words(key, _) => (Some(*key), None),
            Own => (None, None),
            Ignored(why) => (None, Some(*why)),
        };
        // Putting a value where nothing reads it has no effect either.
        let ignored = ignored.or_else(|| match key.and_then(keys::usage) {
            Some(keys::Use::Ignored(why)) => Some(why),
            _ => None,
        });
        Variable { name, key, help, ignored }
    })
}

/// The table for `--help`.
pub fn help() -> String {
    let line = |(name, effect, help): &(&str, Effect, &str)| match effect {
        Ignored(_) => None,
        Key(key) if help.is_empty() => Some(format!("  {name}: {key}\n")),
        _ => Some(format!("  {name}: {help}\n")),
    };
    let honoured: String = VARIABLES.iter().filter_map(line).collect();
    let ignored: Vec<_> =
        VARIABLES.iter().filter(|(_, effect, _)| matches!(effect, Ignored(_))).map(|(name, ..)| *name).collect();
    format!("{honoured}Accepted without effect: {}\n", ignored.join(", "))
}
