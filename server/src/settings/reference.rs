//! `docs/configuration.md` is written from the tables of this module's parent, so that it cannot say anything else.

use std::fmt::Write as _;
use std::path::Path;

use clap::CommandFactory as _;

use super::environment::{self, Variable};
use super::flags::Flags;
use super::keys::{KEYS, Use};
use super::tests::Home;

/// Set to 1, the test writes the file instead of comparing it.
const ACCEPT: &str = "TANDEM_ACCEPT_CONFIGURATION";

const START: &str = "\
# Configuration of `tandem-server`

Written from the tables in `server/src/settings`. Do not edit: change the tables, then run
`TANDEM_ACCEPT_CONFIGURATION=1 cargo test -p tandem-server settings::reference`.

Later sources win: built-in defaults; `conf/application.properties`, `conf/custom.properties` and
`init.d/custom.properties` below the home directory; environment variables; flags. Keys are those of the official node,
in every spelling Spring takes (`server.servlet.contextPath`, `server.servlet.context-path`). A wrong value stops the
start with one sentence that names the key, its value and where it came from. A `nacos.*` or `tandem.*` key that nobody
knows is named in the log, with the nearest right one.
";

#[test]
fn the_published_reference_is_that_of_the_tables() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let written = reference();
    if std::env::var(ACCEPT).is_ok_and(|it| it == "1") {
        std::fs::write(&path, written).unwrap();
        return;
    }
    let published = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(published == written, "docs/configuration.md is not that of the tables; run this again with {ACCEPT}=1");
}

fn reference() -> String {
    let mut out = START.to_owned();
    flags(&mut out);
    honoured(&mut out, "Official keys that are honoured", |key| !is_own(key));
    honoured(&mut out, "Keys of Tandem's own", is_own);
    refused(&mut out);
    variables(&mut out);
    ignored(&mut out);
    out
}

fn is_own(key: &str) -> bool {
    key.starts_with("tandem.")
}

fn flags(out: &mut String) {
    let command = Flags::command();
    let rows = command.get_arguments().map(|flag| {
        let name = match (flag.get_long(), flag.get_short()) {
            (Some(long), Some(short)) => format!("`--{long}`, `-{short}`"),
            (Some(long), None) => format!("`--{long}`"),
            (None, short) => format!("`-{}`", short.unwrap_or_default()),
        };
        let value = if flag.get_action().takes_values() {
            flag.get_value_names().and_then(|names| names.first()).map(|name| format!("`{name}`"))
        } else {
            None
        };
        vec![name, value.unwrap_or_default(), flag.get_help().map(ToString::to_string).unwrap_or_default()]
    });
    table(out, "Flags", &["flag", "value", "meaning"], rows.collect());
}

/// The default stands in brackets at the end of the line for `--help`.
fn honoured(out: &mut String, title: &str, wanted: fn(&str) -> bool) {
    let rows = KEYS.iter().filter(|(key, _)| wanted(key)).filter_map(|(key, usage)| {
        let Use::Honoured(help) = usage else { return None };
        let (meaning, default) = match help.strip_suffix(']').and_then(|it| it.rsplit_once(" [")) {
            Some((meaning, default)) => (meaning, format!("`{default}`")),
            None => (*help, String::new()),
        };
        Some(vec![name_of(key), default, meaning.to_owned()])
    });
    table(out, title, &["key", "default", "meaning"], rows.collect());
}

/// What stops the start although an official node takes it; the sentences are those of a real attempt.
fn refused(out: &mut String) {
    let attempts = [("nacos.core.auth.enabled", "true"), ("nacos.functionMode", "config")];
    let home = Home::with(&[]);
    let rows = attempts.iter().map(|(key, value)| {
        let define = format!("-D{key}={value}");
        let error = home.load(&[], &["--mode", "standalone", "--ip", "127.0.0.1", &define]).unwrap_err().to_string();
        let why = error.split_once("), but ").map(|(_, why)| why.to_owned());
        vec![format!("`{key}={value}`"), why.unwrap_or_else(|| panic!("{key} is refused in other words: {error}"))]
    });
    table(out, "Official values that are refused", &["value", "why"], rows.collect());
}

fn variables(out: &mut String) {
    let (ignored, honoured): (Vec<_>, Vec<_>) = environment::table().partition(|it| it.ignored.is_some());
    let row = |it: &Variable| {
        let key = it.key.map(|key| format!("`{key}`")).unwrap_or_default();
        vec![format!("`{}`", it.name), key, it.help.to_owned()]
    };
    table(out, "Environment variables of the official image", &["variable", "key", "meaning"], {
        honoured.iter().map(row).collect()
    });
    let spelling = "Every honoured key is a variable as well, as Spring spells it: `server.port` is `SERVER_PORT`.";
    let _ = write!(out, "\n{spelling}\n");
    let by_reason = grouped(ignored.iter().filter_map(|it| Some((format!("`{}`", it.name), it.ignored?))));
    table(out, "Variables that are accepted without effect", &["variables", "why"], by_reason);
}

fn ignored(out: &mut String) {
    let pairs = KEYS.iter().filter_map(|(key, usage)| match usage {
        Use::Ignored(why) => Some((name_of(key), *why)),
        Use::Honoured(_) => None,
    });
    table(out, "Official keys that are accepted without effect", &["keys", "why"], grouped(pairs));
    out.push_str("\nA key with an own row above wins over its family here.\n");
}

/// A family of keys is shown as such.
fn name_of(key: &str) -> String {
    match key.chars().last() {
        Some('.') => format!("`{key}*`"),
        Some('[') => format!("`{key}0]`, …"),
        _ => format!("`{key}`"),
    }
}

/// Names with the same reason in one row, in order of first appearance.
fn grouped<'a>(pairs: impl Iterator<Item = (String, &'a str)>) -> Vec<Vec<String>> {
    let mut rows: indexmap::IndexMap<&str, Vec<String>> = indexmap::IndexMap::new();
    for (name, why) in pairs {
        rows.entry(why).or_default().push(name);
    }
    rows.into_iter().map(|(why, names)| vec![names.join(", "), why.to_owned()]).collect()
}

fn table(out: &mut String, title: &str, head: &[&str], rows: Vec<Vec<String>>) {
    assert!(!rows.is_empty(), "{title} has no rows");
    let _ = write!(out, "\n## {title}\n\n| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        let _ = writeln!(out, "| {} |", row.join(" | ").replace("|  |", "| |"));
    }
}
