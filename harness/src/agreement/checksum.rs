//! The checksum of an instance list that nodes send each other to verify, written from `compat/spec/distro.md` §3.

use std::fmt::Write as _;

use md5::{Digest as _, Md5};

use super::content::{InstanceKey, Stored};

/// MD5 in lower-case hex over the list in the official order.
pub fn of_instances<'a>(instances: impl Iterator<Item = (&'a InstanceKey, &'a Stored)>) -> String {
    let mut entries: Vec<_> = instances.map(|(key, it)| (utf16(&sort_text(key, it)), entry(key, it))).collect();
    entries.sort();
    let mut digest = Md5::new();
    entries.iter().for_each(|(_, text)| digest.update(text.as_bytes()));
    digest.finalize().iter().fold(String::with_capacity(32), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The text by which the official node sorts. `marked` is never true over this API.
fn sort_text(key: &InstanceKey, it: &Stored) -> String {
    let InstanceKey { ip, port, cluster } = key;
    let datum = if *port > 0 { format!("{ip}:{port}:unknown:{cluster}") } else { format!("{ip}:unknown:{cluster}") };
    format!("{datum}_{}_{}_false_{cluster}", java_double(it.weight), it.healthy)
}

fn entry(key: &InstanceKey, it: &Stored) -> String {
    let InstanceKey { ip, port, cluster } = key;
    let mut text = format!("{ip}:{port}_{}_{}_{}_{cluster}_", java_double(it.weight), it.healthy, it.enabled);
    let mut metadata: Vec<_> = it.metadata.iter().map(|(key, value)| (utf16(key), key, value)).collect();
    metadata.sort();
    for (_, key, value) in metadata {
        let _ = write!(text, "{key}:{value},");
    }
    text.push(',');
    text
}

/// Java compares strings by UTF-16 unit, which is another order than that of UTF-8 or of code points.
fn utf16(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

/// `Double.toString` for the weights a server lets in: 0, and 0.01 to 10,000. (Both languages print the shortest
/// decimal that reads back; older Java runtimes print a longer one for a few numbers nobody uses as a weight.)
fn java_double(value: f64) -> String {
    if value != 0.0 && !(1e-3..1e7).contains(&value.abs()) {
        let text = format!("{value:E}");
        return match text.split_once('E') {
            Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
            _ => text,
        };
    }
    format!("{value:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(ip: &str, port: i64, cluster: &str, weight: f64, metadata: &[(&str, &str)]) -> (InstanceKey, Stored) {
        let key = InstanceKey { ip: ip.into(), port, cluster: cluster.into() };
        let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        (key, Stored { weight, metadata, ..Stored::default() })
    }

    fn sum(instances: &[(InstanceKey, Stored)]) -> String {
        of_instances(instances.iter().map(|(key, it)| (key, it)))
    }

    /// V0 to V4 of `compat/spec/distro.md` §3, all observed on the wire.
    #[test]
    fn the_vectors_of_the_specification_hold() {
        assert_eq!(sum(&[]), "d41d8cd98f00b204e9800998ecf8427e");
        let one = instance("10.0.0.1", 80, "DEFAULT", 1.0, &[]);
        assert_eq!(sum(std::slice::from_ref(&one)), "029d5e8032f5253195569b221bd0ebdc");
        let sick = (one.0, Stored { healthy: false, ..one.1 });
        assert_eq!(sum(&[sick]), "7f7db6b88ce58859712c6c5c2e9db2f2");
        let mut disabled = instance("10.0.0.2", 80, "c2", 100.25, &[("b", ""), ("｡", "y"), ("😀", "x")]);
        disabled.1.enabled = false;
        let v2 = [
            disabled,
            instance("10.0.0.2", 80, "DEFAULT", 2.0, &[("k2", "v2"), ("k1", "v1")]),
            instance("10.0.0.2", 8080, "DEFAULT", 1.0, &[("zone", "z1"), ("a", "中")]),
            instance("10.0.0.10", 80, "c1", 0.5, &[]),
        ];
        assert_eq!(sum(&v2), "660c069820c4b3f914d94e6230f424b2");
        let preserved = [
            ("preserved.heart.beat.interval", "1000"),
            ("preserved.heart.beat.timeout", "60000"),
            ("preserved.instance.id.generator", "snowflake"),
            ("preserved.ip.delete.timeout", "90000"),
        ];
        let v3 = instance("host.example", 0, "DEFAULT", 0.01, &preserved);
        assert_eq!(sum(&[v3]), "1ca0482b4301b2ec63184da7ac6b9f2a");
        assert_eq!(sum(&[instance("10.0.0.2", 80, "DEFAULT", 10_000.0, &[])]), "771bca490bb895370dc08bcbac45c768");
    }

    #[test]
    fn doubles_are_written_as_java_does() {
        let cases = [(0.0, "0.0"), (1.0, "1.0"), (0.3333333333333333, "0.3333333333333333"), (5e-4, "5.0E-4")];
        for (value, text) in cases {
            assert_eq!(java_double(value), text);
        }
        assert_eq!(java_double(1.25e7), "1.25E7");
    }
}
