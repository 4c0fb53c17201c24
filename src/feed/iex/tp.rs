//! IEX-TP, version 1 of the transport: the segments that DEEP and TOPS travel in. Pure and total.
//!
//! A segment is checked as a whole before any of its messages is handed on: the payload must be as long as the header says,
//! and its blocks must fill it exactly. A segment that lies about either is refused altogether, because nothing in it tells
//! which of its bytes are the true ones. Its sequence numbers then count as not received: they show as a gap, or come by
//! the other line.
//!
//! "IEX Transport Specification" 1.26, section "Outbound Segment Format". Lines A and B carry the same messages in the same
//! order, but not necessarily in the same segments ("UDP Multicast Publication").

use std::fmt;

use crate::feed::iex::bytes::{le16, le32, long};
use crate::feed::packet::{self, Framing, Packet, Session};
use crate::types::UtcNanos;

/// Bytes of the header of a segment ("IEX-TP Header").
pub const HEADER_BYTES: usize = 40;

/// The version of the transport that is read here.
pub const VERSION: u8 = 1;

/// Which protocol a segment's messages are of ("Message Protocol ID").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolId(pub u16);

impl ProtocolId {
    /// TOPS 1.6 (TOPS specification, "Protocol Identification on IEX-TP").
    pub const TOPS_1_6: ProtocolId = ProtocolId(0x8003);
    /// DEEP 1.0 (DEEP specification, "Protocol Identification on IEX-TP").
    pub const DEEP_1_0: ProtocolId = ProtocolId(0x8004);
}

impl fmt::Display for ProtocolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.0)
    }
}

/// A stream of messages; the same over all lines that carry it ("Channel ID").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u32);

/// A day's run of a stream, within which sequence numbers count ("Session ID").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionNumber(pub u32);

/// What every segment begins with, less its version and the length of its payload, which were checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What its messages are.
    pub protocol: ProtocolId,
    /// The stream it belongs to.
    pub stream: StreamId,
    /// The session it belongs to.
    pub session: SessionNumber,
    /// Messages in it; 0 for a heartbeat.
    pub count: u16,
    /// Bytes of payload sent in the session before it.
    pub offset: u64,
    /// Number of its first message; of the next message where it has none.
    pub sequence: u64,
    /// When it was sent.
    pub sent: UtcNanos,
}

impl SessionNumber {
    /// The session's name where sessions have names: the number's bytes as they are sent.
    #[inline]
    pub const fn name(self) -> Session {
        let [a, b, c, d] = self.0.to_le_bytes();
        Session([a, b, c, d, 0, 0, 0, 0, 0, 0])
    }
}

impl Header {
    /// Writes the header of a segment whose payload has `payload_bytes`. Numbers beyond 2^63, which no sender has, are
    /// written as they are and refused by [`parse`].
    pub fn write(&self, payload_bytes: u16, to: &mut [u8; HEADER_BYTES]) {
        to[0] = VERSION;
        to[1] = 0;
        to[2..4].copy_from_slice(&self.protocol.0.to_le_bytes());
        to[4..8].copy_from_slice(&self.stream.0.to_le_bytes());
        to[8..12].copy_from_slice(&self.session.0.to_le_bytes());
        to[12..14].copy_from_slice(&payload_bytes.to_le_bytes());
        to[14..16].copy_from_slice(&self.count.to_le_bytes());
        to[16..24].copy_from_slice(&self.offset.to_le_bytes());
        to[24..32].copy_from_slice(&self.sequence.to_le_bytes());
        to[32..40].copy_from_slice(&self.sent.0.to_le_bytes());
    }
}

/// Why bytes are not a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TpError {
    /// Shorter than a header.
    ShortHeader,
    /// Another version of the transport than [`VERSION`]: nothing more of it can be read.
    UnknownVersion(u8),
    /// The payload is not as long as the header says.
    WrongPayloadLength,
    /// The count promises more messages than there are bytes, or the last one is cut.
    CutBlock,
    /// More bytes than the count of messages accounts for.
    TrailingBytes,
    /// A sequence number, offset or time below zero, or sequence numbers or offsets beyond 2^63 - 1.
    BadNumber,
}

impl fmt::Display for TpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            TpError::ShortHeader => f.write_str("segment is shorter than its header"),
            TpError::UnknownVersion(version) => {
                write!(f, "segment of version {version} of the transport, only {VERSION} is read")
            }
            TpError::WrongPayloadLength => f.write_str("payload is not as long as its header says"),
            TpError::CutBlock => f.write_str("segment ends inside a message"),
            TpError::TrailingBytes => f.write_str("segment has more bytes than its messages"),
            TpError::BadNumber => f.write_str("segment has a number that cannot be"),
        }
    }
}

