//! One channel's sequence over its lines: what is new, what came before, what is missing.
//!
//! Lines carry the same packets; the first copy counts. A packet ahead of the next number is kept ([`Window`]) until what
//! it follows has come. That a gap is *declared* takes two things: the wait is over, in packets or in time, and every line
//! that is alive has gone past the hole without filling it. A hole that is shorter than that changes nothing but the order
//! of arrival. What is declared is either kept open, where there is a way to recover, or passed over; either way the
//! channel is stale. Time is the `now` handed in.

use crate::feed::line::{Line, LineCounts, Place};
use crate::feed::moldudp64::{Header, Messages, Packet, Session};
use crate::feed::window::{Kept, Window};
use crate::types::{FeedState, Nanos};

/// Lines a channel can have: A and B.
pub const LINES_MAX: usize = 2;

/// Where a channel may be joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// Only at its first message; a first packet with a higher number is a gap.
    First,
    /// Anywhere: what came before is known to be of no interest.
    Anywhere,
}

/// How packets out of order are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ordering {
    /// Lines that carry the channel, 1 or 2.
    pub lines: u8,
    /// Packets kept behind a hole before it is taken for a gap.
    pub packets_max: u32,
    /// How long a hole may stay open before it is taken for a gap, in nanoseconds.
    pub wait_ns: u64,
    /// How long a line is waited for that has said nothing since the hole opened, in nanoseconds.
    pub line_wait_ns: u64,
    /// Messages that can be kept behind a hole; rounded up to a power of two. 0: none, a hole is a gap at once.
    pub messages_max: usize,
}

impl Ordering {
    /// No waiting: whatever is ahead of the next number declares a gap.
    pub const OFF: Ordering =
        Ordering { lines: 1, packets_max: 0, wait_ns: 0, line_wait_ns: 0, messages_max: 0 };
}

/// What to do with a packet's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// Nothing: it has none, all came before, or they were kept for later.
    Nothing,
    /// Apply them, less the first `skip`, which came before.
    From {
        /// Messages to leave out.
        skip: u16,
    },
    /// They are too far ahead to be kept, and nothing will bring what is missing: pass over every hole before `first`
    /// ([`Arbiter::pass_over`]), then apply them.
    Beyond {
        /// Number of the first.
        first: u64,
        /// How many they are.
        count: u16,
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
    /// Gaps declared.
    pub gaps: u64,
    /// Messages missing in them when they were declared.
    pub missing: u64,
    /// Gaps of those that were filled after all, or made good by a snapshot.
    pub recovered: u64,
    /// Holes filled before they were declared.
    pub reordered: u64,
    /// Messages that had come before: the other line's copies.
    pub duplicates: u64,
    /// Messages that retransmissions brought.
    pub retransmitted: u64,
    /// Packets for which the queue of messages behind a hole had no room.
    pub overflows: u64,
    /// Packets of a session that is over.
    pub late_sessions: u64,
    /// Sessions begun after the first.
    pub session_changes: u64,
}

/// Why a snapshot does not join the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinError {
    /// The queue no longer holds the messages that follow it.
    TooOld,
    /// Its number is beyond anything the lines told of yet. They may be a little behind; a snapshot far ahead of them is of
    /// another session, and would shut out all that they bring.
    TooNew,
}

/// Sequence and liveness of one channel.
#[derive(Clone, Debug)]
pub struct Arbiter {
    join: Join,
    stale_after_ns: u64,
    ordering: Ordering,
    /// Whether a declared gap stays open, because something may fill it.
    keeps_gaps: bool,
    session: Option<Session>,
    last_session: Option<Session>,
    /// Number of the next message; what is kept lies beyond it.
    window: Window,
    /// One past the highest number known to exist: there is a hole while this is beyond the next.
    end: u64,
    /// When `end` grew last.
    end_at: Nanos,
    /// Since when the hole at the next number is known.
    opened: Nanos,
    /// Whether kept messages were taken since, so that the hole at the next number is another one.
    is_moved: bool,
    /// Below this, what is missing has been declared; 0 where nothing is.
    declared: u64,
    /// Gaps declared and not yet filled.
    open_gaps: u64,
    /// Whether the queue had no room since this was last asked.
    has_overflown: bool,
    /// Whether everything is queued until a snapshot says from where on.
    is_collecting: bool,
    heard: Nanos,
    /// Whether the sequence has been complete at a time in this session.
    is_joined: bool,
    is_broken: bool,
    is_ended: bool,
    state: FeedState,
    counts: ArbiterCounts,
    lines: [Line; LINES_MAX],
}

