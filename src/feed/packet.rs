//! What a feed's packets have in common: messages behind their lengths, numbered in a session from their header on.
//!
//! [`Framing`] is what differs between transports. Who looks at numbers and keeps messages, as the
//! [`Arbiter`](crate::feed::arbiter::Arbiter) does, is compiled for each.

use std::fmt;
use std::marker::PhantomData;

/// Message count of the packet that ends a session, where a transport has one (MoldUDP64, "End of Session"). No packet that
/// passed its checks has as many messages.
pub const END_OF_SESSION: u16 = 0xFFFF;

/// Name of a session: ten bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Session(pub [u8; 10]);

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({self})")
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// What every packet begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The session it belongs to.
    pub session: Session,
    /// Sequence number of its first message; of the next message where it has none.
    pub sequence: u64,
    /// Messages in it; 0 for a heartbeat, [`END_OF_SESSION`] for the end.
    pub count: u16,
}

/// How a transport frames its messages.
pub trait Framing: Copy + fmt::Debug {
    /// Bytes of a place that keeps one message ([`Window`](crate::feed::window::Window)).
    const PLACE_BYTES: usize;

    /// The length that stands before a message.
    fn length(bytes: [u8; 2]) -> u16;

    /// The first message block of `bytes` (length 2, data) and what follows it; `None` where it is cut.
    #[inline]
    fn split_block(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
        let (&length, rest) = bytes.split_first_chunk::<2>()?;
        rest.split_at_checked(usize::from(Self::length(length)))
    }
}

/// A packet that passed every check.
#[derive(Clone, Copy, Debug)]
pub enum Packet<'a, F> {
    /// Nothing but the next sequence number.
    Heartbeat(Header),
    /// The session is over; the next sequence number tells whether all of it was received.
    EndOfSession(Header),
    /// Messages.
    Data(Header, Messages<'a, F>),
}

impl<F> Packet<'_, F> {
    /// What the packet begins with.
    #[inline]
    pub const fn header(&self) -> Header {
        match *self {
            Packet::Heartbeat(header) | Packet::EndOfSession(header) | Packet::Data(header, _) => {
                header
            }
        }
    }
}

/// The messages of a packet, in order. They borrow from the datagram: nothing is copied.
#[derive(Clone, Copy, Debug)]
pub struct Messages<'a, F> {
    packet: &'a [u8],
    rest: &'a [u8],
    framing: PhantomData<F>,
}

impl<'a, F: Framing> Messages<'a, F> {
    /// The messages of the blocks that begin at `at` in `packet`. What follows the last whole block is left out.
    #[inline]
    pub fn new(packet: &'a [u8], at: usize) -> Messages<'a, F> {
        let rest = packet.get(at..).unwrap_or_default();
        Messages { packet, rest, framing: PhantomData }
    }

    /// Those behind the first `skip`.
    #[inline]
    #[must_use]
    pub fn after(mut self, skip: u16) -> Messages<'a, F> {
        for _ in 0..skip {
            self.next();
        }
        self
    }
}

impl<'a, F> Messages<'a, F> {
    /// The packet.
    #[inline]
    pub const fn packet(&self) -> &'a [u8] {
        self.packet
    }

    /// The blocks that are left.
    #[inline]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Where in the packet the next block begins.
    #[inline]
    pub const fn position(&self) -> usize {
        self.packet.len() - self.rest.len()
    }
}

impl<'a, F: Framing> Iterator for Messages<'a, F> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let (message, rest) = F::split_block(self.rest)?;
        self.rest = rest;
        Some(message)
    }
}