impl std::error::Error for TpError {}

/// A segment that passed every check.
#[derive(Clone, Copy, Debug)]
pub enum Segment<'a> {
    /// No messages: only that the stream lives, and what its next message's number will be. So also the answer to a test
    /// of a gap fill server.
    Heartbeat(Header),
    /// Messages.
    Data(Header, Messages<'a>),
}

impl<'a> Segment<'a> {
    /// The segment as a packet among others: what of it is new is asked of numbers alone. IEX-TP has no packet that ends a
    /// session. Messages count from 1, so that a heartbeat that tells of 0 tells of the first.
    #[inline]
    pub fn packet(&self) -> Packet<'a, IexTp> {
        let Header { session, sequence, count, .. } = self.header();
        let header = |sequence| packet::Header { session: session.name(), sequence, count };
        match *self {
            Segment::Heartbeat(_) => Packet::Heartbeat(header(sequence.max(1))),
            Segment::Data(_, messages) => Packet::Data(header(sequence), messages),
        }
    }

    /// What the segment begins with.
    #[inline]
    pub const fn header(&self) -> Header {
        match *self {
            Segment::Heartbeat(header) | Segment::Data(header, _) => header,
        }
    }

    /// Bytes of payload.
    #[inline]
    pub const fn payload_bytes(&self) -> usize {
        match *self {
            Segment::Heartbeat(_) => 0,
            Segment::Data(_, messages) => messages.rest().len(),
        }
    }
}

/// How IEX-TP frames its messages: behind little-endian lengths. The longest of DEEP and TOPS has 80 bytes; of what IEX may
/// append to it a good part has room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IexTp;

impl Framing for IexTp {
    const PLACE_BYTES: usize = 128;

    #[inline]
    fn length(bytes: [u8; 2]) -> u16 {
        u16::from_le_bytes(bytes)
    }
}

/// The messages of a segment, in order.
pub type Messages<'a> = packet::Messages<'a, IexTp>;

/// The first message block of `bytes` and what follows it ("Message Block": length 2, data); `None` where it is cut.
#[inline]
pub fn split_block(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    IexTp::split_block(bytes)
}

