//! The values parameters are drawn from: small sets, so that calls meet each other's services and instances, the
//! simplest first, because a value is shrunk towards the first of its set. A few in a hundred are odd: refused by the
//! real server, or accepted although one would not think so.
//!
//! Left out is what damages the real server for the sequences after it, or is kept different on purpose
//! (`compat/DIFFERENCES.md`): a service named `x@@` where it would be created (D7), `checkPort` that is zero or no
//! number (D5), `healthChecker=null` (D6), a beat without `ip` (D1), a `clientIP` that cannot be resolved (D9), one
//! address in two clusters of a service (B21), port 0 (N8), null values in metadata (N9).

use proptest::prelude::*;
use proptest::sample::select;

/// Parameters that belong together, in order.
pub(super) type Pairs = Vec<(String, String)>;

/// Share of odd values in a hundred.
const ODD: u32 = 4;

/// One of `usual`, rarely one of `odd`.
pub(super) fn of(usual: &[&str], odd: &[&str]) -> BoxedStrategy<String> {
    let owned = |values: &[&str]| values.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    if odd.is_empty() {
        return select(owned(usual)).boxed();
    }
    prop_oneof![100 - ODD => select(owned(usual)), ODD => select(owned(odd))].boxed()
}

/// A parameter that is there in `share` of a hundred calls.
pub(super) fn maybe(share: u32, name: &'static str, value: BoxedStrategy<String>) -> BoxedStrategy<Pairs> {
    let there = value.prop_map(move |it| vec![(name.to_owned(), it)]);
    if share >= 100 - ODD {
        return prop_oneof![share.min(99) => there, 100 - share.min(99) => Just(Vec::new())].boxed();
    }
    // The simpler of the two is its absence, so that what does not matter is shrunk away.
    prop_oneof![100 - share => Just(Vec::new()), share => there].boxed()
}

/// A parameter that is always there.
pub(super) fn always(name: &'static str, value: BoxedStrategy<String>) -> BoxedStrategy<Pairs> {
    value.prop_map(move |it| vec![(name.to_owned(), it)]).boxed()
}

/// A parameter that the call does not work without: absent only when oddities are wanted.
pub(super) fn required(name: &'static str, value: BoxedStrategy<String>) -> BoxedStrategy<Pairs> {
    maybe(99, name, value)
}

/// `B-lang` and `B-java` booleans (`compat/spec/naming-api.md` §1.1).
pub(super) fn boolean() -> BoxedStrategy<String> {
    of(&["true", "false"], &["1", "0", "yes", "no", "on", "off", "y", "T", " true ", "FALSE", "abc", ""])
}

/// As [`boolean`], never empty.
pub(super) fn lang_boolean() -> BoxedStrategy<String> {
    of(&["true", "false"], &["1", "0", "yes", "T", " true ", "abc"])
}

pub(super) fn weight() -> BoxedStrategy<String> {
    let odd = ["-1", "10001", "abc", "NaN", "1e3", "1d", " 2 ", "", "0x1p3", "1,5", "Infinity", "-0.0", "1.50"];
    of(&["1", "0.5", "3", "0", "0.001", "10000", "0.1"], &odd)
}

pub(super) fn metadata() -> BoxedStrategy<String> {
    let usual = [
        r#"{"k":"v"}"#,
        "{}",
        r#"{"k":"w","l":"1"}"#,
        "a=1",
        "a=1,b=2",
        r#"{"preserved.instance.id.generator":"snowflake"}"#,
        r#"{"preserved.heart.beat.interval":"3000","z":"1","a":"2"}"#,
        r#"{"preserved.heart.beat.timeout":"60000","preserved.ip.delete.timeout":"90000"}"#,
        r#"{"n":1.50,"b":true}"#,
        r#"{"u":"é😀<&\"\\/"}"#,
    ];
    let odd = [
        "a",
        "a=",
        "=b",
        "a=b=c",
        "a=1,,b=2",
        ",",
        "123",
        "[]",
        "{bad",
        "null",
        "",
        " ",
        r#"{"a":{"b":1}}"#,
        r#"{"a":"1"}x"#,
        r#"{"a":"1","a":"2"}"#,
        r#"{"preserved.heart.beat.interval":"x"}"#,
        " k = v ",
        "\"\"",
        r#"{"preserved.heart.beat.timeout":"x"}"#,
    ];
    of(&usual, &odd)
}

