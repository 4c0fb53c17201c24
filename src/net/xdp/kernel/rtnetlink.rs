//! The messages of rtnetlink that are asked for and heard (rtnetlink(7)), read attribute by attribute.
//!
//! Only what is needed is looked at, so that no attribute of a newer kernel makes an interface or a route unreadable.

use std::net::Ipv4Addr;

use crate::net::xdp::kernel::netlink::{attributes, push_attribute};

/// Types of messages (`linux/rtnetlink.h`).
pub(super) mod kind {
    pub(crate) const NEW_LINK: u16 = 16;
    pub(crate) const DELETE_LINK: u16 = 17;
    pub(crate) const GET_LINK: u16 = 18;
    pub(crate) const GET_ADDRESS: u16 = 22;
    pub(crate) const NEW_ROUTE: u16 = 24;
    pub(crate) const GET_ROUTE: u16 = 26;
    pub(crate) const NEW_NEIGHBOUR: u16 = 28;
    pub(crate) const DELETE_NEIGHBOUR: u16 = 29;
    pub(crate) const GET_NEIGHBOUR: u16 = 30;
}

/// What is heard, as a mask of the groups' numbers (`RTNLGRP_…`): links, neighbours, and of IPv4 addresses, routes and rules; and
/// next hops that routes share.
pub(super) const GROUPS: u32 = group(1) | group(3) | group(5) | group(7) | group(8) | group(32);

const fn group(number: u32) -> u32 {
    1 << (number - 1)
}

const AF_UNSPEC: u8 = 0;
const AF_INET: u8 = 2;
const ARPHRD_ETHER: u16 = 1;
/// The interface is up, loops back, and has something to talk to (`linux/if.h`).
const IFF_UP: u32 = 1;
const IFF_LOOPBACK: u32 = 8;
const IFF_RUNNING: u32 = 64;
/// A neighbour's states in which the kernel sends to the address it has (`linux/neighbour.h`): reachable, stale, delay, probe,
/// no ARP, permanent.
const NUD_USABLE: u16 = 0x02 | NUD_STALE | 0x08 | 0x10 | 0x40 | 0x80;
const NUD_STALE: u16 = 0x04;
const UDP: u8 = 17;

/// Two, four or six bytes at a place; `None` beyond the end.
fn at<const N: usize>(bytes: &[u8], place: usize) -> Option<[u8; N]> {
    bytes.get(place..)?.first_chunk::<N>().copied()
}

fn number(value: &[u8]) -> Option<u32> {
    at(value, 0).map(u32::from_ne_bytes)
}

fn address(value: &[u8]) -> Option<Ipv4Addr> {
    at::<4>(value, 0).map(Ipv4Addr::from)
}

fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

/// An interface as a message tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub index: u32,
    pub name: String,
    pub mac: [u8; 6],
    pub mtu: u32,
    pub is_up: bool,
    pub is_loopback: bool,
    pub is_ethernet: bool,
    pub kind: Option<String>,
}

/// Reads `struct ifinfomsg` and its attributes; `None` for what is told of another family's view of an interface, such as that it
/// left a bridge.
pub(super) fn read_link(body: &[u8]) -> Option<Link> {
    if *body.first()? != AF_UNSPEC {
        return None;
    }
    let flags = u32::from_ne_bytes(at(body, 8)?);
    let mut link = Link {
        index: u32::from_ne_bytes(at(body, 4)?),
        is_up: flags & IFF_UP != 0 && flags & IFF_RUNNING != 0,
        is_loopback: flags & IFF_LOOPBACK != 0,
        is_ethernet: u16::from_ne_bytes(at(body, 2)?) == ARPHRD_ETHER,
        ..Link::default()
    };
    for (kind, value) in attributes(body.get(16..)?) {
        match kind {
            1 if value.len() == 6 => link.mac = at(value, 0)?,
            3 => link.name = text(value),
            4 => link.mtu = number(value)?,
            18 => {
                link.kind =
                    attributes(value).find(|(kind, _)| *kind == 1).map(|(_, name)| text(name));
            }
            _ => {}
        }
    }
    Some(link)
}

/// Asks for all links.
pub(super) fn get_links() -> Vec<u8> {
    vec![0; 16]
}

/// Asks for all addresses of IPv4.
pub(super) fn get_addresses() -> Vec<u8> {
    vec![AF_INET, 0, 0, 0, 0, 0, 0, 0]
}

/// Reads `struct ifaddrmsg`: the interface, its address, the bits of its network.
pub(super) fn read_address(body: &[u8]) -> Option<(u32, Ipv4Addr, u8)> {
    let [family, prefix] = at(body, 0)?;
    if family != AF_INET {
        return None;
    }
    let (mut local, mut peer) = (None, None);
    for (kind, value) in attributes(body.get(8..)?) {
        match kind {
            1 => peer = address(value),
            2 => local = address(value), // what is ours, where both ends of a link are told
            _ => {}
        }
    }
    Some((u32::from_ne_bytes(at(body, 4)?), local.or(peer)?, prefix))
}

/// A route as the answer to a question tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Way {
    /// `RTN_…`: unicast 1, local 2, broadcast 3, multicast 5.
    pub kind: u8,
    pub interface: u32,
    pub source: Option<Ipv4Addr>,
    pub gateway: Option<Ipv4Addr>,
    /// The next hop has an address of another family, or the packet is to be wrapped up.
    pub is_unsupported: bool,
    pub mtu: Option<u32>,
}

