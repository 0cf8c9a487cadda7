//! The checksum of an instance list: what two nodes compare to see whether they agree (compat/spec/distro.md §3).

use std::cmp::Ordering;
use std::fmt::Write;

use md5::{Digest, Md5};

use crate::java::double_text;
use crate::naming::instance::{Instance, Metadata};

/// MD5 of the list, 32 lower-case hex digits. The order of the instances does not matter.
pub fn checksum<'a>(instances: impl IntoIterator<Item = &'a Instance>) -> String {
    let mut sorted: Vec<(String, &Instance)> =
        instances.into_iter().map(|instance| (instance_text(instance), instance)).collect();
    sorted.sort_by(|(one, _), (other, _)| utf16_order(one, other));
    let mut digest = Md5::new();
    let mut text = String::with_capacity(128);
    for (_, instance) in &sorted {
        text.clear();
        append_entry(&mut text, instance);
        digest.update(text.as_bytes());
    }
    hex(&digest.finalize())
}

/// Nacos' own text of an instance, `ip:port:unknown:cluster_weight_healthy_marked_cluster`: what lists are sorted by.
pub fn instance_text(instance: &Instance) -> String {
    let mut text = String::with_capacity(64);
    text.push_str(&instance.ip);
    // Writing to a String cannot fail; the results are dropped for that reason here and below.
    if instance.port > 0 {
        let _ = write!(text, ":{}", instance.port);
    }
    let cluster = &instance.cluster_name;
    let weight = double_text(instance.weight);
    let _ = write!(text, ":unknown:{cluster}_{weight}_{}_{}_{cluster}", instance.healthy, instance.marked);
    text
}

/// `ip:port_weight_healthy_enabled_cluster_META,`
fn append_entry(text: &mut String, instance: &Instance) {
    let weight = double_text(instance.weight);
    let _ = write!(
        text,
        "{}:{}_{weight}_{}_{}_{}_",
        instance.ip, instance.port, instance.healthy, instance.enabled, instance.cluster_name
    );
    if let Some(metadata) = &instance.metadata {
        append_metadata(text, metadata);
    }
    text.push(',');
}

fn append_metadata(text: &mut String, metadata: &Metadata) {
    let mut sorted: Vec<(&String, &String)> = metadata.iter().collect();
    sorted.sort_by(|(one, _), (other, _)| utf16_order(one, other));
    for (key, value) in sorted {
        let _ = write!(text, "{key}:{value},");
    }
}

/// Java's string order, by UTF-16 code units: characters beyond U+FFFF sort before U+E000…U+FFFF, unlike in UTF-8.
pub fn utf16_order(one: &str, other: &str) -> Ordering {
    if one.is_ascii() || other.is_ascii() {
        // The first difference then involves an ASCII character, which sorts first in both encodings.
        return one.cmp(other);
    }
    one.encode_utf16().cmp(other.encode_utf16())
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(ip: &str, port: i32, weight: f64, cluster: &str, metadata: &[(&str, &str)]) -> Instance {
        Instance {
            ip: ip.to_owned(),
            port,
            weight,
            cluster_name: cluster.to_owned(),
            metadata: Some(metadata.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()),
            ..Instance::default()
        }
    }

    // compat/spec/distro.md §3: each vector was seen on the wire.

    #[test]
    fn v0_empty_list() {
        assert_eq!(checksum([]), "d41d8cd98f00b204e9800998ecf8427e");
    }

    #[test]
    fn v1_one_instance_and_its_health() {
        let mut one = instance("10.0.0.1", 80, 1.0, "DEFAULT", &[]);
        assert_eq!(checksum([&one]), "029d5e8032f5253195569b221bd0ebdc");
        one.metadata = None;
        assert_eq!(checksum([&one]), "029d5e8032f5253195569b221bd0ebdc");
        one.healthy = false;
        assert_eq!(checksum([&one]), "7f7db6b88ce58859712c6c5c2e9db2f2");
    }

    #[test]
    fn v2_order_of_addresses_ports_and_metadata_keys() {
        let mut disabled = instance("10.0.0.2", 80, 100.25, "c2", &[("｡", "y"), ("😀", "x"), ("b", "")]);
        disabled.enabled = false;
        let list = [
            instance("10.0.0.2", 80, 2.0, "DEFAULT", &[("k2", "v2"), ("k1", "v1")]),
            disabled,
            instance("10.0.0.2", 8080, 1.0, "DEFAULT", &[("zone", "z1"), ("a", "中")]),
            instance("10.0.0.10", 80, 0.5, "c1", &[]),
        ];
        assert_eq!(checksum(&list), "660c069820c4b3f914d94e6230f424b2");
        assert_eq!(checksum(list.iter().rev()), "660c069820c4b3f914d94e6230f424b2");
    }

    #[test]
    fn v3_host_name_without_port_and_preserved_metadata() {
        let one = instance(
            "host.example",
            0,
            0.01,
            "DEFAULT",
            &[
                ("preserved.ip.delete.timeout", "90000"),
                ("preserved.heart.beat.timeout", "60000"),
                ("preserved.heart.beat.interval", "1000"),
                ("preserved.instance.id.generator", "snowflake"),
            ],
        );
        assert_eq!(checksum([&one]), "1ca0482b4301b2ec63184da7ac6b9f2a");
        assert_eq!(instance_text(&one), "host.example:unknown:DEFAULT_0.01_true_false_DEFAULT");
    }

    #[test]
    fn v4_heaviest() {
        let one = instance("10.0.0.2", 80, 10000.0, "DEFAULT", &[]);
        assert_eq!(checksum([&one]), "771bca490bb895370dc08bcbac45c768");
    }

    #[test]
    fn java_string_order() {
        assert_eq!(utf16_order("😀", "｡"), Ordering::Less);
        assert_eq!(utf16_order("中", "｡"), Ordering::Less);
        assert_eq!(utf16_order("a", "中"), Ordering::Less);
        assert_eq!(utf16_order("中", "a"), Ordering::Greater);
        assert_eq!(utf16_order("10.0.0.2:80:", "10.0.0.2:8080:"), Ordering::Greater);
    }
}