impl Arbiter {
    /// A channel that was not heard yet, stale after `stale_after_ns` of silence. A gap is passed over.
    pub fn new(join: Join, stale_after_ns: u64) -> Arbiter {
        Arbiter {
            join,
            stale_after_ns,
            ordering: Ordering::OFF,
            keeps_gaps: false,
            session: None,
            last_session: None,
            window: Window::new(0),
            end: 1,
            end_at: Nanos(0),
            opened: Nanos(0),
            is_moved: false,
            declared: 0,
            open_gaps: 0,
            has_overflown: false,
            is_collecting: false,
            heard: Nanos(0),
            is_joined: false,
            is_broken: false,
            is_ended: false,
            state: FeedState::Stale,
            counts: ArbiterCounts::default(),
            lines: [Line::new(), Line::new()],
        }
    }

    /// The same, waiting for packets out of order. With `keeps_gaps` a declared gap stays open until it is filled, given
    /// up or made good by a snapshot; the channel keeps what follows meanwhile. Allocates.
    ///
    /// # Panics
    /// If there is no line or more than two, or gaps are to be kept without room behind them.
    #[must_use]
    pub fn with_ordering(mut self, ordering: Ordering, keeps_gaps: bool) -> Arbiter {
        let lines = usize::from(ordering.lines);
        assert!((1..=LINES_MAX).contains(&lines), "{lines} lines");
        assert!(!keeps_gaps || ordering.messages_max > 0, "gaps are kept, and nothing behind them");
        self.window = Window::new(ordering.messages_max);
        (self.ordering, self.keeps_gaps) = (ordering, keeps_gaps);
        self
    }

    /// Takes note of a packet of `line` (0 is A, 1 is B) and says what to do with it. What comes too early is copied.
    /// Where [`Arbiter::has_hole`] afterwards, [`Arbiter::take_kept`] and [`Arbiter::judge_hole`] are to follow.
    #[inline]
    pub fn judge(&mut self, line: u8, packet: &Packet<'_>, now: Nanos) -> Judgement {
        let header = packet.header();
        let new_session = match self.session {
            Some(session) if session == header.session => false,
            Some(_) if self.last_session == Some(header.session) => {
                self.counts.late_sessions += 1;
                return Judgement { take: Take::Nothing, new_session: false };
            }
            Some(_) | None => self.begin(&header, now),
        };
        self.heard = now;
        let line = usize::from(line).min(LINES_MAX - 1);
        self.lines[line].heard = Some(now);
        self.lines[line].counts.packets += 1;
        let take = match *packet {
            Packet::Data(header, messages) => self.sequence(line, header, messages, now),
            Packet::Heartbeat(_) => {
                self.expect(line, header.sequence, now);
                Take::Nothing
            }
            Packet::EndOfSession(_) => {
                self.expect(line, header.sequence, now);
                self.is_ended = true;
                Take::Nothing
            }
        };
        if self.has_hole() {
            self.judge_hole(now);
        }
        self.state = self.state_at(now);
        Judgement { take, new_session }
    }

    /// A session begins; `true` if another was there before it.
    #[cold]
    fn begin(&mut self, header: &Header, now: Nanos) -> bool {
        let replaces = self.session.is_some();
        self.counts.session_changes += u64::from(replaces);
        self.last_session = self.session;
        self.session = Some(header.session);
        let next = match self.join {
            Join::First => 1,
            Join::Anywhere => header.sequence,
        };
        self.window.restart(next);
        self.lines.iter_mut().for_each(|line| line.begin(header.sequence));
        (self.end, self.end_at, self.opened) = (next, now, now);
        (self.declared, self.open_gaps) = (0, 0);
        self.is_moved = false;
        self.has_overflown = false;
        self.is_collecting = false;
        self.is_joined = false;
        self.is_broken = false;
        self.is_ended = false;
        replaces
    }

    /// The next message has number `sequence`: if that is more than expected, some are missing.
    #[inline]
    fn expect(&mut self, line: usize, sequence: u64, now: Nanos) {
        self.lines[line].told(sequence);
        if sequence > self.end && !self.is_collecting {
            self.raise_end(sequence, now);
        }
        self.is_joined |= sequence == self.window.base() && !self.is_collecting;
    }