/// Reads a segment, of whatever message protocol. One to two nanoseconds a message.
///
/// # Errors
/// A [`TpError`] where its parts do not fill it exactly; never panics.
#[inline]
pub fn parse(bytes: &[u8]) -> Result<Segment<'_>, TpError> {
    let (head, payload) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or(TpError::ShortHeader)?;
    if head[0] != VERSION {
        return Err(TpError::UnknownVersion(head[0]));
    }
    let number = |at| u64::try_from(long(head, at)).map_err(|_| TpError::BadNumber);
    let header = Header {
        protocol: ProtocolId(le16(head, 2)),
        stream: StreamId(le32(head, 4)),
        session: SessionNumber(le32(head, 8)),
        count: le16(head, 14),
        offset: number(16)?,
        sequence: number(24)?,
        sent: UtcNanos(number(32)?),
    };
    let payload_bytes = le16(head, 12);
    if usize::from(payload_bytes) != payload.len() {
        return Err(TpError::WrongPayloadLength);
    }
    let largest = i64::MAX.cast_unsigned();
    // Neither sum overflows: both of its numbers are below 2^63.
    if header.sequence + u64::from(header.count) > largest
        || header.offset + u64::from(payload_bytes) > largest
    {
        return Err(TpError::BadNumber);
    }
    let mut rest = payload;
    for _ in 0..header.count {
        rest = split_block(rest).ok_or(TpError::CutBlock)?.1;
    }
    if !rest.is_empty() {
        return Err(TpError::TrailingBytes);
    }
    Ok(match header.count {
        0 => Segment::Heartbeat(header),
        _ => Segment::Data(header, Messages::new(bytes, HEADER_BYTES)),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, any, prop_assert_eq, prop_oneof, proptest};

    use super::*;

    const HEADER: Header = Header {
        protocol: ProtocolId::DEEP_1_0,
        stream: StreamId(1),
        session: SessionNumber(0x4287_0000),
        count: 0,
        offset: 2_205_324,
        sequence: 50_122,
        sent: UtcNanos(1_471_980_632_572_839_404),
    };

    fn segment(header: Header, blocks: &[&[u8]]) -> Vec<u8> {
        let mut payload = Vec::new();
        for block in blocks {
            payload.extend_from_slice(&u16::try_from(block.len()).expect("short").to_le_bytes());
            payload.extend_from_slice(block);
        }
        let mut bytes = [0; HEADER_BYTES];
        header.write(u16::try_from(payload.len()).expect("short"), &mut bytes);
        [bytes.to_vec(), payload].concat()
    }

    fn error(bytes: &[u8]) -> Option<TpError> {
        parse(bytes).err()
    }

    #[test]
    fn the_example_of_the_specification_is_read() {
        // "Example Messages", "Multicast Publication", with shorter messages; it prints the time of New York.
        let head = [
            0x01, 0x00, 0x04, 0x80, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x87, 0x42, 0x05, 0x00,
            0x02, 0x00, 0x8c, 0xa6, 0x21, 0x00, 0x00, 0x00, 0x00, 0x00, 0xca, 0xc3, 0x00, 0x00,
            0x00, 0x00, 0x00, 0x00, 0xec, 0x45, 0xc2, 0x20, 0x96, 0x86, 0x6d, 0x14,
        ];
        let bytes = [head.as_slice(), &[1, 0, 0x54, 0, 0]].concat();
        let Ok(Segment::Data(header, messages)) = parse(&bytes) else { panic!("a segment") };
        assert_eq!(header, Header { count: 2, ..HEADER });
        assert_eq!(messages.collect::<Vec<_>>(), [b"T".as_slice(), b""]);
        assert_eq!(segment(header, &[b"T", b""]), bytes);
    }

    #[test]
    fn a_heartbeat_is_told_apart() {
        let heartbeat = segment(HEADER, &[]);
        assert!(matches!(parse(&heartbeat), Ok(Segment::Heartbeat(header)) if header == HEADER));
        assert_eq!(error(&segment(HEADER, &[b"x"])), Some(TpError::TrailingBytes));
    }

    #[test]
    fn a_segment_is_a_packet_of_a_session_of_its_number() {
        let packet = |header, blocks: &[&[u8]]| {
            let bytes = segment(header, blocks);
            let packet = parse(&bytes).expect("a segment").packet();
            let messages = match packet {
                Packet::Data(_, messages) => messages.map(<[u8]>::to_vec).collect(),
                Packet::Heartbeat(_) => Vec::new(),
                Packet::EndOfSession(_) => panic!("IEX-TP has none"),
            };
            (packet.header(), messages)
        };
        let (header, messages) = packet(Header { count: 2, ..HEADER }, &[b"first", b""]);
        let session = Session([0, 0, 0x87, 0x42, 0, 0, 0, 0, 0, 0]);
        assert_eq!(header, packet::Header { session, sequence: 50_122, count: 2 });
        assert_eq!(messages, [b"first".to_vec(), Vec::new()]);
        assert_ne!(SessionNumber(1).name(), SessionNumber(1 << 8).name());
        // A number of zero is before the first; the next message is never of that number.
        for (count, sequence, expected) in [(0, 0, 1), (0, 1, 1), (0, 2, 2), (1, 0, 0), (1, 1, 1)] {
            let blocks: &[&[u8]] = if count == 0 { &[] } else { &[b"x"] };
            let (header, _) = packet(Header { count, sequence, ..HEADER }, blocks);
            assert_eq!((header.sequence, header.count), (expected, count));
        }
        // As many messages as there can be are no end.
        let most = vec![b"".as_slice(); 32_767];
        let (header, messages) = packet(Header { count: 32_767, ..HEADER }, &most);
        assert_eq!((header.count, messages.len()), (32_767, 32_767));
    }

    #[test]
    fn a_segment_cut_or_lengthened_anywhere_is_refused_as_a_whole() {
        let header = Header { count: 2, ..HEADER };
        let mut bytes = segment(header, &[b"first", b"second"]);
        for cut in 0..bytes.len() {
            let expected =
                if cut < HEADER_BYTES { TpError::ShortHeader } else { TpError::WrongPayloadLength };
            assert_eq!(error(&bytes[..cut]), Some(expected), "cut at {cut}");
            if cut >= HEADER_BYTES {
                let mut shorter = bytes[..cut].to_vec();
                let payload = u16::try_from(cut - HEADER_BYTES).expect("short");
                shorter[12..14].copy_from_slice(&payload.to_le_bytes());
                assert_eq!(error(&shorter), Some(TpError::CutBlock), "told so, cut at {cut}");
            }
        }
        bytes.push(0);
        assert_eq!(error(&bytes), Some(TpError::WrongPayloadLength));
    }

    #[test]
    fn a_count_that_lies_is_refused() {
        let two: [&[u8]; 2] = [b"a", b"b"];
        for (count, expected) in
            [(0, Some(TpError::TrailingBytes)), (1, Some(TpError::TrailingBytes)), (2, None)]
        {
            assert_eq!(error(&segment(Header { count, ..HEADER }, &two)), expected);
        }
        for count in [3, u16::MAX] {
            let header = Header { count, ..HEADER };
            assert_eq!(error(&segment(header, &two)), Some(TpError::CutBlock));
        }
    }

    #[test]
    fn another_version_is_told_apart_and_another_protocol_is_let_through() {
        let mut bytes = segment(HEADER, &[]);
        bytes[0] = 2;
        assert_eq!(error(&bytes), Some(TpError::UnknownVersion(2)));
        let other = Header { protocol: ProtocolId(0x8005), ..HEADER };
        let Ok(segment) = parse(&segment(other, &[])).map(|segment| segment.header()) else {
            panic!("a segment")
        };
        assert_eq!(segment.protocol, ProtocolId(0x8005));
    }

    #[test]
    fn numbers_that_cannot_be_are_refused() {
        let largest = i64::MAX.cast_unsigned();
        let one = |header| error(&segment(Header { count: 1, ..header }, &[b""]));
        assert_eq!(one(Header { sequence: largest - 1, ..HEADER }), None);
        assert_eq!(one(Header { sequence: largest, ..HEADER }), Some(TpError::BadNumber));
        assert_eq!(one(Header { sequence: u64::MAX, ..HEADER }), Some(TpError::BadNumber));
        assert_eq!(one(Header { offset: largest - 2, ..HEADER }), None);
        assert_eq!(one(Header { offset: largest - 1, ..HEADER }), Some(TpError::BadNumber));
        assert_eq!(one(Header { offset: u64::MAX, ..HEADER }), Some(TpError::BadNumber));
        assert_eq!(one(Header { sent: UtcNanos(u64::MAX), ..HEADER }), Some(TpError::BadNumber));
    }

    /// Reads a segment byte by byte: offset, sequence number, count and messages; `None` for what is none.
    fn naive(bytes: &[u8]) -> Option<(u64, u64, u16, Vec<Vec<u8>>)> {
        let number = |from: usize, to: usize| {
            (from..to).rev().try_fold(0, |sum: u64, at| Some(sum << 8 | u64::from(*bytes.get(at)?)))
        };
        let (count, offset, sequence) = (number(14, 16)?, number(16, 24)?, number(24, 32)?);
        let payload = number(12, 14)?;
        let ends = [sequence.checked_add(count)?, offset.checked_add(payload)?, number(32, 40)?];
        if bytes[0] != 1 || ends.iter().any(|&end| end >= 1 << 63) {
            return None;
        }
        let (mut at, mut messages) = (40, Vec::new());
        for _ in 0..count {
            let end = at + 2 + usize::try_from(number(at, at + 2)?).ok()?;
            messages.push(bytes.get(at + 2..end)?.to_vec());
            at = end;
        }
        let is_whole = at == bytes.len() && number(12, 14) == u64::try_from(at - 40).ok();
        is_whole.then_some((offset, sequence, u16::try_from(count).ok()?, messages))
    }

    proptest! {
        /// Counts, lengths and numbers that are right or lie; segments that are whole, cut or followed by something.
        #[test]
        fn it_reads_what_a_naive_reader_reads(
            blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..6),
            lie in prop_oneof![6 => Just(0_i32), 1 => -2..3_i32],
            numbers in proptest::array::uniform3(prop_oneof![
                6 => 0..100_u64, 1 => (1_u64 << 63) - 8..(1 << 63) + 2, 1 => u64::MAX - 3..=u64::MAX
            ]),
            version in prop_oneof![9 => Just(1_u8), 1 => any::<u8>()],
            tail in prop_oneof![6 => Just(0_i32), 1 => -8..4_i32],
            tells_the_tail in any::<bool>(),
        ) {
            let count = i32::try_from(blocks.len()).expect("few") + lie;
            let count = u16::try_from(count.max(0)).expect("few");
            let [offset, sequence, sent] = numbers;
            let header = Header { count, offset, sequence, sent: UtcNanos(sent), ..HEADER };
            let blocks: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
            let mut bytes = segment(header, &blocks);
            bytes[0] = version;
            bytes.resize(bytes.len().checked_add_signed(isize::try_from(tail).expect("small")).expect("long"), 0);
            if let (true, Some(payload)) = (tells_the_tail, bytes.len().checked_sub(HEADER_BYTES)) {
                bytes[12..14].copy_from_slice(&u16::try_from(payload).expect("short").to_le_bytes());
            }
            let read = parse(&bytes).ok().map(|segment| {
                let header = segment.header();
                let messages = match segment {
                    Segment::Data(_, messages) => messages.map(<[u8]>::to_vec).collect(),
                    Segment::Heartbeat(_) => Vec::new(),
                };
                (header.offset, header.sequence, header.count, messages)
            });
            prop_assert_eq!(read, naive(&bytes));
        }
    }
}
