//! One stream's sequence over the lines that carry it: what is new, what came before, what is missing.
//!
//! Lines carry the same messages in the same order, but cut into segments as each likes (IEX-TP, "UDP Multicast
//! Publication"): so it is messages that are told apart, by number, and a segment may be new in part. The first copy counts.
//! A gap is told once and makes the stream stale until the next session. Time is the `now` handed in.

use crate::feed::arbiter::Join;
use crate::feed::iex::tp::{Header, Segment, SessionNumber};
use crate::types::{FeedState, Nanos};

/// What a segment means for its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// How many of its messages to leave out because they came before; `None` where nothing of it is new.
    pub skip: Option<u16>,
    /// Whether another session begins with it: the books must be cleared first.
    pub new_session: bool,
}

/// What a stream went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SequenceCounts {
    /// Gaps.
    pub gaps: u64,
    /// Messages missing in them.
    pub missing: u64,
    /// Messages that had come before: the other line's copies.
    pub duplicates: u64,
    /// Segments of a session that is over.
    pub late_sessions: u64,
    /// Sessions begun after the first.
    pub session_changes: u64,
    /// Segments that follow by number but not by byte; the number is believed.
    pub offset_faults: u64,
}

/// Sequence and liveness of one stream.
#[derive(Clone, Debug)]
pub struct Sequence {
    join: Join,
    stale_after_ns: u64,
    session: Option<SessionNumber>,
    last_session: Option<SessionNumber>,
    /// Number of the next message.
    next: u64,
    /// Bytes of payload before it, where that is known.
    offset: Option<u64>,
    heard: Nanos,
    is_broken: bool,
    is_ended: bool,
    state: FeedState,
    counts: SequenceCounts,
}

impl Sequence {
    /// A stream that was not heard yet, stale after `stale_after_ns` of silence.
    pub fn new(join: Join, stale_after_ns: u64) -> Sequence {
        Sequence {
            join,
            stale_after_ns,
            session: None,
            last_session: None,
            next: 1,
            offset: None,
            heard: Nanos(0),
            is_broken: false,
            is_ended: false,
            state: FeedState::Stale,
            counts: SequenceCounts::default(),
        }
    }

    /// Takes note of a segment of the stream and says what to do with it.
    #[inline]
    pub fn judge(&mut self, segment: &Segment<'_>, now: Nanos) -> Judgement {
        let header = segment.header();
        let new_session = match self.session {
            Some(session) if session == header.session => false,
            Some(_) if self.last_session == Some(header.session) => {
                self.counts.late_sessions += 1;
                return Judgement { skip: None, new_session: false };
            }
            Some(_) | None => self.begin(&header),
        };
        self.heard = now;
        let bytes = u64::try_from(segment.payload_bytes()).unwrap_or(u64::MAX);
        let skip = self.sequence(&header, bytes);
        self.state = self.state_at(now);
        Judgement { skip, new_session }
    }

    /// A session begins; `true` if another was there before it.
    #[cold]
    fn begin(&mut self, header: &Header) -> bool {
        let replaces = self.session.is_some();
        self.counts.session_changes += u64::from(replaces);
        self.last_session = self.session;
        self.session = Some(header.session);
        (self.next, self.offset) = match self.join {
            Join::First => (1, Some(0)),
            Join::Anywhere => (header.sequence, None),
        };
        self.is_broken = false;
        self.is_ended = false;
        replaces
    }

    #[inline]
    fn sequence(&mut self, header: &Header, payload_bytes: u64) -> Option<u16> {
        let (first, count) = (header.sequence, header.count);
        let end = first + u64::from(count); // below 2^63, as is checked by `parse`
        if end < self.next || (end == self.next && count > 0) {
            self.counts.duplicates += u64::from(count);
            return None;
        }
        if first > self.next {
            self.gap(first);
        } else if first == self.next && self.offset.is_some_and(|offset| offset != header.offset) {
            self.counts.offset_faults += 1;
        }
        // At most `count`, since `end` is not before `next`.
        let skip = u16::try_from(self.next - first).unwrap_or(count);
        self.counts.duplicates += u64::from(skip);
        self.next = end;
        self.offset = Some(header.offset + payload_bytes); // below 2^63, as is checked by `parse`
        (count > 0).then_some(skip)
    }

