//! One interface's queue as the driver's two halves share it: sender and receiver each take what is theirs of what came in, and
//! both send.
//!
//! A lock guards it. With both halves on one thread, which is the rule, it is never waited for and costs some nanoseconds; with
//! threads of their own they hold it for some hundred nanoseconds at a time. No frame is handled while it is held.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
#[allow(
    clippy::disallowed_types,
    reason = "two threads of a driver share one queue of an interface"
)]
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::net::xdp::{
    FrameCount, FramePart, Path, Port, ReceivedFrame, SocketStatistics, XdpError, XdpSocket, kick,
    read_udp, write_udp,
};
use crate::transport::xdp::counts::{Count, SideCounts};

/// A half of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Sends data, receives status messages and NAKs.
    Sender,
    /// Receives data, sends status messages and NAKs.
    Receiver,
}

impl Side {
    pub(super) const BOTH: [Side; 2] = [Side::Sender, Side::Receiver];

    pub(super) const fn index(self) -> usize {
        match self {
            Side::Sender => 0,
            Side::Receiver => 1,
        }
    }
}

/// A transport of one half, by its place in that half's list.
pub(super) type EndpointId = u32;

/// Transports that may receive the same datagrams: subscriptions of one group that are told apart by their tags.
pub(super) const SHARERS_MAX: usize = 4;

/// Frames that are taken at a time.
pub(super) const BATCH: usize = 64;

/// What stands before an IP packet in a frame.
const ETHERNET_BYTES: u32 = 14;

/// IPv4 and UDP headers.
const HEADERS_BYTES: usize = 28;

/// A received datagram on its way to a half.
#[derive(Debug)]
pub(super) struct Parcel {
    frame: ReceivedFrame,
    endpoints: [EndpointId; SHARERS_MAX],
    sharers: usize,
    /// Its bytes, which stay where they are until the frame is given back.
    pub(super) payload: FramePart,
    pub(super) source: SocketAddrV4,
}

impl Parcel {
    /// Who gets it.
    pub(super) fn endpoints(&self) -> &[EndpointId] {
        &self.endpoints[..self.sharers]
    }
}

/// Datagrams to one address and port, and whose they are.
#[derive(Debug)]
struct Flow {
    to: SocketAddrV4,
    side: Side,
    endpoints: [EndpointId; SHARERS_MAX],
    sharers: usize,
    /// More want it than can share it here, so it is the kernel's, whose sockets hand it to each.
    is_kernels: bool,
}

#[derive(Debug)]
struct Inner {
    /// `None` once the driver has ended.
    port: Option<Port>,
    /// Sorted by address and port.
    flows: Vec<Flow>,
    /// What one half found for the other.
    inboxes: [VecDeque<Parcel>; 2],
    /// Sent frames of which the kernel has not been told yet.
    needs_kick: bool,
    /// The socket once more, to be kicked without the lock. It goes with the port.
    kicked: Option<Arc<OwnedFd>>,
}

/// What an interface is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XdpInterface {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Its addresses.
    pub addresses: Vec<Ipv4Addr>,
}

/// One interface's queue.
#[derive(Debug)]
pub(super) struct Lane {
    interface: XdpInterface,
    #[allow(clippy::disallowed_types, reason = "as the import says")]
    inner: Mutex<Inner>,
    /// The largest IP packet a frame has room for, in bytes.
    packet_bytes_max: u32,
}

/// What became of datagrams to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) datagrams: usize,
    pub(super) bytes: usize,
}

impl Lane {
    pub(super) fn new(interface: XdpInterface, mut port: Port) -> io::Result<Lane> {
        let frames = usize::try_from(port.config().receive_frames).unwrap_or(0);
        let kicked = port.socket().map(|socket| socket.as_fd().try_clone_to_owned()).transpose()?;
        let kicked = kicked.map(Arc::new);
        let packet_bytes_max = port.config().frame_bytes.saturating_sub(ETHERNET_BYTES);
        let inboxes = Side::BOTH.map(|_| VecDeque::with_capacity(frames));
        let inner =
            Inner { port: Some(port), flows: Vec::new(), inboxes, needs_kick: false, kicked };
        #[allow(clippy::disallowed_types, reason = "as the import says")]
        let inner = Mutex::new(inner);
        Ok(Lane { interface, inner, packet_bytes_max })
    }

