//! What is asked of the kernel about a device, by rtnetlink(7): set it up, lengthen its queue, give it an address. It
//! concerns the network namespace of the calling thread.

use std::net::Ipv4Addr;

use anyhow::Context;
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

/// Index of the loopback device, in every namespace.
pub(super) const LOOPBACK: u32 = 1;

// Of linux/netlink.h, linux/rtnetlink.h and linux/if.h.
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const NLMSG_ERROR: u16 = 2;
const IFF_UP: u32 = 1;
const IFLA_TXQLEN: u16 = 13;
const AF_INET: u8 = 2;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;

/// Sets a device up.
pub(super) fn set_up(device: u32) -> anyhow::Result<()> {
    change_link(device, &[]).with_context(|| format!("cannot set up network device {device}"))
}

/// Lets a device hold so many packets that nobody has taken yet. The older way to ask is closed to user namespaces.
pub(super) fn lengthen_queue(device: u32, packets: u32) -> anyhow::Result<()> {
    let mut attribute = 8_u16.to_ne_bytes().to_vec();
    attribute.extend(IFLA_TXQLEN.to_ne_bytes());
    attribute.extend(packets.to_ne_bytes());
    change_link(device, &attribute).context("cannot lengthen the queue of a network device")
}

/// Changes what the attributes say, and sets the device up.
fn change_link(device: u32, attributes: &[u8]) -> anyhow::Result<()> {
    // struct ifinfomsg: family, padding, type; index; flags; which flags change.
    let mut message = vec![0_u8; 4];
    message.extend(device.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    message.extend(attributes);
    ask(RTM_NEWLINK, 0, &message)
}

/// Gives a device an address; everything under its `prefix` is reached by the device.
pub(super) fn add_address(device: u32, address: Ipv4Addr, prefix: u8) -> anyhow::Result<()> {
    // struct ifaddrmsg: family, prefix length, flags, scope; index. Then two attributes: length, kind, value.
    let mut message = vec![AF_INET, prefix, 0, 0];
    message.extend(device.to_ne_bytes());
    for kind in [IFA_LOCAL, IFA_ADDRESS] {
        message.extend(8_u16.to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(address.octets());
    }
    ask(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &message).with_context(|| format!("cannot set the address {address}"))
}

/// Sends one request and waits for its acknowledgement.
fn ask(kind: u16, flags: u16, payload: &[u8]) -> anyhow::Result<()> {
    // No protocol is protocol 0, NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)
        .context("no rtnetlink socket")?;
    // struct nlmsghdr: length of all, kind, flags; sequence; port.
    let mut message = u32::try_from(16 + payload.len()).context("a long message")?.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_ACK | flags).to_ne_bytes());
    message.extend([0; 8]);
    message.extend(payload);
    sendto(&socket, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut answer = [0_u8; 512];
    let (_, length) = recv(&socket, answer.as_mut_slice(), RecvFlags::empty())?;
    match errno(answer.get(..length).unwrap_or_default()).context("an answer that is no acknowledgement")? {
        0 => Ok(()),
        code => Err(Errno::from_raw_os_error(code).into()),
    }
}

/// The error number of an acknowledgement, 0 for none.
fn errno(answer: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let code = i32::from_ne_bytes(answer.get(16..20)?.try_into().ok()?);
    (kind == NLMSG_ERROR).then_some(-code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_is_told_from_an_error_and_from_anything_else() {
        let answer = |kind: u16, code: i32| {
            let mut answer = vec![36, 0, 0, 0];
            answer.extend(kind.to_ne_bytes());
            answer.extend([0; 10]);
            answer.extend(code.to_ne_bytes());
            answer
        };
        assert_eq!(errno(&answer(NLMSG_ERROR, 0)), Some(0));
        assert_eq!(errno(&answer(NLMSG_ERROR, -1)), Some(1));
        assert_eq!(errno(&answer(RTM_NEWLINK, 0)), None);
        assert_eq!(errno(&[0; 5]), None);
    }

    #[test]
    fn the_kernel_understands_the_question_and_refuses_what_is_not_there() {
        let error = set_up(u32::MAX >> 1).unwrap_err();
        let code = error.downcast_ref::<Errno>();
        assert!(matches!(code, Some(&Errno::NODEV | &Errno::PERM | &Errno::INVAL)), "{error:#}");
    }
}
