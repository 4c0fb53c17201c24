//! One channel's sequence over its lines: what is new, what came before, what is missing.
//!
//! Lines carry the same packets; the first copy counts. A packet ahead of the next number is kept ([`Window`]) until what
//! it follows has come. That a gap is *declared* takes two things: the wait is over, in packets or in time, and every line
//! that is alive has gone past the hole without filling it. A hole that is shorter than that changes nothing but the order
//! of arrival. What is declared is either kept open, where there is a way to recover, or passed over; either way the
//! channel is stale. Time is the `now` handed in.
//!
//! What one line alone says is taken with care: that another session has begun (`claims.rs`), that this one is over
//! (`ending.rs`), that messages far ahead exist, or a few that the line itself does not stand by (`line.rs`). What
//! comes in sequence passes without any of these questions.

mod claims;
mod doubt;
mod ending;
mod holes;
mod rewind;

use std::marker::PhantomData;

use crate::feed::arbiter::claims::Claims;
use crate::feed::arbiter::ending::Ending;
use crate::feed::arbiter::rewind::Rewind;
use crate::feed::line::{Line, LineCounts, Place};
use crate::feed::moldudp64::MoldUdp64;
use crate::feed::packet::{END_OF_SESSION, Framing, Header, Messages, Packet, Session};
use crate::feed::window::{Kept, Window};
use crate::types::{FeedState, Nanos};

/// Lines a channel can have: A and B.
pub const LINES_MAX: usize = 2;

/// How far ahead of what is known a number is believed at once, in messages, where there is room behind a hole for as many.
/// On a line that lost more the next packets follow soon: so much is sent in haste.
const REACH: u64 = 1_024;

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
    /// Packets in all with which a line tells the same until it is believed without the other, where it tells of another
    /// session, of the end, or of a number far ahead. 0: it is believed at once.
    pub confirm_packets: u32,
}

impl Ordering {
    /// No waiting: whatever is ahead of the next number declares a gap.
    pub const OFF: Ordering = Ordering {
        lines: 1,
        packets_max: 0,
        wait_ns: 0,
        line_wait_ns: 0,
        messages_max: 0,
        confirm_packets: 0,
    };
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
    /// Whether the stream begins anew with it, in a new session or in the same: the books must be cleared first.
    pub new_session: bool,
}

/// Nothing changes.
const NOTHING: Judgement = Judgement { take: Take::Nothing, new_session: false };

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
    /// Times the stream began again from a smaller number in the same session: the exchange was restarted.
    pub restarts: u64,
    /// Holes that the lines took back: what they had told of did not exist.
    pub refuted: u64,
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

/// Sequence and liveness of one channel, whose packets are framed as `F` says.
#[derive(Clone, Debug)]
pub struct Arbiter<F = MoldUdp64> {
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
    /// Packets without messages that told of the hole at the next number.
    hints: u32,
    /// Whether everything is queued until a snapshot says from where on.
    is_collecting: bool,
    /// Whether no packet may pass unquestioned: everything is queued, or the session is over.
    is_guarded: bool,
    /// Whether what was queued is being applied, a part at a time.
    is_catching_up: bool,
    claims: Claims,
    ending: Ending,
    rewinds: [Rewind; LINES_MAX],
    /// Sessions begun, and streams begun again.
    epoch: u64,
    heard: Nanos,
    /// Whether the sequence has been complete at a time in this session.
    is_joined: bool,
    is_broken: bool,
    is_ended: bool,
    /// The number behind the last message of a session that is over.
    ended_at: u64,
    state: FeedState,
    counts: ArbiterCounts,
    lines: [Line; LINES_MAX],
    framing: PhantomData<F>,
}

