//! Where datagrams come from and go to, as traits that are monomorphised at each use.

use std::io;
use std::net::SocketAddrV4;

use crate::types::{ChannelId, Nanos};

/// Which clock made a receive stamp: stamps of different clocks are never subtracted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RxClock {
    /// Not stamped.
    None,
    /// The kernel's, `CLOCK_REALTIME`.
    SoftRealtime,
    /// Our own, on the monotonic clock.
    SoftMonotonic,
    /// The network interface's.
    Nic,
    /// As recorded in a capture file, UTC.
    Capture,
}

/// When a datagram was received, in nanoseconds of the named clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RxStamp {
    /// Nanoseconds; 0 where `clock` is [`RxClock::None`].
    pub ns: u64,
    /// The clock they belong to.
    pub clock: RxClock,
}

/// A received datagram, borrowed from its source until the handler returns.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// The channel that was subscribed with its destination address.
    pub channel: ChannelId,
    /// 0 for line A, 1 for line B.
    pub line: u8,
    /// When it was received.
    pub stamp: RxStamp,
    /// UDP payload.
    pub payload: &'a [u8],
}

/// What happened to the publishers of a stream. Its numbers are Aeron's session ids, stable for as long as a publisher lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublisherChange {
    /// This one is there now.
    Came(i32),
    /// What follows on this line is this one's, until another is named.
    Speaks(i32),
    /// This one is gone, and all it said was handed on.
    Went(i32),
}

/// What takes datagrams.
pub trait DatagramHandler {
    /// Takes one datagram. Must not keep its bytes.
    fn on_datagram(&mut self, datagram: Datagram<'_>);

    /// The publishers of a line changed: only of sources whose datagrams are messages of a stream.
    #[inline]
    fn on_publisher(&mut self, channel: ChannelId, line: u8, change: PublisherChange) {
        let _ = (channel, line, change);
    }

    /// The burst that [`PacketSource::poll`] delivered is complete: `count` datagrams.
    #[inline]
    fn on_burst_end(&mut self, count: u32) {
        let _ = count;
    }
}

/// What a poll of a source found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// Nothing now.
    Idle,
    /// So many datagrams.
    Got(u32),
    /// Nothing now and nothing ever again: the end of a capture.
    End,
}

/// What came to a source past the kernel's sockets, and what did not, so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BypassCounts {
    /// Datagrams taken from rings and handed on.
    pub datagrams: u64,
    /// Datagrams that came by the kernel's sockets all the same.
    pub by_kernel: u64,
    /// Frames refused for their headers or lengths.
    pub refused: u64,
    /// Frames refused because a checksum is wrong.
    pub bad_checksums: u64,
    /// Frames in a ring that nobody subscribed to.
    pub unsubscribed: u64,
    /// Sockets bound to queues.
    pub binds: u64,
    /// Queues that could not be bound again, now: the kernel's sockets have all of theirs.
    pub lost: u64,
}

impl BypassCounts {
    /// These and `other`.
    #[must_use]
    pub const fn plus(self, other: BypassCounts) -> BypassCounts {
        BypassCounts {
            datagrams: self.datagrams.saturating_add(other.datagrams),
            by_kernel: self.by_kernel.saturating_add(other.by_kernel),
            refused: self.refused.saturating_add(other.refused),
            bad_checksums: self.bad_checksums.saturating_add(other.bad_checksums),
            unsubscribed: self.unsubscribed.saturating_add(other.unsubscribed),
            binds: self.binds.saturating_add(other.binds),
            lost: self.lost.saturating_add(other.lost),
        }
    }
}

/// Where datagrams come from.
pub trait PacketSource {
    /// Takes datagrams sent to `group` as line `line` of `channel`. Cold: may allocate and call the kernel.
    ///
    /// # Errors
    /// What the kernel says, with the group in the message.
    fn subscribe(&mut self, group: SocketAddrV4, channel: ChannelId, line: u8) -> io::Result<()>;

    /// Tells a source that keeps a schedule what time it is; called once a duty cycle, before [`PacketSource::poll`].
    #[inline]
    fn advance(&mut self, now: Nanos) {
        let _ = now;
    }

    /// Hands at most `budget` datagrams to `handler`. Hot: neither blocks nor allocates.
    ///
    /// # Errors
    /// What the kernel says, where it is not "nothing now".
    fn poll<H: DatagramHandler>(&mut self, budget: u32, handler: &mut H) -> io::Result<Polled>;

    /// Datagrams the kernel or the interface dropped for want of room, so far.
    fn drops(&self) -> u64;

    /// Calls to the kernel that failed on one line while others went on, so far.
    fn errors(&self) -> u64 {
        0
    }

    /// What came past the kernel's sockets, of a source that has such a way.
    fn bypass(&self) -> BypassCounts {
        BypassCounts::default()
    }
}

/// Where datagrams go.
pub trait PacketSink {
    /// Lets `write` build a datagram in place and queues it; `write` returns its size in bytes. `false`: no room.
    fn send_with<F: FnOnce(&mut [u8]) -> usize>(&mut self, write: F) -> bool;

    /// Sends what is queued.
    ///
    /// # Errors
    /// What the kernel says.
    fn flush(&mut self) -> io::Result<()>;
}