    /// Messages up to `end` exist.
    #[cold]
    fn raise_end(&mut self, end: u64, now: Nanos) {
        if self.end <= self.window.base() {
            self.opened = now;
        }
        (self.end, self.end_at) = (end, now);
    }

    #[inline]
    fn sequence(
        &mut self,
        line: usize,
        header: Header,
        messages: Messages<'_>,
        now: Nanos,
    ) -> Take {
        let (first, count) = (header.sequence, header.count);
        let end = first.saturating_add(u64::from(count)); // a parsed packet does not overflow
        let place = self.lines[line].brought(first, end);
        let next = self.window.base();
        if first > next || self.is_collecting {
            return self.keep(line, place, header, messages, now);
        }
        if end <= next {
            self.counts.duplicates += u64::from(count);
            self.note(line, place, false);
            return Take::Nothing;
        }
        self.note(line, place, true);
        // At most `count`, since `end` is beyond `next`.
        let skip = u16::try_from(next - first).unwrap_or(count);
        self.counts.duplicates += u64::from(skip);
        self.accept(end);
        Take::From { skip }
    }

    /// Counts a packet with messages for its line.
    #[inline]
    fn note(&mut self, line: usize, place: Place, is_new: bool) {
        let counts = &mut self.lines[line].counts;
        counts.out_of_order += u64::from(place == Place::Behind);
        match (is_new, place) {
            (true, _) => counts.first += 1,
            (false, Place::Again) => counts.duplicates += 1,
            (false, Place::Ahead | Place::Behind) => counts.late += 1,
        }
    }

    /// Messages from the next one up to `end` are there, in order.
    #[inline]
    fn accept(&mut self, end: u64) {
        if self.has_hole() {
            self.close_hole(end);
        }
        self.counts.duplicates += self.window.advance(end);
        self.end = self.end.max(end);
        self.is_joined = true;
    }

    #[cold]
    fn close_hole(&mut self, end: u64) {
        let hole_end = self.hole_end();
        if end >= hole_end {
            self.is_moved = true;
            self.counts.reordered += u64::from(self.declared < hole_end);
        }
    }

    /// Keeps the messages of a packet that is ahead of the next number, or of any while everything is queued.
    #[cold]
    fn keep(
        &mut self,
        line: usize,
        place: Place,
        header: Header,
        messages: Messages<'_>,
        now: Nanos,
    ) -> Take {
        let (first, count) = (header.sequence, header.count);
        let end = first.saturating_add(u64::from(count));
        if self.is_collecting {
            self.make_room(first, end);
        } else if !self.keeps_gaps && end - self.window.base() > self.window.capacity() {
            self.note(line, place, true);
            return Take::Beyond { first, count };
        }
        let (mut new, mut beyond) = (0, 0);
        for (sequence, bytes) in (first..end).zip(messages) {
            match self.window.keep(sequence, bytes, now, new == 0) {
                Kept::New => new += 1,
                Kept::Had => self.counts.duplicates += 1,
                Kept::NoRoom => beyond += 1,
            }
        }
        if beyond > 0 {
            self.counts.overflows += 1;
            self.has_overflown = true;
        }
        self.note(line, place, new > 0 || beyond > 0);
        if end > self.end && !self.is_collecting {
            self.raise_end(end, now);
        }
        Take::Nothing
    }

    /// While everything is queued the newest messages are what counts: the oldest make room. A packet from somewhere else
    /// altogether begins the queue anew, so that one wrong number does not shut out all that follow.
    fn make_room(&mut self, first: u64, end: u64) {
        let (base, capacity) = (self.window.base(), self.window.capacity());
        let far = capacity.saturating_mul(2);
        if first > base.saturating_add(far) || base > first.saturating_add(far) {
            self.counts.overflows += u64::from(!self.window.is_empty());
            self.window.restart(first);
        } else if end > base.saturating_add(capacity) {
            self.counts.overflows += u64::from(!self.window.is_empty());
            self.window.advance(end - capacity);
        }
    }

