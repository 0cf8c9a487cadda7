//! The entries of `PUT operator/switches` and what each takes (compat/spec/naming-api.md §14).

use super::error::NamingError;
use super::json::jackson_message;
use super::switches::SwitchDomain;
use crate::java;

/// Applies an entry to a copy of the switches. An unknown entry changes nothing.
pub fn apply(switches: &mut SwitchDomain, entry: &str, value: &str) -> Result<(), NamingError> {
    let number = || java::parse_long(value).map_err(NamingError::Illegal);
    match entry {
        "batch" => *switches = batch(switches, value)?,
        "distroThreshold" => {
            let threshold = java::parse_float(value).map_err(NamingError::Illegal)?;
            if threshold <= 0.0 {
                let text = java::float_text(threshold);
                return Err(NamingError::illegal(format!("distroThreshold can not be zero or negative: {text}")));
            }
            switches.distro_threshold = threshold;
        }
        "clientBeatInterval" => switches.client_beat_interval = number()?,
        "pushVersion" => push_version(switches, value)?,
        "pushCacheMillis" => {
            switches.default_push_cache_millis =
                at_least(number()?, 10_000, "min cache time for http or tcp is too small(<10000)")?;
        }
        "defaultCacheMillis" => {
            switches.default_cache_millis = at_least(number()?, 1_000, "min default cache time  is too small(<1000)")?;
        }
        "masters" => switches.masters = Some(java::split(value, ",").into_iter().map(str::to_owned).collect()),
        "distro" => switches.distro_enabled = java::parse_bool(value),
        "check" => switches.health_check_enabled = java::parse_bool(value),
        "pushEnabled" => switches.push_enabled = java::parse_bool(value),
        "serviceStatusSynchronizationPeriodMillis" => {
            switches.service_status_synchronization_period_millis =
                at_least(number()?, 5_000, "serviceStatusSynchronizationPeriodMillis is too small(<5000)")?;
        }
        "serverStatusSynchronizationPeriodMillis" => {
            // The message names another bound than the one that holds.
            switches.server_status_synchronization_period_millis =
                at_least(number()?, 1_000, "serverStatusSynchronizationPeriodMillis is too small(<15000)")?;
        }
        "healthCheckTimes" => switches.check_times = java::parse_int(value).map_err(NamingError::Illegal)?,
        "disableAddIP" => switches.disable_add_ip = java::parse_bool(value),
        "sendBeatOnly" => switches.send_beat_only = java::parse_bool(value),
        "limitedUrlMap" => limited_urls(switches, value)?,
        // Official Nacos acts on an empty value only.
        "enableStandalone" if value.is_empty() => switches.enable_standalone = false,
        "overriddenServerStatus" => {
            switches.overridden_server_status = Some(if value == "null" { "" } else { value }.to_owned());
        }
        "defaultInstanceEphemeral" => switches.default_instance_ephemeral = java::parse_bool(value),
        "distroServerExpiredMillis" => switches.distro_server_expired_millis = number()?,
        "lightBeatEnabled" => switches.light_beat_enabled = java::lang_bool(value),
        "autoChangeHealthCheckEnabled" => switches.auto_change_health_check_enabled = java::lang_bool(value),
        _ => {}
    }
    Ok(())
}

fn at_least(value: i64, least: i64, message: &str) -> Result<i64, NamingError> {
    if value < least { Err(NamingError::illegal(message)) } else { Ok(value) }
}

fn batch(switches: &SwitchDomain, value: &str) -> Result<SwitchDomain, NamingError> {
    const FAILED: &str =
        "errCode: 101, errMsg: Nacos deserialize for class [com.alibaba.nacos.naming.misc.SwitchDomain] failed.  ";
    let mut given: SwitchDomain =
        parse_batch(value).ok_or_else(|| NamingError::Internal(vec![FAILED.to_owned(), jackson_message(value)]))?;
    given.enable_standalone = switches.enable_standalone;
    // These cannot be set, not even here.
    given.push_csharp_version.clone_from(&switches.push_csharp_version);
    given.health_check_white_list.clone_from(&switches.health_check_white_list);
    let (http, tcp) = (&given.http_health_params, &given.tcp_health_params);
    if http.min < 500 || tcp.min < 500 {
        return Err(NamingError::illegal("min check time for http or tcp is too small(<500)"));
    }
    if http.max < 3_000 || tcp.max < 3_000 {
        return Err(NamingError::illegal("max check time for http or tcp is too small(<3000)"));
    }
    if !(0.0..=1.0).contains(&http.factor) || !(0.0..=1.0).contains(&tcp.factor) {
        return Err(NamingError::illegal("malformed factor"));
    }
    Ok(given)
}