impl<F: Framing> Arbiter<F> {
    /// A channel that was not heard yet, stale after `stale_after_ns` of silence. A gap is passed over.
    pub fn new(join: Join, stale_after_ns: u64) -> Arbiter<F> {
        Arbiter {
            join,
            stale_after_ns,
            ordering: Ordering::OFF,
            keeps_gaps: false,
            session: None,
            last_session: None,
            window: Window::new(0, F::PLACE_BYTES),
            end: 1,
            end_at: Nanos(0),
            opened: Nanos(0),
            is_moved: false,
            declared: 0,
            open_gaps: 0,
            has_overflown: false,
            hints: 0,
            is_collecting: false,
            is_guarded: false,
            is_catching_up: false,
            claims: Claims::new(0, u64::MAX),
            ending: Ending::default(),
            rewinds: [Rewind::default(); LINES_MAX],
            epoch: 0,
            heard: Nanos(0),
            is_joined: false,
            is_broken: false,
            is_ended: false,
            ended_at: 0,
            state: FeedState::Stale,
            counts: ArbiterCounts::default(),
            lines: [Line::new(), Line::new()],
            framing: PhantomData,
        }
    }

    /// The same, waiting for packets out of order. With `keeps_gaps` a declared gap stays open until it is filled, given
    /// up or made good by a snapshot; the channel keeps what follows meanwhile. Allocates.
    ///
    /// # Panics
    /// If there is no line or more than two, or gaps are to be kept without room behind them.
    #[must_use]
    pub fn with_ordering(mut self, ordering: Ordering, keeps_gaps: bool) -> Arbiter<F> {
        let lines = usize::from(ordering.lines);
        assert!((1..=LINES_MAX).contains(&lines), "{lines} lines");
        assert!(!keeps_gaps || ordering.messages_max > 0, "gaps are kept, and nothing behind them");
        self.window = Window::new(ordering.messages_max, F::PLACE_BYTES);
        let reach = match (ordering.confirm_packets, self.window.capacity()) {
            (0, _) => u64::MAX,
            (_, 0) => REACH,
            (_, capacity) => capacity.min(REACH),
        };
        self.claims = Claims::new(ordering.confirm_packets, reach);
        (self.ordering, self.keeps_gaps) = (ordering, keeps_gaps);
        self
    }

    /// Takes note of a packet of `line` (0 is A, 1 is B) and says what to do with it. What comes too early is copied.
    /// Where [`Arbiter::has_hole`] afterwards, [`Arbiter::take_kept`] and [`Arbiter::judge_hole`] are to follow.
    #[inline]
    pub fn judge(&mut self, line: u8, packet: &Packet<'_, F>, now: Nanos) -> Judgement {
        let header = packet.header();
        let line = usize::from(line).min(LINES_MAX - 1);
        let is_plain = self.session == Some(header.session)
            && header.sequence <= self.window.base()
            && !self.is_guarded;
        if !is_plain {
            return self.judge_doubtful(line, packet, now);
        }
        self.hear(line, now);
        let judgement = match *packet {
            Packet::Data(header, _) => self.sequence(line, packet, header, now),
            Packet::Heartbeat(_) | Packet::EndOfSession(_) => self.judge_empty(line, packet, now),
        };
        // Nothing is being queued here.
        if self.end > self.window.base() {
            self.look_at_hole(line, &header, now);
        }
        self.state = self.state_at(now);
        judgement
    }

    #[inline]
    fn hear(&mut self, line: usize, now: Nanos) {
        self.heard = now;
        self.lines[line].heard = Some(now);
        self.lines[line].counts.packets += 1;
    }

    /// [`Arbiter::judge`] for what is not simply the next packet or a late one: of another session, ahead, or while
    /// everything is queued or over.
    #[cold]
    fn judge_doubtful(&mut self, line: usize, packet: &Packet<'_, F>, now: Nanos) -> Judgement {
        let header = packet.header();
        if self.session.is_none() {
            self.begin(&header, header.sequence, now);
        }
        let is_other = self.session != Some(header.session);
        let is_claim = is_other || self.is_far(header.sequence);
        if is_claim && !self.is_believed(line, packet, now) {
            return NOTHING;
        }
        if is_other {
            let held = self.claims.held::<F>(header).map(|(_, held, _)| held.sequence);
            let first = held.fold(header.sequence, u64::min);
            self.counts.session_changes += 1;
            self.begin(&header, first, now);
        }
        self.hear(line, now);
        if is_claim {
            self.take_held(line, header, now);
        }
        let judgement = self.judge_believed(line, packet, now);
        if is_claim {
            self.hints = self.claims.confirm_packets();
        }
        Judgement { new_session: is_other || judgement.new_session, ..judgement }
    }

