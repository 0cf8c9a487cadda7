//! What names, addresses and weights are taken (compat/spec/naming-api.md §1.2, §2).

use super::error::NamingError;
use super::instance::Instance;
use super::service::ServiceId;
use crate::java;

/// Separates group and service.
pub const SPLITTER: &str = "@@";
/// The longest name of a file or folder, bytes.
const FILE_NAME_BYTES_MAX: usize = 255;
/// The largest weight.
pub const WEIGHT_MAX: f64 = 10_000.0;
/// The smallest weight that is not zero; smaller ones are raised to it.
pub const WEIGHT_MIN: f64 = 0.01;

/// The group of a grouped name; empty when there is none.
pub fn group_of(grouped: &str) -> &str {
    java::split(grouped, SPLITTER).first().copied().unwrap_or_default()
}

/// The name without its group. Official Nacos fails on names that end at the separator (`x@@`); here they have the
/// empty name (compat/DIFFERENCES.md).
pub fn name_of(grouped: &str) -> &str {
    if !grouped.contains(SPLITTER) {
        return grouped;
    }
    java::split(grouped, SPLITTER).get(1).copied().unwrap_or_default()
}

/// `checkServiceNameFormat`.
pub fn service_name_format(grouped: &str) -> Result<(), NamingError> {
    if java::split(grouped, SPLITTER).len() <= 1 {
        return Err(NamingError::illegal(
            "Param 'serviceName' is illegal, it should be format as 'groupName@@serviceName'",
        ));
    }
    Ok(())
}

/// Checked when a service is created.
pub fn service_name_syntax(grouped: &str) -> Result<(), NamingError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"@.:_-".contains(&byte);
    if grouped.is_empty() || !grouped.bytes().all(legal) {
        return Err(NamingError::illegal(format!(
            "dom name can only have these characters: 0-9a-zA-Z-._:, current: {grouped}"
        )));
    }
    Ok(())
}

/// Official Nacos keeps a folder per namespace, and looks there when a service is created by a registration.
pub fn storable_namespace(id: &ServiceId) -> Result<(), NamingError> {
    let fits = |part: &str| part.len() <= FILE_NAME_BYTES_MAX && !part.contains('\0');
    if id.namespace.split('/').all(fits) {
        return Ok(());
    }
    let (namespace, name) = (&id.namespace, &id.name);
    Err(NamingError::internal(format!("Get data failed, key: com.alibaba.nacos.naming.iplist.{namespace}##{name}")))
}

/// Checked when a cluster is created.
pub fn cluster_name_syntax(name: &str) -> Result<(), NamingError> {
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(NamingError::illegal(format!(
            "cluster name can only have these characters: 0-9a-zA-Z-, current: {name}"
        )));
    }
    Ok(())
}

/// `Instance.validate`.
pub fn instance(instance: &Instance) -> Result<(), NamingError> {
    let numeric = !instance.ip.is_empty() && instance.ip.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if numeric && !is_ipv4(&instance.ip) {
        return Err(NamingError::illegal(format!("The IPv4 address(\"{}\") is incorrect.", instance.ip)));
    }
    weight(instance.weight)
}

/// The weight's range; not a number passes.
pub fn weight(weight: f64) -> Result<(), NamingError> {
    if weight.is_nan() || (0.0..=WEIGHT_MAX).contains(&weight) {
        return Ok(());
    }
    Err(NamingError::invalid("instance format invalid: The weights range from 0.0 to 10000.0"))
}

/// The weight as it is stored.
pub fn stored_weight(weight: f64) -> f64 {
    if weight > WEIGHT_MAX {
        WEIGHT_MAX
    } else if weight > 0.0 && weight < WEIGHT_MIN {
        WEIGHT_MIN
    } else {
        weight
    }
}

/// What the Java resolver takes as a literal: one to four numbers, the last filling the rest.
pub fn is_ipv4(text: &str) -> bool {
    if text.is_empty() || text.len() > 15 {
        return false;
    }
    let parts: Vec<&str> = text.split('.').collect();
    let Some((last, first)) = parts.split_last() else { return false };
    if first.len() > 3 {
        return false;
    }
    let number = |part: &str| part.parse::<u64>().ok().filter(|_| part.bytes().all(|byte| byte.is_ascii_digit()));
    let last_max = (1u64 << (8 * (4 - first.len()))) - 1;
    first.iter().all(|part| number(part).is_some_and(|value| value <= 255))
        && number(last).is_some_and(|value| value <= last_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        // compat/spec/naming-api.md §2
        for good in ["1.2.3", "0", "1", "256", "127.0.0.1", "4294967295"] {
            assert!(is_ipv4(good), "{good}");
        }
        for bad in ["4294967296", ".", "...", "1.2.3.4.5", "999.1.1.1", "1..2"] {
            assert!(!is_ipv4(bad), "{bad}");
        }
    }

    #[test]
    fn names() {
        assert!(service_name_format("@@x").is_ok());
        for bad in ["g@@", "@@", "@@@@", ""] {
            assert!(service_name_format(bad).is_err(), "{bad}");
        }
        assert_eq!((group_of("a@@b@@c"), name_of("a@@b@@c")), ("a", "b"));
        assert_eq!((group_of("x@@"), name_of("x@@")), ("x", ""));
        assert!(service_name_syntax("g_8-:.@@@a-g8").is_ok());
        assert!(service_name_syntax("DEFAULT_GROUP@@a b").is_err());
    }
}