    #[cold]
    fn gap(&mut self, sequence: u64) {
        self.counts.gaps += 1;
        self.counts.missing = self.counts.missing.saturating_add(sequence - self.next);
        self.next = sequence;
        self.is_broken = true;
    }

    /// The stream's content can no longer be relied on, for a reason outside its sequence.
    pub const fn mark_broken(&mut self) {
        self.is_broken = true;
        self.state = FeedState::Stale;
    }

    /// The exchange said that its last message is this one.
    pub const fn mark_ended(&mut self) {
        self.is_ended = true;
        self.state = FeedState::Ended;
    }

    fn state_at(&self, now: Nanos) -> FeedState {
        let silent = now.since(self.heard) > self.stale_after_ns;
        if self.is_ended {
            FeedState::Ended
        } else if self.is_broken || silent || self.session.is_none() {
            FeedState::Stale
        } else {
            FeedState::Current
        }
    }

    /// The stream's state at `now`. A silent stream is current again with its next segment in order.
    #[inline]
    pub fn check(&mut self, now: Nanos) -> FeedState {
        self.state = self.state_at(now);
        self.state
    }

    /// The state as of the last segment or check.
    #[inline]
    pub const fn state(&self) -> FeedState {
        self.state
    }

    /// The number expected next.
    pub const fn next_sequence(&self) -> u64 {
        self.next
    }

    /// What it went through.
    pub const fn counts(&self) -> SequenceCounts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::iex::tp::{HEADER_BYTES, ProtocolId, StreamId, parse};
    use crate::types::UtcNanos;

    const OLD: SessionNumber = SessionNumber(1);
    const NEW: SessionNumber = SessionNumber(2);

    /// A segment of empty messages, two bytes each.
    fn judge_at(
        sequence: &mut Sequence,
        session: SessionNumber,
        first: u64,
        count: u16,
        now: Nanos,
    ) -> Judgement {
        judge_offset(sequence, session, first, count, (first.max(1) - 1) * 2, now)
    }

    fn judge_offset(
        sequence: &mut Sequence,
        session: SessionNumber,
        first: u64,
        count: u16,
        offset: u64,
        now: Nanos,
    ) -> Judgement {
        let header = Header {
            protocol: ProtocolId::DEEP_1_0,
            stream: StreamId(1),
            session,
            count,
            offset,
            sequence: first,
            sent: UtcNanos(0),
        };
        let mut head = [0; HEADER_BYTES];
        header.write(count * 2, &mut head);
        let mut bytes = head.to_vec();
        bytes.extend(std::iter::repeat_n(0, usize::from(count) * 2));
        sequence.judge(&parse(&bytes).expect("a segment"), now)
    }

    fn judge(sequence: &mut Sequence, session: SessionNumber, first: u64, count: u16) -> Judgement {
        judge_at(sequence, session, first, count, Nanos(0))
    }

    const fn from(skip: u16) -> Judgement {
        Judgement { skip: Some(skip), new_session: false }
    }

    const NOTHING: Judgement = Judgement { skip: None, new_session: false };

    #[test]
    fn the_first_copy_counts_and_the_second_is_a_duplicate() {
        let mut sequence = Sequence::new(Join::First, 100);
        assert_eq!(judge(&mut sequence, OLD, 1, 3), from(0));
        assert_eq!(judge(&mut sequence, OLD, 1, 3), NOTHING);
        assert_eq!(judge(&mut sequence, OLD, 2, 5), from(2), "only what is new of an overlap");
        assert_eq!(judge(&mut sequence, OLD, 3, 2), NOTHING);
        assert_eq!(sequence.next_sequence(), 7);
        let expected = SequenceCounts { duplicates: 7, ..SequenceCounts::default() };
        assert_eq!(sequence.counts(), expected);
        assert_eq!(sequence.state(), FeedState::Current);
    }

    #[test]
    fn a_number_of_zero_is_before_the_first() {
        let mut sequence = Sequence::new(Join::First, 100);
        assert_eq!(judge(&mut sequence, OLD, 0, 1), NOTHING);
        assert_eq!(judge(&mut sequence, OLD, 0, 3), from(1));
        assert_eq!(sequence.next_sequence(), 3);
    }