    pub(super) const fn interface(&self) -> &XdpInterface {
        &self.interface
    }

    #[inline]
    #[allow(clippy::disallowed_types, reason = "as the import says")]
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing here panics between two changes that belong together.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Datagrams to `to` are `endpoint`'s from now on, too.
    ///
    /// # Errors
    /// Why they cannot be: they are the other half's, or there are too many. From then on they are the kernel's for all, whose
    /// sockets hand them to each.
    pub(super) fn join(
        &self,
        to: SocketAddrV4,
        side: Side,
        endpoint: EndpointId,
    ) -> Result<(), String> {
        let mut inner = self.lock();
        match inner.flows.binary_search_by_key(&to, |flow| flow.to) {
            Ok(at) => {
                let Inner { port, flows, .. } = &mut *inner;
                let flow = &mut flows[at];
                if flow.side != side || flow.sharers == SHARERS_MAX {
                    if !std::mem::replace(&mut flow.is_kernels, true) {
                        // If the kernel does not take it back, the ring goes on for those it had.
                        let _ = port.as_mut().map(|port| port.unsubscribe(to));
                    }
                    return Err(format!(
                        "{to} has more than {SHARERS_MAX} receivers of one kind on this host"
                    ));
                }
                flow.endpoints[flow.sharers] = endpoint;
                flow.sharers += 1;
            }
            Err(at) => {
                let port = inner.port.as_mut().ok_or("its interface is given up")?;
                port.subscribe(to).map_err(|error: XdpError| error.to_string())?;
                let mut endpoints = [0; SHARERS_MAX];
                endpoints[0] = endpoint;
                inner.flows.insert(at, Flow { to, side, endpoints, sharers: 1, is_kernels: false });
            }
        }
        Ok(())
    }

    /// `endpoint` gets nothing any more, nor what is on its way to it.
    pub(super) fn leave(&self, side: Side, endpoint: EndpointId) {
        let mut inner = self.lock();
        let Inner { port, flows, inboxes, .. } = &mut *inner;
        flows.retain_mut(|flow| {
            if flow.side == side {
                let (kept, sharers) = without(&flow.endpoints[..flow.sharers], endpoint);
                (flow.endpoints, flow.sharers) = (kept, sharers);
            }
            if flow.sharers == 0 && !flow.is_kernels {
                // If the kernel does not take it back, its datagrams are refused here.
                let _ = port.as_mut().map(|port| port.unsubscribe(flow.to));
            }
            flow.sharers > 0
        });
        let inbox = &mut inboxes[side.index()];
        for _ in 0..inbox.len() {
            let Some(mut parcel) = inbox.pop_front() else { break };
            (parcel.endpoints, parcel.sharers) = without(parcel.endpoints(), endpoint);
            if parcel.sharers > 0 {
                inbox.push_back(parcel);
            } else if let Some(socket) = port.as_mut().and_then(Port::socket) {
                socket.release(parcel.frame);
            }
        }
        if let Some(socket) = port.as_mut().and_then(Port::socket) {
            socket.publish();
        }
    }

    /// Takes what is `side`'s into `batch`, which is empty and has room for [`BATCH`]. Tells the kernel once more of what it has
    /// not sent, if there is such.
    #[inline]
    pub(super) fn collect(&self, side: Side, batch: &mut Vec<Parcel>, counts: &SideCounts) {
        let mut inner = self.lock();
        inner.sort(counts);
        let inbox = &mut inner.inboxes[side.index()];
        let count = inbox.len().min(BATCH);
        batch.extend(inbox.drain(..count));
        if !std::mem::take(&mut inner.needs_kick) {
            return;
        }
        let is_waiting = inner.socket().is_some_and(|socket| socket.publish_sends());
        if is_waiting {
            self.kick(inner, counts);
        }
    }

    /// Gives the frames of `batch` back to the kernel.
    #[inline]
    pub(super) fn give_back(&self, batch: &mut Vec<Parcel>) {
        let mut inner = self.lock();
        if let Some(socket) = inner.socket() {
            for parcel in batch.drain(..) {
                socket.release(parcel.frame);
            }
            socket.publish();
        }
    }