    /// The rest of [`Arbiter::judge_doubtful`], for a packet of this session whose number is believed.
    fn judge_believed(&mut self, line: usize, packet: &Packet<'_, F>, now: Nanos) -> Judgement {
        let header = packet.header();
        let judgement = match *packet {
            Packet::Data(_, messages)
                if self.is_collecting || header.sequence > self.window.base() =>
            {
                self.keep(line, packet, header, messages, now)
            }
            Packet::Data(..) => self.sequence(line, packet, header, now),
            Packet::Heartbeat(_) | Packet::EndOfSession(_) => self.judge_empty(line, packet, now),
        };
        let brings = matches!(judgement.take, Take::From { .. });
        if self.is_ended && brings && end_of(&header) > self.ended_at {
            // Messages behind the last one: it was not the end.
            self.is_ended = false;
            self.is_guarded = self.is_collecting;
        }
        // What is beyond all room decides about the holes before it itself.
        let is_beyond = matches!(judgement.take, Take::Beyond { .. });
        if self.has_hole() && !is_beyond {
            self.look_at_hole(line, &header, now);
        }
        self.state = self.state_at(now);
        judgement
    }

    /// A session begins with message `first`, where one may join anywhere.
    #[cold]
    fn begin(&mut self, header: &Header, first: u64, now: Nanos) {
        if self.session != Some(header.session) {
            self.last_session = self.session;
        }
        self.session = Some(header.session);
        let next = match self.join {
            Join::First => 1,
            Join::Anywhere => first,
        };
        self.window.restart(next);
        self.lines.iter_mut().for_each(|line| line.begin(first));
        self.ending = Ending::default();
        self.rewinds = [Rewind::default(); LINES_MAX];
        self.epoch += 1;
        (self.end, self.end_at, self.opened) = (next, now, now);
        (self.declared, self.open_gaps, self.hints) = (0, 0, 0);
        self.is_moved = false;
        self.has_overflown = false;
        self.is_collecting = false;
        self.is_guarded = false;
        self.is_catching_up = false;
        self.is_joined = false;
        self.is_broken = false;
        self.is_ended = false;
    }

    /// The stream begins again from a smaller number, in the session it had: a packet that shows it is the first to count.
    #[cold]
    fn restart(&mut self, line: usize, packet: &Packet<'_, F>, now: Nanos) -> Judgement {
        let header = packet.header();
        self.counts.restarts += 1;
        self.claims.clear();
        self.begin(&header, header.sequence, now);
        self.lines[line].heard = Some(now);
        self.heard = now;
        // That what is before it exists needs no further word.
        self.end = self.end.max(header.sequence);
        self.hints = self.ordering.confirm_packets;
        let judgement = self.judge_believed(line, packet, now);
        Judgement { new_session: true, ..judgement }
    }

    /// A packet without messages: the next one has its number, and the end may have come.
    #[cold]
    fn judge_empty(&mut self, line: usize, packet: &Packet<'_, F>, now: Nanos) -> Judgement {
        let sequence = packet.header().sequence;
        let base = self.window.base();
        if sequence < base && sequence < self.lines[line].end {
            // Less than this very line told before.
            let is_end = matches!(packet, Packet::EndOfSession(_));
            self.lines[line].counts.doubted += u64::from(is_end);
            return self.note_rewind(line, packet, now);
        }
        self.lines[line].told(sequence);
        if sequence > self.end && !self.is_collecting {
            self.raise_end(sequence, now);
        }
        self.is_joined |= sequence == base && !self.is_collecting;
        if let Packet::EndOfSession(_) = packet {
            self.judge_end(line, sequence, now);
        }
        NOTHING
    }

