//! MoldUDP64 1.00: the packets ITCH travels in. Pure and total.
//!
//! A packet is checked as a whole before any of its messages is handed on: its blocks must fill it exactly. A packet whose
//! count lies, whose last block is cut or that is followed by other bytes is refused altogether, because nothing in it
//! tells which of its bytes are the true ones. Its sequence numbers then count as not received: they show as a gap, or
//! come by the other line.

use std::fmt;

/// Bytes of the downstream packet header ("Header": session 10, sequence number 8, message count 2).
pub const HEADER_BYTES: usize = 20;

/// Message count of the packet that ends a session ("End of Session").
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

impl Header {
    /// Writes the header.
    pub fn write(&self, to: &mut [u8; HEADER_BYTES]) {
        let (session, rest) = to.split_at_mut(10);
        let (sequence, count) = rest.split_at_mut(8);
        session.copy_from_slice(&self.session.0);
        sequence.copy_from_slice(&self.sequence.to_be_bytes());
        count.copy_from_slice(&self.count.to_be_bytes());
    }
}

/// Why bytes are not a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MoldError {
    /// Shorter than a header.
    ShortHeader,
    /// The count promises more messages than there are bytes, or the last one is cut.
    CutBlock,
    /// More bytes than the count of messages accounts for.
    TrailingBytes,
    /// Sequence numbers beyond 2^64.
    SequenceOverflow,
}

impl fmt::Display for MoldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MoldError::ShortHeader => "packet is shorter than its header",
            MoldError::CutBlock => "packet ends inside a message",
            MoldError::TrailingBytes => "packet has more bytes than its messages",
            MoldError::SequenceOverflow => "packet runs past the largest sequence number",
        })
    }
}

impl std::error::Error for MoldError {}

/// A packet that passed every check.
#[derive(Clone, Copy, Debug)]
pub enum Packet<'a> {
    /// Nothing but the next sequence number.
    Heartbeat(Header),
    /// The session is over; the next sequence number tells whether all of it was received.
    EndOfSession(Header),
    /// Messages.
    Data(Header, Messages<'a>),
}

impl Packet<'_> {
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

/// The messages of a packet, in order.
#[derive(Clone, Copy, Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Messages<'a> {
    /// The messages of blocks that were checked before, in a packet.
    pub(super) const fn of(blocks: &'a [u8]) -> Messages<'a> {
        Messages { rest: blocks }
    }

    /// The blocks behind the first `skip` messages.
    #[inline]
    pub fn after(mut self, skip: u16) -> &'a [u8] {
        for _ in 0..skip {
            self.next();
        }
        self.rest
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let (message, rest) = split_block(self.rest)?;
        self.rest = rest;
        Some(message)
    }
}

/// The first message block of `bytes` and what follows it ("Message Block": length 2, data); `None` where it is cut.
#[inline]
pub fn split_block(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(length)))
}

/// Reads a packet. About a nanosecond a message.
///
/// # Errors
/// A [`MoldError`] where its blocks do not fill it exactly; never panics.
#[inline]
pub fn parse(bytes: &[u8]) -> Result<Packet<'_>, MoldError> {
    let (head, blocks) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or(MoldError::ShortHeader)?;
    let &[a, b, c, d, e, f, g, h, i, j, s0, s1, s2, s3, s4, s5, s6, s7, n0, n1] = head;
    let header = Header {
        session: Session([a, b, c, d, e, f, g, h, i, j]),
        sequence: u64::from_be_bytes([s0, s1, s2, s3, s4, s5, s6, s7]),
        count: u16::from_be_bytes([n0, n1]),
    };
    let messages = if header.count == END_OF_SESSION { 0 } else { header.count };
    if header.sequence.checked_add(u64::from(messages)).is_none() {
        return Err(MoldError::SequenceOverflow);
    }
    let mut rest = blocks;
    for _ in 0..messages {
        rest = split_block(rest).ok_or(MoldError::CutBlock)?.1;
    }
    if !rest.is_empty() {
        return Err(MoldError::TrailingBytes);
    }
    Ok(match header.count {
        0 => Packet::Heartbeat(header),
        END_OF_SESSION => Packet::EndOfSession(header),
        _ => Packet::Data(header, Messages { rest: blocks }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sequence: u64, count: u16, blocks: &[&[u8]]) -> Vec<u8> {
        let mut head = [0; HEADER_BYTES];
        Header { session: Session(*b"SESSION001"), sequence, count }.write(&mut head);
        let mut bytes = head.to_vec();
        for block in blocks {
            bytes.extend_from_slice(&u16::try_from(block.len()).expect("short").to_be_bytes());
            bytes.extend_from_slice(block);
        }
        bytes
    }

    #[test]
    fn a_packet_yields_its_messages_in_order() {
        let bytes = packet(7, 3, &[b"first", b"", b"third"]);
        let Ok(Packet::Data(header, messages)) = parse(&bytes) else { panic!("a data packet") };
        assert_eq!((header.sequence, header.count), (7, 3));
        assert_eq!(messages.collect::<Vec<_>>(), [b"first".as_slice(), b"", b"third"]);
    }

    #[test]
    fn no_messages_and_the_end_are_told_apart() {
        assert!(matches!(parse(&packet(7, 0, &[])), Ok(Packet::Heartbeat(h)) if h.sequence == 7));
        assert!(matches!(parse(&packet(7, END_OF_SESSION, &[])), Ok(Packet::EndOfSession(_))));
        assert_eq!(parse(&packet(7, 0, &[b"x"])).err(), Some(MoldError::TrailingBytes));
        let end = packet(7, END_OF_SESSION, &[b"x"]);
        assert_eq!(parse(&end).err(), Some(MoldError::TrailingBytes));
    }

    #[test]
    fn a_packet_cut_anywhere_is_refused_as_a_whole() {
        let bytes = packet(1, 2, &[b"first", b"second"]);
        for cut in 0..bytes.len() {
            let error = parse(&bytes[..cut]).err();
            let expected =
                if cut < HEADER_BYTES { MoldError::ShortHeader } else { MoldError::CutBlock };
            assert_eq!(error, Some(expected), "cut at {cut}");
        }
    }

    #[test]
    fn a_count_that_lies_is_refused() {
        assert_eq!(parse(&packet(1, 1, &[b"a", b"b"])).err(), Some(MoldError::TrailingBytes));
        assert_eq!(parse(&packet(1, 3, &[b"a", b"b"])).err(), Some(MoldError::CutBlock));
        let last = packet(u64::MAX, 1, &[b"a"]);
        assert_eq!(parse(&last).err(), Some(MoldError::SequenceOverflow));
    }
}
