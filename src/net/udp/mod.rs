//! UDP through the kernel: multicast in and out, in batches.
//!
//! One socket a group, bound to the group's own address so that it hears nothing else. A poll takes from one socket and the
//! next poll from the next, so that the lines of a channel share the core fairly and one call costs at most one system call.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Domain, Protocol, Socket, Type};

use crate::net::batch::{ReceiveBatch, SendBatch, set_socket_option};
use crate::net::nic;
use crate::net::source::{Datagram, DatagramHandler, PacketSink, PacketSource, Polled};
use crate::types::ChannelId;

/// Who stamps received datagrams. Each is more than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timestamps {
    /// Nobody.
    None,
    /// The kernel. Costs a poll about 0.07 µs a datagram, and about as much again wherever the kernel takes in a packet
    /// of any socket, as long as one socket of the machine asks for it.
    Software,
    /// The network interface, and the kernel what that does not stamp, for the same.
    Hardware,
}

/// How a [`KernelUdpSource`] receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpSourceConfig {
    /// Address of the interface on which groups are joined.
    pub interface: Ipv4Addr,
    /// Bytes of receive buffer asked for, for each socket.
    pub receive_buffer_bytes: usize,
    /// Who stamps each datagram. What cannot be had is told by [`KernelUdpSource::remark`] and is no error.
    pub timestamps: Timestamps,
}

#[derive(Debug)]
struct Line {
    socket: Socket,
    channel: ChannelId,
    line: u8,
    drops: Drops,
    /// Whether its last call failed.
    is_failing: bool,
}

/// What the kernel says a socket has dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Drops {
    /// What it said last; it wraps.
    seen: u32,
    total: u64,
}

impl Drops {
    /// Takes what the kernel says with a datagram: so many ever, in 32 bits.
    #[inline]
    fn note(&mut self, count: u32) {
        let more = count.wrapping_sub(self.seen);
        // Cores that fill one socket may write their counts in another order than the datagrams are read in. Of two
        // counts the later is the one less than half a circle ahead (as in RFC 1982).
        if more < 1 << 31 {
            self.seen = count;
            self.total += u64::from(more);
        }
    }
}

/// Datagrams from kernel sockets.
#[derive(Debug)]
pub struct KernelUdpSource {
    config: UdpSourceConfig,
    lines: Vec<Line>,
    /// The line to poll next.
    next: usize,
    batch: ReceiveBatch,
    cut_count: u64,
    error_count: u64,
    buffer_bytes_min: usize,
    timestamps: Timestamps,
    /// Why that is not what was asked for.
    timestamp_fault: Option<io::Error>,
}

impl KernelUdpSource {
    /// A source without groups. All buffers are allocated here.
    pub fn new(config: UdpSourceConfig) -> KernelUdpSource {
        KernelUdpSource {
            config,
            lines: Vec::new(),
            next: 0,
            batch: ReceiveBatch::new(),
            cut_count: 0,
            error_count: 0,
            buffer_bytes_min: usize::MAX,
            timestamps: config.timestamps,
            timestamp_fault: None,
        }
    }

    /// The receive buffer the kernel really gave, where that is less than was asked for: `net.core.rmem_max` is to be
    /// raised then. `None` while nothing is subscribed or all is well.
    pub fn buffer_shortfall(&self) -> Option<usize> {
        (self.buffer_bytes_min < self.config.receive_buffer_bytes).then_some(self.buffer_bytes_min)
    }

    /// Who stamps datagrams on every line, which may be less than was asked for. Each [`Datagram::stamp`] says it again
    /// for its own.
    pub const fn timestamps(&self) -> Timestamps {
        self.timestamps
    }