    /// A line tells that the session is over, and that message `sequence` would follow.
    fn judge_end(&mut self, line: usize, sequence: u64, now: Nanos) {
        let confirm_packets = self.claims.confirm_packets();
        let standing = self.standing(line, now);
        let is_possible = sequence >= self.window.base();
        let is_believed =
            is_possible && self.ending.weigh(line, sequence, confirm_packets, &standing);
        if is_believed || confirm_packets == 0 {
            (self.is_ended, self.is_guarded, self.ended_at) = (true, true, sequence);
        } else {
            self.lines[line].counts.doubted += 1;
        }
    }

    /// A packet that brings nothing which its line had not brought. Where nothing else comes, the stream has begun again.
    #[cold]
    fn note_rewind(&mut self, line: usize, packet: &Packet<'_, F>, now: Nanos) -> Judgement {
        if self.claims.confirm_packets() == 0 {
            return NOTHING;
        }
        let header = packet.header();
        let awaited = self.window.base();
        let heard = self.standing(line, now).heard;
        let numbers = (header.sequence, end_of(&header));
        self.rewinds[line].note(numbers, awaited, heard[line], self.claims.reach(), now);
        // Copies show no life: where only they come, the channel falls silent.
        self.heard = self.heard.min(self.rewinds[line].since());
        let is_certain = |line: usize| self.rewinds[line].is_certain(awaited, heard[line]);
        let is_alive = |line: &usize| self.lines[*line].is_alive(self.stale_after_ns, now);
        let lines = 0..usize::from(self.ordering.lines);
        let all_begin_again = is_certain(line) && lines.filter(is_alive).all(is_certain);
        if all_begin_again { self.restart(line, packet, now) } else { NOTHING }
    }

    /// Messages up to `end` exist.
    #[cold]
    fn raise_end(&mut self, end: u64, now: Nanos) {
        if self.end <= self.window.base() {
            (self.opened, self.hints) = (now, 0);
        }
        (self.end, self.end_at) = (end, now);
    }

