//! MoldUDP64 1.00: the packets ITCH travels in. Pure and total.
//!
//! A packet is checked as a whole before any of its messages is handed on: its blocks must fill it exactly. A packet whose
//! count lies, whose last block is cut or that is followed by other bytes is refused altogether, because nothing in it
//! tells which of its bytes are the true ones. Its sequence numbers then count as not received: they show as a gap, or
//! come by the other line.

use std::fmt;

use crate::feed::packet::{self, Framing};

pub use crate::feed::packet::{END_OF_SESSION, Header, Session};

/// Bytes of the downstream packet header ("Header": session 10, sequence number 8, message count 2).
pub const HEADER_BYTES: usize = 20;

/// How MoldUDP64 frames its messages: behind big-endian lengths. No message of ITCH is longer than a cache line has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoldUdp64;

impl Framing for MoldUdp64 {
    const PLACE_BYTES: usize = 64;

    #[inline]
    fn length(bytes: [u8; 2]) -> u16 {
        u16::from_be_bytes(bytes)
    }
}

/// A packet that passed every check.
pub type Packet<'a> = packet::Packet<'a, MoldUdp64>;

/// The messages of a packet, in order.
pub type Messages<'a> = packet::Messages<'a, MoldUdp64>;

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

/// The first message block of `bytes` and what follows it ("Message Block": length 2, data); `None` where it is cut.
#[inline]
pub fn split_block(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    MoldUdp64::split_block(bytes)
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
        _ => Packet::Data(header, Messages::new(bytes, HEADER_BYTES)),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, any, prop_assert_eq, prop_oneof, proptest};

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

    /// Reads a packet byte by byte: sequence number, count and messages; `None` for what is no packet.
    fn naive(bytes: &[u8]) -> Option<(u64, u16, Vec<Vec<u8>>)> {
        let number = |from: usize, to: usize| {
            (from..to).try_fold(0, |sum: u64, at| Some(sum << 8 | u64::from(*bytes.get(at)?)))
        };
        let (sequence, count) = (number(10, 18)?, u16::try_from(number(18, 20)?).ok()?);
        let expected = if count == u16::MAX { 0 } else { count };
        sequence.checked_add(u64::from(expected))?;
        let (mut at, mut messages) = (20, Vec::new());
        for _ in 0..expected {
            let end = at + 2 + usize::try_from(number(at, at + 2)?).ok()?;
            messages.push(bytes.get(at + 2..end)?.to_vec());
            at = end;
        }
        (at == bytes.len()).then_some((sequence, count, messages))
    }

    proptest! {
        /// Counts that are right, lie or end the session; packets that are whole, cut or followed by something.
        #[test]
        fn it_reads_what_a_naive_reader_reads(
            blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..6),
            lie in prop_oneof![6 => Just(0_i32), 1 => -2..3_i32, 1 => Just(65_535)],
            sequence in prop_oneof![4 => 0..100_u64, 1 => u64::MAX - 3..=u64::MAX],
            cut in 0..12_usize,
            behind in prop_oneof![4 => Just(0_usize), 1 => 0..4_usize],
        ) {
            let count = i32::try_from(blocks.len()).expect("few") + lie;
            let count = u16::try_from(count.clamp(0, 65_535)).expect("clamped");
            let blocks: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
            let mut bytes = packet(sequence, count, &blocks);
            bytes.extend(&[0, 1, 7, 7][..behind]);
            // Mostly whole.
            bytes.truncate(bytes.len() - cut.saturating_sub(8).min(bytes.len()));
            let read = parse(&bytes).ok().map(|packet| {
                let header = packet.header();
                let messages = match packet {
                    Packet::Data(_, messages) => messages.map(<[u8]>::to_vec).collect(),
                    Packet::Heartbeat(_) | Packet::EndOfSession(_) => Vec::new(),
                };
                (header.sequence, header.count, messages)
            });
            prop_assert_eq!(read, naive(&bytes));
        }
    }
}