/// Missing keys take defaults, also inside the parameter objects.
fn parse_batch(value: &str) -> Option<SwitchDomain> {
    let mut given: serde_json::Map<String, serde_json::Value> = serde_json::from_str(value).ok()?;
    let defaults = serde_json::to_value(SwitchDomain::default()).ok()?;
    for name in ["httpHealthParams", "tcpHealthParams", "mysqlHealthParams"] {
        if let Some(params) = given.get_mut(name).and_then(serde_json::Value::as_object_mut)
            && let Some(known) = defaults.get(name).and_then(serde_json::Value::as_object)
        {
            for (key, default) in known {
                params.entry(key.clone()).or_insert_with(|| default.clone());
            }
        }
    }
    serde_json::from_value(serde_json::Value::Object(given)).ok()
}

fn push_version(switches: &mut SwitchDomain, value: &str) -> Result<(), NamingError> {
    let parts = java::split(value, ":");
    let (Some(client), Some(version)) = (parts.first(), parts.get(1)) else {
        let length = parts.len();
        return Err(NamingError::internal(format!("Index {length} out of bounds for length {length}")));
    };
    let numbers: Vec<&str> = version.split('.').collect();
    if numbers.len() != 3 || numbers.iter().any(|part| part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit())) {
        return Err(NamingError::illegal("illegal version, must match: [0-9]+\\.[0-9]+\\.[0-9]+"));
    }
    let version = (*version).to_owned();
    match *client {
        "java" => switches.push_java_version = version,
        "python" => switches.push_python_version = version,
        "c" => switches.push_c_version = version,
        "go" => switches.push_go_version = version,
        other => return Err(NamingError::illegal(format!("unsupported client type: {other}"))),
    }
    Ok(())
}

/// An empty value changes nothing, so the map cannot be emptied.
fn limited_urls(switches: &mut SwitchDomain, value: &str) -> Result<(), NamingError> {
    if value.is_empty() {
        return Ok(());
    }
    let mut limits: Vec<(String, i32)> = Vec::new();
    for each in java::split(value, ",") {
        let parts = java::split(each, ":");
        let (Some(url), Some(status)) = (parts.first(), parts.get(1)) else {
            return Err(NamingError::illegal("invalid input for limited urls"));
        };
        if url.is_empty() {
            return Err(NamingError::illegal(format!("url can not be empty, url: {url}")));
        }
        let status = java::parse_int(status).map_err(NamingError::Illegal)?;
        if status <= 0 {
            return Err(NamingError::illegal(format!("illegal normal status code: {status}")));
        }
        limits.retain(|(known, _)| known != url);
        limits.push(((*url).to_owned(), status));
    }
    java::hash_order(&mut limits, false, |(url, _)| url.clone());
    switches.limited_url_map = limits.into_iter().collect();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        let mut switches = SwitchDomain::default();
        for (entry, value) in [
            ("pushCacheMillis", "9999"),
            ("defaultCacheMillis", "999"),
            ("distroThreshold", "0"),
            ("pushVersion", "java:1.0"),
            ("pushVersion", "php:1.0.0"),
            ("limitedUrlMap", "/x:0"),
            ("batch", "{\"httpHealthParams\":{\"min\":1}}"),
        ] {
            assert!(apply(&mut switches, entry, value).is_err(), "{entry}={value}");
        }
        assert_eq!(switches, SwitchDomain::default());
        assert_eq!(apply(&mut switches, "nope", "x"), Ok(()));
        assert_eq!(apply(&mut switches, "batch", "{}"), Ok(()));
    }
}