    /// Sends each of `payloads` as a datagram of `path`, until there is no room.
    #[inline]
    pub(super) fn send<'a>(
        &self,
        path: &Path,
        payloads: impl Iterator<Item = &'a [u8]>,
        counts: &SideCounts,
    ) -> Sent {
        let mut sent = Sent::default();
        let mut inner = self.lock();
        let Some(socket) = inner.socket() else { return sent };
        for payload in payloads {
            if !socket.send_with(|frame| write_udp(frame, path, payload)) {
                counts.add(Count::RingFull, 1);
                break;
            }
            sent.datagrams += 1;
            sent.bytes += payload.len();
        }
        let needs_kick = socket.publish_sends();
        inner.needs_kick = false;
        if needs_kick {
            self.kick(inner, counts);
        }
        sent
    }

    /// Whether a datagram with so much payload fits into a packet of a way with that MTU, and into a frame.
    #[inline]
    pub(super) fn fits(&self, payload: usize, mtu: u32) -> bool {
        let mtu = usize::try_from(mtu.min(self.packet_bytes_max)).unwrap_or(0);
        payload.checked_add(HEADERS_BYTES).is_some_and(|bytes| bytes <= mtu)
    }

    /// Kicks, and remembers to do so again where not all was sent.
    #[inline]
    #[allow(clippy::disallowed_types, reason = "as the import says")]
    fn kick(&self, inner: MutexGuard<'_, Inner>, counts: &SideCounts) {
        let Some(socket) = inner.kicked.clone() else { return };
        drop(inner);
        if kick(socket.as_fd()).is_err() {
            counts.add(Count::KickErrors, 1);
        }
        let mut inner = self.lock();
        inner.needs_kick = inner.socket().is_some_and(|socket| socket.unsent() > 0);
    }

    /// Gives the interface up: its traffic is the kernel's from now on.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        (inner.port, inner.kicked) = (None, None);
        inner.flows.clear();
        for inbox in &mut inner.inboxes {
            inbox.clear();
        }
    }

    /// What the kernel counted of the socket. A system call.
    pub(super) fn statistics(&self) -> SocketStatistics {
        let mut inner = self.lock();
        let statistics = inner.socket().map(|socket| socket.statistics());
        statistics.and_then(Result::ok).unwrap_or_default()
    }

    /// Who has how many frames.
    pub(super) fn count_frames(&self) -> FrameCount {
        let mut inner = self.lock();
        inner.socket().map(|socket| socket.count_frames()).unwrap_or_default()
    }
}

impl Inner {
    #[inline]
    const fn socket(&mut self) -> Option<&mut XdpSocket> {
        match &mut self.port {
            Some(port) => port.socket(),
            None => None,
        }
    }

    /// Sorts what came in by halves.
    #[inline]
    fn sort(&mut self, counts: &SideCounts) {
        let Inner { port, flows, inboxes, .. } = self;
        let Some(socket) = port.as_mut().and_then(Port::socket) else { return };
        let batch = u32::try_from(BATCH).unwrap_or(u32::MAX);
        let count = socket.arrived().min(batch);
        if count == 0 {
            return;
        }
        let mut refused = 0;
        for _ in 0..count {
            let Some(frame) = socket.take() else { continue };
            let bytes = socket.bytes(&frame);
            let found = read_udp(bytes).ok().and_then(|udp| {
                let at = flows.binary_search_by_key(&udp.destination, |flow| flow.to).ok()?;
                Some((&flows[at], udp))
            });
            let Some((flow, udp)) = found else {
                refused += 1;
                socket.release(frame);
                continue;
            };
            let source = udp.source;
            let Some(payload) = socket.place(&frame, udp.payload) else {
                socket.release(frame);
                continue;
            };
            let Flow { endpoints, sharers, side, .. } = *flow;
            inboxes[side.index()].push_back(Parcel { frame, endpoints, sharers, payload, source });
        }
        // Which slots were read, and what was refused.
        socket.publish();
        counts.add(Count::Received, u64::from(count) - refused);
        counts.add(Count::Refused, refused);
    }
}

/// `endpoints` without one of them.
fn without(endpoints: &[EndpointId], gone: EndpointId) -> ([EndpointId; SHARERS_MAX], usize) {
    let (mut kept, mut count) = ([0; SHARERS_MAX], 0);
    for endpoint in endpoints.iter().filter(|endpoint| **endpoint != gone) {
        kept[count] = *endpoint;
        count += 1;
    }
    (kept, count)
}
