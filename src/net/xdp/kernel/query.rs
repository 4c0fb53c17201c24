//! Questions to the kernel: which interfaces there are, and which way a datagram would go.

use std::io;
use std::net::Ipv4Addr;

use rustix::io::Errno;

use crate::net::xdp::kernel::netlink::Netlink;
use crate::net::xdp::kernel::rtnetlink::{
    self, Link, Neighbour, get_addresses, get_links, get_neighbour, get_route, read_address,
    read_link, read_neighbour, read_route,
};

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its number in this network namespace, from 1.
    pub index: u32,
    /// Its name, such as `eth0`.
    pub name: String,
    /// Its hardware address; zeros if it has none of six bytes.
    pub mac: [u8; 6],
    /// The largest IP packet it sends, in bytes.
    pub mtu: u32,
    /// Whether it is switched on and has something to talk to.
    pub is_up: bool,
    /// Whether what it sends comes back to this host.
    pub is_loopback: bool,
    /// Whether its frames are those of Ethernet.
    pub is_ethernet: bool,
    /// What it is, where it is no device of its own, such as `veth` or `bond`.
    pub kind: Option<String>,
    /// Its addresses of IPv4 and the bits of their networks.
    pub addresses: Vec<(Ipv4Addr, u8)>,
}

/// What the kernel does with a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteKind {
    /// It goes to one neighbour.
    Unicast,
    /// It is for this host.
    Local,
    /// It goes to all of a network.
    Broadcast,
    /// It goes to a group.
    Multicast,
    /// It goes nowhere: there is no route, or one that forbids it.
    Unreachable,
    /// It goes where more is needed than an Ethernet header: it is wrapped up, or its next hop has an address of IPv6.
    Unsupported,
}

/// The way of a datagram, as the kernel would choose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// What is done with it.
    pub kind: RouteKind,
    /// By which interface it leaves; 0 if it does not.
    pub interface: u32,
    /// The address it comes from.
    pub source: Ipv4Addr,
    /// Whose hardware address it goes to: a gateway's, or the destination's.
    pub next_hop: Ipv4Addr,
    /// The largest IP packet of this way in bytes, where that is less than its interface's or was set.
    pub mtu: Option<u32>,
}

/// All interfaces of the calling thread's network namespace, by number. Some system calls; needs no privilege.
///
/// # Errors
/// As the kernel says.
pub fn interfaces() -> io::Result<Vec<Interface>> {
    let mut netlink = Netlink::for_requests()?;
    let body = get_addresses();
    let addresses: Vec<(u32, Ipv4Addr, u8)> =
        netlink.dump(rtnetlink::kind::GET_ADDRESS, &body, |all: &mut Vec<_>, body| {
            all.extend(read_address(body));
        })?;
    let whole = |link: Link| Interface {
        index: link.index,
        name: link.name,
        mac: link.mac,
        mtu: link.mtu,
        is_up: link.is_up,
        is_loopback: link.is_loopback,
        is_ethernet: link.is_ethernet,
        kind: link.kind,
        addresses: addresses
            .iter()
            .filter(|(index, ..)| *index == link.index)
            .map(|(_, address, bits)| (*address, *bits))
            .collect(),
    };
    let mut all: Vec<Interface> = ask_links(&mut netlink)?.into_iter().map(whole).collect();
    all.sort_by_key(|interface| interface.index);
    Ok(all)
}

/// Which way the kernel would send a UDP datagram to `to`, from the address `from` and by `out_interface` where they are given: by
/// the routing rules and tables of the calling thread's network namespace. Some system calls; needs no privilege.
///
/// # Errors
/// As the kernel says; that there is no way is none.
pub fn route(
    to: Ipv4Addr,
    from: Option<Ipv4Addr>,
    out_interface: Option<u32>,
) -> io::Result<Route> {
    ask_route(&mut Netlink::for_requests()?, to, from, out_interface)
}

pub(super) fn ask_links(netlink: &mut Netlink) -> io::Result<Vec<Link>> {
    netlink.dump(rtnetlink::kind::GET_LINK, &get_links(), |all: &mut Vec<_>, body| {
        all.extend(read_link(body));
    })
}

pub(super) fn ask_route(
    netlink: &mut Netlink,
    to: Ipv4Addr,
    from: Option<Ipv4Addr>,
    out_interface: Option<u32>,
) -> io::Result<Route> {
    let mut answer = None;
    let body = get_route(to, from, out_interface);
    let asked = netlink.request(rtnetlink::kind::GET_ROUTE, 0, &body, |kind, body| {
        if kind == rtnetlink::kind::NEW_ROUTE {
            answer = read_route(body);
        }
    });
    let nowhere = |kind| Route {
        kind,
        interface: 0,
        source: from.unwrap_or(Ipv4Addr::UNSPECIFIED),
        next_hop: to,
        mtu: None,
    };
    match asked {
        Ok(()) => {}
        Err(error) if means_unreachable(&error) => return Ok(nowhere(RouteKind::Unreachable)),
        Err(error) => return Err(error),
    }
    let Some(way) = answer else { return Ok(nowhere(RouteKind::Unreachable)) };
    let kind = match way.kind {
        _ if way.is_unsupported => RouteKind::Unsupported,
        1 => RouteKind::Unicast,
        2 => RouteKind::Local,
        3 => RouteKind::Broadcast,
        5 => RouteKind::Multicast,
        _ => RouteKind::Unreachable,
    };
    Ok(Route {
        kind,
        interface: way.interface,
        source: way.source.or(from).unwrap_or(Ipv4Addr::UNSPECIFIED),
        next_hop: way.gateway.unwrap_or(to),
        mtu: way.mtu,
    })
}

/// What the kernel says instead of a route: none, one of type unreachable, prohibit or blackhole, a source address that is not
/// ours, an interface that is gone.
fn means_unreachable(error: &io::Error) -> bool {
    [Errno::NETUNREACH, Errno::HOSTUNREACH, Errno::ACCESS, Errno::INVAL, Errno::NODEV]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// What the kernel knows of a neighbour; `None` if nothing.
pub(super) fn ask_neighbour(
    netlink: &mut Netlink,
    interface: u32,
    address: Ipv4Addr,
) -> io::Result<Option<Neighbour>> {
    let mut answer = None;
    let body = get_neighbour(interface, address);
    let asked = netlink.request(rtnetlink::kind::GET_NEIGHBOUR, 0, &body, |kind, body| {
        if kind == rtnetlink::kind::NEW_NEIGHBOUR {
            answer = read_neighbour(body);
        }
    });
    match asked {
        Ok(()) => Ok(answer),
        Err(error) if is_unknown(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// No such neighbour, or no such interface.
fn is_unknown(error: &io::Error) -> bool {
    [Errno::NOENT, Errno::NODEV]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
