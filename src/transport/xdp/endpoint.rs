//! One of the driver's transports: a UDP socket of the kernel's, and what of it goes past the kernel.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use crate::net::xdp::Path;
use crate::net::xdp::kernel::{self, Destination, RouteKind, SocketFlag};
use crate::transport::xdp::Shared;
use crate::transport::xdp::counts::Count;
use crate::transport::xdp::lane::{EndpointId, Sent, Side};

/// Destinations a transport keeps the way to. Those beyond take the place of those not used for longest.
const WAYS_MAX: usize = 64;

/// What the driver asks of a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) side: Side,
    /// Whether its addresses, below, are those of IPv4.
    pub(super) is_ipv4: bool,
    /// Where it receives: an address of this host, any (unspecified), or a group.
    pub(super) bound: SocketAddrV4,
    /// Where what it sends comes from, as far as its socket says.
    pub(super) source: SocketAddrV4,
    /// The only one it sends to, if there is one.
    pub(super) connected: Option<SocketAddrV4>,
    /// The interface of its group, by address; unspecified: by the route to the group.
    pub(super) multicast_interface: Ipv4Addr,
    pub(super) multicast_ttl: u8,
    pub(super) tos: u8,
    /// Whether the kernel is to stamp what it receives.
    pub(super) wants_stamps: bool,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let half = match self.side {
            Side::Sender => "sender",
            Side::Receiver => "receiver",
        };
        write!(f, "Aeron {half} at {}", self.bound)?;
        match self.connected {
            Some(to) => write!(f, " to {to}"),
            None => Ok(()),
        }
    }
}

/// Where datagrams to one destination go.
#[derive(Debug)]
struct Way {
    to: SocketAddrV4,
    destination: Arc<Destination>,
    /// Of the destination when the path was made of it.
    version: u64,
    ready: Option<Ready>,
}

/// A way that can be gone past the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ready {
    /// Which lane.
    pub(super) lane: usize,
    pub(super) path: Path,
    pub(super) mtu: u32,
}

/// One transport.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) shared: Arc<Shared>,
    pub(super) asked: Asked,
    /// What it receives past the kernel: lanes, and addresses there. Empty: nothing.
    pub(super) flows: Vec<(usize, SocketAddrV4)>,
    /// Its number while it is polled.
    pub(super) id: Option<EndpointId>,
    /// Whether its kernel socket has something.
    pub(super) flag: Option<Arc<SocketFlag>>,
    out_interface: Option<u32>,
    ways: Vec<Way>,
    /// The way used last, and the one to be replaced next.
    last: usize,
    next: usize,
}

impl Endpoint {
    /// The transport over its kernel `socket`. What of it goes past the kernel, or why nothing does, is told.
    pub(super) fn new(shared: Arc<Shared>, asked: Asked, socket: BorrowedFd<'_>) -> Endpoint {
        let found = receive_at(&shared, &asked).and_then(|(flows, interface)| {
            let flag = shared.watcher.watch_socket(socket);
            let flag = flag.map_err(|error| format!("its socket cannot be watched: {error}"))?;
            Ok((flows, interface, Some(flag)))
        });
        let (flows, out_interface, flag) = found.unwrap_or_else(|reason| {
            shared.tell(format!("{asked}: through the kernel: {reason}"), true);
            (Vec::new(), None, None)
        });
        let ways = Vec::with_capacity(WAYS_MAX);
        Endpoint { shared, asked, flows, id: None, flag, out_interface, ways, last: 0, next: 0 }
    }

