//! Which address this node goes by when nobody says (compat/spec/membership.md §2.3).

use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};

use if_addrs::IfAddr;
use regex::Regex;

use super::layers::{Layers, SettingsError};

/// The address as its peers must write it: an explicit value, the host name if preferred, else the first non-loopback
/// IPv4 address of the interface with the lowest index that the filters let through.
///
/// # Errors
/// An explicit value that is neither an IP nor a resolvable name, or no address at all.
pub(super) fn choose(layers: &Layers) -> Result<String, SettingsError> {
    for key in ["nacos.server.ip", "nacos.inetutils.ip-address"] {
        if let Some(found) = layers.get(key)? {
            return match resolvable(&found.value) {
                true => Ok(found.value),
                false => Err(SettingsError::wrong(key, &found, "an IP address or a host name that resolves")),
            };
        }
    }
    let prefer_name = layers.switch("nacos.preferHostnameOverIp", false)?
        || layers.switch("nacos.inetutils.prefer-hostname-over-ip", false)?;
    let name = host_name();
    if prefer_name {
        return name.ok_or_else(|| SettingsError("the host has no name to go by; set nacos.server.ip".to_owned()));
    }
    let filter = Filter::read(layers)?;
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let candidates = interfaces.iter().filter_map(|interface| match &interface.addr {
        IfAddr::V4(v4) => Some((interface.index.unwrap_or(u32::MAX), interface.name.as_str(), v4.ip)),
        IfAddr::V6(_) => None,
    });
    filter
        .first(candidates)
        .map(|ip| ip.to_string())
        .or_else(|| name.as_deref().and_then(resolve_v4).map(|ip| ip.to_string()))
        .ok_or_else(|| SettingsError("this host has no address that peers can reach; set nacos.server.ip".to_owned()))
}

struct Filter {
    site_local_only: bool,
    networks: Vec<(String, Option<Regex>)>,
    ignored: Vec<Regex>,
}

impl Filter {
    fn read(layers: &Layers) -> Result<Self, SettingsError> {
        let ignored_key = "nacos.inetutils.ignored-interfaces";
        let ignored = layers.list(ignored_key)?.into_iter().map(|text| {
            whole(&text).ok_or_else(|| {
                SettingsError(format!("{ignored_key} holds \"{text}\", which is not a regular expression"))
            })
        });
        let networks = layers.list("nacos.inetutils.preferred-networks")?;
        Ok(Filter {
            site_local_only: layers.switch("nacos.inetutils.use-only-site-local-interfaces", false)?,
            networks: networks.into_iter().map(|text| (text.clone(), whole(&text))).collect(),
            ignored: ignored.collect::<Result<_, _>>()?,
        })
    }

    /// Lowest interface index first; within an interface the first address the kernel lists.
    fn first<'a>(&self, candidates: impl Iterator<Item = (u32, &'a str, Ipv4Addr)>) -> Option<Ipv4Addr> {
        candidates
            .filter(|(_, name, ip)| {
                !ip.is_loopback() && !self.ignored.iter().any(|regex| regex.is_match(name)) && self.preferred(*ip)
            })
            .min_by_key(|(index, ..)| *index)
            .map(|(.., ip)| ip)
    }

    fn preferred(&self, ip: Ipv4Addr) -> bool {
        if self.site_local_only {
            return ip.is_private();
        }
        let text = ip.to_string();
        self.networks.is_empty()
            || self.networks.iter().any(|(prefix, regex)| {
                text.starts_with(prefix.as_str()) || regex.as_ref().is_some_and(|regex| regex.is_match(&text))
            })
    }
}

/// Java's `String.matches`: the whole text.
fn whole(expression: &str) -> Option<Regex> {
    Regex::new(&format!("^(?:{expression})$")).ok()
}

fn resolvable(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().is_ok() || (bare, 0).to_socket_addrs().is_ok_and(|mut found| found.next().is_some())
}

fn resolve_v4(host: &str) -> Option<Ipv4Addr> {
    (host, 0).to_socket_addrs().ok()?.find_map(|address| match address.ip() {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    })
}

fn host_name() -> Option<String> {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(values: &[(&str, &str)]) -> Filter {
        let mut layers = Layers::default();
        for (key, value) in values {
            layers.set(key, *value, super::super::layers::Origin::Default);
        }
        Filter::read(&layers).unwrap()
    }

    #[test]
    fn chooses_like_the_official_node() {
        let hosts =
            [(1, "lo", "127.0.0.1"), (7, "docker0", "172.17.0.1"), (2, "eth0", "10.0.0.5"), (2, "eth0", "8.8.8.8")];
        let pick = |values: &[(&str, &str)]| {
            let hosts = hosts.iter().map(|(index, name, ip)| (*index, *name, ip.parse().unwrap()));
            filter(values).first(hosts).map(|ip: Ipv4Addr| ip.to_string())
        };
        let networks = "nacos.inetutils.preferred-networks";
        for (values, chosen) in [
            (vec![], Some("10.0.0.5")),
            (vec![(networks, "172.17")], Some("172.17.0.1")),
            (vec![(networks, r"8\..*")], Some("8.8.8.8")),
            (
                vec![("nacos.inetutils.preferred-networks[0]", "9."), ("nacos.inetutils.preferred-networks[1]", "172")],
                Some("172.17.0.1"),
            ),
            (vec![("nacos.inetutils.ignored-interfaces", "eth.*")], Some("172.17.0.1")),
            (vec![("nacos.inetutils.ignored-interfaces", "eth")], Some("10.0.0.5")),
            (vec![(networks, "8.8"), ("nacos.inetutils.use-only-site-local-interfaces", "true")], Some("10.0.0.5")),
            (vec![(networks, "192.168")], None),
        ] {
            assert_eq!(pick(&values).as_deref(), chosen, "{values:?}");
        }
    }

    #[test]
    fn an_explicit_value_must_resolve() {
        let mut layers = Layers::default();
        layers.set("nacos.inetutils.ip-address", "127.0.0.9", super::super::layers::Origin::Default);
        assert_eq!(choose(&layers).unwrap(), "127.0.0.9");
        layers.set("nacos.server.ip", "no such host", super::super::layers::Origin::Flag("--ip".to_owned()));
        let error = choose(&layers).unwrap_err().to_string();
        assert_eq!(
            error,
            "nacos.server.ip is \"no such host\" (from the flag --ip), but it must be an IP address or a host name that resolves"
        );
    }
}
