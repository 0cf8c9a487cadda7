//! Every property key this node knows: honoured, or known to official nodes and without effect here.

/// What a key does here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Has its official effect; the text is the line in `--help`.
    Honoured(&'static str),
    /// Accepted without effect; the text says why.
    Ignored(&'static str),
}

use Use::{Honoured, Ignored};

const CONFIG: &str = "the configuration service is not offered yet";
const CONSENSUS: &str = "the consensus of this node needs no such setting";
const AUTH: &str = "only read when authentication is enabled, which is not offered yet";
const AT_ONCE: &str = "changes are sent at once";
const JVM: &str = "concerns the Java runtime";
const MODULE: &str = "belongs to a module this node does not have";

/// Keys in the order of `--help`. A name ending in `.` or `[` stands for all keys that begin with it.
pub const KEYS: &[(&str, Use)] = &[
    ("server.port", Honoured("HTTP port [8848]")),
    ("server.address", Honoured("address to listen on [all]")),
    ("server.servlet.context-path", Honoured("context path, also written contextPath [/nacos]")),
    ("nacos.home", Honoured("directory with conf/ and data/ [~/nacos]")),
    ("nacos.standalone", Honoured("one node alone, no members [false]")),
    ("nacos.functionMode", Honoured("all or naming [all]")),
    ("nacos.server.ip", Honoured("this node's address as its peers write it")),
    ("nacos.inetutils.ip-address", Honoured("the same, lower priority")),
    ("nacos.inetutils.prefer-hostname-over-ip", Honoured("go by the host name [false]")),
    ("nacos.preferHostnameOverIp", Honoured("the same [false]")),
    ("nacos.inetutils.use-only-site-local-interfaces", Honoured("only private IPv4 addresses [false]")),
    ("nacos.inetutils.preferred-networks", Honoured("prefixes or expressions of addresses to choose from")),
    ("nacos.inetutils.preferred-networks[", Honoured("the same, one by one")),
    ("nacos.inetutils.ignored-interfaces", Honoured("expressions of interface names to leave out")),
    ("nacos.inetutils.ignored-interfaces[", Honoured("the same, one by one")),
    ("nacos.member.list", Honoured("members, comma-separated, while conf/cluster.conf does not exist")),
    ("nacos.core.member.lookup.type", Honoured("file or address-server [file if there is a list]")),
    ("nacos.core.member.fail-access-cnt", Honoured("failed reports after which a member is DOWN [3]")),
    ("nacos.core.address-server.retry", Honoured("attempts at start [5]")),
    ("address.server.domain", Honoured("address server, host")),
    ("address.server.port", Honoured("address server, port [8080]")),
    ("address.server.url", Honoured("address server, path [CONTEXT/serverlist]")),
    ("maxHealthCheckFailCount", Honoured("failed polls until the address server is called unhealthy [12]")),
    ("nacos.http.timeout", Honoured("timeout between members, ms; reading gets half [5000]")),
    ("nacos.naming.expireInstance", Honoured("remove instances without beats [true]")),
    ("nacos.naming.empty-service.auto-clean", Honoured("remove empty services [true]")),
    ("nacos.naming.empty-service.clean.initial-delay-ms", Honoured("first look for them, ms [50000]")),
    ("nacos.naming.empty-service.clean.period-time-ms", Honoured("time between looks, ms [30000]")),
    ("nacos.naming.data.warmup", Honoured("serve only after a peer's data was loaded [false]")),
    ("nacos.naming.distro.batchSyncKeyCount", Honoured("services per message to a peer [1000]")),
    ("nacos.naming.distro.syncRetryDelay", Honoured("longest wait before a failed push is tried again, ms [5000]")),
    ("nacos.naming.distro.loadDataRetryDelayMillis", Honoured("wait before loading is tried again, ms [30000]")),
    ("nacos.core.protocol.distro.data.verify_interval_ms", Honoured("time between checksums to peers, ms [5000]")),
    ("nacos.core.auth.enabled", Honoured("true is refused: authentication is not offered yet [false]")),
    ("nacos.core.auth.server.identity.key", Honoured("header that marks requests between members")),
    ("nacos.core.auth.server.identity.value", Honoured("its value")),
    ("management.endpoints.web.exposure.include", Honoured("* or prometheus opens /actuator/prometheus [health,info]")),
    ("management.endpoints.web.exposure.exclude", Honoured("closes endpoints again")),
    (
        "nacos.core.protocol.raft.data.snapshot_interval_secs",
        Honoured("time between snapshots of persistent data, s; 0: none [1800]"),
    ),
    (
        "nacos.core.protocol.raft.data.election_timeout_ms",
        Honoured("silence of the leader until another is elected; at least 5000 beside official members [5000]"),
    ),
    (
        "nacos.core.protocol.raft.data.rpc_request_timeout_ms",
        Honoured("wait for the leader's answer to a persistent write, ms [5000]"),
    ),
    (
        "tandem.peer.stream",
        Honoured("between Tandem nodes only what changed, and beats in batches; false: plain Distro [true]"),
    ),
    ("tandem.log.format", Honoured("text or json [text]")),
    ("tandem.log.level", Honoured("error, warn, info, debug, trace, or per module [info]")),
    ("nacos.naming.distro.taskDispatchPeriod", Ignored(AT_ONCE)),
    ("nacos.core.protocol.distro.data.", Ignored("the nacos.naming.distro keys win, as in official nodes")),
    ("nacos.core.protocol.raft.", Ignored(CONSENSUS)),
    ("nacos.naming.use-new-raft.first", Ignored(CONSENSUS)),
    ("nacos.core.auth.", Ignored(AUTH)),
    ("nacos.security.ignore.urls", Ignored(AUTH)),
    ("nacos.core.member.meta.", Ignored("official nodes drop them, too")),
    ("nacos.core.snowflake.worker-id", Ignored(CONFIG)),
    ("nacos.config.", Ignored(CONFIG)),
    ("nacos.cmdb.", Ignored(MODULE)),
    ("nacos.istio.", Ignored(MODULE)),
    ("nacos.console.", Ignored(MODULE)),
    ("nacos.core.notify.", Ignored(JVM)),
    ("nacos.core.inet.auto-refresh", Ignored("has no effect in official nodes either")),
    ("nacos.member-change-event.queue.size", Ignored(JVM)),
    ("nacos.watch-file.max-dirs", Ignored(JVM)),
    ("nacos.logging.", Ignored(JVM)),
    ("nacos.logs.path", Ignored("the log goes to standard output")),
    ("nacos.local.ip", Ignored(JVM)),
    ("nacos.mode", Ignored("official nodes set it themselves")),
    ("nacos.version", Ignored("official nodes set it themselves")),
];

/// What this node does with a key; `None` when nobody knows it.
pub fn usage(key: &str) -> Option<Use> {
    let exact = KEYS.iter().find(|(name, _)| *name == key);
    let family = || KEYS.iter().filter(|(name, _)| name.ends_with(['.', '['])).find(|(name, _)| key.starts_with(name));
    exact.or_else(family).map(|(_, usage)| *usage)
}

/// The key that a wrong one was most likely meant to be; nothing when none is near.
pub fn nearest(wrong: &str) -> Option<&'static str> {
    /// More slips than this make another key.
    const SLIPS_MAX: usize = 3;
    within(wrong, SLIPS_MAX)
}

