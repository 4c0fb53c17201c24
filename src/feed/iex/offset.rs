//! Where in its stream of bytes a channel is.
//!
//! Each segment names the offset of its payload ("Stream Offset & Payload Length"), so that what follows by number has to
//! follow by byte too. One that does not is not what was sent, or what came before it was not: nobody can tell which.

use crate::feed::iex::tp::Segment;

/// The offset of the message that is awaited, as far as it is known.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StreamOffset {
    /// Number of a message, and bytes of the stream before its block.
    at: Option<(u64, u64)>,
}

impl StreamOffset {
    /// Bytes of the stream before message `number`, where they are known.
    #[inline]
    pub(super) const fn before(&self, number: u64) -> Option<u64> {
        match self.at {
            Some((at, offset)) if at == number => Some(offset),
            Some(_) | None => None,
        }
    }

    /// Whether a segment goes on with message `next`, which is awaited, but not where its bytes do. Nothing is known of the
    /// offset at the beginning of a session or behind a gap.
    #[inline]
    pub(super) fn is_contradicted(&self, segment: &Segment<'_>, next: u64) -> bool {
        let Some(expected) = self.before(next) else { return false };
        let header = segment.header();
        let end = header.sequence + u64::from(header.count); // below 2^63, as is checked by `parse`
        if header.sequence > next || end < next || (end == next && header.count > 0) {
            return false;
        }
        let before = match *segment {
            Segment::Data(_, messages) if header.sequence < next => {
                // Less than the payload has.
                let skip = u16::try_from(next - header.sequence).unwrap_or(header.count);
                segment.payload_bytes() - messages.after(skip).rest().len()
            }
            Segment::Data(..) | Segment::Heartbeat(_) => 0,
        };
        header.offset + u64::try_from(before).unwrap_or(0) != expected
    }

    /// A segment was taken: what follows it begins where it ends.
    #[inline]
    pub(super) fn follow(&mut self, segment: &Segment<'_>) {
        let header = segment.header();
        let bytes = u64::try_from(segment.payload_bytes()).unwrap_or(0);
        // Both are below 2^63, as is checked by `parse`.
        self.at = Some((header.sequence + u64::from(header.count), header.offset + bytes));
    }

    /// Message `number` was taken alone; `bytes` are its length, if that is known.
    pub(super) fn pass(&mut self, number: u64, bytes: Option<usize>) {
        let Some((at, offset)) = self.at.filter(|&(at, _)| at == number) else { return };
        let bytes = bytes.and_then(|bytes| u64::try_from(bytes + 2).ok());
        self.at = bytes.map(|bytes| (at + 1, offset.saturating_add(bytes)));
    }

    /// Nothing is known any more: the stream begins anew.
    pub(super) const fn forget(&mut self) {
        self.at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::iex::tp::{HEADER_BYTES, Header, ProtocolId, SessionNumber, StreamId, parse};
    use crate::types::UtcNanos;

    /// A segment of messages of one byte, three with their length.
    fn segment(sequence: u64, count: u16, offset: u64) -> Vec<u8> {
        let header = Header {
            protocol: ProtocolId::DEEP_1_0,
            stream: StreamId(1),
            session: SessionNumber(1),
            count,
            offset,
            sequence,
            sent: UtcNanos(0),
        };
        let mut head = [0; HEADER_BYTES];
        header.write(count * 3, &mut head);
        [head.to_vec(), [1, 0, b'x'].repeat(count.into())].concat()
    }

    fn is_contradicted(offset: &StreamOffset, bytes: &[u8], next: u64) -> bool {
        offset.is_contradicted(&parse(bytes).expect("a segment"), next)
    }

    #[test]
    fn what_goes_on_has_to_go_on_where_the_bytes_do() {
        let mut offset = StreamOffset::default();
        assert!(!is_contradicted(&offset, &segment(1, 2, 9), 1), "nothing is known yet");
        offset.follow(&parse(&segment(1, 4, 0)).expect("a segment"));
        for (sequence, count, at, expected) in [
            (5, 1, 12, false),
            (5, 1, 13, true),
            (5, 0, 12, false),
            (5, 0, 0, true),
            // New in part.
            (3, 4, 6, false),
            (3, 4, 7, true),
            (1, 5, 0, false),
            (1, 5, 12, true),
            // Brings nothing new, or is ahead.
            (3, 2, 99, false),
            (4, 0, 99, false),
            (6, 1, 99, false),
        ] {
            let bytes = segment(sequence, count, at);
            assert_eq!(is_contradicted(&offset, &bytes, 5), expected, "{sequence} {count} {at}");
        }
        // Something was passed over.
        assert!(!is_contradicted(&offset, &segment(6, 1, 0), 6));
        offset.forget();
        assert!(!is_contradicted(&offset, &segment(5, 1, 0), 5));
    }

    #[test]
    fn messages_taken_alone_are_counted() {
        let mut offset = StreamOffset::default();
        offset.pass(1, Some(5));
        assert!(!is_contradicted(&offset, &segment(2, 1, 0), 2), "it began nowhere");
        offset.follow(&parse(&segment(1, 1, 0)).expect("a segment"));
        offset.pass(2, Some(0));
        offset.pass(3, Some(8));
        assert!(!is_contradicted(&offset, &segment(4, 1, 15), 4));
        assert!(is_contradicted(&offset, &segment(4, 1, 14), 4));
        offset.pass(7, Some(8));
        assert!(is_contradicted(&offset, &segment(4, 1, 14), 4), "another message");
        offset.pass(4, None);
        assert!(!is_contradicted(&offset, &segment(5, 1, 0), 5), "of unknown length");
    }
}
