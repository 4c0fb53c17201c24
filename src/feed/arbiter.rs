//! One channel's sequence over its lines: what is new, what came before, what is missing.
//!
//! Lines carry the same packets; the first copy counts. A gap is told once and makes the channel stale until the next
//! session: what was missed is not asked for again yet. Time is the `now` handed in.

use crate::feed::moldudp64::{Header, Packet, Session};
use crate::types::{FeedState, Nanos};

/// Where a channel may be joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// Only at its first message; a first packet with a higher number is a gap.
    First,
    /// Anywhere: what came before is known to be of no interest.
    Anywhere,
}

/// What to do with a packet's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// Nothing: it has none, or all came before.
    Nothing,
    /// Apply them, less the first `skip`, which came before.
    From {
        /// Messages to leave out.
        skip: u16,
    },
}

/// What a packet means for its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What to do with its messages.
    pub take: Take,
    /// Whether a new session begins with it: the books must be cleared first.
    pub new_session: bool,
}

/// What a channel went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ArbiterCounts {
    /// Gaps.
    pub gaps: u64,
    /// Messages missing in them.
    pub missing: u64,
    /// Messages that had come before: the other line's copies.
    pub duplicates: u64,
    /// Packets of a session that is over.
    pub late_sessions: u64,
    /// Sessions begun after the first.
    pub session_changes: u64,
}

/// Sequence and liveness of one channel.
#[derive(Clone, Debug)]
pub struct Arbiter {
    join: Join,
    stale_after_ns: u64,
    session: Option<Session>,
    last_session: Option<Session>,
    /// Number of the next message.
    next: u64,
    heard: Nanos,
    is_broken: bool,
    is_ended: bool,
    state: FeedState,
    counts: ArbiterCounts,
}

impl Arbiter {
    /// A channel that was not heard yet, stale after `stale_after_ns` of silence.
    pub const fn new(join: Join, stale_after_ns: u64) -> Arbiter {
        Arbiter {
            join,
            stale_after_ns,
            session: None,
            last_session: None,
            next: 1,
            heard: Nanos(0),
            is_broken: false,
            is_ended: false,
            state: FeedState::Stale,
            counts: ArbiterCounts {
                gaps: 0,
                missing: 0,
                duplicates: 0,
                late_sessions: 0,
                session_changes: 0,
            },
        }
    }

    /// Takes note of a packet and says what to do with it.
    #[inline]
    pub fn judge(&mut self, packet: &Packet<'_>, now: Nanos) -> Judgement {
        let header = packet.header();
        let new_session = match self.session {
            Some(session) if session == header.session => false,
            Some(_) if self.last_session == Some(header.session) => {
                self.counts.late_sessions += 1;
                return Judgement { take: Take::Nothing, new_session: false };
            }
            Some(_) | None => self.begin(&header),
        };
        self.heard = now;
        let take = match packet {
            Packet::Data(..) => self.sequence(header.sequence, header.count),
            Packet::Heartbeat(_) => {
                self.expect(header.sequence);
                Take::Nothing
            }
            Packet::EndOfSession(_) => {
                self.expect(header.sequence);
                self.is_ended = true;
                Take::Nothing
            }
        };
        self.state = self.state_at(now);
        Judgement { take, new_session }
    }

    /// A session begins; `true` if another was there before it.
    #[cold]
    fn begin(&mut self, header: &Header) -> bool {
        let replaces = self.session.is_some();
        self.counts.session_changes += u64::from(replaces);
        self.last_session = self.session;
        self.session = Some(header.session);
        self.next = match self.join {
            Join::First => 1,
            Join::Anywhere => header.sequence,
        };
        self.is_broken = false;
        self.is_ended = false;
        replaces
    }

    /// The next message has number `sequence`: if that is more than expected, some were lost.
    #[inline]
    fn expect(&mut self, sequence: u64) {
        if sequence > self.next {
            self.gap(sequence);
        }
    }

    #[cold]
    fn gap(&mut self, sequence: u64) {
        self.counts.gaps += 1;
        self.counts.missing = self.counts.missing.saturating_add(sequence - self.next);
        self.next = sequence;
        self.is_broken = true;
    }

    #[inline]
    fn sequence(&mut self, first: u64, count: u16) -> Take {
        let end = first.saturating_add(u64::from(count)); // a parsed packet does not overflow
        if end <= self.next {
            self.counts.duplicates += u64::from(count);
            return Take::Nothing;
        }
        self.expect(first);
        // At most `count`, since `end` is beyond `next`.
        let skip = u16::try_from(self.next - first).unwrap_or(count);
        self.counts.duplicates += u64::from(skip);
        self.next = end;
        Take::From { skip }
    }

