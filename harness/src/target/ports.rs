//! Port pairs for a cluster: P for HTTP and P − 1000 for the raft port every Nacos node derives from it
//! (`compat/spec/reference-targets.md` §4.1).
//!
//! A reserved pair is held by two abstract Unix sockets, one per port. They live in the network namespace, exactly
//! like the ports they stand for, leave no file behind, and the kernel lets go of them however the process dies.

use std::net::TcpListener;
use std::ops::RangeInclusive;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use anyhow::{Context, bail};
use rand::seq::SliceRandom;

use crate::client::raft::PORT_OFFSET;

/// HTTP port of a node that has an address of its own.
const OFFICIAL_PORT: u16 = 8848;

/// Lowest HTTP port taken by default: with five digits throughout, addresses sort like their numbers.
const PORT_MIN: u16 = 11_000;

/// Begin of the ephemeral range where the kernel does not say (its own default).
const EPHEMERAL_MIN: u16 = 32_768;

/// Ports of one cluster, in ascending order, and what holds them against other runs of the harness.
#[derive(Debug)]
pub(crate) struct Ports {
    pub(crate) http: Vec<u16>,
    _held: Vec<UnixListener>,
}

impl Ports {
    /// The official port for every node, where each has an address of its own.
    pub(crate) fn official(count: usize) -> Self {
        Self { http: vec![OFFICIAL_PORT; count], _held: Vec::new() }
    }

    /// Reserves `count` pairs at random within `range` (HTTP ports), by default below the ephemeral range.
    pub(crate) fn reserve(count: usize, range: Option<&RangeInclusive<u16>>) -> anyhow::Result<Self> {
        let (low, high) = match range {
            Some(range) => (*range.start(), *range.end()),
            None => (PORT_MIN, ephemeral_min().saturating_sub(1)),
        };
        if low <= PORT_OFFSET || low > high {
            bail!("no usable ports between {low} and {high}: each node also needs its port minus {PORT_OFFSET}");
        }
        let mut candidates: Vec<u16> = (low..=high).collect();
        candidates.shuffle(&mut rand::rng());

        let mut http = Vec::with_capacity(count);
        let mut held = Vec::with_capacity(2 * count);
        for port in candidates {
            if http.len() == count {
                break;
            }
            if let Some(pair) = hold_pair(port) {
                http.push(port);
                held.extend(pair);
            }
        }
        if http.len() < count {
            bail!("only {} of {count} free port pairs found between {low} and {high}", http.len());
        }
        http.sort_unstable();
        Ok(Self { http, _held: held })
    }
}

/// Claims both ports, or neither.
fn hold_pair(port: u16) -> Option<[UnixListener; 2]> {
    let raft = port - PORT_OFFSET;
    let pair = [hold(port).ok()?, hold(raft).ok()?];
    (is_free(port) && is_free(raft)).then_some(pair)
}

fn hold(port: u16) -> anyhow::Result<UnixListener> {
    let name = SocketAddr::from_abstract_name(format!("tandem-port-{port}"))?;
    UnixListener::bind_addr(&name).with_context(|| format!("port {port} is held by another run"))
}

/// Nothing listens on the port on any address.
fn is_free(port: u16) -> bool {
    TcpListener::bind(("0.0.0.0", port)).is_ok()
}

fn ephemeral_min() -> u16 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .filter(|low| *low > PORT_MIN)
        .unwrap_or(EPHEMERAL_MIN)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn pairs_are_ascending_and_distinct() {
        let ports = Ports::reserve(5, Some(&(14_000..=14_900))).unwrap();
        assert!(ports.http.is_sorted());
        let all: HashSet<u16> = ports.http.iter().flat_map(|port| [*port, port - PORT_OFFSET]).collect();
        assert_eq!(all.len(), 10);
    }

    #[test]
    fn a_pair_is_not_given_twice_and_comes_back() {
        let first = Ports::reserve(1, None).unwrap();
        let port = first.http[0];
        let again = Ports::reserve(1, Some(&(port..=port)));
        assert!(again.is_err(), "{again:?}");
        drop(first);
        assert_eq!(Ports::reserve(1, Some(&(port..=port))).unwrap().http, [port]);
    }

    #[test]
    fn a_port_in_use_is_passed_over_also_as_raft_port() {
        let busy = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = busy.local_addr().unwrap().port();
        assert!(Ports::reserve(1, Some(&(port..=port))).is_err());
        if let Some(above) = port.checked_add(PORT_OFFSET) {
            assert!(Ports::reserve(1, Some(&(above..=above))).is_err());
        }
    }

    #[test]
    fn a_range_without_room_for_the_raft_port_is_refused() {
        assert!(Ports::reserve(1, Some(&(900..=1000))).is_err());
    }
}
