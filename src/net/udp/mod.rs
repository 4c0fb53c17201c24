//! UDP through the kernel: multicast in and out, in batches.
//!
//! One socket a group, bound to the group's own address so that it hears nothing else. A poll takes from one socket and the
//! next poll from the next, so that the lines of a channel share the core fairly and one call costs at most one system call.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsFd;

use socket2::{Domain, Protocol, Socket, Type};

use crate::net::batch::{ReceiveBatch, SendBatch, set_socket_option};
use crate::net::source::{Datagram, DatagramHandler, PacketSink, PacketSource, Polled};
use crate::types::ChannelId;

/// How a [`KernelUdpSource`] receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpSourceConfig {
    /// Address of the interface on which groups are joined.
    pub interface: Ipv4Addr,
    /// Bytes of receive buffer asked for, for each socket.
    pub receive_buffer_bytes: usize,
    /// Whether the kernel stamps each datagram: about a third of a microsecond each.
    pub timestamps: bool,
}

#[derive(Debug)]
struct Line {
    socket: Socket,
    channel: ChannelId,
    line: u8,
    /// What the kernel said last; it wraps.
    drops_seen: u32,
}

/// Datagrams from kernel sockets.
#[derive(Debug)]
pub struct KernelUdpSource {
    config: UdpSourceConfig,
    lines: Vec<Line>,
    /// The line to poll next.
    next: usize,
    batch: ReceiveBatch,
    drop_count: u64,
    cut_count: u64,
    buffer_bytes_min: usize,
}

impl KernelUdpSource {
    /// A source without groups. All buffers are allocated here.
    pub fn new(config: UdpSourceConfig) -> KernelUdpSource {
        KernelUdpSource {
            config,
            lines: Vec::new(),
            next: 0,
            batch: ReceiveBatch::new(),
            drop_count: 0,
            cut_count: 0,
            buffer_bytes_min: usize::MAX,
        }
    }

    /// The receive buffer the kernel really gave, where that is less than was asked for: `net.core.rmem_max` is to be
    /// raised then. `None` while nothing is subscribed or all is well.
    pub fn buffer_shortfall(&self) -> Option<usize> {
        (self.buffer_bytes_min < self.config.receive_buffer_bytes).then_some(self.buffer_bytes_min)
    }

    /// Datagrams longer than a buffer, which were left out.
    pub const fn cut_count(&self) -> u64 {
        self.cut_count
    }

    fn open(&mut self, group: SocketAddrV4) -> io::Result<Socket> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.set_recv_buffer_size(self.config.receive_buffer_bytes)?;
        // The kernel reports twice what it grants, for its own bookkeeping (socket(7), SO_RCVBUF).
        self.buffer_bytes_min = self.buffer_bytes_min.min(socket.recv_buffer_size()? / 2);
        set_socket_option(socket.as_fd(), libc::SO_RXQ_OVFL, 1)?;
        if self.config.timestamps {
            set_socket_option(socket.as_fd(), libc::SO_TIMESTAMPNS, 1)?;
        }
        socket.bind(&group.into())?;
        if group.ip().is_multicast() {
            // Linux else hands this socket what any socket of the machine has joined on the port.
            socket.set_multicast_all_v4(false)?;
            socket.join_multicast_v4(group.ip(), &self.config.interface)?;
        }
        Ok(socket)
    }
}

impl PacketSource for KernelUdpSource {
    /// Joins the group, or binds the address where it is not multicast.
    fn subscribe(&mut self, group: SocketAddrV4, channel: ChannelId, line: u8) -> io::Result<()> {
        let socket = self.open(group).map_err(|error| {
            let interface = self.config.interface;
            io::Error::new(error.kind(), format!("{group} on interface {interface}: {error}"))
        })?;
        self.lines.push(Line { socket, channel, line, drops_seen: 0 });
        Ok(())
    }

    #[inline]
    fn poll<H: DatagramHandler>(&mut self, budget: u32, handler: &mut H) -> io::Result<Polled> {
        let lines = self.lines.len();
        let Some(line) = self.lines.get_mut(self.next) else { return Ok(Polled::Idle) };
        self.next = if self.next + 1 == lines { 0 } else { self.next + 1 };
        let count = self.batch.receive(line.socket.as_fd(), budget)?;
        if count == 0 {
            return Ok(Polled::Idle);
        }
        let mut handed = 0;
        for place in 0..count {
            let received = self.batch.get(place);
            if let Some(drops) = received.drops {
                self.drop_count += u64::from(drops.wrapping_sub(line.drops_seen));
                line.drops_seen = drops;
            }
            if received.is_cut {
                self.cut_count += 1;
                continue;
            }
            handed += 1;
            handler.on_datagram(Datagram {
                channel: line.channel,
                line: line.line,
                stamp: received.stamp,
                payload: received.payload,
            });
        }
        handler.on_burst_end(handed);
        Ok(Polled::Got(handed))
    }

    fn drops(&self) -> u64 {
        self.drop_count
    }
}

/// How a [`KernelUdpSink`] sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpSinkConfig {
    /// Where to.
    pub destination: SocketAddrV4,
    /// Address of the interface multicast leaves by.
    pub interface: Ipv4Addr,
    /// Routers multicast may pass; 0 keeps it on this machine.
    pub ttl: u32,
    /// Whether sockets on this machine hear multicast too.
    pub loopback: bool,
}

/// Datagrams to one destination through a kernel socket.
#[derive(Debug)]
pub struct KernelUdpSink {
    socket: Socket,
    batch: SendBatch,
    discarded_count: u64,
}

impl KernelUdpSink {
    /// A socket connected to the destination. All buffers are allocated here.
    ///
    /// # Errors
    /// What the kernel says, with the destination in the message.
    pub fn new(config: UdpSinkConfig) -> io::Result<KernelUdpSink> {
        let open = || {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
            socket.set_nonblocking(true)?;
            if config.destination.ip().is_multicast() {
                socket.set_multicast_if_v4(&config.interface)?;
                socket.set_multicast_ttl_v4(config.ttl)?;
                socket.set_multicast_loop_v4(config.loopback)?;
            }
            socket.connect(&config.destination.into())?;
            Ok(socket)
        };
        let socket = open().map_err(|error: io::Error| {
            let UdpSinkConfig { destination, interface, .. } = config;
            let text = format!("{destination} from interface {interface}: {error}");
            io::Error::new(error.kind(), text)
        })?;
        Ok(KernelUdpSink { socket, batch: SendBatch::new(), discarded_count: 0 })
    }

    /// Datagrams given up because the kernel refused them.
    pub const fn discarded_count(&self) -> u64 {
        self.discarded_count
    }
}

impl PacketSink for KernelUdpSink {
    #[inline]
    fn send_with<F: FnOnce(&mut [u8]) -> usize>(&mut self, write: F) -> bool {
        self.batch.build(write)
    }

    /// What the kernel has no room for now stays queued for the next flush. On an error what is queued is given up and
    /// counted, as a network would have lost it.
    fn flush(&mut self) -> io::Result<()> {
        self.batch.send(self.socket.as_fd()).inspect_err(|_| {
            let discarded = u64::try_from(self.batch.discard()).unwrap_or(u64::MAX);
            self.discarded_count = self.discarded_count.saturating_add(discarded);
        })
    }
}

#[cfg(test)]
mod tests;