    /// Takes note of a packet that a retransmission server sent. Only what is known to be missing is kept, to be taken with
    /// [`Arbiter::take_kept`]; returns how many messages those were. It neither begins a session nor shows that one is
    /// alive.
    pub fn fill(&mut self, packet: &Packet<'_>, now: Nanos) -> u64 {
        let Packet::Data(header, messages) = *packet else { return 0 };
        if self.session != Some(header.session) || self.is_collecting {
            return 0;
        }
        let mut new = 0;
        for (sequence, bytes) in (header.sequence..self.end).zip(messages) {
            let kept = self.window.keep(sequence, bytes, now, false);
            new += u64::from(kept == Kept::New);
        }
        self.counts.retransmitted += new;
        new
    }

    /// Whether messages are known to be missing, or are kept behind others.
    #[inline]
    pub fn has_hole(&self) -> bool {
        self.end > self.window.base() && !self.is_collecting
    }

    /// The next message, where it was kept.
    #[inline]
    pub fn take_kept(&mut self) -> Option<&[u8]> {
        if !self.has_hole() {
            return None;
        }
        let message = self.window.take()?;
        self.is_moved = true;
        self.is_joined = true;
        Some(message)
    }

    /// One past the hole at the next number.
    fn hole_end(&self) -> u64 {
        self.window.first_kept(self.window.base()).unwrap_or(self.end)
    }

    /// Looks at the holes, once all that can be taken was taken, and declares those for which it is time. Returns whether
    /// one was passed over, so that there may be more to take.
    pub fn judge_hole(&mut self, now: Nanos) -> bool {
        if self.declared != 0 && self.window.base() >= self.declared {
            self.declared = 0;
            self.counts.recovered += std::mem::take(&mut self.open_gaps);
        }
        let is_moved = std::mem::take(&mut self.is_moved);
        if !self.has_hole() {
            self.has_overflown = false;
            return false;
        }
        if is_moved {
            self.opened = self.window.arrived(self.hole_end()).unwrap_or(self.end_at);
        }
        let (next, hole_end) = (self.window.base(), self.hole_end());
        if hole_end <= next {
            return false;
        }
        if self.keeps_gaps {
            self.declare(now);
            return false;
        }
        self.is_due(hole_end, self.opened, self.window.packets(), now) && self.pass_over(hole_end)
    }

    /// Declares every hole for which it is time, from the one at the next number on.
    fn declare(&mut self, now: Nanos) {
        let next = self.window.base();
        loop {
            let from = self.declared.max(next);
            let missing = self.window.first_missing(from).filter(|&first| first < self.end);
            let Some(first) = missing else { break };
            let kept = self.window.first_kept(first);
            let end = kept.unwrap_or(self.end);
            let arrived = kept.and_then(|kept| self.window.arrived(kept)).unwrap_or(self.end_at);
            let is_due = if first == next {
                let packets = self.window.packets();
                self.has_overflown || self.is_due(end, self.opened, packets, now)
            } else {
                // How many packets came since is not known: they are counted behind the first hole.
                self.is_due(end, arrived, 0, now)
            };
            if !is_due {
                break;
            }
            self.counts.gaps += 1;
            self.counts.missing = self.counts.missing.saturating_add(end - first);
            self.open_gaps += 1;
            self.declared = end;
        }
    }

    /// Whether a hole that ends at `hole_end`, is known since `opened` and has so many `packets` behind it is to be waited
    /// for no longer.
    fn is_due(&self, hole_end: u64, opened: Nanos, packets: u32, now: Nanos) -> bool {
        let waited_ns = now.since(opened);
        if waited_ns >= self.stale_after_ns {
            return true;
        }
        let is_over = waited_ns >= self.ordering.wait_ns || packets > self.ordering.packets_max;
        let lines = self.lines.iter().take(usize::from(self.ordering.lines));
        is_over
            && lines.filter(|line| line.end < hole_end).all(|line| {
                let heard = line.heard.unwrap_or(opened).max(opened);
                now.since(heard) >= self.ordering.line_wait_ns
            })
    }

    /// Passes over the hole at the next number as far as `until`: a gap for good. `false` if the next number is there.
    #[cold]
    pub fn pass_over(&mut self, until: u64) -> bool {
        let next = self.window.base();
        if next >= until {
            return false;
        }
        let to = self.window.first_kept(next).unwrap_or(until).min(until);
        if to > self.declared {
            self.counts.gaps += 1;
            self.counts.missing = self.counts.missing.saturating_add(to - next);
        }
        if to >= self.declared {
            (self.declared, self.open_gaps) = (0, 0);
        }
        self.has_overflown = false;
        self.window.advance(to);
        self.end = self.end.max(to);
        self.is_moved = true;
        self.mark_broken();
        true
    }

