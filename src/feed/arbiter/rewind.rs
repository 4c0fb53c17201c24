//! A line that begins again: an exchange that was restarted counts from 1 once more, maybe under the name it had before.
//!
//! To who knows the numbers only, all it sends then came before. It is told from copies by this: packet after packet follows
//! the one before it, and brings nothing that the very same line had not brought, while no line brings anything else.

use crate::types::Nanos;

/// Packets in a row after which a line has begun again.
pub(super) const REWIND_PACKETS: u32 = 8;

/// What a line brought again, without anything new in between.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rewind {
    packets: u32,
    since: Nanos,
    /// The number it goes on with.
    next: u64,
    /// The number the channel awaits; what moves it ends the row.
    awaited: u64,
    /// Packets the line had brought with the last of the row.
    heard: u64,
}

impl Rewind {
    /// Takes note of a packet that brings nothing its line had not brought: messages `first..end`, or none. `heard` counts the
    /// line's packets up to this one. Numbers no further than `reach` apart follow each other: some may be lost.
    pub(super) fn note(
        &mut self,
        (first, end): (u64, u64),
        awaited: u64,
        heard: u64,
        reach: u64,
        now: Nanos,
    ) {
        let goes_on = self.packets > 0
            && first >= self.next
            && first - self.next <= reach
            && awaited == self.awaited
            && heard == self.heard + 1;
        let (packets, since) = if goes_on { (self.packets + 1, self.since) } else { (1, now) };
        *self = Rewind { packets, since, next: end, awaited, heard };
    }

    /// Whether the line has begun again, with no other packet since. How long that took is no matter: a stream that begins
    /// again soon comes to the number awaited, and from there on would be taken for what follows.
    pub(super) const fn is_certain(&self, awaited: u64, heard: u64) -> bool {
        self.packets >= REWIND_PACKETS && self.awaited == awaited && self.heard == heard
    }

    /// Since when nothing but such packets came by this line.
    pub(super) const fn since(&self) -> Nanos {
        self.since
    }
}