    /// The channel's content can no longer be relied on, for a reason outside its sequence.
    pub fn mark_broken(&mut self) {
        self.is_broken = true;
        self.state = FeedState::Stale;
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

    /// The channel's state at `now`. A silent channel is current again with its next packet in order.
    #[inline]
    pub fn check(&mut self, now: Nanos) -> FeedState {
        self.state = self.state_at(now);
        self.state
    }

    /// The state as of the last packet or check.
    #[inline]
    pub const fn state(&self) -> FeedState {
        self.state
    }

    /// The number expected next.
    pub const fn next_sequence(&self) -> u64 {
        self.next
    }

    /// What it went through.
    pub const fn counts(&self) -> ArbiterCounts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::moldudp64::{END_OF_SESSION, HEADER_BYTES, parse};

    const OLD: Session = Session(*b"SESSION001");
    const NEW: Session = Session(*b"SESSION002");

    fn judge(arbiter: &mut Arbiter, session: Session, sequence: u64, count: u16) -> Judgement {
        judge_at(arbiter, session, sequence, count, Nanos(0))
    }

    fn judge_at(
        arbiter: &mut Arbiter,
        session: Session,
        sequence: u64,
        count: u16,
        now: Nanos,
    ) -> Judgement {
        let mut head = [0; HEADER_BYTES];
        Header { session, sequence, count }.write(&mut head);
        let mut bytes = head.to_vec();
        if count != END_OF_SESSION {
            bytes.extend(std::iter::repeat_n(0, usize::from(count) * 2));
        }
        arbiter.judge(&parse(&bytes).expect("a packet"), now)
    }

    fn from(skip: u16) -> Judgement {
        Judgement { take: Take::From { skip }, new_session: false }
    }

    const NOTHING: Judgement = Judgement { take: Take::Nothing, new_session: false };

    #[test]
    fn the_first_copy_counts_and_the_second_is_a_duplicate() {
        let mut arbiter = Arbiter::new(Join::First, 100);
        assert_eq!(judge(&mut arbiter, OLD, 1, 3), from(0));
        assert_eq!(judge(&mut arbiter, OLD, 1, 3), NOTHING);
        assert_eq!(judge(&mut arbiter, OLD, 2, 5), from(2), "only what is new of an overlap");
        assert_eq!(arbiter.next_sequence(), 7);
        assert_eq!(arbiter.counts().duplicates, 5);
        assert_eq!(arbiter.state(), FeedState::Current);
    }

    #[test]
    fn a_gap_is_told_once_and_makes_the_channel_stale() {
        let mut arbiter = Arbiter::new(Join::First, 100);
        judge(&mut arbiter, OLD, 1, 1);
        assert_eq!(judge(&mut arbiter, OLD, 5, 1), from(0));
        assert_eq!(judge(&mut arbiter, OLD, 6, 1), from(0));
        assert_eq!((arbiter.counts().gaps, arbiter.counts().missing), (1, 3));
        assert_eq!(arbiter.state(), FeedState::Stale);
    }

    #[test]
    fn a_heartbeat_shows_a_gap_and_keeps_the_channel_alive() {
        let mut arbiter = Arbiter::new(Join::First, 100);
        assert_eq!(arbiter.check(Nanos(0)), FeedState::Stale, "nothing was heard yet");
        judge(&mut arbiter, OLD, 1, 0);
        assert_eq!(arbiter.check(Nanos(100)), FeedState::Current);
        assert_eq!(arbiter.check(Nanos(101)), FeedState::Stale);
        judge_at(&mut arbiter, OLD, 1, 0, Nanos(150));
        assert_eq!(arbiter.check(Nanos(250)), FeedState::Current);
        judge_at(&mut arbiter, OLD, 3, 0, Nanos(250));
        assert_eq!((arbiter.counts().missing, arbiter.state()), (2, FeedState::Stale));
    }

    #[test]
    fn joining_in_the_middle_is_a_gap_unless_allowed() {
        let mut strict = Arbiter::new(Join::First, 100);
        judge(&mut strict, OLD, 10, 1);
        assert_eq!((strict.counts().missing, strict.state()), (9, FeedState::Stale));
        let mut lenient = Arbiter::new(Join::Anywhere, 100);
        judge(&mut lenient, OLD, 10, 1);
        assert_eq!((lenient.counts().gaps, lenient.state()), (0, FeedState::Current));
    }

    #[test]
    fn a_new_session_begins_anew_and_the_old_one_does_not_come_back() {
        let mut arbiter = Arbiter::new(Join::First, 100);
        judge(&mut arbiter, OLD, 2, 1);
        assert_eq!(arbiter.state(), FeedState::Stale);
        let begun = Judgement { take: Take::From { skip: 0 }, new_session: true };
        assert_eq!(judge(&mut arbiter, NEW, 1, 1), begun);
        assert_eq!(arbiter.state(), FeedState::Current, "the gap was the old session's");
        assert_eq!(judge(&mut arbiter, OLD, 3, 1), NOTHING);
        assert_eq!(arbiter.counts().late_sessions, 1);
        assert_eq!(arbiter.next_sequence(), 2);
    }

    #[test]
    fn an_ended_session_is_ended_whatever_else() {
        let mut arbiter = Arbiter::new(Join::First, 100);
        judge(&mut arbiter, OLD, 1, 1);
        judge(&mut arbiter, OLD, 2, END_OF_SESSION);
        assert_eq!(arbiter.check(Nanos(1_000)), FeedState::Ended);
        assert_eq!(arbiter.counts().gaps, 0);
    }
}
