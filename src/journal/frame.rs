//! How a record lies in a segment.
//!
//! ```text
//! offset  bytes
//!      0      4  length of the payload, and in the highest byte the kind; stored last
//!      4      4  CRC-32C of length-and-kind, number, time and payload
//!      8      8  number of the record
//!     16      8  time: nanoseconds of the monotonic clock
//!     24      n  payload: an SBE message, or nothing
//!                zeros up to a multiple of 8
//! ```
//!
//! All little-endian. A first word of 0 is the end: the segment was all zeros before. The word is stored after everything
//! else of its record and with release ordering, so a record that can be seen is whole.

use crate::codec::Message;
use crate::gate::Mark;
use crate::journal::crc::Crc32c;
use crate::ring::SLOT_PAYLOAD_BYTES;
use crate::types::Nanos;

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 24;
/// Largest payload: what a ring slot holds.
pub const PAYLOAD_BYTES_MAX: usize = SLOT_PAYLOAD_BYTES;
/// Largest record.
pub const FRAME_BYTES_MAX: usize = HEADER_BYTES + PAYLOAD_BYTES_MAX;
/// Bits of the first word that are the length.
const LENGTH_BITS: u32 = 24;

const _: () = assert!(FRAME_BYTES_MAX.is_multiple_of(8));

/// What a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// An SBE message of the journal's schema.
    Message = 1,
    /// No payload: [`Mark::RunStart`].
    RunStart = 2,
    /// No payload: [`Mark::Tick`].
    Tick = 3,
    /// No payload: [`Mark::Drain`].
    Drain = 4,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Kind> {
        [Kind::Message, Kind::RunStart, Kind::Tick, Kind::Drain]
            .into_iter()
            .find(|kind| kind.byte() == byte)
    }

    const fn byte(self) -> u8 {
        match self {
            Kind::Message => 1,
            Kind::RunStart => 2,
            Kind::Tick => 3,
            Kind::Drain => 4,
        }
    }

    /// The mark it is, if it is one.
    pub fn mark(self) -> Option<Mark> {
        match self {
            Kind::Message => None,
            Kind::RunStart => Some(Mark::RunStart),
            Kind::Tick => Some(Mark::Tick),
            Kind::Drain => Some(Mark::Drain),
        }
    }
}

impl From<Mark> for Kind {
    fn from(mark: Mark) -> Kind {
        match mark {
            Mark::RunStart => Kind::RunStart,
            Mark::Tick => Kind::Tick,
            Mark::Drain => Kind::Drain,
        }
    }
}

/// Bytes of a record with a payload of `payload_bytes`.
#[inline]
pub const fn size(payload_bytes: usize) -> usize {
    (HEADER_BYTES + payload_bytes).next_multiple_of(8)
}

/// Writes all of a record but its first word, which is returned for the caller to store last.
///
/// # Panics
/// If the payload is longer than [`PAYLOAD_BYTES_MAX`] or `buf` shorter than the record.
#[inline]
pub(super) fn write(
    buf: &mut [u8],
    crc: Crc32c,
    kind: Kind,
    number: u64,
    now: Nanos,
    payload: &[u8],
) -> u32 {
    assert!(payload.len() <= PAYLOAD_BYTES_MAX, "{} bytes are no ring message", payload.len());
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let word = u32::from(kind.byte()) << LENGTH_BITS | length;
    let crc = crc.of(&[u64::from(word), number, now.0], payload);
    let (header, rest) = buf.split_at_mut(HEADER_BYTES);
    header[4..8].copy_from_slice(&crc.to_le_bytes());
    header[8..16].copy_from_slice(&number.to_le_bytes());
    header[16..24].copy_from_slice(&now.0.to_le_bytes());
    rest[..payload.len()].copy_from_slice(payload);
    word
}

/// As [`write()`], of a message that is encoded where it stays.
///
/// # Panics
/// If `buf` is not as long as the record.
#[inline]
pub(super) fn encode<M: Message>(
    buf: &mut [u8],
    crc: Crc32c,
    number: u64,
    now: Nanos,
    message: &M,
) -> u32 {
    const { assert!(M::BYTES <= PAYLOAD_BYTES_MAX, "the message is larger than a record") }
    let length = u32::try_from(M::BYTES).unwrap_or(u32::MAX);
    let word = u32::from(Kind::Message.byte()) << LENGTH_BITS | length;
    let (header, payload) = buf.split_at_mut(HEADER_BYTES);
    let crc = crc.write(&[u64::from(word), number, now.0], message, payload);
    header[4..8].copy_from_slice(&crc.to_le_bytes());
    header[8..16].copy_from_slice(&number.to_le_bytes());
    header[16..24].copy_from_slice(&now.0.to_le_bytes());
    word
}