    /// Receives past the kernel from now on, by this number. `false`: it cannot, and stays with the kernel.
    pub(super) fn join(&mut self, id: EndpointId) -> bool {
        let side = self.asked.side;
        for (lane, to) in &self.flows {
            if let Err(reason) = self.shared.lanes[*lane].join(*to, side, id) {
                self.shared.tell(format!("{}: through the kernel: {reason}", self.asked), true);
                self.leave_all(id);
                self.flows.clear();
                return false;
            }
        }
        let lanes = self.flows.iter().map(|(lane, _)| &self.shared.lanes[*lane]);
        let mut names: Vec<_> = lanes.map(|lane| lane.interface().name.as_str()).collect();
        names.dedup();
        self.shared.tell(format!("{}: by AF_XDP on {}", self.asked, names.join(", ")), false);
        self.id = Some(id);
        true
    }

    /// Receives no more; the number it had, if it received past the kernel.
    pub(super) fn leave(&mut self) -> Option<EndpointId> {
        let id = self.id.take()?;
        self.leave_all(id);
        Some(id)
    }

    fn leave_all(&self, id: EndpointId) {
        for lane in &self.shared.lanes {
            lane.leave(self.asked.side, id);
        }
    }

    /// The flag of its kernel socket, if that has something to read.
    #[inline]
    pub(super) fn ready_flag(&self) -> Option<Arc<SocketFlag>> {
        self.flag.as_ref().filter(|flag| flag.is_ready()).cloned()
    }

    /// Sends datagrams past the kernel; `None` if they have to go through it.
    #[inline]
    pub(super) fn send<'a>(
        &mut self,
        to: SocketAddrV4,
        payloads: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> Option<Sent> {
        let way = self.way(to);
        let counts = &self.shared.counts[self.asked.side.index()];
        let fits = |way: &Ready| {
            let lane = &self.shared.lanes[way.lane];
            payloads.clone().all(|payload| lane.fits(payload.len(), way.mtu))
        };
        let Some(Ready { lane, path, .. }) = way.filter(fits) else {
            counts.add(Count::KernelSent, u64::try_from(payloads.count()).unwrap_or(0));
            return None;
        };
        let sent = self.shared.lanes[lane].send(&path, payloads, counts);
        counts.add(Count::Sent, u64::try_from(sent.datagrams).unwrap_or(0));
        Some(sent)
    }

    /// Whether it goes past the kernel.
    pub(super) const fn is_bypassing(&self) -> bool {
        !self.flows.is_empty()
    }

    /// The way to `to` past the kernel, where there is one now. About 5 ns for the destination used last.
    #[inline]
    pub(super) fn way(&mut self, to: SocketAddrV4) -> Option<Ready> {
        if self.ways.get(self.last).is_none_or(|way| way.to != to) {
            self.last = self.find(to)?;
        }
        let way = self.ways.get_mut(self.last)?;
        if way.version != way.destination.version() {
            way.version = way.destination.version();
            way.ready = ready(&self.shared, &self.asked, way.to, &way.destination);
        }
        if way.destination.take_confirmation() {
            return None;
        }
        way.ready
    }

    #[cold]
    fn find(&mut self, to: SocketAddrV4) -> Option<usize> {
        if let Some(at) = self.ways.iter().position(|way| way.to == to) {
            return Some(at);
        }
        let from = *self.asked.source.ip();
        let destination = self.shared.watcher.destination(*to.ip(), from, self.out_interface)?;
        // No destination has this version: its path is made when it is first asked for.
        let way = Way { to, destination, version: u64::MAX, ready: None };
        if self.ways.len() < WAYS_MAX {
            self.ways.push(way);
            return Some(self.ways.len() - 1);
        }
        self.next = (self.next + 1) % WAYS_MAX;
        self.ways[self.next] = way;
        Some(self.next)
    }
}

/// What of a destination is known makes a path, if its interface is one of ours.
fn ready(
    shared: &Shared,
    asked: &Asked,
    to: SocketAddrV4,
    destination: &Destination,
) -> Option<Ready> {
    let resolved = destination.resolved()?;
    let lane = shared.lanes.iter().position(|l| l.interface().index == resolved.interface)?;
    let own = asked.source;
    let source = if own.ip().is_unspecified() { resolved.source } else { *own.ip() };
    let ttl = if to.ip().is_multicast() { asked.multicast_ttl.max(1) } else { shared.unicast_ttl };
    let path = Path {
        source_mac: shared.lanes[lane].interface().mac,
        destination_mac: resolved.mac,
        source: SocketAddrV4::new(source, own.port()),
        destination: to,
        ttl,
        tos: asked.tos,
    };
    Some(Ready { lane, path, mtu: resolved.mtu })
}

