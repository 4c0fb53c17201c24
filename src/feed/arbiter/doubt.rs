//! Packets that say something else than what follows: whether they are believed, and what is done with those that were held
//! until they were.

use crate::feed::arbiter::claims::Standing;
use crate::feed::arbiter::{Arbiter, LINES_MAX, end_of};
use crate::feed::packet::{Framing, Header, Packet};
use crate::feed::window::Kept;
use crate::types::Nanos;

impl<F: Framing> Arbiter<F> {
    /// Whether a number is so far ahead that it is not believed at once.
    pub(super) fn is_far(&self, sequence: u64) -> bool {
        let known = self.end.max(self.window.end());
        sequence > known.saturating_add(self.claims.reach())
    }

    /// Weighs what a packet says of another session or of a number far ahead; holds it if it is not believed.
    pub(super) fn is_believed(&mut self, line: usize, packet: &Packet<'_, F>, now: Nanos) -> bool {
        let header = packet.header();
        let is_return = self.last_session == Some(header.session);
        self.counts.late_sessions += u64::from(is_return);
        let standing = Standing { is_return, ..self.standing(line, now) };
        if self.claims.weigh(line, &header, end_of(&header), &standing) {
            return true;
        }
        self.lines[line].counts.doubted += u64::from(!is_return);
        if let Packet::Data(_, messages) = packet {
            self.claims.hold(line, header, messages);
        }
        false
    }

    /// How the channel stands, for who weighs what `line` says.
    pub(super) fn standing(&self, line: usize, now: Nanos) -> Standing {
        let is_alone = self.ordering.lines < 2;
        let other = &self.lines[LINES_MAX - 1 - line];
        Standing {
            now,
            next: self.window.base(),
            heard: [self.lines[0].counts.packets, self.lines[1].counts.packets],
            other_is_alive: !is_alone && other.is_alive(self.stale_after_ns, now),
            is_return: false,
            line_wait_ns: self.ordering.line_wait_ns,
            stale_after_ns: self.stale_after_ns,
        }
    }

    /// What was held of a claim that is believed now is kept, in front of the packet that decided.
    pub(super) fn take_held(&mut self, line: usize, believed: Header, now: Nanos) {
        let Arbiter { claims, window, lines, .. } = self;
        let mut end = 0;
        for (line, header, messages) in claims.held::<F>(believed) {
            let numbers = header.sequence..end_of(&header);
            lines[line].counts.packets += 1;
            let place = lines[line].brought(numbers.start, numbers.end);
            let mut is_new = false;
            for (sequence, bytes) in numbers.clone().zip(messages) {
                is_new |= window.keep(sequence, bytes, now, !is_new) == Kept::New;
            }
            lines[line].note(place, is_new);
            end = numbers.end.max(end);
        }
        let other = LINES_MAX - 1 - line;
        if let Some(sequence) = claims.told(other, believed) {
            lines[other].told(sequence);
        }
        claims.clear();
        if end > self.end && !self.is_collecting {
            self.raise_end(end, now);
        }
    }
}