    /// The packet of a [`Take::Beyond`] is applied: what is before it was passed over.
    pub fn accept_beyond(&mut self, first: u64, count: u16) {
        self.accept(first.saturating_add(u64::from(count)));
    }

    /// What is missing will not be had: the declared hole is passed over, and every later one of this session.
    pub fn give_up(&mut self) -> bool {
        let declared = self.declared;
        self.pass_over(declared)
    }

    /// The first declared hole from `from` on: its first number and one past its last, at most as far as there is room to
    /// keep what would fill it.
    pub fn lost(&self, from: u64) -> Option<(u64, u64)> {
        let first = self.window.first_missing(from).filter(|&first| first < self.declared)?;
        let room = self.window.base().saturating_add(self.window.capacity());
        let end = self.window.first_kept(first).unwrap_or(room).min(self.declared);
        Some((first, end))
    }

    /// The first number in `first..end` that is missing.
    pub fn missing(&self, first: u64, end: u64) -> Option<u64> {
        self.window.first_missing(first).filter(|&missing| missing < end.min(self.end))
    }

    /// Messages declared missing that still are.
    pub fn declared_messages(&self) -> u64 {
        self.window.missing_before(self.declared)
    }

    /// Whether a declared gap is open.
    #[inline]
    pub const fn is_recovering(&self) -> bool {
        self.declared != 0
    }

    /// Whether the queue of messages behind a hole had no room since this was last asked.
    pub fn take_overflow(&mut self) -> bool {
        std::mem::take(&mut self.has_overflown)
    }

    /// From now on everything is queued, until [`Arbiter::join_at`] says from where on it counts.
    pub fn collect(&mut self) {
        self.is_collecting = true;
        (self.declared, self.open_gaps) = (0, 0);
        self.has_overflown = false;
        self.state = FeedState::Stale;
    }

    /// The books are as they were before message `sequence`: the queue counts from there on.
    ///
    /// # Errors
    /// A [`JoinError`] where the queue does not join; everything is queued on then.
    pub fn join_at(&mut self, sequence: u64, now: Nanos) -> Result<(), JoinError> {
        let told = self.lines.iter().map(|line| line.end).fold(self.window.end(), u64::max);
        if sequence < self.window.base() {
            return Err(JoinError::TooOld);
        }
        if sequence > told {
            return Err(JoinError::TooNew);
        }
        self.window.advance(sequence);
        (self.end, self.end_at) = (self.window.end(), now);
        self.is_collecting = false;
        self.is_broken = false;
        self.is_joined = true;
        self.is_moved = true;
        self.state = self.state_at(now);
        Ok(())
    }

    /// The channel's content can no longer be relied on, for a reason outside its sequence.
    pub const fn mark_broken(&mut self) {
        self.is_broken = true;
        self.state = FeedState::Stale;
    }

    fn state_at(&self, now: Nanos) -> FeedState {
        // Behind a hole nothing is known to be complete: its age is the channel's.
        let complete_at = if self.has_hole() { self.opened } else { self.heard };
        let is_silent = now.since(complete_at) > self.stale_after_ns;
        let is_behind = self.is_collecting || self.is_recovering() || !self.is_joined;
        if self.is_ended {
            FeedState::Ended
        } else if self.is_broken || is_behind || is_silent {
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
    #[inline]
    pub const fn next_sequence(&self) -> u64 {
        self.window.base()
    }

    /// The session, once one was heard.
    pub const fn session(&self) -> Option<Session> {
        self.session
    }

    /// Whether its content cannot be relied on for a reason that only another session or a snapshot ends.
    pub const fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Whether the exchange ended the session.
    pub const fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// What it went through.
    pub const fn counts(&self) -> ArbiterCounts {
        self.counts
    }

    /// What each line brought.
    pub fn line_counts(&self) -> [LineCounts; LINES_MAX] {
        [self.lines[0].counts, self.lines[1].counts]
    }

    /// Counts a datagram of `line` that was refused as a whole.
    pub fn note_error(&mut self, line: u8) {
        self.lines[usize::from(line).min(LINES_MAX - 1)].counts.errors += 1;
    }
}

#[cfg(test)]
mod tests;