    /// What was asked for and could not be had in full, for people; `None` if all is well.
    pub fn remark(&self) -> Option<String> {
        let buffer = self.buffer_shortfall().map(|bytes| {
            format!(
                "the kernel gave a receive buffer of {bytes} bytes only; raise net.core.rmem_max"
            )
        });
        let stamps = self.timestamp_fault.as_ref().map(|fault| {
            let (UdpSourceConfig { interface, .. }, had) = (self.config, self.timestamps);
            let instead = match had {
                Timestamps::None => "there are none",
                Timestamps::Software | Timestamps::Hardware => "the kernel's are used",
            };
            format!(
                "timestamps as asked for cannot be had on interface {interface} ({fault}): {instead}"
            )
        });
        match (buffer, stamps) {
            (Some(buffer), Some(stamps)) => Some(format!("{buffer}; {stamps}")),
            (buffer, stamps) => buffer.or(stamps),
        }
    }

    /// The socket of the newest line.
    pub(in crate::net) fn newest(&self) -> Option<BorrowedFd<'_>> {
        self.lines.last().map(|line| line.socket.as_fd())
    }

    /// Datagrams longer than a buffer, which were left out.
    pub const fn cut_count(&self) -> u64 {
        self.cut_count
    }

    /// Switches on as much of the stamps that are asked for as can be had.
    fn stamp(&mut self, socket: &Socket) {
        let fd = socket.as_fd();
        let mut had = self.config.timestamps;
        if had == Timestamps::None {
            return;
        }
        let mut flags = libc::SOF_TIMESTAMPING_RX_SOFTWARE | libc::SOF_TIMESTAMPING_SOFTWARE;
        if had == Timestamps::Hardware {
            match nic::stamp_all_received(fd, self.config.interface) {
                Ok(()) => {
                    flags |=
                        libc::SOF_TIMESTAMPING_RX_HARDWARE | libc::SOF_TIMESTAMPING_RAW_HARDWARE;
                }
                Err(fault) => {
                    had = Timestamps::Software;
                    self.timestamp_fault = Some(fault);
                }
            }
        }
        let flags = libc::c_int::try_from(flags).unwrap_or(0);
        if let Err(fault) = set_socket_option(fd, libc::SO_TIMESTAMPING, flags) {
            had = Timestamps::None;
            self.timestamp_fault = Some(fault);
        }
        self.timestamps = self.timestamps.min(had);
    }

    /// A line's call failed. Others go on: a line that is silent is a lost line to whoever compares it with the other.
    #[cold]
    fn fail(&mut self, place: usize, error: io::Error) -> io::Result<Polled> {
        self.error_count = self.error_count.saturating_add(1);
        self.lines[place].is_failing = true;
        if self.lines.iter().all(|line| line.is_failing) { Err(error) } else { Ok(Polled::Idle) }
    }

    fn open(&mut self, group: SocketAddrV4) -> io::Result<Socket> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.set_recv_buffer_size(self.config.receive_buffer_bytes)?;
        // The kernel reports twice what it grants, for its own bookkeeping (socket(7), SO_RCVBUF).
        self.buffer_bytes_min = self.buffer_bytes_min.min(socket.recv_buffer_size()? / 2);
        set_socket_option(socket.as_fd(), libc::SO_RXQ_OVFL, 1)?;
        self.stamp(&socket);
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
        let drops = Drops::default();
        self.lines.push(Line { socket, channel, line, drops, is_failing: false });
        Ok(())
    }

    /// # Errors
    /// What the kernel says, once the last call of every line has failed.
    #[inline]
    fn poll<H: DatagramHandler>(&mut self, budget: u32, handler: &mut H) -> io::Result<Polled> {
        let (place, lines) = (self.next, self.lines.len());
        let Some(line) = self.lines.get_mut(place) else { return Ok(Polled::Idle) };
        self.next = if place + 1 == lines { 0 } else { place + 1 };
        let count = match self.batch.receive(line.socket.as_fd(), budget) {
            Ok(count) => count,
            Err(error) => return self.fail(place, error),
        };
        line.is_failing = false;
        if count == 0 {
            return Ok(Polled::Idle);
        }
        let mut handed = 0;
        for place in 0..count {
            let received = self.batch.get(place);
            if let Some(count) = received.drops {
                line.drops.note(count);
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
        self.lines.iter().map(|line| line.drops.total).fold(0, u64::saturating_add)
    }

    fn errors(&self) -> u64 {
        self.error_count
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