    #[test]
    fn a_gap_is_told_once_and_makes_the_stream_stale() {
        let mut sequence = Sequence::new(Join::First, 100);
        judge(&mut sequence, OLD, 1, 1);
        assert_eq!(judge(&mut sequence, OLD, 5, 1), from(0));
        assert_eq!(judge(&mut sequence, OLD, 6, 1), from(0));
        let expected = SequenceCounts { gaps: 1, missing: 3, ..SequenceCounts::default() };
        assert_eq!(sequence.counts(), expected);
        assert_eq!(sequence.state(), FeedState::Stale);
        assert_eq!(judge(&mut sequence, OLD, 2, 3), NOTHING, "what was missed comes too late");
    }

    #[test]
    fn a_heartbeat_shows_a_gap_and_keeps_the_stream_alive() {
        let mut sequence = Sequence::new(Join::First, 100);
        assert_eq!(sequence.check(Nanos(0)), FeedState::Stale, "nothing was heard yet");
        assert_eq!(judge(&mut sequence, OLD, 1, 0), NOTHING);
        assert_eq!(sequence.check(Nanos(100)), FeedState::Current);
        assert_eq!(sequence.check(Nanos(101)), FeedState::Stale);
        judge_at(&mut sequence, OLD, 1, 0, Nanos(150));
        assert_eq!(sequence.check(Nanos(250)), FeedState::Current);
        judge_at(&mut sequence, OLD, 3, 0, Nanos(250));
        assert_eq!((sequence.counts().missing, sequence.state()), (2, FeedState::Stale));
        assert_eq!(judge(&mut sequence, OLD, 1, 0), NOTHING, "an old heartbeat");
        assert_eq!(sequence.next_sequence(), 3);
    }

    #[test]
    fn joining_in_the_middle_is_a_gap_unless_allowed() {
        let mut strict = Sequence::new(Join::First, 100);
        judge(&mut strict, OLD, 10, 1);
        assert_eq!((strict.counts().missing, strict.state()), (9, FeedState::Stale));
        let mut lenient = Sequence::new(Join::Anywhere, 100);
        judge(&mut lenient, OLD, 10, 1);
        assert_eq!(
            (lenient.counts(), lenient.state()),
            (SequenceCounts::default(), FeedState::Current)
        );
    }

    #[test]
    fn a_new_session_begins_anew_and_the_old_one_does_not_come_back() {
        let mut sequence = Sequence::new(Join::First, 100);
        judge(&mut sequence, OLD, 2, 1);
        sequence.mark_ended();
        assert_eq!(sequence.state(), FeedState::Ended);
        let begun = Judgement { skip: Some(0), new_session: true };
        assert_eq!(judge(&mut sequence, NEW, 1, 1), begun);
        assert_eq!(sequence.state(), FeedState::Current, "gap and end were the old session's");
        assert_eq!(judge(&mut sequence, OLD, 3, 1), NOTHING);
        assert_eq!((sequence.counts().late_sessions, sequence.counts().session_changes), (1, 1));
        assert_eq!(sequence.next_sequence(), 2);
    }

    #[test]
    fn bytes_that_do_not_follow_are_counted() {
        let mut sequence = Sequence::new(Join::First, 100);
        judge(&mut sequence, OLD, 1, 2);
        assert_eq!(judge_offset(&mut sequence, OLD, 3, 1, 5, Nanos(0)), from(0));
        assert_eq!(sequence.counts().offset_faults, 1);
        judge_offset(&mut sequence, OLD, 4, 0, 7, Nanos(0));
        judge_offset(&mut sequence, OLD, 4, 1, 7, Nanos(0));
        assert_eq!(sequence.counts().offset_faults, 1, "it is told once");
        assert_eq!(sequence.state(), FeedState::Current);
    }

    #[test]
    fn what_is_ended_or_broken_stays_so() {
        let mut sequence = Sequence::new(Join::First, 100);
        judge(&mut sequence, OLD, 1, 1);
        sequence.mark_broken();
        judge(&mut sequence, OLD, 2, 1);
        assert_eq!(sequence.state(), FeedState::Stale);
        sequence.mark_ended();
        judge(&mut sequence, OLD, 3, 0);
        assert_eq!(sequence.check(Nanos(1_000)), FeedState::Ended);
    }
}