type Flows = (Vec<(usize, SocketAddrV4)>, Option<u32>);

/// Where a transport receives past the kernel, and by which interface it sends to a group.
///
/// # Errors
/// Why it cannot.
fn receive_at(shared: &Shared, asked: &Asked) -> Result<Flows, String> {
    let bound = asked.bound;
    if asked.wants_stamps {
        return Err("it asks for the kernel's receive stamps".to_owned());
    }
    if !asked.is_ipv4 {
        return Err("it is of IPv6".to_owned());
    }
    if bound.ip().is_multicast() {
        let lane = lane_of_group(shared, asked)?;
        return Ok((vec![(lane, bound)], Some(shared.lanes[lane].interface().index)));
    }
    let only = only_interface(asked)?;
    if bound.ip().is_loopback() {
        return Err(format!("{} is loopback", bound.ip()));
    }
    let flows = flows_at(shared, bound, only);
    if flows.is_empty() && bound.ip().is_unspecified() {
        return Err("its datagrams leave by an interface without AF_XDP".to_owned());
    }
    if flows.is_empty() {
        return Err(format!("{} is of no interface with AF_XDP", bound.ip()));
    }
    Ok((flows, None))
}

/// The only interface a transport with one peer has to do with, where it can be told.
///
/// # Errors
/// Why its datagrams cannot go past the kernel.
fn only_interface(asked: &Asked) -> Result<Option<u32>, String> {
    let Some(to) = asked.connected else { return Ok(None) };
    let route = kernel::route(*to.ip(), None, None)
        .map_err(|error| format!("the way to {} is not known: {error}", to.ip()))?;
    match route.kind {
        RouteKind::Local => Err(format!("{} is an address of this host", to.ip())),
        RouteKind::Broadcast => Err(format!("{} is a broadcast address", to.ip())),
        RouteKind::Unicast
        | RouteKind::Multicast
        | RouteKind::Unreachable
        | RouteKind::Unsupported => Ok((route.interface != 0).then_some(route.interface)),
    }
}

/// Where a transport bound to one address, or to all, receives: on each address that its peers can answer to.
fn flows_at(shared: &Shared, bound: SocketAddrV4, only: Option<u32>) -> Vec<(usize, SocketAddrV4)> {
    let mut flows = Vec::new();
    for (place, lane) in shared.lanes.iter().enumerate() {
        let interface = lane.interface();
        if only.is_some_and(|only| only != interface.index) {
            continue;
        }
        let is_ours = |address: &&Ipv4Addr| bound.ip().is_unspecified() || *address == bound.ip();
        let at = |address: &Ipv4Addr| (place, SocketAddrV4::new(*address, bound.port()));
        flows.extend(interface.addresses.iter().filter(is_ours).map(at));
    }
    flows
}

fn lane_of_group(shared: &Shared, asked: &Asked) -> Result<usize, String> {
    let (group, address) = (asked.bound.ip(), asked.multicast_interface);
    let by_address = |a: &Ipv4Addr| *a == address;
    if !address.is_unspecified() {
        let place =
            shared.lanes.iter().position(|l| l.interface().addresses.iter().any(by_address));
        return place.ok_or_else(|| format!("{address} is of no interface with AF_XDP"));
    }
    let route = kernel::route(*group, None, None)
        .map_err(|error| format!("the interface of {group} is not known: {error}"))?;
    let place = shared.lanes.iter().position(|lane| lane.interface().index == route.interface);
    place.ok_or_else(|| format!("{group} is on an interface without AF_XDP"))
}