    /// A packet that is not ahead of the next number.
    #[inline(always)]
    fn sequence(
        &mut self,
        line: usize,
        packet: &Packet<'_, F>,
        header: Header,
        now: Nanos,
    ) -> Judgement {
        let (first, count) = (header.sequence, header.count);
        let end = first.saturating_add(u64::from(count)); // a parsed packet does not overflow
        let place = self.lines[line].brought(first, end);
        let next = self.window.base();
        if end <= next {
            self.counts.duplicates += u64::from(count);
            self.lines[line].note(place, false);
            if place == Place::Again {
                return self.note_rewind(line, packet, now);
            }
            return NOTHING;
        }
        self.lines[line].note(place, true);
        // At most `count`, since `end` is beyond `next`.
        let skip = u16::try_from(next - first).unwrap_or(count);
        self.counts.duplicates += u64::from(skip);
        self.accept(end);
        Judgement { take: Take::From { skip }, new_session: false }
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
        packet: &Packet<'_, F>,
        header: Header,
        messages: Messages<'_, F>,
        now: Nanos,
    ) -> Judgement {
        let (first, count) = (header.sequence, header.count);
        let end = first.saturating_add(u64::from(count));
        let place = self.lines[line].brought(first, end);
        if self.is_collecting {
            self.make_room(end);
        } else if !self.keeps_gaps && end - self.window.base() > self.window.capacity() {
            self.lines[line].note(place, true);
            return Judgement { take: Take::Beyond { first, count }, new_session: false };
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
        self.lines[line].note(place, new > 0 || beyond > 0);
        if end > self.end && !self.is_collecting {
            self.raise_end(end, now);
        }
        if place == Place::Again && end <= self.window.base() {
            return self.note_rewind(line, packet, now);
        }
        NOTHING
    }

    /// While everything is queued the newest messages are what counts: the oldest make room.
    fn make_room(&mut self, end: u64) {
        let (base, capacity) = (self.window.base(), self.window.capacity());
        if end > base.saturating_add(capacity) {
            self.counts.overflows += u64::from(!self.window.is_empty());
            self.window.advance(end - capacity);
        }
    }

    /// Takes note of a packet that a retransmission server sent. Only what is known to be missing is kept, to be taken with
    /// [`Arbiter::take_kept`]; returns how many messages those were. It neither begins a session nor shows that one is
    /// alive.
    pub fn fill(&mut self, packet: &Packet<'_, F>, now: Nanos) -> u64 {
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

    /// The first declared hole from `from` on: its first number and one past its last, at most as far as there is room to
    /// keep what would fill it.
    pub fn lost(&self, from: u64) -> Option<(u64, u64)> {
        let first = self.window.first_missing(from).filter(|&first| first < self.declared)?;
        let room = self.window.base().saturating_add(self.window.capacity());
        let end = self.window.first_kept(first).unwrap_or(room).min(self.declared);
        Some((first, end))
    }

    /// From the first declared number that is missing, `from` or later, to one past the last within `most` messages of it, as
    /// far as there is room: what one request asks for. Some in between may be there.
    pub fn lost_span(&self, from: u64, most: u16) -> Option<(u64, u64)> {
        let (first, mut end) = self.lost(from)?;
        let limit = first.saturating_add(u64::from(most));
        while end < limit
            && let Some((_, next)) = self.lost(end).filter(|&(next, _)| next < limit)
        {
            end = next;
        }
        Some((first, end.min(limit)))
    }

    /// For how long the first of the declared gaps has been open, in nanoseconds.
    pub const fn recovering_ns(&self, now: Nanos) -> u64 {
        if self.is_recovering() { now.since(self.opened) } else { 0 }
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

    /// Whether what was queued is being applied, a part at a time.
    #[inline]
    pub const fn is_catching_up(&self) -> bool {
        self.is_catching_up
    }

    /// Tells whether there is more to take of what was queued: the channel is stale until it is applied.
    pub const fn set_catching_up(&mut self, is_catching_up: bool) {
        self.is_catching_up = is_catching_up;
    }

    /// From now on everything is queued, until [`Arbiter::join_at`] says from where on it counts.
    pub fn collect(&mut self) {
        (self.is_collecting, self.is_guarded) = (true, true);
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
        self.is_guarded = self.is_ended;
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

    /// A message told that the session is over. That stays so until another begins.
    pub const fn mark_ended(&mut self) {
        (self.is_ended, self.is_guarded, self.ended_at) = (true, true, u64::MAX);
        self.state = FeedState::Ended;
    }

    /// Bytes of a message that are kept where it comes too early; what is longer is cut.
    pub const fn kept_bytes(&self) -> usize {
        self.window.message_bytes()
    }

    #[inline]
    fn state_at(&self, now: Nanos) -> FeedState {
        if self.is_guarded {
            // Queued is not applied.
            return if self.is_ended { FeedState::Ended } else { FeedState::Stale };
        }
        // Behind a hole nothing is known to be complete: its age is the channel's.
        let has_hole = self.end > self.window.base();
        let complete_at = if has_hole { self.opened } else { self.heard };
        let is_silent = now.since(complete_at) > self.stale_after_ns;
        let is_behind =
            self.is_recovering() || !self.is_joined || (has_hole && self.is_catching_up);
        if self.is_broken || is_behind || is_silent { FeedState::Stale } else { FeedState::Current }
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

    /// How often a stream began: what was asked for in one before is of no interest any more.
    pub const fn epoch(&self) -> u64 {
        self.epoch
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

/// One past the last message of a packet; the number it tells, where it has none. Never wraps: a parsed packet does not.
const fn end_of(header: &Header) -> u64 {
    let count = if header.count == END_OF_SESSION { 0 } else { header.count };
    #[allow(clippy::as_conversions, reason = "`from` is not const; u16 to u64 cannot fail")]
    header.sequence.saturating_add(count as u64)
}

#[cfg(test)]
mod tests;