/// Metadata of a batch.
pub(super) fn batch_metadata() -> BoxedStrategy<String> {
    of(&[r#"{"k":"v"}"#, r#"{"m":"1"}"#, r#"{"k":"w","m":"2"}"#, "{}"], &["a=1", "a", "{bad", "", " ", "[]", "null"])
}

pub(super) fn threshold(odd: &[&str]) -> BoxedStrategy<String> {
    of(&["0", "0.5", "1", "0.8", "0.3"], odd)
}

pub(super) fn selector() -> BoxedStrategy<String> {
    let label = r#"{"type":"label","expression":"CONSUMER.label.A = PROVIDER.label.A"}"#;
    let two =
        r#"{"type":"label","expression":"CONSUMER.label.A = PROVIDER.label.A & CONSUMER.label.B = PROVIDER.label.B"}"#;
    let odd = [
        r#"{"type":"unknown"}"#,
        r#"{"type":"nope"}"#,
        r#"{"type":"label","expression":"x"}"#,
        r#"{"type":"label","expression":""}"#,
        r#"{"type":"label","expression":"CONSUMER.label.A = PROVIDER.label.B"}"#,
        "",
    ];
    of(&[r#"{"type":"none"}"#, label, two], &odd)
}

/// Selectors that pass validation.
pub(super) fn good_selector() -> BoxedStrategy<String> {
    of(&[r#"{"type":"none"}"#, r#"{"type":"label","expression":"CONSUMER.label.A = PROVIDER.label.A"}"#], &[])
}

pub(super) fn checker() -> BoxedStrategy<String> {
    let usual = [
        r#"{"type":"NONE"}"#,
        r#"{"type":"TCP"}"#,
        r#"{"type":"HTTP","path":"/h","headers":"a:b|c:d","expectedResponseCode":201}"#,
        r#"{"type":"HTTP"}"#,
        r#"{"type":"MYSQL","user":"u","pwd":"p","cmd":"select 1"}"#,
    ];
    of(&usual, &[r#"{"type":"nope"}"#, "{}", r#"{"type":"tcp"}"#, r#"{"type":"TCP","x":1}"#])
}

pub(super) fn agent() -> BoxedStrategy<Option<&'static str>> {
    prop_oneof![
        50 => Just(None),
        50 => select(vec![
            "Nacos-Java-Client:v1.4.1",
            "Nacos-Java-Client:v0.9.0",
            "Nacos-Go-Client:v1.0.1",
            "Nacos-C-Client:v1.0.12",
            "Nacos-C-Client:v1.0.11",
            "Nacos-Python-Client:v1.0",
            "Nacos-CSharp-Client:v0.9.1",
            "Nacos-DNS:v1.0.1",
            "Nacos-Server:v1.4.1",
            "nginx/1.2",
        ]).prop_map(Some),
    ]
    .boxed()
}

pub(super) fn page() -> BoxedStrategy<String> {
    of(&["1", "2", "10", "0"], &["-1", "x", "", "2147483647", "+1", " 1 "])
}

pub(super) fn clusters() -> BoxedStrategy<String> {
    of(&["c1", "DEFAULT", "c1,DEFAULT", "DEFAULT,c1,C2", "c1,c1", "nope"], &[" c1 , DEFAULT", ",", "", "nope,c1", "C1"])
}

/// A cluster that calls about settings name.
pub(super) fn cluster() -> BoxedStrategy<String> {
    of(&["DEFAULT", "c1", "C2"], &["a_b", "", " c1 ", "服", "c.1"])
}

/// Clusters other than the default one whose instances have networks of their own.
const CLUSTERS_APART: [&str; 6] = ["c1", "C2", "a_b", " c1 ", "服", "c.1"];

/// How services are named in a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Naming {
    /// The parameter.
    pub(super) name: &'static str,
    /// Whether names with an empty part may be sent.
    pub(super) halves: bool,
    /// Whether the built-in namespace may be used, where every sequence sees the others' services.
    pub(super) public: bool,
}

/// A service of an instance call.
pub(super) const ANY: Naming = Naming { name: "serviceName", halves: true, public: true };
/// A service of a call that could create it without looking at its name.
pub(super) const WHOLE: Naming = Naming { name: "serviceName", halves: false, public: true };

/// Name, group and namespace of a service: few, so that most calls meet what earlier ones made.
pub(super) fn service(naming: Naming) -> BoxedStrategy<Pairs> {
    let namespace = prop_oneof![
        70 => Just("{tag}a"),
        15 => Just("{tag}b"),
        15 => Just(if naming.public { "" } else { "{tag}b" }),
    ];
    let group = prop_oneof![75 => Just(None), 20 => Just(Some("g1")), 5 => Just(Some(" "))];
    let odd = if naming.halves {
        &["a b", "", " ", "g@@", "@@", "@@x", "a@@b@@c", "服务", "s1 "][..]
    } else {
        &["a b", "a@@b@@c", "服务"][..]
    };
    let usual = prop_oneof![
        60 => Just(("", "s1")),
        20 => Just(("", "s2")),
        5 => Just(("", "s.3_x:y")),
        10 => Just(("g1@@", "s1")),
        5 => Just(("DEFAULT_GROUP@@", "s1")),
    ];
    let odd = select(odd.to_vec()).prop_map(|it| ("odd", it));
    let name = prop_oneof![97 => usual, 3 => odd];
    (namespace, group, name)
        .prop_map(move |(namespace, group, (prefix, name))| {
            // Odd names stay in the sequence's own namespace, since no prefix can set them apart in the shared one.
            let (namespace, full) = match prefix {
                "odd" => ("{tag}a", name.to_owned()),
                _ if namespace.is_empty() => (namespace, format!("{prefix}{{tag}}-{name}")),
                _ => (namespace, format!("{prefix}{name}")),
            };
            let mut pairs = vec![(naming.name.to_owned(), full)];
            pairs.extend(group.map(|it| ("groupName".to_owned(), it.to_owned())));
            if !namespace.is_empty() {
                pairs.push(("namespaceId".to_owned(), namespace.to_owned()));
            }
            pairs
        })
        .boxed()
}

/// Address and cluster of an instance. Each cluster has a network of its own at 127.1, because the real server mixes up
/// the health of equal addresses in two clusters (B21). Those at 127.2 are in one cluster only: a batch that names an
/// instance with another cluster than its own makes the real server lose it (D2).
pub(super) fn address(cluster: &'static str) -> BoxedStrategy<Pairs> {
    let port =
        of(&["80", "8080", "{open_port}"], &["-1", "65536", "2147483647", "x", "", " 80 ", "+80", "٨٠", "2147483648"]);
    let roaming = (
        of(
            &["127.1.0.1", "127.1.0.2", "127.1.0.3", "127.1.0.4", "127.1.0.10"],
            &["999.1.1.1", "", "127.1", "::1", "a b", "127.1.0.1 "],
        ),
        prop_oneof![60 => Just(None), 40 => self::cluster().prop_map(Some)],
    );
    let home = select(vec![("127.2.0.1", None), ("127.2.0.2", Some("c1"))]);
    let home = home.prop_map(|(ip, cluster)| (ip.to_owned(), cluster.map(str::to_owned)));
    (prop_oneof![60 => roaming, 40 => home], port)
        .prop_map(move |((ip, at), port)| {
            let network = CLUSTERS_APART.iter().position(|name| at.as_deref() == Some(name)).map_or(0, |n| n + 1);
            let ip = ip.replace("127.1.0.", &format!("127.1.{network}."));
            let mut pairs = vec![("ip".to_owned(), ip), ("port".to_owned(), port)];
            pairs.extend(at.map(|it| (cluster.to_owned(), it)));
            pairs
        })
        .boxed()
}

/// Instances of a batch: only such as are in one cluster, or nowhere.
pub(super) fn batch_instances() -> BoxedStrategy<String> {
    let usual = [
        r#"[{"ip":"127.2.0.1","port":80}]"#,
        r#"[{"ip":"127.2.0.2","port":80,"clusterName":"c1"}]"#,
        r#"[{"ip":"127.2.0.1","port":80},{"ip":"127.2.0.2","port":8080,"clusterName":"c1"}]"#,
        r#"[{"ip":"127.2.0.1","port":80,"ephemeral":false}]"#,
        r#"[{"ip":"127.9.9.9","port":80}]"#,
    ];
    of(&usual, &["[]", "", "x", "{}"])
}

/// The full form of a beat.
pub(super) fn beat() -> BoxedStrategy<String> {
    let place = select(vec![
        r#""ip":"127.1.0.1","port":80"#,
        r#""ip":"127.2.0.1","port":80"#,
        r#""ip":"127.2.0.2","port":80,"cluster":"c1""#,
        r#""ip":"127.1.1.2","port":8080,"cluster":"c1""#,
        r#""ip":"127.1.0.3","port":80,"cluster":"DEFAULT""#,
    ]);
    let more = of(
        &[
            "",
            r#","weight":1.0"#,
            r#","weight":2.5,"metadata":{"k":"v"},"scheduled":true,"period":5000"#,
            r#","metadata":{"preserved.heart.beat.interval":"3000"}"#,
            r#","serviceName":"DEFAULT_GROUP@@other","stopped":false"#,
        ],
        &[r#","weight":0.001"#, r#","weight":20000"#, r#","weight":-1"#, r#","ephemeral":false"#],
    );
    let whole = (place, more).prop_map(|(place, more)| format!("{{{place}{more}}}"));
    prop_oneof![98 => whole, 2 => select(vec!["null".to_owned(), String::new()])].boxed()
}