/// Asks for the way of a UDP datagram.
pub(super) fn get_route(
    to: Ipv4Addr,
    from: Option<Ipv4Addr>,
    out_interface: Option<u32>,
) -> Vec<u8> {
    let source_bits = if from.is_some() { 32 } else { 0 };
    let mut body = vec![AF_INET, 32, source_bits, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    push_attribute(&mut body, 1, &to.octets());
    if let Some(from) = from {
        push_attribute(&mut body, 2, &from.octets());
    }
    if let Some(interface) = out_interface {
        push_attribute(&mut body, 4, &interface.to_ne_bytes());
    }
    push_attribute(&mut body, 27, &[UDP]);
    body
}

/// Reads `struct rtmsg`.
pub(super) fn read_route(body: &[u8]) -> Option<Way> {
    let mut way = Way { kind: *body.get(7)?, ..Way::default() };
    for (kind, value) in attributes(body.get(12..)?) {
        match kind {
            4 => way.interface = number(value)?,
            5 => way.gateway = address(value),
            7 => way.source = address(value),
            8 => {
                let mtu = attributes(value).find(|(kind, _)| *kind == 2);
                way.mtu = mtu.and_then(|(_, value)| number(value)).filter(|mtu| *mtu != 0);
            }
            18 | 22 => way.is_unsupported = true,
            _ => {}
        }
    }
    Some(way)
}

/// A neighbour as a message tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Neighbour {
    pub interface: u32,
    pub address: Ipv4Addr,
    /// Where it is, while the kernel would send there.
    pub mac: Option<[u8; 6]>,
    /// The kernel would send there and look whether it still is there.
    pub is_stale: bool,
}

/// Asks for one neighbour.
pub(super) fn get_neighbour(interface: u32, address: Ipv4Addr) -> Vec<u8> {
    let mut body = vec![AF_INET, 0, 0, 0];
    body.extend(interface.to_ne_bytes());
    body.extend([0, 0, 0, 0]);
    push_attribute(&mut body, 1, &address.octets());
    body
}

/// Reads `struct ndmsg`; `None` for those of other families.
pub(super) fn read_neighbour(body: &[u8]) -> Option<Neighbour> {
    if *body.first()? != AF_INET {
        return None;
    }
    let state = u16::from_ne_bytes(at(body, 8)?);
    let (mut to, mut mac) = (None, None);
    for (kind, value) in attributes(body.get(12..)?) {
        match kind {
            1 => to = address(value),
            2 if value.len() == 6 => mac = at(value, 0),
            _ => {}
        }
    }
    Some(Neighbour {
        interface: u32::from_ne_bytes(at(body, 4)?),
        address: to?,
        mac: mac.filter(|_| state & NUD_USABLE != 0),
        is_stale: state & NUD_STALE != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_of_another_kernel_is_read_for_what_is_known() {
        let mut body = vec![0, 0, 1, 0];
        body.extend(7_u32.to_ne_bytes());
        body.extend((IFF_UP | IFF_RUNNING).to_ne_bytes());
        body.extend([0; 4]);
        push_attribute(&mut body, 3, b"eth9\0");
        push_attribute(&mut body, 999, b"of tomorrow");
        push_attribute(&mut body, 1, &[2, 0, 0, 0, 0, 9]);
        push_attribute(&mut body, 4, &9_000_u32.to_ne_bytes());
        let mut nested = Vec::new();
        push_attribute(&mut nested, 1, b"veth\0");
        push_attribute(&mut body, 18, &nested);
        let link = read_link(&body).expect("a link");
        assert_eq!((link.index, link.name.as_str(), link.mtu), (7, "eth9", 9_000));
        assert_eq!((link.mac, link.kind.as_deref()), ([2, 0, 0, 0, 0, 9], Some("veth")));
        assert!(link.is_up && link.is_ethernet && !link.is_loopback);
        body[0] = 7; // AF_BRIDGE
        assert_eq!(read_link(&body), None);
    }

    #[test]
    fn a_neighbour_has_an_address_in_usable_states_only() {
        for (state, is_usable) in [
            (0x00_u16, false), // none
            (0x01, false),     // incomplete
            (0x02, true),
            (0x04, true),
            (0x08, true),
            (0x10, true),
            (0x20, false), // failed
            (0x40, true),
            (0x80, true),
        ] {
            let mut body = get_neighbour(3, Ipv4Addr::new(10, 0, 0, 2));
            body[8..10].copy_from_slice(&state.to_ne_bytes());
            push_attribute(&mut body, 2, &[2, 0, 0, 0, 0, 2]);
            let neighbour = read_neighbour(&body).expect("a neighbour");
            assert_eq!((neighbour.interface, neighbour.address.octets()), (3, [10, 0, 0, 2]));
            assert_eq!(neighbour.mac.is_some(), is_usable, "{state:#x}");
            assert_eq!(neighbour.is_stale, state == 4);
        }
    }

    #[test]
    fn cut_messages_are_none() {
        let mut link = vec![0; 16];
        push_attribute(&mut link, 4, &1_500_u32.to_ne_bytes());
        assert!((0..16).all(|cut| read_link(&link[..cut]).is_none()));
        let neighbour = get_neighbour(3, Ipv4Addr::LOCALHOST);
        assert!((0..neighbour.len()).all(|cut| read_neighbour(&neighbour[..cut]).is_none()));
        let route = get_route(Ipv4Addr::LOCALHOST, None, None);
        assert!((0..12).all(|cut| read_route(&route[..cut]).is_none()));
        assert!((0..8).all(|cut| read_address(&get_addresses()[..cut]).is_none()));
    }
}
