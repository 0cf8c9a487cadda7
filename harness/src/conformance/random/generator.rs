//! Sequences of calls, made by proptest from a seed: the same seed and number give the same sequence.
//!
//! Left out, so that sequences can share one pair of servers: what `values` says, patches and updates
//! that are refused half-way (D3, D4), switches that cannot be put back (`masters`, `limitedUrlMap`), that change when
//! the server answers at all (`overriddenServerStatus`) or start what depends on time (`check`), and listings of all
//! namespaces.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::operation::Operation;
use super::values::{self, ANY, Naming, Pairs, WHOLE};

/// A call that can be made simpler.
pub type Tree = Box<dyn ValueTree<Value = Operation>>;

/// One sequence of a run may change switches of the whole server; it runs alone.
const GLOBAL_EVERY: u64 = 12;

/// A generated sequence.
pub struct Sequence {
    /// Its number within the run, from 0.
    pub number: u64,
    /// Its calls.
    pub trees: Vec<Tree>,
}

impl std::fmt::Debug for Sequence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sequence").field("number", &self.number).field("calls", &self.operations()).finish()
    }
}

impl Sequence {
    /// The sequence with this number of the run with this seed.
    pub fn generate(seed: u64, number: u64, length: usize) -> Self {
        let mut bytes = [0_u8; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[8..16].copy_from_slice(&number.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let calls = calls(number % GLOBAL_EVERY == GLOBAL_EVERY - 1);
        // A strategy fails only where a filter rejects too much, and there is none.
        let trees = (0..length).filter_map(|_| calls.new_tree(&mut runner).ok()).collect();
        Self { number, trees }
    }

    /// The calls as they stand.
    pub fn operations(&self) -> Vec<Operation> {
        self.trees.iter().map(|tree| tree.current()).collect()
    }
}

/// Which headers a call may carry.
#[derive(Clone, Copy)]
enum Agent {
    /// The kind of client makes no difference.
    Any,
    /// It does.
    Matters,
}

struct Call {
    method: &'static str,
    path: &'static str,
    agent: Agent,
    params: Vec<BoxedStrategy<Pairs>>,
}

fn call(method: &'static str, path: &'static str) -> Call {
    Call { method, path, agent: Agent::Any, params: Vec::new() }
}

impl Call {
    fn with(mut self, params: BoxedStrategy<Pairs>) -> Self {
        self.params.push(params);
        self
    }

    fn maybe(self, share: u32, name: &'static str, value: BoxedStrategy<String>) -> Self {
        self.with(values::maybe(share, name, value))
    }

    fn required(self, name: &'static str, value: BoxedStrategy<String>) -> Self {
        self.with(values::required(name, value))
    }

    fn by_agent(mut self) -> Self {
        self.agent = Agent::Matters;
        self
    }

    fn strategy(self) -> BoxedStrategy<Operation> {
        let Self { method, path, agent, params } = self;
        let form =
            if method == "GET" { Just(false).boxed() } else { prop_oneof![3 => Just(false), 1 => Just(true)].boxed() };
        let agent = match agent {
            Agent::Matters => values::agent(),
            Agent::Any => prop_oneof![19 => Just(None).boxed(), 1 => values::agent()].boxed(),
        };
        let more = prop_oneof![
            46 => Just(None),
            2 => select(vec!["application/json", "*/*", "text/html", "application/xml"]).prop_map(|it| Some(("Accept", it))),
            1 => Just(Some(("Origin", "http://example.com"))),
            1 => Just(Some(("Accept-Encoding", "gzip"))),
        ];
        // Instance calls have a second name (`compat/spec/naming-api.md` §15).
        let has_alias = path.starts_with("instance");
        let alias =
            if has_alias { prop_oneof![19 => Just(false), 1 => Just(true)].boxed() } else { Just(false).boxed() };
        (params, form, agent, more, alias)
            .prop_map(move |(params, form, agent, more, alias)| {
                let mut operation = Operation { method: method.to_owned(), form, ..Operation::default() };
                let path = if alias { path.replacen("instance", "api", 1) } else { path.to_owned() };
                operation.path = format!("/nacos/v1/ns/{path}");
                operation.params = params.into_iter().flatten().collect();
                let headers = agent.map(|it| ("User-Agent", it)).into_iter().chain(more);
                operation.headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
                operation
            })
            .boxed()
    }
}

/// What an instance is registered or replaced with.
fn instance(method: &'static str) -> BoxedStrategy<Operation> {
    call(method, "instance")
        .with(values::service(ANY))
        .with(values::address("clusterName"))
        .maybe(40, "weight", values::weight())
        .maybe(10, "enabled", values::boolean())
        .maybe(3, "enable", values::boolean())
        .maybe(15, "healthy", values::boolean())
        .maybe(25, "ephemeral", values::of(&["false", "true"], &["1", "abc", " FALSE "]))
        .maybe(40, "metadata", values::metadata())
        .maybe(5, "app", values::of(&["app1"], &["", "é"]))
        .by_agent()
        .strategy()
}

/// A patch that is refused changes nothing only when it asks for nothing else (D3).
fn patch() -> BoxedStrategy<Operation> {
    let call = || call("PATCH", "instance").with(values::service(WHOLE)).with(values::address("clusterName"));
    let good = call()
        .maybe(40, "weight", values::of(&["1", "0.5", "3", "0", "10000"], &["0.001", "1e3"]))
        .maybe(30, "enabled", values::boolean())
        .maybe(30, "healthy", values::boolean())
        .maybe(40, "metadata", values::of(&[r#"{"k":"p"}"#, "{}", r#"{"q":"1","k":"2"}"#], &["", " ", "a=1"]))
        .maybe(10, "app", values::of(&["app2"], &[]));
    let bad = call().maybe(50, "metadata", values::of(&["a", "{bad", "a=b=c"], &[]));
    let odd = call().maybe(50, "weight", values::of(&["abc", "1,5"], &[]));
    prop_oneof![92 => good.strategy(), 4 => bad.strategy(), 4 => odd.strategy()].boxed()
}

fn instances() -> Vec<(u32, BoxedStrategy<Operation>)> {
    let batch = |method| {
        call(method, "instance/metadata/batch")
            .with(values::service(ANY))
            .required("metadata", values::batch_metadata())
            .maybe(40, "consistencyType", values::of(&["ephemeral", "persist"], &["Ephemeral", "", "x"]))
            .maybe(70, "instances", values::batch_instances())
            .strategy()
    };
    let light = call("PUT", "instance/beat").with(values::service(WHOLE)).with(values::address("clusterName"));
    let full = call("PUT", "instance/beat").with(values::service(WHOLE)).required("beat", values::beat());
    let detail = call("GET", "instance").with(values::service(ANY)).with(values::address("clusterName"));
    let list = call("GET", "instance/list")
        .with(values::service(ANY))
        .maybe(30, "clusters", values::clusters())
        .maybe(25, "healthyOnly", values::boolean())
        .maybe(15, "udpPort", values::of(&["{udp_port}"], &["0", "x", "70000", "-1"]))
        .maybe(10, "clientIP", values::of(&["127.0.0.1"], &["", " "]))
        .maybe(5, "isCheck", values::boolean())
        .maybe(5, "app", values::of(&["a1"], &[]))
        .maybe(5, "env", values::of(&["e1"], &["", "é"]));
    let remove = call("DELETE", "instance")
        .with(values::service(ANY))
        .with(values::address("clusterName"))
        .maybe(25, "ephemeral", values::of(&["false", "true"], &["1", "abc"]))
        .maybe(3, "weight", values::weight());
    let statuses = prop_oneof![8 => Just("{tag}a##DEFAULT_GROUP@@s1"), 2 => Just("{tag}a##g1@@s1"), 1 => Just("{tag}-s1"),
        1 => Just("DEFAULT_GROUP@@{tag}-s1"), 1 => Just("{tag}a##DEFAULT_GROUP@@s2"), 1 => Just("")];
    let statuses = call("GET", "instance/statuses").required("key", statuses.prop_map(str::to_owned).boxed());
    vec![
        (14, instance("POST")),
        (6, instance("PUT")),
        (5, patch()),
        (7, remove.strategy()),
        (4, detail.strategy()),
        (10, list.by_agent().strategy()),
        (2, statuses.strategy()),
        (5, light.strategy()),
        (5, full.strategy()),
        (3, batch("PUT")),
        (2, batch("DELETE")),
    ]
}

/// The services of controllers that Spring binds: they are named once, without odd halves.
const BOUND: Naming = WHOLE;
/// Services as listings see them.
const LISTED: Naming = Naming { name: "serviceName", halves: false, public: false };

fn services() -> Vec<(u32, BoxedStrategy<Operation>)> {
    let namespace = || values::of(&["{tag}a", "{tag}b"], &["{tag}z"]);
    let known = || values::of(&["{tag}a"], &[]);
    let group = || values::of(&["DEFAULT_GROUP", "g1", "*"], &["", "G1", "DEFAULT", "nope"]);
    let create = call("POST", "service")
        .with(values::service(BOUND))
        .maybe(50, "protectThreshold", values::threshold(&["-1", "5", "abc", ""]))
        .maybe(30, "metadata", values::metadata())
        .maybe(20, "selector", values::selector());
    let update = call("PUT", "service")
        .with(values::service(BOUND))
        .required("protectThreshold", values::threshold(&["abc", "-1", "2"]))
        .maybe(40, "metadata", values::of(&[r#"{"k":"v"}"#, "{}", "a=1"], &[""]))
        .maybe(20, "selector", values::good_selector());
    let list = call("GET", "service/list")
        .required("pageNo", values::page())
        .required("pageSize", values::page())
        .with(values::always("namespaceId", namespace()))
        .maybe(40, "groupName", group())
        .maybe(
            10,
            "selector",
            values::of(
                &[
                    r#"{"type":"none"}"#,
                    r#"{"type":"label","expression":"SERVICE.metadata.k='v'"}"#,
                    r#"{"type":"label","expression":"INSTANCE.metadata.k = 'v'"}"#,
                ],
                &[r#"{"type":"x"}"#, ""],
            ),
        );
    let names = call("GET", "service/names")
        .with(values::always("namespaceId", known()))
        .maybe(40, "expr", values::of(&["s1", "g1", ".*"], &["~", ""]))
        .maybe(10, "responsibleOnly", values::of(&["true", "false"], &["1", "off"]));
    let subscribers = call("GET", "service/subscribers")
        .with(values::service(LISTED))
        .required("pageNo", values::page())
        .required("pageSize", values::page())
        .maybe(20, "aggregation", values::boolean());
    let bare = |method, path| call(method, path).with(values::service(BOUND));
    vec![
        (4, create.strategy()),
        (3, update.strategy()),
        (2, bare("DELETE", "service").strategy()),
        (3, bare("GET", "service").strategy()),
        (4, list.strategy()),
        (2, names.strategy()),
        (3, subscribers.strategy()),
        (1, bare("PUT", "service/checksum").strategy()),
    ]
}

fn settings() -> Vec<(u32, BoxedStrategy<Operation>)> {
    let namespace = || values::of(&["{tag}a", "{tag}b"], &["{tag}z"]);
    let cluster = call("PUT", "cluster")
        .with(values::service(BOUND))
        .required("clusterName", values::cluster())
        .required("checkPort", values::of(&["80", "8080", "{open_port}"], &["65536", ""]))
        .with(values::always("useInstancePort4Check", values::lang_boolean()))
        .with(values::always("healthChecker", values::checker()))
        .maybe(40, "metadata", values::of(&[r#"{"k":"v"}"#, "{}", "a=1"], &[""]));
    // Of a service that is not there, since what is refused half-way has changed the cluster already (D4).
    let refused = call("PUT", "cluster")
        .maybe(90, "serviceName", values::of(&["nope"], &[]))
        .maybe(90, "clusterName", values::cluster())
        .maybe(90, "checkPort", values::of(&["80"], &[]))
        .maybe(50, "useInstancePort4Check", values::of(&["true"], &[]))
        .maybe(50, "healthChecker", values::of(&["x"], &[]))
        .with(values::always("namespaceId", namespace()));
    let health = |path| {
        call("PUT", path)
            .with(values::service(WHOLE))
            .with(values::address("clusterName"))
            .maybe(90, "healthy", values::boolean())
            .maybe(10, "valid", values::boolean())
            .strategy()
    };
    let catalog = call("GET", "catalog/services")
        .required("pageNo", values::of(&["1", "2", "0"], &["-1", "x"]))
        .required("pageSize", values::of(&["10", "1", "2"], &["0", "-1"]))
        .with(values::always("namespaceId", namespace()))
        .maybe(30, "serviceNameParam", values::of(&["s1", "s", "x:y"], &["", ".", "S1"]))
        .maybe(20, "groupNameParam", values::of(&["g1", "DEFAULT"], &["", "G"]))
        .maybe(20, "instance", values::of(&["127.1.0.1", "127.2.0.1:80"], &["foo", "", "127.1.0.1:x"]))
        .maybe(20, "hasIpCount", values::of(&["true", "false"], &["1", "abc"]))
        .maybe(20, "withInstances", values::of(&["true", "false"], &["yes"]));
    let instances = call("GET", "catalog/instances")
        .with(values::service(BOUND))
        .required("clusterName", values::cluster())
        .required("pageNo", values::of(&["1", "2"], &["0", "-1", "x"]))
        .required("pageSize", values::of(&["10", "1"], &["0", "-1"]));
    vec![
        (4, cluster.strategy()),
        (1, refused.strategy()),
        (2, health("health")),
        (1, health("health/instance")),
        (3, catalog.strategy()),
        (2, call("GET", "catalog/service").with(values::service(BOUND)).strategy()),
        (3, instances.strategy()),
        (1, call("GET", "operator/distro/server").with(values::service(BOUND)).strategy()),
    ]
}

fn legacy() -> Vec<(u32, BoxedStrategy<Operation>)> {
    let dom = Naming { name: "dom", halves: false, public: true };
    let list =
        call("GET", "api/srvIPXT").with(values::service(dom)).maybe(30, "clusters", values::clusters()).by_agent();
    let beat = call("GET", "api/clientBeat").with(values::service(dom)).required("beat", values::beat());
    let nowhere = select(vec![
        ("GET", "instance/list/"),
        ("HEAD", "instance/list"),
        ("POST", "instance/beat"),
        ("OPTIONS", "instance"),
        ("GET", "instance/nope"),
        ("PATCH", "service"),
    ]);
    let nowhere = nowhere.prop_map(|(method, path)| Operation {
        method: method.to_owned(),
        path: format!("/nacos/v1/ns/{path}"),
        ..Operation::default()
    });
    let other = call("POST", "instance")
        .with(values::service(WHOLE))
        .with(values::address("cluster"))
        .required("_method", values::of(&["PUT", "DELETE", "put", "PATCH"], &["GET", "x"]));
    vec![
        (1, list.strategy()),
        (1, beat.strategy()),
        (1, nowhere.boxed()),
        (1, other.strategy()),
        (1, call("GET", "operator/switches").strategy()),
    ]
}

/// Switches that can be put back, and values for them.
fn switches() -> BoxedStrategy<Operation> {
    let set = |entry: &'static str, usual: &[&str], odd: &[&str]| {
        let value = prop_oneof![3 => values::of(usual, &[]), 1 => values::of(odd, &[])];
        value.prop_map(move |value| (entry, value)).boxed()
    };
    let entry = prop_oneof![
        set("clientBeatInterval", &["7000", "5000"], &["x", "0"]),
        set("defaultCacheMillis", &["5000", "3000"], &["999", "x"]),
        set("pushCacheMillis", &["20000", "10000"], &["9999", "x"]),
        set("lightBeatEnabled", &["false", "true"], &["0", "yes"]),
        set("defaultInstanceEphemeral", &["false", "true"], &["x", "TRUE"]),
        set("pushEnabled", &["false", "true"], &["x", "TRUE"]),
        set("autoChangeHealthCheckEnabled", &["false", "true"], &["x", "on"]),
        set("disableAddIP", &["true", "false"], &["x", "TRUE"]),
        set("sendBeatOnly", &["true", "false"], &["x", "TRUE"]),
        set("healthCheckTimes", &["5", "3"], &["x", "0"]),
        set("distroThreshold", &["0.5", "0.7"], &["0", "-1", "x"]),
        set("distro", &["false", "true"], &["x", "TRUE"]),
        set("pushVersion", &["java:1.5.0", "go:2.0.0", "java:0.1.0", "c:1.0.12"], &["php:1.0.0", "java:1", "java"]),
        set("serviceStatusSynchronizationPeriodMillis", &["6000", "5000"], &["4999", "x"]),
        set("serverStatusSynchronizationPeriodMillis", &["3000", "2000"], &["999", "x"]),
        set("distroServerExpiredMillis", &["20000", "10000"], &["x"]),
        set("nope", &["1"], &["x"]),
    ];
    let debug = prop_oneof![3 => Just(None), 2 => Just(Some("true")), 1 => Just(Some("false"))];
    (entry, debug)
        .prop_map(|((entry, value), debug)| {
            let mut operation =
                Operation::read("/nacos/v1/ns/operator/switches", &[("entry", entry), ("value", &value)]);
            operation.method = "PUT".to_owned();
            operation.params.extend(debug.map(|it| ("debug".to_owned(), it.to_owned())));
            operation
        })
        .boxed()
}

/// Any call; with `global` also switches.
fn calls(global: bool) -> BoxedStrategy<Operation> {
    let mut all: Vec<_> = instances().into_iter().chain(services()).chain(settings()).chain(legacy()).collect();
    if global {
        all.push((25, switches()));
    }
    prop::strategy::Union::new_weighted(all).boxed()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_sequence_and_another_gives_another() {
        let of = |seed, number| Sequence::generate(seed, number, 40).operations();
        assert_eq!(of(7, 3), of(7, 3));
        assert_ne!(of(7, 3), of(7, 4));
        assert_ne!(of(7, 3), of(8, 3));
        assert_eq!(of(7, 3).len(), 40);
    }

    #[test]
    fn every_kind_of_call_comes_up_and_nothing_that_damages_a_server() {
        let mut endpoints = BTreeSet::new();
        for number in 0..200 {
            for operation in Sequence::generate(1, number, 40).operations() {
                let value = |name: &str| operation.param(name).unwrap_or("-");
                if operation.path.ends_with("/cluster") {
                    assert!(
                        value("checkPort").parse::<u16>() != Ok(0) && value("healthChecker") != "null",
                        "{operation:?}"
                    );
                }
                assert!(operation.method != "POST" || !value("serviceName").ends_with("x@@"), "{operation:?}");
                assert_ne!(value("entry"), "overriddenServerStatus");
                endpoints.insert(operation.endpoint());
            }
        }
        for path in ["POST /nacos/v1/ns/instance", "PUT /nacos/v1/ns/api/beat", "PUT /nacos/v1/ns/operator/switches"] {
            assert!(endpoints.contains(path), "{path} is not in {endpoints:?}");
        }
        assert!(endpoints.len() > 35, "{endpoints:?}");
    }
}