/// A record as it lies in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What the payload is.
    pub kind: Kind,
    /// Number of the record.
    pub number: u64,
    /// When.
    pub now: Nanos,
    /// The payload.
    pub payload: &'a [u8],
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The first word is 0, or there are no more bytes: nothing was written here.
    End,
    /// Fewer bytes than the record has.
    CutShort,
    /// A kind that is none.
    UnknownKind,
    /// Longer than any record.
    TooLong,
    /// The checksum does not fit.
    Checksum,
}

impl FrameError {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            FrameError::End => "nothing was written here",
            FrameError::CutShort => "a record is cut short",
            FrameError::UnknownKind => "a record is of no known kind",
            FrameError::TooLong => "a record is longer than any can be",
            FrameError::Checksum => "the checksum of a record does not fit",
        }
    }
}

/// The record at the start of `bytes`. No bytes make it panic.
///
/// # Errors
/// Why there is none.
pub(super) fn read(bytes: &[u8], crc: Crc32c) -> Result<Frame<'_>, FrameError> {
    let Some((&word, rest)) = bytes.split_first_chunk::<4>() else { return Err(FrameError::End) };
    let word = u32::from_le_bytes(word);
    if word == 0 {
        return Err(FrameError::End);
    }
    let [.., kind] = word.to_le_bytes();
    let kind = Kind::from_byte(kind).ok_or(FrameError::UnknownKind)?;
    let length = usize::try_from(word & ((1 << LENGTH_BITS) - 1)).unwrap_or(usize::MAX);
    if length > PAYLOAD_BYTES_MAX {
        return Err(FrameError::TooLong);
    }
    let (&stored, rest) = rest.split_first_chunk::<4>().ok_or(FrameError::CutShort)?;
    let (&number, rest) = rest.split_first_chunk::<8>().ok_or(FrameError::CutShort)?;
    let (&now, rest) = rest.split_first_chunk::<8>().ok_or(FrameError::CutShort)?;
    let payload = rest.get(..length).ok_or(FrameError::CutShort)?;
    let (number, now) = (u64::from_le_bytes(number), u64::from_le_bytes(now));
    if crc.of(&[u64::from(word), number, now], payload) != u32::from_le_bytes(stored) {
        return Err(FrameError::Checksum);
    }
    Ok(Frame { kind, number, now: Nanos(now), payload })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::journal::{Decision, SegmentStart, VenueLink};
    use crate::types::{ClOrdId, LinkState, OrderId, RequestKind, SessionId, UtcNanos, VenueId};

    fn framed(kind: Kind, payload: &[u8]) -> Vec<u8> {
        let mut buf = vec![0; size(payload.len())];
        let word = write(&mut buf, Crc32c::new(), kind, 7, Nanos(9), payload);
        buf[..4].copy_from_slice(&word.to_le_bytes());
        buf
    }

    #[test]
    fn a_record_round_trips_and_every_bit_of_it_counts() {
        for (kind, payload) in [(Kind::Message, &b"0123456789"[..]), (Kind::Tick, &b""[..])] {
            let mut bytes = framed(kind, payload);
            let frame = read(&bytes, Crc32c::new()).expect("whole");
            assert_eq!(frame, Frame { kind, number: 7, now: Nanos(9), payload });
            for bit in 0..(HEADER_BYTES + payload.len()) * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert!(read(&bytes, Crc32c::new()).is_err(), "bit {bit}");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            for length in 0..HEADER_BYTES + payload.len() {
                assert!(read(&bytes[..length], Crc32c::new()).is_err(), "{length} bytes");
            }
        }
    }

    #[test]
    fn a_message_encoded_in_place_is_the_record_of_its_bytes() {
        let messages = [u64::MAX, 0, 0x0123_4567_89ab_cdef].map(|bits| Decision {
            order_id: OrderId(bits),
            cl_ord_id: ClOrdId(!bits),
            reference_px: None,
            limit_value: Some(-1),
            value: None,
            session_id: SessionId(7),
            deny_reason: 0x0102,
            decision_kind: RequestKind::Replace,
        });
        let start = SegmentStart {
            segment_number: 1,
            first_record: 2,
            utc_time: UtcNanos(3),
            monotonic_time: Nanos(4),
            config_digest: [5; 32],
        };
        for message in messages {
            agrees(&message);
        }
        agrees(&start);
        agrees(&VenueLink { venue_id: VenueId(9), link_state: LinkState::Up });
    }

    fn agrees<M: Message>(message: &M) {
        let mut payload = [0; PAYLOAD_BYTES_MAX];
        message.encode(&mut payload);
        // Whatever lay there before.
        let mut buf = vec![0xaa; size(M::BYTES)];
        let word = encode(&mut buf, Crc32c::new(), 7, Nanos(9), message);
        buf[..4].copy_from_slice(&word.to_le_bytes());
        assert_eq!(buf, framed(Kind::Message, &payload[..M::BYTES]), "{message:?}");
    }

    #[test]
    fn zeros_are_the_end() {
        assert_eq!(read(&[0; 64], Crc32c::new()), Err(FrameError::End));
        assert_eq!(read(&[], Crc32c::new()), Err(FrameError::End));
    }
}
