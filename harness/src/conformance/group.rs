//! Which group of parameters a case is about: the rows of the compatibility matrix below an endpoint.
//!
//! Derived from what the case sends, so that it cannot drift from the request. Parameters that name the object
//! (`serviceName`, `ip`, `port`) are in nearly every request; a case is about whatever it sends besides. Of several
//! groups the one higher in [`GROUPS`] wins: a register call with metadata in a form body is a case of form bodies.

use super::case::Case;

/// The agent that most cases send because they need some agent: it says nothing about the case.
const USUAL_AGENT: &str = "Nacos-Java-Client:v1.4.1";

/// Parameters by group, the more telling group first.
const GROUPS: &[(&str, &[&str])] = &[
    (ENCODING, &["encoding", "_method"]),
    (HEADERS, &[]),
    (AGENT, &[]),
    ("beat", &["beat"]),
    ("metadata", &["metadata", "instances", "consistencyType"]),
    ("selector", &["selector"]),
    ("health checker", &["healthChecker", "checkPort", "useInstancePort4Check"]),
    ("ephemeral or persistent", &["ephemeral"]),
    ("weight, health, enabled", &["weight", "healthy", "valid", "enabled", "enable", "marked", "protectThreshold"]),
    ("subscription", &["udpPort", "clientIP", "app", "tid"]),
    (
        "filters",
        &[
            "healthyOnly",
            "isCheck",
            "env",
            "expr",
            "responsibleOnly",
            "aggregation",
            "hasIpCount",
            "withInstances",
            "instance",
            "serviceNameParam",
            "groupNameParam",
            "onlyStatus",
            "detail",
            "reset",
        ],
    ),
    ("namespace, group, cluster", &["namespaceId", "groupName", "clusterName", "clusters", "cluster", "tenant"]),
    ("switches and commands", &["entry", "value", "debug", "logName", "logLevel", "action", "serverStatus"]),
    ("pages", &["pageNo", "pageSize"]),
    (NAME, &["serviceName", "ip", "port", "dom", "key"]),
];

/// Body, form, raw query, other ways to say the method.
const ENCODING: &str = "body and encoding";
/// Headers that HTTP itself knows.
const HEADERS: &str = "headers";
/// Which client asks.
const AGENT: &str = "client version";
/// What the object is called.
const NAME: &str = "name and address";
/// Parameters no version knows.
const UNKNOWN: &str = "unknown parameters";
/// A request without any parameter.
const NONE: &str = "no parameters";

/// Name of the group; the same for the same request.
pub fn group(case: &Case) -> &'static str {
    let raw = case.raw_query.as_deref().unwrap_or_default();
    let from_query = raw.split('&').filter_map(|pair| pair.split('=').next()).filter(|name| !name.is_empty());
    let names: Vec<&str> = case.params.keys().map(String::as_str).chain(from_query).collect();
    let has_header = |wanted: fn(&str, &str) -> bool| case.headers.iter().any(|(name, value)| wanted(name, value));
    let is_agent = |name: &str| name.eq_ignore_ascii_case("user-agent") || name.eq_ignore_ascii_case("client-version");
    let is_encoding =
        |name: &str| name.eq_ignore_ascii_case("content-type") || name.eq_ignore_ascii_case("x-http-method-override");
    let about = |group: &str, members: &[&str]| match group {
        ENCODING => {
            case.raw_query.is_some()
                || case.form
                || case.body.is_some()
                || case.headers.keys().any(|name| is_encoding(name))
                || names.iter().any(|name| members.contains(name))
        }
        HEADERS => case.headers.keys().any(|name| !is_agent(name) && !is_encoding(name)),
        AGENT => has_header(|name, value| {
            name.eq_ignore_ascii_case("client-version")
                || (name.eq_ignore_ascii_case("user-agent") && value != USUAL_AGENT)
        }),
        _ => names.iter().any(|name| members.contains(name)),
    };
    let telling = GROUPS.iter().filter(|(name, _)| *name != NAME).find(|(name, members)| about(name, members));
    let known = |name: &&str| GROUPS.iter().any(|(_, members)| members.contains(name));
    match telling {
        Some((name, _)) => name,
        None if names.is_empty() => NONE,
        None if names.iter().all(known) => NAME,
        None => UNKNOWN,
    }
}

/// Method and path template, as results name it.
pub fn endpoint(case: &Case) -> String {
    format!("{} {}", case.method, case.path.split('?').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(toml: &str) -> &'static str {
        let case = format!("id = \"X\"\nmethod = \"POST\"\npath = \"/nacos/v1/ns/instance\"\n{toml}");
        group(&toml::from_str(&case).expect("case"))
    }

    #[test]
    fn a_case_is_about_what_it_sends_besides_the_name() {
        assert_eq!(of(""), "no parameters");
        assert_eq!(of("params = { serviceName = \"s\", ip = \"1\", port = \"2\" }"), "name and address");
        assert_eq!(of("params = { serviceName = \"s\", weight = \"2\" }"), "weight, health, enabled");
        assert_eq!(of("params = { serviceName = \"s\", namespaceId = \"n\", metadata = \"{}\" }"), "metadata");
        assert_eq!(of("params = { serviceName = \"s\", nonsense = \"2\" }"), "unknown parameters");
        assert_eq!(
            of("params = { serviceName = \"s\", pageNo = \"1\", namespaceId = \"n\" }"),
            "namespace, group, cluster"
        );
    }

    #[test]
    fn how_it_is_sent_wins_over_what_is_sent() {
        assert_eq!(of("params = { serviceName = \"s\", weight = \"2\" }\nform = true"), "body and encoding");
        assert_eq!(of("raw_query = \"serviceName=%2\""), "body and encoding");
        assert_eq!(of("headers = { Accept = \"text/html\" }"), "headers");
        assert_eq!(of("headers = { User-Agent = \"curl\" }"), "client version");
        let usual = "headers = { User-Agent = \"Nacos-Java-Client:v1.4.1\" }\nparams = { serviceName = \"s\" }";
        assert_eq!(of(usual), "name and address", "the agent every list call sends");
    }
}
