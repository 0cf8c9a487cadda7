//! Keys and the JSON of instance lists: what nodes send each other (compat/spec/distro.md §2).
//!
//! Writing goes straight from the service's state to bytes: a datum is the whole list of a service, and lists of a
//! thousand instances are written on every change. Reading takes all that Jackson takes, because an official node
//! that is refused repeats itself for ever.

use std::io::Write as _;

use crate::java::double_text;
use crate::naming::instance::{
    HEART_BEAT_INTERVAL, HEART_BEAT_TIMEOUT, INSTANCE_ID_GENERATOR, IP_DELETE_TIMEOUT, Instance,
};
use crate::naming::service::{ServiceId, ServiceState};

mod read;

pub(super) use read::RawInstance;
pub use read::{Datum, read_list, read_map};

/// What every key of an ephemeral instance list begins with.
pub const EPHEMERAL_PREFIX: &str = "com.alibaba.nacos.naming.iplist.ephemeral.";

const HEART_BEAT_INTERVAL_DEFAULT_MS: i64 = 5_000;
/// Without a beat for this long an instance is unhealthy, ms.
pub const HEART_BEAT_TIMEOUT_DEFAULT_MS: i64 = 15_000;
/// Without a beat for this long an instance is removed, ms.
pub const IP_DELETE_TIMEOUT_DEFAULT_MS: i64 = 30_000;

/// Key of a service's ephemeral instance list.
pub fn key(id: &ServiceId) -> String {
    format!("{EPHEMERAL_PREFIX}{}##{}", id.namespace, id.name)
}

/// The service a key names; `None` when it is not the key of an ephemeral instance list.
pub fn service_of(key: &str) -> Option<ServiceId> {
    let rest = key.strip_prefix(EPHEMERAL_PREFIX)?;
    let mut parts = rest.split("##");
    let namespace = parts.next()?;
    let name = parts.next()?;
    Some(ServiceId::new(namespace, name))
}

/// Writes a datum map piece by piece.
#[derive(Debug)]
pub struct MapWriter {
    out: Vec<u8>,
    keys: usize,
    instances: usize,
}

impl Default for MapWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl MapWriter {
    /// An empty map.
    pub fn new() -> Self {
        MapWriter { out: b"{".to_vec(), keys: 0, instances: 0 }
    }

    /// Adds the ephemeral list of a service.
    pub fn add(&mut self, id: &ServiceId, state: &ServiceState) {
        if self.keys > 0 {
            self.out.push(b',');
        }
        self.keys += 1;
        self.instances += state.ephemeral.len();
        let mut quoted_key = Vec::with_capacity(96);
        string(&mut quoted_key, &key(id));
        self.out.extend_from_slice(&quoted_key);
        self.out.extend_from_slice(b":{\"key\":");
        self.out.extend_from_slice(&quoted_key);
        self.out.extend_from_slice(b",\"value\":{\"instanceList\":[");
        for (index, instance) in state.ephemeral.values().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            write_instance(&mut self.out, instance);
        }
        // Always 1 on the wire and compared by nobody.
        self.out.extend_from_slice(b"]},\"timestamp\":1}");
    }

    /// How many services are in.
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// How many instances are in.
    pub fn instances(&self) -> usize {
        self.instances
    }

    /// Bytes so far.
    pub fn bytes(&self) -> usize {
        self.out.len()
    }

    /// The finished JSON object.
    pub fn finish(mut self) -> Vec<u8> {
        self.out.push(b'}');
        self.out
    }
}

/// One instance with its computed fields; `null`s are left out.
pub(crate) fn write_instance(out: &mut Vec<u8>, instance: &Instance) {
    out.push(b'{');
    optional(out, "instanceId", instance.instance_id.as_deref());
    field(out, "ip");
    string(out, &instance.ip);
    field(out, "port");
    number(out, i64::from(instance.port));
    field(out, "weight");
    weight(out, instance.weight);
    boolean(out, "healthy", instance.healthy);
    boolean(out, "enabled", instance.enabled);
    boolean(out, "ephemeral", instance.ephemeral);
    field(out, "clusterName");
    string(out, &instance.cluster_name);
    field(out, "serviceName");
    string(out, &instance.service_name);
    if let Some(metadata) = &instance.metadata {
        field(out, "metadata");
        out.push(b'{');
        for (index, (key, value)) in metadata.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            string(out, key);
            out.push(b':');
            string(out, value);
        }
        out.push(b'}');
    }
    field(out, "lastBeat");
    number(out, instance.last_beat);
    boolean(out, "marked", instance.marked);
    optional(out, "tenant", instance.tenant.as_deref());
    optional(out, "app", instance.app.as_deref());
    write_computed(out, instance);
    out.push(b'}');
}

/// Fields that official nodes compute from metadata; receivers ignore them.
fn write_computed(out: &mut Vec<u8>, instance: &Instance) {
    for (name, key, default) in [
        ("instanceHeartBeatInterval", HEART_BEAT_INTERVAL, HEART_BEAT_INTERVAL_DEFAULT_MS),
        ("instanceHeartBeatTimeOut", HEART_BEAT_TIMEOUT, HEART_BEAT_TIMEOUT_DEFAULT_MS),
        ("ipDeleteTimeout", IP_DELETE_TIMEOUT, IP_DELETE_TIMEOUT_DEFAULT_MS),
    ] {
        field(out, name);
        number(out, instance.meta_millis(key, default));
    }
    // Official quirk: the default appears only when there is no metadata at all.
    let generator = if instance.metadata.as_ref().is_none_or(|metadata| metadata.is_empty()) {
        Some("simple")
    } else {
        instance.meta(INSTANCE_ID_GENERATOR)
    };
    optional(out, "instanceIdGenerator", generator);
}

/// `,"name":`, without the comma at the start of an object.
fn field(out: &mut Vec<u8>, name: &str) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn optional(out: &mut Vec<u8>, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        field(out, name);
        string(out, value);
    }
}

fn boolean(out: &mut Vec<u8>, name: &str, value: bool) {
    field(out, name);
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

fn number(out: &mut Vec<u8>, value: i64) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{value}");
}

fn weight(out: &mut Vec<u8>, value: f64) {
    let text = double_text(value);
    if value.is_finite() {
        out.extend_from_slice(text.as_bytes());
    } else {
        string(out, &text);
    }
}

/// A JSON string; non-ASCII stays as it is.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // Writing to a Vec cannot fail, and a string is always representable.
        let _ = serde_json::to_writer(out, text);
    }
}

#[cfg(test)]
mod tests;
