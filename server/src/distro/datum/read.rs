//! Reading datum maps as leniently as Jackson does.

use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use crate::naming::instance::{DEFAULT_CLUSTER, Hashed, Instance, Metadata};

/// Weight above which instances are cut (compat/spec/distro.md §2.2).
const WEIGHT_MAX: f64 = 10_000.0;
/// Weight to which smaller positive ones are raised.
const WEIGHT_MIN: f64 = 0.01;

/// One received instance list.
#[derive(Debug, Clone)]
pub struct Datum {
    /// The key inside the datum; an official receiver of a push stores under this one, not under the map's.
    pub key: Option<String>,
    /// The instances; `None` when the list is missing or holds `null`, which makes the whole list unusable.
    pub instances: Option<Vec<Instance>>,
}

#[derive(Deserialize)]
struct RawDatum {
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    value: Option<RawInstances>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawInstances {
    #[serde(default)]
    instance_list: Option<Vec<Option<RawInstance>>>,
}

/// One instance as it came.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::distro) struct RawInstance {
    #[serde(default)]
    instance_id: Text,
    #[serde(default)]
    ip: Text,
    #[serde(default)]
    port: Number,
    #[serde(default)]
    weight: Option<Number>,
    #[serde(default)]
    healthy: Option<Flag>,
    #[serde(default)]
    enabled: Option<Flag>,
    #[serde(default)]
    ephemeral: Option<Flag>,
    #[serde(default)]
    cluster_name: Text,
    #[serde(default)]
    service_name: Text,
    #[serde(default, deserialize_with = "present")]
    metadata: Option<Option<IndexMap<String, Text>>>,
    #[serde(default)]
    last_beat: Option<Number>,
    #[serde(default)]
    marked: Option<Flag>,
    #[serde(default)]
    app: Text,
    #[serde(default)]
    tenant: Text,
}

/// Tells an absent field (`None`) from a `null` one (`Some(None)`).
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Reads a datum map; `now` (ms since the epoch) stands in for a missing `lastBeat`.
///
/// # Errors
/// What is wrong with the JSON.
pub fn read_map(body: &[u8], now: i64) -> Result<Vec<(String, Datum)>, serde_json::Error> {
    let map: IndexMap<String, Option<RawDatum>> = serde_json::from_slice(body)?;
    Ok(map.into_iter().map(|(key, raw)| (key, datum(raw, now))).collect())
}

/// Reads a bare list of instances.
///
/// # Errors
/// What is wrong with the JSON.
pub fn read_list(json: &str, now: i64) -> Result<Vec<Instance>, serde_json::Error> {
    let list: Vec<RawInstance> = serde_json::from_str(json)?;
    Ok(list.into_iter().map(|raw| raw.into_instance(now)).collect())
}

fn datum(raw: Option<RawDatum>, now: i64) -> Datum {
    let Some(raw) = raw else { return Datum { key: None, instances: None } };
    let instances = raw
        .value
        .and_then(|value| value.instance_list)
        .and_then(|list| list.into_iter().map(|raw| raw.map(|raw| raw.into_instance(now))).collect());
    Datum { key: raw.key, instances }
}

impl RawInstance {
    /// With the official defaults; `now` (ms since the epoch) stands in for a missing `lastBeat`.
    pub(in crate::distro) fn into_instance(self, now: i64) -> Instance {
        let flag = |flag: Option<Flag>, default| flag.map_or(default, |flag| flag.0);
        Instance {
            hashed_metadata: Hashed::default(),
            instance_id: self.instance_id.0,
            ip: self.ip.0.unwrap_or_default(),
            port: self.port.0 as i32,
            weight: clamp(self.weight.map_or(1.0, |weight| weight.0)),
            healthy: flag(self.healthy, true),
            enabled: flag(self.enabled, true),
            ephemeral: flag(self.ephemeral, true),
            cluster_name: self
                .cluster_name
                .0
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| DEFAULT_CLUSTER.to_owned()),
            service_name: self.service_name.0.unwrap_or_default(),
            metadata: match self.metadata {
                None => Some(Metadata::new()),
                Some(None) => None,
                Some(Some(map)) => Some(map.into_iter().filter_map(|(key, value)| Some((key, value.0?))).collect()),
            },
            last_beat: self.last_beat.map_or(now, |beat| beat.0 as i64),
            marked: flag(self.marked, false),
            app: self.app.0,
            tenant: self.tenant.0,
        }
    }
}

fn clamp(weight: f64) -> f64 {
    if weight > WEIGHT_MAX {
        WEIGHT_MAX
    } else if weight > 0.0 && weight < WEIGHT_MIN {
        WEIGHT_MIN
    } else {
        weight
    }
}

/// A string; numbers and booleans become their text.
#[derive(Default)]
struct Text(Option<String>);

/// A number; strings are parsed, `null` is 0. A double holds every millisecond of the epoch exactly.
#[derive(Default)]
struct Number(f64);

/// A boolean; the strings `true` and `false` count, `null` is false.
struct Flag(bool);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Lenient).map(|scalar| match scalar {
            Scalar::Null => Text(None),
            Scalar::Bool(value) => Text(Some(value.to_string())),
            Scalar::Number(_, text) | Scalar::Text(text) => Text(Some(text)),
        })
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_any(Lenient)? {
            Scalar::Null => Ok(Number(0.0)),
            Scalar::Number(value, _) => Ok(Number(value)),
            Scalar::Text(text) => text.trim().parse().map(Number).map_err(de::Error::custom),
            Scalar::Bool(_) => Err(de::Error::custom("a boolean where a number should be")),
        }
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_any(Lenient)? {
            Scalar::Null => Ok(Flag(false)),
            Scalar::Bool(value) => Ok(Flag(value)),
            Scalar::Number(value, _) => Ok(Flag(value != 0.0)),
            Scalar::Text(text) => Ok(Flag(text == "true")),
        }
    }
}

enum Scalar {
    Null,
    Bool(bool),
    Number(f64, String),
    Text(String),
}

struct Lenient;

impl Visitor<'_> for Lenient {
    type Value = Scalar;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a string, number, boolean or null")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Scalar, E> {
        Ok(Scalar::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar::Number(value as f64, value.to_string()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Scalar, E> {
        Ok(Scalar::Number(value as f64, value.to_string()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Scalar, E> {
        Ok(Scalar::Number(value, crate::java::double_text(value)))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Scalar, E> {
        Ok(Scalar::Text(value))
    }
}
