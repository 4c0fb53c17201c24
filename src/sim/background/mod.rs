//! Participants that give the simulated exchange a book: from a captured feed, or from a seeded generator.
//!
//! They send real orders into the matching engine, so that a strategy can trade with them. They must not read a clock or
//! decide by anything but their script or seed, `now`, and the book.

mod capture;
mod random;

pub use capture::{CaptureFlow, CaptureScript, ScriptError};
pub use random::{RandomFlow, RandomFlowConfig, RandomSymbol};

use crate::sim::matching::Exchange;
use crate::sim::order::{EventSink, OwnerId};
use crate::types::Nanos;

/// The owner of all background orders.
pub const BACKGROUND: OwnerId = OwnerId(0);

/// When steps are due: the first so many at once, the rest evenly over a time from the first look on.
///
/// The schedule is absolute: who looks late catches up, and the end does not move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Steps due at once.
    pub at_once: u64,
    /// Nanoseconds over which the rest is spread; 0 makes it due at once too.
    pub over_ns: u64,
}

impl Schedule {
    /// How many of `total` steps are due so long after the start.
    #[inline]
    fn due(&self, total: u64, elapsed_ns: u64) -> u64 {
        let at_once = self.at_once.min(total);
        if elapsed_ns >= self.over_ns {
            return total;
        }
        let rest = u128::from(total - at_once);
        let due = rest * u128::from(elapsed_ns) / u128::from(self.over_ns);
        at_once + u64::try_from(due).expect("less than the total")
    }
}

/// Who fills the book besides the participants.
#[derive(Debug)]
pub enum Background {
    /// Nobody.
    None,
    /// A captured feed.
    Capture(CaptureFlow),
    /// A generator.
    Random(RandomFlow),
}

impl Background {
    /// Takes at most `limit` of the steps that are due; returns how many. Allocates nothing.
    #[inline]
    pub fn poll(
        &mut self,
        now: Nanos,
        limit: usize,
        exchange: &mut Exchange,
        sink: &mut impl EventSink,
    ) -> usize {
        match self {
            Background::None => 0,
            Background::Capture(flow) => flow.poll(now, limit, exchange, sink),
            Background::Random(flow) => flow.poll(now, limit, exchange, sink),
        }
    }

    /// Whether no step is left. A generator without an end is never finished.
    pub fn is_finished(&self) -> bool {
        match self {
            Background::None => true,
            Background::Capture(flow) => flow.is_finished(),
            Background::Random(flow) => flow.is_finished(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_is_absolute() {
        let schedule = Schedule { at_once: 10, over_ns: 1_000 };
        let due = [0, 1, 99, 500, 999, 1_000, 5_000].map(|elapsed| schedule.due(110, elapsed));
        assert_eq!(due, [10, 10, 19, 60, 109, 110, 110]);
        assert_eq!(Schedule { at_once: 0, over_ns: 0 }.due(7, 0), 7);
        assert_eq!(Schedule { at_once: 9, over_ns: 5 }.due(7, 0), 7);
    }
}