/// The honoured key that one outside our own families was most likely meant to be. Spring has hundreds of keys of its
/// own that this node rightly leaves alone, so it takes a nearer miss.
pub fn nearest_honoured(wrong: &str) -> Option<&'static str> {
    within(wrong, 2).filter(|right| matches!(usage(right), Some(Honoured(_))))
}

fn within(wrong: &str, slips_max: usize) -> Option<&'static str> {
    let lower = wrong.to_lowercase();
    let exact_names = KEYS.iter().map(|(name, _)| *name).filter(|name| !name.ends_with(['.', '[']));
    exact_names
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name))
        .filter(|(slips, _)| *slips <= slips_max)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_leads_to_the_right_key() {
        assert_eq!(nearest("nacos.naming.expireinstance"), Some("nacos.naming.expireInstance"));
        assert_eq!(nearest("nacos.memebr.list"), Some("nacos.member.list"));
        assert_eq!(nearest("tandem.log.levle"), Some("tandem.log.level"));
        assert_eq!(nearest("nacos.something.else.entirely"), None);
        assert_eq!(nearest_honoured("server.prot"), Some("server.port"));
        assert_eq!(nearest_honoured("server.ssl.port"), None);
    }

    #[test]
    fn an_exact_key_wins_over_its_family() {
        assert!(matches!(usage("nacos.core.auth.enabled"), Some(Honoured(_))));
        assert_eq!(usage("nacos.core.auth.caching.enabled"), Some(Ignored(AUTH)));
        assert!(matches!(usage("nacos.inetutils.preferred-networks[3]"), Some(Honoured(_))));
        assert_eq!(usage("nacos.core.auth"), None);
        assert_eq!(usage("nacos.naming.expireinstance"), None);
    }
}
